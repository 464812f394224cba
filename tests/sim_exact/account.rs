//! The law written out plainly: one turn of the loop an instant, one pass an iteration, nothing skipped and nothing kept that can be counted anew.

use plimsoll::scenario::endpoint::Routing;
use plimsoll::scenario::endpoint::{EndpointSpec, KvPolicy};
use plimsoll::sim::bulk::{Ended, How, Job};
use plimsoll::sim::event::Retry;
use plimsoll::sim::virtual_time::Patience;

/// Everything that is known about the endpoint and its clients. Time is in nanoseconds.
pub(crate) struct Account {
    spec: EndpointSpec,
    patience: Patience,
    retry: Option<Retry>,
    jobs: Vec<Job>,
    to_come: Vec<ToCome>,
    tries: Vec<Try>,
    replicas: Vec<Replica>,
    turn: usize,
    ends: Vec<Option<Ended>>,
    /// How often a sequence was preempted.
    pub(crate) preempted: u32,
}

/// A try that is to be sent: by instant, then those that come back in the order in which they were put off, then new ones.
struct ToCome {
    at: f64,
    order: (bool, usize),
    job: usize,
    number: u32,
}

/// One try of a job.
struct Try {
    job: usize,
    number: u32,
    sent: f64,
    /// Prompt tokens, those of the answer that were made before a preemption included.
    prompt: f64,
    /// Those of them whose keys and values are there.
    computed: f64,
    /// Tokens of the answer so far, and in all.
    made: f64,
    output: f64,
    /// When the client sees the first and the last.
    first: Option<f64>,
    last: Option<f64>,
    /// The client knows how it ended.
    over: bool,
}

impl Try {
    fn decodes(&self) -> bool {
        self.computed >= self.prompt.max(1.0)
    }
}

#[derive(Default)]
struct Replica {
    waiting: Vec<usize>,
    /// In order of their start.
    running: Vec<usize>,
    /// The iteration under way: its end, and the prompt tokens of each try in it, 0 for those that decode.
    under_way: Option<(f64, Vec<(usize, f64)>)>,
}

impl Account {
    pub(crate) fn new(spec: &EndpointSpec, patience: Patience, retry: Option<Retry>, jobs: &[Job]) -> Self {
        let new = |(job, j): (usize, &Job)| ToCome { at: j.at as f64, order: (true, job), job, number: 0 };
        Self {
            spec: spec.clone(),
            patience,
            retry,
            jobs: jobs.to_vec(),
            to_come: jobs.iter().enumerate().map(new).collect(),
            tries: Vec::new(),
            replicas: (0..spec.min_chunks).map(|_| Replica::default()).collect(),
            turn: 0,
            ends: vec![None; jobs.len()],
            preempted: 0,
        }
    }

    /// How every job ends, in order of arrival.
    pub(crate) fn run(&mut self) -> Vec<Ended> {
        while self.ends.iter().any(Option::is_none) {
            let now = self.next();
            for r in 0..self.replicas.len() {
                if self.replicas[r].under_way.as_ref().is_some_and(|(end, _)| *end == now) {
                    self.end_iteration(now, r);
                }
            }
            self.look(now);
            self.send(now);
            for r in 0..self.replicas.len() {
                if self.replicas[r].under_way.is_none() {
                    self.begin_iteration(now, r);
                }
            }
        }
        self.ends.iter().map(|e| e.unwrap()).collect()
    }

    fn deadlines(&self, t: &Try) -> [f64; 2] {
        [self.patience.first_byte, self.patience.total].map(|p| t.sent + p.0 as f64)
    }

    /// The next instant at which anything happens.
    fn next(&self) -> f64 {
        let ends = self.replicas.iter().filter_map(|r| r.under_way.as_ref().map(|(end, _)| *end));
        let open = self.tries.iter().filter(|t| !t.over);
        let seen = open.clone().filter_map(|t| t.last);
        let [first, total] = [0, 1]
            .map(|d| open.clone().filter(move |t| d == 1 || t.first.is_none_or(|f| f > self.deadlines(t)[0])).map(move |t| self.deadlines(t)[d]));
        ends.chain(seen).chain(first).chain(total).chain(self.to_come.iter().map(|t| t.at)).fold(f64::INFINITY, f64::min)
    }

