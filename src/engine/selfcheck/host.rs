//! `HostWatch`: looks at this process and the machine under it once a second, from a thread of its own that also notices when it was not run.

use super::proc;
use crate::base::clock::Clock;
use crate::base::time::Nanos;
use crate::measure::summary::ClientFacts;
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::fs;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Between two looks at the clock. A stopped process is seen by the jump between two of them.
const LOOK: Duration = Duration::from_millis(50);

/// A jump beyond this is no scheduler's delay: the process stood still.
pub(crate) const STOP: Nanos = Nanos::from_millis(150);

/// Length of a window of processor use, and time between two looks at the kernel's counters.
const WINDOW: Nanos = Nanos::from_secs(1);

/// A last window shorter than this is left out: its share is noise.
const WINDOW_AT_LEAST: Nanos = Nanos::from_millis(500);

/// The thread that watches, until [`HostWatch::finish`].
///
/// It has a thread of its own because the thread that keeps the log may wait for a disk, and would then take that for a stop of the whole process.
#[derive(Debug)]
pub(crate) struct HostWatch {
    end: Sender<()>,
    thread: Option<JoinHandle<ClientFacts>>,
}

impl HostWatch {
    /// Starts to watch. Without a thread (the system gives none) nothing is known in the end.
    pub(crate) fn start(clock: Clock, cores: u32) -> Self {
        let (end, ended) = channel();
        let watch = move || {
            let mut seen = Seen::new(clock.now(), process_cpu_s(), cores, Counters::read());
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let now = clock.now();
                seen.look(now);
                if seen.is_window_over(now) {
                    seen.close_window(now, process_cpu_s());
                    seen.threads.look();
                }
            }
            let now = clock.now();
            seen.look(now);
            seen.threads.look();
            seen.facts(now, process_cpu_s(), &Counters::read())
        };
        Self { end, thread: Builder::new().name("plimsoll-watch".to_owned()).spawn(watch).ok() }
    }

    /// What was seen. Only the fields that this watch knows are set.
    pub(crate) fn finish(self) -> ClientFacts {
        drop(self.end);
        self.thread.and_then(|t| t.join().ok()).unwrap_or_default()
    }
}

/// What has been seen so far. Pure but for the counters handed in.
#[derive(Debug)]
struct Seen {
    cores: f64,
    began: (Nanos, f64),
    window: (Nanos, f64),
    shares: Vec<f32>,
    last_look: Nanos,
    stops: Vec<Nanos>,
    threads: Threads,
    before: Counters,
}

impl Seen {
    fn new(now: Nanos, cpu_s: f64, cores: u32, before: Counters) -> Self {
        let here = (now, cpu_s);
        Self {
            cores: f64::from(cores.max(1)),
            began: here,
            window: here,
            shares: Vec::new(),
            last_look: now,
            stops: Vec::new(),
            threads: Threads::default(),
            before,
        }
    }

    /// The clock was looked at: a jump since the last look is a stop.
    fn look(&mut self, now: Nanos) {
        let jump = now.since(self.last_look);
        if jump > STOP {
            self.stops.push(jump);
        }
        self.last_look = now;
    }

    fn is_window_over(&self, now: Nanos) -> bool {
        now.since(self.window.0) >= WINDOW
    }

    fn close_window(&mut self, now: Nanos, cpu_s: f64) {
        let span = now.since(self.window.0).as_secs_f64().max(1e-3);
        #[expect(clippy::cast_possible_truncation, reason = "a share of the cores")]
        self.shares.push(((cpu_s - self.window.1) / (span * self.cores)) as f32);
        self.window = (now, cpu_s);
    }

