//! Segments a scan on the GPU and prints the volume of each region.
//!
//! ```text
//! cargo run --example segment -- model.safetensors t1.nii.gz t1ce.nii.gz t2.nii.gz flair.nii.gz
//! ```
//!
//! The scans are the channels of the model's task, in the task's order. Without scans the example
//! segments a phantom. Without a model it builds a small network with random weights, whose result
//! means nothing. Research use only, not a medical device.

use std::error::Error;
use std::ops::ControlFlow;

use model_core::formats::nifti;
use model_core::network::layers::{Parameter, parameters};
use model_core::phantom::phantom;
use model_core::{
    Array, Bundle, Card, Case, PreprocessConfig, Program, Provenance, Task, UNetConfig,
    postprocess, preprocess,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shaders::{Engine, Output, Plan, Session, SessionEvent};

fn main() -> Result<(), Box<dyn Error>> {
    let (models, scans): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|path| path.ends_with(".safetensors"));
    let bundle = match models.first() {
        Some(path) => Bundle::from_bytes(&std::fs::read(path)?)?,
        None => random_bundle()?,
    };
    let Card { task, network, preprocess: config, .. } = &bundle.card;
    let case = match scans.is_empty() {
        true => phantom(1, 64),
        false => read_case(&scans, task)?,
    };
    println!("{} by {}", case.name(), bundle.card.name);

    // The scan becomes the network's input, and the network a list of operations of that size.
    let (input, placement) = preprocess(case.channels(), config, network)?;
    let program = Program::new(network, input.dims)?;

    // The plan states all dispatches and buffers before the GPU does anything.
    let engine = pollster::block_on(Engine::new())?;
    let preference = pollster::block_on(engine.preference());
    let plan = Plan::preferring(preference, &program, u64::MAX)?;
    let mib = plan.footprint.total_bytes >> 20;
    println!("{}: {} dispatches, {mib} MiB", engine.adapter_name(), plan.steps.len());

    // A session continues with a smaller plan if the GPU has too little memory.
    let mut on_event = |event: SessionEvent| {
        if let SessionEvent::Fallback { fallback, .. } = event {
            println!("continues with a smaller plan: {fallback}");
        }
        ControlFlow::Continue(())
    };
    let mut session = Session::from(engine);
    let run = session.run(Engine::new, plan, &bundle.weights, &input.values, &mut on_event);
    let Output::Logits(logits) = pollster::block_on(run)?.output else {
        return Err("expected logits, found labels".into());
    };

    // The logits become labels on the grid of the first scan.
    let labels = postprocess(&logits, task, &placement);
    for region in &task.regions {
        println!("{}: {:.2} ml", region.name, labels.volume_ml(&region.labels));
    }
    Ok(())
}

/// Reads the channels of a case. A file may have several channels.
fn read_case(paths: &[String], task: &Task) -> Result<Case, Box<dyn Error>> {
    let mut channels = Vec::new();
    for path in paths {
        channels.extend(nifti::read(&std::fs::read(path)?).map_err(|e| e.in_file(path))?);
    }
    Ok(Case::new(paths.join(", "), channels, None, task)?)
}

/// Builds a small network with random weights.
fn random_bundle() -> Result<Bundle, Box<dyn Error>> {
    let task = model_core::phantom::task();
    let network = UNetConfig::preset("demo", task.channels.len(), task.num_outputs())?;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut draw = |Parameter { name, shape, .. }: Parameter| {
        let values = (0..shape.iter().product()).map(|_| rng.random_range(-0.5..0.5)).collect();
        (name, Array { shape, values })
    };
    let weights = parameters(&network).into_iter().map(&mut draw).collect();
    let (preprocess, provenance) = (PreprocessConfig::default(), Provenance::default());
    let card = Card::new("an untrained network", task, network, preprocess, provenance);
    Ok(Bundle { card, weights })
}
