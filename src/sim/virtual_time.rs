//! The loop: next of arrival, wake-up, timeout; schedule in, records out.
