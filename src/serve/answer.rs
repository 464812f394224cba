//! `Answer`: the JSON of completions, whole and as stream events, in the shapes of the OpenAI API.

use super::words;
use crate::scenario::target::Task;
use axum::body::Bytes;
use serde_json::{Value, json};
use std::fmt::Write;

/// Everything that the JSON of one answer depends on.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// Names the answer and its words.
    pub(super) number: u64,
    /// Seconds since 1970.
    pub(super) created: u64,
    pub(super) model: String,
    pub(super) task: Task,
    pub(super) choices: u32,
    /// Output tokens of each choice.
    pub(super) tokens: u32,
    /// How many of them are reasoning; they come first.
    pub(super) reasoning: u32,
    /// Of all prompts.
    pub(super) prompt_tokens: u64,
    pub(super) cached_tokens: u64,
    pub(super) logprobs: Option<u32>,
    pub(super) include_usage: bool,
}

impl Answer {
    fn id(&self) -> String {
        format!("{}-{:016x}", if self.task == Task::Chat { "chatcmpl" } else { "cmpl" }, self.number)
    }

    /// Words differ from choice to choice.
    fn voice(&self, choice: u32) -> u64 {
        self.number.wrapping_add(u64::from(choice))
    }

    /// The `usage` object.
    pub(super) fn usage(&self) -> Value {
        let completion = u64::from(self.tokens) * u64::from(self.choices);
        let mut usage = json!({
            "prompt_tokens": self.prompt_tokens, "completion_tokens": completion, "total_tokens": self.prompt_tokens + completion
        });
        if self.reasoning > 0 {
            usage["completion_tokens_details"] = json!({ "reasoning_tokens": u64::from(self.reasoning) * u64::from(self.choices) });
        }
        if self.cached_tokens > 0 {
            usage["prompt_tokens_details"] = json!({ "cached_tokens": self.cached_tokens });
        }
        usage
    }

    /// The whole answer, for requests without `stream`.
    pub(super) fn whole(&self) -> Value {
        let object = if self.task == Task::Chat { "chat.completion" } else { "text_completion" };
        let choices: Vec<Value> = (0..self.choices).map(|c| self.choice(c)).collect();
        json!({ "id": self.id(), "object": object, "created": self.created, "model": self.model, "choices": choices, "usage": self.usage() })
    }

    fn choice(&self, choice: u32) -> Value {
        let visible = words::text(self.voice(choice), self.reasoning, self.tokens);
        let logprobs = self.logprobs.map(|top| self.logprobs_of(choice, self.reasoning, self.tokens, top));
        if self.task != Task::Chat {
            return json!({ "index": choice, "text": visible, "logprobs": logprobs, "finish_reason": "length" });
        }
        let mut message = json!({ "role": "assistant", "content": visible });
        if self.reasoning > 0 {
            message["reasoning_content"] = json!(words::text(self.voice(choice), 0, self.reasoning));
        }
        json!({ "index": choice, "message": message, "logprobs": logprobs, "finish_reason": "length" })
    }

    /// Log probabilities of tokens `from` to `to`, in the shape of the task.
    fn logprobs_of(&self, choice: u32, from: u32, to: u32, top: u32) -> Value {
        let token = |index| {
            let (space, word) = words::token(self.voice(choice), index);
            format!("{space}{word}")
        };
        // The alternatives are the words that follow, each less likely by 1.
        let alternatives = |index: u32| (0..top).map(move |k| (token(index + k), words::logprob(index) - f64::from(k)));
        if self.task == Task::Chat {
            let entry = |token: &str, logprob: f64| json!({ "token": token, "logprob": logprob, "bytes": token.as_bytes() });
            let content: Vec<Value> = (from..to)
                .map(|i| {
                    let mut one = entry(&token(i), words::logprob(i));
                    one["top_logprobs"] = alternatives(i).map(|(t, p)| entry(&t, p)).collect();
                    one
                })
                .collect();
            return json!({ "content": content });
        }
        let tokens: Vec<String> = (from..to).map(token).collect();
        let offsets = tokens.iter().scan(0, |at, t| Some(std::mem::replace(at, *at + t.len())));
        json!({
            "text_offset": offsets.collect::<Vec<_>>(),
            "token_logprobs": (from..to).map(words::logprob).collect::<Vec<_>>(),
            "top_logprobs": (from..to).map(|i| alternatives(i).map(|(t, p)| (t, json!(p))).collect::<serde_json::Map<_, _>>()).collect::<Vec<_>>(),
            "tokens": tokens,
        })
    }
}

