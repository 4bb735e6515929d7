//! Rewinding changes nothing but the memory.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Distribution, FloatDType, Tensor};
use integration_tests::narrow_network;
use model_core::nets::{FeatureMap, Precision, Segment, UNet3d, backward};
use model_core::network::config::PRESETS;
use model_core::network::layers::{self, Backward};
use model_core::network::memory_estimate::Mode;
use model_core::{Activation, UNetConfig, Weights};

fn config(blocks: usize) -> UNetConfig {
    UNetConfig { blocks, ..UNetConfig::preset("demo", 2, 3).unwrap() }
}

fn random(shape: [usize; 5], device: &Device) -> Tensor<5> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// The largest difference relative to the largest value.
fn relative(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    a.iter().zip(b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / largest
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec::<f32>().unwrap()
}

/// The blocks of the first level, as one segment.
fn sequence(config: &UNetConfig, precision: Precision, device: &Device) -> Segment {
    let mut segments = layers::segments(&Mode::Reversible.of(config)).into_iter();
    let mut blocks = segments.find(|segment| segment.backward == Backward::Rewound).unwrap();
    if !config.reversible {
        blocks.backward = Backward::Stored;
    }
    Segment::new(&blocks, precision, device)
}

fn forward(sequence: &Segment, x: Tensor<5>) -> Tensor<5> {
    sequence.forward(FeatureMap::Whole(x), &mut Vec::new(), None).whole()
}

#[test]
fn inverse_recovers_the_input() {
    let device = Device::flex();
    device.seed(1);
    for preset in ["demo", "brugger-4-1", "partially-invres"] {
        let config = UNetConfig { blocks: 4, ..narrow_network(preset) };
        let sequence = sequence(&config, Precision::F32, &device);
        let x = random([2, config.widths[0], 6, 5, 7], &device);
        let back = sequence.inverse(forward(&sequence, x.clone()));
        let difference = relative(&values(back), &values(x));
        assert!(difference <= 1e-5, "{preset}: {difference}");
    }
}

/// Every parameter's gradient under its name, and the input's.
fn gradients(network: &UNet3d, x: &Tensor<5>, seed: &Tensor<5>) -> (Weights, Vec<f32>) {
    let x = x.clone().autodiff().require_grad();
    let mut gradients = backward(vec![(network.forward(x.clone()), seed.clone().autodiff())]);
    let of_x = values(x.grad_remove(&mut gradients).unwrap());
    struct Replace<'a>(&'a mut burn::tensor::Gradients);
    impl ModuleMapper for Replace<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let gradient = param.val().grad_remove(self.0).expect("a gradient for every parameter");
            param.map(|_| gradient)
        }
    }
    (network.clone().map(&mut Replace(&mut gradients)).weights(), of_x)
}

