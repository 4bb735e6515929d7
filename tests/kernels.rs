//! The WGSL kernels agree with their references, one by one and as whole networks.

mod blocks;
mod norms;
mod resampling;

use std::ops::ControlFlow;

use model_core::network::layers::parameters;
use model_core::{Array, Buffer, Decoder, Op, Program, Task, UNetConfig, View, Weights};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shaders::kernels::{Storage, decide};
use shaders::{Engine, Error, MAX_BINDING_BYTES, Output, Plan, PlanOptions, Progress, reference};

/// Sizes that no block of a kernel divides, and the smallest size.
const SIZES: [[usize; 3]; 5] = [[1, 1, 1], [5, 3, 7], [9, 4, 2], [18, 5, 11], [33, 9, 17]];

/// Input and output channels around multiples of eight, the width of a block.
const WIDTHS: [(usize, usize); 5] = [(1, 1), (4, 16), (8, 3), (15, 30), (17, 40)];

/// Returns every size with every width, and the widths of the widest networks with a small size.
fn sizes_and_widths() -> impl Iterator<Item = ([usize; 3], (usize, usize))> {
    let all = SIZES.into_iter().flat_map(|dims| WIDTHS.map(|widths| (dims, widths)));
    all.chain([([5, 3, 7], (480, 20)), ([5, 3, 7], (3, 480))])
}

/// Opens an engine that fills its buffers with NaN, which shows values that no kernel wrote.
fn engine() -> Option<Engine> {
    integration_tests::engine().map(Engine::poisoning)
}

/// Opens an engine with the features of this GPU, and one with only the features of every GPU.
fn engines() -> impl Iterator<Item = Engine> {
    [engine(), engine().map(Engine::plain)].into_iter().flatten()
}

/// Options that divide nothing.
const WHOLE: PlanOptions = PlanOptions {
    storage: Storage::F32,
    channel_splits: 1,
    max_fused_channels: 0,
    slab_bytes: MAX_BINDING_BYTES,
};

/// Options that divide as finely as possible: plane by plane, group by group.
const FINE: PlanOptions = PlanOptions {
    storage: Storage::F32,
    channel_splits: usize::MAX,
    max_fused_channels: 0,
    slab_bytes: 1,
};

fn run(engine: &Engine, plan: &Plan, weights: &Weights, input: &[f32]) -> Output {
    let mut go_on = |_| ControlFlow::Continue(());
    let output = pollster::block_on(engine.run(plan, weights, input, &mut go_on)).unwrap();
    let largest = plan.input.iter().map(|part| part.bytes).max().unwrap();
    assert_eq!(engine.allocated_bytes() + largest, plan.footprint.total_bytes);
    output
}

fn logits(
    engine: &Engine,
    program: &Program,
    options: PlanOptions,
    weights: &Weights,
    input: &[f32],
) -> Vec<f32> {
    match run(engine, &Plan::new(program, options).unwrap(), weights, input) {
        Output::Logits(logits) => logits,
        Output::Labels(_) => panic!("expected logits, found labels"),
    }
}

