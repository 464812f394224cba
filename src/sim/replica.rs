//! One replica: continuous batching with prefill budget, batch cap and key-value reservation.
