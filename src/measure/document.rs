//! `RunDocument`: what `run.json` holds: manifest, experiment, summary.
