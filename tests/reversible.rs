//! Reversible networks have the gradients of plain autodiff and a memory that is independent of the
//! depth.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Distribution, FloatDType, Tensor};
use integration_tests::narrow_network;
use model_core::nets::{FeatureMap, Precision, Segment, Skips, UNet3d, backward};
use model_core::network::config::{BackwardMode, PRESETS};
use model_core::network::layers::{self, Backward};
use model_core::{Activation, UNetConfig, Weights};

fn config(blocks: usize) -> UNetConfig {
    UNetConfig::preset("demo", 2, 3).unwrap().with(|demo| demo.blocks = blocks).unwrap()
}

fn random(shape: [usize; 5], device: &Device) -> Tensor<5> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// Returns the largest difference relative to the largest value.
fn relative_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    a.iter().zip(b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / largest
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec::<f32>().unwrap()
}

/// Returns the blocks of the first level as one segment.
fn sequence(config: &UNetConfig, precision: Precision, device: &Device) -> Segment {
    let mut segments = layers::segments(&config.in_mode(BackwardMode::Reversible)).into_iter();
    let mut blocks = segments.find(|segment| segment.backward == Backward::Rewound).unwrap();
    // Without a decoder that recovers its output.
    blocks.is_recovered = false;
    if config.backward != BackwardMode::Reversible {
        blocks.backward = Backward::Stored;
    }
    Segment::new(&blocks, precision, device)
}

fn forward(sequence: &Segment, x: Tensor<5>) -> Tensor<5> {
    sequence.forward(FeatureMap::Whole(x), &mut Skips::default(), None).whole()
}

#[test]
fn the_inverse_recovers_the_input() {
    let device = Device::flex();
    device.seed(1);
    for preset in ["demo", "brugger-4-1", "partially-invres"] {
        let config = narrow_network(preset).with(|network| network.blocks = 4).unwrap();
        let sequence = sequence(&config, Precision::F32, &device);
        let x = random([2, config.widths[0], 6, 5, 7], &device);
        let back = sequence.inverse(forward(&sequence, x.clone()));
        let difference = relative_difference(&values(back), &values(x));
        assert!(difference <= 1e-5, "{preset}: {difference}");
    }
}

/// Returns the gradient of every parameter by name, and the gradient of the input.
fn gradients(network: &UNet3d, x: &Tensor<5>, seed: &Tensor<5>) -> (Weights, Vec<f32>) {
    let x = x.clone().autodiff().require_grad();
    let mut gradients = backward(vec![(network.forward(x.clone()), seed.clone().autodiff())]);
    let input_gradient = values(x.grad_remove(&mut gradients).unwrap());
    struct Replace<'a>(&'a mut burn::tensor::Gradients);
    impl ModuleMapper for Replace<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let gradient = param.val().grad_remove(self.0).expect("a gradient for every parameter");
            param.map(|_| gradient)
        }
    }
    (network.clone().map(&mut Replace(&mut gradients)).weights(), input_gradient)
}

