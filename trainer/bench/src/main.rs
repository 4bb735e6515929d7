//! The command `rewind-bench`.

#[global_allocator]
static ALLOCATOR: trainer_bench::counting::Counting = trainer_bench::counting::Counting;

fn main() -> std::process::ExitCode {
    trainer_train::memory::keep_freed_memory();
    trainer_bench::main(std::env::args_os())
}
