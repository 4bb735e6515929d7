//! Times a training step (forward, backward) of a preset on the CPU, rewinding and stored side by
//! side, and the kernels of the convolutions beside burn's own operations.
//!
//! `cargo run -p model-core --features burn --example step_time -- demo 32`

use std::time::Instant;

use burn::module::Module;
use burn::tensor::module::conv3d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor};
use model_core::kernels::{conv3, depthwise_conv3, group_norm, max_pool2, upsample2};
use model_core::nets::UNet3d;
use model_core::network::config::BackwardMode;
use model_core::{Activation, UNetConfig};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let preset = arguments.next().unwrap_or("demo".into());
    let size: usize = arguments.next().map_or(32, |size| size.parse().expect("a size in voxels"));
    let device = Device::flex().autodiff();
    let x = Tensor::<5>::random([1, 4, size, size, size], Distribution::Default, &device);
    for mode in [BackwardMode::Reversible, BackwardMode::NonReversible] {
        let config = UNetConfig::preset(&preset, 4, 3).expect("a preset's name");
        let config = config.in_mode(mode);
        let network = UNet3d::new(&config, &device);
        let (mut forward, mut backward) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..4 {
            let start = Instant::now();
            let y = network.forward(x.clone());
            forward = forward.min(start.elapsed().as_secs_f64());
            let start = Instant::now();
            drop(y.sum().backward());
            backward = backward.min(start.elapsed().as_secs_f64());
        }
        let plain = network.valid();
        let input = x.clone().inner();
        let start = Instant::now();
        plain.forward(input);
        let inference = start.elapsed().as_secs_f64();
        println!(
            "{preset} {size}³ {}: forward {:.1} ms, backward {:.1} ms, inference {:.1} ms",
            mode.name(),
            1e3 * forward,
            1e3 * backward,
            1e3 * inference
        );
    }
    let x = Tensor::<5>::random([1, 32, size, size, size], Distribution::Default, &device);
    let weight = Tensor::<4>::random([32, 3, 3, 3], Distribution::Default, &device).require_grad();
    let ones = Tensor::<1>::ones([32], &device).require_grad();
    let x = x.require_grad();
    type Op<'a> = Box<dyn Fn() -> Tensor<5> + 'a>;
    let dense = Tensor::<5>::random([32, 32, 3, 3, 3], Distribution::Default, &device);
    let dense = dense.require_grad();
    let ops: [(&str, Op); 7] = [
        ("depthwise", Box::new(|| depthwise_conv3(x.clone(), weight.clone()))),
        (
            "burn's depthwise",
            Box::new(|| {
                let weight = weight.clone().reshape([32, 1, 3, 3, 3]);
                conv3d(x.clone(), weight, None, ConvOptions::new([1; 3], [1; 3], [1; 3], 32))
            }),
        ),
        ("dense 3³", Box::new(|| conv3(x.clone(), dense.clone()))),
        (
            "burn's dense 3³",
            Box::new(|| {
                let options = ConvOptions::new([1; 3], [1; 3], [1; 3], 1);
                conv3d(x.clone(), dense.clone(), None, options)
            }),
        ),
        (
            "group norm, relu",
            Box::new(|| group_norm(x.clone(), ones.clone(), ones.clone(), 8, Activation::Relu)),
        ),
        ("max pool", Box::new(|| max_pool2(x.clone()))),
        ("upsample", Box::new(|| upsample2(x.clone()))),
    ];
    for (name, op) in ops {
        let (mut forward, mut backward) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..3 {
            let start = Instant::now();
            let y = op();
            forward = forward.min(start.elapsed().as_secs_f64());
            let start = Instant::now();
            drop(y.sum().backward());
            backward = backward.min(start.elapsed().as_secs_f64());
        }
        println!(
            "{name} on 32 × {size}³: {:.2} ms, backward {:.2} ms",
            1e3 * forward,
            1e3 * backward
        );
    }
}
