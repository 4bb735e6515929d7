//! Commands that are shown before they run, and that fail with a line to run again.

use std::env;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The cargo that runs us, without what it sets for us alone: left in the environment, it would
/// make a child's build differ from the same build started by hand.
pub fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        let own = name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_MANIFEST_")
            || matches!(&*name, "CARGO_BIN_NAME" | "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE");
        if own {
            command.env_remove(&*name);
        }
    }
    command.args(args);
    command
}

/// Shows a command, runs it and waits for it.
///
/// # Errors
/// When it cannot be started or fails; the error says how to run it again.
pub fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    println!("  $ {line}");
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("this failed ({status}); to run it again:\n  {line}");
    }
    Ok(())
}

/// The command as one would type it, with the environment that it adds.
pub fn line(command: &Command) -> String {
    let added = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), quoted(value?))));
    let program = match command.get_program() {
        cargo if Path::new(cargo).file_stem().is_some_and(|name| name == "cargo") => {
            "cargo".as_ref()
        }
        program => program,
    };
    let words = std::iter::once(program).chain(command.get_args()).map(quoted);
    added.chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_=./:,+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.into_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("/usr/bin/echo");
        command.args(["a b", "it's", "--x=1"]).env("FLAG", "-D warnings");
        assert_eq!(line(&command), r"FLAG='-D warnings' /usr/bin/echo 'a b' 'it'\''s' --x=1");
        assert_eq!(line(Command::new("/opt/bin/cargo").arg("doc")), "cargo doc");
    }

    #[test]
    fn a_failing_command_says_how_to_run_it_again() {
        let error = run(Command::new("false").arg("--now")).unwrap_err();
        assert!(error.to_string().ends_with("false --now"), "{error}");
    }
}
