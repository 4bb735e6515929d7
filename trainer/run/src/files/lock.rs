//! Who writes into a folder: held by a lock of the system, which ends with its process, however
//! that ends. The lock's file says who holds it, for those who are refused.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use sysinfo::System;

use crate::progress;

/// The file's name in the folder that is held.
pub const LOCK: &str = ".rewind.lock";
/// The most that is read of one.
const MAX_BYTES: u64 = 4096;
/// How long another process is given to write who it is, or to go.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How often is looked until then.
const INTERVAL: Duration = Duration::from_millis(20);

/// A folder that this process alone writes into, or together with others that do the same.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
    path: PathBuf,
}

impl FolderLock {
    /// Takes a folder for this process alone; the folder is made where there is none. Where the file
    /// system has no locks, says so and goes on.
    ///
    /// # Errors
    /// When another process holds it, with who that is; when the folder cannot be written to.
    pub fn alone(folder: &Path) -> Result<FolderLock> {
        take(folder, None)
    }

    /// Takes a folder together with other processes whose `purpose` is the same.
    ///
    /// # Errors
    /// As [`FolderLock::alone`].
    pub fn shared(folder: &Path, purpose: &str) -> Result<FolderLock> {
        take(folder, Some(purpose))
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Of several that hold it the last one removes it, and only what still has the name: the
        // next one's file is not this one's.
        if self.file.try_lock().is_ok() && self.is_named() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What came of one try.
enum Try {
    /// The folder is this process's.
    Taken,
    /// The file system has no locks.
    NoLocks(io::Error),
    /// Another process holds it, which this says.
    Held(String),
    /// It is being given back, or whoever holds it has not said so yet.
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
            Try::Taken => return Ok(lock),
            Try::NoLocks(error) => {
                progress::say(format!(
                    "{}: no locks on this file system ({error}), so that a second process is not \
                     noticed: see to it that none writes there",
                    folder.display()
                ));
                let _ = fs::remove_file(&path);
                return Ok(lock);
            }
            Try::Held(holder) => format!(" by {holder}"),
            Try::Changing if started.elapsed() > TIMEOUT => String::new(),
            Try::Changing => {
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
    /// Tries to get the lock.
    ///
    /// # Errors
    /// When the file cannot be written, as on a full disk.
    fn attempt(&mut self, purpose: Option<&str>) -> io::Result<Try> {
        match self.file.try_lock() {
            // Whoever held it before has removed it since it was opened.
            Ok(()) if !self.is_named() => return Ok(Try::Changing),
            Ok(()) => {
                self.describe(purpose)?;
                if purpose.is_none() {
                    return Ok(Try::Taken);
                }
                // Another may come in between; which of the two it is, the file says below.
                self.file.unlock()?;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Ok(Try::NoLocks(error)),
        }
        let is_shared = purpose.is_some() && self.file.try_lock_shared().is_ok();
        Ok(match self.read() {
            Some((_, found)) if purpose.is_some() && found.as_deref() == purpose => {
                if is_shared && self.is_named() { Try::Taken } else { Try::Changing }
            }
            // Nobody holds what could be locked: what it says is of a process that is gone.
            Some(_) if is_shared && self.file.try_lock().is_ok() => Try::Changing,
            Some((holder, _)) => Try::Held(holder),
            None => Try::Changing,
        })
    }

    /// Whether the file still has its name.
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

    /// Writes who holds it, and for what.
    fn describe(&mut self, purpose: Option<&str>) -> io::Result<()> {
        let host = System::host_name().unwrap_or_else(|| "an unnamed machine".into());
        let now = humantime::format_rfc3339_seconds(SystemTime::now());
        let holder = format!("process {} on {host} since {now}", std::process::id());
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(format!("{holder}\n{}\n", purpose.unwrap_or_default()).as_bytes())
    }

    /// Who holds it, and for what; none where that is not said, or not yet.
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
    fn a_folder_is_held_by_one_until_it_is_given_back() {
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
        // What a process leaves that was killed.
        fs::write(folder.join(LOCK), "process 1 on a machine since then\n\n").unwrap();
        drop(FolderLock::alone(&folder).unwrap());
        fs::write(folder.join(LOCK), "process 1 on a machine since then\nb\n").unwrap();
        drop(FolderLock::shared(&folder, "a").unwrap());
        assert!(!folder.join(LOCK).exists());
    }

    #[test]
    fn several_hold_a_folder_for_the_same_purpose_alone() {
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

    /// Holders come and go as fast as they can: there is never more than one.
    #[test]
    fn of_many_that_try_one_has_it_at_a_time() {
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
