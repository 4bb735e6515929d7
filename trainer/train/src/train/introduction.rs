//! The lines that a training begins with.

use model_core::UNetConfig;
use model_core::network::layers::{Parameter, parameters};
use model_core::texts;
use trainer_run::config::{Float, describe};
use trainer_run::run_folder::Run;

use super::setup::TrainSetup;
use crate::device::DeviceId;
use crate::schedule::Schedule;

/// Describes data, network, device and length of a training that begins after `steps` steps.
pub(super) fn introduction(setup: &TrainSetup, schedule: &Schedule, steps: usize) -> String {
    let Run { network, config, .. } = &setup.run;
    let exported = num_parameters(&network.for_inference());
    let of_training = match num_parameters(network) - exported {
        0 => String::new(),
        count => format!(" and {count} that only training has"),
    };
    let resuming = match steps {
        0 => String::new(),
        steps => format!("; resuming after step {steps}"),
    };
    let mut text = format!(
        "{}: {} training cases, {} held out; {} when preprocessed\n\
         network of {exported} parameters{of_training}, widths {:?}, on {}\n\
         {} steps ({:.1} epochs) of {} patches of {:?} voxels{resuming}",
        setup.run.data,
        setup.run.training.len(),
        setup.run.held_out.len(),
        texts::bytes(setup.data.cases.bytes()),
        network.widths,
        device_and_precision(setup),
        schedule.steps,
        schedule.steps as f64 / schedule.epoch_steps as f64,
        config.batch * config.accumulate,
        config.patch,
    );
    if setup.run.held_out.is_empty() {
        text +=
            "\nheld_out is 0: Dice is measured on the training cases and says nothing about others";
    }
    text
}

fn num_parameters(network: &UNetConfig) -> usize {
    parameters(network).iter().map(Parameter::len).sum()
}

/// Names the device, and the precision where it is not f32.
fn device_and_precision(setup: &TrainSetup) -> String {
    let device = DeviceId::of(&setup.device);
    match setup.run.config.precision(&setup.run.network) {
        Ok(precision) if precision.compute != Float::F32 => {
            format!("{device}; trained in {}, measured in f32", describe(precision))
        }
        _ => device.to_string(),
    }
}
