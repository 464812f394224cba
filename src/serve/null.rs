//! The null endpoint: answers every request with the same bytes, at once or paced. What a client reaches against it is the client's own ceiling.

use super::{Error, Handle};
use crate::base::clock::Clock;
use crate::base::time::Nanos;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Requests larger than this close their connection.
const MAX_REQUEST: usize = 1 << 20;

/// What the null endpoint answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NullAnswer {
    /// One small JSON document, at once.
    Reply,
    /// A stream of `tokens` events, one write each, and the usage behind them.
    Stream {
        /// Tokens of every answer.
        tokens: u32,
        /// From the request read to the first token.
        first: Nanos,
        /// Between two tokens; zero: as fast as the socket takes them. Above zero the timer's grain of 1 ms is in every gap.
        gap: Nanos,
    },
}

/// The bytes of an answer, made once.
struct Frames {
    answer: NullAnswer,
    head: Vec<u8>,
    token: Vec<u8>,
    end: Vec<u8>,
}

impl Frames {
    fn new(answer: NullAnswer) -> Self {
        match answer {
            NullAnswer::Reply => {
                let body = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                Self { answer, head: head.into_bytes(), token: Vec::new(), end: Vec::new() }
            }
            NullAnswer::Stream { tokens, .. } => {
                let event = |json: &str| chunk(&format!("data: {json}\n\n"));
                let token = event(r#"{"choices":[{"index":0,"delta":{"content":" to"},"finish_reason":null}]}"#);
                let end = event(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#)
                    + &event(&format!(r#"{{"choices":[],"usage":{{"prompt_tokens":1,"completion_tokens":{tokens}}}}}"#))
                    + &event("[DONE]")
                    + "0\r\n\r\n";
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                Self { answer, head: head.into(), token: token.into_bytes(), end: end.into_bytes() }
            }
        }
    }
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// Serves `answer` on a free port of 127.0.0.1 in a thread of its own, until the handle is dropped.
pub fn spawn_in_thread(answer: NullAnswer) -> Result<Handle, Error> {
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let listen = |source| Error::Listen { addr, source };
    let listener = std::net::TcpListener::bind(addr).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    let addr = listener.local_addr().map_err(listen)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Start)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let frames = Arc::new(Frames::new(answer));
    let serve = move || {
        runtime.block_on(async move {
            // What goes wrong shows at the client as a refused connection.
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            tokio::select! {
                () = accept(&listener, &frames) => {}
                _ = stopped => {}
            }
        });
    };
    let thread = std::thread::Builder::new().name("null-endpoint".to_owned()).spawn(serve).map_err(Error::Start)?;
    Ok(Handle { addr, stop: Some(stop), thread: Some(thread) })
}

async fn accept(listener: &TcpListener, frames: &Arc<Frames>) {
    // An error of one connection, or no file left for it, must not end the endpoint; the pause keeps it from spinning.
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let frames = Arc::clone(frames);
                tokio::spawn(async move { drop(converse(stream, &frames).await) });
            }
            Err(_) => tokio::time::sleep(Nanos::from_millis(10).to_std()).await,
        }
    }
}

/// Answers the requests of one connection until it ends.
async fn converse(mut stream: TcpStream, frames: &Frames) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let clock = Clock::start();
    let mut buffer = Vec::with_capacity(4096);
    loop {
        let length = loop {
            if let Some(length) = request_length(&buffer).filter(|length| buffer.len() >= *length) {
                break length;
            }
            if buffer.len() > MAX_REQUEST || stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        buffer.drain(..length);
        answer(&mut stream, frames, &clock).await?;
    }
}

async fn answer(stream: &mut TcpStream, frames: &Frames, clock: &Clock) -> io::Result<()> {
    let NullAnswer::Stream { tokens, first, gap } = frames.answer else { return stream.write_all(&frames.head).await };
    let begun = clock.now();
    stream.write_all(&frames.head).await?;
    for index in 0..tokens {
        let due = begun + first + Nanos(gap.0.saturating_mul(u64::from(index)));
        if due > clock.now() {
            tokio::time::sleep_until(clock.instant(due).into()).await;
        }
        stream.write_all(&frames.token).await?;
    }
    stream.write_all(&frames.end).await
}

/// Bytes of the request at the head of `buffer`, body included; `None` until its head is whole.
fn request_length(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let body = text.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse::<usize>().ok()).unwrap_or(0);
    Some(head.saturating_add(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_request_ends_with_its_body() {
        assert_eq!(request_length(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST"), Some(41));
        assert_eq!(request_length(b"GET / HTTP/1.1\r\n\r\n"), Some(18));
        assert_eq!(request_length(b"GET / HTTP/1.1\r\n"), None);
    }

    /// Two requests on one connection get two whole answers of so many events.
    #[test]
    fn it_answers_every_request_of_a_connection() {
        let answer = NullAnswer::Stream { tokens: 5, first: Nanos::ZERO, gap: Nanos::from_millis(1) };
        let handle = spawn_in_thread(answer).unwrap();
        let mut stream = std::net::TcpStream::connect(handle.addr()).unwrap();
        for _ in 0..2 {
            stream.write_all(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}").unwrap();
            let (mut text, mut byte) = (Vec::new(), [0]);
            while !text.ends_with(b"\r\n0\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                text.push(byte[0]);
            }
            let text = String::from_utf8(text).unwrap();
            assert_eq!(text.matches(r#"{"content":" to"}"#).count(), 5);
            assert!(text.contains(r#""completion_tokens":5"#) && text.contains("[DONE]"));
        }
    }
}
