//! Group norms: in place, between two buffers, and far from zero.

use model_core::{Activation, Array, Buffer, Op, Program, View, Weights};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shaders::{Engine, PlanOptions, reference};

use super::{SIZES, WHOLE, array, assert_close, check, engine, engines, logits, random};

/// Channels and groups. With one group per channel a group norm is an instance norm.
const GROUPS: [(usize, usize); 5] = [(1, 1), (6, 3), (15, 15), (40, 4), (30, 1)];

/// Returns a group norm.
fn norm(from: View, to: View, groups: usize, activation: Activation) -> Op {
    Op::GroupNorm { from, to, groups, gamma: "gamma".into(), beta: "beta".into(), activation }
}

/// Returns a norm in place of the middle channels of a buffer. It must not change the other
/// channels.
fn norm_program(dims: [usize; 3], channels: usize, groups: usize, slope: Activation) -> Program {
    let all = View { buffer: 0, channels: 0..channels + 3 };
    let middle = View { buffer: 0, channels: 1..channels + 1 };
    Program {
        buffers: vec![Buffer { channels: channels + 3, dims }],
        ops: vec![norm(middle.clone(), middle, groups, slope)],
        input: all.clone(),
        output: all,
    }
}

fn norm_weights(rng: &mut ChaCha8Rng, channels: usize) -> Weights {
    ["gamma", "beta"].map(|name| (name.to_string(), array(rng, &[channels]))).into()
}

#[test]
fn group_norm_in_place_agrees_with_its_reference() {
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
                    let actual = logits(engine, &program, WHOLE, &weights, &values);
                    assert_close(&actual, &expected, 2e-5, &format!("{:?}", program.ops[0]));
                }
            }
        }
    }
}

#[test]
fn group_norm_between_two_buffers_agrees_with_its_reference() {
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

/// A block that begins with a norm adds its result to the input of the norm.
#[test]
fn group_norm_between_two_buffers_does_not_change_its_input() {
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

/// The mean of the two million values is a thousand times their deviation. Sums of squares in f32
/// would lose the variance.
#[test]
fn group_norm_is_precise_far_from_zero() {
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
        let actual = logits(&engine, &program, WHOLE, &weights, &values);
        assert_close(&actual[normed.clone()], &expected[normed.clone()], 2e-4, "far from zero");
    }
}

/// The kernel of a convolution also computes the statistics of its output.
#[test]
fn statistics_computed_by_a_convolution_are_precise_far_from_zero() {
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
    // The convolution is the identity.
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
        let actual = logits(&engine, &program, options, &weights, &values);
        assert_close(&actual, &expected, 2e-4, &format!("{options:?}"));
    }
}