fn random(rng: &mut ChaCha8Rng, len: usize) -> Vec<f32> {
    (0..len).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn array(rng: &mut ChaCha8Rng, shape: &[usize]) -> Array {
    Array { shape: shape.to_vec(), values: random(rng, shape.iter().product()) }
}

/// Asserts that max |a − b| / max |b| is within a tolerance. A value that is not finite, which no
/// kernel wrote, fails.
fn assert_close(a: &[f32], b: &[f32], tolerance: f32, name: &str) {
    assert_eq!(a.len(), b.len(), "{name}");
    let missing = a.iter().filter(|x| !x.is_finite()).count();
    assert_eq!(missing, 0, "{name}: {missing} of {} values were not written", a.len());
    let difference = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let largest = b.iter().fold(f32::MIN_POSITIVE, |largest, b| largest.max(b.abs()));
    assert!(difference / largest <= tolerance, "{name}: {difference} of {largest}");
}

/// Compares one operation with its reference. The views begin and end inside their buffers, at
/// different channels. The kernel must not write outside its view.
fn check(
    engine: &Engine,
    from: Buffer,
    to: Buffer,
    weights: &Weights,
    op: impl Fn(View, View) -> Op,
) {
    let inside = |buffer: usize, view: &Buffer| {
        let channels = 2 - buffer..2 - buffer + view.channels;
        (Buffer { channels: view.channels + 3, dims: view.dims }, View { buffer, channels })
    };
    let ((input, from), (output, to)) = (inside(0, &from), inside(1, &to));
    let all = |buffer: usize, b: &Buffer| View { buffer, channels: 0..b.channels };
    let program = Program {
        input: all(0, &input),
        output: all(1, &output),
        ops: vec![op(from, to.clone())],
        buffers: vec![input, output],
    };
    let output = &program.buffers[1];
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let values = random(&mut rng, program.buffers[0].channels * program.buffers[0].num_voxels());
    let expected = reference::run(&program, weights, &values);
    let written = to.channels.start * output.num_voxels()..to.channels.end * output.num_voxels();
    let in_f16 = |options| PlanOptions { storage: Storage::F16, ..options };
    for (options, tolerance) in [(WHOLE, 1e-5), (FINE, 1e-5), (in_f16(WHOLE), 2e-3)] {
        let actual = logits(engine, &program, options, weights, &values);
        let name = format!("{options:?}: {:?}", program.ops[0]);
        assert_close(&actual[written.clone()], &expected[written.clone()], tolerance, &name);
        let mut outside = actual[..written.start].iter().chain(&actual[written.end..]);
        // With many slabs, a slab may reuse the buffer of an input slab.
        let is_one_slab = options.slab_bytes > 1;
        assert!(!is_one_slab || outside.all(|x| x.is_nan()), "{name} wrote outside its view");
    }
}

#[test]
fn pointwise_convolution_agrees_with_its_reference() {
    let Some(engine) = engine() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for (dims, (in_channels, out_channels)) in sizes_and_widths() {
        for bias in [None, Some("b".to_string())] {
            let w = array(&mut rng, &[out_channels, in_channels]);
            let b = array(&mut rng, &[out_channels]);
            let weights = Weights::from([("w".to_string(), w), ("b".to_string(), b)]);
            let from = Buffer { channels: in_channels, dims };
            check(&engine, from, Buffer { channels: out_channels, dims }, &weights, |from, to| {
                Op::Pointwise { from, to, weight: "w".into(), bias: bias.clone() }
            });
        }
    }
}

#[test]
fn dense_convolution_agrees_with_its_reference() {
    let Some(engine) = engine() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for (dims, (in_channels, out_channels)) in sizes_and_widths() {
        let w = array(&mut rng, &[out_channels, in_channels, 3, 3, 3]);
        let weights = Weights::from([("w".to_string(), w)]);
        let from = Buffer { channels: in_channels, dims };
        check(&engine, from, Buffer { channels: out_channels, dims }, &weights, |from, to| {
            Op::Conv3 { from, to, weight: "w".into() }
        });
    }
}

/// The size needs several dispatches, divided by planes.
#[test]
fn a_dense_convolution_of_several_dispatches_agrees_with_its_reference() {
    let Some(engine) = engine() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(18);
    let (dims, in_channels, out_channels) = ([66, 50, 40], 18, 9);
    let w = array(&mut rng, &[out_channels, in_channels, 3, 3, 3]);
    let weights = Weights::from([("w".to_string(), w)]);
    let [from, to] = [in_channels, out_channels].map(|channels| Buffer { channels, dims });
    check(&engine, from, to, &weights, |from, to| Op::Conv3 { from, to, weight: "w".into() });
}

#[test]
fn depthwise_convolution_agrees_with_its_reference() {
    let Some(engine) = engine() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for dims in SIZES {
        for channels in [1, 3, 8, 40, 480] {
            if channels == 480 && dims != [5, 3, 7] {
                continue;
            }
            let w = array(&mut rng, &[channels, 3, 3, 3]);
            let weights = Weights::from([("w".to_string(), w)]);
            let buffer = Buffer { channels, dims };
            check(&engine, buffer.clone(), buffer, &weights, |from, to| Op::Depthwise3 {
                from,
                to,
                weight: "w".into(),
            });
        }
    }
}

/// The second buffer is a pointwise convolution of the first.
#[test]
fn addition_agrees_with_its_reference() {
    let Some(engine) = engine() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    for dims in SIZES {
        for channels in [1, 3, 40] {
            let weights = Weights::from([("w".into(), array(&mut rng, &[channels + 2, channels]))]);
            let view = |buffer, channels| View { buffer, channels };
            let (all, wider) = (view(0, 0..channels), view(1, 0..channels + 2));
            let to = view(1, 1..channels + 1);
            let (weight, bias) = ("w".to_string(), None);
            let program = Program {
                buffers: vec![Buffer { channels, dims }, Buffer { channels: channels + 2, dims }],
                ops: vec![
                    Op::Pointwise { from: all.clone(), to: wider.clone(), weight, bias },
                    Op::AddInPlace { from: all.clone(), to },
                ],
                input: all,
                output: wider,
            };
            let values = random(&mut rng, channels * program.buffers[0].num_voxels());
            let expected = reference::run(&program, &weights, &values);
            for options in [WHOLE, FINE] {
                let actual = logits(&engine, &program, options, &weights, &values);
                assert_close(&actual, &expected, 1e-5, &format!("{channels} channels of {dims:?}"));
            }
        }
    }
}

#[test]
fn the_label_decision_agrees_with_its_reference() {
    let Some(engine) = engine() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    for dims in SIZES {
        for (codes, exclusive) in
            [(vec![0, 2, 7], true), (vec![2, 1, 4], false), (vec![255], false), (vec![9], true)]
        {
            let voxels: usize = dims.iter().product();
            let from = View { buffer: 0, channels: 1..1 + codes.len() };
            let to = View { buffer: 1, channels: 0..1 };
            let channels = codes.len() + 2;
            let program = Program {
                buffers: vec![Buffer { channels, dims }, Buffer { channels: 1, dims }],
                input: View { buffer: 0, channels: 0..channels },
                output: to.clone(),
                ops: vec![Op::Decide { from, to, codes: codes.clone(), exclusive }],
            };
            // Few distinct values, so that ties and zeros occur.
            let values: Vec<f32> = (0..channels * voxels)
                .map(|_| f32::from(rng.random_range(-2..3i8)) / 2.0)
                .collect();
            let mut expected = vec![0; voxels];
            decide::reference(
                &values[voxels..][..codes.len() * voxels],
                &mut expected,
                &codes,
                exclusive,
            );
            for options in [WHOLE, FINE] {
                let plan = Plan::new(&program, options).unwrap();
                let actual = run(&engine, &plan, &Weights::new(), &values);
                let expected = Output::Labels(expected.clone());
                assert_eq!(actual, expected, "{codes:?} {exclusive} {dims:?}");
            }
        }
    }
}

/// Returns weights that keep activations near 1, like trained weights.
fn network_weights(config: &UNetConfig, rng: &mut ChaCha8Rng) -> Weights {
    let draw = |parameter: model_core::network::layers::Parameter| {
        let fan_in: usize = parameter.shape[1..].iter().product();
        let offset = if parameter.name.ends_with("gamma") { 1.0 } else { 0.0 };
        let mut random = array(rng, &parameter.shape);
        for value in &mut random.values {
            *value = offset + *value / (fan_in as f32).sqrt() * 0.7;
        }
        (parameter.name, random)
    };
    parameters(config).into_iter().map(draw).collect()
}

/// Returns the program, random weights and a random input of a network.
fn network(config: UNetConfig, dims: [usize; 3]) -> (Program, Weights, Vec<f32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let weights = network_weights(&config, &mut rng);
    let program = Program::new(&config, dims).unwrap();
    let input = random(&mut rng, config.in_channels() * dims.iter().product::<usize>());
    (program, weights, input)
}

fn demo() -> UNetConfig {
    UNetConfig::preset("demo", 4, 3).unwrap()
}

/// Returns `mbconv-base` with three narrow levels.
fn small_conv2() -> UNetConfig {
    let base = UNetConfig::preset("mbconv-base", 2, 4).unwrap();
    assert_eq!(base.decoder, Decoder::Conv2);
    base.with(|base| (base.widths, base.groups) = (vec![6, 12, 18], Some(3))).unwrap()
}

#[test]
fn whole_networks_agree_with_their_references() {
    let Some(engine) = engine() else { return };
    for (config, dims) in [(demo(), [16; 3]), (demo(), [24, 16, 32]), (small_conv2(), [12, 8, 20])]
    {
        let (program, weights, input) = network(config, dims);
        let expected = reference::run(&program, &weights, &input);
        for options in [WHOLE, FINE, blocks::fused(WHOLE)] {
            let actual = logits(&engine, &program, options, &weights, &input);
            assert_close(&actual, &expected, 1e-4, &format!("{dims:?} {options:?}"));
        }
    }
}

/// Without hardware support for f16, two values are packed into a u32. Both variants are compared
/// with f32, with and without divided and fused kernels.
#[test]
fn feature_maps_in_f16_give_nearly_the_same_labels() {
    let Some(engine) = engine() else { return };
    let (program, weights, input) = network(demo(), [32, 24, 16]);
    let expected = reference::run(&program, &weights, &input);
    let options = [WHOLE, FINE, blocks::fused(WHOLE)];
    let options = options.map(|options| PlanOptions { storage: Storage::F16, ..options });
    let native = options.map(|options| logits(&engine, &program, options, &weights, &input));
    let engine = engine.plain();
    let packed = options.map(|options| logits(&engine, &program, options, &weights, &input));
    for actual in native.iter().chain(&packed) {
        assert_close(actual, &expected, 2e-2, "f16");
        for (n, region) in expected.chunks_exact(32 * 24 * 16).enumerate() {
            let other = &actual[n * region.len()..][..region.len()];
            let count = |both: &dyn Fn(bool, bool) -> bool| {
                region.iter().zip(other).filter(|(a, b)| both(**a > 0.0, **b > 0.0)).count()
            };
            let (both, a, b) = (count(&|a, b| a && b), count(&|a, _| a), count(&|_, b| b));
            let dice = 2.0 * both as f64 / (a + b) as f64;
            assert!(dice >= 0.99, "region {n}: {dice}");
        }
    }
}

#[test]
fn labels_of_the_gpu_agree_with_its_logits() {
    let Some(engine) = engine() else { return };
    let names = |n: u8| (1..=n).map(|code| (code * 2, format!("label {code}"))).collect();
    let exclusive = Task::exclusive("test", vec!["a".into(), "b".into()], names(3)).unwrap();
    let regions = Task::builtin("brats2023").unwrap();
    for (config, task) in [(demo(), regions), (small_conv2(), exclusive)] {
        let (program, mut weights, input) = network(config, [16; 3]);
        // Without a bias, no output is the largest everywhere.
        weights.get_mut("head.bias").unwrap().values.fill(0.0);
        let logits = logits(&engine, &program, WHOLE, &weights, &input);
        let program = program.deciding(&task);
        let mut expected = vec![0; 16 * 16 * 16];
        let exclusive = task.head == model_core::Head::Softmax;
        decide::reference(&logits, &mut expected, &task.output_codes(), exclusive);
        let mut labels = expected.clone();
        labels.sort_unstable();
        labels.dedup();
        assert!(labels.len() > 2, "expected several labels, found {labels:?}");
        let plan = Plan::new(&program, WHOLE).unwrap();
        assert_eq!(run(&engine, &plan, &weights, &input), Output::Labels(expected));
    }
}

#[test]
fn progress_grows_to_the_end_and_a_run_can_be_canceled() {
    let Some(engine) = engine() else { return };
    let (program, weights, input) = network(demo(), [48; 3]);
    let plan = Plan::new(&program, WHOLE).unwrap();
    let mut reports: Vec<Progress> = Vec::new();
    let mut watch = |progress| {
        reports.push(progress);
        ControlFlow::Continue(())
    };
    pollster::block_on(engine.run(&plan, &weights, &input, &mut watch)).unwrap();
    assert!(
        reports.len() > 3 && reports.is_sorted_by_key(|p| (p.done_multiply_adds, p.done_steps))
    );
    let last = reports.last().unwrap();
    assert_eq!(last.done_steps, last.total_steps);
    assert_eq!(last.done_multiply_adds, last.total_multiply_adds);

    let mut calls = 0;
    let mut stop = |_| {
        calls += 1;
        ControlFlow::Break(())
    };
    let canceled = pollster::block_on(engine.run(&plan, &weights, &input, &mut stop));
    assert_eq!(canceled, Err(Error::Canceled));
    assert_eq!(calls, 1);
    assert_eq!(run(&engine, &plan, &weights, &input), run(&engine, &plan, &weights, &input));
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let Some(engine) = engine() else { return };
    let (program, weights, input) = network(demo(), [16; 3]);
    let mut go_on = |_| ControlFlow::Continue(());
    let plan = Plan::new(&program, WHOLE).unwrap();
    let short = engine.run(&plan, &weights, &input[1..], &mut go_on);
    assert!(matches!(pollster::block_on(short), Err(Error::Program { .. })));
    let large = Program::new(&demo(), [192; 3]).unwrap();
    let refused = Plan::within(&large, 1 << 20);
    assert!(matches!(refused, Err(Error::Budget { .. })), "{refused:?}");
}
