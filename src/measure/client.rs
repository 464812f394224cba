//! `ClientFacts`: what the client knows of itself and of the machine under it, as plain figures. Unknown is absent, never zero.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the client knows of itself.
///
/// Figures of the machine (`steal_share`, `net_drops`, `swapped_in_pages`, `retransmits`) count everything that ran on it during the load, not this
/// process alone. What the operating system does not tell is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ClientFacts {
    /// CPU seconds used by this process during load, embedded endpoint included if it ran inside.
    pub cpu_s: f64,
    /// Mean share of the cores available, 0 to 1.
    pub cpu_share: f64,
    /// Largest share in a second.
    pub cpu_share_max: f64,
    /// Seconds looked at one by one.
    pub cpu_windows: u32,
    /// Share of these seconds in which more than 80 % of the cores were used, 0 to 1.
    pub cpu_windows_above_80: f64,
    /// Share of these seconds in which more than 95 % of the cores were used, 0 to 1.
    pub cpu_windows_above_95: f64,
    /// Time that threads of this process were ready to run and waited for a core, as a share of that time and the time they ran, 0 to 1.
    pub cpu_wait_share: Option<f64>,
    /// The same time in seconds, summed over threads.
    pub cpu_wait_s: Option<f64>,
    /// Switches away from a thread that would have gone on.
    pub preemptions: Option<u64>,
    /// Cores that a control group leaves to this process; absent without a quota.
    pub cpu_quota_cores: Option<f64>,
    /// Periods of the control group in which it was held back.
    pub throttled_periods: Option<u64>,
    /// Time that it was held back, seconds.
    pub throttled_s: Option<f64>,
    /// Share of processor time that the hypervisor gave to others, 0 to 1.
    pub steal_share: Option<f64>,
    /// Page faults of this process that had to read from a disk.
    pub major_faults: Option<u64>,
    /// Pages that the machine read back from swap.
    pub swapped_in_pages: Option<u64>,
    /// Packets that the machine dropped before a socket saw them: full softirq queue, full backlog of a socket, full accept queue.
    pub net_drops: Option<u64>,
    /// TCP segments that the machine sent again.
    pub retransmits: Option<u64>,
    /// Of these per segment sent, 0 to 1.
    pub retransmit_share: Option<f64>,
    /// Times that the process stood still: stopped, suspended, or not run at all for longer than a scheduler delays a thread.
    pub stops: u32,
    /// How long in all, seconds.
    pub stopped_s: f64,
    /// The longest of them, seconds.
    pub stopped_max_s: f64,
    /// Delay of a ticker in the client's own event loop, 99th percentile, ms.
    pub loop_lag_p99_ms: f64,
    /// Largest number of bytes of records that waited for the log's writer.
    pub log_backlog_max_bytes: u64,
    /// HTTP/2: wait of a request for a free stream inside the client, 99th percentile, ms. It is in every latency. Absent over HTTP/1.1, where a
    /// request has a connection to itself.
    pub stream_wait_p99_ms: Option<f64>,
    /// Cores available.
    pub cores: u32,
    /// Worker threads of the engine.
    pub workers: u32,
    /// The simulated endpoint ran inside this process.
    pub embedded_endpoint: bool,
    /// Whole run stopped early (Ctrl-C).
    pub stopped_early: bool,
    /// Wall clock against monotonic clock over the run, parts per million.
    pub clock_drift_ppm: f64,
}
