//! burn's autodiff on tensors without values. Every op leaves a step that holds what the op keeps;
//! the backward pass takes the steps from last to first.

use std::collections::HashMap;
use std::rc::Rc;

use super::settings::{Settings, float_bytes};
use super::simulated_heap::{Block, Shadow, SimulatedHeap};
use crate::kernels::{DeviceKind, OpMemory, OpShape, group_norm, num_elements};
use crate::network::config::UNetConfig;

/// A tensor and its node in the graph; no node if nothing before it has parameters.
#[derive(Clone)]
pub struct Var {
    /// The tensor.
    pub shadow: Shadow,
    /// Its node.
    pub node: Option<usize>,
}

/// Gradients by node.
pub type Gradients = HashMap<usize, Shadow>;

type Rule = Box<dyn FnOnce(&SimulatedDevice, Shadow, &mut Gradients)>;

struct Step {
    node: usize,
    level: usize,
    rule: Rule,
}

/// The steps of a graph. [`SimulatedGraph::none`] keeps nothing.
#[derive(Default)]
pub struct SimulatedGraph {
    steps: Vec<Step>,
    num_nodes: usize,
    /// The leaf whose gradient is added to that of a stream.
    pub stream: Option<usize>,
    /// Whether nothing is recorded.
    pub is_none: bool,
}

/// State shared by all ops.
pub struct SimulatedDevice {
    /// The simulated memory.
    pub heap: Rc<SimulatedHeap>,
    /// The kind of device that ops run on.
    pub place: DeviceKind,
    /// Bytes per value of a layer's output.
    pub compute: u64,
    /// Bytes per value of a reversible stream.
    pub stream: u64,
    /// Number of samples.
    pub batch: usize,
    /// Gradients of the parameters, which are kept.
    pub gradients: std::cell::RefCell<Vec<Rc<Block>>>,
    /// The bottleneck, for the variational branch.
    pub bottom: std::cell::RefCell<Option<Shadow>>,
    /// Multiply-adds done, by level.
    pub work: std::cell::RefCell<Vec<u64>>,
}

/// An op from one tensor to one tensor.
pub struct Unary {
    /// Memory that the op declares.
    pub memory: OpMemory,
    /// Memory that a deferred norm of the input declares.
    pub norm: Option<OpMemory>,
    /// Channels, voxels and bytes per value of the output.
    pub output: (usize, [usize; 3], u64),
    /// Number of parameter values.
    pub num_parameters: usize,
    /// Multiply-adds of the forward pass.
    pub work: u64,
}

impl SimulatedDevice {
    /// Creates a device that holds nothing.
    pub fn new(config: &UNetConfig, settings: Settings) -> SimulatedDevice {
        SimulatedDevice {
            heap: SimulatedHeap::new(config.num_levels()),
            place: settings.place,
            compute: float_bytes(settings.precision.compute),
            stream: float_bytes(settings.precision.stream),
            batch: settings.batch,
            gradients: Default::default(),
            bottom: Default::default(),
            work: vec![0; config.num_levels()].into(),
        }
    }

    /// Allocates a tensor.
    pub fn tensor(&self, channels: usize, dims: [usize; 3], float_bytes: u64) -> Shadow {
        let block =
            self.heap.take(num_elements(self.batch, channels, dims).saturating_mul(float_bytes));
        Shadow { block, at_start: true, channels, dims, float_bytes }
    }

    fn like(&self, other: &Shadow) -> Shadow {
        self.tensor(other.channels, other.dims, other.float_bytes)
    }

    /// Returns the shape of an op from this tensor to `to` channels.
    pub fn op_shape(&self, from: &Shadow, to: usize) -> OpShape {
        let SimulatedDevice { place, batch, .. } = *self;
        let (float_bytes, channels, dims) = (from.float_bytes, from.channels, from.dims);
        OpShape { device: place, float_bytes, batch, in_channels: channels, out_channels: to, dims }
    }

    /// Counts work at the current level.
    pub fn work(&self, multiply_adds: u64) {
        let work = &mut self.work.borrow_mut()[self.heap.level()];
        *work = work.saturating_add(multiply_adds);
    }

    /// Adds or subtracts, in place if one operand is free.
    pub fn sum(&self, a: Shadow, b: Shadow) -> Shadow {
        if a.is_free() {
            a
        } else if b.is_free() {
            b
        } else {
            self.like(&a)
        }
    }

    /// Adds to the gradient of a node.
    pub fn register(&self, gradients: &mut Gradients, node: usize, gradient: Shadow) {
        let sum = match gradients.remove(&node) {
            Some(there) => self.sum(gradient, there),
            None => gradient,
        };
        gradients.insert(node, sum);
    }

