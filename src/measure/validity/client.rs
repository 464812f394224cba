//! Rules about the client itself: did it offer the load at its instants, and had it the processor, the memory and the network to do so?

use super::{Evidence, grade, warning};
use crate::base::diag::{Severity, Warning};
use crate::base::time::Nanos;
use crate::measure::summary::ClientFacts;
use crate::scenario::slo::Percentile;

/// Lateness at the 99th percentile that is worth a note: a quiet core stays below it.
pub const LATENESS_NOTE: Nanos = Nanos::from_millis(1);
/// Lateness at the 99th percentile that is worth a doubt.
pub const LATENESS_DOUBT: Nanos = Nanos::from_millis(5);
/// A request is badly late beyond this share of the endpoint's median time to its first token (and beyond [`LATENESS_DOUBT`]).
pub const LATENESS_OF_MEDIAN: f64 = 0.05;
/// More badly late requests than this share of those sent, and at least [`LATE_AT_LEAST`] requests, make a run invalid.
pub const LATE_SHARE: f64 = 0.01;
/// Two hiccups prove nothing about a small run.
pub const LATE_AT_LEAST: u64 = 3;
/// Requests due in the window and sent after its end, as a share of those due, above which (and from [`LATE_AT_LEAST`] on) the rate was not reached.
pub const NOT_ACHIEVED: f64 = 0.01;
/// Delay of the client's event loop, 99th percentile in milliseconds: doubt, invalid.
pub const LOOP_LAG_MS: (f64, f64) = (5.0, 20.0);
/// Mean share of the client's cores in use: note, invalid.
pub const CPU_MEAN: (f64, f64) = (0.5, 0.9);
/// Share of seconds: above 80 % of the cores (doubt), above 95 % of them (invalid; a doubt when the endpoint shares the process).
pub const CPU_WINDOWS: (f64, f64) = (0.05, 0.5);
/// Time that threads waited for a core as a share of the time that they wanted one: doubt. Below `CPU_WAIT_OF_WALL` it is noise.
pub const CPU_WAIT_SHARE: f64 = 0.5;
/// The same time, summed over threads, as a share of the wall time.
const CPU_WAIT_OF_WALL: f64 = 0.1;
/// Time that a control group held the process back, as a share of the wall time, above which a run is invalid; any is a doubt.
pub const THROTTLED_SHARE: f64 = 0.05;
/// Share of processor time that the hypervisor gave to others: doubt.
pub const STEAL_SHARE: f64 = 0.05;
/// The process stood still: one stop of this many seconds, or this share of the wall time in all, makes a run invalid; any is a doubt.
pub const STOPPED: (f64, f64) = (1.0, 0.01);
/// Bytes of records that waited for the log's writer: doubt.
pub const LOG_BACKLOG: u64 = 32 << 20;
/// Wall clock against monotonic clock, parts per million: doubt, invalid.
pub const DRIFT_PPM: (f64, f64) = (1_000.0, 10_000.0);
/// HTTP/2: wait for a free stream, 99th percentile in milliseconds: doubt.
const STREAM_WAIT_MS: f64 = 1.0;
/// Segments sent again per segment sent that are worth a note, from [`RETRANSMITS_AT_LEAST`] on.
const RETRANSMIT_SHARE: f64 = 0.001;
const RETRANSMITS_AT_LEAST: u64 = 10;

/// Was the load offered at its instants?
pub(super) fn lateness(e: &Evidence<'_>, out: &mut Vec<Warning>) {
    let hint = "this machine cannot send so fast: lower the rate, free its cores, or split the load over several machines";
    let due = e.accounting.due;
    if e.sent_after >= LATE_AT_LEAST && e.sent_after as f64 > NOT_ACHIEVED * due as f64 {
        let reached = 100.0 * (due - e.sent_after) as f64 / due as f64;
        let message = format!(
            "{reached:.1}% of the requests due in the window were sent in it (limit {:.0}%); the client fell behind",
            100.0 * (1.0 - NOT_ACHIEVED)
        );
        out.push(warning(Severity::Invalid, "rate-not-reached", message, &format!("share >= {:.0}%", 100.0 * (1.0 - NOT_ACHIEVED)), hint));
    }
    let lag = e.lateness;
    let Some(p99) = lag.value_at(Percentile::P99).map(Nanos) else { return };
    let of_median = e.service_p50.map_or(Nanos::ZERO, |p50| Nanos::from_secs_f64(p50.as_secs_f64() * LATENESS_OF_MEDIAN));
    let bad = LATENESS_DOUBT.max(of_median);
    let late = lag.count_above(bad.0);
    if late >= LATE_AT_LEAST && late as f64 > LATE_SHARE * lag.n() as f64 {
        let share = 100.0 * late as f64 / lag.n() as f64;
        let message = format!("{share:.1}% of requests (limit {:.0}%) were sent more than {bad} late", LATE_SHARE * 100.0);
        out.push(warning(Severity::Invalid, "schedule-late", message, &format!("share later than {bad} <= {:.0}%", LATE_SHARE * 100.0), hint));
    } else if p99 > LATENESS_NOTE {
        let (severity, limit) = if p99 > LATENESS_DOUBT { (Severity::Doubt, LATENESS_DOUBT) } else { (Severity::Note, LATENESS_NOTE) };
        let message = format!("the latest hundredth of the requests was sent {p99} late or more (limit {limit})");
        out.push(warning(severity, "schedule-late", message, &format!("p99 <= {limit}"), hint));
    }
}

