//! The steps of a plan and what they refer to.

use crate::kernels::{Constants, Kernel};

/// A resource bound to a kernel beside `params`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// Index in [`Plan::buffers`](super::Plan::buffers).
    Buffer(usize),
    /// Index in [`Plan::weights`](super::Plan::weights).
    Weights(usize),
    /// Chunks of moments of the norms.
    Partials,
    /// Affine maps of the norms.
    Affines,
}

/// One dispatch.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// Its entry point.
    pub entry: &'static str,
    /// Its `Params`.
    pub params: Vec<u8>,
    /// Constants that the kernel is compiled with.
    pub constants: Constants,
    /// Bindings from 1 on (0 is `params`), with their numbers.
    pub bindings: Vec<(u32, Binding)>,
    /// Workgroups along x, y, z.
    pub workgroups: [u32; 3],
    /// Multiply-adds and moved values: a rough measure of time.
    pub cost: u64,
    /// Multiply-adds only.
    pub multiply_adds: u64,
    /// Minimum bytes of feature maps that it reads and writes.
    pub bytes: u64,
}

/// A slab of the input or the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlabRange {
    /// Index in [`Plan::buffers`](super::Plan::buffers).
    pub buffer: usize,
    /// Offset in bytes.
    pub offset: u64,
    /// Its bytes.
    pub bytes: u64,
    /// First plane.
    pub first: usize,
    /// Number of planes.
    pub planes: usize,
}

/// Returns the bytes of the largest slab.
pub fn largest(slabs: &[SlabRange]) -> u64 {
    slabs.iter().map(|slab| slab.bytes).max().unwrap_or(0)
}
