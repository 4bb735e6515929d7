//! Inverted bottlenecks, whose expanded channels are not stored if the block is fused.

use std::time::Duration;

use model_core::{Activation, Array, Buffer, Op, Program, View, Weights};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shaders::kernels::Storage;
use shaders::{FusionBenchmark, MAX_BINDING_BYTES, Plan, PlanOptions, reference};

use super::{FINE, SIZES, WHOLE, array, assert_close, engine, logits, random};

/// Returns the options with all blocks fused.
pub fn fused(options: PlanOptions) -> PlanOptions {
    PlanOptions { max_fused_channels: usize::MAX, ..options }
}

fn norm(on: &View, groups: usize, name: &str, activation: Activation) -> Op {
    let (gamma, beta) = (format!("{name}.gamma"), format!("{name}.beta"));
    Op::GroupNorm { from: on.clone(), to: on.clone(), groups, gamma, beta, activation }
}

/// Returns the program `x1 + F(x2)` on channels in the middle of a buffer. F expands the channels
/// `factor` times.
fn coupling(dims: [usize; 3], channels: usize, factor: usize, groups: usize) -> Program {
    let all = View { buffer: 0, channels: 0..2 * channels + 2 };
    let target = View { buffer: 0, channels: 1..channels + 1 };
    let from = View { buffer: 0, channels: channels + 1..2 * channels + 1 };
    let wide = factor * channels;
    let [expanded, deep] = [1, 2].map(|buffer| View { buffer, channels: 0..wide });
    let projected = View { buffer: 3, channels: 0..channels };
    let buffer = |channels| Buffer { channels, dims };
    Program {
        buffers: vec![buffer(2 * channels + 2), buffer(wide), buffer(wide), buffer(channels)],
        ops: vec![
            Op::Pointwise { from, to: expanded.clone(), weight: "expand".into(), bias: None },
            norm(&expanded, groups, "first", Activation::LeakyRelu),
            Op::Depthwise3 { from: expanded, to: deep.clone(), weight: "taps".into() },
            norm(&deep, groups, "second", Activation::Relu),
            Op::Pointwise {
                from: deep,
                to: projected.clone(),
                weight: "project".into(),
                bias: None,
            },
            norm(&projected, 1, "third", Activation::Identity),
            Op::AddInPlace { from: projected, to: target },
        ],
        input: all.clone(),
        output: all,
    }
}

fn coupling_weights(rng: &mut ChaCha8Rng, channels: usize, factor: usize) -> Weights {
    let wide = factor * channels;
    let mut weights = Weights::from([
        ("expand".into(), array(rng, &[wide, channels])),
        ("taps".into(), array(rng, &[wide, 3, 3, 3])),
        ("project".into(), array(rng, &[channels, wide])),
    ]);
    for (name, channels) in [("first", wide), ("second", wide), ("third", channels)] {
        for part in ["gamma", "beta"] {
            weights.insert(format!("{name}.{part}"), array(rng, &[channels]));
        }
    }
    weights
}

#[test]
fn an_inverted_bottleneck_agrees_with_its_reference_for_all_options() {
    let Some(engine) = engine() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(15);
    let widths = [(1, 3, 1), (3, 2, 3), (8, 1, 4), (15, 2, 15), (17, 2, 1)];
    let wide = [([5, 3, 7], (60, 8, 30)), ([5, 3, 7], (240, 2, 30))];
    let all = SIZES[1..].iter().flat_map(|&dims| widths.map(|width| (dims, width)));
    // More than a block of the fused kernel in each direction.
    let several_blocks = [[34, 9, 5], [70, 17, 33]].map(|dims| (dims, (4, 3, 2)));
    for (dims, (channels, factor, groups)) in all.chain(wide).chain(several_blocks) {
        let program = coupling(dims, channels, factor, groups);
        let weights = coupling_weights(&mut rng, channels, factor);
        let values = random(&mut rng, (2 * channels + 2) * program.buffers[0].num_voxels());
        let expected = reference::run(&program, &weights, &values);
        let in_f16 = |options| PlanOptions { storage: Storage::F16, ..options };
        for (options, tolerance) in [
            (WHOLE, 5e-5),
            (fused(WHOLE), 5e-5),
            (FINE, 5e-5),
            (fused(FINE), 5e-5),
            (in_f16(fused(WHOLE)), 2e-2),
        ] {
            let actual = logits(&engine, &program, options, &weights, &values);
            let name = format!("{channels} channels of {dims:?}, times {factor}: {options:?}");
            assert_close(&actual, &expected, tolerance, &name);
        }
    }
}

