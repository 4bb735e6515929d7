//! Simulated memory: tensors that know only their size. They are cloned, moved and dropped like the
//! network's own, so the live bytes follow from their lifetimes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Live and peak bytes by level. Counts saturate.
#[derive(Default)]
pub struct SimulatedHeap {
    live: Cell<u64>,
    level: Cell<usize>,
    live_by_level: RefCell<Vec<u64>>,
    peak_by_level: RefCell<Vec<u64>>,
}

impl SimulatedHeap {
    /// Creates a heap for levels 0 to `levels - 1`.
    pub fn new(levels: usize) -> Rc<SimulatedHeap> {
        let (live_by_level, peak_by_level) = (vec![0; levels].into(), vec![0; levels].into());
        Rc::new(SimulatedHeap { live_by_level, peak_by_level, ..SimulatedHeap::default() })
    }

    /// Attributes what follows to a level.
    pub fn enter(&self, level: usize) {
        self.level.set(level);
        self.note(self.live.get());
    }

    /// Returns the current level.
    pub fn level(&self) -> usize {
        self.level.get()
    }

    fn note(&self, bytes: u64) {
        let most = &mut self.peak_by_level.borrow_mut()[self.level.get()];
        *most = bytes.max(*most);
    }

    /// Allocates scratch and frees it at once.
    pub fn touch(&self, bytes: u64) {
        self.note(self.live.get().saturating_add(bytes));
    }

    /// Allocates bytes until the block is dropped.
    pub fn take(self: &Rc<SimulatedHeap>, bytes: u64) -> Rc<Block> {
        self.live.set(self.live.get().saturating_add(bytes));
        let at_level = &mut self.live_by_level.borrow_mut()[self.level.get()];
        *at_level = at_level.saturating_add(bytes);
        self.note(self.live.get());
        Rc::new(Block { heap: self.clone(), bytes, level: self.level.get() })
    }

    /// Returns the live bytes by the level that allocated them.
    pub fn live_by_level(&self) -> Vec<u64> {
        self.live_by_level.borrow().clone()
    }

    /// Returns the peak bytes of all levels while each level was current.
    pub fn peak_by_level(&self) -> Vec<u64> {
        self.peak_by_level.borrow().clone()
    }
}

/// An allocation, freed when dropped.
pub struct Block {
    heap: Rc<SimulatedHeap>,
    bytes: u64,
    level: usize,
}

impl Drop for Block {
    fn drop(&mut self) {
        self.heap.live.set(self.heap.live.get().saturating_sub(self.bytes));
        let at_level = &mut self.heap.live_by_level.borrow_mut()[self.level];
        *at_level = at_level.saturating_sub(self.bytes);
    }
}

/// A tensor's shape and type, and its share of an allocation.
#[derive(Clone)]
pub struct Shadow {
    /// The allocation, shared by clones and views.
    pub block: Rc<Block>,
    /// Whether the tensor begins at the start of the allocation; only then it is written in place.
    pub at_start: bool,
    /// Channels.
    pub channels: usize,
    /// Voxels along i, j, k.
    pub dims: [usize; 3],
    /// Bytes per value.
    pub float_bytes: u64,
}

impl Shadow {
    /// Returns whether an op may overwrite the tensor.
    pub fn is_free(&self) -> bool {
        self.at_start && Rc::strong_count(&self.block) == 1
    }

    /// Returns channels, voxels and bytes per value.
    pub fn shape(&self) -> (usize, [usize; 3], u64) {
        (self.channels, self.dims, self.float_bytes)
    }

    /// Returns one half of the channels as a view.
    pub fn half(&self, second: bool) -> Shadow {
        Shadow { at_start: self.at_start && !second, channels: self.channels / 2, ..self.clone() }
    }
}
