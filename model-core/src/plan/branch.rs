//! The variational branch's own step; its backward pass comes before the network's.

use super::heap::Shadow;
use super::tape::{Machine, Tape, Unary, Var};
use crate::config::{UNetConfig, Vae};
use crate::kernels::{Memory, conv3};
use crate::nets::pointwise_memory;

impl Machine {
    /// Forward and backward pass of the branch; gives the gradient of the bottom, which stays until
    /// the network's backward pass has come by.
    pub fn branch(&self, config: &UNetConfig, vae: &Vae, dims: [usize; 3]) -> Shadow {
        let bottom = config.num_levels() - 1;
        self.heap.enter(bottom);
        let mut tape = Tape::default();
        let leaf = {
            let bottom = self.tensor(config.widths[bottom], dims.map(|d| d >> bottom), 4);
            tape.leaf(bottom)
        };
        let node = leaf.node.expect("a leaf has a node");
        let mut x = self.norm(&mut tape, leaf);
        let halved = x.shadow.dims.map(|d| d / 2);
        let call = self.call(&x.shadow, vae.channels);
        let weights = 27 * call.from * vae.channels;
        let op = Unary {
            // burn's own convolution, at the bottom of the network.
            memory: Memory { keeps_input: true, ..Memory::default() },
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
                y = self.norm(&mut tape, y);
                y = self.conv(&mut tape, y);
            }
            x = self.add(&mut tape, x, y);
        }
        x = self.dense(&mut tape, x, config.in_channels);
        let seed = self.tensor(config.in_channels, dims, 4);
        let mut gradients = tape.backward(self, x.node, seed);
        gradients.remove(&node).expect("the branch depends on the bottom")
    }

    fn dense(&self, tape: &mut Tape, x: Var, to: usize) -> Var {
        let call = self.call(&x.shadow, to);
        let output = (to, call.dims, call.float_bytes);
        let (memory, work) = (pointwise_memory(&call), call.numbers(call.from * to));
        self.unary(tape, x, Unary { memory, output, num_parameters: (call.from + 1) * to, work })
    }

    fn conv(&self, tape: &mut Tape, x: Var) -> Var {
        let call = self.call(&x.shadow, x.shadow.channels);
        let weights = 27 * call.from * call.from;
        let output = (call.from, call.dims, call.float_bytes);
        let (memory, work) = (conv3::memory(&call), call.numbers(weights));
        self.unary(tape, x, Unary { memory, output, num_parameters: weights, work })
    }
}
