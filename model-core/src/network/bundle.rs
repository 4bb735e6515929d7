//! A trained model as one safetensors file that other software can open. Its metadata holds
//! everything that is needed to use the model.

use std::collections::HashMap;

use half::f16;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::metrics::Calibration;
use crate::network::weights::{Array, Weights, check_weights};
use crate::{Error, PreprocessConfig, Result, Task, UNetConfig, from_json, texts};

/// The version that this code writes, and the highest that it reads.
pub const BUNDLE_VERSION: u32 = 2;

/// Upper bound of a bundle's size, above every network of the field.
pub const MAX_BUNDLE_BYTES: u64 = 1 << 30;

/// Upper bound of the scores of a card: one per region.
const MAX_SCORES: usize = 255;

/// Upper bound of the known failures of a card.
const MAX_FAILURES: usize = 32;

/// Upper bound of a patch's axis: the longest axis of NIfTI-1.
const MAX_PATCH: usize = 32_767;

/// The only key of the metadata. Its value is the [`Card`] and the checksum, as JSON.
const METADATA_KEY: &str = "rewind";

/// A trained model.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// Description and origin of the model.
    pub card: Card,
    /// Parameters of the network.
    pub weights: Weights,
}

/// Description of a model: its task, network, preprocessing and origin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The model's name, as the page shows it.
    pub name: String,
    /// A sentence that the user must read before trusting a result; empty if there is none.
    #[serde(default)]
    pub warning: String,
    /// The task that the model was trained for.
    pub task: Task,
    /// The network.
    pub network: UNetConfig,
    /// Preprocessing from scan to network input.
    pub preprocess: PreprocessConfig,
    /// What the model is known to do wrong, each a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_failures: Vec<String>,
    /// How probabilities become frequencies; `None` if that was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Origin of the model.
    pub provenance: Provenance,
}

/// Origin of a model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of the code that trained it.
    pub code_version: String,
    /// The data set's name.
    pub data: String,
    /// The data set's license.
    #[serde(rename = "licence")]
    pub license: String,
    /// SHA-256 over the data set's files, in hexadecimal.
    pub data_fingerprint: String,
    /// Number of training cases.
    pub training_cases: usize,
    /// Number of optimizer steps.
    pub steps: usize,
    /// Voxels along right, front and top of the training patches, if known: the natural size of an
    /// inference tile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<[usize; 3]>,
    /// The probability with which the training left out a channel of a patch. Above 0 the network
    /// tolerates missing channels.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub channel_dropout: f64,
    /// Scores on held-out cases, by region.
    pub held_out: Vec<Score>,
    /// The folds of a cross-validation with the same settings, whose held-out cases have these scores;
    /// 0 if the cases were held out from the training of this model.
    #[serde(default, skip_serializing_if = "is_no_fold")]
    pub folds: usize,
    /// Whether the best of several validations on these cases chose the weights. The scores are
    /// then a little higher than those of new cases.
    #[serde(default = "yes")]
    pub chosen_by_held_out: bool,
}

/// Default for bundles without the field: most of them chose weights this way.
fn yes() -> bool {
    true
}

fn is_no_fold(folds: &usize) -> bool {
    *folds == 0
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// One region's score on held-out cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The region's name.
    pub region: String,
    /// Mean Dice over the cases.
    pub dice: f64,
    /// Standard deviation of Dice over the cases, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dice_deviation: Option<f64>,
    /// Median HD95 over the cases, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hd95_mm: Option<f64>,
    /// Number of cases.
    pub n: usize,
}

/// The JSON in the file's metadata.
#[derive(Serialize, Deserialize)]
struct Metadata {
    version: u32,
    card: Card,
    /// SHA-256 over the tensors, in hexadecimal: see [`Bundle::hash`].
    sha256: String,
}

