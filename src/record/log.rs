//! The append-only log of a run: a header, then one checked frame a request. What was flushed survives a kill; a torn tail is cut off.
//!
//! ```text
//! file   = "PLIMSOLL" format:u32 frame(header as JSON) frame(record as postcard)*
//! frame  = length:u32 crc:u32 payload        all little-endian; crc = CRC-32 (IEEE) of length and payload
//! ```
//! The checksum covers the length, so that a tail of zeros, which file systems leave behind after a crash, is not read as empty frames.

mod encode;

use super::manifest::Manifest;
use super::request::RequestRecord;
pub use encode::append_frame;
use serde::{Deserialize, Serialize};
use std::io::{self, BufReader, BufWriter, Read, Write};

const MAGIC: [u8; 8] = *b"PLIMSOLL";
/// Raised when the bytes of [`RequestRecord`] change their meaning.
const FORMAT: u32 = 2;
/// Longest payload: a record of 1,000,000 content chunks has about 10 MB.
const MAX_PAYLOAD: u32 = 64 << 20;

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file does not begin like a log of this tool.
    #[error("not a run log: it begins with {:?}; expected \"PLIMSOLL\"", String::from_utf8_lossy(.found))]
    Foreign {
        /// The first bytes found, eight at most.
        found: Vec<u8>,
    },
    /// Written by a version of this tool that used another format.
    #[error("run log of format {found}; this version reads format {FORMAT}")]
    Format {
        /// The format of the file.
        found: u32,
    },
    /// The header is cut or damaged: nothing is known of the run.
    #[error("the header of the run log is damaged: {0}")]
    Header(String),
    /// Reading failed.
    #[error("cannot read the run log")]
    Io(#[from] io::Error),
}

/// What the log says of its run before the first record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the run's files, [`super::manifest::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The manifest as it was when the load started.
    pub manifest: Manifest,
    /// The scenario with every default filled in, as JSON: what a summary of a cut run is rebuilt with.
    pub experiment: serde_json::Value,
}

/// Writes a log. Buffered: what has not been flushed is lost when the process is killed.
#[derive(Debug)]
pub struct LogWriter<W: Write> {
    out: BufWriter<W>,
    frame: Vec<u8>,
}

impl<W: Write> LogWriter<W> {
    /// Writes the header and flushes it.
    ///
    /// # Errors
    /// When `w` fails.
    pub fn create(w: W, header: &Header) -> io::Result<Self> {
        let mut log = Self { out: BufWriter::with_capacity(64 << 10, w), frame: Vec::with_capacity(4 << 10) };
        log.out.write_all(&MAGIC)?;
        log.out.write_all(&FORMAT.to_le_bytes())?;
        encode::frame(&mut log.frame, |out| serde_json::to_writer(out, header).map_err(io::Error::other))?;
        log.out.write_all(&log.frame)?;
        log.flush()?;
        Ok(log)
    }

    /// Appends one record.
    ///
    /// # Errors
    /// When the writer fails; `InvalidInput` for a record longer than 64 MiB, which is then left out as a whole.
    pub fn append(&mut self, record: &RequestRecord) -> io::Result<()> {
        self.frame.clear();
        append_frame(&mut self.frame, record)?;
        self.out.write_all(&self.frame)
    }

    /// Appends what [`append_frame`] wrote, any number of whole frames.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn append_frames(&mut self, frames: &[u8]) -> io::Result<()> {
        self.out.write_all(frames)
    }

    /// Hands everything appended so far to the operating system.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Flushes, and gives the writer back.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn into_inner(self) -> io::Result<W> {
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// Reads a log up to its end or to its first damaged frame.
#[derive(Debug)]
pub struct LogReader<R: Read> {
    input: BufReader<R>,
    header: Header,
    payload: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    Ended,
    Torn,
}

/// What came of the attempt to read a frame into the buffer.
enum Frame {
    Whole,
    End,
    Torn,
}

