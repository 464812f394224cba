//! What of an HTTP/2 connection has really left this client: its frames, as their bytes are handed to the socket.

/// Octets before the first frame (RFC 9113, section 3.4).
const PREFACE: u32 = 24;
/// Octets of a frame's header (section 4.1).
const HEADER: usize = 9;
/// The type of a DATA frame (section 6.1).
const DATA: u8 = 0x0;
/// The flag of the last DATA frame of a stream.
const END_STREAM: u8 = 0x1;

/// The type of a HEADERS frame (section 6.2).
const HEADERS: u8 = 0x1;

/// How much of a request has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Its head has begun.
    Begun,
    /// Its last octet.
    Whole,
}

/// Follows the frames in a stream of bytes, however it is cut.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Octets of the preface or of a payload that are still to come.
    skip: u32,
    header: [u8; HEADER],
    have: usize,
    /// The stream whose last frame is being written.
    ending: Option<u32>,
}

impl Outgoing {
    /// Before the first octet of a connection.
    pub(super) fn new() -> Self {
        Self { skip: PREFACE, header: [0; HEADER], have: 0, ending: None }
    }

    /// Takes the next octets; `tell` hears of each stream whose request they begin or complete.
    pub(super) fn wrote(&mut self, mut bytes: &[u8], mut tell: impl FnMut(u32, Left)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let step = bytes.len().min(self.skip as usize);
                // At most `skip`, which is a u32.
                self.skip -= u32::try_from(step).unwrap_or(self.skip);
                bytes = &bytes[step..];
            } else {
                let step = bytes.len().min(HEADER - self.have);
                self.header[self.have..self.have + step].copy_from_slice(&bytes[..step]);
                self.have += step;
                bytes = &bytes[step..];
                if self.have < HEADER {
                    return;
                }
                self.have = 0;
                let [a, b, c, kind, flags, stream @ ..] = self.header;
                self.skip = u32::from_be_bytes([0, a, b, c]);
                let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
                if kind == HEADERS {
                    tell(stream, Left::Begun);
                }
                self.ending = (kind == DATA && flags & END_STREAM != 0).then_some(stream);
            }
            if self.skip == 0
                && let Some(stream) = self.ending.take()
            {
                tell(stream, Left::Whole);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    proptest! {
        /// forall frames, cuts: the requests that begin and end are told in order, each when its octet is written.
        #[test]
        fn a_request_is_gone_with_its_last_octet(
            frames in prop::collection::vec((0_u8..4, 0_u8..2, 1_u32..1000, prop::collection::vec(any::<u8>(), 0..60)), 0..12),
            sizes in prop::collection::vec(1_usize..40, 1..20),
        ) {
            let mut text = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            let mut expected = Vec::new();
            for (kind, flags, stream, payload) in &frames {
                let begin = text.len();
                text.extend(frame(*kind, *flags, *stream, payload));
                if *kind == HEADERS {
                    expected.push((*stream, Left::Begun, begin + HEADER));
                }
                if *kind == DATA && *flags == END_STREAM {
                    expected.push((*stream, Left::Whole, text.len()));
                }
            }
            let mut outgoing = Outgoing::new();
            let (mut at, mut found) = (0, Vec::new());
            for size in sizes.iter().cycle() {
                if at == text.len() {
                    break;
                }
                let end = (at + size).min(text.len());
                outgoing.wrote(&text[at..end], |stream, left| found.push((stream, left, at + 1..=end)));
                at = end;
            }
            prop_assert_eq!(found.len(), expected.len());
            for ((stream, left, range), (expected, expected_left, at)) in found.iter().zip(expected) {
                prop_assert!(*stream == expected && *left == expected_left && range.contains(&at));
            }
        }
    }
}
