//! The command `rewind` as a process of its own, which can be sent signals: this test binary again.

use std::env;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The words of a command line, one a line, for a process that is to run it.
const WORDS: &str = "REWIND_COMMAND_WORDS";

/// A command line of `rewind`.
pub(crate) fn rewind(words: &[&str]) -> Command {
    as_rewind(Command::new(env::current_exe().unwrap()), words)
}

/// The same by a shell's script, in which `"$@"` is the command; `folder` is `$FOLDER` there.
pub(crate) fn scripted(shell: &[&str], script: &str, folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["-c", script, "sh"]).arg(env::current_exe().unwrap());
    command.env("FOLDER", folder);
    as_rewind(command, words)
}

fn as_rewind(mut command: Command, words: &[&str]) -> Command {
    let test = "commands::a_command_ends_as_the_program_does";
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(WORDS, [&["rewind"], words].concat().join("\n"));
    command.env("RAYON_NUM_THREADS", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Ends with the exit status and what it said.
pub(crate) fn ended(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Waits until something has happened while a process runs.
pub(crate) fn wait_for(child: &mut Child, mut happened: impl FnMut() -> bool) {
    let started = Instant::now();
    while !happened() {
        if let Some(status) = child.try_wait().unwrap() {
            let mut said = String::new();
            let stderr = child.stderr.take();
            std::io::Read::read_to_string(&mut stderr.unwrap(), &mut said).unwrap();
            panic!("ended with {status}: {said}");
        }
        assert!(started.elapsed() < Duration::from_secs(120), "nothing in two minutes");
        sleep(Duration::from_millis(5));
    }
}

/// What a process that was asked to end leaves; one that goes on is ended.
pub(crate) fn left(mut child: Child) -> Output {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            let said = child.wait_with_output().unwrap().stderr;
            panic!("goes on for two minutes: {}", String::from_utf8_lossy(&said));
        }
        sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

/// Sends a signal by its name.
pub(crate) fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// Also what runs the command in the processes of [`rewind`].
#[test]
fn a_command_ends_as_the_program_does() {
    if let Ok(words) = env::var(WORDS) {
        let code = trainer::cli::run(words.lines().map(Into::into));
        std::process::exit(i32::from(code != ExitCode::SUCCESS));
    }
    assert_eq!(ended(rewind(&["plan", "--preset", "demo", "--size", "32x32x32"])).0, Some(0));
    let (code, said) = ended(rewind(&["report", "no such folder"]));
    assert!(code == Some(1) && said.contains("no such folder"), "{said}");
}
