//! Fold of an answer's pieces, with their instants, into a `RequestRecord`.
