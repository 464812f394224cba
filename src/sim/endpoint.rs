//! `Endpoint`: admission and routing over replicas, 429, cancellation, scaling.
