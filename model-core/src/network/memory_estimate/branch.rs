//! The step of the variational branch. Its backward pass runs before the network's.

use super::simulated_graph::{SimulatedDevice, SimulatedGraph, Unary, Var};
use super::simulated_heap::Shadow;
use crate::kernels::{OpMemory, conv3, group_norm, pointwise};
use crate::network::config::{UNetConfig, Vae};

impl SimulatedDevice {
    /// Simulates forward and backward pass of the branch and returns the multiply-adds of the
    /// forward pass. The gradient of the bottleneck is held until the network's backward pass uses
    /// it.
    pub fn branch(&self, config: &UNetConfig, vae: &Vae, dims: [usize; 3]) -> u64 {
        let total = || self.work.borrow().iter().fold(0u64, |sum, work| sum.saturating_add(*work));
        let before = total();
        let bottom = config.num_levels() - 1;
        self.heap.enter(bottom);
        let mut graph = SimulatedGraph::default();
        let shadow = self.bottom.take().expect("the forward pass left the bottom");
        let leaf = graph.leaf(shadow);
        let node = leaf.node.expect("a leaf has a node");
        let mut x = self.cast(&mut graph, leaf, 4);
        x = self.norm(&mut graph, x);
        let halved = x.shadow.dims.map(|d| d / 2);
        let op_shape = self.op_shape(&x.shadow, vae.channels);
        let weights = 27 * op_shape.in_channels * vae.channels;
        let op = Unary {
            // burn's own convolution; small, at the bottom of the network.
            memory: OpMemory { keeps_input: true, ..OpMemory::default() },
            norm: None,
            output: (vae.channels, halved, 4),
            num_parameters: weights,
            work: op_shape.num_elements(weights) / 8,
        };
        x = self.unary(&mut graph, x, op);
        let flat = vae.channels * halved.iter().product::<usize>();
        x.shadow = Shadow { channels: flat, dims: [1; 3], ..x.shadow };
        x = self.dense(&mut graph, x, 2 * vae.units);
        let (mean, _) = self.split(&mut graph, x);
        x = self.dense(&mut graph, mean, flat);
        x.shadow = Shadow { channels: vae.channels, dims: halved, ..x.shadow };
        x = self.dense(&mut graph, x, config.widths[bottom]);
        x = self.upsample(&mut graph, x);
        for level in (0..bottom).rev() {
            x = self.dense(&mut graph, x, config.widths[level]);
            self.heap.enter(level);
            x = self.upsample(&mut graph, x);
            let mut y = x.clone();
            for _ in 0..2 {
                y = self.normed_conv(&mut graph, y);
            }
            x = self.add(&mut graph, x, y);
        }
        x = self.dense(&mut graph, x, config.in_channels());
        let forward = total() - before;
        let seed = self.tensor(config.in_channels(), dims, 4);
        let mut gradients = graph.backward(self, x.node, seed);
        self.bottom.replace(gradients.remove(&node));
        forward
    }

    fn dense(&self, graph: &mut SimulatedGraph, x: Var, to: usize) -> Var {
        let op_shape = self.op_shape(&x.shadow, to);
        let output = (to, op_shape.dims, op_shape.float_bytes);
        let (memory, work) =
            (pointwise::memory(&op_shape), op_shape.num_elements(op_shape.in_channels * to));
        let num_parameters = (op_shape.in_channels + 1) * to;
        self.unary(graph, x, Unary { memory, norm: None, output, num_parameters, work })
    }

    fn normed_conv(&self, graph: &mut SimulatedGraph, x: Var) -> Var {
        let op_shape = self.op_shape(&x.shadow, x.shadow.channels);
        let weights = 27 * op_shape.in_channels * op_shape.in_channels;
        let output = (op_shape.in_channels, op_shape.dims, op_shape.float_bytes);
        let (memory, work) = (conv3::memory(&op_shape), op_shape.num_elements(weights));
        let norm = Some(group_norm::memory(&op_shape));
        self.unary(graph, x, Unary { memory, norm, output, num_parameters: weights, work })
    }
}