    /// What the clients see at this instant: last tokens, then time running out, for the first token before for the last.
    fn look(&mut self, now: f64) {
        for i in 0..self.tries.len() {
            if !self.tries[i].over && self.tries[i].last == Some(now) {
                self.end(i, now, How::Ok);
            }
        }
        for which in 0..2 {
            for i in 0..self.tries.len() {
                let t = &self.tries[i];
                let runs_out = !t.over && self.deadlines(t)[which] == now && (which == 1 || t.first.is_none_or(|f| f > now));
                if runs_out {
                    for r in 0..self.replicas.len() {
                        let replica = &mut self.replicas[r];
                        let before = replica.waiting.len() + replica.running.len();
                        replica.waiting.retain(|j| *j != i);
                        replica.running.retain(|j| *j != i);
                        if replica.waiting.len() + replica.running.len() < before {
                            self.admit(r);
                        }
                    }
                    self.end(i, now, How::TimedOut);
                }
            }
        }
    }

    fn end(&mut self, i: usize, at: f64, how: How) {
        let t = &mut self.tries[i];
        t.over = true;
        let (job, number) = (t.job, t.number);
        if let Some(retry) = self.retry.filter(|r| number < r.attempts && (how == How::Throttled || how == How::TimedOut)) {
            let wait = (retry.backoff.as_secs_f64() * retry.factor.powf(f64::from(number)) * 1e9).round();
            self.to_come.push(ToCome { at: at + wait, order: (false, self.tries.len() + self.to_come.len()), job, number: number + 1 });
            return;
        }
        let first = t.first.filter(|f| *f <= at).unwrap_or(at);
        self.ends[job] = Some(Ended { job: job as u32, at: self.jobs[job].at, first: first as u64, last: at as u64, how });
    }

    fn send(&mut self, now: f64) {
        loop {
            let due = |t: &&ToCome| t.at <= now;
            let Some(order) = self.to_come.iter().filter(due).map(|t| t.order).min() else { return };
            let at = self.to_come.iter().position(|t| t.order == order).unwrap();
            let ToCome { job, number, .. } = self.to_come.remove(at);
            let j = self.jobs[job];
            let hit = self.spec.prefix_hit;
            let found = if hit.requests.0 > 0.0 { (f64::from(j.input) * hit.prompt.0 / 16.0).floor() * 16.0 } else { 0.0 };
            let prompt = f64::from(j.input);
            // The last token of a prompt is always computed.
            let computed = f64::from(j.cached).max(found).min(prompt.max(1.0) - 1.0);
            let output = f64::from(j.output.max(1));
            self.tries.push(Try { job, number, sent: now, prompt, computed, made: 0.0, output, first: None, last: None, over: false });
            let i = self.tries.len() - 1;
            let seen = now + self.spec.network.nanos().0 as f64;
            if prompt + output > self.spec.kv_tokens as f64 {
                self.end(i, seen, How::Failed);
            } else if !self.route(i) {
                self.end(i, seen, How::Throttled);
            }
        }
    }

    /// False if every replica is full.
    fn route(&mut self, i: usize) -> bool {
        let n = self.replicas.len();
        let load = |r: &Replica| r.waiting.len() + r.running.len();
        let choice = if self.spec.routing == Routing::RoundRobin {
            self.turn = (self.turn + 1) % n;
            self.turn
        } else {
            (0..n).min_by_key(|r| load(&self.replicas[*r])).unwrap()
        };
        for r in (choice..n).chain(0..choice) {
            if self.replicas[r].waiting.is_empty() && self.has_room(r, i) {
                self.replicas[r].running.push(i);
                return true;
            }
            if self.replicas[r].waiting.len() < self.spec.queue as usize {
                self.replicas[r].waiting.push(i);
                return true;
            }
        }
        false
    }

    fn tokens_per_step(&self) -> f64 {
        f64::from(self.spec.tokens_per_step)
    }

    /// Key-value tokens held at the end of the iteration under way, those of the next one included.
    fn held(&self, r: usize, with_next: bool) -> f64 {
        let replica = &self.replicas[r];
        let k = self.tokens_per_step();
        let steps = f64::from(u8::from(replica.under_way.is_some())) + f64::from(u8::from(with_next));
        let of = |t: &Try| if t.decodes() { t.prompt + self.since_prompt(t) + k * steps } else { t.prompt + 1.0 };
        replica.running.iter().map(|i| of(&self.tries[*i])).sum()
    }

