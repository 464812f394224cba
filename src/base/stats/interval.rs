//! How sure one may be: normal, beta and t quantiles, Clopper-Pearson and Wilson intervals.
