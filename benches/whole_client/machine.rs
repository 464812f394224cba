//! The machine a table was made on, in the words of its head.

use std::process::Command;

/// Processor, cores, memory, kernel, compiler, version; and how busy the machine was beforehand.
pub fn describe() -> Vec<(&'static str, String)> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, key: &str| text.lines().find(|l| l.starts_with(key)).and_then(|l| l.split_once(':')).map(|(_, v)| v.trim().to_owned());
    let cpu = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kib: f64 = field(&read("/proc/meminfo"), "MemTotal").and_then(|v| v.split_whitespace().next()?.parse().ok()).unwrap_or(0.0);
    let load = read("/proc/loadavg").split_whitespace().take(1).collect::<String>();
    let commit = said("git", &["rev-parse", "--short=12", "HEAD"]);
    vec![
        ("processor", format!("{cpu}, {cores} cores, {:.0} GiB", kib / 1024.0 / 1024.0)),
        ("kernel", format!("{} {}", read("/proc/sys/kernel/ostype").trim(), read("/proc/sys/kernel/osrelease").trim())),
        ("compiler", said("rustc", &["--version"])),
        ("plimsoll", format!("{} ({commit})", env!("CARGO_PKG_VERSION"))),
        ("load average before", load),
    ]
}

fn said(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    out.ok().filter(|o| o.status.success()).map_or_else(|| "unknown".to_owned(), |o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
}

/// Seconds that all cores together have been busy since the machine started, to a hundredth.
pub fn busy_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|t| t.parse().ok()).collect();
    // user, nice, system, then after idle and waiting: interrupts, soft interrupts, steal.
    [0, 1, 2, 5, 6, 7].iter().filter_map(|&i| ticks.get(i)).sum::<f64>() / 100.0
}
