//! `rewind-bench precision`: the error of gradients in half precision, and the share of rewinding.

use anyhow::{Result, ensure};
use burn::tensor::Device;
use clap::Args;
use model_core::BackwardMode;
use model_core::nets::Precision;
use model_core::network::memory_estimate::can_rewind;
use model_core::{Task, UNetConfig, Weights};

use crate::arguments::{DeviceArgs, check_num_values};
use crate::gradients::{forward_backward, relative_error};
use trainer_data::patches::Batch;
use trainer_run::config::{Float, LossKind, precision};
use trainer_run::rng::{RngStream, generator, normal};
use trainer_run::{DISCLAIMER, progress};
use trainer_train::drift::Drift;
use trainer_train::estimate::{Chosen, NetworkArgs};
use trainer_train::initial::initial_weights;
use trainer_train::loss::Loss;
use trainer_train::loss_scale::LossScale;
use trainer_train::precision::network_precision;
use trainer_train::{device, model};

/// Measure the error of gradients in half precision, and the share of rewinding.
///
/// Computes the gradient of the loss by all parameters, for initial weights and one volume of random
/// numbers, in every precision and with either type of the reversible streams. Prints its error
/// against the gradient of f32 without rewinding, and the error of the rewound gradient against that
/// of the same precision without rewinding, both relative to its length; and the largest relative
/// error of the recovered input of a sequence, as the drift monitor of a training measures it.
///
/// Research use only, not a medical device.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct PrecisionArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// Blocks a level.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8")]
    blocks: Vec<usize>,
    /// Decides the weights and the volume.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    device: DeviceArgs,
}

const EXAMPLES: &str = "\
Examples:
  rewind-bench precision --preset mbconv-slim --size 32x32x32
  rewind-bench precision --preset brugger-1-1 --size 32x32x32 --blocks 1,8

Research use only, not a medical device";

/// Types of the layers and of the streams.
const PRECISIONS: [(Float, Float); 5] = [
    (Float::F32, Float::F32),
    (Float::F16, Float::F32),
    (Float::F16, Float::F16),
    (Float::Bf16, Float::F32),
    (Float::Bf16, Float::Bf16),
];

/// Runs the command.
///
/// # Errors
/// Errors if the network cannot be built, has no reversible blocks, or does not accept the size.
pub fn run(args: &PrecisionArgs) -> Result<()> {
    let Chosen { name, config, dims, .. } = args.network.network(32)?;
    check_num_values(&config, dims, 1)?;
    let config = config.for_inference();
    ensure!(can_rewind(&config), "{name} has no reversible blocks: nothing is rewound");
    let device = args.device.open()?;
    let [i, j, k] = dims;
    println!(
        "{name}, one volume of {k}×{j}×{i} voxels (k, j, i), on {}\n",
        device::describe(&device)
    );
    println!(
        "| blocks | layers | streams | gradient, from f32's | from storing's | input, recovered |\n\
         |---|---|---|---|---|---|"
    );
    for &blocks in &args.blocks {
        let config = config.with(|config| config.blocks = blocks)?;
        let weights = initial_weights(&config, args.seed);
        let batch = random_batch(&config, dims, args.seed);
        let gradient = |mode: BackwardMode, precision| {
            gradient(&config.in_mode(mode), &weights, precision, &batch, dims, &device)
        };
        let (exact, _) = gradient(BackwardMode::NonReversible, Precision::F32)?;
        for (compute, stream) in PRECISIONS {
            let names = [compute, stream].map(Float::name);
            if progress::is_terminal() {
                progress::say(format!(
                    "{blocks} blocks, layers in {}, streams in {} …",
                    names[0], names[1]
                ));
            }
            let precision = network_precision(precision(compute, stream)?);
            let (stored, _) = gradient(BackwardMode::NonReversible, precision)?;
            let (rewound, drift) = gradient(BackwardMode::Reversible, precision)?;
            println!(
                "| {blocks} | {} | {} | {:.1e} | {:.1e} | {:.1e} |",
                names[0],
                names[1],
                relative_error(&rewound, &exact),
                relative_error(&rewound, &stored),
                drift.map_or(0.0, |drift| drift.worst().1)
            );
        }
    }
    println!("\n{DISCLAIMER}");
    Ok(())
}

/// Returns a volume of normal numbers, labeled by nested balls around its middle.
fn random_batch(config: &UNetConfig, dims: [usize; 3], seed: u64) -> Batch {
    let num_voxels = dims.iter().product::<usize>();
    let label = |voxel: usize| {
        let ijk = [voxel % dims[0], voxel / dims[0] % dims[1], voxel / (dims[0] * dims[1])];
        let offset = |axis: usize| 2.0 * (ijk[axis] as f64 + 0.5) / dims[axis] as f64 - 1.0;
        let radius = (0..3).map(|axis| offset(axis).powi(2)).sum::<f64>().sqrt();
        (0..config.out_channels()).rfind(|n| radius * *n as f64 <= 0.8).unwrap_or(0) as u8
    };
    let values = normal(generator(seed, RngStream::Patch, 0));
    Batch {
        number: 0,
        values: values.take(config.in_channels() * num_voxels).collect(),
        labels: (0..num_voxels).map(label).collect(),
        cases: vec!["random".into()],
    }
}

/// Returns the gradients of all parameters, and the drift of rewinding.
fn gradient(
    config: &UNetConfig,
    weights: &Weights,
    precision: Precision,
    batch: &Batch,
    dims: [usize; 3],
    device: &Device,
) -> Result<(Vec<f32>, Option<Drift>)> {
    let tracked = device.clone().autodiff();
    let network = model::build_in(config, weights, precision, &tracked)?;
    let labels = (1..config.out_channels()).map(|n| (n as u8, n.to_string())).collect();
    let channels = (0..config.in_channels()).map(|n| n.to_string()).collect();
    let loss = Loss::new(&Task::exclusive("random", channels, labels)?, LossKind::DiceCe);
    let mut scale = LossScale::default().resumed(precision);
    loop {
        let x = model::tensor(batch.values.clone(), config.in_channels(), dims, &tracked);
        let result = forward_backward(&network, x, |logits| {
            let (_, seed) = loss.of(logits, &batch.labels, 1);
            scale.seed(model::tensor(seed, config.out_channels(), dims, &tracked))
        });
        if result.gradients.iter().all(|value| value.is_finite()) {
            let factor = scale.factor().unwrap_or(1.0) as f32;
            let gradients = result.gradients.into_iter().map(|value| value / factor).collect();
            return Ok((gradients, Drift::measure(&network, batch, dims)));
        }
        ensure!(scale.can_skip(), "the gradient has left the range of {precision:?}");
        scale.skip();
    }
}
