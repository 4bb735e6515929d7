//! Checkpoints: the state from which a killed run continues exactly, in one safetensors file that is
//! written whole or not at all.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use model_core::network::layers::{Parameter, parameters};
use model_core::{Array, UNetConfig, Weights, check_weights};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::adam::Moments;
use crate::loss_scale::LossScale;
use trainer_run::files;

/// The newest checkpoint of a run.
pub const LAST: &str = "last.safetensors";
/// The checkpoint before the newest, kept until the next is written.
pub const PREVIOUS: &str = "previous.safetensors";

/// The version of the format that this code reads and writes.
const VERSION: u32 = 3;
const METADATA_KEY: &str = "rewind-checkpoint";
/// The largest checkpoint that is read: four arrays for each parameter of the largest bundle.
const MAX_BYTES: u64 = 4 * files::MAX_BUNDLE_BYTES;

/// A run's state after a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Steps done.
    pub steps: usize,
    /// Whether the validation after the last step is still to be made.
    pub validation_is_due: bool,
    /// The steps and the mean Dice over regions and cases of every validation so far.
    pub validations: Vec<(usize, f64)>,
    /// The trained weights.
    pub weights: Weights,
    /// The moving average of the weights, without the layers that only training has.
    pub average: Weights,
    /// Adam's moments.
    pub moments: [Moments; 2],
    /// The loss scale, with the number of skipped steps.
    pub loss_scale: LossScale,
}

/// The best validation of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// Steps done.
    pub steps: usize,
    /// Mean Dice over regions and cases.
    pub dice: f64,
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    version: u32,
    steps: usize,
    validation_is_due: bool,
    /// Steps and Dice. Dice is text, which is read back exactly; a JSON number need not be.
    validations: Vec<(usize, String)>,
    /// Missing before version 3. The check of the version comes first.
    #[serde(default)]
    loss_scale: LossScale,
    /// SHA-256 over all of the above and all tensors, in hexadecimal.
    sha256: String,
}

/// The error for a checkpoint of another version of Rewind.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected version {VERSION} of the format, found {0}: go on with the version of Rewind that wrote \
     it, or start again with another --out"
)]
struct OtherVersion(u32);

/// Returns the best of validations in order, the first of equals.
pub fn best(validations: &[(usize, f64)]) -> Option<Best> {
    validations.iter().fold(None, |best: Option<Best>, &(steps, dice)| match best {
        Some(best) if best.dice >= dice => Some(best),
        _ => Some(Best { steps, dice }),
    })
}

impl Checkpoint {
    /// Writes the checkpoint as the run's newest. The former newest becomes the previous one.
    ///
    /// # Errors
    /// Errors if the folder cannot be written to. The existing checkpoints are then unchanged.
    pub fn save(&self, run: &Path) -> Result<()> {
        let file = self.to_bytes()?;
        let (last, previous) = (run.join(LAST), run.join(PREVIOUS));
        // The file is whole on the disk before the others are renamed: a full disk leaves both.
        let part = files::write_part(&last, &file)?;
        if last.exists() {
            fs::rename(&last, &previous)
                .with_context(|| format!("cannot write {}", previous.display()))?;
        }
        files::name_part(&part, &last)
    }

