//! Bare loops over hyper, closed: a number of connections, each asking again as soon as it has its answer. The floor that we are measured by.

use super::alarm::now_ns;
use super::answer::{Answer, body};
use super::bare_open;
use super::judge::Quantiles;
use super::link::{Ask, Link, Seen, Work};
use super::process;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a client says of its own run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Claim {
    /// Requests due; in closed loops, sent.
    pub due: u64,
    /// Requests that ended well.
    pub ok: u64,
    /// Output tokens.
    pub tokens: u64,
    /// Sent to first token, ms.
    pub ttft: Quantiles,
    /// Due to first token, ms; the same in closed loops.
    pub ttft_due: Quantiles,
    /// Between tokens, ms.
    pub itl: Quantiles,
    /// Sent after due, ms.
    pub late: Quantiles,
    /// Processor seconds under load alone, where the client says so.
    pub load_cpu_s: Option<f64>,
    /// Its verdict on itself, or what went wrong.
    pub verdict: String,
}

/// Samples on their way to a [`Claim`].
#[derive(Debug, Default)]
pub struct Samples {
    /// Requests that ended well.
    pub ok: u64,
    /// Tokens.
    pub tokens: u64,
    /// Failures, with one example.
    pub failed: (u64, String),
    /// Ms.
    pub ttft: Vec<f64>,
    /// Ms.
    pub ttft_due: Vec<f64>,
    /// Ms.
    pub itl: Vec<f64>,
    /// Ms.
    pub late: Vec<f64>,
}

impl Samples {
    /// Folds one answer in.
    pub fn add(&mut self, answer: Answer, sent: u64, due: u64, seen: &Seen) {
        self.ok += 1;
        self.tokens += u64::from(answer.tokens.max(1));
        let stamps = seen.tokens(answer.tokens);
        if let Some(&first) = stamps.first() {
            self.ttft.push(first.saturating_sub(sent) as f64 / 1e6);
            self.ttft_due.push(first.saturating_sub(due) as f64 / 1e6);
            self.itl.extend(stamps.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6));
        }
    }

    /// A request that failed.
    pub fn fail(&mut self, why: String) {
        self.failed = (self.failed.0 + 1, why);
    }

    /// Two into one.
    pub fn join(mut self, other: Self) -> Self {
        self.ok += other.ok;
        self.tokens += other.tokens;
        self.failed.0 += other.failed.0;
        if self.failed.1.is_empty() {
            self.failed.1 = other.failed.1;
        }
        self.ttft.extend(other.ttft);
        self.ttft_due.extend(other.ttft_due);
        self.itl.extend(other.itl);
        self.late.extend(other.late);
        self
    }

    /// The claim.
    pub fn claim(self) -> Claim {
        let verdict = if self.failed.0 == 0 { String::new() } else { format!("{} failed: {}", self.failed.0, self.failed.1) };
        Claim {
            due: self.ok + self.failed.0,
            ok: self.ok,
            tokens: self.tokens,
            ttft: Quantiles::of(self.ttft),
            ttft_due: Quantiles::of(self.ttft_due),
            itl: Quantiles::of(self.itl),
            late: Quantiles::of(self.late),
            load_cpu_s: None,
            verdict,
        }
    }
}

/// The options of a bare loop, in the order of its command line.
pub struct Order {
    /// What is asked.
    pub ask: Ask,
    /// How it is answered.
    pub answer: Answer,
    /// What follows.
    pub rest: Vec<String>,
}

/// `bare closed WORK PORT PREFIX USERS SECONDS REQUESTS` or `bare open WORK PORT PREFIX LAW RATE SECONDS SEED`; prints a claim.
pub fn main(args: &[String]) -> Result<(), String> {
    process::end_with_parent();
    process::raise_open_files();
    let [mode, work, port, prefix, rest @ ..] = args else { return Err("bare: too few arguments".to_owned()) };
    let answer = Answer::of(prefix).ok_or("bare: no such answer")?;
    let ask = Ask {
        port: port.parse().map_err(|e| format!("port: {e}"))?,
        path: format!("{prefix}/v1/chat/completions"),
        body: body(answer).into(),
        work: Work::named(work)?,
    };
    let order = Order { ask, answer, rest: rest.to_vec() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let claim = runtime.block_on(async {
        match mode.as_str() {
            "closed" => closed(order).await,
            "open" => bare_open::open(order).await,
            _ => Err(format!("bare: `{mode}` is neither closed nor open")),
        }
    })?;
    println!("{}", serde_json::to_string(&claim).map_err(|e| e.to_string())?);
    Ok(())
}

/// The number at a place of the rest of a command line.
pub fn number(rest: &[String], at: usize) -> Result<f64, String> {
    rest.get(at).and_then(|text| text.parse().ok()).ok_or_else(|| format!("bare: argument {at} is not a number"))
}

async fn closed(order: Order) -> Result<Claim, String> {
    let (users, seconds, requests) = (number(&order.rest, 0)?, number(&order.rest, 1)?, number(&order.rest, 2)?);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts and spans of a command line that we wrote")]
    let (users, span, requests) = (users as u64, (seconds * 1e9) as u64, requests as u64);
    let until = now_ns() + span;
    let order = Arc::new(order);
    let left = Arc::new(AtomicU64::new(if requests == 0 { u64::MAX } else { requests }));
    let slots: Vec<_> = (0..users).map(|_| tokio::spawn(slot(Arc::clone(&order), until, Arc::clone(&left)))).collect();
    let mut all = Samples::default();
    for slot in slots {
        all = all.join(slot.await.map_err(|e| e.to_string())?);
    }
    Ok(all.claim())
}

async fn slot(order: Arc<Order>, until: u64, left: Arc<AtomicU64>) -> Samples {
    let mut samples = Samples::default();
    let mut seen = Seen::default();
    let mut link = match Link::open(order.ask.port).await {
        Ok(link) => link,
        Err(why) => {
            samples.fail(why);
            return samples;
        }
    };
    let take = |n: u64| n.checked_sub(1);
    while now_ns() < until && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
        let sent = now_ns();
        if let Err(why) = link.ask(&order.ask, &mut seen).await {
            samples.fail(why);
            return samples;
        }
        samples.add(order.answer, sent, sent, &seen);
    }
    samples
}
