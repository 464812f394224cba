//! The bytes of one frame: a record in the encoding of postcard, written by hand because every chunk of every answer passes here.
//!
//! Whole numbers are LEB128 varints, absence is 0 and presence 1 before the value, an enum is the number of its variant, members stand in
//! their order (<https://postcard.jamesmunns.com/wire-format>). The reader is postcard itself.

use super::{MAX_PAYLOAD, checksum};
use crate::base::time::Nanos;
use crate::record::request::{ChunkStamp, Notes, RequestRecord, Usage};
use std::io;

/// Longest varint of 64 bits.
const VARINT_MAX: usize = 10;
/// Bytes that chunk stamps are put together in before they are copied to the frame.
const BATCH: usize = 512;

/// Adds the frame of `record` to `out`, as [`super::LogWriter::append`] writes it. No allocation while `out` has room.
///
/// # Errors
/// `InvalidInput` for a record longer than 64 MiB; `out` is then as it was.
pub fn append_frame(out: &mut Vec<u8>, record: &RequestRecord) -> io::Result<()> {
    frame(out, |out| {
        payload(out, record);
        Ok(())
    })
}

/// Adds a frame whose payload `write` adds.
pub(super) fn frame(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    let length = write(out).and_then(|()| {
        let length = u32::try_from(out.len() - start - 8).ok().filter(|&n| n <= MAX_PAYLOAD);
        length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a record longer than 64 MiB"))
    });
    let length = length.inspect_err(|_| out.truncate(start))?;
    let (head, payload) = out[start..].split_at_mut(8);
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[4..].copy_from_slice(&checksum(length, payload).to_le_bytes());
    Ok(())
}

/// The members in their order. Named one by one, so that a new member cannot be forgotten here.
fn payload(out: &mut Vec<u8>, record: &RequestRecord) {
    let RequestRecord {
        seq,
        session,
        phase,
        intended,
        sent,
        connect,
        tls,
        stream_wait,
        first_byte,
        first_token,
        first_content,
        last_token,
        closed,
        outcome,
        status,
        retry_after,
        input_asked,
        output_asked,
        input_tokens,
        output_tokens,
        token_source,
        reasoning_tokens,
        usage,
        counted_tokens,
        chunks,
        notes,
    } = record;
    number(out, *seq);
    optional(out, *session, |out, (session, turn)| {
        number(out, session);
        number(out, turn);
    });
    number(out, *phase as u32);
    number(out, intended.0);
    instant(out, *sent);
    number(out, connect.0);
    number(out, tls.0);
    number(out, stream_wait.0);
    for at in [first_byte, first_token, first_content, last_token] {
        instant(out, *at);
    }
    number(out, closed.0);
    number(out, *outcome as u32);
    number(out, *status);
    instant(out, *retry_after);
    for tokens in [input_asked, output_asked, input_tokens, output_tokens] {
        number(out, *tokens);
    }
    number(out, *token_source as u32);
    number(out, *reasoning_tokens);
    optional(out, *usage, |out, Usage { prompt, completion, cached, reasoning }| {
        number(out, prompt);
        number(out, completion);
        optional(out, cached, number);
        optional(out, reasoning, number);
    });
    number(out, *counted_tokens);
    stamps(out, chunks);
    let Notes { missing_done, missing_usage, length_mismatch, not_normalised, missing_logprobs, reused_connection } = *notes;
    let notes = [missing_done, missing_usage, length_mismatch, not_normalised, missing_logprobs, reused_connection];
    out.extend_from_slice(&notes.map(u8::from));
}

fn stamps(out: &mut Vec<u8>, chunks: &[ChunkStamp]) {
    number(out, chunks.len() as u64);
    let (mut batch, mut at) = ([0; BATCH], 0);
    for &ChunkStamp { gap, tokens } in chunks {
        if at > BATCH - 2 * VARINT_MAX {
            out.extend_from_slice(&batch[..at]);
            at = 0;
        }
        at = put(&mut batch, at, gap);
        at = put(&mut batch, at, u64::from(tokens));
    }
    out.extend_from_slice(&batch[..at]);
}

fn instant(out: &mut Vec<u8>, at: Option<Nanos>) {
    optional(out, at, |out, at| number(out, at.0));
}

fn optional<T>(out: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        write(out, value);
    }
}

fn number(out: &mut Vec<u8>, value: impl Into<u64>) {
    let mut bytes = [0; VARINT_MAX];
    let length = put(&mut bytes, 0, value.into());
    out.extend_from_slice(&bytes[..length]);
}

