//! The kernel's own counters, from the texts under `/proc` and `/sys/fs/cgroup`. Pure: text in, figures out; what cannot be read is `None`.

/// One field of a process: `majflt` of `/proc/self/stat`. The name in parentheses may hold spaces and parentheses.
pub(crate) fn major_faults(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    // state ppid pgrp session tty_nr tpgid flags minflt cminflt majflt
    rest.split_whitespace().nth(9)?.parse().ok()
}

/// `nonvoluntary_ctxt_switches` of `/proc/self/task/*/status`.
pub(crate) fn preemptions(status: &str) -> Option<u64> {
    value_of(status, "nonvoluntary_ctxt_switches:")
}

/// Time that a thread ran and time that it waited for a core, nanoseconds, of `/proc/self/task/*/schedstat`.
pub(crate) fn run_and_wait(schedstat: &str) -> Option<(u64, u64)> {
    let mut fields = schedstat.split_whitespace().map(str::parse);
    Some((fields.next()?.ok()?, fields.next()?.ok()?))
}

/// Pages read back from swap, of `/proc/vmstat`.
pub(crate) fn swapped_in(vmstat: &str) -> Option<u64> {
    value_of(vmstat, "pswpin ")
}

/// Stolen and total processor time of the machine in ticks, of the first line of `/proc/stat`.
pub(crate) fn steal_and_total(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find(|l| l.starts_with("cpu "))?;
    // user nice system idle iowait irq softirq steal; guest time is in user already.
    let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|t| t.parse().ok()).collect();
    Some((*ticks.get(7)?, ticks.iter().sum()))
}

/// Packets dropped for a full softirq queue: the second column of `/proc/net/softnet_stat`, hexadecimal, one line a core.
pub(crate) fn softnet_drops(softnet: &str) -> Option<u64> {
    let drops: Vec<u64> = softnet.lines().filter_map(|l| u64::from_str_radix(l.split_whitespace().nth(1)?, 16).ok()).collect();
    (!drops.is_empty()).then(|| drops.iter().sum())
}

/// A counter of `/proc/net/snmp` or `/proc/net/netstat`: pairs of lines, names above values.
pub(crate) fn counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|l| l.strip_prefix(group).is_some_and(|rest| rest.starts_with(':')));
    let (names, values) = (lines.next()?, lines.next()?);
    let at = names.split_whitespace().position(|n| n == name)?;
    values.split_whitespace().nth(at)?.parse().ok()
}

/// How often, and for how many seconds in all, a control group was held back: `cpu.stat` of version 2 (`throttled_usec`) and 1 (`throttled_time`).
pub(crate) fn throttled(cpu_stat: &str) -> Option<(u64, f64)> {
    let periods = value_of(cpu_stat, "nr_throttled ")?;
    let micros = value_of(cpu_stat, "throttled_usec ").map(|us| us as f64 / 1e6);
    let seconds = micros.or_else(|| value_of(cpu_stat, "throttled_time ").map(|ns| ns as f64 / 1e9))?;
    Some((periods, seconds))
}

/// Cores that a quota leaves: `cpu.max` of version 2 (`20000 100000`, or `max 100000` for no quota).
pub(crate) fn quota_v2(cpu_max: &str) -> Option<f64> {
    let (quota, period) = cpu_max.trim().split_once(' ')?;
    ratio(quota.parse().ok()?, period.trim().parse().ok()?)
}

/// The same from `cpu.cfs_quota_us` (-1 for none) and `cpu.cfs_period_us` of version 1.
pub(crate) fn quota_v1(quota: &str, period: &str) -> Option<f64> {
    ratio(quota.trim().parse().ok()?, period.trim().parse().ok()?)
}

fn ratio(quota: f64, period: f64) -> Option<f64> {
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// Where the processor's control group of a process may be found, of `/proc/self/cgroup`: folders under `/sys/fs/cgroup`, the group's own first and
/// then every one above it, since a quota may sit on any of them.
pub(crate) fn cgroup_folders(cgroup: &str) -> Vec<String> {
    let mut folders = Vec::new();
    for line in cgroup.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let roots: Vec<String> = if controllers.is_empty() {
            vec![String::new(), "/unified".to_owned()]
        } else if controllers.split(',').any(|c| c == "cpu") {
            vec![format!("/{controllers}"), "/cpu".to_owned()]
        } else {
            continue;
        };
        let mut path = path.trim_end_matches('/');
        loop {
            for root in &roots {
                let folder = format!("/sys/fs/cgroup{root}{path}");
                if !folders.contains(&folder) {
                    folders.push(folder);
                }
            }
            let Some((above, _)) = path.rsplit_once('/') else { break };
            path = above;
        }
    }
    folders
}