/// Stream events of one answer, written into a buffer. What does not change from token to token is made once.
#[derive(Debug)]
pub(super) struct Frames {
    answer: Answer,
    /// Up to and with `"choices":[`.
    head: String,
    /// Output tokens so far, if every event tells them.
    counted: Option<u64>,
    buffer: String,
}

impl Frames {
    pub(super) fn new(answer: Answer) -> Self {
        let object = if answer.task == Task::Chat { "chat.completion.chunk" } else { "text_completion" };
        let model = Value::from(answer.model.as_str());
        let head = format!(r#"data: {{"id":"{}","object":"{object}","created":{},"model":{model},"choices":["#, answer.id(), answer.created);
        Self { answer, head, counted: None, buffer: String::new() }
    }

    /// Lets every event tell the usage so far, and the stream end without `[DONE]`.
    pub(super) fn count_in_every_event(&mut self) {
        self.counted = Some(0);
    }

    /// What closes an event after its choices.
    fn close(&mut self) {
        // Writing into a String cannot fail.
        let _ = match self.counted {
            Some(output) => {
                let prompt = self.answer.prompt_tokens;
                let total = prompt + output;
                write!(self.buffer, r#"],"usage":{{"prompt_tokens":{prompt},"completion_tokens":{output},"total_tokens":{total}}}}}"#)
            }
            None => write!(self.buffer, "]}}"),
        };
        self.buffer.push_str("\n\n");
    }

    /// What was written since the last call.
    pub(super) fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.buffer))
    }

    /// Bytes written since the last [`Frames::take`].
    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Tokens `from` and following of a choice in one event, in two where the reasoning ends; the first of a chat is led by the role.
    pub(super) fn tokens(&mut self, choice: u32, from: u32, count: u32) {
        let to = from.saturating_add(count);
        let visible = self.answer.reasoning.clamp(from, to);
        for (from, to) in [(from, visible), (visible, to)] {
            if from < to {
                self.chunk(choice, from, to);
            }
        }
    }

    fn chunk(&mut self, choice: u32, from: u32, to: u32) {
        if from == 0 && self.answer.task == Task::Chat {
            self.event(choice, r#""delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null"#);
        }
        let answer = &self.answer;
        let logprobs = match answer.logprobs {
            Some(top) if from >= answer.reasoning => answer.logprobs_of(choice, from, to, top).to_string(),
            _ => "null".to_owned(),
        };
        let channel = if from < answer.reasoning { "reasoning_content" } else { "content" };
        let buffer = &mut self.buffer;
        buffer.push_str(&self.head);
        // Writing into a String cannot fail.
        let _ = match answer.task {
            Task::Chat => write!(buffer, r#"{{"index":{choice},"delta":{{"{channel}":""#),
            _ => write!(buffer, r#"{{"index":{choice},"text":""#),
        };
        for index in from..to {
            let (space, word) = words::token(answer.voice(choice), index);
            buffer.push_str(if index == answer.reasoning { "" } else { space });
            buffer.push_str(word);
        }
        let close = if answer.task == Task::Chat { "\"}" } else { "\"" };
        let _ = write!(buffer, r#"{close},"logprobs":{logprobs},"finish_reason":null}}"#);
        if let Some(counted) = &mut self.counted {
            *counted += u64::from(to - from);
        }
        self.close();
    }

    /// The end of a choice.
    pub(super) fn finish(&mut self, choice: u32) {
        match self.answer.task {
            Task::Chat => self.event(choice, r#""delta":{},"logprobs":null,"finish_reason":"length""#),
            _ => self.event(choice, r#""text":"","logprobs":null,"finish_reason":"length""#),
        }
    }

    /// The end of the stream.
    pub(super) fn end(&mut self) {
        if self.answer.include_usage {
            let usage = self.answer.usage();
            let _ = write!(self.buffer, "{}],\"usage\":{usage}}}\n\n", self.head);
        }
        if self.counted.is_none() {
            self.buffer.push_str("data: [DONE]\n\n");
        }
    }

    fn event(&mut self, choice: u32, members: &str) {
        let _ = write!(self.buffer, "{}{{\"index\":{choice},{members}}}", self.head);
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(task: Task) -> Answer {
        Answer {
            number: 5,
            created: 1,
            model: "a \"b\"".to_owned(),
            task,
            choices: 1,
            tokens: 6,
            reasoning: 2,
            prompt_tokens: 10,
            cached_tokens: 0,
            logprobs: Some(2),
            include_usage: true,
        }
    }

    fn events(task: Task) -> Vec<Value> {
        events_of(task, 1)
    }

    /// The stream of six tokens, so many in a chunk.
    fn events_of(task: Task, chunk: u32) -> Vec<Value> {
        let mut frames = Frames::new(answer(task));
        (0..6).step_by(chunk as usize).for_each(|i| frames.tokens(0, i, chunk.min(6 - i)));
        frames.finish(0);
        frames.end();
        let text = String::from_utf8(frames.take().to_vec()).unwrap();
        let mut data: Vec<&str> = text.split_terminator("\n\n").map(|e| e.strip_prefix("data: ").unwrap()).collect();
        assert_eq!(data.pop(), Some("[DONE]"));
        data.into_iter().map(|d| serde_json::from_str(d).unwrap()).collect()
    }

    /// Chunks of several tokens say what single ones say; one that holds the end of the reasoning becomes two events.
    #[test]
    fn chunks_of_several_tokens_say_the_same() {
        let joined = |events: &[Value], channel: &str| events.iter().filter_map(|e| e["choices"][0]["delta"][channel].as_str()).collect::<String>();
        let single = events(Task::Chat);
        for (chunk, fewer) in [(2, 3), (4, 3), (6, 4)] {
            let several = events_of(Task::Chat, chunk);
            assert_eq!(several.len(), single.len() - fewer, "chunks of {chunk}");
            for channel in ["reasoning_content", "content"] {
                assert_eq!(joined(&several, channel), joined(&single, channel), "chunks of {chunk}");
            }
        }
    }

    /// The stream joined is the whole answer: reasoning, content, finish reason, usage.
    #[test]
    fn stream_and_whole_say_the_same() {
        let whole = answer(Task::Chat).whole();
        let (mut reasoning, mut content) = (String::new(), String::new());
        let events = events(Task::Chat);
        for e in &events {
            let delta = &e["choices"][0]["delta"];
            reasoning.push_str(delta["reasoning_content"].as_str().unwrap_or(""));
            content.push_str(delta["content"].as_str().unwrap_or(""));
        }
        assert_eq!(whole["choices"][0]["message"]["content"], content.as_str());
        assert_eq!(whole["choices"][0]["message"]["reasoning_content"], reasoning.as_str());
        assert_eq!((reasoning.split(' ').count(), content.split(' ').count()), (2, 4));
        let last = events.last().unwrap();
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"], whole["usage"]);
        assert_eq!(last["usage"]["completion_tokens_details"]["reasoning_tokens"], 2);
        assert_eq!(last["model"], "a \"b\"");
        assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(events[events.len() - 2]["choices"][0]["finish_reason"], "length");
        assert_eq!(events[4]["choices"][0]["logprobs"]["content"][0]["top_logprobs"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn completions_have_text_and_their_own_logprobs() {
        let whole = answer(Task::Completions).whole();
        assert_eq!(whole["object"], "text_completion");
        assert_eq!(whole["choices"][0]["logprobs"]["tokens"].as_array().unwrap().len(), 4);
        let joined: String = events(Task::Completions).iter().filter_map(|e| e["choices"][0]["text"].as_str().map(str::to_owned)).collect();
        assert!(joined.ends_with(whole["choices"][0]["text"].as_str().unwrap()));
    }
}
