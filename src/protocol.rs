//! Bytes in, events out: request bodies, the wire of a control plane, server-sent events, answers, timelines, failure classes. No socket anywhere.

pub mod answer;
pub mod databricks;
pub mod failure;
pub mod openai;
pub mod sse;
pub mod timeline;
