//! Locks of folders, so that one process at a time writes into a run. The operating system releases
//! a lock when its process ends, even by a kill. The lock's file names the holder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use sysinfo::System;

use crate::progress;

/// The name of the lock's file in the folder.
pub const LOCK: &str = ".rewind.lock";
/// The most bytes that are read of a lock's file.
const MAX_BYTES: u64 = 4096;
/// The time in which another process must write its name, or release the folder.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The interval between two attempts.
const INTERVAL: Duration = Duration::from_millis(20);

/// A folder that only this process writes into, or only processes with the same purpose.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
    path: PathBuf,
}

impl FolderLock {
    /// Locks a folder for this process alone, and creates it if it is missing. On a file system without
    /// locks, prints a warning and continues.
    ///
    /// # Errors
    /// Errors with the holder if another process holds the folder, and if the folder cannot be written
    /// to.
    pub fn alone(folder: &Path) -> Result<FolderLock> {
        take(folder, None)
    }

    /// Locks a folder together with other processes of the same `purpose`.
    ///
    /// # Errors
    /// As [`FolderLock::alone`].
    pub fn shared(folder: &Path, purpose: &str) -> Result<FolderLock> {
        take(folder, Some(purpose))
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // The last holder removes the file, unless the name belongs to the next holder's file.
        if self.file.try_lock().is_ok() && self.is_named() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The outcome of an attempt to lock.
enum Attempt {
    /// This process holds the folder.
    Taken,
    /// The file system has no locks.
    NoLocks(io::Error),
    /// Another process, named here, holds the folder.
    Held(String),
    /// The folder is being released, or its holder has not written its name yet.
    Changing,
}

fn take(folder: &Path, purpose: Option<&str>) -> Result<FolderLock> {
    let path = folder.join(LOCK);
    let about = || format!("cannot write into {}", folder.display());
    fs::create_dir_all(folder).with_context(about)?;
    let started = Instant::now();
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).with_context(about)?;
        let mut lock = FolderLock { file, path: path.clone() };
        let holder = match lock.attempt(purpose).with_context(about)? {
            Attempt::Taken => return Ok(lock),
            Attempt::NoLocks(error) => {
                progress::say(format!(
                    "{}: no locks on this file system ({error}), so that a second process is not \
                     noticed: see to it that none writes there",
                    folder.display()
                ));
                let _ = fs::remove_file(&path);
                return Ok(lock);
            }
            Attempt::Held(holder) => format!(" by {holder}"),
            Attempt::Changing if started.elapsed() > TIMEOUT => String::new(),
            Attempt::Changing => {
                sleep(INTERVAL);
                continue;
            }
        };
        bail!(
            "expected a folder that nobody else writes into, found it in use{holder}: wait for the end \
             of that, or give another --out (in {})",
            folder.display()
        );
    }
}

impl FolderLock {
    /// Tries to lock the file.
    ///
    /// # Errors
    /// Errors if the file cannot be written, as on a full disk.
    fn attempt(&mut self, purpose: Option<&str>) -> io::Result<Attempt> {
        match self.file.try_lock() {
            // The previous holder removed the file after it was opened here.
            Ok(()) if !self.is_named() => return Ok(Attempt::Changing),
            Ok(()) => {
                self.describe(purpose)?;
                if purpose.is_none() {
                    return Ok(Attempt::Taken);
                }
                // Another process may lock it in between. The file's content below tells which.
                self.file.unlock()?;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Ok(Attempt::NoLocks(error)),
        }
        let is_shared = purpose.is_some() && self.file.try_lock_shared().is_ok();
        Ok(match self.read() {
            Some((_, found)) if purpose.is_some() && found.as_deref() == purpose => {
                if is_shared && self.is_named() { Attempt::Taken } else { Attempt::Changing }
            }
            // A file that can be locked has no holder: its content is of an ended process.
            Some(_) if is_shared && self.file.try_lock().is_ok() => Attempt::Changing,
            Some((holder, _)) => Attempt::Held(holder),
            None => Attempt::Changing,
        })
    }

    /// Returns whether the file still has its name.
    fn is_named(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
            let [held, named] = [self.file.metadata(), fs::metadata(&self.path)];
            matches!((held.map(id), named.map(id)), (Ok(held), Ok(named)) if held == named)
        }
        #[cfg(not(unix))]
        self.path.exists()
    }

    /// Writes the holder and the purpose.
    fn describe(&mut self, purpose: Option<&str>) -> io::Result<()> {
        let host = System::host_name().unwrap_or_else(|| "an unnamed machine".into());
        let now = humantime::format_rfc3339_seconds(SystemTime::now());
        let holder = format!("process {} on {host} since {now}", std::process::id());
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(format!("{holder}\n{}\n", purpose.unwrap_or_default()).as_bytes())
    }

    /// Reads the holder and the purpose; `None` if they are not written yet.
    fn read(&mut self) -> Option<(String, Option<String>)> {
        self.file.rewind().ok()?;
        let mut text = String::new();
        (&self.file).take(MAX_BYTES).read_to_string(&mut text).ok()?;
        let mut lines = text.lines().map(|line| line.replace(char::is_control, " "));
        let (holder, purpose) = (lines.next()?, lines.next()?);
        Some((holder, Some(purpose).filter(|purpose| !purpose.is_empty())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(lock: Result<FolderLock>) -> String {
        format!("{:#}", lock.expect_err("refused"))
    }

    #[test]
    fn a_folder_has_one_holder_until_it_is_released() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("run");
        let held = FolderLock::alone(&folder).unwrap();
        let error = refused(FolderLock::alone(&folder));
        for part in [&format!("process {} on ", std::process::id()), "since 20", "another --out"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(error.ends_with(&format!("(in {})", folder.display())), "{error}");
        assert!(refused(FolderLock::shared(&folder, "a")).contains("process"));
        drop(held);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        drop(FolderLock::alone(&folder).unwrap());
        // The file of a killed process.
        fs::write(folder.join(LOCK), "process 1 on a machine since then\n\n").unwrap();
        drop(FolderLock::alone(&folder).unwrap());
        fs::write(folder.join(LOCK), "process 1 on a machine since then\nb\n").unwrap();
        drop(FolderLock::shared(&folder, "a").unwrap());
        assert!(!folder.join(LOCK).exists());
    }

    #[test]
    fn several_processes_hold_a_folder_only_for_the_same_purpose() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) =
            (FolderLock::shared(folder.path(), "a"), FolderLock::shared(folder.path(), "a"));
        assert!(refused(FolderLock::shared(folder.path(), "b")).contains("process"));
        assert!(refused(FolderLock::alone(folder.path())).contains("process"));
        drop(one.unwrap());
        assert!(refused(FolderLock::shared(folder.path(), "b")).contains("process"));
        drop(two.unwrap());
        FolderLock::shared(folder.path(), "b").unwrap();
    }

    /// Holders lock and release as fast as they can.
    #[test]
    fn of_many_threads_one_holds_the_folder_at_a_time() {
        use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
        let folder = tempfile::tempdir().unwrap();
        let (holders, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let Ok(lock) = FolderLock::alone(folder.path()) else { continue };
                        assert_eq!(holders.fetch_add(1, SeqCst), 0);
                        taken.fetch_add(1, SeqCst);
                        holders.fetch_sub(1, SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert!(taken.load(SeqCst) >= 200, "{taken:?}");
    }
}