    fn facts(mut self, now: Nanos, cpu_s: f64, after: &Counters) -> ClientFacts {
        if now.since(self.window.0) >= WINDOW_AT_LEAST {
            self.close_window(now, cpu_s);
        }
        let used = cpu_s - self.began.1;
        let share = used / (now.since(self.began.0).as_secs_f64().max(1e-3) * self.cores);
        let above = |limit: f32| self.shares.iter().filter(|s| **s > limit).count() as f64 / self.shares.len().max(1) as f64;
        let most = self.shares.iter().copied().fold(0.0_f32, f32::max);
        let stopped = self.stops.iter().fold(Nanos::ZERO, |sum, s| sum + *s);
        let (run, wait, preemptions) = self.threads.totals();
        let b = &self.before;
        ClientFacts {
            cpu_s: used,
            cpu_share: share,
            cpu_share_max: f64::from(most).max(share),
            cpu_windows: u32::try_from(self.shares.len()).unwrap_or(u32::MAX),
            cpu_windows_above_80: above(0.8),
            cpu_windows_above_95: above(0.95),
            cpu_wait_share: wait.map(|w| w / (w + run).max(1e-9)),
            cpu_wait_s: wait,
            preemptions,
            cpu_quota_cores: after.quota_cores,
            throttled_periods: grown(b.throttled.map(|t| t.0), after.throttled.map(|t| t.0)),
            throttled_s: b.throttled.zip(after.throttled).map(|(b, a)| (a.1 - b.1).max(0.0)),
            steal_share: b.steal.zip(after.steal).map(|(b, a)| a.0.saturating_sub(b.0) as f64 / a.1.saturating_sub(b.1).max(1) as f64),
            major_faults: grown(b.major_faults, after.major_faults),
            swapped_in_pages: grown(b.swapped_in, after.swapped_in),
            net_drops: grown(b.net_drops, after.net_drops),
            retransmits: grown(b.retransmits, after.retransmits),
            retransmit_share: grown(b.retransmits, after.retransmits)
                .zip(grown(b.segments, after.segments))
                .map(|(again, sent)| again as f64 / sent.max(1) as f64),
            stops: u32::try_from(self.stops.len()).unwrap_or(u32::MAX),
            stopped_s: stopped.as_secs_f64(),
            stopped_max_s: self.stops.iter().max().copied().unwrap_or_default().as_secs_f64(),
            ..ClientFacts::default()
        }
    }
}

fn grown(before: Option<u64>, after: Option<u64>) -> Option<u64> {
    before.zip(after).map(|(b, a)| a.saturating_sub(b))
}

/// Counters that are compared at the beginning and at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counters {
    major_faults: Option<u64>,
    swapped_in: Option<u64>,
    steal: Option<(u64, u64)>,
    net_drops: Option<u64>,
    retransmits: Option<u64>,
    segments: Option<u64>,
    throttled: Option<(u64, f64)>,
    quota_cores: Option<f64>,
}

impl Counters {
    fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (snmp, netstat) = (text("/proc/net/snmp"), text("/proc/net/netstat"));
        let drops = [
            proc::softnet_drops(&text("/proc/net/softnet_stat")),
            proc::counter(&netstat, "TcpExt", "ListenOverflows"),
            proc::counter(&netstat, "TcpExt", "TCPBacklogDrop"),
        ];
        let mut counters = Self {
            major_faults: proc::major_faults(&text("/proc/self/stat")),
            swapped_in: proc::swapped_in(&text("/proc/vmstat")),
            steal: proc::steal_and_total(&text("/proc/stat")),
            net_drops: drops.iter().flatten().copied().reduce(|a, b| a + b),
            retransmits: proc::counter(&snmp, "Tcp", "RetransSegs"),
            segments: proc::counter(&snmp, "Tcp", "OutSegs"),
            ..Self::default()
        };
        for folder in proc::cgroup_folders(&text("/proc/self/cgroup")) {
            let file = |name: &str| text(&format!("{folder}/{name}"));
            if let Some((periods, seconds)) = proc::throttled(&file("cpu.stat")) {
                // The largest, not the sum: one folder may go by two names.
                let (p, s) = counters.throttled.unwrap_or_default();
                counters.throttled = Some((p.max(periods), s.max(seconds)));
            }
            let quota = proc::quota_v2(&file("cpu.max")).or_else(|| proc::quota_v1(&file("cpu.cfs_quota_us"), &file("cpu.cfs_period_us")));
            // The tightest of all levels is the one that holds.
            counters.quota_cores = counters.quota_cores.into_iter().chain(quota).reduce(f64::min);
        }
        counters
    }
}

/// Scheduling of every thread of this process: those that end before the watch does keep what they had when last seen.
#[derive(Debug, Default)]
struct Threads {
    first: BTreeMap<String, Scheduled>,
    last: BTreeMap<String, Scheduled>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Scheduled {
    run_wait: Option<(u64, u64)>,
    preemptions: Option<u64>,
}

impl Threads {
    fn look(&mut self) {
        for entry in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let file = |name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
            let seen = Scheduled { run_wait: proc::run_and_wait(&file("schedstat")), preemptions: proc::preemptions(&file("status")) };
            self.keep(entry.file_name().to_string_lossy().into_owned(), seen);
        }
    }

    fn keep(&mut self, thread: String, seen: Scheduled) {
        self.first.entry(thread.clone()).or_insert(seen);
        self.last.insert(thread, seen);
    }

    /// Seconds run, seconds waited, preemptions, since each thread was first seen.
    fn totals(&self) -> (f64, Option<f64>, Option<u64>) {
        let (mut run, mut wait, mut preemptions) = (0.0, None, None);
        for (thread, last) in &self.last {
            let first = self.first.get(thread).copied().unwrap_or_default();
            if let Some((b, a)) = first.run_wait.zip(last.run_wait) {
                run += a.0.saturating_sub(b.0) as f64 / 1e9;
                *wait.get_or_insert(0.0) += a.1.saturating_sub(b.1) as f64 / 1e9;
            }
            if let Some(more) = grown(first.preemptions, last.preemptions) {
                *preemptions.get_or_insert(0) += more;
            }
        }
        (run, wait, preemptions)
    }
}

