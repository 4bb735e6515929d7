//! The type that weights are stored in.

/// The number type of stored weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// The trained weights in f32.
    F32,
    /// Weights that are rounded to f16, in half the size. The network still computes in f32.
    F16,
}
