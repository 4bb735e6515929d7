//! Output that nobody reads any more.

/// Has the system end this process when it writes where nobody reads, quietly, as `rewind plan … | head`
/// is to end: printing would fail with a panic.
pub fn end_with_the_reader() {
    #[cfg(target_os = "linux")]
    // SAFETY: only the signal's disposition is set, to the system's own; sockets do not raise it.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Read;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    use super::*;

    /// Set in a process that is to print on and on.
    const PRINTS: &str = "REWIND_PRINTS";

    #[test]
    fn a_command_whose_output_is_cut_off_ends_without_a_word() {
        if std::env::var_os(PRINTS).is_some() {
            end_with_the_reader();
            loop {
                println!("on and on");
            }
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            "pipe::tests::a_command_whose_output_is_cut_off_ends_without_a_word",
        ]);
        command.args(["--nocapture", "--test-threads=1"]).env(PRINTS, "1");
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a test binary");
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0; 64]).unwrap();
        drop(out);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(libc::SIGPIPE), "{:?}", output.status);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}
