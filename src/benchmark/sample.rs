//! What a single run came to.

use serde::Serialize;

/// A run of a program. What was not measured is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// From its start to its end, in seconds.
    pub seconds: f64,
    /// Processor time of the program, in user mode and in the kernel, in seconds.
    pub client_cpu_seconds: Option<f64>,
    /// Processor time of the server's processes meanwhile, in seconds.
    pub server_cpu_seconds: Option<f64>,
    /// The most memory that the program had at once, in bytes; without processes that it started itself.
    pub peak_memory_bytes: Option<u64>,
    /// The size of the files that it wrote.
    pub stored_bytes: Option<u64>,
    /// Transactions that were committed meanwhile.
    pub commits_per_second: Option<f64>,
    /// The time that 99 of 100 transactions stayed below, in seconds.
    pub commit_p99_seconds: Option<f64>,
}

impl Sample {
    /// Returns what this run and another one behind it took together.
    pub(super) fn followed_by(self, next: Sample) -> Sample {
        let sum = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a + b);
        Sample {
            seconds: self.seconds + next.seconds,
            client_cpu_seconds: sum(self.client_cpu_seconds, next.client_cpu_seconds),
            peak_memory_bytes: self.peak_memory_bytes.max(next.peak_memory_bytes),
            ..self
        }
    }

    /// Returns how fast it was: commits a second where these were counted, else runs a second.
    pub fn speed(&self) -> f64 {
        self.commits_per_second.unwrap_or(1.0 / self.seconds)
    }
}
