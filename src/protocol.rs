//! Bytes in, events out: request bodies, server-sent events, answers, timelines, failure classes. No socket anywhere.

pub mod answer;
pub mod failure;
pub mod openai;
pub mod sse;
pub mod timeline;
