//! How the null server answers, written in the path of the request; and the bytes of a stream, shaped as vLLM shapes them.

use bytes::Bytes;
use std::fmt::Write as _;

/// What a request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Tokens of a stream; 0 is one small JSON reply that is not streamed.
    pub tokens: u32,
    /// Events a write.
    pub per_write: u32,
    /// Time to the first token, microseconds.
    pub ttft_us: u64,
    /// Time between tokens, microseconds; 0 is as fast as can be.
    pub itl_us: u64,
}

impl Answer {
    /// One token, not streamed.
    pub const JSON: Self = Self { tokens: 0, per_write: 1, ttft_us: 0, itl_us: 0 };

    /// A stream without delays.
    pub const fn flood(tokens: u32, per_write: u32) -> Self {
        Self { tokens, per_write, ttft_us: 0, itl_us: 0 }
    }

    /// A stream that keeps time.
    pub const fn paced(tokens: u32, ttft_us: u64, itl_us: u64) -> Self {
        Self { tokens, per_write: 1, ttft_us, itl_us }
    }

    /// The path prefix, `/n512-w1-t0-i0`; the API's own path follows.
    pub fn prefix(&self) -> String {
        format!("/n{}-w{}-t{}-i{}", self.tokens, self.per_write, self.ttft_us, self.itl_us)
    }

    /// Reads the prefix of a path.
    pub fn of(path: &str) -> Option<Self> {
        let mut fields = path.strip_prefix('/')?.split('/').next()?.split('-');
        let mut field = |name: char| fields.next()?.strip_prefix(name)?.parse::<u64>().ok();
        let (tokens, per_write) = (u32::try_from(field('n')?).ok()?, u32::try_from(field('w')?).ok()?);
        Some(Self { tokens, per_write: per_write.max(1), ttft_us: field('t')?, itl_us: field('i')? })
    }

    /// How long a stream stays open, seconds.
    pub fn life_s(&self) -> f64 {
        (self.ttft_us + u64::from(self.tokens.saturating_sub(1)) * self.itl_us) as f64 / 1e6
    }
}

/// The parts that a stream is written from.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The event that names the role, with which the first token's write begins.
    pub role: Bytes,
    /// One token, `per_write` times.
    pub tokens: Bytes,
    /// One token.
    pub token: Bytes,
    /// Finish reason and `[DONE]`.
    pub end: Bytes,
    /// Finish reason, usage and `[DONE]`.
    pub end_with_usage: Bytes,
}

impl Parts {
    /// For `answer`, in the words of chat or of plain completions.
    pub fn of(answer: Answer, is_chat: bool) -> Self {
        let token = event(is_chat, r#"{"content":" token"}"#, " token", "null");
        let mut finish = event(is_chat, r#"{"content":""}"#, "", "\"length\"");
        let mut with_usage = finish.clone();
        let n = answer.tokens;
        let _ = write!(
            with_usage,
            "data: {{{},\"choices\":[],\"usage\":{{\"prompt_tokens\":32,\"total_tokens\":{},\"completion_tokens\":{n}}}}}\n\n",
            head(is_chat),
            n + 32
        );
        for text in [&mut finish, &mut with_usage] {
            text.push_str("data: [DONE]\n\n");
        }
        let role = if is_chat { event(true, r#"{"role":"assistant","content":""}"#, "", "null") } else { String::new() };
        Self {
            role: role.into(),
            tokens: token.repeat(usize::try_from(answer.per_write).unwrap_or(1)).into(),
            token: token.into(),
            end: finish.into(),
            end_with_usage: with_usage.into(),
        }
    }
}

fn head(is_chat: bool) -> String {
    let (id, object) = if is_chat { ("chatcmpl", "chat.completion.chunk") } else { ("cmpl", "text_completion") };
    format!("\"id\":\"{id}-5f0c3d4a9b8e4f7c8a1b2c3d4e5f6071\",\"object\":\"{object}\",\"created\":1767225600,\"model\":\"bench\"")
}

fn event(is_chat: bool, delta: &str, text: &str, finish: &str) -> String {
    let head = head(is_chat);
    if is_chat {
        format!("data: {{{head},\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}]}}\n\n")
    } else {
        format!("data: {{{head},\"choices\":[{{\"index\":0,\"text\":\"{text}\",\"logprobs\":null,\"finish_reason\":{finish}}}]}}\n\n")
    }
}

/// The small reply that is not streamed.
pub const REPLY: &str = r#"{"id":"chatcmpl-5f0c3d4a9b8e4f7c8a1b2c3d4e5f6071","object":"chat.completion","created":1767225600,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":" token"},"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":32,"total_tokens":33,"completion_tokens":1}}"#;

/// What a list of models says: our client looks before it loads, peers ask for a name.
pub const MODELS: &str = r#"{"object":"list","data":[{"id":"bench","object":"model","created":1767225600,"owned_by":"bench"}]}"#;

/// The request that bare loops and peers send: 32 words, which no answer depends on.
pub fn body(answer: Answer) -> String {
    let prompt = "word ".repeat(32);
    let stream = if answer.tokens > 0 { ",\"stream\":true,\"stream_options\":{\"include_usage\":true}" } else { "" };
    let tokens = answer.tokens.max(1);
    format!("{{\"model\":\"bench\",\"messages\":[{{\"role\":\"user\",\"content\":\"{}\"}}],\"max_tokens\":{tokens}{stream}}}", prompt.trim_end())
}