/// Writes `value` at `at`, seven bits a byte, the lowest first; gives the place after it.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lowest byte is meant")]
fn put(bytes: &mut [u8], mut at: usize, mut value: u64) -> usize {
    while value >= 0x80 {
        bytes[at] = value as u8 | 0x80;
        value >>= 7;
        at += 1;
    }
    bytes[at] = value as u8;
    at + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::outcome::Outcome;
    use crate::record::request::{Phase, TokenSource};
    use proptest::prelude::*;

    const OUTCOMES: [Outcome; 4] = [Outcome::Ok, Outcome::ThrottledCapacity, Outcome::Malformed, Outcome::Unfinished];
    const SOURCES: [TokenSource; 4] = [TokenSource::Usage, TokenSource::Tokenizer, TokenSource::Chunks, TokenSource::None];

    fn wide() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0_u32..64).prop_map(|(value, bits)| value >> bits)
    }

    fn narrow() -> impl Strategy<Value = u32> {
        (any::<u32>(), 0_u32..32).prop_map(|(value, bits)| value >> bits)
    }

    prop_compose! {
        fn record()(
            numbers in prop::array::uniform8(wide()),
            maybe in prop::array::uniform6(prop::option::of(wide())),
            small in prop::array::uniform9(narrow()),
            usage in prop::option::of((narrow(), narrow(), prop::option::of(narrow()), prop::option::of(narrow()))),
            session in prop::option::of((wide(), narrow())),
            status in any::<u16>(),
            picks in (0..4_usize, 0..4_usize, any::<bool>(), any::<[bool; 6]>()),
            chunks in prop::collection::vec((wide(), narrow()), 0..120),
        ) -> RequestRecord {
            let phase = if picks.2 { Phase::Warmup } else { Phase::Measure };
            let mut r = RequestRecord::due(numbers[0], phase, Nanos(numbers[1]), small[0], small[1]);
            (r.connect, r.tls, r.stream_wait, r.closed) = (Nanos(numbers[2]), Nanos(numbers[3]), Nanos(numbers[5]), Nanos(numbers[4]));
            [r.sent, r.first_byte, r.first_token, r.first_content, r.last_token, r.retry_after] = maybe.map(|at| at.map(Nanos));
            (r.input_tokens, r.output_tokens, r.reasoning_tokens, r.counted_tokens) = (small[2], small[3], small[4], small[5]);
            r.usage = usage.map(|(prompt, completion, cached, reasoning)| Usage { prompt, completion, cached, reasoning });
            (r.session, r.status, r.outcome, r.token_source) = (session, status, OUTCOMES[picks.0], SOURCES[picks.1]);
            let [missing_done, missing_usage, length_mismatch, not_normalised, missing_logprobs, reused_connection] = picks.3;
            r.notes = Notes { missing_done, missing_usage, length_mismatch, not_normalised, missing_logprobs, reused_connection };
            r.chunks = chunks.into_iter().map(|(gap, tokens)| ChunkStamp { gap, tokens }).collect();
            r
        }
    }

    proptest! {
        /// forall records: the bytes are those of postcard, so that its reader gives the record back.
        #[test]
        fn the_bytes_are_those_of_postcard(record in record(), before in prop::collection::vec(any::<u8>(), 0..9)) {
            let mut out = before.clone();
            append_frame(&mut out, &record).unwrap();
            prop_assert_eq!(&out[..before.len()], &before[..]);
            let (head, payload) = out[before.len()..].split_at(8);
            prop_assert_eq!(payload, &postcard::to_stdvec(&record).unwrap()[..]);
            prop_assert_eq!(u32::from_le_bytes(head[..4].try_into().unwrap()) as usize, payload.len());
        }

        /// forall records, arrivals: a record used again is the one that would have been made new.
        #[test]
        fn a_record_used_again_is_as_new(mut record in record(), seq in any::<u64>()) {
            let room = record.chunks.capacity();
            record.restart(seq, Phase::Measure, Nanos(5), 6, 7);
            prop_assert_eq!(&record, &RequestRecord::due(seq, Phase::Measure, Nanos(5), 6, 7));
            prop_assert_eq!(record.chunks.capacity(), room);
        }
    }

    #[test]
    fn a_frame_that_is_too_long_leaves_nothing_behind() {
        let mut out = b"before".to_vec();
        let refused = frame(&mut out, |out| {
            out.resize(out.len() + MAX_PAYLOAD as usize + 1, 0);
            Ok(())
        });
        assert_eq!((refused.unwrap_err().kind(), &out[..]), (io::ErrorKind::InvalidInput, &b"before"[..]));
    }
}
