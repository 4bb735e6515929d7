//! Work in a process of its own: for peaks of memory, and for inputs that must not end a process.

use std::env;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Names the test that is to do its work, and the work's argument.
const TEST: &str = "REWIND_ALONE_TEST";
const ARGUMENT: &str = "REWIND_ALONE_ARGUMENT";

/// What the work's process came to.
#[derive(Debug)]
pub struct Outcome {
    /// What the work returned; else how its process ended, with what it wrote.
    pub answer: Result<String, String>,
    /// The most memory that the process held at once, where the system tells.
    pub peak_bytes: Option<u64>,
}

/// Does `work(argument)` in a process of its own, alone: the test binary starts itself again with
/// this one test. `test` is the caller's own name with its module, such as
/// `"reversible::kept_bytes_are_flat"`. A process that takes longer than five minutes is ended.
///
/// # Panics
/// When the process cannot be started or does not get as far as the work.
pub fn alone(test: &str, argument: &str, work: impl FnOnce(&str) -> String) -> Outcome {
    if env::var(TEST).is_ok_and(|name| name == test) {
        let answer = work(&env::var(ARGUMENT).expect("set together with the test's name"));
        // The harness may have left its own line unfinished.
        println!("\nanswer: {}", answer.replace('\n', " "));
        println!("peak: {}", peak_bytes().unwrap_or(0));
        std::process::exit(0);
    }
    let mut command = Command::new(env::current_exe().expect("a test binary has a path"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(TEST, test).env(ARGUMENT, argument);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the test binary starts itself");
    let id = child.id();
    let (send, receive) = std::sync::mpsc::channel();
    thread::spawn(move || send.send(child.wait_with_output()));
    let limit = Duration::from_secs(300);
    let start = Instant::now();
    let Ok(output) = receive.recv_timeout(limit) else {
        let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
        let answer = Err(format!("no answer within {} s", start.elapsed().as_secs()));
        return Outcome { answer, peak_bytes: None };
    };
    let output = output.expect("a started process can be waited for");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let field = |name: &str| stdout.lines().find_map(|line| line.strip_prefix(name));
    assert!(!stdout.contains("running 0 tests"), "expected a test named {test}, found none");
    let peak_bytes = field("peak: ").and_then(|bytes| bytes.parse().ok()).filter(|&b| b > 0);
    let answer = match field("answer: ") {
        Some(answer) if output.status.success() => Ok(answer.to_string()),
        _ => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            Err(format!("{}: {stdout}{stderr}", output.status))
        }
    };
    Outcome { answer, peak_bytes }
}

/// The most memory that this process has held at once, in bytes (Linux: `VmHWM`).
pub fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
