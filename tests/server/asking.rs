//! A client over a bare socket: one request on a connection of its own, and the answer as it came.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Status line and headers in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    /// The `data:` lines of an event stream.
    pub(crate) fn events(&self) -> Vec<&str> {
        self.body.lines().filter_map(|l| l.strip_prefix("data: ")).collect()
    }
}

/// A request as bytes; `headers` is made of whole lines.
pub(crate) fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// Sends it and reads the whole answer.
pub(crate) fn call(addr: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Reply {
    let mut socket = TcpStream::connect(addr).unwrap();
    socket.write_all(request(method, path, headers, body).as_bytes()).unwrap();
    let mut reader = BufReader::new(socket);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "the head ended early: {head}");
    }
    let status = head[9..12].parse().unwrap();
    let head = head.to_lowercase();
    let mut body = String::new();
    if head.contains("transfer-encoding: chunked") {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).unwrap();
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let mut part = vec![0; size + 2];
            reader.read_exact(&mut part).unwrap();
            if size == 0 {
                break;
            }
            body.push_str(std::str::from_utf8(&part[..size]).unwrap());
        }
    } else {
        reader.read_to_string(&mut body).unwrap();
    }
    Reply { status, head, body }
}
