//! Non-negative least squares in four unknowns with Huber weights, and its condition number.

use super::windows::Window;

/// Unknowns: a, b, c, d.
const N: usize = 4;
/// Rounds of re-weighting.
const ROUNDS: usize = 12;
/// Huber's constant: 95 % efficiency on normal errors.
const HUBER: f64 = 1.345;

type Matrix = [[f64; N]; N];

/// The law (a, b, c, d in nanoseconds) that explains the stretches best, each number at least zero.
///
/// With `is_blurred` (several chunks) a long gap is as likely a prompt on the stream's own replica as a disturbance: nothing is weighted down.
pub(super) fn huber_nnls(windows: &[Window], is_blurred: bool) -> [f64; N] {
    let mut weights = vec![1.0; windows.len()];
    let mut law = [0.0; N];
    for _ in 0..if is_blurred { 1 } else { ROUNDS } {
        let (gram, moment) = normal(windows, &weights);
        law = nnls(&gram, &moment);
        let residuals: Vec<f64> = windows.iter().map(|w| (w.length - dot(&law, &w.sums)) / w.length).collect();
        let scale = (median_abs(&residuals) * 1.4826).max(1e-6);
        for (weight, r) in weights.iter_mut().zip(&residuals) {
            *weight = (HUBER * scale / r.abs().max(1e-12)).min(1.0);
        }
    }
    law
}

/// Ratio of the largest to the smallest singular value of the regression, columns scaled to length 1.
pub(super) fn condition(windows: &[Window]) -> f64 {
    let (gram, _) = normal(windows, &vec![1.0; windows.len()]);
    condition_of(gram.iter().map(|row| row.to_vec()).collect())
}

/// The same from the matrix of the normal equations, which is symmetric and has no negative diagonal.
pub(super) fn condition_of(mut gram: Vec<Vec<f64>>) -> f64 {
    let scale: Vec<f64> = (0..gram.len()).map(|i| gram[i][i].sqrt().max(1e-300)).collect();
    for (i, row) in gram.iter_mut().enumerate() {
        for (j, cell) in row.iter_mut().enumerate() {
            *cell /= scale[i] * scale[j];
        }
    }
    let values = eigenvalues(gram);
    let largest = values.iter().copied().fold(0.0, f64::max);
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    if smallest <= largest * 1e-14 { 1e7 } else { (largest / smallest).sqrt() }
}

