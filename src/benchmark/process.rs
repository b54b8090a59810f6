//! What the kernel tells of a process, in `/proc` (proc(5)).

use std::fs;

/// The unit of times in `/proc`: part of Linux's interface, the same on all its machines that matter here.
const TICKS_PER_SECOND: f64 = 100.0;

/// Returns the processor time of a process and of those of its children that it has waited for, in
/// seconds; that of a process that ended is there until somebody waits for it.
pub(super) fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Fields 14 to 17, counted behind the name, which may contain anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(4).map(str::parse::<f64>);
    Some(ticks.sum::<Result<f64, _>>().ok()? / TICKS_PER_SECOND)
}

/// Returns the processor time of a process and of all that it ever started.
pub(super) fn family_cpu_seconds(pid: u32) -> Option<f64> {
    let living = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let children = living.split_whitespace().filter_map(|child| child.parse().ok());
    // One that ends meanwhile is counted with its parent the next time.
    Some(cpu_seconds(pid)? + children.filter_map(cpu_seconds).sum::<f64>())
}

/// Says whether there is a process that runs a program of that name.
pub(super) fn is_named(pid: u32, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|found| found.trim_end() == name)
}

/// Returns the most memory that a process had at once, in bytes.
pub(super) fn peak_memory_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        let pid = process::id();
        while cpu_seconds(pid).unwrap() == 0.0 {}
        assert!(family_cpu_seconds(pid).unwrap() >= cpu_seconds(pid).unwrap());
        assert!(peak_memory_bytes(pid).unwrap() > 1 << 20);
    }

    #[test]
    fn nothing_is_told_of_a_process_that_is_not_there() {
        assert_eq!((cpu_seconds(u32::MAX), peak_memory_bytes(u32::MAX)), (None, None));
    }
}
