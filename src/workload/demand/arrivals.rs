//! Requests of a drawn day: any bin alone, by its own key, at a few nanoseconds a request.

use super::Day;
use crate::base::time::Nanos;
use rand_distr::{Distribution, Gamma, Poisson};

/// A request that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// From the beginning of the period.
    pub at: Nanos,
    /// Which row of its stratum's lengths; 0 where there are none.
    pub row: u32,
}

/// How many requests fall into a bin: Poisson around the expected number, or around a gamma variable of that mean (negative binomial).
#[must_use]
pub fn count(day: &Day, bin: usize) -> usize {
    let mean = day.rates.get(bin).copied().unwrap_or(0.0) * day.bin_s;
    if !(mean > 0.0 && mean.is_finite()) {
        return 0;
    }
    let mut stream = day.seed.keyed("count", bin as u64);
    let mean = match Gamma::new(1.0 / day.dispersion, day.dispersion * mean) {
        Ok(gamma) if day.dispersion > 0.0 => gamma.sample(&mut stream),
        _ => mean,
    };
    // A gamma variable may be too small for a Poisson law; then nothing comes.
    let drawn: f64 = Poisson::new(mean).map_or(0.0, |p| p.sample(&mut stream));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate; a count is not negative")]
    let drawn = drawn as usize;
    drawn
}

/// The requests of bin `bin`, in order of time, appended to `out`; `rows` is the number of rows of the bin's stratum.
///
/// A draw depends on the day's seed, the bin and the request's index alone: bins may be drawn in any order, alone, and again.
pub fn arrivals(day: &Day, bin: usize, rows: usize, out: &mut Vec<Due>) {
    let key = day.seed.child("bin", bin as u64);
    let mut words: Vec<u64> = (0..count(day, bin) as u64).map(|i| key.word(i)).collect();
    words.sort_unstable();
    let bin_ns = day.bin_s * 1e9;
    let begin_ns = bin as f64 * bin_ns;
    out.extend(words.into_iter().map(|word| {
        // The upper half is the place in the bin, the lower half the row: 2^-32 of a bin is 3 ns.
        let share = (word >> 32) as f64 / 4_294_967_296.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate; instants are not negative")]
        let at = Nanos((begin_ns + share * bin_ns) as u64);
        Due { at, row: pick(word, rows) }
    }));
}

/// The rows of the requests of [`arrivals`], in no order: for sums over a bin.
pub fn rows_of(day: &Day, bin: usize, rows: usize) -> impl ExactSizeIterator<Item = u32> + use<> {
    let key = day.seed.child("bin", bin as u64);
    (0..count(day, bin)).map(move |i| pick(key.word(i as u64), rows))
}

/// The lower half of `word` as one of `rows` (Lemire's multiplication).
fn pick(word: u64, rows: usize) -> u32 {
    u32::try_from(((word & 0xFFFF_FFFF) * rows as u64) >> 32).unwrap_or(0)
}
