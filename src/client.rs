//! The only outbound sockets: the hot path over connections of our own (`http`), secrets (`auth`), and the control plane (`control`).

pub mod auth;
pub mod control;
pub mod databricks;
pub mod http;
pub mod origin;
pub mod tls;

pub use http::{Client, Error, Line};
