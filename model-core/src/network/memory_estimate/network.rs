//! A training step on tensors without values. Every function mirrors one of [`crate::nets`],
//! including what is cloned, moved and dropped.

use super::simulated_graph::{Gradients, SimulatedDevice, SimulatedGraph, Unary, Var};
use super::simulated_heap::Shadow;
use super::skips::{Place, Skips, take};
use crate::kernels::{self, depthwise, group_norm, max_pool, pointwise, space_to_depth, upsample};
use crate::nets::reflection_memory;
use crate::network::layers::{Backward, ConvNorm, Kernel, Layer, Segment, Step};

/// A graph before its backward pass.
pub(super) struct LocalGraph {
    graph: SimulatedGraph,
    x: Var,
    node: Option<usize>,
}

/// The tensor x between two layers: whole, or as two halves.
pub enum FeatureMap {
    Whole(Var),
    Halves(Var, Var),
    /// To be up-sampled with the addition of a skip connection that is recovered.
    Smaller(Var),
    /// To be normalized by the next layer.
    DeferredGroupNorm(Var),
}

impl SimulatedDevice {
    pub(super) fn whole(&self, graph: &mut SimulatedGraph, x: FeatureMap) -> Var {
        match x {
            FeatureMap::Whole(x) => x,
            FeatureMap::Halves(x1, x2) if graph.is_none => {
                let (channels, dims, float_bytes) = x1.shadow.shape();
                // The first half grows.
                let _x1 = Some(x1.shadow).filter(|x1| !self.resizes(x1));
                let shadow = self.tensor(channels + x2.shadow.channels, dims, float_bytes);
                Var { shadow, node: None }
            }
            FeatureMap::Halves(x1, x2) => self.join(graph, x1, x2),
            FeatureMap::Smaller(x) => self.upsample(graph, x),
            FeatureMap::DeferredGroupNorm(x) => self.norm(graph, x),
        }
    }

    pub(super) fn halves(&self, graph: &mut SimulatedGraph, x: FeatureMap) -> (Var, Var) {
        match x {
            FeatureMap::Halves(x1, x2) => (x1, x2),
            x => {
                let x = self.whole(graph, x);
                self.split(graph, x)
            }
        }
    }

    /// Splits into halves that are copies.
    pub(super) fn owned_halves(&self, x: FeatureMap) -> (Shadow, Shadow) {
        match x {
            FeatureMap::Halves(x1, x2) => (x1.shadow, x2.shadow),
            FeatureMap::Whole(x) | FeatureMap::Smaller(x) | FeatureMap::DeferredGroupNorm(x) => {
                let x = x.shadow;
                let (channels, dims, float_bytes) = x.shape();
                let half = || self.tensor(channels / 2, dims, float_bytes);
                let second = half();
                let _x = Some(x).filter(|x| !self.resizes(x));
                (half(), second)
            }
        }
    }

    /// Runs segments.
    pub fn segments(
        &self,
        graph: &mut SimulatedGraph,
        mut x: FeatureMap,
        segments: &[Segment],
    ) -> Var {
        let mut skips = Skips::default();
        for segment in segments {
            self.heap.enter(segment.steps[0].level);
            x = match segment.backward {
                Backward::Stored => self.steps(graph, x, &segment.steps, &mut skips),
                Backward::Rewound | Backward::Recomputed => {
                    let x = self.whole(graph, x);
                    let before = skips.place.take();
                    let is_recovered = segment.is_recovered && self.compute == self.stream;
                    let after = is_recovered.then(Place::default);
                    skips.place.clone_from(&after);
                    FeatureMap::Whole(self.recorded(graph, x, segment, [before, after]))
                }
            };
        }
        self.whole(graph, x)
    }

    fn steps(
        &self,
        graph: &mut SimulatedGraph,
        x: FeatureMap,
        steps: &[Step],
        skips: &mut Skips,
    ) -> FeatureMap {
        steps.iter().fold(x, |x, step| {
            self.heap.enter(step.level);
            self.layer(graph, x, &step.layer, skips)
        })
    }

