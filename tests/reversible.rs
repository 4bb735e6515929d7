//! Rewinding changes nothing but the memory.

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use model_core::nets::{ReversibleSequence, UNet3d};
use model_core::{UNetConfig, Weights};

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
    tensor.into_data().try_into_vec::<f32>().unwrap()
}

#[test]
fn inverse_recovers_the_input() {
    let device = Device::flex();
    device.seed(1);
    let sequence = ReversibleSequence::new(&config(4), 16, &device);
    let x = random([2, 16, 6, 5, 7], &device);
    let back = sequence.inverse(sequence.forward(x.clone()));
    let difference = relative(&values(back), &values(x));
    assert!(difference <= 1e-5, "{difference}");
}

/// Every parameter's gradient under its name, and the input's.
fn gradients(network: &UNet3d, x: &Tensor<5>, seed: &Tensor<5>) -> (Weights, Vec<f32>) {
    let x = x.clone().autodiff().require_grad();
    let loss = (network.forward(x.clone()) * seed.clone().autodiff()).sum();
    let mut gradients = loss.backward();
    let of_x = values(x.grad_remove(&mut gradients).unwrap());
    struct Replace<'a>(&'a mut burn::tensor::Gradients);
    impl burn::module::ModuleMapper for Replace<'_> {
        fn map_float<const D: usize>(
            &mut self,
            param: burn::module::Param<Tensor<D>>,
        ) -> burn::module::Param<Tensor<D>> {
            let gradient = param.val().grad_remove(self.0).expect("a gradient for every parameter");
            param.map(|_| gradient)
        }
    }
    (network.clone().map(&mut Replace(&mut gradients)).weights(), of_x)
}

/// Two blocks a level, both decoders, a batch of two, sizes that differ.
#[test]
fn rewound_gradients_are_those_of_plain_autodiff() {
    for decoder in [model_core::Decoder::Conv2, model_core::Decoder::ReversibleMbconv] {
        let mut config = UNetConfig { decoder, widths: vec![16, 32, 48], ..config(2) };
        let device = Device::flex();
        device.seed(2);
        let x = random([2, 2, 12, 16, 8], &device);
        let seed = random([2, 3, 12, 16, 8], &device);
        let rewinding = UNet3d::new(&config, &device.clone().autodiff());
        config.reversible = false;
        let plain = UNet3d::new(&config, &device.clone().autodiff());
        let plain = plain.load(&rewinding.weights()).unwrap();
        let (rewound, rewound_x) = gradients(&rewinding, &x, &seed);
        let (stored, stored_x) = gradients(&plain, &x, &seed);
        assert_eq!(rewound.len(), model_core::config::parameters(&config).len());
        let largest =
            |w: &Weights| w.values().flat_map(|a| &a.values).fold(0.0f32, |m, v| m.max(v.abs()));
        let largest = largest(&stored);
        for (name, array) in &stored {
            let differences = array.values.iter().zip(&rewound[name].values);
            let worst = differences.fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
            assert!(worst / largest <= 1e-4, "{decoder:?} {name}: {worst} of {largest}");
        }
        let difference = relative(&rewound_x, &stored_x);
        assert!(difference <= 1e-4, "{decoder:?} input: {difference}");
    }
}

/// Bytes kept between the passes, and the most held during the backward pass, for one sequence.
fn kept_and_most(blocks: usize, reversible: bool) -> (usize, usize) {
    let device = Device::flex().autodiff();
    let config = UNetConfig { reversible, ..config(blocks) };
    let sequence = ReversibleSequence::new(&config, 32, &device);
    let x = random([1, 32, 16, 16, 16], &device);
    // The first pass starts thread pools and buffers that stay.
    let _ = sequence.forward(x.clone()).sum().backward();
    let before = promises::held_bytes();
    let y = sequence.forward(x);
    let kept = promises::held_bytes() - before;
    promises::most_held_bytes();
    let gradients = y.sum().backward();
    let most = promises::most_held_bytes() - before;
    drop(gradients);
    (kept, most)
}

/// Counted in a process of its own, where nothing else allocates.
#[test]
fn bytes_kept_for_backward_are_flat_in_depth() {
    let name = "reversible::bytes_kept_for_backward_are_flat_in_depth";
    let outcome = promises::alone(name, "", |_| {
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