fn process_cpu_s() -> f64 {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = Nanos::from_secs(1);

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(ms)
    }

    #[test]
    fn windows_of_processor_use_are_shares_of_the_cores() {
        let mut seen = Seen::new(Nanos::ZERO, 10.0, 2, Counters::default());
        // 1.7, 1.95 and 0.5 of 2 cores; the rest is too short to be a window.
        for (second, cpu) in [(1, 11.7), (2, 13.65), (3, 14.15)] {
            assert!(seen.is_window_over(Nanos::from_secs(second)));
            seen.close_window(Nanos::from_secs(second), cpu);
        }
        let facts = seen.facts(at(3_300), 14.25, &Counters::default());
        assert_eq!(facts.cpu_windows, 3);
        assert!((facts.cpu_windows_above_80 - 2.0 / 3.0).abs() < 1e-9 && (facts.cpu_windows_above_95 - 1.0 / 3.0).abs() < 1e-9);
        assert!((facts.cpu_s - 4.25).abs() < 1e-9 && (facts.cpu_share - 4.25 / 6.6).abs() < 1e-9 && (facts.cpu_share_max - 0.975).abs() < 1e-6);
        assert_eq!((facts.net_drops, facts.throttled_s, facts.cpu_wait_s), (None, None, None));
    }

    #[test]
    fn a_jump_between_two_looks_is_a_stop_and_a_late_thread_is_not() {
        let mut seen = Seen::new(Nanos::ZERO, 0.0, 1, Counters::default());
        for ms in [50, 100, 240, 290, 1_290, 1_340, 1_640] {
            seen.look(at(ms));
        }
        let facts = seen.facts(at(1_640), 0.0, &Counters::default());
        assert_eq!(facts.stops, 2);
        assert!((facts.stopped_s - 1.3).abs() < 1e-9 && (facts.stopped_max_s - 1.0).abs() < 1e-9, "{facts:?}");
    }

    #[test]
    fn counters_are_differences_and_never_negative() {
        let before = Counters {
            major_faults: Some(5),
            swapped_in: Some(9),
            steal: Some((100, 1_000)),
            net_drops: None,
            retransmits: Some(10),
            segments: Some(1_000),
            throttled: Some((2, 0.5)),
            quota_cores: None,
        };
        let after = Counters {
            major_faults: Some(8),
            swapped_in: Some(2),
            steal: Some((150, 2_000)),
            net_drops: Some(4),
            retransmits: Some(30),
            segments: Some(2_000),
            throttled: Some((7, 2.0)),
            quota_cores: Some(0.2),
        };
        let facts = Seen::new(Nanos::ZERO, 0.0, 1, before).facts(SECOND, 0.0, &after);
        assert_eq!((facts.major_faults, facts.swapped_in_pages, facts.net_drops), (Some(3), Some(0), None));
        assert_eq!((facts.steal_share, facts.retransmits, facts.retransmit_share), (Some(0.05), Some(20), Some(0.02)));
        assert_eq!((facts.throttled_periods, facts.throttled_s, facts.cpu_quota_cores), (Some(5), Some(1.5), Some(0.2)));
    }

    #[test]
    fn a_thread_that_has_ended_keeps_what_it_had() {
        let mut threads = Threads::default();
        let seen =
            |run: u64, wait: u64, preemptions| Scheduled { run_wait: Some((run * 1_000_000, wait * 1_000_000)), preemptions: Some(preemptions) };
        threads.keep("1".to_owned(), seen(100, 10, 5));
        threads.keep("2".to_owned(), seen(0, 0, 0));
        threads.keep("1".to_owned(), seen(1_100, 510, 9));
        threads.keep("2".to_owned(), seen(500, 500, 1));
        threads.keep("1".to_owned(), seen(2_100, 1_010, 11));
        assert_eq!(threads.totals(), (2.5, Some(1.5), Some(7)));
        assert_eq!(Threads::default().totals(), (0.0, None, None));
    }

    /// On this machine: it ends when told, and what it says is in range.
    #[test]
    fn a_watch_ends_and_its_figures_are_in_range() {
        let facts = HostWatch::start(Clock::start(), 2).finish();
        assert!(facts.cpu_s >= 0.0 && facts.cpu_share >= 0.0 && facts.cpu_windows == 0);
        assert!(facts.steal_share.is_none_or(|s| (0.0..=1.0).contains(&s)));
    }
}
