//! The request table.
