//! What the operating system allows: open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that the program needs beside its connections.
const RESERVE: u64 = 128;

/// Raises the soft limit on open files so that `in_flight` connections fit; returns how many do fit if it is fewer.
pub fn raise_open_files(in_flight: u32) -> Result<(), u64> {
    // Embedded endpoint and client each hold one end of a connection.
    let needed = u64::from(in_flight) * 2 + RESERVE;
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= needed {
        return Ok(());
    }
    let target = needed.min(limit.maximum.unwrap_or(u64::MAX));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(target), maximum: limit.maximum }).is_ok();
    let have = if raised { target } else { current };
    if have >= needed { Ok(()) } else { Err(have.saturating_sub(RESERVE) / 2) }
}
