//! Opens a model bundle and prints its card, task, network and parameters.
//!
//! ```text
//! cargo run -p model-core --example load_bundle -- model.safetensors
//! ```
//!
//! The crate reads bytes, so the example reads the file. It needs neither burn nor a GPU.

use std::process::ExitCode;

use model_core::{Bundle, Card, Head, network::layers::parameters};

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: load_bundle BUNDLE.safetensors");
        return ExitCode::FAILURE;
    };
    let bundle = match std::fs::read(&path) {
        Ok(bytes) => Bundle::from_bytes(&bytes).map_err(|error| error.in_file(&path).to_string()),
        Err(error) => Err(format!("{error} (in {path})")),
    };
    match bundle {
        Ok(bundle) => {
            print_bundle(&bundle);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn print_bundle(bundle: &Bundle) {
    print_card(&bundle.card);
    print_task(&bundle.card);
    print_network(&bundle.card);
    println!("parameters");
    let mut num_values = 0;
    // In the order in which data passes them.
    for parameter in parameters(&bundle.card.network) {
        let array = &bundle.weights[&parameter.name];
        let largest = array.values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        println!("  {:<48} {:?}, largest magnitude {largest:.4}", parameter.name, array.shape);
        num_values += array.values.len();
    }
    println!("  {num_values} values in {} arrays", bundle.weights.len());
    println!("checksum {}", bundle.hash());
}

fn print_card(card: &Card) {
    let provenance = &card.provenance;
    println!("{}", card.name);
    println!("  Research use only, not a medical device.");
    if !card.warning.is_empty() {
        println!("  {}", card.warning);
    }
    println!("  trained on {} cases of {}", provenance.training_cases, provenance.data);
    println!("  {} steps, code version {}", provenance.steps, provenance.code_version);
    for score in &provenance.held_out {
        println!("  held-out Dice of {}: {:.3} over {} cases", score.region, score.dice, score.n);
    }
}

fn print_task(card: &Card) {
    let task = &card.task;
    println!("task {}", task.name);
    println!("  channels {}", task.channels.join(", "));
    for label in &task.labels {
        println!("  label {} is {}", label.code, label.name);
    }
    for region in &task.regions {
        println!("  region {} has the labels {:?}", region.name, region.labels);
    }
    match task.head {
        Head::Sigmoid => println!("  predicts regions, which may overlap"),
        Head::Softmax => println!("  predicts labels, which exclude each other"),
    }
}

fn print_network(card: &Card) {
    println!("network {:#?}", card.network);
    println!("preprocessing {:#?}", card.preprocess);
}
