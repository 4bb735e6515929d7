//! The peak memory of steps, measured in the same way for every library: its allocator takes no part.

use std::process::Command;

/// The number that the peak is read from.
#[derive(Debug, Clone, PartialEq)]
enum Source {
    /// The resident memory of the process; the system keeps its high-water mark.
    HighWaterMark,
    /// All memory that the CUDA device of this index holds.
    NvidiaSmi(String),
    /// The bytes that the memory pool has reserved; only our libraries have one.
    Pool,
}

/// The peak memory since a moment before the first step.
pub struct PeakMemory {
    source: Source,
    /// Bytes held at the start; `None` if the source cannot be read here.
    before: Option<u64>,
    peak: u64,
}

impl PeakMemory {
    /// Starts with the network on its device, before the first step. `pool_bytes` is the size of the
    /// memory pool of the device.
    pub fn start(device: &str, pool_bytes: Option<u64>) -> PeakMemory {
        let source = match device.split_once(':').unwrap_or((device, "0")) {
            ("cpu", _) => Source::HighWaterMark,
            ("cuda", index) => Source::NvidiaSmi(index.to_string()),
            _ => Source::Pool,
        };
        let before = match source {
            Source::HighWaterMark => reset_high_water_mark(),
            _ => source.bytes(pool_bytes),
        };
        PeakMemory { source, before, peak: before.unwrap_or(0) }
    }

    /// Reads the memory after a step. That is often enough: allocators keep the memory of a step.
    pub fn update(&mut self, pool_bytes: Option<u64>) {
        if self.before.is_some() {
            self.peak = self.peak.max(self.source.bytes(pool_bytes).unwrap_or(0));
        }
    }

    /// Returns the peak bytes above those at the start.
    pub fn peak_bytes(&self) -> Option<u64> {
        self.before.map(|before| self.peak - before)
    }

    /// Returns the source of the number, in words.
    pub fn source(&self) -> &'static str {
        match self.source {
            _ if self.before.is_none() => "not measured: neither /proc nor nvidia-smi answers here",
            Source::HighWaterMark => "the process's resident memory at its high-water mark",
            Source::NvidiaSmi(_) => {
                "the device's used memory, read from nvidia-smi after every step"
            }
            Source::Pool => "the bytes that the device's pool has reserved",
        }
    }
}

impl Source {
    fn bytes(&self, pool_bytes: Option<u64>) -> Option<u64> {
        match self {
            Source::HighWaterMark => process_status("VmHWM:"),
            Source::NvidiaSmi(index) => cuda_bytes(index),
            Source::Pool => pool_bytes,
        }
    }
}

/// Resets the high-water mark. Returns the bytes that are resident now.
fn reset_high_water_mark() -> Option<u64> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: returns unused pages to the system, so that the steps are seen to take them.
    unsafe {
        libc::malloc_trim(0);
    }
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    process_status("VmRSS:")
}

/// Returns the bytes of a line of the process's status.
fn process_status(name: &str) -> Option<u64> {
    kibibytes(&std::fs::read_to_string("/proc/self/status").ok()?, name)
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

/// Returns the bytes that all processes hold on a CUDA device.
fn cuda_bytes(index: &str) -> Option<u64> {
    let query = ["--query-gpu=memory.used", "--format=csv,noheader,nounits"];
    let output = Command::new("nvidia-smi").args(query).args(["--id", index]).output().ok()?;
    let mebibytes: u64 = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
    mebibytes.checked_mul(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_parsed() {
        let status = "Name:\trewind\nVmHWM:\t   12 kB\nVmRSS:\t    3 kB\n";
        assert_eq!(kibibytes(status, "VmHWM:"), Some(12 * 1024));
        assert_eq!(kibibytes(status, "VmPeak:"), None);
        assert_eq!(kibibytes("VmHWM:\t99999999999999999999 kB", "VmHWM:"), None);
    }

    /// Other tests of this process may hold memory too, so the peak is at least that of this test.
    #[test]
    fn memory_that_was_freed_counts_in_the_peak() {
        let mut memory = PeakMemory::start("cpu", None);
        drop(std::hint::black_box(vec![1u8; 64 << 20]));
        memory.update(None);
        if let Some(bytes) = memory.peak_bytes() {
            assert!(bytes > 60 << 20, "{bytes}");
            assert!(memory.source().contains("high-water"));
        }
    }
}
