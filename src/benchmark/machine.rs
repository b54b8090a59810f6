//! On what the benchmark ran: figures say nothing without it.

use std::fs;
use std::path::Path;
use std::thread;

use serde::Serialize;

/// A machine, as far as it matters.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// How many processors may be used.
    pub processors: usize,
    /// What they are called.
    pub processor_model: Option<String>,
    /// The size of the memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// The kind of the file system that was measured.
    pub file_system: Option<String>,
}

impl Machine {
    /// Looks at this machine, and at the file system of a directory.
    pub fn examine(directory: &Path) -> Self {
        let value = |path: &str, key: &str| {
            let text = fs::read_to_string(path).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.trim_start_matches([' ', '\t', ':']).to_owned())
        };
        let memory_kib = value("/proc/meminfo", "MemTotal:");
        let memory_kib = memory_kib.and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok());
        Machine {
            processors: thread::available_parallelism().map_or(1, usize::from),
            processor_model: value("/proc/cpuinfo", "model name"),
            memory_bytes: memory_kib.map(|kib| kib * 1024),
            file_system: file_system(directory),
        }
    }
}

/// Finds the kind of the file system that a directory is on: that of the longest mount point above it.
fn file_system(directory: &Path) -> Option<String> {
    let directory = fs::canonicalize(directory).ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let above = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind) = (fields.next()?, fields.next()?);
        directory.starts_with(point).then_some((point.len(), kind))
    });
    // The last of several mounts on the same point hides the others.
    above.max_by_key(|(length, _)| *length).map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_processor_memory_and_a_file_system() {
        let machine = Machine::examine(Path::new("/"));
        assert!(machine.processors > 0 && machine.memory_bytes > Some(1 << 20), "{machine:?}");
        assert_eq!(file_system(Path::new("/proc/self/")).as_deref(), Some("proc"));
        assert!(machine.file_system.is_some());
    }
}
