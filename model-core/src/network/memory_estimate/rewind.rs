//! The rewinding backward pass on tensors without values, as [`crate::nets`] runs it.

use super::network::FeatureMap;
use super::simulated_graph::{SimulatedDevice, SimulatedGraph, Var};
use super::simulated_heap::Shadow;
use crate::network::layers::{ConvNorm, Layer, Step};

impl SimulatedDevice {
    /// Rewinds steps from an output and its gradient. Returns the input, if wanted, and its gradient.
    pub fn rewind(
        &self,
        steps: &[Step],
        y: Shadow,
        gradient: Shadow,
        wants_input: bool,
    ) -> (Option<Shadow>, Shadow) {
        let none = &mut SimulatedGraph::none();
        let plain = |shadow| Var { shadow, node: None };
        let (mut value, mut gradient) =
            (Some(FeatureMap::Whole(plain(y))), FeatureMap::Whole(plain(gradient)));
        let (mut kept_values, mut kept_gradients) = (Vec::new(), Vec::new());
        for (n, step) in steps.iter().enumerate().rev() {
            self.heap.enter(step.level);
            let wants_input = n > 0 || wants_input;
            let output = value.expect("wanted by every layer but the first");
            (value, gradient) = match &step.layer {
                Layer::Block { f, g } => {
                    let (y1, y2) = self.owned_halves(output);
                    let (g1, g2) = self.owned_halves(gradient);
                    let cast =
                        |g| self.cast(&mut SimulatedGraph::none(), plain(g), self.stream).shadow;
                    let (g1, g2) = (cast(g1), cast(g2));
                    let half = |units: &[ConvNorm], x: &Shadow| {
                        let forward = |graph: &mut SimulatedGraph, x: Var| {
                            graph.stream = x.node;
                            self.half(graph, x, units)
                        };
                        self.local(forward, x.clone(), true)
                    };
                    let minus = |y, output| {
                        self.add_branch(&mut SimulatedGraph::none(), plain(y), output).shadow
                    };
                    let (local, output) = half(g, &y1);
                    let y2 = minus(y2, output);
                    self.finish(local, g2.clone());
                    let y1 = wants_input.then_some(y1);
                    let (local, output) = half(f, &y2);
                    let value =
                        y1.map(|y1| FeatureMap::Halves(plain(minus(y1, output)), plain(y2)));
                    self.finish(local, g1.clone());
                    (value, FeatureMap::Halves(plain(g1), plain(g2)))
                }
                Layer::Reflect { reflections, channels, .. } => {
                    let (channels, reflections) = (*channels, *reflections);
                    let (y, g) = (self.whole(none, output), self.whole(none, gradient));
                    let gradient = self.reflect(none, g, channels, reflections).shadow;
                    let back = |graph: &mut SimulatedGraph, y| {
                        FeatureMap::Whole(self.reflect(graph, y, channels, reflections))
                    };
                    let seed = self.tensor(channels, gradient.dims, gradient.float_bytes);
                    let (local, x) = self.local(back, y.shadow, false);
                    self.finish(local, seed);
                    (Some(x), FeatureMap::Whole(plain(gradient)))
                }
                Layer::SpaceToDepth | Layer::DepthToSpace => {
                    let squeeze = step.layer == Layer::DepthToSpace;
                    let mut both = |x| {
                        let x = self.whole(none, x);
                        FeatureMap::Whole(self.shuffle(none, x, squeeze))
                    };
                    (Some(both(output)), both(gradient))
                }
                Layer::ConcatHalf => {
                    let (v1, v2) = self.halves(none, output);
                    let (g1, g2) = self.halves(none, gradient);
                    kept_values.push(v1);
                    kept_gradients.push(g1);
                    (Some(FeatureMap::Whole(v2)), FeatureMap::Whole(g2))
                }
                Layer::PushHalf => {
                    let last = |kept: &mut Vec<Var>| kept.pop().expect("joined further on");
                    let (v1, g1) = (last(&mut kept_values), last(&mut kept_gradients));
                    let (v2, g2) = (self.whole(none, output), self.whole(none, gradient));
                    (Some(FeatureMap::Halves(v1, v2)), FeatureMap::Halves(g1, g2))
                }
                Layer::BottleneckHook => {
                    let gradient = self.whole(none, gradient).shadow;
                    let gradient = match self.bottom.take() {
                        Some(given) => self.sum(gradient, given),
                        None => gradient,
                    };
                    (Some(output), FeatureMap::Whole(plain(gradient)))
                }
                _ => (Some(output), gradient),
            };
        }
        let gradient = self.whole(none, gradient).shadow;
        let x = value.filter(|_| wants_input).map(|x| self.whole(none, x).shadow);
        (x, gradient)
    }
}
