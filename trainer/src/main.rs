//! The command `rewind`.

fn main() -> std::process::ExitCode {
    trainer::cli::run()
}
