//! From a recording to a workload: moments, quantiles, correlation, dispersion, and how far each family is off.
