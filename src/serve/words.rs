//! What the simulated model says: one common word a token, and vectors, both a function of the request alone.

/// Frequent English words; with the space before them each is one token of the usual vocabularies.
const WORDS: [&str; 32] = [
    "the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "was", "with", "be", "by", "on", "not", "he", "his", "but", "at", "are", "this",
    "have", "from", "or", "had", "an", "they", "which", "one", "you", "were",
];

/// Token number `index` (from 0) of answer `id`; all but the first begin with a space. Needs no escaping in JSON.
pub(super) fn token(id: u64, index: u32) -> (&'static str, &'static str) {
    // A step of 7 is coprime to 32: neighbours differ and all words come up.
    let word = WORDS[usize::try_from((id.wrapping_mul(11).wrapping_add(u64::from(index) * 7)) % 32).unwrap_or(0)];
    (if index == 0 { "" } else { " " }, word)
}

/// Tokens `from` to `to` (excluded) of answer `id`, joined.
pub(super) fn text(id: u64, from: u32, to: u32) -> String {
    let mut text = String::new();
    for index in from..to {
        let (space, word) = token(id, index);
        if index > from {
            text.push_str(space);
        }
        text.push_str(word);
    }
    text
}

/// Log probability of token `index`: between -0.05 and -1.6, repeating.
pub(super) fn logprob(index: u32) -> f64 {
    -0.05 - f64::from(index % 32) * 0.05
}

/// The vector of `text`: of length 1 if `normalised`, else of length 2 or more.
pub(super) fn vector(text: &str, dimension: u32, normalised: bool) -> Vec<f32> {
    let mut state = text.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3));
    let values: Vec<f64> = (0..dimension.max(1)).map(|_| unit(&mut state)).collect();
    let length = values.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    let wanted = if normalised { 1.0 } else { 2.0 + unit(&mut state).abs() * 20.0 };
    let scale = wanted / length;
    #[expect(clippy::cast_possible_truncation, reason = "between -22 and 22; f32 is what embeddings are made of")]
    values.into_iter().map(|v| (v * scale) as f32).collect()
}

/// From -1 to 1, never 0 for the whole vector: SplitMix64.
fn unit(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) as f64 / u64::MAX as f64 * 2.0 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_as_many_words_as_tokens() {
        for n in [1, 2, 33, 500] {
            assert_eq!(text(9, 0, n).split(' ').count(), n as usize);
        }
        assert!(!text(9, 3, 6).starts_with(' '));
    }

    #[test]
    fn vectors_depend_on_the_text_alone_and_have_the_length_asked_for() {
        let length = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let v = vector("a", 256, true);
        assert_eq!(v, vector("a", 256, true));
        assert_ne!(v, vector("b", 256, true));
        assert!((length(&v) - 1.0).abs() < 1e-5 && v.len() == 256);
        assert!(length(&vector("a", 256, false)) > 1.9);
    }
}
