//! This program in a process of its own, which is ended when its time is over.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How often is looked whether it has ended.
const TICK: Duration = Duration::from_millis(50);

/// What a process left.
pub struct Found {
    /// What it printed, or why it failed.
    pub text: Result<String, String>,
}

/// Runs a command of this program; none where it did not end in time. Its progress goes to stderr.
///
/// # Errors
/// When no process can be started.
pub fn run(args: &[String], time: Duration) -> Result<Option<Found>> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    super::super::ends_with_this(&mut command);
    let mut child = command.spawn().context("cannot start the process that is measured")?;
    // Read while it runs: a full pipe would stop it.
    let reader = |mut pipe: Box<dyn Read + Send>, is_shown: bool| {
        thread::spawn(move || {
            let (mut text, mut part) = (Vec::new(), [0; 4096]);
            while let Ok(n @ 1..) = pipe.read(&mut part) {
                if is_shown {
                    eprint!("{}", String::from_utf8_lossy(&part[..n]));
                }
                text.extend_from_slice(&part[..n]);
            }
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let stdout = reader(Box::new(child.stdout.take().expect("piped")), false);
    let stderr = reader(Box::new(child.stderr.take().expect("piped")), true);
    let deadline = Instant::now() + time;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if Instant::now() > deadline {
            // A training survives that at any moment.
            child.kill()?;
            child.wait()?;
            break None;
        }
        thread::sleep(TICK);
    };
    let (stdout, stderr) = (stdout.join(), stderr.join());
    let Some(status) = status else { return Ok(None) };
    let (stdout, stderr) = (stdout.unwrap_or_default(), stderr.unwrap_or_default());
    let text = match status.success() {
        true => Ok(stdout),
        false => {
            let last: Vec<&str> = stderr.lines().rev().take(12).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            Err(format!("{status}\n{stdout}{}", last.join("\n")))
        }
    };
    Ok(Some(Found { text }))
}
