//! The domain and the network of Rewind: bytes in, bytes out.
//!
//! Axes, stated once: a [`Volume`] is stored i fastest, then j, then k, as NIfTI stores it; a
//! tensor is `[batch, channel, k, j, i]`. So there is no transpose between file, tensor and GPU.

mod affine;
mod bundle;
pub mod config;
mod error;
#[cfg(feature = "burn")]
pub mod kernels;
#[cfg(feature = "burn")]
pub mod nets;
mod preprocess;
mod program;
mod task;
mod volume;
mod weights;

pub use affine::Affine;
pub use bundle::{BUNDLE_VERSION, Bundle, Card, Provenance, Score};
pub use config::{Activation, Decoder, UNetConfig};
pub use error::{Error, Result};
pub use preprocess::{Foreground, PreprocessConfig};
pub use program::{Buffer, Op, Program, View};
pub use task::{Head, Label, Region, Task};
pub use volume::{AFFINE_TOLERANCE, Forms, Grid, LabelMap, Volume};
pub use weights::{Array, Weights, check_weights};
