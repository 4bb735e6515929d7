//! The network that the settings describe.

use anyhow::{Context, Result, bail, ensure};
use model_core::network::config::{NetworkSettings, PRESETS};
use model_core::{Task, UNetConfig};

use super::TrainConfig;

impl TrainConfig {
    /// Returns the network for a task, as it is trained.
    ///
    /// # Errors
    /// If neither or both of `preset` and `[network]` are given, or the network cannot be built.
    pub fn network(&self, task: &Task) -> Result<UNetConfig> {
        let settings = self.network_settings()?;
        if let Some(patch) = settings.vae.as_ref().and_then(|vae| vae.patch) {
            ensure!(
                patch == self.patch,
                "settings: expected the training patch {:?} as vae.patch, since the branch's dense \
                 layers have one size; found {patch:?}; vae.patch can be omitted",
                self.patch
            );
        }
        let network = settings.for_task(task)?;
        network.check_size(self.patch).context("settings: patch")?;
        Ok(network)
    }

    /// Returns the network's settings, without a task's channels.
    ///
    /// # Errors
    /// If neither or both of `preset` and `[network]` are given.
    pub fn network_settings(&self) -> Result<NetworkSettings> {
        let mut network = match (&self.preset, &self.network) {
            (Some(name), None) => NetworkSettings::preset(name)?,
            (None, Some(network)) => network.clone(),
            (Some(_), Some(_)) => bail!("settings: expected a preset or [network], found both"),
            (None, None) => bail!(
                "settings: expected a network, found none; give --preset (one of {}) or [network] \
                 in the settings",
                PRESETS.join(", ")
            ),
        };
        if let Some(backward) = self.backward {
            network.backward = backward;
        }
        if let Some(vae) = &self.vae {
            ensure!(network.vae.is_none(), "settings: expected [vae] or [network.vae], found both");
            network.vae = Some(vae.clone());
        }
        if let Some(vae) = &mut network.vae {
            vae.patch.get_or_insert(self.patch);
        }
        Ok(network)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use model_core::network::config::BackwardMode;

    use super::super::Sources;
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
        assert_eq!((plain.backward, &plain.vae), (BackwardMode::Reversible, &None));
        let stored = network("backward = \"stored\"");
        assert_eq!(stored.backward, BackwardMode::NonReversible);
        assert_eq!(network("backward = \"non_reversible\""), stored);
        let checkpointed = network("backward = \"checkpointed\"");
        assert_eq!(checkpointed.backward, BackwardMode::Checkpointed);
        assert_eq!(network("backward = \"rewound\""), plain);
        let vae = network("patch = [32, 64, 96]\n[vae]\nunits = 16").vae.clone().unwrap();
        assert_eq!((vae.units, vae.channels, vae.patch), (16, 16, Some([32, 64, 96])));
    }

    /// Reads the settings files of `trainer/configs`. Those of the comparisons describe a data set or a
    /// network, and are read together.
    #[test]
    fn the_settings_files_describe_networks() {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
        let of = |folder: &str| -> Vec<PathBuf> {
            let files = std::fs::read_dir(configs.join(folder)).unwrap().map(|f| f.unwrap().path());
            files.filter(|file| file.extension().is_some_and(|end| end == "toml")).collect()
        };
        let data_sets = ["hippocampus", "glioma2mm"].map(|name| format!("experiment/{name}.toml"));
        let data_sets = data_sets.map(|file| configs.join(file));
        let networks = of("experiment/networks");
        let pairs = data_sets
            .iter()
            .flat_map(|data| networks.iter().map(|network| vec![data.clone(), network.clone()]));
        let alone = ["", "experiment", "papers"].map(of).into_iter().flatten();
        let alone = alone.filter(|file| !data_sets.contains(file)).map(|file| vec![file]);
        let mut count = 0;
        for files in alone.chain(pairs) {
            let config = Sources { files: &files, ..Sources::default() }.settings().unwrap();
            config.check().unwrap();
            let network = config.network(&Task::builtin("brats2021").unwrap());
            network.unwrap_or_else(|error| panic!("{files:?}: {error:#}"));
            count += 1;
        }
        assert!(count > 30, "{count}");
    }

    #[test]
    fn a_branch_is_made_for_the_patch_that_is_trained_on() {
        let own = "[network]\nwidths = [8, 16]\ndecoder = \"conv1\"\ngroups = 4\n[network.vae]\n";
        assert_eq!(network(own).unwrap().vae.as_ref().unwrap().patch, Some([32; 3]));
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