    fn through(&self, graph: &mut SimulatedGraph, x: Var, steps: &[Step]) -> Var {
        let x = self.steps(graph, FeatureMap::Whole(x), steps, &mut Skips::default());
        self.whole(graph, x)
    }

    /// Runs a segment that is one node of the graph.
    fn recorded(
        &self,
        graph: &mut SimulatedGraph,
        x: Var,
        segment: &Segment,
        [before, after]: [Option<Place>; 2],
    ) -> Var {
        let (parent, float_bytes) = (x.node, x.shadow.float_bytes);
        let x = Var { node: None, ..x };
        let mut none = SimulatedGraph::none();
        let rewound = segment.backward == Backward::Rewound;
        let kept = (!rewound).then(|| x.shadow.clone());
        let y = self.through(&mut none, x, &segment.steps).shadow;
        let kept = match after {
            Some(place) => Err(place),
            None => Ok(kept.unwrap_or_else(|| y.clone())),
        };
        let steps = segment.steps.clone();
        let node = graph.record(self, move |device, gradient, gradients| {
            let kept = kept.unwrap_or_else(|place| take(&place));
            let of_x = match rewound {
                true => {
                    let (x, of_x) = device.rewind(&steps, kept, gradient, before.is_some());
                    if let Some((place, x)) = before.zip(x) {
                        place.replace(Some(x));
                    }
                    Some(of_x)
                }
                false => {
                    let forward = |graph: &mut SimulatedGraph, x| device.through(graph, x, &steps);
                    let forward =
                        |graph: &mut SimulatedGraph, x| FeatureMap::Whole(forward(graph, x));
                    let (local, output) = device.local(forward, kept, parent.is_some());
                    drop(output);
                    device.finish(local, gradient)
                }
            };
            if let (Some(parent), Some(shadow)) = (parent, of_x) {
                let of_x = Var { shadow, node: None };
                let of_x = device.cast(&mut SimulatedGraph::none(), of_x, float_bytes).shadow;
                device.register(gradients, parent, of_x);
            }
        });
        Var { shadow: y, node: Some(node) }
    }

    /// Runs a part of the network in a graph of its own. Returns the graph and the output.
    pub(super) fn local(
        &self,
        forward: impl FnOnce(&mut SimulatedGraph, Var) -> FeatureMap,
        x: Shadow,
        is_wanted: bool,
    ) -> (LocalGraph, FeatureMap) {
        let mut graph = SimulatedGraph::default();
        let x = if is_wanted { graph.leaf(x) } else { Var { shadow: x, node: None } };
        let plain = |shadow| Var { shadow, node: None };
        let (node, output) = match forward(&mut graph, x.clone()) {
            FeatureMap::DeferredGroupNorm(y) => {
                let norm = group_norm::memory(&self.op_shape(&y.shadow, y.shadow.channels));
                self.heap.touch(norm.forward_bytes);
                let output = FeatureMap::DeferredGroupNorm(plain(y.shadow.clone()));
                (Some(graph.record(self, self.normed_end(norm, y))), output)
            }
            y => {
                let y = self.whole(&mut graph, y);
                (y.node, FeatureMap::Whole(plain(y.shadow)))
            }
        };
        (LocalGraph { graph, x, node }, output)
    }

    /// Runs the backward pass of a local graph. Returns the gradient of its input, if wanted.
    pub(super) fn finish(&self, local: LocalGraph, seed: Shadow) -> Option<Shadow> {
        let LocalGraph { graph, x, node } = local;
        let mut gradients: Gradients = graph.backward(self, node, seed);
        x.node.and_then(|leaf| gradients.remove(&leaf))
    }