/// The largest difference of a parameter's gradient, relative to the largest gradient.
fn worst(found: &Weights, expected: &Weights) -> (f32, String) {
    let all = expected.values().flat_map(|a| &a.values);
    let largest = all.fold(0.0f32, |m, v| m.max(v.abs()));
    let of = |name: &String| {
        let pairs = expected[name].values.iter().zip(&found[name].values);
        pairs.fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / largest
    };
    let worst = expected.keys().map(|name| (of(name), name.clone()));
    worst.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

/// The whole gradient's distance from the expected one, relative to its length.
fn distance(found: &Weights, expected: &Weights) -> f64 {
    let (mut apart, mut length) = (0.0, 0.0);
    for (name, array) in expected {
        for (a, b) in found[name].values.iter().zip(&array.values) {
            apart += f64::from(a - b).powi(2);
            length += f64::from(*b).powi(2);
        }
    }
    (apart / length).sqrt()
}

/// Every preset, rewinding and checkpointed, against plain autodiff with the same parameters; two
/// blocks a level, a batch of two, sizes that differ. Without rectifiers to the last digits; with
/// them a value near 0 may fall on the other side once it was rewound, which changes one of the
/// millions of summands of a gradient.
#[test]
fn gradients_are_those_of_plain_autodiff() {
    let device = Device::flex();
    let twice = PRESETS.iter().flat_map(|preset| [(preset, true), (preset, false)]);
    for (preset, rectified) in twice {
        device.seed(2);
        let mut config = UNetConfig { blocks: 2, ..narrow_network(preset) };
        if !rectified {
            config.activation = Activation::Identity;
        }
        let least = config.min_size();
        let [k, j, i] = [least, least, least + config.size_multiple()];
        let x = random([2, 4, k, j, i], &device);
        let seed = random([2, 3, k, j, i], &device);
        let tracked = device.clone().autodiff();
        let stored = UNet3d::new(&Mode::NonReversible.of(&config), &tracked);
        let (expected, expected_x) = gradients(&stored, &x, &seed);
        assert_eq!(expected.len(), model_core::network::config::parameters(&config).len());
        for mode in [Mode::Reversible, Mode::Checkpointed] {
            let network = UNet3d::new(&mode.of(&config), &tracked);
            let network = network.load(&stored.weights()).unwrap();
            let (found, found_x) = gradients(&network, &x, &seed);
            let apart = distance(&found, &expected);
            assert!(apart <= if rectified { 1e-2 } else { 2e-5 }, "{preset} {mode:?}: {apart}");
            if !rectified {
                let (difference, name) = worst(&found, &expected);
                assert!(difference <= 1e-4, "{preset} {mode:?} {name}: {difference}");
                let difference = relative(&found_x, &expected_x);
                assert!(difference <= 1e-4, "{preset} {mode:?} input: {difference}");
            }
        }
    }
}

/// Layers in half precision inside the blocks, streams in f32: rewinding gives the gradients that
/// storing gives. How far these are from f32's is the precision's own; measured without rectifiers,
/// since a value that falls on their other side is no matter of rounding.
#[test]
fn blocks_rewind_in_mixed_precision() {
    // The device's draws are the process's: others in between would change what is measured.
    let test = "reversible::blocks_rewind_in_mixed_precision";
    let outcome = integration_tests::in_child_process(test, "", |_| {
        rewind_in_mixed_precision();
        String::new()
    });
    outcome.answer.unwrap();
}

fn rewind_in_mixed_precision() {
    for (float, near) in [(FloatDType::F16, 0.1), (FloatDType::BF16, 0.25)] {
        for activation in [Activation::Relu, Activation::Identity] {
            // One draw may round a value another way, and that is passed on: the middle of five.
            let found = (1..=5).map(|draw| rewound_in(draw, float, activation));
            let (mut from_storing, from_f32): (Vec<f64>, Vec<f64>) = found.unzip();
            from_storing.sort_by(f64::total_cmp);
            let what = format!("{float:?} {activation:?}: {from_storing:?}, from f32 {from_f32:?}");
            assert!(from_storing[2] <= 2e-3, "{what}");
            // Of one draw, the third: this is the precision's own, and no matter of rewinding.
            assert!(activation == Activation::Relu || from_f32[2] <= near, "{what}");
        }
    }
}

/// How far the gradient of rewinding is from that of storing, on one draw, and from that of f32.
fn rewound_in(draw: u64, float: FloatDType, activation: Activation) -> (f64, f64) {
    let device = Device::flex();
    device.seed(draw);
    let config = UNetConfig { blocks: 4, activation, ..narrow_network("mbconv-slim") };
    let x = random([1, 4, 32, 32, 32], &device);
    // A loss's gradient is small; sums of larger ones leave f16's range.
    let seed = random([1, 3, 32, 32, 32], &device) * 0.1;
    let tracked = device.clone().autodiff();
    let exact = UNet3d::new(&Mode::NonReversible.of(&config), &tracked);
    let mixed = |mode: Mode| {
        let precision = Precision::mixed(float);
        let network = UNet3d::in_precision(&mode.of(&config), precision, &tracked);
        gradients(&network.load(&exact.weights()).unwrap(), &x, &seed).0
    };
    let (rewound, stored) = (mixed(Mode::Reversible), mixed(Mode::NonReversible));
    let exact = gradients(&exact, &x, &seed).0;
    (distance(&rewound, &stored), distance(&rewound, &exact))
}

/// Bytes kept between the passes, and the most held during the backward pass, for one sequence.
fn kept_and_most(blocks: usize, reversible: bool) -> (usize, usize) {
    let device = Device::flex().autodiff();
    let config = UNetConfig { reversible, widths: vec![32, 64], ..config(blocks) };
    let sequence = sequence(&config, Precision::F32, &device);
    let x = random([1, 32, 16, 16, 16], &device);
    // The first pass starts thread pools and buffers that stay.
    let _ = forward(&sequence, x.clone()).sum().backward();
    let before = integration_tests::held_bytes();
    let y = forward(&sequence, x);
    let kept = integration_tests::held_bytes() - before;
    integration_tests::most_held_bytes();
    let gradients = y.sum().backward();
    let most = integration_tests::most_held_bytes() - before;
    drop(gradients);
    (kept, most)
}

/// Counted in a process of its own, where nothing else allocates.
#[test]
fn bytes_kept_for_backward_are_flat_in_depth() {
    let name = "reversible::bytes_kept_for_backward_are_flat_in_depth";
    let outcome = integration_tests::in_child_process(name, "", |_| {
        let measure = |reversible| {
            [1, 2, 4, 8]
                .map(|blocks| kept_and_most(blocks, reversible))
                .map(|(kept, most)| format!("{kept} {most}"))
        };
        [measure(true), measure(false)].concat().join(" ")
    });
    let answer = outcome.answer.unwrap();
    let numbers: Vec<usize> = answer.split(' ').map(|word| word.parse().unwrap()).collect();
    let (rewound, stored) = numbers.split_at(8);
    // The output of 32 × 16³ voxels, and room for the graph's own entries.
    let output = 4 * 32 * 16 * 16 * 16;
    for pair in rewound.chunks(2) {
        assert!(pair[0] < output + output / 4, "kept {} of output {output}: {answer}", pair[0]);
        assert!(pair[1] < rewound[1] + rewound[1] / 10, "the peak grows with depth: {answer}");
    }
    assert!(stored[6] > 6 * stored[0], "plain autodiff should grow with depth: {answer}");
    assert!(stored[0] > 3 * rewound[0], "plain autodiff should keep more: {answer}");
}

/// Counted in halves of the stream's width, as `nets/reversible.rs` says: two streams and their
/// gradients; of an MBConv of expansion 2 four tensors of 2, and its projection's output; of a half of
/// one convolution, two tensors.
#[test]
fn the_tensors_alive_at_the_peak_are_those_that_the_docs_name() {
    let name = "reversible::the_tensors_alive_at_the_peak_are_those_that_the_docs_name";
    let half = 4 * 16 * 32 * 32 * 32;
    for (preset, most) in [("demo", 4 + 4 * 2 + 1), ("partially-invres", 4 + 2)] {
        let outcome = integration_tests::in_child_process(name, preset, |preset| {
            let config = UNetConfig::preset(preset, 2, 3).unwrap();
            let widths = (0..config.num_levels()).map(|level| 32 << level).collect();
            let config = UNetConfig { widths, blocks: 4, groups: 2, ..config };
            let device = Device::flex().autodiff();
            let sequence = sequence(&config, Precision::F32, &device);
            let step = || {
                let before = integration_tests::held_bytes();
                let y = forward(&sequence, random([1, 32, 32, 32, 32], &device));
                let seed = random([1, 32, 32, 32, 32], &device);
                integration_tests::most_held_bytes();
                let gradients = backward(vec![(y, seed)]);
                let most = integration_tests::most_held_bytes() - before;
                drop(gradients);
                most
            };
            // The first starts threads and buffers that stay.
            step();
            step().to_string()
        });
        let held: usize = outcome.answer.unwrap().parse().unwrap();
        let halves = held as f64 / half as f64;
        eprintln!("{preset}: {halves}");
        assert!(halves < most as f64 + 0.5, "{preset}: {halves} of {most}");
    }
}
