//! Runs a preset with random weights and prints what it needs and how long each kind of operation
//! takes: `cargo run -p shaders --example run_program -- --preset demo --size 64`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use model_core::config::parameters;
use model_core::{Array, Program, UNetConfig, Weights};
use rand::{RngExt, SeedableRng};
use shaders::{Engine, Output, Plan};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (mut preset, mut size, mut channels, mut budget) = ("demo".to_string(), 32, 4, 4096);
    for pair in arguments.chunks(2) {
        match pair {
            [name, value] if name == "--preset" => preset = value.clone(),
            [name, value] if name == "--size" => size = value.parse()?,
            [name, value] if name == "--channels" => channels = value.parse()?,
            [name, value] if name == "--budget" => budget = value.parse()?,
            _ => {
                let usage = "run_program [--preset NAME] [--size N] [--channels N] [--budget MIB]";
                return Err(format!("usage: {usage}").into());
            }
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

    let plan = Plan::within(&program, budget << 20)?;
    let start = Instant::now();
    let engine = pollster::block_on(Engine::new())?.one_step_a_submission();
    pollster::block_on(engine.prepare(&plan))?;
    println!("{} opened in {:.2?}", engine.adapter_name(), start.elapsed());
    println!("{preset} at {size}³, {channels} channels: {:?} {:?}", plan.manner, plan.footprint);

    let mut by_kind: BTreeMap<&str, (Duration, u64, u64)> = BTreeMap::new();
    let start = Instant::now();
    let (mut last, mut done) = (start, 0);
    let output = pollster::block_on(engine.run(&plan, &weights, &input, &mut |progress| {
        let step = &plan.steps[done];
        let kind = by_kind.entry(step.kernel.name).or_default();
        kind.0 += last.elapsed();
        kind.1 += step.multiply_adds;
        kind.2 += step.bytes;
        last = Instant::now();
        done = progress.done_steps;
        ControlFlow::Continue(())
    }))?;
    let total = start.elapsed();
    for (kind, (time, multiply_adds, bytes)) in by_kind {
        let [giga, gigabytes] = [multiply_adds, bytes].map(|n| n as f64 / 1e9);
        println!("{kind:>14} {time:>10.2?} {giga:8.3} G multiply-adds {gigabytes:8.3} GB");
    }
    let giga = program.total_multiply_adds() as f64 / 1e9;
    println!("{:>12} {total:>10.2?} {giga:8.3} G multiply-adds", "total");
    if let Output::Logits(logits) = output {
        println!("{} logits, finite: {}", logits.len(), logits.iter().all(|x| x.is_finite()));
    }
    Ok(())
}
