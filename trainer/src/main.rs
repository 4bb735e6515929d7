//! The command `rewind`.

fn main() -> std::process::ExitCode {
    trainer_train::memory::keep_freed_memory();
    trainer::cli::run(std::env::args_os())
}
