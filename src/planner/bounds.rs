//! `Bounds`: what a single request must meet.

use crate::base::time::Nanos;
use crate::base::units::TimeSpan;
use crate::scenario::slo::{Metric, Slo};

/// What a request must meet to be good, beside ending well.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// TTFT at most.
    pub ttft: Option<Nanos>,
    /// TPOT at most, seconds.
    pub tpot_s: Option<f64>,
    /// E2E at most.
    pub e2e: Option<Nanos>,
}

impl Bounds {
    /// The loosest bound of each metric that the simulation knows. Gaps between single tokens (ITL) are not simulated in bulk.
    #[must_use]
    pub fn of(slo: &Slo) -> Self {
        Self {
            ttft: slo.request_bound(Metric::Ttft).map(TimeSpan::nanos),
            tpot_s: slo.request_bound(Metric::Tpot).map(TimeSpan::as_secs_f64),
            e2e: slo.request_bound(Metric::E2e).map(TimeSpan::nanos),
        }
    }
}