    fn layer(
        &self,
        graph: &mut SimulatedGraph,
        x: FeatureMap,
        layer: &Layer,
        skips: &mut Skips,
    ) -> FeatureMap {
        FeatureMap::Whole(match layer {
            Layer::ConvNorm(unit) => return self.unit(graph, x, unit),
            Layer::Block { f, g } => {
                let (x1, x2) = self.halves(graph, x);
                let (x1, x2) =
                    (self.cast(graph, x1, self.stream), self.cast(graph, x2, self.stream));
                let fx = self.half(graph, x2.clone(), f);
                let y1 = self.add_branch(graph, x1, fx);
                let gy = self.half(graph, y1.clone(), g);
                let y2 = self.add_branch(graph, x2, gy);
                return FeatureMap::Halves(y1, y2);
            }
            Layer::Pool => {
                let x = self.whole(graph, x);
                let op_shape = self.op_shape(&x.shadow, x.shadow.channels);
                let output =
                    (op_shape.in_channels, op_shape.dims.map(|d| d / 2), op_shape.float_bytes);
                let is_recovered = skips.stack.last().is_some_and(|(_, place)| place.is_some());
                let memory = match is_recovered {
                    true => max_pool::memory_of_skip(&op_shape),
                    false => max_pool::memory(&op_shape),
                };
                self.unary(
                    graph,
                    x,
                    Unary { memory, norm: None, output, num_parameters: 0, work: 0 },
                )
            }
            Layer::Upsample => {
                let x = self.whole(graph, x);
                match skips.stack.last() {
                    Some((_, Some(_))) => return FeatureMap::Smaller(x),
                    _ => self.upsample(graph, x),
                }
            }
            Layer::SpaceToDepth | Layer::DepthToSpace => {
                let x = self.whole(graph, x);
                self.shuffle(graph, x, *layer == Layer::SpaceToDepth)
            }
            Layer::Reflect { channels, reflections, .. } => {
                let x = self.whole(graph, x);
                self.reflect(graph, x, *channels, *reflections)
            }
            Layer::PushSkip => {
                let x = self.whole(graph, x);
                skips.push(x.clone());
                x
            }
            Layer::AddSkip => {
                let (skip, place) = skips.pop();
                skips.place.clone_from(&place);
                match (x, place) {
                    (FeatureMap::Smaller(x), Some(place)) => {
                        self.upsample_and_add(graph, x, skip, place)
                    }
                    (x, _) => {
                        let x = self.whole(graph, x);
                        let skip = self.cast(graph, skip, x.shadow.float_bytes);
                        self.add(graph, x, skip)
                    }
                }
            }
            Layer::ConcatSkip => {
                let x = self.whole(graph, x);
                let skip = self.cast(graph, skips.pop().0, x.shadow.float_bytes);
                self.join(graph, skip, x)
            }
            Layer::PushHalf => {
                let (x1, x2) = self.halves(graph, x);
                skips.push(x1);
                x2
            }
            Layer::ConcatHalf => {
                let x = self.whole(graph, x);
                let skip = self.cast(graph, skips.pop().0, x.shadow.float_bytes);
                return FeatureMap::Halves(skip, x);
            }
            Layer::BottleneckHook => {
                let x = self.whole(graph, x);
                self.bottom.replace(Some(x.shadow.clone()));
                x
            }
            // The heads are small: a map of a few channels at an eighth of the size.
            Layer::DecoderHook => self.whole(graph, x),
        })
    }

    /// Runs F or G of a block.
    pub(super) fn half(
        &self,
        graph: &mut SimulatedGraph,
        x: Var,
        units: &[ConvNorm],
    ) -> FeatureMap {
        units.iter().fold(FeatureMap::Whole(x), |x, unit| self.unit(graph, x, unit))
    }

    /// Adds a residual branch to a stream, or subtracts it.
    pub(super) fn add_branch(
        &self,
        graph: &mut SimulatedGraph,
        stream: Var,
        branch: FeatureMap,
    ) -> Var {
        match branch {
            FeatureMap::DeferredGroupNorm(branch) => self.add_normed(graph, stream, branch),
            branch => {
                let branch = self.whole(graph, branch);
                let branch = self.cast(graph, branch, stream.shadow.float_bytes);
                self.add(graph, stream, branch)
            }
        }
    }

