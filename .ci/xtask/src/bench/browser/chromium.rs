//! A headless Chromium and the memory of its processes.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A running browser. Dropping it ends all its processes.
pub struct Chromium {
    child: Child,
}

impl Chromium {
    /// Opens an address with a new profile in `folder`, on the graphics card or in software.
    ///
    /// # Errors
    /// If the browser cannot be started.
    pub fn open(browser: &Path, folder: &Path, address: &str, hardware: bool) -> Result<Chromium> {
        let profile = folder.join("profile");
        if profile.exists() {
            fs::remove_dir_all(&profile)
                .with_context(|| format!("cannot remove {}", profile.display()))?;
        }
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let log = fs::File::create(folder.join("chromium.log"))?;
        let mut command = Command::new(browser);
        command.args([
            "--headless=new",
            "--no-sandbox",
            "--enable-unsafe-webgpu",
            "--enable-features=Vulkan",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-dev-shm-usage",
            "--disable-sync",
            "--no-first-run",
            "--enable-logging=stderr",
        ]);
        if !hardware {
            command.args(["--use-vulkan=swiftshader", "--use-angle=swiftshader"]);
            command.arg("--use-webgpu-adapter=swiftshader");
        }
        command.arg(format!("--user-data-dir={}", profile.display())).arg(address);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn();
        let child = child.with_context(|| format!("cannot start {}", browser.display()))?;
        Ok(Chromium { child })
    }

    /// Returns the bytes that the renderers and the GPU process hold, without mapped files. The
    /// memory of a GPU in software is included. Returns `None` on systems other than Linux.
    pub fn memory_bytes(&self) -> Option<u64> {
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let status = |id: u32| Some((id, fs::read_to_string(format!("/proc/{id}/status")).ok()?));
        let all: HashMap<u32, String> = ids.filter_map(status).collect();
        let is_ours = |mut id: u32| {
            while id > 1 && id != self.child.id() {
                id = all.get(&id).and_then(|status| number(status, "PPid:")).unwrap_or(0) as u32;
            }
            id == self.child.id()
        };
        let computes = |id: u32| {
            let line = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
            ["--type=renderer", "--type=gpu-process"].iter().any(|kind| line.contains(kind))
        };
        let ours = all.iter().filter(|(id, _)| is_ours(**id) && computes(**id));
        let held = |status: &str| Some(number(status, "RssAnon:")? + number(status, "RssShmem:")?);
        Some(1024 * ours.filter_map(|(_, status)| held(status)).sum::<u64>())
    }
}

/// Returns the number after a key in the text of `/proc/ID/status`.
fn number(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // A negative id ends the process group: the browser's child processes would outlive it.
        #[cfg(unix)]
        let _ = Command::new("kill").args(["-9", "--", &format!("-{}", self.child.id())]).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_process_is_read_from_its_status() {
        let status = "Name:\tchromium\nPPid:\t17\nRssAnon:\t  2048 kB\nRssFile:\t 9 kB\n";
        assert_eq!(number(status, "RssAnon:"), Some(2048));
        assert_eq!(number(status, "PPid:"), Some(17));
        assert_eq!(number(status, "RssShmem:"), None);
    }
}
