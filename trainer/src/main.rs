//! The command `rewind`.

fn main() -> std::process::ExitCode {
    trainer::memory::keep_freed_memory();
    trainer::cli::run()
}
