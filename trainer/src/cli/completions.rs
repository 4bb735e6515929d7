//! `rewind completions`: shell completions.

use anyhow::Result;
use clap::Args;
use clap_complete::{Shell, generate};

/// Print a shell script that completes the commands and options of `rewind`.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  source <(rewind completions bash)                     # in ~/.bashrc
  rewind completions zsh > ~/.zfunc/_rewind
  rewind completions fish > ~/.config/fish/completions/rewind.fish

Research use only, not a medical device";

/// Prints the script.
pub(super) fn run(args: CompletionsArgs, mut command: clap::Command) -> Result<()> {
    generate(args.shell, &mut command, "rewind", &mut std::io::stdout());
    Ok(())
}
