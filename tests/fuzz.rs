//! Bounded fuzzing: valid files are changed at random, and every input is read within limits of
//! memory and time. An input is a function of the target, a seed and a number, so that a run can be
//! repeated and an input that ends the process can be made again.

mod child;
mod json;
mod mutation;
mod nifti_bytes;
mod supervisor;
mod targets;

use std::path::PathBuf;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub use supervisor::{Failure, FailureKind, Report, fuzz, replay};
pub use targets::targets;

/// What is done with a value that was read, outside of the limit of memory.
pub type Afterwards = Box<dyn FnOnce()>;

/// Makes an input from a stream of random numbers.
pub type Make = Box<dyn Fn(&mut ChaCha8Rng) -> Vec<u8>>;

/// A reader of bytes from outside, with inputs for it.
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Makes an input from a stream of random numbers.
    pub make: Make,
    /// Reads an input; nothing where it is refused.
    pub read: fn(&[u8]) -> Option<Afterwards>,
    /// The most bytes that reading this input may hold at once beside the input itself.
    pub max_held_bytes: fn(&[u8]) -> usize,
}

/// How a target is fuzzed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Number of inputs.
    pub iterations: u64,
    /// Another seed gives other inputs.
    pub seed: u64,
    /// How long a process reads inputs at most, however many are left.
    pub duration: Duration,
    /// How long reading one input may take.
    pub time_limit: Duration,
    /// Where inputs that fail are written.
    pub out: PathBuf,
}

impl Target {
    /// The input of a number.
    pub fn input(&self, seed: u64, number: u64) -> Vec<u8> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(number);
        (self.make)(&mut random)
    }
}
