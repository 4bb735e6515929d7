//! Segments scans with one trained model or with several.
//!
//! In the order of a prediction: [`inputs`] finds the scans; [`members`] are the models, on a
//! [`backend`], burn's or [`wgsl`]; a [`profile`] selects one model of an ensemble; [`extent`]
//! chooses between the full volume and tiles; [`Predictor::segment`] runs the networks, also on
//! mirrored inputs ([`flips`]); and [`run`] writes each result with its [`record`].

pub mod backend;
mod channels;
mod cpu;
pub mod extent;
pub mod flips;
pub mod inputs;
mod made_by;
pub mod members;
mod plan_summary;
mod predictor;
pub mod prepared;
pub mod profile;
pub mod profiling;
pub mod record;
mod result_files;
pub mod run;
mod scans;
pub mod settings;
pub mod wgsl;

pub use predictor::{Prediction, Predictor};
