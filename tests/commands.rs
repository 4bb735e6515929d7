//! Runs the command `rewind` in a child process, which can receive signals.

use std::env;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The environment variable with the command line of the child process, one word per line.
const WORDS: &str = "REWIND_COMMAND_WORDS";

/// Returns a command that runs `rewind` with the given arguments.
pub(crate) fn rewind(words: &[&str]) -> Command {
    as_rewind(Command::new(env::current_exe().unwrap()), words)
}

/// Returns a command that runs `rewind` in a shell script. In the script `"$@"` is the command and
/// `$FOLDER` is `folder`.
pub(crate) fn rewind_in_script(
    shell: &[&str],
    script: &str,
    folder: &Path,
    words: &[&str],
) -> Command {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["-c", script, "sh"]).arg(env::current_exe().unwrap());
    command.env("FOLDER", folder);
    as_rewind(command, words)
}

/// Makes a command that starts the test binary run `rewind`.
fn as_rewind(mut command: Command, words: &[&str]) -> Command {
    let test = "commands::a_command_has_the_exit_status_of_the_program";
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(WORDS, [&["rewind"], words].concat().join("\n"));
    command.env("RAYON_NUM_THREADS", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command and returns its exit status and its standard error.
pub(crate) fn status_and_stderr(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Waits for a condition while a process runs.
pub(crate) fn wait_for(child: &mut Child, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        if let Some(status) = child.try_wait().unwrap() {
            let mut text = String::new();
            let stderr = child.stderr.take();
            std::io::Read::read_to_string(&mut stderr.unwrap(), &mut text).unwrap();
            panic!("ended with {status}: {text}");
        }
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "the condition does not hold after two minutes"
        );
        sleep(Duration::from_millis(5));
    }
}

/// Waits for the end of a process and returns its output. Kills a process that runs for two
/// minutes.
pub(crate) fn output(mut child: Child) -> Output {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            let stderr = child.wait_with_output().unwrap().stderr;
            panic!("still running after two minutes: {}", String::from_utf8_lossy(&stderr));
        }
        sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

/// Sends a signal by its name.
pub(crate) fn send_signal(signal: &str, child: &Child) {
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// This test also runs the command in the child processes of [`rewind`].
#[test]
fn a_command_has_the_exit_status_of_the_program() {
    if let Ok(words) = env::var(WORDS) {
        let code = trainer::cli::run(words.lines().map(Into::into));
        std::process::exit(i32::from(code != ExitCode::SUCCESS));
    }
    assert_eq!(
        status_and_stderr(rewind(&["plan", "--preset", "demo", "--size", "32x32x32"])).0,
        Some(0)
    );
    let (code, stderr) = status_and_stderr(rewind(&["report", "no such folder"]));
    assert!(code == Some(1) && stderr.contains("no such folder"), "{stderr}");
}