    /// Runs a convolution with its norm.
    fn unit(&self, graph: &mut SimulatedGraph, x: FeatureMap, unit: &ConvNorm) -> FeatureMap {
        let (mut x, mut is_normed) = match x {
            FeatureMap::DeferredGroupNorm(x) => (x, true),
            x => {
                let x = self.whole(graph, x);
                (self.cast(graph, x, self.compute), false)
            }
        };
        if unit.norm.is_some_and(|norm| norm.first) {
            if is_normed {
                x = self.norm(graph, x);
            }
            is_normed = true;
        }
        let op_shape = self.op_shape(&x.shadow, unit.to);
        let (mut memory, taps) = match unit.kernel {
            Kernel::Pointwise => (pointwise::memory(&op_shape), 1),
            Kernel::Depthwise3 => (depthwise::memory(&op_shape), 27),
            Kernel::Conv3 => (kernels::conv3::memory(&op_shape), 27 * unit.from),
        };
        let inner = if unit.kernel == Kernel::Pointwise { unit.from } else { 1 };
        let weights = unit.to * taps * inner;
        let num_parameters = weights + if unit.bias { unit.to } else { 0 };
        if op_shape.float_bytes < 4 {
            // Parameters are f32; the convolution keeps a copy in its own type.
            memory.kept_bytes += op_shape.float_bytes * weights as u64;
        }
        let work = op_shape.num_elements(weights);
        let output = (unit.to, op_shape.dims, op_shape.float_bytes);
        let norm = is_normed.then(|| group_norm::memory(&op_shape));
        x = self.unary(graph, x, Unary { memory, norm, output, num_parameters, work });
        match unit.norm {
            Some(norm) if !norm.first => FeatureMap::DeferredGroupNorm(x),
            _ => FeatureMap::Whole(x),
        }
    }

    /// Runs a norm with activation.
    pub fn norm(&self, graph: &mut SimulatedGraph, x: Var) -> Var {
        let op_shape = self.op_shape(&x.shadow, x.shadow.channels);
        let (memory, output) = (
            group_norm::memory(&op_shape),
            (op_shape.in_channels, op_shape.dims, op_shape.float_bytes),
        );
        let num_parameters = 2 * op_shape.in_channels;
        self.unary(graph, x, Unary { memory, norm: None, output, num_parameters, work: 0 })
    }

    /// Runs trilinear ×2.
    pub fn upsample(&self, graph: &mut SimulatedGraph, x: Var) -> Var {
        let op_shape = self.op_shape(&x.shadow, x.shadow.channels);
        let output = (op_shape.in_channels, op_shape.dims.map(|d| 2 * d), op_shape.float_bytes);
        let (memory, work) = (upsample::memory(&op_shape), 8 * 8 * op_shape.num_input_elements());
        self.unary(graph, x, Unary { memory, norm: None, output, num_parameters: 0, work })
    }

    pub(super) fn shuffle(&self, graph: &mut SimulatedGraph, x: Var, squeeze: bool) -> Var {
        let op_shape = self.op_shape(&x.shadow, x.shadow.channels);
        let output = match squeeze {
            true => (8 * op_shape.in_channels, op_shape.dims.map(|d| d / 2), op_shape.float_bytes),
            false => (op_shape.in_channels / 8, op_shape.dims.map(|d| 2 * d), op_shape.float_bytes),
        };
        let memory = space_to_depth::memory(&op_shape);
        self.unary(graph, x, Unary { memory, norm: None, output, num_parameters: 0, work: 0 })
    }

    pub(super) fn reflect(
        &self,
        graph: &mut SimulatedGraph,
        x: Var,
        channels: usize,
        reflections: usize,
    ) -> Var {
        let op_shape = self.op_shape(&x.shadow, channels);
        let memory = reflection_memory(&op_shape, reflections);
        let output = (channels, op_shape.dims, op_shape.float_bytes);
        let num_parameters = channels * reflections;
        let work = op_shape.num_elements(reflections * (2 * channels + reflections));
        self.unary(graph, x, Unary { memory, norm: None, output, num_parameters, work })
    }

    /// Creates the input of a network, in f32.
    pub fn input(&self, channels: usize, dims: [usize; 3]) -> Var {
        Var { shadow: self.tensor(channels, dims, 4), node: None }
    }
}
