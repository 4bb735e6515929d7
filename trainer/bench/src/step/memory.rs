//! How many bytes steps take, by the same method for every library: one that no allocator of theirs
//! has to take part in.

use std::process::Command;

/// What the most bytes are read from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Method {
    /// The process's resident memory, whose high-water mark the system keeps.
    HighWater,
    /// All that the device holds.
    Smi,
    /// What the pool of the device's library has reserved; it exists for ours alone.
    Pool,
    Nothing,
}

/// Watches the memory of steps from before the first.
pub(super) struct Watch {
    method: Method,
    /// The device's number, for CUDA.
    number: String,
    before: u64,
    most: u64,
}

impl Watch {
    /// Before the first step, with the network on its device, which was asked for by a name or is
    /// the first of its kind. `pool` is what its pool has reserved.
    pub fn start(device: &str, asked: Option<&str>, pool: Option<u64>) -> Watch {
        let number = asked.and_then(|name| name.split_once(':')).map_or("0", |(_, number)| number);
        let number = number.to_string();
        let is_cuda = device.to_lowercase().contains("cuda");
        let (method, before) = match device {
            "cpu" => {
                high_water_from_here().map_or((Method::Nothing, 0), |now| (Method::HighWater, now))
            }
            _ if is_cuda => used(&number).map_or((Method::Nothing, 0), |now| (Method::Smi, now)),
            _ => pool.map_or((Method::Nothing, 0), |now| (Method::Pool, now)),
        };
        Watch { method, number, before, most: before }
    }

    /// After a step. On a device this is enough: what its allocators took for a step, they keep.
    pub fn look(&mut self, pool: Option<u64>) {
        let now = match self.method {
            Method::HighWater => status("VmHWM:"),
            Method::Smi => used(&self.number),
            Method::Pool => pool,
            Method::Nothing => None,
        };
        self.most = self.most.max(now.unwrap_or(0));
    }

    /// The most bytes above those before the first step, and how they were found.
    pub fn most(&self) -> (Option<u64>, &'static str) {
        let most = (self.method != Method::Nothing).then_some(self.most - self.before);
        let how = match self.method {
            Method::HighWater => "the process's resident memory at its high-water mark",
            Method::Smi => "the device's used memory, read from nvidia-smi after every step",
            Method::Pool => "what the device's pool has reserved",
            Method::Nothing => "not measured: neither /proc nor nvidia-smi answers here",
        };
        (most, how)
    }
}

/// Starts the high-water mark anew; the bytes resident now.
fn high_water_from_here() -> Option<u64> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: gives pages that nothing uses back to the system, so that steps are seen to take them.
    unsafe {
        libc::malloc_trim(0);
    }
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    status("VmRSS:")
}

/// A line of the process's status that tells kibibytes.
fn status(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    kibibytes(&status, name)
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

/// Bytes that a CUDA device holds, for whatever process.
fn used(number: &str) -> Option<u64> {
    let query = ["--query-gpu=memory.used", "--format=csv,noheader,nounits"];
    let output = Command::new("nvidia-smi").args(query).args(["--id", number]).output().ok()?;
    let mebibytes: u64 = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
    mebibytes.checked_mul(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read() {
        let status = "Name:\trewind\nVmHWM:\t   12 kB\nVmRSS:\t    3 kB\n";
        assert_eq!(kibibytes(status, "VmHWM:"), Some(12 * 1024));
        assert_eq!(kibibytes(status, "VmPeak:"), None);
        assert_eq!(kibibytes("VmHWM:\t99999999999999999999 kB", "VmHWM:"), None);
    }

    /// Other tests of this process may take memory too, never less than this one does.
    #[test]
    fn what_is_taken_and_given_back_is_seen() {
        let mut watch = Watch::start("cpu", None, None);
        if watch.method == Method::Nothing {
            return;
        }
        drop(std::hint::black_box(vec![1u8; 64 << 20]));
        watch.look(None);
        let (most, how) = watch.most();
        assert!(most.unwrap() > 60 << 20, "{most:?}");
        assert!(how.contains("high-water"));
    }
}
