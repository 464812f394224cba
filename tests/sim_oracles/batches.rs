//! Means of consecutive batches, with control variates: what is known of gaps and lengths is taken out of the noise.

/// Batches whose means give the standard error.
const BATCHES: usize = 50;

/// With fewer requests than this the batches are too short for the controls to explain them: then there are 20, and no controls.
const LONG: u32 = 100_000;

/// Controls: the gap between arrivals, the length, and its square.
const CONTROLS: usize = 3;

/// Sums of one batch.
#[derive(Clone, Copy, Debug)]
struct Batch<const V: usize> {
    count: f64,
    values: [f64; V],
    lengths: [f64; 2],
    /// First and last due instant, nanoseconds.
    due: (u64, u64),
}

/// A mean and its standard error.
pub(crate) type Estimate = (f64, f64);

/// Batches being filled by requests with numbers from 0 to `n`.
#[derive(Debug)]
pub(crate) struct Batches<const V: usize> {
    n: u64,
    batches: Vec<Batch<V>>,
}

impl<const V: usize> Batches<V> {
    /// For `n` requests.
    pub(crate) fn new(n: u32) -> Self {
        Self {
            n: u64::from(n),
            batches: vec![Batch { count: 0.0, values: [0.0; V], lengths: [0.0; 2], due: (u64::MAX, 0) }; if n < LONG { 20 } else { BATCHES }],
        }
    }

    /// The request number `place`, due at `at`, of this length.
    pub(crate) fn add(&mut self, place: u32, at: u64, length: u32, values: [f64; V]) {
        let index = u64::from(place) * self.batches.len() as u64 / self.n;
        let batch = &mut self.batches[usize::try_from(index).unwrap()];
        batch.count += 1.0;
        batch.due = (batch.due.0.min(at), batch.due.1.max(at));
        batch.lengths[0] += f64::from(length);
        batch.lengths[1] += f64::from(length).powi(2);
        batch.values.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }

    /// Each value's estimate, given the expected gap in seconds and the two moments of lengths: least squares of the batch means on the controls
    /// less their expectations (Lavenberg and Welch 1981); the intercept is the estimate.
    pub(crate) fn estimates(&self, gap_s: f64, (mean, square): (f64, f64)) -> [Estimate; V] {
        let controls: Vec<[f64; CONTROLS]> = self
            .batches
            .iter()
            .map(|b| {
                if self.n < u64::from(LONG) {
                    return [0.0; CONTROLS];
                }
                let gap = (b.due.1 - b.due.0) as f64 / 1e9 / (b.count - 1.0);
                [gap / gap_s - 1.0, b.lengths[0] / b.count / mean - 1.0, b.lengths[1] / b.count / square - 1.0]
            })
            .collect();
        std::array::from_fn(|v| {
            let means: Vec<f64> = self.batches.iter().map(|b| b.values[v] / b.count).collect();
            intercept(&controls, &means)
        })
    }
}

/// Intercept of y on x and its standard error.
fn intercept(x: &[[f64; CONTROLS]], y: &[f64]) -> Estimate {
    const K: usize = CONTROLS + 1;
    let row = |x: &[f64; CONTROLS]| [1.0, x[0], x[1], x[2]];
    let mut normal = [[0.0; 2 * K]; K];
    let mut right = [0.0; K];
    for (x, y) in x.iter().map(row).zip(y) {
        for i in 0..K {
            right[i] += x[i] * y;
            (0..K).for_each(|j| normal[i][j] += x[i] * x[j]);
        }
    }
    (0..K).for_each(|i| normal[i][K + i] = 1.0);
    // A control that does not vary beyond what the others say (fixed lengths have no moments to vary) is left out.
    let scale: [f64; K] = std::array::from_fn(|i| normal[i][i]);
    let mut used = [true; K];
    for i in 0..K {
        if normal[i][i] <= 1e-9 * scale[i] || scale[i] < 1e-18 {
            used[i] = false;
            continue;
        }
        let pivot = normal[i][i];
        normal[i].iter_mut().for_each(|value| *value /= pivot);
        let of_pivot = normal[i];
        for (_, other) in normal.iter_mut().enumerate().filter(|(j, _)| *j != i) {
            let factor = other[i];
            other.iter_mut().zip(of_pivot).for_each(|(value, pivot)| *value -= factor * pivot);
        }
    }
    let inverse = |i: usize, j: usize| if used[i] && used[j] { normal[i][K + j] } else { 0.0 };
    let beta: [f64; K] = std::array::from_fn(|i| (0..K).map(|j| inverse(i, j) * right[j]).sum());
    let residual: f64 = x.iter().map(row).zip(y).map(|(x, y)| (y - (0..K).map(|i| beta[i] * x[i]).sum::<f64>()).powi(2)).sum();
    let freedom = (y.len() - used.iter().filter(|used| **used).count()) as f64;
    (beta[0], (residual / freedom * inverse(0, 0)).sqrt())
}
