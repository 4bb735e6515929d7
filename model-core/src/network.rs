//! The network's description and what follows from it: the list of layers, the program that engines
//! run, parameters, weights, the bundle and the memory estimate.

mod bundle;
pub mod config;
pub mod layers;
pub mod lifetimes;
#[cfg(feature = "burn")]
pub mod memory_estimate;
mod program;
pub mod stages;
mod weights;

pub use bundle::{BUNDLE_VERSION, Bundle, Card, Provenance, Score};
pub use config::{Activation, BackwardMode, Decoder, NetworkSettings, UNetConfig, Vae};
pub use program::{Buffer, Op, Program, View};
pub use weights::{Array, Weights, check_weights, orthogonal};