impl Bundle {
    /// Writes a `.safetensors` file in f32.
    ///
    /// # Errors
    /// [`Error::Network`] if the weights are not those of the card's network; the errors of
    /// [`Card::check`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.card.check()?;
        check_weights(&self.card.network, &self.weights)?;
        let sha256 = self.hash();
        self.store(sha256, Dtype::F32, little_endian)
    }

    /// Writes a `.safetensors` file in f16: the file of [`Bundle::rounded_to_f16`].
    ///
    /// # Errors
    /// The errors of [`Bundle::to_bytes`]; also if a weight exceeds the range of f16 (65504).
    pub fn to_f16_bytes(&self) -> Result<Vec<u8>> {
        let rounded = self.rounded_to_f16();
        rounded.card.check()?;
        check_weights(&rounded.card.network, &rounded.weights)?;
        let halves = |values: &[f32]| {
            values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect::<Vec<u8>>()
        };
        rounded.store(rounded.hash(), Dtype::F16, halves)
    }

    /// Rounds every weight to f16. A file in f16 is used and hashed as these values.
    pub fn rounded_to_f16(&self) -> Bundle {
        let mut rounded = self.clone();
        let values = rounded.weights.values_mut().flat_map(|array| &mut array.values);
        values.for_each(|value| *value = f16::from_f32(*value).to_f32());
        rounded
    }

    fn store(&self, sha256: String, dtype: Dtype, bytes: fn(&[f32]) -> Vec<u8>) -> Result<Vec<u8>> {
        let metadata = Metadata { version: BUNDLE_VERSION, card: self.card.clone(), sha256 };
        let json = serde_json::to_string(&metadata).expect("a card is plain data");
        let bytes: Vec<(&String, &Array, Vec<u8>)> = (self.weights.iter())
            .map(|(name, array)| (name, array, bytes(&array.values)))
            .collect();
        let tensors = bytes.iter().map(|(name, array, bytes)| {
            let view = TensorView::new(dtype, array.shape.clone(), bytes);
            (name.as_str(), view.expect("check_weights compared shape and length"))
        });
        let metadata = HashMap::from([(METADATA_KEY.to_string(), json)]);
        safetensors::serialize(tensors, Some(metadata))
            .map_err(|e| Error::bundle("valid tensors", e))
    }

    /// Reads a bundle and checks it completely: sizes, card, configuration, weights, checksum.
    ///
    /// # Errors
    /// [`Error::Bundle`], [`Error::Task`], [`Error::Network`] or [`Error::TooLarge`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Bundle> {
        let found_bytes = bytes.len() as u64;
        if found_bytes > MAX_BUNDLE_BYTES {
            let limit_bytes = MAX_BUNDLE_BYTES;
            return Err(Error::TooLarge { what: "the bundle", limit_bytes, found_bytes });
        }
        let not_safetensors = |e| Error::bundle("a complete safetensors file", format!("{e}"));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(not_safetensors)?;
        let json = (header.metadata().as_ref())
            .and_then(|metadata| metadata.get(METADATA_KEY))
            .ok_or_else(|| Error::bundle("Rewind's card in the metadata", "none"))?;
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let unreadable = |e| Error::bundle("a card as this version writes it", format!("{e}"));
        let Version { version } = from_json(json).map_err(unreadable)?;
        if version == 0 || version > BUNDLE_VERSION {
            let expected =
                format!("version 1 to {BUNDLE_VERSION} (a newer Rewind reads newer ones)");
            return Err(Error::bundle(expected, version));
        }
        let metadata: Metadata = from_json(json).map_err(unreadable)?;
        let card = metadata.card;
        card.check()?;
        let tensors = SafeTensors::deserialize(bytes).map_err(not_safetensors)?;
        let mut weights = Weights::new();
        for (name, view) in tensors.iter() {
            let values = match view.dtype() {
                Dtype::F32 => numbers(view.data(), f32::from_le_bytes),
                Dtype::F16 => numbers(view.data(), |b| f16::from_le_bytes(b).to_f32()),
                other => {
                    let found = format!("{other:?} in {name}");
                    return Err(Error::bundle("tensors of type F32 or F16", found));
                }
            };
            weights.insert(name.to_string(), Array { shape: view.shape().to_vec(), values });
        }
        check_weights(&card.network, &weights)?;
        let bundle = Bundle { card, weights };
        let hash = bundle.hash();
        if hash != metadata.sha256 {
            let expected = format!("tensors with SHA-256 {}", metadata.sha256);
            return Err(Error::bundle(expected, format!("{hash}: the file is damaged")));
        }
        Ok(bundle)
    }

    /// Returns the SHA-256 over names, shapes and values, in hexadecimal. Share links name the
    /// model by it.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for (name, array) in &self.weights {
            hasher.update(format!("{name} {:?} ", array.shape));
            hasher.update(little_endian(&array.values));
        }
        hex::encode(hasher.finalize())
    }
}

