//! `GET /{name}/metrics`: the text format of Prometheus (exposition format 0.0.4 and OpenMetrics), read as samples.

/// Concurrent requests that are provisioned, over all entities: how an observer sees an endpoint scale.
pub const PROVISIONED_CONCURRENCY: &str = "provisioned_concurrent_requests_total";
/// Time in the model's queue, a histogram in milliseconds.
pub const QUEUE_TIME_MS: &str = "model_queue_time_ms";
/// Time of a request, a histogram in milliseconds.
pub const LATENCY_MS: &str = "request_latency_ms";
/// Use of the processor in per cent.
pub const CPU_PERCENT: &str = "cpu_usage_percentage";
/// Use of memory in per cent.
pub const MEMORY_PERCENT: &str = "mem_usage_percentage";

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Name of the series, with `_bucket`, `_sum` or `_count` for a histogram.
    pub name: String,
    /// Its labels, in the order they came.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: f64,
}

impl Sample {
    /// A label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }
}

/// Every sample of `text`. Lines that cannot be read are left out: one bad series must not hide the others.
#[must_use]
pub fn read(text: &str) -> Vec<Sample> {
    text.lines().filter_map(|line| sample(line.trim())).collect()
}

fn sample(line: &str) -> Option<Sample> {
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':')))?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    (!name.is_empty()).then(|| Sample { name: name.to_owned(), labels, value })
}

/// Labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((found, after));
        }
        let (key, after) = rest.split_once('=')?;
        let (value, after) = quoted(after.trim_start().strip_prefix('"')?)?;
        found.push((key.trim().to_owned(), value));
        rest = after;
    }
}

/// A value up to its closing quote, with `\\`, `\"` and `\n` undone, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

/// The sum of a gauge over its labels, for example over entities; none if it is not there.
#[must_use]
pub fn total(samples: &[Sample], name: &str) -> Option<f64> {
    let values: Vec<f64> = samples.iter().filter(|s| s.name == name && s.value.is_finite()).map(|s| s.value).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

/// The highest value of a gauge over its labels.
#[must_use]
pub fn highest(samples: &[Sample], name: &str) -> Option<f64> {
    samples.iter().filter(|s| s.name == name && s.value.is_finite()).map(|s| s.value).reduce(f64::max)
}

/// Sum and count of a histogram over its labels: the mean of what came between two readings is the quotient of the differences.
#[must_use]
pub fn sum_and_count(samples: &[Sample], histogram: &str) -> Option<(f64, f64)> {
    Some((total(samples, &format!("{histogram}_sum"))?, total(samples, &format!("{histogram}_count"))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = r#"# HELP cpu_usage_percentage Average CPU utilization
# TYPE cpu_usage_percentage gauge
cpu_usage_percentage{endpoint_name="e",served_entity_name="a-1"} 41.5
cpu_usage_percentage{endpoint_name="e",served_entity_name="b-1"} 12 1700000000000
# TYPE provisioned_concurrent_requests_total gauge
provisioned_concurrent_requests_total{endpoint_name="e",served_entity_name="a-1",} 4.0
provisioned_concurrent_requests_total{endpoint_name="e", served_entity_name="b\"\\-1"} 8
model_queue_time_ms_bucket{le="+Inf"} 12
model_queue_time_ms_sum 360.5
model_queue_time_ms_count 12
broken{a="b 3
request_count_total NaN
# EOF
"#;

    #[test]
    fn the_documented_series_are_read() {
        let samples = read(TEXT);
        assert_eq!(total(&samples, PROVISIONED_CONCURRENCY), Some(12.0));
        assert_eq!(highest(&samples, CPU_PERCENT), Some(41.5));
        assert_eq!(sum_and_count(&samples, QUEUE_TIME_MS), Some((360.5, 12.0)));
        assert_eq!(samples[3].label("served_entity_name"), Some(r#"b"\-1"#));
        assert_eq!((total(&samples, "request_count_total"), total(&samples, "broken")), (None, None));
    }

    proptest! {
        /// forall texts: reading ends and does not panic; a sample that is written is read as it was.
        #[test]
        fn any_text_is_read(text in ".{0,200}", value in -1e9f64..1e9, label in "[ -~]{0,20}") {
            let _ = read(&text);
            let escaped = label.replace('\\', "\\\\").replace('"', "\\\"");
            let back = read(&format!("a_b{{k=\"{escaped}\"}} {value}"));
            prop_assert_eq!(back, vec![Sample { name: "a_b".to_owned(), labels: vec![("k".to_owned(), label)], value }]);
        }
    }
}
