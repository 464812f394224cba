//! `Backend`: one simulated endpoint with its driver thread, counters and prefix cache; and what answers a request with it.

use super::answer::{Answer, Frames};
use super::ask::{self, Ask};
use super::counters::Counters;
use super::driver::{self, Command, Delivery, Live};
use super::permit::Permit;
use super::prefix::PrefixCache;
use super::refusal::{Refusal, json_response};
use super::stream::{Tickets, TokenStream};
use super::words;
use crate::base::clock::Clock;
use crate::base::rng::Seed;
use crate::base::time::Nanos;
use crate::scenario::endpoint::EndpointSpec;
use crate::scenario::target::Task;
use crate::scenario::workspace::StreamUsage;
use crate::sim::endpoint::Endpoint;
use crate::sim::event::{Admission, Detail, EventKind, Offer, State};
use crate::sim::virtual_time::reasoning_tokens;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// A simulated endpoint that runs. Its driver ends when this and every open request are gone, or at [`Backend::stop`].
#[derive(Debug)]
pub(super) struct Backend {
    spec: EndpointSpec,
    model: String,
    clock: Clock,
    counters: Arc<Counters>,
    prefixes: PrefixCache,
    next_id: AtomicU64,
    commands: Sender<Command>,
}

/// How the API that was called differs from the plain one.
#[derive(Debug, Default)]
pub(super) struct Manners {
    /// Held while the request is open.
    pub(super) permit: Option<Permit>,
    /// What the chat template adds to every conversation.
    pub(super) template_tokens: u32,
    /// When a stream tells its usage.
    pub(super) stream_usage: StreamUsage,
}

impl Backend {
    /// Starts it, with `chunks` chunks if they are given; `clock` counts from its start. Answers name `model`.
    pub(super) fn start(spec: EndpointSpec, model: String, seed: Seed, chunks: Option<u32>, clock: Clock) -> io::Result<(Arc<Self>, JoinHandle<()>)> {
        let (commands, received) = std::sync::mpsc::channel();
        let endpoint = match chunks {
            Some(chunks) => Endpoint::starting_with(&spec, seed, Detail::Tokens, chunks),
            None => Endpoint::new(&spec, seed, Detail::Tokens),
        };
        let live = Live::new(endpoint);
        let driver = std::thread::Builder::new().name("sim-driver".to_owned()).spawn(move || driver::drive(live, &received, clock))?;
        let (counters, prefixes, next_id) = (Arc::new(Counters::new(clock)), PrefixCache::default(), AtomicU64::new(0));
        Ok((Arc::new(Self { spec, model, clock, counters, prefixes, next_id, commands }), driver))
    }

    /// Ends its driver, and with it every open answer.
    pub(super) fn stop(&self) {
        // A driver that has ended needs no telling.
        let _ = self.commands.send(Command::Stop);
    }

    /// Name of its model.
    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// What it counted.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Sequences that one of its chunks decodes at once, at most.
    pub(super) fn max_batch(&self) -> u32 {
        self.spec.max_batch
    }

    /// Its chunks and requests now. A driver that has stopped has none.
    pub(super) async fn look(&self) -> State {
        let (answer, state) = oneshot::channel();
        let _ = self.commands.send(Command::Look { answer });
        state.await.unwrap_or(State::default())
    }

    /// One model call. The head goes out with the first token, so that the first byte is the first token, as in the simulation.
    pub(super) async fn call(&self, body: &[u8], task: Option<Task>, manners: Manners) -> Result<Response<Body>, Refusal> {
        let mut ask = ask::read(body, task).map_err(Refusal::Ask)?;
        let Manners { permit, template_tokens, stream_usage } = manners;
        if ask.task == Task::Chat {
            for prompt in &mut ask.prompts {
                prompt.tokens = prompt.tokens.saturating_add(template_tokens);
            }
        }
        ask.include_usage &= stream_usage == StreamUsage::Asked;
        let tokens = if ask.task == Task::Embeddings { 1 } else { ask.max_tokens };
        let most = self.spec.kv_tokens;
        if let Some(needed) = ask.prompts.iter().map(|p| u64::from(p.tokens) + u64::from(tokens)).find(|n| *n > most) {
            return Err(Refusal::TooLong { tokens: needed, most });
        }
        let cached: Vec<u32> = ask.prompts.iter().map(|p| self.prefixes.visit(&p.text).min(p.tokens)).collect();
        let mut tickets = self.open(&ask, tokens, &cached, permit).await?;
        let first = tickets.events.recv().await.ok_or(Refusal::Stopping)?;
        let waited = first.at.since(tickets.since);
        self.counters
            .queued(waited.since(idle_first_token(&self.spec, ask.prompts.iter().zip(&cached).map(|(p, c)| p.tokens - c).max().unwrap_or(0))));
        let answer = self.describe(&ask, tokens, &cached, tickets.ids.start);
        if ask.stream {
            let mut frames = Frames::new(answer.clone());
            if stream_usage == StreamUsage::Every {
                frames.count_in_every_event();
            }
            let stream = TokenStream::new(tickets, frames, answer.choices, first);
            let mut response = Response::new(Body::new(stream));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            return Ok(response);
        }
        drain(&mut tickets, first).await?;
        let body = if ask.task == Task::Embeddings { self.embeddings(&ask, &answer) } else { answer.whole() };
        Ok(json_response(StatusCode::OK, &body))
    }

