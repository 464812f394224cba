//! What the operating system allows: open files, ports, memory. What cannot work is refused before the start, what is doubtful is told.

use super::selfcheck::proc;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;

/// Files that the program needs beside its connections.
const RESERVE: u64 = 128;
/// Memory that a run needs whatever its load, bytes.
const MEMORY_BASE: u64 = 64 << 20;
/// Memory of a request in flight, bytes.
const MEMORY_EACH: u64 = 24 << 10;
/// A closed connection keeps its port for this long (TIME_WAIT; RFC 9293 asks for two segment lifetimes, Linux takes 60 s).
const TIME_WAIT_S: f64 = 60.0;

/// What a load needs of the operating system.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Needs {
    /// Requests in flight, at most.
    pub in_flight: u32,
    /// Connections to the endpoint's address at once, at most.
    pub connections: u32,
    /// The endpoint runs in this process, which then holds both ends of every connection.
    pub embedded: bool,
    /// Requests a second at the busiest; each opens a connection when the server closes it after every answer.
    pub requests_s: f64,
}

/// What the operating system has. Unknown is absent and forbids nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Allowance {
    /// Open files that this process may ask for (hard limit).
    pub open_files: Option<u64>,
    /// Ports for outgoing connections to one address.
    pub ports: Option<u64>,
    /// Memory that programs may still take, bytes.
    pub memory: Option<u64>,
}

/// A limit that is too near, or passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The load cannot work; otherwise it is doubtful.
    pub is_refusal: bool,
    /// What is too little, with its numbers.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl Allowance {
    /// As this system says now.
    #[must_use]
    pub fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            open_files: Some(getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)),
            ports: proc::local_ports(&text("/proc/sys/net/ipv4/ip_local_port_range"), &text("/proc/sys/net/ipv4/ip_local_reserved_ports")),
            memory: proc::memory_available(&text("/proc/meminfo")),
        }
    }
}

/// Everything that `needs` lacks of `has`, refusals first.
#[must_use]
pub fn check(needs: &Needs, has: &Allowance) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut tell = |is_refusal: bool, message: String, remedy: String| found.push(Finding { is_refusal, message, remedy });
    let files = files_for(needs.connections, needs.embedded);
    if let Some(limit) = has.open_files.filter(|limit| files > *limit) {
        let fit = connections_of(limit, needs.embedded);
        tell(
            true,
            format!("{} connections need {files} open files, and this process may have {limit}", needs.connections),
            format!("lower the load with --max-concurrency {fit}, or raise `ulimit -Hn`"),
        );
    }
    if let Some(ports) = has.ports {
        let at_once = u64::from(needs.connections);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; the cast saturates")]
        let waiting = (needs.requests_s * TIME_WAIT_S).ceil() as u64;
        if at_once > ports {
            tell(
                true,
                format!("{at_once} connections at once need as many local ports, and this system has {ports} for one address"),
                format!("lower the load with --max-concurrency {ports}, or widen net.ipv4.ip_local_port_range"),
            );
        } else if at_once.saturating_add(waiting) > ports {
            tell(
                false,
                format!(
                    "if the endpoint closes the connection after each answer, {at_once} open and {waiting} waiting ports ({:.0} requests/s for {TIME_WAIT_S:.0} s) exceed the {ports} of this system",
                    needs.requests_s
                ),
                "let the endpoint keep connections alive, lower the rate, or widen net.ipv4.ip_local_port_range".to_owned(),
            );
        }
    }
    if let Some(memory) = has.memory {
        let needed = memory_for(needs.in_flight);
        let (need_mib, have_mib) = (needed >> 20, memory >> 20);
        if needed > memory {
            let fit = memory.saturating_sub(MEMORY_BASE) / MEMORY_EACH;
            tell(
                true,
                format!("{} requests in flight need about {need_mib} MiB of memory, and {have_mib} MiB are available", needs.in_flight),
                format!("lower the load with --max-concurrency {fit}, or free memory"),
            );
        } else if needed > memory / 2 {
            tell(
                false,
                format!("{} requests in flight need about {need_mib} of the {have_mib} MiB of memory available", needs.in_flight),
                "free memory, or lower load.max_in_flight: a client that is swapped out answers late".to_owned(),
            );
        }
    }
    found.sort_by_key(|f| !f.is_refusal);
    found
}

