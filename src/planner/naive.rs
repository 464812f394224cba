//! The answers of rules of thumb, for comparison: mean x 1.2 and peak.
