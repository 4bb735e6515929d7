//! The project's own commands, `cargo xtask …`: a developer and the checks on a server run the
//! same. It spawns commands and uses none of the project's crates.

mod command;
mod page;
mod steps;
mod test;
mod tools;
mod workspace;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

use workspace::Workspace;

/// Builds, shows and checks Rewind.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the page: WebAssembly, its glue and the static files, in one folder
    Page {
        /// Where the page goes [default: rewind-page in cargo's target folder]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Check everything: format, lints, documentation, tests, the page in a browser
    Test,
}

fn main() -> Result<()> {
    let command = Cli::parse().command;
    let workspace = Workspace::find()?;
    match command {
        Command::Page { out } => {
            let out = out.unwrap_or_else(|| workspace.page());
            page::build(&workspace, &out)
        }
        Command::Test => test::test(&workspace),
    }
}
