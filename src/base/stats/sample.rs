//! What a sample says: moments, quantiles, Kolmogorov-Smirnov distance, rank correlation, index of dispersion.
