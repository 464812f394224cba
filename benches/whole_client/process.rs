//! Processes under measurement: pinned to a core, bounded in time, their processor time and memory taken from the kernel.

use super::alarm::{now_ns, wall_ns};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What bash does around a command: stamps it, and reads its processor time (all of its children included) when it has ended.
const AROUND: &str =
    r#"TIMEFORMAT="%U %S"; s=$EPOCHREALTIME; { time "$@" >"$0.out" 2>"$0.err"; } 2>"$0.cpu"; c=$?; echo "$s $EPOCHREALTIME $c" >"$0.wall""#;

/// A command that has ended.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// When it was started, monotonic ns.
    pub started_ns: u64,
    /// When it had ended, monotonic ns.
    pub ended_ns: u64,
    /// User and system seconds.
    pub cpu_s: f64,
    /// Resident memory at its peak, MiB, over all its processes.
    pub peak_mib: f64,
    /// Processes at once, most.
    pub processes: usize,
    /// Exit code; 124 when it was killed for taking too long.
    pub code: i32,
    /// What it wrote.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

/// Ends this process when its parent does.
pub fn end_with_parent() {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

/// `hold COMMAND...`: becomes the command, which is asked to end when the benchmark does, however that ends; `timeout` passes it on.
pub fn hold(command: &[String]) -> Result<(), String> {
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
    let [program, arguments @ ..] = command else { return Err("hold: no command".to_owned()) };
    Err(format!("{program}: {}", Command::new(program).args(arguments).exec()))
}

/// Raises the soft limit on open files to the hard one.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Lets this thread, and what it starts from now on, run on these cores alone.
pub fn pin(cores: &[usize]) -> Result<(), String> {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core);
    }
    sched_setaffinity(None, &set).map_err(|e| format!("cannot run on cores {cores:?}: {e}"))
}

/// Runs a command on one core for at most `limit` and watches it. Files are written beside `stem`.
pub fn run(command: &[String], core: usize, home: &[usize], limit: Duration, stem: &Path, env: &[(String, String)]) -> Result<Ran, String> {
    let file = |ending: &str| stem.with_extension(ending);
    let mut outer = Command::new(std::env::current_exe().map_err(|e| e.to_string())?);
    outer.args(["hold", "timeout", "-k", "2", &limit.as_secs_f64().to_string(), "bash", "-c", AROUND]).arg(stem).args(command);
    outer.envs(env.iter().map(|(k, v)| (k.as_str(), v.as_str()))).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    pin(&[core])?;
    let child = outer.spawn().map_err(|e| format!("timeout: {e}"));
    pin(home)?;
    let (peak_mib, processes) = watch(&mut Guard(child?));
    let read = |ending: &str| std::fs::read(file(ending)).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
    let wall: Vec<f64> = read("wall").split_whitespace().filter_map(|w| w.parse().ok()).collect();
    let cpu_s = read("cpu").split_whitespace().filter_map(|w| w.parse::<f64>().ok()).sum();
    let [started, ended, code] = wall[..] else {
        return Ok(Ran { code: 124, stderr: "took too long and was stopped".to_owned(), ..Ran::default() });
    };
    // The shell tells wall time; the judge's clock is monotonic.
    let shift = wall_ns() as f64 - now_ns() as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "instants since boot and exit codes are small and positive")]
    let ran = Ran {
        started_ns: (started * 1e9 - shift).max(0.0) as u64,
        ended_ns: (ended * 1e9 - shift).max(0.0) as u64,
        code: code as i32,
        cpu_s,
        peak_mib,
        processes,
        stdout: read("out"),
        stderr: read("err"),
    };
    for ending in ["out", "err", "cpu", "wall"] {
        let _ = std::fs::remove_file(file(ending));
    }
    Ok(ran)
}

/// A child that does not outlive its owner.
#[derive(Debug)]
pub struct Guard(pub Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for `timeout`, and samples the processes two levels below it (it runs bash, which runs the command).
fn watch(outer: &mut Guard) -> (f64, usize) {
    let begun = now_ns();
    let (mut peak, mut most) = (0.0_f64, 0);
    while matches!(outer.0.try_wait(), Ok(None)) {
        let below: Vec<u32> = children(outer.0.id()).into_iter().flat_map(children).collect();
        let tree = descendants(below);
        let sizes: Vec<(f64, f64)> = tree.iter().map(|&pid| memory_mib(pid)).collect();
        let resident: f64 = sizes.iter().map(|s| s.0).sum();
        let highest = sizes.iter().map(|s| s.1).fold(0.0, f64::max);
        peak = peak.max(resident).max(highest);
        most = most.max(tree.len());
        let pause = if now_ns() - begun < 300_000_000 { 1 } else { 25 };
        std::thread::sleep(Duration::from_millis(pause));
    }
    (peak, most)
}

fn descendants(mut found: Vec<u32>) -> Vec<u32> {
    let mut at = 0;
    while at < found.len() {
        let more = children(found[at]);
        found.extend(more);
        at += 1;
    }
    found
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let of_thread = |path: std::path::PathBuf| std::fs::read_to_string(path.join("children")).unwrap_or_default();
    threads.flatten().flat_map(|t| of_thread(t.path()).split_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Resident now, and at its highest.
fn memory_mib(pid: u32) -> (f64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = |key: &str| -> f64 {
        let line = status.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default();
        line.split_whitespace().next().and_then(|v| v.parse().ok()).unwrap_or(0.0)
    };
    (kib("VmRSS:") / 1024.0, kib("VmHWM:") / 1024.0)
}
