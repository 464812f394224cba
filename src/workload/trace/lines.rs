//! The lines of a recording: plain or gzip, LF or CRLF, with or without a byte order mark, each of bounded length.

use super::Error;
use flate2::read::MultiGzDecoder;
use std::io::{BufRead, BufReader, Cursor, Read};

/// Longest line or quoted record that is read; a recording of requests has no use for more.
pub(super) const LONGEST: usize = 64 << 20;

/// A recording line by line. Blank lines are passed over, but counted.
pub(super) struct Lines<'a> {
    source: Box<dyn BufRead + 'a>,
    file: &'a str,
    number: u64,
    longest: usize,
}

/// First bytes of files that people try to read as a trace.
const FOREIGN: [(&[u8], &str, &str); 7] = [
    (b"PAR1", "a Parquet file", "export it as CSV or JSON lines"),
    (b"PK\x03\x04", "a ZIP archive or spreadsheet", "unpack it, or export it as CSV"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it, or compress it with gzip"),
    (b"BZh", "compressed with bzip2", "unpack it, or compress it with gzip"),
    (b"\xfd7zXZ", "compressed with xz", "unpack it, or compress it with gzip"),
    (b"\xff\xfe", "UTF-16 text", "save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "save it as UTF-8"),
];

impl<'a> Lines<'a> {
    /// Looks at the first bytes and unpacks gzip.
    pub(super) fn open(mut source: impl Read + 'a, file: &'a str) -> Result<Self, Error> {
        let at_start = |source| Error::Io { file: file.to_owned(), line: 1, source };
        let mut head = Vec::with_capacity(8);
        source.by_ref().take(6).read_to_end(&mut head).map_err(at_start)?;
        let gzip = head.starts_with(b"\x1f\x8b");
        let whole = Cursor::new(head).chain(source);
        let mut source: Box<dyn BufRead + 'a> = if gzip {
            Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(whole)))
        } else {
            Box::new(BufReader::with_capacity(1 << 16, whole))
        };
        let first = source.fill_buf().map_err(at_start)?;
        if let Some(&(_, found, hint)) = FOREIGN.iter().find(|(magic, ..)| first.starts_with(magic)) {
            return Err(Error::Foreign { file: file.to_owned(), found, hint });
        }
        if first.contains(&0) {
            return Err(Error::Foreign { file: file.to_owned(), found: "a binary file", hint: "export the requests as CSV or JSON lines" });
        }
        if first.starts_with(b"\xef\xbb\xbf") {
            source.consume(3);
        }
        Ok(Self { source, file, number: 0, longest: LONGEST })
    }

    /// The next line that is not blank, without its end, appended to the cleared `line`; its number from 1, or `None` at the end.
    pub(super) fn next(&mut self, line: &mut Vec<u8>) -> Result<Option<u64>, Error> {
        line.clear();
        loop {
            if !self.append(line)? {
                return Ok(None);
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(self.number));
            }
            line.clear();
        }
    }

    /// Appends one line, blank or not, without its end, to what `line` holds. False at the end of the file.
    pub(super) fn append(&mut self, line: &mut Vec<u8>) -> Result<bool, Error> {
        let before = line.len();
        let room = self.longest.saturating_sub(before);
        let read = self.source.by_ref().take(room as u64 + 1).read_until(b'\n', line).map_err(|source| Error::Io {
            file: self.file.to_owned(),
            line: self.number + 1,
            source,
        })?;
        if read == 0 {
            return Ok(false);
        }
        self.number += 1;
        if read > room {
            return Err(Error::LongLine { file: self.file.to_owned(), line: self.number, mib: LONGEST >> 20 });
        }
        if line.ends_with(b"\n") {
            line.pop();
        }
        if line.len() > before && line.ends_with(b"\r") {
            line.pop();
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn all(bytes: &[u8]) -> Vec<(u64, String)> {
        let mut lines = Lines::open(bytes, "t").unwrap();
        let (mut line, mut out) = (Vec::new(), Vec::new());
        while let Some(number) = lines.next(&mut line).unwrap() {
            out.push((number, String::from_utf8(line.clone()).unwrap()));
        }
        out
    }

    #[test]
    fn ends_marks_and_blanks_are_removed_and_numbers_stay_true() {
        let expected = vec![(1, "a".to_owned()), (4, "b".to_owned())];
        assert_eq!(all(b"a\r\n\r\n  \r\nb"), expected);
        assert_eq!(all(b"\xef\xbb\xbfa\n\n\nb\n"), expected);
        assert_eq!(all(b""), vec![]);
    }

    #[test]
    fn gzip_in_several_members_is_unpacked() {
        let mut packed = Vec::new();
        for part in ["a\n", "\n\nb"] {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(part.as_bytes()).unwrap();
            packed.extend(encoder.finish().unwrap());
        }
        assert_eq!(all(&packed), vec![(1, "a".to_owned()), (4, "b".to_owned())]);
        packed.truncate(packed.len() - 6);
        let mut lines = Lines::open(&packed[..], "t").unwrap();
        let mut line = Vec::new();
        let cut = (0..5).find_map(|_| lines.next(&mut line).err());
        assert!(matches!(cut, Some(Error::Io { .. })), "{cut:?}");
    }

    #[test]
    fn a_line_beyond_the_bound_is_refused_with_its_number() {
        let mut lines = Lines::open(&b"ab\nabcdef\n"[..], "t").unwrap();
        lines.longest = 4;
        let mut line = Vec::new();
        assert_eq!(lines.next(&mut line).unwrap(), Some(1));
        assert!(matches!(lines.next(&mut line), Err(Error::LongLine { line: 2, .. })));
    }

    #[test]
    fn files_of_another_kind_are_named() {
        for bytes in [&b"PAR1xxxx"[..], b"PK\x03\x04xxxx", b"\x28\xb5\x2f\xfdxxxx", b"\xff\xfea\0", b"GGUF\x03\0\0"] {
            assert!(matches!(Lines::open(bytes, "t"), Err(Error::Foreign { .. })), "{bytes:?}");
        }
    }
}
