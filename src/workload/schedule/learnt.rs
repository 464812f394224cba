//! A demand model as a source of arrivals: bin after bin of one drawn period.

use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::workload::demand::{Day, DemandModel, Due, arrivals};
use crate::workload::length::Pair;
use crate::workload::replay::Recorded;
use std::sync::Arc;

/// Which part of a model's period is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// All of it.
    Whole {
        /// Its length.
        period: Nanos,
    },
    /// Its beginning with other requests at the same rates: the lead-in of that period.
    Lead {
        /// Length of the period.
        period: Nanos,
        /// Length of the lead-in.
        span: Nanos,
    },
}

impl Place {
    /// How long it lasts.
    pub(super) fn span(self) -> Nanos {
        match self {
            Self::Whole { period } => period,
            Self::Lead { span, .. } => span,
        }
    }
}

/// The place in a drawn period.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    day: Arc<Day>,
    bin: usize,
    dues: Vec<Due>,
    next: usize,
}

impl Walk {
    pub(super) fn new(model: &DemandModel, place: Place, seed: Seed) -> Self {
        let day = match place {
            Place::Whole { period } => model.day(seed, 0, period),
            Place::Lead { period, span } => model.lead(seed, 0, period, span),
        };
        Self { day: Arc::new(day), bin: 0, dues: Vec::new(), next: 0 }
    }

    /// The next request, with its own lengths where the model has any.
    pub(super) fn advance(&mut self, model: &DemandModel) -> Option<Recorded> {
        while self.next == self.dues.len() {
            if self.bin == self.day.rates.len() {
                return None;
            }
            self.dues.clear();
            self.next = 0;
            arrivals(&self.day, self.bin, model.lengths(self.day.strata[self.bin]).len(), &mut self.dues);
            self.bin += 1;
        }
        let due = self.dues[self.next];
        self.next += 1;
        let rows = model.lengths(self.day.strata[self.bin - 1]);
        let row = usize::try_from(due.row).ok().and_then(|i| rows.get(i));
        let lengths = row.map_or(Pair { input: 0, output: 0 }, Pair::from);
        Some(Recorded { at: due.at, lengths, shared: row.map_or(0, |r| r.blocks.min(r.input_tokens)) })
    }
}
