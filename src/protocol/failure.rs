//! Status, head and body of a refusal -> `Outcome` and `Retry-After`.
