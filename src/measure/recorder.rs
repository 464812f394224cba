//! `Recorder`: folds records into histograms, sums and series; merges exactly.
