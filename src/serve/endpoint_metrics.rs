//! The metrics of a serving endpoint as Databricks exports them: gauges over the last minute and two histograms, in the OpenMetrics format.

use super::counters::{BOUNDS_MS, Counters, Histogram};
use crate::sim::event::State;
use std::fmt::Write;

/// Requests at once that one chunk counts as in `provisioned_concurrent_requests_total`; what a small endpoint was seen to show.
const CONCURRENCY_OF_A_CHUNK: u32 = 4;

/// One served entity.
pub(super) struct Measured<'a> {
    /// Its name.
    pub(super) name: String,
    /// What it counted.
    pub(super) counters: &'a Counters,
    /// Its chunks and requests.
    pub(super) state: State,
    /// Sequences that one chunk decodes at once, at most.
    pub(super) max_batch: u32,
}

impl Measured<'_> {
    /// Share of the places in all batches that are taken, per cent: the simulated machine has no processor whose use could be told.
    fn load(&self) -> f64 {
        100.0 * f64::from(self.state.running) / (f64::from(self.state.ready) * f64::from(self.max_batch)).max(1.0)
    }
}

/// Name, help and value of a gauge.
type Gauge<'a> = (&'a str, &'a str, &'a dyn Fn(&Measured<'_>) -> f64);

/// Name, help and content of a histogram.
type Spread = (&'static str, &'static str, fn(&Counters) -> Histogram);

/// The whole text.
pub(super) fn text(endpoint: &str, entities: &[Measured<'_>]) -> String {
    let mut text = String::new();
    let labels = |e: &Measured<'_>| format!("endpoint_name=\"{endpoint}\",served_entity_name=\"{}\"", e.name);
    let counted = |e: &Measured<'_>, which: usize| e.counters.last_minute()[which] as f64;
    let gauges: [Gauge<'_>; 6] = [
        ("cpu_usage_percentage", "Average CPU utilization over the last minute.", &|e| e.load()),
        ("mem_usage_percentage", "Average memory utilization over the last minute.", &|e| e.load()),
        ("provisioned_concurrent_requests_total", "Provisioned concurrency during the last minute.", &|e| {
            f64::from(e.state.ready) * f64::from(CONCURRENCY_OF_A_CHUNK)
        }),
        ("request_count_total", "Number of requests during the last minute.", &|e| counted(e, 0)),
        ("request_4xx_count_total", "Number of 4xx errors during the last minute.", &|e| counted(e, 1)),
        ("request_5xx_count_total", "Number of 5xx errors during the last minute.", &|e| counted(e, 2)),
    ];
    for (name, help, value) in gauges {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for e in entities {
            let _ = writeln!(text, "{name}{{{}}} {}", labels(e), value(e));
        }
    }
    let histograms: [Spread; 2] =
        [("request_latency_ms", "Request latency.", Counters::latency), ("model_queue_time_ms", "Time in the model's queue.", Counters::queue)];
    for (name, help, read) in histograms {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
        for e in entities {
            let (labels, found) = (labels(e), read(e.counters));
            for (bound, count) in BOUNDS_MS.iter().zip(found.buckets) {
                let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
            }
            let Histogram { count, sum_ms, .. } = found;
            let _ =
                writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}\n{name}_sum{{{labels}}} {sum_ms}\n{name}_count{{{labels}}} {count}");
        }
    }
    text.push_str("# EOF\n");
    text
}