    /// Returns the content of the checkpoint's file.
    ///
    /// # Errors
    /// Errors if the checkpoint is too large for a safetensors file.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let arrays = self.arrays();
        let bytes = arrays.iter().map(|(name, shape, values)| (name, shape, little_endian(values)));
        let bytes: Vec<_> = bytes.collect();
        let views = bytes.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes);
            (name.as_str(), view.expect("each array has as many values as its shape says"))
        });
        let sha256 = self.hash();
        let Checkpoint { steps, validation_is_due, .. } = *self;
        let text = |(steps, dice): &(usize, f64)| (*steps, dice.to_string());
        let metadata = Metadata {
            version: VERSION,
            steps,
            validation_is_due,
            validations: self.validations.iter().map(text).collect(),
            loss_scale: self.loss_scale,
            sha256,
        };
        let metadata = serde_json::to_string(&metadata).expect("metadata is plain data");
        let metadata = HashMap::from([(METADATA_KEY.to_string(), metadata)]);
        safetensors::serialize(views, Some(metadata)).context("checkpoint")
    }

    /// Reads a run's newest checkpoint; `None` before the first.
    ///
    /// # Errors
    /// Errors if the checkpoint is damaged or of another network. The message states whether the
    /// previous checkpoint is whole, and how to resume from it.
    pub fn newest(run: &Path, network: &UNetConfig) -> Result<Option<Checkpoint>> {
        let (last, previous) = (run.join(LAST), run.join(PREVIOUS));
        if !last.exists() {
            // A kill between the two renames of `save` leaves only the previous one.
            return match previous.exists() {
                true => Checkpoint::read(&previous, network).map(Some),
                false => Ok(None),
            };
        }
        let error = match Checkpoint::read(&last, network) {
            Ok(checkpoint) => return Ok(Some(checkpoint)),
            Err(error) => error,
        };
        let advice = match Checkpoint::read(&previous, network) {
            // The error already gives advice.
            Err(_) if error.is::<OtherVersion>() => return Err(error),
            Ok(good) => format!(
                "the checkpoint before it, {}, is whole: remove {} to go on from step {}",
                previous.display(),
                last.display(),
                good.steps
            ),
            Err(_) => {
                "there is no whole checkpoint before it: start again with another --out".into()
            }
        };
        bail!("{error:#}\n{advice}")
    }

    /// Reads and checks a checkpoint.
    ///
    /// # Errors
    /// Errors with the file if it is unreadable, damaged, of another version or of another network.
    pub fn read(file: &Path, network: &UNetConfig) -> Result<Checkpoint> {
        let bytes = files::read(file, MAX_BYTES)?;
        Checkpoint::parse(&bytes, network)
            .with_context(|| format!("the checkpoint {} cannot be used", file.display()))
    }

    /// Parses the bytes of [`Checkpoint::to_bytes`].
    ///
    /// # Errors
    /// Errors if the bytes are damaged, of another version or of another network.
    pub fn parse(bytes: &[u8], network: &UNetConfig) -> Result<Checkpoint> {
        let (_, header) = SafeTensors::read_metadata(bytes)
            .map_err(|e| anyhow::anyhow!("expected a complete safetensors file, found {e}"))?;
        let metadata = header.metadata().as_ref().and_then(|m| m.get(METADATA_KEY));
        let metadata = metadata.context("expected a checkpoint of Rewind, found another file")?;
        let metadata: Metadata = serde_json::from_str(metadata).context("its description")?;
        ensure!(metadata.version == VERSION, OtherVersion(metadata.version));
        ensure!(
            metadata.loss_scale.is_valid(metadata.steps),
            "expected a loss scale of a run of {} steps, found {:?}",
            metadata.steps,
            metadata.loss_scale
        );
        let tensors = SafeTensors::deserialize(bytes).context("its tensors")?;
        let number = |(steps, dice): (usize, String)| -> Result<(usize, f64)> {
            Ok((steps, dice.parse().context("its Dice")?))
        };
        let validations = metadata.validations.into_iter().map(number);
        let mut checkpoint = Checkpoint {
            steps: metadata.steps,
            validation_is_due: metadata.validation_is_due,
            validations: validations.collect::<Result<_>>()?,
            weights: Weights::new(),
            average: Weights::new(),
            moments: Default::default(),
            loss_scale: metadata.loss_scale,
        };
        for (name, view) in tensors.iter() {
            ensure!(view.dtype() == Dtype::F32, "expected f32 in {name}, found {:?}", view.dtype());
            let values: Vec<f32> = (view.data().chunks_exact(4))
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect();
            let array = || Array { shape: view.shape().to_vec(), values: values.clone() };
            match name.split_once('/') {
                Some(("weights", name)) => {
                    checkpoint.weights.insert(name.to_string(), array());
                }
                Some(("average", name)) => {
                    checkpoint.average.insert(name.to_string(), array());
                }
                Some(("moment1", name)) => {
                    checkpoint.moments[0].insert(name.to_string(), values);
                }
                Some(("moment2", name)) => {
                    checkpoint.moments[1].insert(name.to_string(), values);
                }
                _ => bail!("expected weights, average and moments, found {name:?}"),
            }
        }
        check_weights(network, &checkpoint.weights)?;
        check_weights(&network.for_inference(), &checkpoint.average)?;
        let hash = checkpoint.hash();
        ensure!(
            hash == metadata.sha256,
            "expected values with SHA-256 {}, found {hash}: the file is damaged",
            metadata.sha256
        );
        Ok(checkpoint)
    }

    /// Lists every array with its name in the file.
    fn arrays(&self) -> Vec<(String, Vec<usize>, &[f32])> {
        let mut arrays = Vec::new();
        for (group, weights) in [("weights", &self.weights), ("average", &self.average)] {
            for (name, array) in weights {
                arrays.push((format!("{group}/{name}"), array.shape.clone(), &array.values[..]));
            }
        }
        for (group, moments) in ["moment1", "moment2"].into_iter().zip(&self.moments) {
            for (name, values) in moments {
                arrays.push((format!("{group}/{name}"), vec![values.len()], &values[..]));
            }
        }
        arrays
    }

    fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        let Checkpoint { steps, validation_is_due, validations, loss_scale, .. } = self;
        hasher.update(format!("{steps} {validation_is_due} {validations:?} {loss_scale:?} "));
        for (name, shape, values) in self.arrays() {
            hasher.update(format!("{name} {shape:?} "));
            hasher.update(little_endian(values));
        }
        hex::encode(hasher.finalize())
    }
}

