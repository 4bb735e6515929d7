//! Runs commands: each is printed first, and the error of a failed one contains the line to run it
//! again.

use std::env;
use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context, Result, bail};
use xshell::Cmd;

/// Prints a command, runs it and waits for it.
///
/// # Errors
/// If the command cannot be started or fails. The error contains the line to run it again.
pub fn run(cmd: Cmd) -> Result<()> {
    let mut command = command(cmd);
    let line = line(&command);
    println!("  $ {line}");
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("the command failed ({status}); to run it again:\n  {line}");
    }
    Ok(())
}

/// Returns the standard library's form of a command, without the variables that cargo sets for this
/// program alone.
///
/// With these variables a child's build would differ from the same build started by hand.
pub fn command(cmd: Cmd) -> Command {
    let mut command = Command::from(cmd);
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        let is_own = name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_MANIFEST_")
            || matches!(&*name, "CARGO_BIN_NAME" | "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE");
        if is_own {
            command.env_remove(&*name);
        }
    }
    command
}

/// Returns a command as a person types it, with the variables that it adds to the environment.
pub fn line(command: &Command) -> String {
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), quoted(value?))));
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted);
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

/// Returns a word of a command line, in quotes if a shell would change it.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let is_plain = |c: char| c.is_alphanumeric() || "-_=./:,+@%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.into_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xshell::{Shell, cmd};

    #[test]
    fn a_command_is_printed_as_a_person_types_it() {
        let shell = Shell::new().unwrap();
        let words = ["a b", "it's", "--x=1"];
        let echo = cmd!(shell, "/usr/bin/echo {words...}").env("FLAG", "-D warnings");
        let expected = r"FLAG='-D warnings' /usr/bin/echo 'a b' 'it'\''s' --x=1";
        assert_eq!(line(&command(echo)), expected);
        assert_eq!(line(&command(cmd!(shell, "cargo doc"))), "cargo doc");
    }

    #[test]
    fn the_error_of_a_failed_command_contains_the_line_to_run_it_again() {
        let shell = Shell::new().unwrap();
        let error = run(cmd!(shell, "false --now")).unwrap_err();
        assert!(error.to_string().ends_with("false --now"), "{error}");
    }
}
