//! Group norms: in place, between two buffers, and far from zero.

use model_core::{Activation, Array, Buffer, Op, Program, View, Weights};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shaders::{Engine, PlanOptions, reference};

use super::{SIZES, WHOLE, array, assert_close, check, engine, engines, logits, random};

/// Channels and groups; as many groups as channels is an instance norm.
const GROUPS: [(usize, usize); 5] = [(1, 1), (6, 3), (15, 15), (40, 4), (30, 1)];

/// A norm of `from`.
fn norm(from: View, to: View, groups: usize, activation: Activation) -> Op {
    Op::GroupNorm { from, to, groups, gamma: "gamma".into(), beta: "beta".into(), activation }
}

/// A norm of the middle channels of a buffer; the others stay as they are.
fn norm_program(dims: [usize; 3], channels: usize, groups: usize, slope: Activation) -> Program {
    let all = View { buffer: 0, channels: 0..channels + 3 };
    let on = View { buffer: 0, channels: 1..channels + 1 };
    Program {
        buffers: vec![Buffer { channels: channels + 3, dims }],
        ops: vec![norm(on.clone(), on, groups, slope)],
        input: all.clone(),
        output: all,
    }
}

fn norm_weights(rng: &mut ChaCha8Rng, channels: usize) -> Weights {
    ["gamma", "beta"].map(|name| (name.to_string(), array(rng, &[channels]))).into()
}

#[test]
fn group_norm_in_place_is_its_reference() {
    let engines: Vec<Engine> = engines().collect();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for dims in SIZES {
        for (channels, groups) in GROUPS {
            for slope in [Activation::Relu, Activation::LeakyRelu, Activation::Identity] {
                let program = norm_program(dims, channels, groups, slope);
                let weights = norm_weights(&mut rng, channels);
                let values = random(&mut rng, (channels + 3) * program.buffers[0].num_voxels());
                let expected = reference::run(&program, &weights, &values);
                for engine in &engines {
                    let found = logits(engine, &program, WHOLE, &weights, &values);
                    assert_close(&found, &expected, 2e-5, &format!("{:?}", program.ops[0]));
                }
            }
        }
    }
}

#[test]
fn group_norm_between_two_buffers_is_its_reference() {
    let Some(engine) = engine() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for dims in SIZES {
        for (channels, groups) in GROUPS {
            for slope in [Activation::LeakyRelu, Activation::Identity] {
                let buffer = Buffer { channels, dims };
                let weights = norm_weights(&mut rng, channels);
                check(&engine, buffer.clone(), buffer, &weights, |from, to| {
                    norm(from, to, groups, slope)
                });
            }
        }
    }
}

/// A block that norms first adds to what it normed.
#[test]
fn group_norm_between_two_buffers_leaves_what_it_reads() {
    let Some(engine) = engine() else { return };
    let (dims, channels) = ([9, 4, 2], 6);
    let [from, to] = [0, 1].map(|buffer| View { buffer, channels: 0..channels });
    let program = Program {
        buffers: vec![Buffer { channels, dims }; 2],
        ops: vec![norm(from.clone(), to, 3, Activation::Relu)],
        input: from.clone(),
        output: from,
    };
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let weights = norm_weights(&mut rng, channels);
    let values = random(&mut rng, channels * program.buffers[0].num_voxels());
    assert_eq!(logits(&engine, &program, WHOLE, &weights, &values), values);
}

/// Two million values around a mean a thousand times their deviation: sums of squares in f32 would
/// lose the variance altogether.
#[test]
fn group_norm_keeps_its_precision_far_from_zero() {
    let (dims, channels) = ([101, 99, 97], 2);
    let program = norm_program(dims, channels, 1, Activation::Identity);
    let ones = Array { shape: vec![channels], values: vec![1.0; channels] };
    let zeros = Array { shape: vec![channels], values: vec![0.0; channels] };
    let weights = Weights::from([("gamma".into(), ones), ("beta".into(), zeros)]);
    let num_values = (channels + 3) * program.buffers[0].num_voxels();
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let values: Vec<f32> = (0..num_values).map(|_| rng.random_range(999.0..1001.0)).collect();
    let expected = reference::run(&program, &weights, &values);
    let voxels = program.buffers[0].num_voxels();
    let normed = voxels..(channels + 1) * voxels;
    for engine in engines() {
        let found = logits(&engine, &program, WHOLE, &weights, &values);
        assert_close(&found[normed.clone()], &expected[normed.clone()], 2e-4, "far from zero");
    }
}

/// The same where a convolution's kernel takes the statistics of what it writes.
#[test]
fn statistics_taken_on_the_way_keep_their_precision_far_from_zero() {
    let Some(engine) = engine() else { return };
    let (dims, channels) = ([101, 51, 47], 2);
    let [from, to] = [0, 1].map(|buffer| View { buffer, channels: 0..channels });
    let convolution = Op::Depthwise3 { from: from.clone(), to: to.clone(), weight: "taps".into() };
    let program = Program {
        buffers: vec![Buffer { channels, dims }; 2],
        ops: vec![convolution, norm(to.clone(), to.clone(), 1, Activation::Identity)],
        input: from,
        output: to,
    };
    // Every voxel as it is.
    let taps = (0..channels * 27).map(|tap| f32::from(tap % 27 == 13)).collect();
    let mut weights =
        Weights::from([("taps".into(), Array { shape: vec![channels, 3, 3, 3], values: taps })]);
    for (name, value) in [("gamma", 1.0), ("beta", 0.0)] {
        let values = vec![value; channels];
        weights.insert(name.into(), Array { shape: vec![channels], values });
    }
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let num_values = channels * program.buffers[0].num_voxels();
    let values: Vec<f32> = (0..num_values).map(|_| rng.random_range(999.0..1001.0)).collect();
    let expected = reference::run(&program, &weights, &values);
    for options in [WHOLE, PlanOptions { slab_bytes: 1 << 20, ..WHOLE }] {
        let found = logits(&engine, &program, options, &weights, &values);
        assert_close(&found, &expected, 2e-4, &format!("{options:?}"));
    }
}