    /// Keeps the gradients of `num_parameters` values.
    fn keep_gradient(&self, num_parameters: usize) {
        if num_parameters > 0 {
            let block = self.heap.take(4 * num_parameters as u64);
            self.gradients.borrow_mut().push(block);
        }
    }

    /// Runs one op.
    pub fn unary(&self, graph: &mut SimulatedGraph, x: Var, op: Unary) -> Var {
        let Unary { memory, norm, output: (channels, dims, float_bytes), num_parameters, work } =
            op;
        let Var { shadow, node: parent } = x;
        let is_kept = !graph.is_none && (parent.is_some() || num_parameters > 0);
        let like_input = shadow.shape();
        let kept = is_kept.then(|| shadow.clone());
        let normed = norm.filter(|_| !memory.applies_norm);
        self.heap.touch(norm.map_or(0, |norm| norm.forward_bytes));
        let shadow = if normed.is_some() { self.in_place(shadow) } else { shadow };
        let y = if memory.is_in_place {
            self.in_place(shadow)
        } else {
            let y = self.tensor(channels, dims, float_bytes);
            self.heap.touch(memory.forward_bytes);
            y
        };
        self.work(work);
        if !is_kept {
            return Var { shadow: y, node: None };
        }
        let kept_bytes = memory.kept_bytes + norm.map_or(0, |norm| norm.kept_bytes);
        let extra = self.heap.take(kept_bytes);
        let kept = kept.filter(|_| memory.keeps_input);
        let adds = memory.adds_input_gradient && parent.is_some() && parent == graph.stream;
        let node = graph.record(self, move |device, gradient, gradients| {
            device.heap.touch(memory.backward_bytes);
            if num_parameters > 0 {
                device.heap.touch(memory.backward_bytes);
                device.work(work);
                device.keep_gradient(num_parameters);
            }
            if let Some(parent) = parent {
                device.work(work);
                if adds {
                    return;
                }
                let of_x = if memory.is_in_place {
                    device.in_place(gradient)
                } else {
                    let (channels, dims, float_bytes) = like_input;
                    let of_x = device.tensor(channels, dims, float_bytes);
                    device.heap.touch(memory.backward_bytes);
                    drop(gradient);
                    of_x
                };
                if let Some(norm) = norm {
                    // In place.
                    device.keep_gradient(2 * like_input.0);
                    device.heap.touch(norm.backward_bytes);
                }
                device.register(gradients, parent, of_x);
            }
            drop((kept, extra));
        });
        Var { shadow: y, node: Some(node) }
    }

    /// Returns a tensor of the size of x: x itself if nothing else holds it.
    pub fn in_place(&self, x: Shadow) -> Shadow {
        if x.is_free() { x } else { self.like(&x) }
    }

    /// Adds a branch to a stream and applies the branch's norm during the addition.
    pub fn add_normed(&self, graph: &mut SimulatedGraph, stream: Var, branch: Var) -> Var {
        let norm = group_norm::memory(&self.op_shape(&branch.shadow, branch.shadow.channels));
        self.heap.touch(norm.forward_bytes);
        let sum = self.in_place(stream.shadow);
        if graph.is_none {
            return Var { shadow: sum, node: None };
        }
        let gradient_of_branch = self.normed_end(norm, branch);
        let parent = stream.node;
        let node = graph.record(self, move |device, gradient, gradients| {
            if let Some(parent) = parent {
                device.register(gradients, parent, gradient.clone());
            }
            gradient_of_branch(device, gradient, gradients);
        });
        Var { shadow: sum, node: Some(node) }
    }

