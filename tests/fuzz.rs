//! Fuzzing with limits: reads randomly changed files within limits of memory and time.
//!
//! An input is a function of the target, a seed and a number. A run can therefore be repeated, and
//! an input that ended a process can be made again.

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

/// The checks of a value that was read, outside the memory limit.
pub type Afterwards = Box<dyn FnOnce()>;

/// A function that makes an input from a stream of random numbers.
pub type Make = Box<dyn Fn(&mut ChaCha8Rng) -> Vec<u8>>;

/// A reader of bytes from outside, and the inputs for it.
pub struct Target {
    /// The name on the command line.
    pub name: &'static str,
    /// The function that makes the inputs.
    pub make: Make,
    /// The reader. It returns `None` if it refuses the input.
    pub read: fn(&[u8]) -> Option<Afterwards>,
    /// The limit of the bytes that the reader holds for an input, without the input itself.
    pub max_held_bytes: fn(&[u8]) -> usize,
}

/// The settings of a fuzzing run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The number of inputs.
    pub iterations: u64,
    /// The seed of the inputs.
    pub seed: u64,
    /// The time limit of a process that reads inputs.
    pub duration: Duration,
    /// The time limit for reading one input.
    pub time_limit: Duration,
    /// The folder for inputs that fail.
    pub out: PathBuf,
}

impl Target {
    /// Makes the input of a number.
    pub fn input(&self, seed: u64, number: u64) -> Vec<u8> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(number);
        (self.make)(&mut random)
    }
}
