//! A run on the CPU in several parts, each on a thread of its own.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use model_core::cpu::{CpuError, CpuOutput, CpuPlan, Part, Peers};
use model_core::{Program, Weights};

/// What a part sends to another.
enum Message {
    Values(Vec<f64>),
    Planes(Vec<f32>),
}

/// The connections of one part to all parts, in their order.
struct Threads {
    part: Part,
    to: Vec<Sender<Message>>,
    from: Vec<Receiver<Message>>,
}

impl Threads {
    fn receive(&self, from: usize) -> Result<Message, CpuError> {
        self.from[from].recv().map_err(|error| CpuError::Peer(error.to_string()))
    }

    fn receive_planes(&self, from: usize) -> Result<Vec<f32>, CpuError> {
        match self.receive(from)? {
            Message::Planes(planes) => Ok(planes),
            Message::Values(_) => panic!("part {from} is at another stage"),
        }
    }
}

impl Peers for Threads {
    async fn gather(&mut self, values: Vec<f64>) -> Result<Vec<Vec<f64>>, CpuError> {
        self.to.iter().for_each(|to| to.send(Message::Values(values.clone())).unwrap());
        let receive = |from| match self.receive(from)? {
            Message::Values(values) => Ok(values),
            Message::Planes(_) => panic!("part {from} is at another stage"),
        };
        (0..self.part.count).map(receive).collect()
    }

    async fn exchange(
        &mut self,
        to_before: Option<Vec<f32>>,
        to_after: Option<Vec<f32>>,
    ) -> Result<[Option<Vec<f32>>; 2], CpuError> {
        let index = self.part.index;
        let (has_before, has_after) = (to_before.is_some(), to_after.is_some());
        let send = |to: usize, planes| self.to[to].send(Message::Planes(planes)).unwrap();
        to_before.into_iter().for_each(|planes| send(index - 1, planes));
        to_after.into_iter().for_each(|planes| send(index + 1, planes));
        let before = has_before.then(|| self.receive_planes(index - 1)).transpose()?;
        let after = has_after.then(|| self.receive_planes(index + 1)).transpose()?;
        Ok([before, after])
    }

    async fn progress(&mut self, _: f64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Runs a program in `count` parts and returns the logits.
///
/// # Shapes
/// - input, output: `[channel][k][j][i]`
///
/// # Panics
/// If the program cannot be run in so many parts.
pub fn run_in_parts(program: &Program, weights: &Weights, input: &[f32], count: usize) -> Vec<f32> {
    let [ni, nj, nk] = program.buffers[program.input.buffer].dims;
    let (plane, voxels) = (ni * nj, ni * nj * nk);
    let mut peers: Vec<Threads> = (0..count)
        .map(|index| Threads { part: Part { index, count }, to: Vec::new(), from: Vec::new() })
        .collect();
    for to in 0..count {
        for from in 0..count {
            let (sender, receiver) = channel();
            peers[from].to.push(sender);
            peers[to].from.push(receiver);
        }
    }
    let outputs: Vec<_> = thread::scope(|scope| {
        let start = |mut peers: Threads| {
            scope.spawn(move || {
                let plan = CpuPlan::new(program, peers.part, 1).unwrap();
                let planes = plan.input_planes();
                let own = planes.start * plane..planes.end * plane;
                let channels = input.chunks_exact(voxels);
                let input: Vec<f32> =
                    channels.flat_map(|channel| channel[own.clone()].to_vec()).collect();
                let run = plan.run_part(weights, &input, &mut peers);
                let CpuOutput::Logits(logits) = pollster::block_on(run).unwrap() else {
                    panic!("expected logits")
                };
                (own, logits)
            })
        };
        let threads: Vec<_> = peers.into_iter().map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut logits = vec![0.0; program.output.channels.len() * voxels];
    for (own, part) in outputs {
        let channels = logits.chunks_exact_mut(voxels);
        for (to, from) in channels.zip(part.chunks_exact(own.len())) {
            to[own.clone()].copy_from_slice(from);
        }
    }
    logits
}
