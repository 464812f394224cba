//! `latency.hlog`: HdrHistogram interval log with tags, readable by the usual plotters.
