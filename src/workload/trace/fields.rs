//! CSV records: fields of a line, quoted fields that span lines, and the delimiter of a header.

use super::Error;
use super::lines::Lines;

/// One CSV record after another, over [`Lines`].
pub(super) struct Records<'a> {
    lines: Lines<'a>,
    file: &'a str,
    line: Vec<u8>,
    delimiter: u8,
}

/// A record: its first line and its fields.
pub(super) struct Record {
    /// Line from 1.
    pub(super) line: u64,
    /// Trimmed fields; bytes that are not UTF-8 are replaced.
    pub(super) fields: Vec<String>,
}

impl<'a> Records<'a> {
    /// Reads the header, which stands in `first`, and goes on with the lines behind it.
    pub(super) fn new(lines: Lines<'a>, file: &'a str, first: Vec<u8>, number: u64) -> Result<(Self, Record), Error> {
        let delimiter = delimiter(&first);
        let mut records = Self { lines, file, line: first, delimiter };
        let mut fields = Vec::new();
        records.complete(number)?;
        records.split(&mut fields);
        Ok((records, Record { line: number, fields }))
    }

    /// The next record into `record`; false at the end of the file.
    pub(super) fn next(&mut self, record: &mut Record) -> Result<bool, Error> {
        let Some(number) = self.lines.next(&mut self.line)? else { return Ok(false) };
        self.complete(number)?;
        record.line = number;
        self.split(&mut record.fields);
        Ok(true)
    }

    /// Appends lines until no quoted field is open.
    fn complete(&mut self, number: u64) -> Result<(), Error> {
        while is_open(&self.line, self.delimiter) {
            self.line.push(b'\n');
            if !self.lines.append(&mut self.line)? {
                return Err(Error::OpenQuote { file: self.file.to_owned(), line: number });
            }
        }
        Ok(())
    }

    fn split(&self, fields: &mut Vec<String>) {
        fields.clear();
        if self.line.contains(&b'"') {
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .delimiter(self.delimiter)
                .trim(csv::Trim::All)
                .from_reader(self.line.as_slice());
            let mut record = csv::ByteRecord::new();
            // Reading from memory cannot fail, and `flexible` accepts any number of fields.
            if reader.read_byte_record(&mut record).unwrap_or(false) {
                fields.extend(record.iter().map(|f| String::from_utf8_lossy(f).into_owned()));
            }
        } else {
            fields.extend(self.line.split(|&b| b == self.delimiter).map(|f| String::from_utf8_lossy(f.trim_ascii()).into_owned()));
        }
    }
}

/// The separator that occurs most often in the header; a comma when none does.
fn delimiter(header: &[u8]) -> u8 {
    let count = |d: u8| header.split(|&b| b == d).count();
    // `max_by_key` keeps the last of equals, so the comma stands last.
    [b'|', b'\t', b';', b','].into_iter().max_by_key(|&d| count(d)).unwrap_or(b',')
}

/// Whether a quoted field is still open at the end of `record`. A quote opens a field only at its beginning; a doubled one inside is a character.
fn is_open(record: &[u8], delimiter: u8) -> bool {
    #[derive(PartialEq)]
    enum At {
        Start,
        Plain,
        Quoted,
        /// Behind a quote inside a quoted field: the end of it, or the first half of a doubled one.
        Closed,
    }
    let mut at = At::Start;
    for &b in record {
        at = match (at, b) {
            (At::Quoted, b'"') => At::Closed,
            (At::Start | At::Closed, b'"') | (At::Quoted, _) => At::Quoted,
            (_, b) if b == delimiter => At::Start,
            _ => At::Plain,
        };
    }
    at == At::Quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<(u64, Vec<String>)>, Error> {
        let mut lines = Lines::open(text.as_bytes(), "t")?;
        let mut first = Vec::new();
        let number = lines.next(&mut first)?.unwrap();
        let (mut records, mut record) = Records::new(lines, "t", first, number)?;
        let mut out = vec![(record.line, record.fields.clone())];
        while records.next(&mut record)? {
            out.push((record.line, record.fields.clone()));
        }
        Ok(out)
    }

    #[test]
    fn quotes_delimiters_and_lines_inside_fields() {
        let rows = all("a,\"b,x\",c\n1,\"two\nlines \"\"q\"\"\",3\n\n4,5\" disk,6").unwrap();
        assert_eq!(rows[0], (1, vec!["a".into(), "b,x".into(), "c".into()]));
        assert_eq!(rows[1], (2, vec!["1".into(), "two\nlines \"q\"".into(), "3".into()]));
        assert_eq!(rows[2], (5, vec!["4".into(), "5\" disk".into(), "6".into()]));
    }

    #[test]
    fn semicolons_and_tabs_are_recognised() {
        assert_eq!(all("a;b\n1;2").unwrap()[1].1, ["1", "2"]);
        assert_eq!(all("a\tb\n1\t2").unwrap()[1].1, ["1", "2"]);
    }

    #[test]
    fn a_quote_that_never_closes_is_told_with_its_line() {
        assert!(matches!(all("a,b\n1,\"2\n3,4\n"), Err(Error::OpenQuote { line: 2, .. })));
    }
}