/// `MemAvailable` of `/proc/meminfo` in bytes.
pub(crate) fn memory_available(meminfo: &str) -> Option<u64> {
    value_of(meminfo, "MemAvailable:").map(|kib| kib.saturating_mul(1024))
}

/// Ports that outgoing connections may take: those of `ip_local_port_range` less the ones in `ip_local_reserved_ports` (`8080,9000-9010`).
pub(crate) fn local_ports(range: &str, reserved: &str) -> Option<u64> {
    let mut ends = range.split_whitespace().map(str::parse::<u64>);
    let (low, high) = (ends.next()?.ok()?, ends.next()?.ok()?);
    let kept_back = reserved.trim().split(',').filter_map(|part| {
        let (a, b) = part.split_once('-').unwrap_or((part, part));
        let (a, b) = (a.trim().parse::<u64>().ok()?.max(low), b.trim().parse::<u64>().ok()?.min(high));
        (b >= a).then(|| b - a + 1)
    });
    Some((high + 1).saturating_sub(low).saturating_sub(kept_back.sum()))
}

/// The first number after `key` on a line that begins with it.
fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|l| l.strip_prefix(key))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_process_are_found_behind_any_name() {
        let stat = "4242 (a) b (c)) S 1 4242 4242 0 -1 4194304 900 0 17 0 12 3 0 0 20 0 1 0 100 0 0";
        assert_eq!(major_faults(stat), Some(17));
        assert_eq!(preemptions("Name:\tx\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t545\n"), Some(545));
        assert_eq!(run_and_wait("1208973 974653 12\n"), Some((1_208_973, 974_653)));
        assert_eq!((major_faults("4242 (x"), preemptions(""), run_and_wait("7")), (None, None, None));
    }

    #[test]
    fn counters_of_the_machine_are_read() {
        let stat = "cpu  994070 94053 191591 1084313 7811 0 3935 1647 0 0\ncpu0 1 2 3\n";
        assert_eq!(steal_and_total(stat), Some((1647, 2_377_420)));
        assert_eq!(steal_and_total("cpu  1 2 3\n"), None);
        assert_eq!(swapped_in("pgpgin 7\npswpin 12\npswpout 5\n"), Some(12));
        let softnet = "002b0ded 0000000a 00000000\n00283d13 00000001 00000003\n";
        assert_eq!((softnet_drops(softnet), softnet_drops("")), (Some(11), None));
        let snmp = "Ip: Forwarding\nIp: 1\nTcp: RtoAlgorithm OutSegs RetransSegs\nTcp: 1 5441767 93\n";
        assert_eq!((counter(snmp, "Tcp", "RetransSegs"), counter(snmp, "Tcp", "OutSegs")), (Some(93), Some(5_441_767)));
        assert_eq!((counter(snmp, "Tcp", "Nothing"), counter(snmp, "TcpExt", "RetransSegs"), counter("", "Tcp", "OutSegs")), (None, None, None));
    }

    #[test]
    fn both_versions_of_control_groups_are_understood() {
        assert_eq!(throttled("usage_usec 9\nnr_periods 100\nnr_throttled 40\nthrottled_usec 1500000\n"), Some((40, 1.5)));
        assert_eq!(throttled("nr_periods 100\nnr_throttled 40\nthrottled_time 1500000000\n"), Some((40, 1.5)));
        assert_eq!(throttled("usage_usec 9\n"), None);
        assert_eq!((quota_v2("20000 100000\n"), quota_v2("max 100000\n")), (Some(0.2), None));
        assert_eq!((quota_v1("150000\n", "100000\n"), quota_v1("-1\n", "100000\n")), (Some(1.5), None));
    }

    #[test]
    fn a_quota_is_looked_for_on_every_level() {
        assert_eq!(
            cgroup_folders("0::/a/b\n"),
            [
                "/sys/fs/cgroup/a/b",
                "/sys/fs/cgroup/unified/a/b",
                "/sys/fs/cgroup/a",
                "/sys/fs/cgroup/unified/a",
                "/sys/fs/cgroup",
                "/sys/fs/cgroup/unified"
            ]
        );
        let first = cgroup_folders("9:name=systemd:/x\n4:memory:/m\n3:cpu,cpuacct:/pod\n");
        assert_eq!(first, ["/sys/fs/cgroup/cpu,cpuacct/pod", "/sys/fs/cgroup/cpu/pod", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu"]);
        assert!(cgroup_folders("").is_empty());
    }

    #[test]
    fn ports_and_memory_are_counted() {
        assert_eq!(local_ports("32768\t60999\n", "\n"), Some(28_232));
        assert_eq!(local_ports("32768 60999", "8080,40000-40009,60999,70000-x"), Some(28_232 - 11));
        assert_eq!(local_ports("", ""), None);
        assert_eq!(memory_available("MemTotal: 9 kB\nMemAvailable:   1000 kB\n"), Some(1_024_000));
    }
}
