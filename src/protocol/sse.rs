//! Incremental splitter of server-sent events on bytes, by the WHATWG rules.
