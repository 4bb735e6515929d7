//! The variational branch's own step; its backward pass comes before the network's.

use super::simulated_graph::{SimulatedDevice, SimulatedGraph, Unary, Var};
use super::simulated_heap::Shadow;
use crate::kernels::{Memory, conv3, group_norm, pointwise};
use crate::network::config::{UNetConfig, Vae};

impl SimulatedDevice {
    /// Forward and backward pass of the branch; gives the multiply-adds of the forward pass. The
    /// gradient of the bottom stays until the network's backward pass has come by.
    pub fn branch(&self, config: &UNetConfig, vae: &Vae, dims: [usize; 3]) -> u64 {
        let total = || self.work.borrow().iter().fold(0u64, |sum, work| sum.saturating_add(*work));
        let before = total();
        let bottom = config.num_levels() - 1;
        self.heap.enter(bottom);
        let mut tape = SimulatedGraph::default();
        let shadow = self.bottom.take().expect("the forward pass left the bottom");
        let leaf = tape.leaf(shadow);
        let node = leaf.node.expect("a leaf has a node");
        let mut x = self.cast(&mut tape, leaf, 4);
        x = self.norm(&mut tape, x);
        let halved = x.shadow.dims.map(|d| d / 2);
        let call = self.call(&x.shadow, vae.channels);
        let weights = 27 * call.from * vae.channels;
        let op = Unary {
            // burn's own convolution; small, at the bottom of the network.
            memory: Memory { keeps_input: true, ..Memory::default() },
            norm: None,
            output: (vae.channels, halved, 4),
            num_parameters: weights,
            work: call.numbers(weights) / 8,
        };
        x = self.unary(&mut tape, x, op);
        let flat = vae.channels * halved.iter().product::<usize>();
        x.shadow = Shadow { channels: flat, dims: [1; 3], ..x.shadow };
        x = self.dense(&mut tape, x, 2 * vae.units);
        let (mean, _) = self.split(&mut tape, x);
        x = self.dense(&mut tape, mean, flat);
        x.shadow = Shadow { channels: vae.channels, dims: halved, ..x.shadow };
        x = self.dense(&mut tape, x, config.widths[bottom]);
        x = self.upsample(&mut tape, x);
        for level in (0..bottom).rev() {
            x = self.dense(&mut tape, x, config.widths[level]);
            self.heap.enter(level);
            x = self.upsample(&mut tape, x);
            let mut y = x.clone();
            for _ in 0..2 {
                y = self.normed_conv(&mut tape, y);
            }
            x = self.add(&mut tape, x, y);
        }
        x = self.dense(&mut tape, x, config.in_channels);
        let forward = total() - before;
        let seed = self.tensor(config.in_channels, dims, 4);
        let mut gradients = tape.backward(self, x.node, seed);
        self.bottom.replace(gradients.remove(&node));
        forward
    }

    fn dense(&self, tape: &mut SimulatedGraph, x: Var, to: usize) -> Var {
        let call = self.call(&x.shadow, to);
        let output = (to, call.dims, call.float_bytes);
        let (memory, work) = (pointwise::memory(&call), call.numbers(call.from * to));
        let num_parameters = (call.from + 1) * to;
        self.unary(tape, x, Unary { memory, norm: None, output, num_parameters, work })
    }

    fn normed_conv(&self, tape: &mut SimulatedGraph, x: Var) -> Var {
        let call = self.call(&x.shadow, x.shadow.channels);
        let weights = 27 * call.from * call.from;
        let output = (call.from, call.dims, call.float_bytes);
        let (memory, work) = (conv3::memory(&call), call.numbers(weights));
        let norm = Some(group_norm::memory(&call));
        self.unary(tape, x, Unary { memory, norm, output, num_parameters: weights, work })
    }
}