/// Had the client what it needs of this machine?
pub(super) fn own_limits(e: &Evidence<'_>, out: &mut Vec<Warning>) {
    let c = &e.client;
    let own = remedy(c);
    if let Some((severity, limit)) = grade(c.loop_lag_p99_ms, LOOP_LAG_MS) {
        let message = format!("the client's event loop was {:.1} ms late (p99, limit {limit:.0} ms); that is in every latency", c.loop_lag_p99_ms);
        out.push(warning(severity, "loop-lag", message, &format!("p99 <= {limit:.0} ms"), own));
    }
    processor(c, own, out);
    held_back(c, e.wall_s, out);
    machine(c, out);
    if let Some((severity, limit)) = grade(c.clock_drift_ppm.abs(), DRIFT_PPM) {
        let message = format!("wall clock and monotonic clock differ by {:.0} ppm (limit {limit:.0} ppm)", c.clock_drift_ppm);
        let hint = "the machine slept, or its clock was set during the run: run again";
        out.push(warning(severity, "clock-drift", message, &format!("<= {limit:.0} ppm"), hint));
    }
    if let Some(wait) = c.stream_wait_p99_ms.filter(|w| *w > STREAM_WAIT_MS) {
        let message = format!(
            "requests waited {wait:.1} ms (p99, limit {STREAM_WAIT_MS:.0} ms) for a free HTTP/2 stream inside the client; that is in every latency"
        );
        out.push(warning(Severity::Doubt, "stream-wait", message, &format!("p99 <= {STREAM_WAIT_MS:.0} ms"), "use more connections, or HTTP/1.1"));
    }
}

fn remedy(c: &ClientFacts) -> &'static str {
    if c.embedded_endpoint {
        "the simulated endpoint shares this process: run `plimsoll serve` apart, or lower the rate"
    } else if c.cores <= 2 {
        "this machine has few cores: lower the rate or load from a larger machine"
    } else {
        "close what else runs on this machine, lower the rate, or split the load over several machines"
    }
}

/// The share of its cores that the client used, and what it did not get of them.
fn processor(c: &ClientFacts, own: &str, out: &mut Vec<Warning>) {
    let flat_out = c.cpu_windows_above_95 > CPU_WINDOWS.1;
    if c.cpu_share > CPU_MEAN.1 {
        let message = format!("the client used {:.0}% of its {} cores (limit {:.0}%)", c.cpu_share * 100.0, c.cores, CPU_MEAN.1 * 100.0);
        out.push(warning(Severity::Invalid, "client-cpu", message, &format!("mean <= {:.0}%", CPU_MEAN.1 * 100.0), own));
    } else if flat_out || c.cpu_windows_above_80 > CPU_WINDOWS.0 {
        let (severity, share, level, limit) = if flat_out && !c.embedded_endpoint {
            (Severity::Invalid, c.cpu_windows_above_95, 95, CPU_WINDOWS.1)
        } else {
            (Severity::Doubt, c.cpu_windows_above_80, 80, CPU_WINDOWS.0)
        };
        let message = format!(
            "the client used more than {level}% of its {} cores in {:.0}% of {} seconds (limit {:.0}%)",
            c.cores,
            share * 100.0,
            c.cpu_windows,
            limit * 100.0
        );
        out.push(warning(severity, "client-cpu", message, &format!("seconds above {level}% <= {:.0}%", limit * 100.0), own));
    } else if c.cpu_share > CPU_MEAN.0 {
        let message = format!("the client used {:.0}% of its {} cores (limit {:.0}%)", c.cpu_share * 100.0, c.cores, CPU_MEAN.0 * 100.0);
        out.push(warning(Severity::Note, "client-cpu", message, &format!("mean <= {:.0}%", CPU_MEAN.0 * 100.0), own));
    }
}

