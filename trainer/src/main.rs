//! The command `rewind`.

#[global_allocator]
static ALLOCATOR: trainer::counting::Counting = trainer::counting::Counting;

fn main() -> std::process::ExitCode {
    trainer::memory::keep_freed_memory();
    trainer::cli::run(std::env::args_os())
}
