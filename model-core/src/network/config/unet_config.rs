//! A network that was checked once.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::{BackwardMode, NetworkSettings};
use crate::{Error, Result, Task};

/// A 3D U-Net, reversible or not, that can be built: its settings with the channels of its input
/// and output, checked once.
///
/// It is read as its [`NetworkSettings`] and changed by [`UNetConfig::with`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "NetworkSettings", into = "NetworkSettings")]
pub struct UNetConfig {
    settings: NetworkSettings,
    in_channels: usize,
    out_channels: usize,
}

impl NetworkSettings {
    /// Returns the network with `in_channels` and `out_channels`.
    ///
    /// # Errors
    /// [`Error::Network`] with the name of the setting if the network cannot be built, or if the
    /// settings state other channels.
    pub fn build(self, in_channels: usize, out_channels: usize) -> Result<UNetConfig> {
        let stated = [self.in_channels, self.out_channels];
        let given = [in_channels, out_channels];
        if stated.iter().zip(given).any(|(stated, given)| stated.is_some_and(|s| s != given)) {
            let stated = [0, 1].map(|at| stated[at].unwrap_or(given[at]));
            let text = |[inputs, outputs]: [usize; 2]| {
                format!("{inputs} input and {outputs} output channels")
            };
            return Err(Error::network(text(given), text(stated)));
        }
        let settings = NetworkSettings {
            in_channels: Some(in_channels),
            out_channels: Some(out_channels),
            ..self
        };
        let config = UNetConfig { settings, in_channels, out_channels };
        config.check()?;
        Ok(config)
    }

    /// Returns the network with a task's channels and outputs.
    ///
    /// # Errors
    /// As [`NetworkSettings::build`].
    pub fn for_task(self, task: &Task) -> Result<UNetConfig> {
        self.build(task.channels.len(), task.num_outputs())
    }
}

impl TryFrom<NetworkSettings> for UNetConfig {
    type Error = Error;

    fn try_from(settings: NetworkSettings) -> Result<UNetConfig> {
        let (Some(inputs), Some(outputs)) = (settings.in_channels, settings.out_channels) else {
            return Err(Error::network("in_channels and out_channels", "a network without them"));
        };
        settings.build(inputs, outputs)
    }
}

impl From<UNetConfig> for NetworkSettings {
    fn from(config: UNetConfig) -> NetworkSettings {
        config.settings
    }
}

impl Deref for UNetConfig {
    type Target = NetworkSettings;

    fn deref(&self) -> &NetworkSettings {
        &self.settings
    }
}

impl UNetConfig {
    /// Returns the number of channels of the input.
    pub fn in_channels(&self) -> usize {
        self.in_channels
    }

    /// Returns the number of channels of the output: regions, or labels and background.
    pub fn out_channels(&self) -> usize {
        self.out_channels
    }

    /// Returns the network with changed settings.
    ///
    /// # Errors
    /// [`Error::Network`] with the name of the setting if the network cannot be built.
    pub fn with(&self, change: impl FnOnce(&mut NetworkSettings)) -> Result<UNetConfig> {
        let mut settings = self.settings.clone();
        change(&mut settings);
        settings.try_into()
    }

    /// Returns the network with its backward pass in another mode.
    pub fn in_mode(&self, backward: BackwardMode) -> UNetConfig {
        let mut config = self.clone();
        config.settings.backward = backward;
        config
    }

    /// Returns the settings that describe the network for any task: without channels.
    pub fn without_channels(&self) -> NetworkSettings {
        NetworkSettings { in_channels: None, out_channels: None, ..self.settings.clone() }
    }

    /// Returns the network without its training-only parts, as a bundle holds it and the engines
    /// run it.
    pub fn for_inference(&self) -> UNetConfig {
        let mut config = self.clone();
        config.settings.deep_supervision = 0;
        config.settings.vae = None;
        config
    }
}
