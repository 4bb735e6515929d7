//! From the settings to the network that is trained.

use anyhow::{Context, Result, bail, ensure};
use model_core::network::config::PRESETS;
use model_core::{Task, UNetConfig};
use serde::{Deserialize, Serialize};

use super::TrainConfig;

/// What the backward pass keeps; the function computed is the same, memory and time are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backward {
    /// Of reversible blocks in a row only what they give: they are rewound.
    Rewound,
    /// Everything, as plain autodiff does.
    Stored,
    /// Every √n-th of n layers between two skips; the others are computed again (Chen et al. 2016).
    Checkpointed,
}

impl TrainConfig {
    /// The network for a task, as it is trained.
    ///
    /// # Errors
    /// When neither or both of `preset` and `[network]` are given, or it cannot be built.
    pub fn network(&self, task: &Task) -> Result<UNetConfig> {
        let network = self.network_of(task.channels.len(), task.num_outputs())?.for_task(task)?;
        if let Some(vae) = &network.vae {
            ensure!(
                vae.patch == self.patch,
                "settings: expected in vae.patch the patch that is trained on, {:?}, since the \
                 branch's dense layers are made for one size; found {:?}; it can be left out",
                self.patch,
                vae.patch
            );
        }
        network.check()?;
        network.check_size(self.patch).context("settings: patch")?;
        Ok(network)
    }

    /// The network alone; its channels and outputs are these where the settings leave them open.
    ///
    /// # Errors
    /// When neither or both of `preset` and `[network]` are given.
    pub fn network_of(&self, inputs: usize, outputs: usize) -> Result<UNetConfig> {
        let open = |stated: usize, given| if stated == 0 { given } else { stated };
        let mut network = match (&self.preset, &self.network) {
            (Some(name), None) => UNetConfig::preset(name, inputs, outputs)?,
            (None, Some(network)) => UNetConfig {
                in_channels: open(network.in_channels, inputs),
                out_channels: open(network.out_channels, outputs),
                ..network.clone()
            },
            (Some(_), Some(_)) => bail!("settings: expected a preset or [network], found both"),
            (None, None) => bail!(
                "settings: expected a network, found none; give --preset (one of {}) or [network] \
                 in the settings",
                PRESETS.join(", ")
            ),
        };
        if let Some(backward) = self.backward {
            network.reversible = backward == Backward::Rewound;
            network.checkpointed = backward == Backward::Checkpointed;
        }
        if let Some(vae) = &self.vae {
            ensure!(network.vae.is_none(), "settings: expected [vae] or [network.vae], found both");
            network.vae = Some(vae.clone());
        }
        if let Some(vae) = &mut network.vae
            && vae.patch == [0; 3]
        {
            vae.patch = self.patch;
        }
        Ok(network)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn network(text: &str) -> Result<UNetConfig> {
        let task = Task::builtin("brats2021").unwrap();
        TrainConfig::parse(text)?.network(&task)
    }

    fn refusal(text: &str) -> String {
        format!("{:#}", network(text).unwrap_err())
    }

    #[test]
    fn a_preset_is_changed_by_name() {
        let network = |text: &str| network(&format!("preset = \"brugger-1-1\"\n{text}")).unwrap();
        let plain = network("");
        assert_eq!((plain.reversible, plain.checkpointed, &plain.vae), (true, false, &None));
        let stored = network("backward = \"stored\"");
        assert_eq!((stored.reversible, stored.checkpointed), (false, false));
        let checkpointed = network("backward = \"checkpointed\"");
        assert_eq!((checkpointed.reversible, checkpointed.checkpointed), (false, true));
        assert_eq!(network("backward = \"rewound\""), plain);
        let vae = network("patch = [32, 64, 96]\n[vae]\nunits = 16").vae.unwrap();
        assert_eq!((vae.units, vae.channels, vae.patch), (16, 16, [32, 64, 96]));
    }

    /// The files of settings that come with the trainer.
    #[test]
    fn the_settings_files_describe_networks() {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
        let of = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path());
        let files = of(configs.clone()).chain(of(configs.join("experiment")));
        let mut count = 0;
        for file in files.filter(|file| file.extension().is_some_and(|end| end == "toml")) {
            let config = TrainConfig::read(&file).unwrap();
            config.check().unwrap();
            let network = config.network(&Task::builtin("brats2021").unwrap());
            network.unwrap_or_else(|error| panic!("{}: {error:#}", file.display()));
            count += 1;
        }
        assert!(count > 0);
    }

    #[test]
    fn a_branch_is_made_for_the_patch_that_is_trained_on() {
        let own = "[network]\nwidths = [8, 16]\ndecoder = \"conv1\"\ngroups = 4\n[network.vae]\n";
        assert_eq!(network(own).unwrap().vae.unwrap().patch, [32; 3]);
        let error = refusal(&format!("{own}patch = [16, 32, 32]"));
        assert!(error.contains("[32, 32, 32]") && error.contains("[16, 32, 32]"), "{error}");
        let error = refusal(&format!("{own}[vae]"));
        assert!(error.contains("found both"), "{error}");
        let error = refusal("preset = \"demo\"\npatch = [24, 24, 24]\n[vae]");
        assert!(error.contains("multiples of 16"), "{error}");
        let error = refusal("preset = \"demo\"\n[vae]\nunit = 3");
        assert!(error.contains("did you mean `units`?"), "{error}");
    }
}
