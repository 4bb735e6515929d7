//! A stage on one slab: what it reads and writes, and its dispatches.

use bytemuck::Pod;
use model_core::network::lifetimes::BufferAccess;

use super::step::{Binding, Step};
use crate::kernels::{Constants, Dispatch, Kernel};

/// A resource before buffers are assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    Slab(usize, usize),
    Weights(usize),
    Partials,
    Affines,
}

/// A stage on one slab. All of it runs before anything that follows.
pub struct Unit {
    pub reads: Vec<BufferAccess>,
    pub writes: Vec<BufferAccess>,
    /// Multiply-adds of all its dispatches.
    pub multiply_adds: u64,
    /// Additional work: recomputation and statistics.
    pub more_work: u64,
    /// Bytes read and written.
    pub bytes: u64,
    dispatches: Vec<Bare>,
}

/// A dispatch that refers to slabs instead of buffers.
struct Bare {
    kernel: &'static Kernel,
    entry: usize,
    params: Vec<u8>,
    constants: Constants,
    bindings: Vec<(u32, Bound)>,
    workgroups: [u32; 3],
}

impl Unit {
    pub fn new(
        reads: Vec<BufferAccess>,
        writes: Vec<BufferAccess>,
        multiply_adds: u64,
        bytes: u64,
    ) -> Unit {
        Unit { reads, writes, multiply_adds, more_work: 0, bytes, dispatches: Vec::new() }
    }

    /// Adds the dispatches of an entry point, given by its index in [`Kernel::entries`].
    pub fn push<P: Pod>(
        &mut self,
        (kernel, entry): (&'static Kernel, usize),
        bindings: &[(u32, Bound)],
        dispatches: impl IntoIterator<Item = Dispatch<P>>,
    ) {
        self.dispatches.extend(dispatches.into_iter().map(|dispatch| Bare {
            kernel,
            entry,
            params: bytemuck::bytes_of(&dispatch.params).to_vec(),
            constants: dispatch.constants,
            bindings: bindings.to_vec(),
            workgroups: dispatch.workgroups,
        }));
    }

    /// Returns the dispatches as steps; `buffer` returns the buffer of a slab of a map.
    pub fn steps(&self, buffer: impl Fn(usize, usize) -> usize) -> Vec<Step> {
        let size = |bare: &Bare| bare.workgroups.iter().map(|&n| u64::from(n)).product::<u64>();
        let all: u64 = self.dispatches.iter().map(size).sum();
        let (mut before, mut steps) = (0, Vec::new());
        for bare in &self.dispatches {
            let after = before + size(bare);
            // Divides a total into parts that add up exactly.
            let share = |whole: u64| {
                let until = |n: u64| (u128::from(whole) * u128::from(n) / u128::from(all)) as u64;
                until(after) - until(before)
            };
            let slot = |bound: Bound| match bound {
                Bound::Slab(map, slab) => Binding::Buffer(buffer(map, slab)),
                Bound::Weights(weights) => Binding::Weights(weights),
                Bound::Partials => Binding::Partials,
                Bound::Affines => Binding::Affines,
            };
            let (multiply_adds, bytes) = (share(self.multiply_adds), share(self.bytes));
            steps.push(Step {
                kernel: bare.kernel,
                entry: bare.kernel.entries[bare.entry],
                params: bare.params.clone(),
                constants: bare.constants,
                bindings: bare.bindings.iter().map(|&(n, bound)| (n, slot(bound))).collect(),
                workgroups: bare.workgroups,
                cost: multiply_adds + share(self.more_work) + bytes / 4,
                multiply_adds,
                bytes,
            });
            before = after;
        }
        steps
    }
}