/// Times when the client would have run and was not let.
fn held_back(c: &ClientFacts, wall_s: f64, out: &mut Vec<Warning>) {
    let wall_s = wall_s.max(1e-3);
    if c.stops > 0 {
        let bad = c.stopped_max_s >= STOPPED.0 || c.stopped_s > STOPPED.1 * wall_s;
        let severity = if bad { Severity::Invalid } else { Severity::Doubt };
        let times = if c.stops == 1 { "once".to_owned() } else { format!("{} times", c.stops) };
        let message = format!(
            "the client stood still {times}, {:.2} s in all (limit {:.0}% of the run), {:.2} s the longest (limit {:.0} s); that is in every latency",
            c.stopped_s,
            STOPPED.1 * 100.0,
            c.stopped_max_s,
            STOPPED.0
        );
        let limit = format!("in all <= {:.0}% of the run, each < {:.0} s", STOPPED.1 * 100.0, STOPPED.0);
        let hint = "it was stopped (SIGSTOP, a debugger), the machine was suspended, or others had every core: run again on a machine left alone";
        out.push(warning(severity, "client-stopped", message, &limit, hint));
    }
    if let Some(seconds) = c.throttled_s.filter(|s| *s > 0.0) {
        let share = seconds / wall_s;
        let severity = if share > THROTTLED_SHARE { Severity::Invalid } else { Severity::Doubt };
        let quota = c.cpu_quota_cores.map_or(String::new(), |q| format!(" to its quota of {q:.2} cores"));
        let message = format!(
            "the control group held the client back{quota} for {seconds:.2} s, {:.1}% of the run (limit {:.0}%)",
            share * 100.0,
            THROTTLED_SHARE * 100.0
        );
        let hint = "raise the CPU limit of the container (or leave it out) for the load generator, or lower the rate";
        out.push(warning(severity, "cpu-throttled", message, &format!("0 s; invalid above {:.0}% of the run", THROTTLED_SHARE * 100.0), hint));
    }
    if let (Some(share), Some(seconds)) = (c.cpu_wait_share, c.cpu_wait_s)
        && share > CPU_WAIT_SHARE
        && seconds > CPU_WAIT_OF_WALL * wall_s
    {
        let message = format!(
            "threads of the client that wanted a core waited for one {:.0}% of that time (limit {:.0}%): others use the cores",
            share * 100.0,
            CPU_WAIT_SHARE * 100.0
        );
        let hint = "close what else runs on this machine, give the client cores of its own (taskset, cpuset), or lower the rate";
        out.push(warning(Severity::Doubt, "cpu-wait", message, &format!("share <= {:.0}%", CPU_WAIT_SHARE * 100.0), hint));
    }
    if let Some(share) = c.steal_share.filter(|s| *s > STEAL_SHARE) {
        let message = format!("the hypervisor gave {:.1}% of the processor to others (limit {:.0}%)", share * 100.0, STEAL_SHARE * 100.0);
        let hint = "use a machine whose cores are not shared, or run again";
        out.push(warning(Severity::Doubt, "cpu-steal", message, &format!("share <= {:.0}%", STEAL_SHARE * 100.0), hint));
    }
}

/// Memory, network and disk of the machine.
fn machine(c: &ClientFacts, out: &mut Vec<Warning>) {
    if let (Some(pages @ 1..), Some(faults @ 1..)) = (c.swapped_in_pages, c.major_faults) {
        let message = format!("the machine read {pages} pages back from swap, and the client waited for a disk {faults} times (limit 0)");
        let hint = "free memory, or lower load.max_in_flight: a swapped client answers late";
        out.push(warning(Severity::Doubt, "swap", message, "no page from swap", hint));
    }
    if let Some(drops @ 1..) = c.net_drops {
        let message = format!("this machine dropped {drops} packets or connections before a socket took them (limit 0)");
        let hint = "the network of this machine was over its limit (net.core.netdev_max_backlog, somaxconn): lower the rate or split the load";
        out.push(warning(Severity::Doubt, "net-drops", message, "no drop", hint));
    }
    if let (Some(n), Some(share)) = (c.retransmits, c.retransmit_share)
        && n >= RETRANSMITS_AT_LEAST
        && share > RETRANSMIT_SHARE
    {
        let message = format!("this machine sent {n} TCP segments again, {:.2}% (limit {:.1}%)", share * 100.0, RETRANSMIT_SHARE * 100.0);
        let hint = "packets are lost on the way or dropped by the endpoint: some latencies hold a retransmission of 200 ms or more";
        out.push(warning(Severity::Note, "retransmits", message, &format!("share <= {:.1}%", RETRANSMIT_SHARE * 100.0), hint));
    }
    if c.log_backlog_max_bytes > LOG_BACKLOG {
        let message = format!("{} MiB of records waited for the log's writer (limit {} MiB)", c.log_backlog_max_bytes >> 20, LOG_BACKLOG >> 20);
        let hint = "the disk of --out is too slow for this load: write to a faster one";
        out.push(warning(Severity::Doubt, "log-backlog", message, &format!("<= {} MiB", LOG_BACKLOG >> 20), hint));
    }
}
