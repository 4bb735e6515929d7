//! Runs a test's work in a child process, to measure its peak memory or to survive its end.

use std::env;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The environment variables with the name of the test whose work the child does, and the work's
/// argument.
const TEST: &str = "REWIND_CHILD_TEST";
const ARGUMENT: &str = "REWIND_CHILD_ARGUMENT";

const TIMEOUT: Duration = Duration::from_secs(300);

/// The outcome of work in a child process.
#[derive(Debug)]
pub struct ChildOutcome {
    /// The text that the work returned, or the exit status and the output of a process that failed.
    pub answer: Result<String, String>,
    /// The peak memory of the process, if the system reports it.
    pub peak_bytes: Option<u64>,
}

/// Runs `work(argument)` in a child process, for which the test binary starts itself again with
/// only this test.
///
/// `test` is the caller's name with its module, such as
/// `"reversible::the_inverse_recovers_the_input"`. A child that takes longer than five minutes is
/// killed.
///
/// # Panics
/// If the process cannot be started or ends before the work.
pub fn in_child_process(
    test: &str,
    argument: &str,
    work: impl FnOnce(&str) -> String,
) -> ChildOutcome {
    if env::var(TEST).is_ok_and(|name| name == test) {
        let answer = work(&env::var(ARGUMENT).expect("set together with the test's name"));
        // The test harness may have left a line of its own unfinished.
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
    let start = Instant::now();
    let Ok(output) = receive.recv_timeout(TIMEOUT) else {
        let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
        let answer = Err(format!("no answer within {} s", start.elapsed().as_secs()));
        return ChildOutcome { answer, peak_bytes: None };
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
    ChildOutcome { answer, peak_bytes }
}

/// Returns the peak memory of this process in bytes (`VmHWM` on Linux), or `None` on other systems.
pub fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
