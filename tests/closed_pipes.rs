//! A closed output pipe, as in `rewind … | head -1`, ends a command silently. A training continues.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::parallel::saved_steps;
use trainer_run::reporter::Silent;

/// The environment variable with the command line of the child process, one word per line.
const WORDS: &str = "REWIND_CLOSED_PIPES_WORDS";

/// The signal's number on every Unix.
const SIGPIPE: i32 = 13;

/// Runs the command line after the pipe was closed, if [`start_unread`] started this process.
fn run_in_child() {
    let Ok(words) = env::var(WORDS) else { return };
    println!("\nready");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    let code = trainer::cli::run(words.lines().map(Into::into));
    std::process::exit(i32::from(code != ExitCode::SUCCESS));
}

/// Starts this test binary again with a command line of `rewind`. The pipe of its stdout is closed.
fn start_unread(test: &str, words: &[&str]) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", &format!("closed_pipes::{test}"), "--nocapture", "--test-threads=1"]);
    command.env(WORDS, words.join("\n")).env("RAYON_NUM_THREADS", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "ready"), "no test named {test}");
    child
}

#[test]
fn a_command_with_a_closed_pipe_ends_silently() {
    run_in_child();
    let all: [&[&str]; 4] = [
        &["plan", "--preset", "demo", "--size", "32x32x32"],
        &["completions", "bash"],
        &["train", "--preset", "demo", "--print-config"],
        &["--help"],
    ];
    for words in all {
        let test = "a_command_with_a_closed_pipe_ends_silently";
        let mut child = start_unread(test, &[&["rewind"], words].concat());
        drop(child.stdin.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let status = child.wait().unwrap();
        assert_eq!((status.signal(), stderr.as_str()), (Some(SIGPIPE), ""), "{words:?}: {status}");
    }
}

#[test]
fn a_training_with_closed_pipes_stops_at_a_checkpoint_on_ctrl_c() {
    run_in_child();
    let folder = tempfile::tempdir().unwrap();
    let [data, out, cache] = ["data", "run", "cache"].map(|name| folder.path().join(name));
    trainer_data::phantom::write(&data, 3, 7, 32, &Silent).unwrap();
    let cache = format!("cache={:?}", cache.to_str().unwrap());
    let mut words = vec!["rewind", "train", "--device", "cpu", "--preset", "demo", "--patch", "16"];
    words.extend(["--data", data.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    words.extend(["--held-out", "0.4", "--steps", "10000", "--validate-every", "10000"]);
    words.extend(["--set", "checkpoint_every=10000", "--set", "log_every=1", "--set", &cache]);
    let test = "a_training_with_closed_pipes_stops_at_a_checkpoint_on_ctrl_c";
    let mut child = start_unread(test, &words);
    drop((child.stderr.take(), child.stdin.take()));

    let started = Instant::now();
    let rows =
        || fs::read_to_string(out.join("metrics.csv")).map_or(0, |rows| rows.lines().count());
    while rows() < 4 {
        assert!(child.try_wait().unwrap().is_none(), "ended after {} rows", rows());
        assert!(started.elapsed() < Duration::from_secs(60), "no steps in a minute");
        sleep(Duration::from_millis(5));
    }
    // Ctrl-C also ends the reader of the pipe.
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{status}");
    assert!(saved_steps(&out) >= 3, "{}", saved_steps(&out));
}
