//! Inverted bottlenecks, of which the expanded channels may never be in memory.

use std::time::Duration;

use model_core::{Activation, Array, Buffer, Op, Program, View, Weights};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shaders::kernels::Storage;
use shaders::{FusionBenchmark, MAX_BINDING_BYTES, Plan, PlanOptions, reference};

use super::{FINE, SIZES, WHOLE, array, assert_close, engine, logits, random};

/// All blocks are fused.
pub fn fused(options: PlanOptions) -> PlanOptions {
    PlanOptions { max_fused_channels: usize::MAX, ..options }
}

fn norm(on: &View, groups: usize, name: &str, activation: Activation) -> Op {
    let (gamma, beta) = (format!("{name}.gamma"), format!("{name}.beta"));
    Op::GroupNorm { from: on.clone(), to: on.clone(), groups, gamma, beta, activation }
}

/// `x1 + F(x2)` of the channels in the middle of a buffer, where F expands them `factor` times.
fn coupling(dims: [usize; 3], channels: usize, factor: usize, groups: usize) -> Program {
    let all = View { buffer: 0, channels: 0..2 * channels + 2 };
    let onto = View { buffer: 0, channels: 1..channels + 1 };
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
            Op::AddInPlace { from: projected, to: onto },
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
fn an_inverted_bottleneck_is_its_reference_in_every_manner() {
    let Some(engine) = engine() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(15);
    let widths = [(1, 3, 1), (3, 2, 3), (8, 1, 4), (15, 2, 15), (17, 2, 1)];
    let wide = [([5, 3, 7], (60, 8, 30)), ([5, 3, 7], (240, 2, 30))];
    let all = SIZES[1..].iter().flat_map(|&dims| widths.map(|width| (dims, width)));
    // A tile of the fused kernel and more, in each direction.
    let tiles = [[34, 9, 5], [70, 17, 33]].map(|dims| (dims, (4, 3, 2)));
    for (dims, (channels, factor, groups)) in all.chain(wide).chain(tiles) {
        let program = coupling(dims, channels, factor, groups);
        let weights = coupling_weights(&mut rng, channels, factor);
        let values = random(&mut rng, (2 * channels + 2) * program.buffers[0].num_voxels());
        let expected = reference::run(&program, &weights, &values);
        let half = |options| PlanOptions { storage: Storage::F16, ..options };
        for (options, most) in [
            (WHOLE, 5e-5),
            (fused(WHOLE), 5e-5),
            (FINE, 5e-5),
            (fused(FINE), 5e-5),
            (half(fused(WHOLE)), 2e-2),
        ] {
            let found = logits(&engine, &program, options, &weights, &values);
            let what = format!("{channels} channels of {dims:?}, times {factor}: {options:?}");
            assert_close(&found, &expected, most, &what);
        }
    }
}

/// A million voxels of correlated channels around means a thousand times their deviation.
#[test]
fn a_norm_that_is_known_from_the_input_keeps_its_precision_far_from_zero() {
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
    // What is added to: its deviations from it are what is compared.
    let added = |result: &[f32]| -> Vec<f32> {
        let of_onto = voxels..(channels + 1) * voxels;
        result[of_onto.clone()].iter().zip(&values[of_onto]).map(|(a, b)| a - b).collect()
    };
    for options in [fused(WHOLE), fused(PlanOptions { slab_bytes: 1 << 22, ..WHOLE })] {
        let found = logits(&engine, &program, options, &weights, &values);
        assert_close(&added(&found), &added(&expected), 1e-2, &format!("{options:?}"));
    }
}

/// What a page measures before it plans, on a GPU that is no software.
#[test]
fn a_trial_gives_the_same_both_ways() {
    let Some(engine) = engine() else { return };
    let trial = pollster::block_on(engine.trial([32, 16, 16])).unwrap();
    assert!(trial.agree, "{trial:?}");
    let [less, more] = [1, 2].map(Duration::from_millis);
    let told = |apart, fused, agree| {
        FusionBenchmark { apart, fused, agree }.preference().max_fused_channels
    };
    assert_eq!([told(less, more, true), told(more, less, false)], [0, 0]);
    assert!(told(more, less, true) >= 15, "the widths of mbconv-slim at full resolution");
}

/// As large as makes its dispatches several, by channels and by planes; in a slab, and in two.
#[test]
fn a_block_of_several_dispatches_is_its_reference() {
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
        let found = logits(&engine, &program, options, &weights, &values);
        assert_close(&found, &expected, 5e-5, &format!("{options:?}"));
    }
}