    /// Tokens made since its prompt was computed last.
    fn since_prompt(&self, t: &Try) -> f64 {
        t.made - (t.prompt - f64::from(self.jobs[t.job].input))
    }

    fn has_room(&self, r: usize, i: usize) -> bool {
        let replica = &self.replicas[r];
        if replica.running.len() >= self.spec.max_batch as usize {
            return false;
        }
        let size = self.spec.kv_tokens as f64;
        let whole = |i: &usize| f64::from(self.jobs[self.tries[*i].job].input) + self.tries[*i].output;
        match self.spec.kv_policy {
            KvPolicy::Reserve => replica.running.iter().map(whole).sum::<f64>() + whole(&i) <= size,
            KvPolicy::Preempt if replica.running.is_empty() => true,
            KvPolicy::Preempt => self.held(r, true) + self.tries[i].prompt + 1.0 + (size * self.spec.kv_watermark.0).floor() <= size,
        }
    }

    fn admit(&mut self, r: usize) {
        while let Some(&i) = self.replicas[r].waiting.first() {
            if !self.has_room(r, i) {
                return;
            }
            self.replicas[r].waiting.remove(0);
            self.replicas[r].running.push(i);
        }
    }

    fn begin_iteration(&mut self, now: f64, r: usize) {
        let law = self.spec.step;
        let ns = |span: plimsoll::base::units::TimeSpan| span.nanos().0 as f64;
        let running = &self.replicas[r].running;
        let decoding: Vec<usize> = running.iter().copied().filter(|i| self.tries[*i].decodes()).collect();
        let batch = decoding.len() as f64;
        let context: f64 = decoding.iter().map(|i| self.tries[*i].prompt + self.since_prompt(&self.tries[*i])).sum();
        let mut budget = f64::from(self.spec.prefill_budget) - batch;
        let (mut prompt_tokens, mut pairs) = (0.0, 0.0);
        let mut parts: Vec<(usize, f64)> = decoding.iter().map(|i| (*i, 0.0)).collect();
        for i in running.iter().copied().filter(|i| !self.tries[*i].decodes()) {
            let t = &self.tries[i];
            let part = budget.min(t.prompt.max(1.0) - t.computed);
            if part > 0.0 {
                budget -= part;
                prompt_tokens += part;
                pairs += part * (t.computed + part / 2.0);
                parts.push((i, part));
            }
        }
        if parts.is_empty() {
            return;
        }
        let work = ns(law.per_sequence) * batch + ns(law.per_prefill_token) * prompt_tokens + ns(law.per_context_token) * context;
        let work = work + (ns(law.prefill_growth) * pairs / 1_000.0).floor();
        let (a, q) = (ns(law.base), law.curvature);
        let duration = if q == 1.0 { a + work } else { (((a / 1e9).powf(q) + (work / 1e9).powf(q)).powf(1.0 / q) * 1e9).round() };
        self.replicas[r].under_way = Some((now + duration.max(1.0), parts));
    }

    fn end_iteration(&mut self, now: f64, r: usize) {
        let (_, parts) = self.replicas[r].under_way.take().unwrap();
        let seen = now + self.spec.network.nanos().0 as f64;
        let k = self.tokens_per_step();
        for (i, part) in parts {
            // Who went away meanwhile gets nothing.
            if !self.replicas[r].running.contains(&i) {
                continue;
            }
            let t = &mut self.tries[i];
            if part > 0.0 {
                t.computed += part;
                if !t.decodes() {
                    continue;
                }
                t.made += 1.0;
                t.first.get_or_insert(seen);
            } else {
                t.made = (t.made + k).min(t.output);
            }
            if t.made == t.output {
                t.last = Some(seen);
                self.replicas[r].running.retain(|j| *j != i);
            }
        }
        let size = self.spec.kv_tokens as f64;
        while self.spec.kv_policy == KvPolicy::Preempt && self.replicas[r].running.len() > 1 && self.held(r, true) > size {
            let i = self.replicas[r].running.pop().unwrap();
            let t = &mut self.tries[i];
            t.prompt = f64::from(self.jobs[t.job].input) + t.made;
            t.computed = 0.0;
            self.preempted += 1;
            self.replicas[r].waiting.insert(0, i);
        }
        self.admit(r);
    }
}
