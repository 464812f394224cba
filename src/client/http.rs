//! One request over an HTTP/1.1 connection of our own, every phase visible, into a `RequestRecord`.