    /// Runs the backward function of a norm that only an addition reads, for the gradient of the
    /// sum.
    pub fn normed_end(
        &self,
        norm: OpMemory,
        branch: Var,
    ) -> impl FnOnce(&SimulatedDevice, Shadow, &mut Gradients) + 'static {
        let extra = self.heap.take(norm.kept_bytes);
        move |device, gradient, gradients| {
            let Var { shadow: kept, node: parent } = branch;
            device.keep_gradient(2 * kept.channels);
            // On the CPU in f32; half precision is computed on copies there.
            let overwrites = device.place == DeviceKind::Cpu && kept.float_bytes == 4;
            let of_x = match gradient.float_bytes == kept.float_bytes {
                true if gradient.is_free() => gradient,
                true if overwrites => device.in_place(kept),
                _ => device.like(&kept),
            };
            device.heap.touch(norm.backward_bytes);
            if let Some(parent) = parent {
                device.register(gradients, parent, of_x);
            }
            drop(extra);
        }
    }

    /// Converts to another type.
    pub fn cast(&self, graph: &mut SimulatedGraph, x: Var, float_bytes: u64) -> Var {
        if x.shadow.float_bytes == float_bytes {
            return x;
        }
        let output = (x.shadow.channels, x.shadow.dims, float_bytes);
        let op =
            Unary { memory: OpMemory::default(), norm: None, output, num_parameters: 0, work: 0 };
        self.unary(graph, x, op)
    }

    /// a + b.
    pub fn add(&self, graph: &mut SimulatedGraph, a: Var, b: Var) -> Var {
        let parents = [a.node, b.node];
        let sum = self.sum(a.shadow, b.shadow);
        if graph.is_none || parents == [None, None] {
            return Var { shadow: sum, node: None };
        }
        let node = graph.record(self, move |device, gradient, gradients| {
            for parent in parents.into_iter().flatten() {
                device.register(gradients, parent, gradient.clone());
            }
        });
        Var { shadow: sum, node: Some(node) }
    }

    /// Returns whether a tensor is split and concatenated where it lies: one volume in f32 on the CPU
    /// that nothing else holds.
    pub fn resizes(&self, x: &Shadow) -> bool {
        self.place == DeviceKind::Cpu && self.batch == 1 && x.float_bytes == 4 && x.is_free()
    }

    /// Concatenates the channels of a and b.
    pub fn join(&self, graph: &mut SimulatedGraph, a: Var, b: Var) -> Var {
        let (first, second) = (a.shadow, b.shadow);
        let joined = self.tensor(first.channels + second.channels, first.dims, first.float_bytes);
        let (nodes, counts) = ([a.node, b.node], [first.channels, second.channels]);
        if graph.is_none {
            return Var { shadow: joined, node: None };
        }
        let node = graph.record(self, move |device, gradient, gradients| {
            for (n, (node, channels)) in nodes.into_iter().zip(counts).enumerate() {
                let at_start = gradient.at_start && n == 0;
                let view = Shadow { at_start, channels, ..gradient.clone() };
                if let Some(node) = node {
                    device.register(gradients, node, view);
                }
            }
        });
        Var { shadow: joined, node: Some(node) }
    }

    /// Splits the channels into two halves as views. Autodiff allocates the full width for the
    /// gradient of each half.
    pub fn split(&self, graph: &mut SimulatedGraph, x: Var) -> (Var, Var) {
        let mut half = |second: bool| {
            let shadow = x.shadow.half(second);
            let Some(parent) = x.node.filter(|_| !graph.is_none) else {
                return Var { shadow, node: None };
            };
            let (channels, dims, float_bytes) =
                (x.shadow.channels, x.shadow.dims, x.shadow.float_bytes);
            let node = graph.record(self, move |device, gradient, gradients| {
                let whole = device.tensor(channels, dims, float_bytes);
                drop(gradient);
                device.register(gradients, parent, whole);
            });
            Var { shadow, node: Some(node) }
        };
        (half(false), half(true))
    }
}

impl SimulatedGraph {
    /// Creates a graph for passes without autodiff.
    pub fn none() -> SimulatedGraph {
        SimulatedGraph { is_none: true, ..SimulatedGraph::default() }
    }

    /// Creates a leaf.
    pub fn leaf(&mut self, shadow: Shadow) -> Var {
        self.num_nodes += 1;
        Var { shadow, node: Some(self.num_nodes) }
    }

    /// Records a step and returns the node of its output.
    pub fn record(
        &mut self,
        device: &SimulatedDevice,
        rule: impl FnOnce(&SimulatedDevice, Shadow, &mut Gradients) + 'static,
    ) -> usize {
        self.num_nodes += 1;
        let (node, level) = (self.num_nodes, device.heap.level());
        self.steps.push(Step { node, level, rule: Box::new(rule) });
        node
    }

    /// Runs the backward pass from the node of an output and its gradient.
    pub fn backward(
        mut self,
        device: &SimulatedDevice,
        from: Option<usize>,
        seed: Shadow,
    ) -> Gradients {
        let mut gradients: Gradients = from.map(|node| (node, seed)).into_iter().collect();
        while let Some(Step { node, level, rule }) = self.steps.pop() {
            if let Some(gradient) = gradients.remove(&node) {
                device.heap.enter(level);
                rule(device, gradient, &mut gradients);
            }
        }
        gradients
    }
}