impl Card {
    /// Returns a card without a warning, known failures or a calibration.
    pub fn new(
        name: impl Into<String>,
        task: Task,
        network: UNetConfig,
        preprocess: PreprocessConfig,
        provenance: Provenance,
    ) -> Card {
        let (warning, known_failures, calibration) = (String::new(), Vec::new(), None);
        let name = name.into();
        Card { name, warning, task, network, preprocess, known_failures, calibration, provenance }
    }

    /// Checks that task and network fit together and that all texts can be shown.
    ///
    /// # Errors
    /// [`Error::Bundle`], [`Error::Task`], [`Error::Network`] or [`Error::Geometry`].
    pub fn check(&self) -> Result<()> {
        self.check_texts()?;
        self.provenance.check()?;
        let num_regions = self.task.regions.len();
        if self.calibration.as_ref().is_some_and(|calibration| !calibration.is_valid(num_regions)) {
            let expected = format!("a calibration of {num_regions} regions, in its range");
            return Err(Error::bundle(expected, "another"));
        }
        if self.network != self.network.for_inference() {
            let expected = "a network without the parts that only training has";
            return Err(Error::network(expected, "a variational branch or deep supervision"));
        }
        let expected = (self.task.channels.len(), self.task.num_outputs());
        let found = (self.network.in_channels(), self.network.out_channels());
        if expected != found {
            let text = |(channels, outputs)| format!("{channels} channels and {outputs} outputs");
            return Err(Error::network(text(expected), text(found)));
        }
        Ok(())
    }

    /// Shortens free texts to the lengths that [`Card::check`] accepts. A data set may state a
    /// whole license text, which must not make its training fail.
    pub fn shortened(mut self) -> Card {
        let Provenance { code_version, data, license, data_fingerprint, .. } = &mut self.provenance;
        for name in [&mut self.name, code_version, data_fingerprint] {
            *name = texts::shortened(name, texts::MAX_NAME_CHARS);
        }
        for text in [&mut self.warning, data, license] {
            *text = texts::shortened(text, texts::MAX_TEXT_CHARS);
        }
        self
    }

    fn check_texts(&self) -> Result<()> {
        let Provenance { code_version, data, license, data_fingerprint, .. } = &self.provenance;
        let names = [
            ("a model's name", &self.name),
            ("a version", code_version),
            ("a fingerprint", data_fingerprint),
        ];
        let sentences =
            [("a warning", &self.warning), ("a data set's name", data), ("a license", license)];
        let scored = self.provenance.held_out.iter().map(|score| &score.region);
        let names = names.into_iter().chain(scored.map(|region| ("a region's name", region)));
        let faults = (names.map(|(what, name)| texts::name_fault(what, name)))
            .chain(sentences.map(|(what, text)| texts::text_fault(what, text)));
        if self.known_failures.len() > MAX_FAILURES {
            let expected = format!("at most {MAX_FAILURES} known failures");
            return Err(Error::bundle(expected, self.known_failures.len()));
        }
        let failures = self.known_failures.iter();
        let faults = faults.chain(failures.map(|text| texts::text_fault("a known failure", text)));
        match faults.flatten().next() {
            None => Ok(()),
            Some((expected, found)) => Err(Error::bundle(expected, found)),
        }
    }
}

impl Provenance {
    fn check(&self) -> Result<()> {
        if self.held_out.len() > MAX_SCORES {
            let expected = format!("at most {MAX_SCORES} scores");
            return Err(Error::bundle(expected, self.held_out.len()));
        }
        if let Some(score) = self.held_out.iter().find(|score| !(0.0..=1.0).contains(&score.dice)) {
            return Err(Error::bundle("a Dice from 0 to 1", score.dice));
        }
        let spreads = |score: &Score| [score.dice_deviation, score.hd95_mm];
        let spreads = self.held_out.iter().flat_map(spreads).flatten();
        if let Some(wrong) = spreads.into_iter().find(|spread| !(0.0..=1e6).contains(spread)) {
            return Err(Error::bundle("a deviation and a distance of at least 0", wrong));
        }
        if !(0.0..=1.0).contains(&self.channel_dropout) {
            return Err(Error::bundle("a channel dropout from 0 to 1", self.channel_dropout));
        }
        match self.patch {
            Some(patch) if !patch.iter().all(|n| (1..=MAX_PATCH).contains(n)) => {
                let expected = format!("a patch of 1 to {MAX_PATCH} voxels along each axis");
                Err(Error::bundle(expected, format!("{patch:?}")))
            }
            _ => Ok(()),
        }
    }
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| number(*bytes)).collect()
}