/// The input has a million voxels of correlated channels, whose means are a thousand times their
/// deviations.
#[test]
fn a_norm_computed_from_the_input_is_precise_far_from_zero() {
    let Some(engine) = engine() else { return };
    let (dims, channels, factor) = ([101, 99, 97], 3, 2);
    let program = coupling(dims, channels, factor, 3);
    let mut rng = ChaCha8Rng::seed_from_u64(16);
    let mut weights = coupling_weights(&mut rng, channels, factor);
    let expand =
        [1.0, 0.5, 0.0, 0.0, 1.0, 0.0, 0.25, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.5, 2.0, 1.0, 0.0, 0.0];
    weights.insert("expand".into(), Array { shape: vec![6, 3], values: expand.into() });
    let voxels = program.buffers[0].num_voxels();
    let common: Vec<f32> = (0..voxels).map(|_| rng.random_range(-1.0..1.0)).collect();
    let values: Vec<f32> = (0..2 * channels + 2)
        .flat_map(|c| common.iter().map(move |x| 1000.0 + x * (c as f32 + 1.0)).collect::<Vec<_>>())
        .map(|x| x + rng.random_range(-0.1..0.1))
        .collect();
    let expected = reference::run(&program, &weights, &values);
    // Compares only what the block adds to its target.
    let added = |result: &[f32]| -> Vec<f32> {
        let target = voxels..(channels + 1) * voxels;
        result[target.clone()].iter().zip(&values[target]).map(|(a, b)| a - b).collect()
    };
    for options in [fused(WHOLE), fused(PlanOptions { slab_bytes: 1 << 22, ..WHOLE })] {
        let actual = logits(&engine, &program, options, &weights, &values);
        assert_close(&added(&actual), &added(&expected), 1e-2, &format!("{options:?}"));
    }
}

/// The page runs this benchmark before it plans, unless the GPU is in software.
#[test]
fn fused_and_separate_kernels_agree_in_the_fusion_benchmark() {
    let Some(engine) = engine() else { return };
    let trial = pollster::block_on(engine.trial([32, 16, 16])).unwrap();
    assert!(trial.agree, "{trial:?}");
    let [short, long] = [1, 2].map(Duration::from_millis);
    let max_fused = |apart, fused, agree| {
        FusionBenchmark { apart, fused, agree }.preference().max_fused_channels
    };
    assert_eq!([max_fused(short, long, true), max_fused(long, short, false)], [0, 0]);
    assert!(max_fused(long, short, true) >= 15, "the widths of mbconv-slim at full resolution");
}

/// The size needs several dispatches, divided by channels and by planes, in one slab and in two.
#[test]
fn a_block_of_several_dispatches_agrees_with_its_reference() {
    let Some(engine) = engine() else { return };
    let (dims, channels, factor) = ([250, 60, 36], 16, 2);
    let program = coupling(dims, channels, factor, 8);
    let mut rng = ChaCha8Rng::seed_from_u64(17);
    let weights = coupling_weights(&mut rng, channels, factor);
    let values = random(&mut rng, (2 * channels + 2) * program.buffers[0].num_voxels());
    let expected = reference::run(&program, &weights, &values);
    for slab_bytes in [MAX_BINDING_BYTES, 40 << 20] {
        let options = fused(PlanOptions { slab_bytes, ..WHOLE });
        let plan = Plan::new(&program, options).unwrap();
        let slabs = plan.input.len();
        let dispatches = plan.steps.iter().filter(|s| s.kernel.name == "expand_depthwise").count();
        assert!(dispatches > 2 * slabs && (slabs > 1) == (slab_bytes < MAX_BINDING_BYTES));
        let actual = logits(&engine, &program, options, &weights, &values);
        assert_close(&actual, &expected, 5e-5, &format!("{options:?}"));
    }
}