/// Returns the parameter whose gradient differs most, with the difference relative to the largest
/// gradient.
fn largest_difference(actual: &Weights, expected: &Weights) -> (f32, String) {
    let gradients = expected.values().flat_map(|a| &a.values);
    let largest = gradients.fold(0.0f32, |m, v| m.max(v.abs()));
    let difference = |name: &String| {
        let pairs = expected[name].values.iter().zip(&actual[name].values);
        pairs.fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / largest
    };
    let differences = expected.keys().map(|name| (difference(name), name.clone()));
    differences.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

/// Returns the distance of two gradients relative to the length of the expected one.
fn distance(actual: &Weights, expected: &Weights) -> f64 {
    let (mut difference, mut length) = (0.0, 0.0);
    for (name, array) in expected {
        for (a, b) in actual[name].values.iter().zip(&array.values) {
            difference += f64::from(a - b).powi(2);
            length += f64::from(*b).powi(2);
        }
    }
    (difference / length).sqrt()
}

/// Compares every preset, reversible and checkpointed, with plain autodiff of the same parameters,
/// at two blocks per level, a batch of two and different extents.
///
/// Without rectifiers the gradients agree to the last digits. With rectifiers, a value near 0 may
/// change its sign when it is recomputed, which changes one of the millions of summands of a
/// gradient.
#[test]
fn gradients_agree_with_plain_autodiff() {
    let device = Device::flex();
    let cases = PRESETS.iter().flat_map(|preset| [(preset, true), (preset, false)]);
    for (preset, is_rectified) in cases {
        device.seed(2);
        let config = narrow_network(preset).with(|network| {
            network.blocks = 2;
            if !is_rectified {
                network.activation = Activation::Identity;
            }
        });
        let config = config.unwrap();
        let size = config.min_size();
        let [k, j, i] = [size, size, size + config.size_multiple()];
        let x = random([2, 4, k, j, i], &device);
        let seed = random([2, 3, k, j, i], &device);
        let autodiff = device.clone().autodiff();
        let stored = UNet3d::new(&config.in_mode(BackwardMode::NonReversible), &autodiff);
        let (expected, expected_x) = gradients(&stored, &x, &seed);
        assert_eq!(expected.len(), layers::parameters(&config).len());
        for mode in [BackwardMode::Reversible, BackwardMode::Checkpointed] {
            let network = UNet3d::new(&config.in_mode(mode), &autodiff);
            let network = network.load(&stored.weights()).unwrap();
            let (actual, actual_x) = gradients(&network, &x, &seed);
            let distance = distance(&actual, &expected);
            assert!(
                distance <= if is_rectified { 1e-2 } else { 2e-5 },
                "{preset} {mode:?}: {distance}"
            );
            if !is_rectified {
                let (difference, name) = largest_difference(&actual, &expected);
                assert!(difference <= 1e-4, "{preset} {mode:?} {name}: {difference}");
                let difference = relative_difference(&actual_x, &expected_x);
                assert!(difference <= 1e-4, "{preset} {mode:?} input: {difference}");
            }
        }
    }
}

/// With layers in half precision and streams in f32, rewinding and storing have the same gradients,
/// but for values that a recovered stream rounds the other way. Their effect is small beside the
/// difference from f32, which is that of the precision. That difference has a bound of its own
/// without rectifiers only, because a change of sign is not a rounding error.
#[test]
fn rewinding_agrees_with_storing_in_mixed_precision() {
    // The random generator of the device belongs to the process, and other tests would change its
    // state.
    let test = "reversible::rewinding_agrees_with_storing_in_mixed_precision";
    let outcome = integration_tests::in_child_process(test, "", |_| {
        compare_in_mixed_precision();
        String::new()
    });
    outcome.answer.unwrap();
}

fn compare_in_mixed_precision() {
    for (float, tolerance) in [(FloatDType::F16, 0.1), (FloatDType::BF16, 0.25)] {
        for activation in [Activation::Relu, Activation::Identity] {
            // Medians of five draws, because draws differ in the values rounded the other way.
            let distances = (1..=5).map(|draw| mixed_distances(draw, float, activation));
            let (mut from_storing, mut from_f32): (Vec<f64>, Vec<f64>) = distances.unzip();
            from_storing.sort_by(f64::total_cmp);
            from_f32.sort_by(f64::total_cmp);
            let message =
                format!("{float:?} {activation:?}: {from_storing:?}, from f32 {from_f32:?}");
            // In f16 a recovered stream crosses a rounding boundary in most draws, in bf16 in few.
            let most = if float == FloatDType::BF16 { 2e-3 } else { from_f32[2] / 20.0 };
            assert!(from_storing[2] <= most, "{message}");
            assert!(activation == Activation::Relu || from_f32[2] <= tolerance, "{message}");
        }
    }
}

/// Returns the distance of the gradient with rewinding from that with storing, and from that in
/// f32.
fn mixed_distances(draw: u64, float: FloatDType, activation: Activation) -> (f64, f64) {
    let device = Device::flex();
    device.seed(draw);
    let slim = narrow_network("mbconv-slim");
    let config = slim.with(|slim| (slim.blocks, slim.activation) = (4, activation)).unwrap();
    let x = random([1, 4, 32, 32, 32], &device);
    // The gradient of a loss is small. Sums of larger gradients exceed the range of f16.
    let seed = random([1, 3, 32, 32, 32], &device) * 0.1;
    let autodiff = device.clone().autodiff();
    let exact = UNet3d::new(&config.in_mode(BackwardMode::NonReversible), &autodiff);
    let mixed = |mode: BackwardMode| {
        let precision = Precision::mixed(float);
        let network = UNet3d::in_precision(&config.in_mode(mode), precision, &autodiff);
        gradients(&network.load(&exact.weights()).unwrap(), &x, &seed).0
    };
    let (rewound, stored) = (mixed(BackwardMode::Reversible), mixed(BackwardMode::NonReversible));
    let exact = gradients(&exact, &x, &seed).0;
    (distance(&rewound, &stored), distance(&rewound, &exact))
}

/// Returns the bytes stored between the passes, and the peak bytes of the backward pass, of one
/// sequence.
fn stored_and_peak_bytes(blocks: usize, mode: BackwardMode) -> (usize, usize) {
    let device = Device::flex().autodiff();
    let config = config(blocks).with(|config| config.widths = vec![32, 64]).unwrap();
    let config = config.in_mode(mode);
    let sequence = sequence(&config, Precision::F32, &device);
    let x = random([1, 32, 16, 16, 16], &device);
    // The first pass starts thread pools and allocates buffers that later passes use.
    let _ = forward(&sequence, x.clone()).sum().backward();
    let before = integration_tests::held_bytes();
    let y = forward(&sequence, x);
    let stored = integration_tests::held_bytes() - before;
    integration_tests::take_peak_bytes();
    let gradients = y.sum().backward();
    let peak = integration_tests::take_peak_bytes() - before;
    drop(gradients);
    (stored, peak)
}

/// Measured in a child process, where nothing else allocates.
#[test]
fn bytes_stored_for_backward_do_not_grow_with_depth() {
    let name = "reversible::bytes_stored_for_backward_do_not_grow_with_depth";
    let outcome = integration_tests::in_child_process(name, "", |_| {
        let measure = |mode| {
            [1, 2, 4, 8]
                .map(|blocks| stored_and_peak_bytes(blocks, mode))
                .map(|(stored, peak)| format!("{stored} {peak}"))
        };
        [measure(BackwardMode::Reversible), measure(BackwardMode::NonReversible)].concat().join(" ")
    });
    let answer = outcome.answer.unwrap();
    let numbers: Vec<usize> = answer.split(' ').map(|word| word.parse().unwrap()).collect();
    let (rewound, stored) = numbers.split_at(8);
    // The output of 32 × 16³ voxels. The limit leaves room for the graph's entries.
    let output = 4 * 32 * 16 * 16 * 16;
    for pair in rewound.chunks(2) {
        assert!(
            pair[0] < output + output / 4,
            "{} bytes stored, output {output}: {answer}",
            pair[0]
        );
        assert!(pair[1] < rewound[1] + rewound[1] / 10, "the peak grows with depth: {answer}");
    }
    assert!(stored[6] > 6 * stored[0], "plain autodiff should grow with depth: {answer}");
    assert!(stored[0] > 3 * rewound[0], "plain autodiff should store more: {answer}");
}

/// The unit is a tensor of half the stream's width, as in `nets/rewind.rs`: two streams and
/// their gradients; for an MBConv with expansion 2, three tensors of twice the width and the output
/// of its projection; for a branch of one convolution, one tensor.
#[test]
fn the_peak_holds_only_the_documented_tensors() {
    let name = "reversible::the_peak_holds_only_the_documented_tensors";
    let half_width_bytes = 4 * 16 * 32 * 32 * 32;
    for (preset, max_tensors) in [("demo", 4 + 3 * 2 + 1), ("partially-invres", 4 + 1)] {
        let outcome = integration_tests::in_child_process(name, preset, |preset| {
            let config = UNetConfig::preset(preset, 2, 3).unwrap();
            let widths = (0..config.num_levels()).map(|level| 32 << level).collect();
            let config = config.with(|config| {
                (config.widths, config.blocks, config.groups) = (widths, 4, Some(2));
            });
            let config = config.unwrap();
            let device = Device::flex().autodiff();
            let sequence = sequence(&config, Precision::F32, &device);
            let step = || {
                let before = integration_tests::held_bytes();
                let y = forward(&sequence, random([1, 32, 32, 32, 32], &device));
                let seed = random([1, 32, 32, 32, 32], &device);
                integration_tests::take_peak_bytes();
                let gradients = backward(vec![(y, seed)]);
                let peak = integration_tests::take_peak_bytes() - before;
                drop(gradients);
                peak
            };
            // The first step starts threads and allocates buffers that later steps use.
            step();
            step().to_string()
        });
        let peak_bytes: usize = outcome.answer.unwrap().parse().unwrap();
        let tensors = peak_bytes as f64 / half_width_bytes as f64;
        eprintln!("{preset}: {tensors}");
        assert!(tensors < max_tensors as f64 + 0.5, "{preset}: {tensors} of {max_tensors}");
    }
}
