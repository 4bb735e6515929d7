//! Memory without the memory: tensors that know their size and nothing else. They are cloned,
//! moved and dropped as the network's own are, so that what is alive when falls out by itself.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// What is held, in bytes, and the most that was, by level. Counts end at the largest number.
#[derive(Default)]
pub struct SimulatedHeap {
    live: Cell<u64>,
    level: Cell<usize>,
    live_by_level: RefCell<Vec<u64>>,
    peak_by_level: RefCell<Vec<u64>>,
}

impl SimulatedHeap {
    /// For levels 0 to `levels - 1`.
    pub fn new(levels: usize) -> Rc<SimulatedHeap> {
        let (live_by_level, peak_by_level) = (vec![0; levels].into(), vec![0; levels].into());
        Rc::new(SimulatedHeap { live_by_level, peak_by_level, ..SimulatedHeap::default() })
    }

    /// What follows happens at this level.
    pub fn enter(&self, level: usize) {
        self.level.set(level);
        self.note(self.live.get());
    }

    /// Where it happens.
    pub fn level(&self) -> usize {
        self.level.get()
    }

    fn note(&self, bytes: u64) {
        let most = &mut self.peak_by_level.borrow_mut()[self.level.get()];
        *most = bytes.max(*most);
    }

    /// Scratch: taken, and given back at once.
    pub fn touch(&self, bytes: u64) {
        self.note(self.live.get().saturating_add(bytes));
    }

    /// Takes bytes until the block is dropped.
    pub fn take(self: &Rc<SimulatedHeap>, bytes: u64) -> Rc<Block> {
        self.live.set(self.live.get().saturating_add(bytes));
        let at_level = &mut self.live_by_level.borrow_mut()[self.level.get()];
        *at_level = at_level.saturating_add(bytes);
        self.note(self.live.get());
        Rc::new(Block { heap: self.clone(), bytes, level: self.level.get() })
    }

    /// Bytes held, by the level that took them.
    pub fn live_by_level(&self) -> Vec<u64> {
        self.live_by_level.borrow().clone()
    }

    /// The most bytes held while at each level.
    pub fn peak_by_level(&self) -> Vec<u64> {
        self.peak_by_level.borrow().clone()
    }
}

/// A piece of memory; gives it back when dropped.
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

/// A tensor's shape and type, and its share in a piece of memory.
#[derive(Clone)]
pub struct Shadow {
    /// The memory; shared by clones and views.
    pub block: Rc<Block>,
    /// Whether it begins where the memory does: others are not written in place.
    pub at_start: bool,
    /// Channels.
    pub channels: usize,
    /// Voxels along i, j, k.
    pub dims: [usize; 3],
    /// Bytes of one number.
    pub float_bytes: u64,
}

impl Shadow {
    /// Whether an operation may write its result here.
    pub fn is_free(&self) -> bool {
        self.at_start && Rc::strong_count(&self.block) == 1
    }

    /// Channels, voxels and bytes a number.
    pub fn shape(&self) -> (usize, [usize; 3], u64) {
        (self.channels, self.dims, self.float_bytes)
    }

    /// A half of the channels, as a view.
    pub fn half(&self, second: bool) -> Shadow {
        Shadow { at_start: self.at_start && !second, channels: self.channels / 2, ..self.clone() }
    }
}