/// Removes the unfinished files of a killed process.
pub fn remove_leftovers(run: &Path) {
    // A leftover that cannot be removed does no harm.
    let _ = fs::remove_file(run.join(format!("{LAST}.part")));
    files::remove_parts(run, Duration::ZERO);
}

/// Returns the additional disk space that the checkpoints and the best bundle of a run need, in bytes.
/// Two checkpoints are kept, and each is written whole before it replaces another.
pub fn needed_bytes(run: &Path, network: &UNetConfig) -> u64 {
    let count =
        |network: &UNetConfig| parameters(network).iter().map(Parameter::len).sum::<usize>();
    let bundle = 4 * count(&network.for_inference()) as u64;
    // Weights and two moments; the averaged weights are those of the bundle.
    let checkpoint = 12 * count(network) as u64 + bundle;
    let num_missing = [LAST, PREVIOUS].iter().filter(|name| !run.join(name).exists()).count();
    (num_missing as u64 + 1) * checkpoint + bundle
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use burn::tensor::FloatDType;
    use model_core::nets::Precision;

    use super::*;
    use crate::initial::initial_weights;

    fn network() -> UNetConfig {
        UNetConfig::preset("demo", 1, 2).unwrap()
    }

    fn checkpoint(steps: usize) -> Checkpoint {
        let moments = BTreeMap::from([("head.bias".to_string(), vec![0.5, -1.0])]);
        Checkpoint {
            steps,
            validation_is_due: true,
            validations: vec![(1, 0.6872903225806451), (steps, 1.0 + steps as f64 / 7.0)],
            weights: initial_weights(&network(), 1),
            average: initial_weights(&network(), 2),
            moments: [moments.clone(), moments],
            loss_scale: LossScale::default().resumed(Precision::mixed(FloatDType::F16)),
        }
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("rewind-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn the_first_of_the_best_validations_is_the_best() {
        assert_eq!(best(&[]), None);
        let found = best(&[(5, 0.25), (10, 0.75), (15, 0.5), (20, 0.75)]);
        assert_eq!(found, Some(Best { steps: 10, dice: 0.75 }));
    }

    #[test]
    fn checkpoints_are_read_back_exactly() {
        let run = folder("exact");
        assert_eq!(Checkpoint::newest(&run, &network()).unwrap(), None);
        checkpoint(10).save(&run).unwrap();
        checkpoint(20).save(&run).unwrap();
        assert_eq!(Checkpoint::newest(&run, &network()).unwrap(), Some(checkpoint(20)));
        let previous = Checkpoint::read(&run.join(PREVIOUS), &network()).unwrap();
        assert_eq!(previous, checkpoint(10));
        fs::remove_dir_all(run).unwrap();
    }

    #[test]
    fn a_damaged_checkpoint_is_refused_and_the_one_before_it_is_kept() {
        let run = folder("damaged");
        checkpoint(10).save(&run).unwrap();
        checkpoint(20).save(&run).unwrap();
        let whole = fs::read(run.join(LAST)).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for bytes in [&flipped[..], &whole[..whole.len() / 2], &[][..], b"not a checkpoint"] {
            fs::write(run.join(LAST), bytes).unwrap();
            let error = Checkpoint::newest(&run, &network()).unwrap_err().to_string();
            assert!(error.contains("last.safetensors cannot be used"), "{error}");
            assert!(error.contains("remove") && error.contains("step 10"), "{error}");
        }
        fs::remove_file(run.join(LAST)).unwrap();
        assert_eq!(Checkpoint::newest(&run, &network()).unwrap(), Some(checkpoint(10)));
        fs::remove_dir_all(run).unwrap();
    }

    #[test]
    fn the_error_for_another_version_names_it_and_the_remedy() {
        let run = folder("version");
        checkpoint(10).save(&run).unwrap();
        checkpoint(20).save(&run).unwrap();
        for name in [LAST, PREVIOUS] {
            // The length of the text stays.
            let mut bytes = fs::read(run.join(name)).unwrap();
            let (now, before) = (br#"version\":3"#, br#"version\":2"#);
            let at = bytes.windows(now.len()).position(|part| part == now).unwrap();
            bytes[at..at + now.len()].copy_from_slice(before);
            fs::write(run.join(name), bytes).unwrap();
        }
        let error = format!("{:#}", Checkpoint::newest(&run, &network()).unwrap_err());
        for part in ["last.safetensors", "expected version 3", "found 2", "another --out"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(!error.contains("whole"), "{error}");
        fs::remove_dir_all(run).unwrap();
    }

    #[test]
    fn a_checkpoint_of_another_network_is_refused() {
        let run = folder("another");
        checkpoint(10).save(&run).unwrap();
        let other = UNetConfig::preset("demo", 2, 2).unwrap();
        assert!(Checkpoint::read(&run.join(LAST), &other).is_err());
        fs::remove_dir_all(run).unwrap();
    }
}
