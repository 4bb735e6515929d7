//! The command `rewind-bench`.

use trainer_bench::counting_allocator::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> std::process::ExitCode {
    trainer_train::memory::keep_freed_memory();
    trainer_bench::main(std::env::args_os())
}