impl<R: Read> LogReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Error::Foreign`] for any other file, [`Error::Format`] for another version, [`Error::Header`] for a damaged header, [`Error::Io`].
    pub fn open(r: R) -> Result<Self, Error> {
        let mut input = BufReader::with_capacity(64 << 10, r);
        let mut found = Vec::with_capacity(MAGIC.len());
        (&mut input).take(MAGIC.len() as u64).read_to_end(&mut found)?;
        if found != MAGIC {
            return Err(Error::Foreign { found });
        }
        let mut format = [0; 4];
        if !fill(&mut input, &mut format)? {
            return Err(Error::Header("it ends inside the format number".to_owned()));
        }
        let found = u32::from_le_bytes(format);
        if found != FORMAT {
            return Err(Error::Format { found });
        }
        let mut payload = Vec::new();
        match read_frame(&mut input, &mut payload)? {
            Frame::Whole => {}
            Frame::End | Frame::Torn => return Err(Error::Header("its frame is cut or does not match its checksum".to_owned())),
        }
        let header = serde_json::from_slice(&payload).map_err(|e| Error::Header(e.to_string()))?;
        Ok(Self { input, header, payload, state: State::Reading })
    }

    /// What the log says of its run.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next record; `None` at the end and at the first damaged frame ([`LogReader::is_torn`] tells them apart).
    ///
    /// # Errors
    /// [`Error::Io`] when reading fails; damage is not an error.
    pub fn next_record(&mut self) -> Result<Option<RequestRecord>, Error> {
        if self.state != State::Reading {
            return Ok(None);
        }
        match read_frame(&mut self.input, &mut self.payload)? {
            Frame::End => self.state = State::Ended,
            Frame::Torn => self.state = State::Torn,
            Frame::Whole => match postcard::take_from_bytes::<RequestRecord>(&self.payload) {
                Ok((record, [])) => return Ok(Some(record)),
                Ok(_) | Err(_) => self.state = State::Torn,
            },
        }
        Ok(None)
    }

    /// Reading stopped at a cut or damaged frame; every record before it was returned.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        self.state == State::Torn
    }
}

/// The records of whole frames, as [`append_frame`] wrote them: what a keeper of a log is given.
///
/// # Errors
/// [`Error::Io`] for bytes that are not whole frames.
pub fn each_record(frames: &[u8], mut take: impl FnMut(RequestRecord)) -> Result<(), Error> {
    let (mut input, mut payload) = (frames, Vec::new());
    loop {
        match read_frame(&mut input, &mut payload)? {
            Frame::End => return Ok(()),
            Frame::Whole => take(postcard::from_bytes(&payload).map_err(io::Error::other)?),
            Frame::Torn => return Err(Error::Io(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

fn checksum(length: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// Fills `buffer`; `false` if the input ends first.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

fn read_frame(input: &mut impl Read, payload: &mut Vec<u8>) -> io::Result<Frame> {
    payload.clear();
    let mut first = [0; 1];
    if !fill(input, &mut first)? {
        return Ok(Frame::End);
    }
    let mut rest = [0; 7];
    if !fill(input, &mut rest)? {
        return Ok(Frame::Torn);
    }
    let length = u32::from_le_bytes([first[0], rest[0], rest[1], rest[2]]);
    let crc = u32::from_le_bytes([rest[3], rest[4], rest[5], rest[6]]);
    if length > MAX_PAYLOAD {
        return Ok(Frame::Torn);
    }
    // `take` grows the buffer by what is there: a damaged length cannot make us allocate 64 MiB.
    input.take(u64::from(length)).read_to_end(payload)?;
    let whole = payload.len() == length as usize && checksum(length, payload) == crc;
    Ok(if whole { Frame::Whole } else { Frame::Torn })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Seed;
    use crate::base::time::Nanos;
    use crate::record::manifest::{EndpointIdentity, HostFacts};
    use crate::record::outcome::Outcome;
    use crate::record::request::{ChunkStamp, Phase};
    use proptest::prelude::*;

    fn header() -> Header {
        let manifest = Manifest::begun("smoke", Seed(7), "2026-01-02T03:04:05Z", HostFacts::default(), EndpointIdentity::default());
        Header { schema_version: 1, manifest, experiment: serde_json::json!({ "name": "smoke" }) }
    }

    fn record(seq: u64) -> RequestRecord {
        let mut r = RequestRecord::due(seq, Phase::Measure, Nanos::from_millis(seq * 10), 100, 20);
        r.outcome = if seq.is_multiple_of(3) { Outcome::Shed } else { Outcome::Ok };
        r.chunks = (0..seq % 5).map(|i| ChunkStamp { gap: i * 1_000_003, tokens: 1 }).collect();
        r
    }

    fn log(n: u64) -> Vec<u8> {
        let mut writer = LogWriter::create(Vec::new(), &header()).unwrap();
        for seq in 0..n {
            writer.append(&record(seq)).unwrap();
        }
        writer.into_inner().unwrap()
    }

    /// forall n: frames put together elsewhere and handed over at once give the same file.
    #[test]
    fn frames_written_elsewhere_give_the_same_log() {
        let mut writer = LogWriter::create(Vec::new(), &header()).unwrap();
        let mut frames = Vec::new();
        (0..40).for_each(|seq| append_frame(&mut frames, &record(seq)).unwrap());
        writer.append_frames(&frames).unwrap();
        assert_eq!(writer.into_inner().unwrap(), log(40));
    }

    /// Every record up to the end or the damage, and whether there was damage; `None` if the header is not readable.
    fn read(bytes: &[u8]) -> Option<(Vec<RequestRecord>, bool)> {
        let mut reader = LogReader::open(bytes).ok()?;
        assert_eq!(reader.header(), &header());
        let mut records = Vec::new();
        while let Some(r) = reader.next_record().unwrap() {
            records.push(r);
        }
        Some((records, reader.is_torn()))
    }

    /// forall n: read(write(n records)) == the records, whole.
    #[test]
    fn what_is_appended_comes_back() {
        for n in [0, 1, 40] {
            assert_eq!(read(&log(n)), Some(((0..n).map(record).collect(), false)));
        }
    }

    /// forall cut: a log cut at any byte gives a prefix of its records, and says that it is torn unless the cut is between frames.
    #[test]
    fn a_log_cut_at_any_byte_gives_a_prefix() {
        let bytes = log(12);
        let whole: Vec<_> = (0..12).map(record).collect();
        let mut readable = 0;
        for cut in 0..bytes.len() {
            let Some((records, torn)) = read(&bytes[..cut]) else { continue };
            readable += 1;
            assert!(whole.starts_with(&records), "cut at {cut}");
            let between_frames = bytes[..cut].len() == log(records.len() as u64).len();
            assert_eq!(torn, !between_frames, "cut at {cut}");
        }
        assert!(readable > 100, "{readable}");
    }

    /// forall byte, bit: a flipped bit gives a prefix of the records, or a refused header; never a changed record.
    #[test]
    fn a_flipped_bit_gives_a_prefix() {
        let bytes = log(12);
        let whole: Vec<_> = (0..12).map(record).collect();
        let header_length = log(0).len();
        for at in 0..bytes.len() {
            for bit in [0, 3, 7] {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                match read(&damaged) {
                    None => assert!(at < header_length, "byte {at}"),
                    Some((records, torn)) => assert!(torn && records.len() < 12 && whole.starts_with(&records), "byte {at}"),
                }
            }
        }
    }

    #[test]
    fn a_tail_of_zeros_is_torn_and_not_empty_records() {
        let mut bytes = log(3);
        bytes.extend_from_slice(&[0; 4096]);
        assert_eq!(read(&bytes), Some(((0..3).map(record).collect(), true)));
    }

    #[test]
    fn foreign_files_are_refused_with_what_was_found() {
        let refuse = |bytes: &[u8]| LogReader::open(bytes).err().unwrap().to_string();
        assert!(refuse(b"PAR1 and so on").contains("not a run log"));
        assert!(refuse(b"").contains("not a run log"));
        assert!(refuse(b"PLIMSOLL\x09\0\0\0").contains("format 9"));
        assert!(refuse(b"PLIMSOLL\x02\0").contains("damaged"));
    }

    proptest! {
        /// forall tails of random bytes: the records before them come back, and nothing else.
        #[test]
        fn a_tail_of_garbage_is_cut_off(n in 0_u64..6, tail in proptest::collection::vec(any::<u8>(), 1..200)) {
            let mut bytes = log(n);
            bytes.extend_from_slice(&tail);
            prop_assert_eq!(read(&bytes), Some(((0..n).map(record).collect(), true)));
        }
    }
}