fn dot(a: &[f64; N], b: &[f64; N]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Normal equations, every row divided by the square root of its own length: the error of a stretch grows with what happened in it.
fn normal(windows: &[Window], weights: &[f64]) -> (Matrix, [f64; N]) {
    let mut gram = [[0.0; N]; N];
    let mut moment = [0.0; N];
    for (w, weight) in windows.iter().zip(weights) {
        let row: [f64; N] = std::array::from_fn(|i| w.sums[i] / w.length.sqrt());
        let seen = w.length.sqrt();
        for i in 0..N {
            moment[i] += weight * row[i] * seen;
            for j in 0..N {
                gram[i][j] += weight * row[i] * row[j];
            }
        }
    }
    (gram, moment)
}

/// Every subset of unknowns is tried, the best feasible one taken: exact for four unknowns, and there is nothing to converge.
fn nnls(gram: &Matrix, moment: &[f64; N]) -> [f64; N] {
    let mut best = ([0.0; N], 0.0);
    for subset in 1..1_u32 << N {
        let chosen: Vec<usize> = (0..N).filter(|i| subset >> i & 1 == 1).collect();
        let Some(solution) = solve(gram, moment, &chosen) else { continue };
        if solution.iter().any(|x| *x < 0.0) {
            continue;
        }
        // The squared error less a constant: -2 m.x + x.G.x = -m.x at the optimum of the subset.
        let gain: f64 = dot(moment, &solution);
        if gain > best.1 {
            best = (solution, gain);
        }
    }
    best.0
}

/// The chosen unknowns; the others are zero. `None` if they cannot be told apart.
fn solve(gram: &Matrix, moment: &[f64; N], chosen: &[usize]) -> Option<[f64; N]> {
    let matrix = chosen.iter().map(|&i| chosen.iter().map(|&j| gram[i][j]).collect()).collect();
    let found = eliminate(matrix, chosen.iter().map(|&i| moment[i]).collect())?;
    let mut x = [0.0; N];
    for (&i, value) in chosen.iter().zip(found) {
        x[i] = value;
    }
    Some(x)
}

/// The solution of `matrix x = right`; zeros if there is none.
pub(super) fn general(matrix: Vec<Vec<f64>>, right: Vec<f64>) -> Vec<f64> {
    let n = right.len();
    eliminate(matrix, right).unwrap_or_else(|| vec![0.0; n])
}

/// Gaussian elimination with pivoting.
fn eliminate(mut rows: Vec<Vec<f64>>, right: Vec<f64>) -> Option<Vec<f64>> {
    let n = right.len();
    let scale: Vec<f64> = (0..n).map(|i| rows[i][i].abs().max(1e-300)).collect();
    for (row, value) in rows.iter_mut().zip(right) {
        row.push(value);
    }
    for k in 0..n {
        let pivot = (k..n).max_by(|&a, &b| rows[a][k].abs().total_cmp(&rows[b][k].abs()))?;
        rows.swap(k, pivot);
        if rows[k][k].abs() < 1e-12 * scale[k] {
            return None;
        }
        for i in k + 1..n {
            let factor = rows[i][k] / rows[k][k];
            let above = rows[k].clone();
            for (cell, pivot) in rows[i].iter_mut().zip(above).skip(k) {
                *cell -= factor * pivot;
            }
        }
    }
    let mut x = vec![0.0; n];
    for k in (0..n).rev() {
        let known: f64 = (k + 1..n).map(|j| rows[k][j] * x[j]).sum();
        x[k] = (rows[k][n] - known) / rows[k][k];
    }
    x.iter().all(|v| v.is_finite()).then_some(x)
}

/// Jacobi rotations on a symmetric matrix.
fn eigenvalues(mut m: Vec<Vec<f64>>) -> Vec<f64> {
    let n = m.len();
    for _ in 0..50 {
        for p in 0..n {
            for q in p + 1..n {
                if m[p][q].abs() < 1e-300 {
                    continue;
                }
                let theta = (m[q][q] - m[p][p]) / (2.0 * m[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for row in &mut m {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                let (above, below) = (m[p].clone(), m[q].clone());
                m[p] = above.iter().zip(&below).map(|(x, y)| c * x - s * y).collect();
                m[q] = above.iter().zip(&below).map(|(x, y)| s * x + c * y).collect();
            }
        }
    }
    (0..n).map(|i| m[i][i]).collect()
}

/// Median of the absolute values.
pub(super) fn median_abs(values: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = values.iter().map(|v| v.abs()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// forall laws: exact data give the law back, and a tenth of wild outliers moves it by less than 5 %.
        #[test]
        fn the_law_is_recovered(a in 1e6_f64..3e7, b in 1e4_f64..1e6, c in 1e3_f64..2e5, d in 10.0_f64..1e3) {
            let law = [a, b, c, d];
            let mut windows = Vec::new();
            for i in 0..400_u32 {
                let k = f64::from(i);
                let batch = 1.0 + f64::from(i * 7 % 31);
                let sums = [4.0, 4.0 * batch, f64::from(i * 13 % 5) * 300.0, 4.0 * batch * (200.0 + k * 37.0 % 900.0)];
                let wild = if i % 10 == 3 { 1.7 } else { 1.0 };
                windows.push(Window { sums, length: dot(&law, &sums) * wild });
            }
            let found = huber_nnls(&windows, false);
            for w in windows.iter().filter(|w| w.sums[2] > 0.0) {
                let (f, t) = (dot(&found, &w.sums), dot(&law, &w.sums));
                prop_assert!((f / t - 1.0).abs() < 0.05, "{found:?} {law:?}");
            }
        }
    }

    #[test]
    fn eigenvalues_of_a_known_matrix() {
        let matrix = [[2.0, 1.0, 0.0, 0.0], [1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 5.0, 0.0], [0.0, 0.0, 0.0, 7.0]];
        let mut values = eigenvalues(matrix.iter().map(|row| row.to_vec()).collect());
        values.sort_by(f64::total_cmp);
        for (found, known) in values.iter().zip([1.0, 3.0, 5.0, 7.0]) {
            assert!((found - known).abs() < 1e-9);
        }
    }

    #[test]
    fn alike_columns_are_ill_conditioned() {
        let window = |b: f64| Window { sums: [4.0, b, 0.0, b * 500.0], length: 1e8 };
        let windows: Vec<Window> = (1..50).map(|i| window(f64::from(i))).collect();
        assert!(condition(&windows) > 1e6);
    }
}
