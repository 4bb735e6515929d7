//! Measures the engine on this machine's GPU. This is the program of `cargo xtask bench engine`,
//! which documents the options. Weights and inputs are random, since times do not depend on them.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Instant;

use model_core::network::layers::parameters;
use model_core::{Array, Program, UNetConfig, Weights};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shaders::kernels::Storage;
use shaders::{CopyRate, Engine, MAX_BINDING_BYTES, Plan, Preference};

mod arguments;
mod table;

use arguments::Arguments;
use table::{Kernels, median, seconds, spread};

fn main() -> ExitCode {
    match Arguments::parse(std::env::args().skip(1)).map_err(Into::into).and_then(measure) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let Arguments { preset, size, channels, budget_bytes, storage, max_fused_channels, repeat } =
        &arguments;
    let config = UNetConfig::preset(preset, *channels, 3)?;
    let dims = config.padded(*size);
    let program = Program::new(&config, dims)?;
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let weights = random_weights(&config, &mut random);
    let input = uniform(&mut random, channels * dims.iter().product::<usize>());

    let started = Instant::now();
    let engine = pollster::block_on(Engine::with_clock())?;
    let opened = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let max_fused_channels = match max_fused_channels {
        Some(most) => *most,
        None => pollster::block_on(engine.preference()).max_fused_channels,
    };
    let preferred = started.elapsed().as_secs_f64();
    let preference = Preference { storage: *storage, max_fused_channels };
    let plan = Plan::preferring(preference, &program, *budget_bytes)?;
    println!("{}\n", head(&arguments, &plan, dims, engine.adapter_name()));

    let started = Instant::now();
    pollster::block_on(engine.prepare(&plan))?;
    let compiled = started.elapsed().as_secs_f64();
    // Returns the time of a run, and the longest time between two points where it can be canceled.
    let run = || -> Result<[f64; 2], shaders::Error> {
        let started = Instant::now();
        let (mut asked, mut longest) = (started, 0.0_f64);
        let mut go_on = |_| {
            longest = longest.max(asked.elapsed().as_secs_f64());
            asked = Instant::now();
            ControlFlow::Continue(())
        };
        pollster::block_on(engine.run(&plan, &weights, &input, &mut go_on))?;
        Ok([started.elapsed().as_secs_f64(), longest])
    };
    let [first, _] = run()?;
    let runs: Vec<[f64; 2]> = (0..*repeat).map(|_| run()).collect::<Result<_, _>>()?;
    let warm: Vec<f64> = runs.iter().map(|run| run[0]).collect();
    let longest = runs.iter().map(|run| run[1]).fold(0.0, f64::max);
    let whole = plan.multiply_adds() as f64 / median(&warm) / 1e9;
    let allocated = engine.allocated_bytes() + staging(&plan);
    println!("| whole network | |\n|---|---|");
    println!("| cold: the GPU opened | {} |", seconds(opened));
    println!("| cold: the faster way chosen, to fuse blocks or not | {} |", seconds(preferred));
    println!("| cold: kernels compiled | {} |", seconds(compiled));
    println!("| cold: first run | {} |", seconds(first));
    println!("| warm: a run, input and result included | {} |", spread(&warm));
    println!("| warm: the longest between two chances to stop | {} |", seconds(longest));
    println!("| warm: multiply-adds a second | {whole:.2} G |");
    println!("| stated, allocated | {}, {allocated} bytes |", plan.footprint.total_bytes);
    match by_its_clock(&engine, &plan, &weights, &input, *repeat) {
        Ok(table) => println!("{table}"),
        Err(error) => println!("| by the GPU's clock | not measured: {error} |\n"),
    }
    println!("Research use only, not a medical device");
    Ok(())
}

/// Prints the rest of the table and the table of kernels.
fn by_its_clock(
    engine: &Engine,
    plan: &Plan,
    weights: &Weights,
    input: &[f32],
    repeat: usize,
) -> Result<String, shaders::Error> {
    let largest = plan.buffers.iter().copied().max().unwrap_or(0).min(MAX_BINDING_BYTES);
    let copy = copy_rate(engine, largest, 2 * repeat + 1)?;
    let mut kernels = Kernels::default();
    for _ in 0..repeat {
        kernels.add(plan, &pollster::block_on(engine.step_seconds(plan, weights, input))?);
    }
    let by_driver =
        copy.driver.map_or("not measured".into(), |rate| format!("{:.2} GB/s", rate / 1e9));
    Ok(format!(
        "| warm: its steps alone, by the GPU's clock | {} |\n\
         | a copy of {:.1} MiB, read and written | {:.2} GB/s by a kernel, {by_driver} by the driver |\n\n\
         {}",
        seconds(kernels.seconds()),
        mib(largest),
        copy.kernel / 1e9,
        kernels.table(copy.kernel.max(copy.driver.unwrap_or(0.0))),
    ))
}

/// Returns the median copy rate.
fn copy_rate(engine: &Engine, bytes: u64, repeat: usize) -> Result<CopyRate, shaders::Error> {
    let rates: Vec<CopyRate> = (0..repeat)
        .map(|_| pollster::block_on(engine.copy_rate(bytes)))
        .collect::<Result<_, _>>()?;
    let kernel: Vec<f64> = rates.iter().map(|rate| rate.kernel).collect();
    let driver: Option<Vec<f64>> = rates.iter().map(|rate| rate.driver).collect();
    Ok(CopyRate { kernel: median(&kernel), driver: driver.map(|rates| median(&rates)) })
}

/// Returns the lines that describe what is measured, and on what.
fn head(arguments: &Arguments, plan: &Plan, [i, j, k]: [usize; 3], adapter: &str) -> String {
    let storage = match plan.options.storage {
        Storage::F32 => "f32",
        Storage::F16 => "f16",
    };
    let fused = match plan.options.max_fused_channels {
        0 => "no blocks fused".into(),
        most => format!("blocks of at most {most} channels fused"),
    };
    format!(
        "{adapter}: {}, {} channels of {i}×{j}×{k} voxels, maps in {storage}, {fused}, slabs of at most \
         {:.0} MiB, {:.1} MiB in all, {:.3} G multiply-adds ({:.3} G done) in {} dispatches; medians of {}",
        arguments.preset,
        arguments.channels,
        mib(plan.options.slab_bytes),
        mib(plan.footprint.total_bytes),
        plan.multiply_adds() as f64 / 1e9,
        plan.work() as f64 / 1e9,
        plan.steps.len(),
        arguments.repeat,
    )
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1u64 << 20) as f64
}

/// Returns the staging bytes of the footprint: one slab of the input.
fn staging(plan: &Plan) -> u64 {
    plan.input.iter().map(|part| part.bytes).max().unwrap_or(0)
}

fn random_weights(config: &UNetConfig, random: &mut ChaCha8Rng) -> Weights {
    let mut weights = Weights::new();
    for parameter in parameters(config) {
        let values = uniform(random, parameter.shape.iter().product());
        weights.insert(parameter.name, Array { shape: parameter.shape, values });
    }
    weights
}

fn uniform(random: &mut ChaCha8Rng, count: usize) -> Vec<f32> {
    (0..count).map(|_| random.random_range(-1.0..1.0)).collect()
}
