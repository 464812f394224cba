//! A server on a free port of this machine that reads requests one after another on each connection and answers as it is told, until the test ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// An answer of status 200 with its length.
pub(crate) fn ok(content_type: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Starts it, and gives its base URL. A GET, such as the probe before a load, is answered with 200; `answer` answers everything else, runs on the thread of
/// its connection, and may wait.
pub(crate) fn answering(answer: impl Fn() -> String + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, answer) = (stream.unwrap(), Arc::clone(&answer));
            std::thread::spawn(move || converse(stream, &*answer));
        }
    });
    url
}

fn converse(mut stream: TcpStream, answer: &dyn Fn() -> String) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut head, mut line) = (String::new(), String::new());
        while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
            head.push_str(&line.to_ascii_lowercase());
            line.clear();
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).map_or(0, |v| v.trim().parse().unwrap());
        if line.is_empty() || reader.read_exact(&mut vec![0; length]).is_err() {
            return;
        }
        let text = if head.starts_with("get ") { ok("application/json", "{\"data\":[]}") } else { answer() };
        if stream.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}
