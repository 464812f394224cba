//! Runs an `Experiment` in real time: pacer, workers, phases, records; and watches itself.