/// Memory that a run with so many requests in flight is planned to need, bytes: 64 MiB and 24 KiB each.
#[must_use]
pub fn memory_for(in_flight: u32) -> u64 {
    MEMORY_BASE + u64::from(in_flight) * MEMORY_EACH
}

/// Embedded endpoint and client each hold one end of a connection.
fn files_for(connections: u32, embedded: bool) -> u64 {
    u64::from(connections) * if embedded { 2 } else { 1 } + RESERVE
}

/// Connections that fit so many files.
fn connections_of(files: u64, embedded: bool) -> u64 {
    files.saturating_sub(RESERVE) / if embedded { 2 } else { 1 }
}

/// Raises the soft limit on open files so that `in_flight` connections fit; returns how many do fit if it is fewer.
pub fn raise_open_files(in_flight: u32, embedded: bool) -> Result<(), u64> {
    let needed = files_for(in_flight, embedded);
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= needed {
        return Ok(());
    }
    let target = needed.min(limit.maximum.unwrap_or(u64::MAX));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(target), maximum: limit.maximum }).is_ok();
    let have = if raised { target } else { current };
    if have >= needed { Ok(()) } else { Err(connections_of(have, embedded)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HAS: Allowance = Allowance { open_files: Some(4_096), ports: Some(28_232), memory: Some(1 << 30) };

    fn needs(connections: u32, requests_s: f64) -> Needs {
        Needs { in_flight: connections, connections, embedded: true, requests_s }
    }

    fn told(needs: &Needs, has: &Allowance) -> Vec<bool> {
        check(needs, has).iter().map(|f| f.is_refusal).collect()
    }

    #[test]
    fn what_fits_is_not_spoken_of_and_what_is_unknown_forbids_nothing() {
        assert!(told(&needs(1_000, 100.0), &HAS).is_empty());
        assert!(told(&needs(u32::MAX, 1e9), &Allowance::default()).is_empty());
    }

    #[test]
    fn open_files_hold_both_ends_of_a_connection() {
        assert!(told(&needs(1_984, 0.0), &HAS).is_empty());
        let found = check(&needs(1_985, 0.0), &HAS);
        assert!(found[0].is_refusal && found[0].remedy.contains("--max-concurrency 1984"), "{found:?}");
        let apart = |connections| check(&Needs { embedded: false, ..needs(connections, 0.0) }, &HAS);
        assert!(apart(3_968).is_empty() && apart(3_969)[0].remedy.contains("--max-concurrency 3968"));
    }

    #[test]
    fn ports_wait_a_minute_when_the_server_closes() {
        let has = Allowance { open_files: None, ..HAS };
        // 232 open and 60 s of 466 or 467 a second.
        assert!(told(&needs(232, 466.0), &has).is_empty());
        assert_eq!(told(&needs(232, 467.0), &has), [false]);
        let found = check(&needs(28_233, 1.0), &Allowance { memory: None, ..has });
        assert!(found.len() == 1 && found[0].is_refusal && found[0].message.contains("28232"), "{found:?}");
    }

    #[test]
    fn memory_is_planned_by_what_is_in_flight() {
        assert_eq!(memory_for(1_024), (64 << 20) + (24 << 20));
        let has = |memory: u64| Allowance { memory: Some(memory), ..Allowance::default() };
        assert_eq!(told(&needs(1_024, 0.0), &has(176 << 20)), [false; 0]);
        assert_eq!(told(&needs(1_024, 0.0), &has(175 << 20)), [false]);
        assert_eq!(told(&needs(1_024, 0.0), &has(87 << 20)), [true]);
        assert!(check(&needs(1_024, 0.0), &has(87 << 20))[0].remedy.contains("--max-concurrency 981"));
    }

    #[test]
    fn this_system_says_something() {
        assert!(Allowance::read().open_files.is_some_and(|n| n > 0));
    }
}