    /// Offers every prompt; if one is refused, those before it are cancelled and the whole request is refused.
    async fn open(&self, ask: &Ask, tokens: u32, cached: &[u32], permit: Option<Permit>) -> Result<Tickets, Refusal> {
        let choices = ask.prompts.len() as u64;
        let start = self.next_id.fetch_add(choices, Ordering::Relaxed);
        let (to, events) = mpsc::unbounded_channel();
        self.counters.admitted(ask.prompts.iter().map(|p| u64::from(p.tokens)).sum());
        // From here on the tickets cancel what was offered if anything goes wrong.
        let (commands, counters) = (self.commands.clone(), Arc::clone(&self.counters));
        let (clock, since) = (self.clock, self.clock.now());
        let mut tickets = Tickets { events, open: 0, ids: start..start + choices, commands, counters, permit, clock, since };
        let mut answers = Vec::with_capacity(ask.prompts.len());
        for ((choice, prompt), (id, cached)) in (0..).zip(&ask.prompts).zip((start..).zip(cached)) {
            let offer = Offer { id, input_tokens: prompt.tokens, output_tokens: tokens, cached_tokens: *cached };
            let (answer, admission) = oneshot::channel();
            self.commands.send(Command::Open { offer, choice, to: to.clone(), answer }).map_err(|_| Refusal::Stopping)?;
            tickets.open += 1;
            answers.push(admission);
        }
        let mut refusal = None;
        for admission in answers {
            match admission.await.map_err(|_| Refusal::Stopping)? {
                Admission::Accepted => {}
                Admission::Throttled { retry_after } => refusal = refusal.or(Some(Refusal::Throttled { retry_after })),
                Admission::Failed => refusal = refusal.or(Some(Refusal::Failed)),
            }
        }
        refusal.map_or(Ok(tickets), Err)
    }

    fn describe(&self, ask: &Ask, tokens: u32, cached: &[u32], number: u64) -> Answer {
        let reasoning = if ask.task == Task::Chat { reasoning_tokens(tokens, self.spec.reasoning_share.0) } else { 0 };
        Answer {
            number,
            created: self.clock.wall_now_ns() / 1_000_000_000,
            model: self.model.clone(),
            task: ask.task,
            choices: u32::try_from(ask.prompts.len()).unwrap_or(u32::MAX),
            tokens,
            reasoning,
            prompt_tokens: ask.prompts.iter().map(|p| u64::from(p.tokens)).sum(),
            cached_tokens: cached.iter().map(|c| u64::from(*c)).sum(),
            logprobs: ask.logprobs,
            include_usage: ask.include_usage,
        }
    }

    fn embeddings(&self, ask: &Ask, answer: &Answer) -> Value {
        let spec = &self.spec;
        let data: Vec<Value> = (0_u32..)
            .zip(&ask.prompts)
            .map(|(index, prompt)| {
                let vector = words::vector(&prompt.text, spec.embedding_dimension, spec.embedding_normalised);
                json!({ "object": "embedding", "index": index, "embedding": vector })
            })
            .collect();
        let usage = json!({ "prompt_tokens": answer.prompt_tokens, "total_tokens": answer.prompt_tokens });
        json!({ "object": "list", "data": data, "model": answer.model, "usage": usage })
    }
}

/// When the first token of a prompt of `tokens` would be there on an idle replica, without noise: what it takes longer is time in the queue.
fn idle_first_token(spec: &EndpointSpec, tokens: u32) -> Nanos {
    let law = &spec.step;
    let (mut left, mut before, mut seconds) = (f64::from(tokens.max(1)), 0.0, 0.0);
    while left > 0.0 {
        let piece = left.min(f64::from(spec.prefill_budget.max(1)));
        let growth = law.prefill_growth.as_secs_f64() * (before + piece / 2.0) / 1000.0;
        let work = piece * (law.per_prefill_token.as_secs_f64() + growth);
        seconds += (law.base.as_secs_f64().powf(law.curvature) + work.powf(law.curvature)).powf(1.0 / law.curvature);
        (left, before) = (left - piece, before + piece);
    }
    spec.network.nanos() + Nanos::from_secs_f64(seconds)
}

async fn drain(tickets: &mut Tickets, first: Delivery) -> Result<(), Refusal> {
    let mut next = Some(first);
    while let Some(delivery) = next {
        match delivery.kind {
            EventKind::FirstToken => tickets.counters.produced(1),
            EventKind::Tokens(n) => tickets.counters.produced(n.into()),
            EventKind::Done => {
                if tickets.done() {
                    return Ok(());
                }
            }
        }
        next = tickets.events.recv().await;
    }
    Err(Refusal::Stopping)
}
