//! Runs a preset with random weights and prints what it needs and how long each kind of operation
//! takes: `cargo run -p shaders --example run_program -- --preset demo --size 64`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use model_core::config::parameters;
use model_core::{Array, Op, Program, UNetConfig, Weights};
use rand::{RngExt, SeedableRng};
use shaders::{Engine, Output};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (mut preset, mut size, mut channels) = ("demo".to_string(), 32, 4);
    for pair in arguments.chunks(2) {
        match pair {
            [name, value] if name == "--preset" => preset = value.clone(),
            [name, value] if name == "--size" => size = value.parse()?,
            [name, value] if name == "--channels" => channels = value.parse()?,
            _ => return Err("usage: run_program [--preset NAME] [--size N] [--channels N]".into()),
        }
    }
    let config = UNetConfig::preset(&preset, channels, 3)?;
    let program = Program::new(&config, [size; 3])?;
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    let mut weights = Weights::new();
    for parameter in parameters(&config) {
        let len = parameter.shape.iter().product();
        let values = (0..len).map(|_| rng.random_range(-1.0..1.0f32)).collect();
        weights.insert(parameter.name, Array { shape: parameter.shape, values });
    }
    let input: Vec<f32> =
        (0..channels * size.pow(3)).map(|_| rng.random_range(-1.0..1.0f32)).collect();

    let footprint = Engine::footprint(&program, &weights);
    let start = Instant::now();
    let engine = pollster::block_on(Engine::new())?.one_step_a_submission();
    println!("{} opened in {:.2?}", engine.adapter_name(), start.elapsed());
    println!("{preset} at {size}³, {channels} channels: {footprint:?}");

    let mut by_kind: BTreeMap<String, (Duration, u64)> = BTreeMap::new();
    let start = Instant::now();
    let (mut last, mut done) = (start, 0);
    let output = pollster::block_on(engine.run(&program, &weights, &input, &mut |progress| {
        for op in &program.ops[done..progress.done_ops] {
            let kind = by_kind.entry(kind(op).to_string()).or_default();
            kind.0 += last.elapsed();
            kind.1 += program.multiply_adds(op);
            last = Instant::now();
        }
        done = progress.done_ops;
        ControlFlow::Continue(())
    }))?;
    let total = start.elapsed();
    for (kind, (time, multiply_adds)) in by_kind {
        let giga = multiply_adds as f64 / 1e9;
        println!("{kind:>12} {time:>10.2?} {giga:8.3} G multiply-adds");
    }
    let giga = program.total_multiply_adds() as f64 / 1e9;
    println!("{:>12} {total:>10.2?} {giga:8.3} G multiply-adds", "total");
    if let Output::Logits(logits) = output {
        println!("{} logits, finite: {}", logits.len(), logits.iter().all(|x| x.is_finite()));
    }
    Ok(())
}

fn kind(op: &Op) -> &'static str {
    match op {
        Op::Pointwise { .. } => "pointwise",
        Op::Conv3 { .. } => "conv3",
        Op::Depthwise3 { .. } => "depthwise",
        Op::GroupNorm { .. } => "group norm",
        Op::AddInPlace { .. } => "add",
        Op::MaxPool { .. } => "max pool",
        Op::Upsample { .. } => "upsample",
        Op::Squeeze { .. } | Op::Unsqueeze { .. } => "squeeze",
        Op::Reflect { .. } => "reflect",
        Op::Decide { .. } => "decide",
    }
}
