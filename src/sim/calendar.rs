//! `Calendar`: who makes the last token at which iteration. The next one is found by its bit, without comparing anybody with anybody.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Words of 64 days.
const WORDS: usize = 32;

/// Iterations that the calendar looks ahead: a power of two, 64 to 4,096. Whoever ends later is kept in a heap.
const DAYS: usize = 64 * WORDS;

/// `DAYS` as a difference of iterations.
const YEAR: u64 = DAYS as u64;

/// End of a list.
const NOBODY: u32 = u32::MAX;

/// Slots by the iteration at which they end. All entries lie after the iteration at which the calendar stands.
#[derive(Debug)]
pub(super) struct Calendar {
    /// By iteration modulo `DAYS`: the slot that was entered last.
    heads: Vec<u32>,
    /// By slot: the one entered before on the same day.
    others: Vec<u32>,
    /// A bit for each day with an entry, and one for each such word.
    words: [u64; WORDS],
    summary: u64,
    /// Those too far ahead, `(iteration, slot)`, the earliest first.
    far: BinaryHeap<Reverse<(u64, u32)>>,
    len: usize,
}

impl Calendar {
    /// Nobody.
    pub(super) fn new() -> Self {
        Self { heads: vec![NOBODY; DAYS], others: Vec::new(), words: [0; WORDS], summary: 0, far: BinaryHeap::new(), len: 0 }
    }

    /// How many are in it.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Enters `slot`, which ends at iteration `last`; the calendar stands at `now`, before it.
    pub(super) fn enter(&mut self, now: u64, last: u64, slot: u32) {
        self.len += 1;
        if last - now >= YEAR {
            self.far.push(Reverse((last, slot)));
            return;
        }
        let day = day(last);
        if self.others.len() <= slot as usize {
            self.others.resize(slot as usize + 1, NOBODY);
        }
        self.others[slot as usize] = std::mem::replace(&mut self.heads[day], slot);
        self.words[day / 64] |= 1 << (day % 64);
        self.summary |= 1 << (day / 64);
    }

    /// The first iteration after `now`, at which the calendar stands, with an entry.
    pub(super) fn next(&self, now: u64) -> Option<u64> {
        let far = self.far.peek().map_or(u64::MAX, |Reverse((last, _))| *last);
        let next = self.near(now).min(far);
        (next < u64::MAX).then_some(next)
    }

    fn near(&self, now: u64) -> u64 {
        let from = now + 1;
        let (word, bit) = (day(from) / 64, day(from) % 64);
        let here = self.words[word] >> bit;
        if here != 0 {
            return from + u64::from(here.trailing_zeros());
        }
        if self.summary == 0 {
            return u64::MAX;
        }
        // The words after this one, round the year, this one last: its days before `from` are those of the next year.
        let later = self.summary >> (word + 1);
        let found = if later != 0 { word + 1 + later.trailing_zeros() as usize } else { self.summary.trailing_zeros() as usize };
        let day_found = found as u64 * 64 + u64::from(self.words[found].trailing_zeros());
        from + (day_found.wrapping_sub(from) & (YEAR - 1))
    }

    /// Takes one out that ends at iteration `now`.
    pub(super) fn take(&mut self, now: u64) -> Option<u32> {
        let day = day(now);
        let slot = self.heads[day];
        if slot == NOBODY {
            let is_due = self.far.peek().is_some_and(|Reverse((last, _))| *last == now);
            let Reverse((_, slot)) = if is_due { self.far.pop() } else { None }?;
            self.len -= 1;
            return Some(slot);
        }
        self.len -= 1;
        self.heads[day] = self.others[slot as usize];
        self.clear_if_empty(day);
        Some(slot)
    }

    /// Takes `slot`, entered for iteration `last`, out before its time.
    pub(super) fn remove(&mut self, last: u64, slot: u32) {
        let day = day(last);
        let mut before = NOBODY;
        let mut at = self.heads[day];
        while at != NOBODY && at != slot {
            before = at;
            at = self.others[at as usize];
        }
        let in_all = self.len;
        if at == NOBODY {
            self.far.retain(|Reverse(entry)| *entry != (last, slot));
        } else if before == NOBODY {
            self.heads[day] = self.others[slot as usize];
            self.clear_if_empty(day);
        } else {
            self.others[before as usize] = self.others[slot as usize];
        }
        self.len = in_all - 1;
    }

    fn clear_if_empty(&mut self, day: usize) {
        if self.heads[day] == NOBODY {
            self.words[day / 64] &= !(1 << (day % 64));
            if self.words[day / 64] == 0 {
                self.summary &= !(1 << (day / 64));
            }
        }
    }
}

fn day(iteration: u64) -> usize {
    (iteration & (YEAR - 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// forall entries, removals and steps: the calendar says what a plain list says
        #[test]
        fn calendar_equals_a_list(steps in prop::collection::vec((0_u32..4, 1_u64..5_000, any::<prop::sample::Index>()), 1..300)) {
            let mut calendar = Calendar::new();
            let mut list: Vec<(u64, u32)> = Vec::new();
            let (mut now, mut fresh) = (0, 0);
            for (kind, ahead, which) in steps {
                match kind {
                    0 | 1 => {
                        calendar.enter(now, now + ahead, fresh);
                        list.push((now + ahead, fresh));
                        fresh += 1;
                    }
                    2 if !list.is_empty() => {
                        let (last, slot) = list.swap_remove(which.index(list.len()));
                        calendar.remove(last, slot);
                    }
                    _ => {
                        let next = list.iter().map(|e| e.0).min();
                        prop_assert_eq!(calendar.next(now), next);
                        now = next.unwrap_or(now);
                        let mut due: Vec<u32> = list.iter().filter(|e| e.0 == now).map(|e| e.1).collect();
                        list.retain(|e| e.0 > now);
                        let mut taken: Vec<u32> = std::iter::from_fn(|| calendar.take(now)).collect();
                        due.sort_unstable();
                        taken.sort_unstable();
                        prop_assert_eq!(taken, due);
                    }
                }
                prop_assert_eq!(calendar.len(), list.len());
            }
        }
    }
}
