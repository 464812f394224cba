//! Token lengths: marginals, joint rows, rank-correlated pairs.
