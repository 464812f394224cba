//! `requests.parquet`: one row a request, streamed in row groups of bounded size.

use super::request::RequestRecord;
use crate::base::time::Nanos;
use arrow_array::builder::{BooleanBuilder, Float64Builder, ListBuilder, StringBuilder, UInt16Builder, UInt32Builder, UInt64Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use std::io::Write;
use std::sync::Arc;

/// Rows built at a time.
const BATCH_ROWS: usize = 1024;
/// Content chunks in a batch after which it is handed on: 12 bytes each.
const BATCH_CHUNKS: usize = 256 << 10;
/// Encoded bytes of a row group, about.
const ROW_GROUP_BYTES: usize = 4 << 20;
/// Bytes of a column's dictionary, beyond which its values are written plainly: instants repeat seldom, and some thirty dictionaries are held at once.
const DICTIONARY_BYTES: usize = 64 << 10;

/// Why the table could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be written.
    #[error("cannot write the request table")]
    Parquet(#[from] ParquetError),
    /// A batch of rows could not be formed.
    #[error("cannot form a row group of the request table")]
    Arrow(#[from] ArrowError),
}

/// Writes every record as one row, in the order given. Instants in nanoseconds from load start, durations as their names say.
/// Memory does not grow with the number of records.
///
/// # Errors
/// When `w` fails.
pub fn write_parquet<W: Write + Send>(w: W, records: impl Iterator<Item = RequestRecord>) -> Result<(), Error> {
    let mut columns = Columns::default();
    let schema = Arc::new(schema());
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_data_page_size_limit(DICTIONARY_BYTES)
        .set_created_by(concat!("plimsoll ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let mut writer = ArrowWriter::try_new(w, schema.clone(), Some(properties))?;
    for record in records {
        columns.push(&record);
        if columns.rows >= BATCH_ROWS || columns.chunks >= BATCH_CHUNKS {
            writer.write(&RecordBatch::try_new(schema.clone(), columns.take())?)?;
            if writer.in_progress_size() >= ROW_GROUP_BYTES {
                writer.flush()?;
            }
        }
    }
    writer.write(&RecordBatch::try_new(schema, columns.take())?)?;
    writer.close()?;
    Ok(())
}

/// The columns of the table, in order. Null where a value is not known or not defined.
#[must_use]
pub fn schema() -> Schema {
    Schema::new(Columns::default().fields())
}

/// Declares the columns once: a builder each, its name, and how a record fills it.
macro_rules! columns {
    ($($field:ident: $builder:ty, $kind:expr, $nullable:literal, |$r:ident| $value:expr;)*) => {
        #[derive(Default)]
        struct Columns {
            rows: usize,
            chunks: usize,
            $($field: $builder,)*
            chunk_gap_ns: ListBuilder<UInt64Builder>,
            chunk_tokens: ListBuilder<UInt32Builder>,
        }

        impl Columns {
            fn fields(&self) -> Vec<Field> {
                let item = |kind| Arc::new(Field::new("item", kind, true));
                vec![
                    $(Field::new(stringify!($field), $kind, $nullable),)*
                    Field::new("chunk_gap_ns", DataType::List(item(DataType::UInt64)), false),
                    Field::new("chunk_tokens", DataType::List(item(DataType::UInt32)), false),
                ]
            }

            fn push(&mut self, record: &RequestRecord) {
                $(let $r = record; self.$field.append_option($value);)*
                for chunk in &record.chunks {
                    self.chunk_gap_ns.values().append_value(chunk.gap);
                    self.chunk_tokens.values().append_value(chunk.tokens);
                }
                self.chunk_gap_ns.append(true);
                self.chunk_tokens.append(true);
                self.rows += 1;
                self.chunks += record.chunks.len();
            }

            /// The rows built so far; none are left.
            fn take(&mut self) -> Vec<ArrayRef> {
                (self.rows, self.chunks) = (0, 0);
                vec![
                    $(Arc::new(self.$field.finish()) as ArrayRef,)*
                    Arc::new(self.chunk_gap_ns.finish()),
                    Arc::new(self.chunk_tokens.finish()),
                ]
            }
        }
    };
}

columns! {
    seq: UInt64Builder, DataType::UInt64, false, |r| Some(r.seq);
    session: UInt64Builder, DataType::UInt64, true, |r| r.session.map(|(session, _)| session);
    turn: UInt32Builder, DataType::UInt32, true, |r| r.session.map(|(_, turn)| turn);
    phase: StringBuilder, DataType::Utf8, false, |r| Some(r.phase.name());
    outcome: StringBuilder, DataType::Utf8, false, |r| Some(r.outcome.name());
    status: UInt16Builder, DataType::UInt16, false, |r| Some(r.status);
    retry_after_ms: Float64Builder, DataType::Float64, true, |r| r.retry_after.map(Nanos::as_millis_f64);
    intended_ns: UInt64Builder, DataType::UInt64, false, |r| Some(r.intended.0);
    sent_ns: UInt64Builder, DataType::UInt64, true, |r| r.sent.map(|t| t.0);
    first_byte_ns: UInt64Builder, DataType::UInt64, true, |r| r.first_byte.map(|t| t.0);
    first_token_ns: UInt64Builder, DataType::UInt64, true, |r| r.first_token.map(|t| t.0);
    first_content_ns: UInt64Builder, DataType::UInt64, true, |r| r.first_content.map(|t| t.0);
    last_token_ns: UInt64Builder, DataType::UInt64, true, |r| r.last_token.map(|t| t.0);
    closed_ns: UInt64Builder, DataType::UInt64, false, |r| Some(r.closed.0);
    connect_ms: Float64Builder, DataType::Float64, false, |r| Some(r.connect.as_millis_f64());
    tls_ms: Float64Builder, DataType::Float64, false, |r| Some(r.tls.as_millis_f64());
    stream_wait_ms: Float64Builder, DataType::Float64, false, |r| Some(r.stream_wait.as_millis_f64());
    ttft_ms: Float64Builder, DataType::Float64, true, |r| r.ttft().map(Nanos::as_millis_f64);
    ttft_service_ms: Float64Builder, DataType::Float64, true, |r| r.ttft_service().map(Nanos::as_millis_f64);
    ttfo_ms: Float64Builder, DataType::Float64, true, |r| r.ttfo().map(Nanos::as_millis_f64);
    tpot_ms: Float64Builder, DataType::Float64, true, |r| r.tpot_s().map(|s| s * 1e3);
    e2e_ms: Float64Builder, DataType::Float64, false, |r| Some(r.e2e().as_millis_f64());
    e2e_service_ms: Float64Builder, DataType::Float64, true, |r| r.e2e_service().map(Nanos::as_millis_f64);
    lateness_ms: Float64Builder, DataType::Float64, true, |r| r.lateness().map(Nanos::as_millis_f64);
    input_asked: UInt32Builder, DataType::UInt32, false, |r| Some(r.input_asked);
    output_asked: UInt32Builder, DataType::UInt32, false, |r| Some(r.output_asked);
    input_tokens: UInt32Builder, DataType::UInt32, false, |r| Some(r.input_tokens);
    output_tokens: UInt32Builder, DataType::UInt32, false, |r| Some(r.output_tokens);
    token_source: StringBuilder, DataType::Utf8, false, |r| Some(r.token_source.name());
    reasoning_tokens: UInt32Builder, DataType::UInt32, false, |r| Some(r.reasoning_tokens);
    counted_tokens: UInt32Builder, DataType::UInt32, false, |r| Some(r.counted_tokens);
    usage_prompt: UInt32Builder, DataType::UInt32, true, |r| r.usage.map(|u| u.prompt);
    usage_completion: UInt32Builder, DataType::UInt32, true, |r| r.usage.map(|u| u.completion);
    usage_cached: UInt32Builder, DataType::UInt32, true, |r| r.usage.and_then(|u| u.cached);
    usage_reasoning: UInt32Builder, DataType::UInt32, true, |r| r.usage.and_then(|u| u.reasoning);
    missing_done: BooleanBuilder, DataType::Boolean, false, |r| Some(r.notes.missing_done);
    missing_usage: BooleanBuilder, DataType::Boolean, false, |r| Some(r.notes.missing_usage);
    length_mismatch: BooleanBuilder, DataType::Boolean, false, |r| Some(r.notes.length_mismatch);
    not_normalised: BooleanBuilder, DataType::Boolean, false, |r| Some(r.notes.not_normalised);
    missing_logprobs: BooleanBuilder, DataType::Boolean, false, |r| Some(r.notes.missing_logprobs);
    reused_connection: BooleanBuilder, DataType::Boolean, false, |r| Some(r.notes.reused_connection);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::outcome::Outcome;
    use crate::record::request::{ChunkStamp, Phase, Usage};
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, UInt32Type, UInt64Type};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::file::reader::{FileReader, SerializedFileReader};

    fn record(seq: u64) -> RequestRecord {
        let mut r = RequestRecord::due(seq, Phase::Measure, Nanos::from_millis(seq), 100, 3);
        if seq.is_multiple_of(2) {
            r.outcome = Outcome::Ok;
            r.sent = Some(Nanos::from_millis(seq + 1));
            r.first_token = Some(Nanos::from_millis(seq + 11));
            r.last_token = Some(Nanos::from_millis(seq + 31));
            r.closed = Nanos::from_millis(seq + 32);
            r.output_tokens = 3;
            r.usage = Some(Usage { prompt: 104, completion: 3, cached: None, reasoning: Some(1) });
            r.chunks = vec![ChunkStamp { gap: 0, tokens: 1 }, ChunkStamp { gap: 20_000_000, tokens: 2 }];
        }
        r
    }

    fn table(n: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_parquet(&mut bytes, (0..n).map(record)).unwrap();
        bytes
    }

    #[test]
    fn rows_come_back_as_they_were_written() {
        let file = bytes::Bytes::from(table(3000));
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(3000).build().unwrap();
        let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        let batch = &batches[0];
        assert_eq!((batches.len(), batch.num_rows()), (1, 3000));
        let column = |name: &str| batch.column_by_name(name).unwrap();
        assert_eq!(column("seq").as_primitive::<UInt64Type>().values().iter().sum::<u64>(), 2999 * 1500);
        assert_eq!(column("outcome").as_string::<i32>().value(2), "ok");
        assert_eq!(column("outcome").as_string::<i32>().value(3), "shed");
        let ms = |name: &str| column(name).as_primitive::<Float64Type>().value(2);
        assert_eq!((ms("ttft_ms"), ms("ttft_service_ms"), ms("tpot_ms"), ms("e2e_ms")), (11.0, 10.0, 10.0, 31.0));
        assert!(column("ttft_ms").is_null(3) && column("sent_ns").is_null(3) && column("usage_cached").is_null(2));
        let gaps = column("chunk_gap_ns").as_list::<i32>().value(2);
        assert_eq!(gaps.as_primitive::<UInt64Type>().values(), &[0, 20_000_000]);
        let tokens = column("chunk_tokens").as_list::<i32>().value(2);
        assert_eq!(tokens.as_primitive::<UInt32Type>().values(), &[1, 2]);
        assert!(column("chunk_tokens").as_list::<i32>().value(3).is_empty());
    }

    #[test]
    fn an_empty_table_is_readable() {
        let reader = SerializedFileReader::new(bytes::Bytes::from(table(0))).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
        assert_eq!(reader.metadata().file_metadata().schema_descr().num_columns(), schema().fields().len());
    }

    #[test]
    fn many_chunks_make_more_row_groups_and_not_more_memory() {
        let long = |seq| {
            let mut r = record(seq);
            // Gaps that do not compress.
            r.chunks = (0..4000_u64).map(|i| ChunkStamp { gap: (seq * 4000 + i).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20, tokens: 1 }).collect();
            r
        };
        let mut bytes = Vec::new();
        write_parquet(&mut bytes, (0..600).map(long)).unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        assert!(reader.metadata().num_row_groups() >= 2, "{}", reader.metadata().num_row_groups());
        assert_eq!(reader.metadata().file_metadata().num_rows(), 600);
    }
}
