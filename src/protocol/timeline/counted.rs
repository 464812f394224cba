//! Counts of short texts, remembered: a vocabulary says the same few thousand texts again and again.

use super::Counter;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Longest text that is remembered, in bytes: nearly every token of the known vocabularies is shorter.
const LONGEST: usize = 16;
/// Texts remembered a thread: 128 KiB. A power of two, as the place of a text is its hash's highest bits.
const PLACES: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 12;

/// A text and its count; a text has one place, and the last one that came there keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    text: [u8; LONGEST],
    /// 0: nothing here.
    length: u8,
    count: u32,
}

/// What one thread remembers, of one counter at a time.
#[derive(Debug)]
struct Remembered {
    counter: u64,
    places: Vec<Place>,
}

thread_local! {
    static REMEMBERED: RefCell<Remembered> = const { RefCell::new(Remembered { counter: 0, places: Vec::new() }) };
}

/// A counter that gives what `count` gives and asks it for texts of at most 16 bytes only when this thread has not asked lately.
///
/// `count` must be a function of the text alone. Every thread remembers for itself: nothing is shared, nothing is locked.
#[must_use]
pub fn remembered(count: Counter) -> Counter {
    static COUNTERS: AtomicU64 = AtomicU64::new(1);
    let counter = COUNTERS.fetch_add(1, Ordering::Relaxed);
    Arc::new(move |text| {
        let Some((key, place)) = place_of(text) else { return count(text) };
        if let Some(known) = REMEMBERED.with_borrow(|r| r.look(counter, place, &key)) {
            return known;
        }
        // Nothing is borrowed here: `count` may be such a counter itself.
        let count = count(text);
        let known = Place { count, ..key };
        REMEMBERED.with_borrow_mut(|r| r.keep(counter, place, known));
        count
    })
}

/// The text as it is kept, without its count, and its place; `None` for a text that is empty or too long.
#[inline]
fn place_of(text: &str) -> Option<(Place, usize)> {
    let length = text.len();
    if length == 0 || length > LONGEST {
        return None;
    }
    let mut key = Place { length: u8::try_from(length).ok()?, ..Place::default() };
    key.text[..length].copy_from_slice(text.as_bytes());
    let whole = u128::from_le_bytes(key.text);
    // Multiplicative hashing (D. E. Knuth, The Art of Computer Programming, volume 3, section 6.4) of both halves. NUL bytes at the end of a text
    // hash like their absence; the length tells them apart.
    #[expect(clippy::cast_possible_truncation, reason = "the halves are meant; the highest 12 bits fit")]
    let place = {
        let mixed = (whole as u64 ^ ((whole >> 64) as u64).rotate_left(29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> (u64::BITS - PLACE_BITS)) as usize
    };
    Some((key, place))
}

impl Remembered {
    #[inline]
    fn look(&self, counter: u64, place: usize, key: &Place) -> Option<u32> {
        let found = self.places.get(place)?;
        (self.counter == counter && found.length == key.length && found.text == key.text).then_some(found.count)
    }

    fn keep(&mut self, counter: u64, place: usize, known: Place) {
        if self.counter != counter || self.places.is_empty() {
            self.counter = counter;
            self.places.clear();
            self.places.resize(PLACES, Place::default());
        }
        self.places[place] = known;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::AtomicU32;

    /// A counter that no two texts are likely to share a value of.
    fn odd(salt: u32) -> Counter {
        Arc::new(move |text: &str| text.bytes().fold(salt, |all, byte| all.wrapping_mul(31).wrapping_add(u32::from(byte))))
    }

    proptest! {
        /// forall texts, counters in turn: what is remembered is what the counter says.
        #[test]
        fn the_counts_are_those_of_the_counter(texts in prop::collection::vec(("[ab\u{0}é]{0,3}|.{0,20}", 0..2_usize), 0..200)) {
            let plain = [odd(1), odd(2)];
            let kept = plain.clone().map(remembered);
            for (text, which) in texts {
                prop_assert_eq!(kept[which](&text), plain[which](&text), "{}", text);
            }
        }
    }

    #[test]
    fn a_text_is_counted_once_and_more_texts_than_places_are_counted_right() {
        let asked = Arc::new(AtomicU32::new(0));
        let counter = {
            let asked = Arc::clone(&asked);
            remembered(Arc::new(move |text: &str| {
                asked.fetch_add(1, Ordering::Relaxed);
                text.parse().unwrap_or(0)
            }))
        };
        for _ in 0..100 {
            assert_eq!((counter("7"), counter(" x")), (7, 0));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        for n in (0..20_000).chain(0..20_000) {
            assert_eq!(counter(&n.to_string()), n);
        }
        let twice = remembered(remembered(odd(3)));
        assert_eq!(twice("ab"), odd(3)("ab"));
    }
}
