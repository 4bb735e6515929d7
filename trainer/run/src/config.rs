//! The settings of a training run: `train.toml`. Every field has a default, so that a file names
//! only what it changes. What each means stands in `config/reference.toml` too, which
//! `rewind train --print-config` prints with the settings in force.

use std::path::PathBuf;

use model_core::{BackwardMode, NetworkSettings, PreprocessConfig, Vae};
use serde::{Deserialize, Serialize};

mod augment;
mod check;
mod group_by;
mod network;
mod partial;
mod precision;
mod print;
mod read;
mod steps_or_epochs;

pub use augment::{AUGMENTATIONS, AugmentSettings};
pub use group_by::{BY_CASE, check_group_by, patient_pattern};
pub use precision::{Float, Precision, describe, precision};
pub use print::printed;
pub use read::{RECIPES, Sources};
pub use steps_or_epochs::StepsOrEpochs;

/// Everything that decides the result of a run, besides the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// The recipe that these settings started from, one of [`RECIPES`]; what stands beside it in a
    /// file goes before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// A network by name, one of [`PRESETS`](model_core::network::config::PRESETS); `rewind train --help`
    /// lists them. Left out where `[network]` describes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// What the backward pass keeps of the network, in place of what the network itself says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backward: Option<BackwardMode>,
    /// What the layers compute in while the network is trained. Weights, their gradients, the
    /// optimizer's moments, norms and losses are f32 in any case, and so is what is measured and
    /// exported.
    pub precision: Float,
    /// Of the residual streams of reversible blocks: f32, or as `precision`.
    pub stream: Float,
    /// Decides the split, the initial weights and every draw.
    pub seed: u64,
    /// The cases that are held out for validation: below 1 a fraction, from 1 on a number. With 0
    /// the training cases themselves are measured, which says nothing about others.
    pub held_out: f64,
    /// Parts that the cases are divided into for cross-validation, in place of `held_out`; 0 for
    /// none.
    pub folds: usize,
    /// The part that is held out, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// Whose a case is, since a patient's cases are never on both sides of a split: a regular
    /// expression that finds the patient in a case's name, or `case` for nobody's. Without it the
    /// data set's own word counts, or else how the field names cases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_by: Option<String>,
    /// How long to train.
    pub steps: StepsOrEpochs,
    /// Patches that pass the network at once.
    pub batch: usize,
    /// Batches whose gradients are averaged for a step: a larger batch in the memory of a small one.
    pub accumulate: usize,
    /// Patches that an epoch draws from each case.
    pub patches_per_case: usize,
    /// Voxels of a patch along right, front, top.
    pub patch: [usize; 3],
    /// Whether a patch is the middle of its case, cut or padded to `patch`, and not placed at
    /// random: the whole of a case that is no larger.
    pub full_volume: bool,
    /// The fraction of the patches that is centred on a foreground voxel, each label as often.
    pub foreground_fraction: f64,
    /// What the optimizer lessens.
    pub loss: LossKind,
    /// Who lessens it.
    pub optimizer: Optimizer,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// How long the learning rate rises to its highest.
    pub warm_up: StepsOrEpochs,
    /// How the learning rate falls afterwards.
    pub decay: Decay,
    /// When the learning rate drops, for `decay = "steps"`.
    pub milestones: Vec<StepsOrEpochs>,
    /// What the learning rate is multiplied by at each milestone.
    pub milestone_factor: f64,
    /// Weight decay, as the optimizer takes it; 0 for none.
    pub weight_decay: f64,
    /// The gradient is scaled down to this norm where it is longer; 0 turns that off.
    pub clip_norm: f64,
    /// The validated and exported weights are a moving average of those that are trained, with
    /// this factor a step; 0 turns that off.
    pub average: f64,
    /// How often to validate.
    pub validate_every: StepsOrEpochs,
    /// The moving average of the validations' Dice that `stop_after` looks at reaches so far back.
    pub smooth_over: StepsOrEpochs,
    /// Training ends early when that average has not risen for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<StepsOrEpochs>,
    /// How often to write a checkpoint; a validation is followed by one too.
    pub checkpoint_every: StepsOrEpochs,
    /// How often to write a line of metrics.csv.
    pub log_every: StepsOrEpochs,
    /// How often to measure how far rewinding drifts; 0 for never.
    pub drift_every: StepsOrEpochs,
    /// The same bytes twice: refuses devices that do not promise that, and keeps clocks out of
    /// what is written.
    pub deterministic: bool,
    /// The folder of preprocessed cases, shared by runs; the user's cache folder unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// Preprocessed cases are kept in memory up to this size, and read from the cache beyond it.
    pub memory_gib: f64,
    /// Threads that prepare patches while the device trains; 0 for as many as the machine suits.
    pub workers: usize,
    /// A network in full, instead of a preset; its channels and outputs are the task's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkSettings>,
    /// A variational branch for the network, preset or not; `[vae]` alone gives the one of the 2022
    /// paper. Its patch is that of the training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vae: Option<Vae>,
    /// How a scan becomes the network's input; as it is, unless given. Skull-stripped scans (BraTS,
    /// the phantoms) want `foreground = "nonzero"` with `crop = true`. What a data set needs is
    /// never guessed from its voxels: background can be a constant that is not zero.
    #[serde(deserialize_with = "partial::over_default")]
    pub preprocess: PreprocessConfig,
    /// Random changes of the patches.
    pub augment: AugmentSettings,
}

/// The modern recipe: AdamW with a warm-up, a polynomial decay, clipped gradients and averaged
/// weights.
impl Default for TrainConfig {
    fn default() -> Self {
        TrainConfig {
            recipe: None,
            preset: None,
            backward: None,
            precision: Float::F32,
            stream: Float::F32,
            seed: 0,
            held_out: 0.2,
            folds: 0,
            fold: None,
            group_by: None,
            steps: StepsOrEpochs::Steps(5000),
            batch: 2,
            accumulate: 1,
            patches_per_case: 1,
            patch: [32; 3],
            full_volume: false,
            foreground_fraction: 1.0 / 3.0,
            loss: LossKind::DiceCe,
            optimizer: Optimizer::Adamw,
            learning_rate: 2e-3,
            warm_up: StepsOrEpochs::Steps(50),
            decay: Decay::Polynomial,
            milestones: Vec::new(),
            milestone_factor: 0.2,
            weight_decay: 1e-2,
            clip_norm: 12.0,
            average: 0.99,
            validate_every: StepsOrEpochs::Steps(500),
            smooth_over: StepsOrEpochs::Steps(0),
            stop_after: None,
            checkpoint_every: StepsOrEpochs::Steps(250),
            log_every: StepsOrEpochs::Steps(10),
            drift_every: StepsOrEpochs::Steps(500),
            deterministic: false,
            cache: None,
            memory_gib: 8.0,
            workers: 0,
            network: None,
            vae: None,
            preprocess: PreprocessConfig::default(),
            augment: AugmentSettings::default(),
        }
    }
}

/// What a network's answer is compared with the reference by. Regions are answered by sigmoids,
/// exclusive labels by a softmax; Dice is the soft one, smoothed by 1 and with plain sums, not
/// squares, in the denominator; for exclusive labels background is left out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// One minus Dice, averaged over regions or labels, plus cross-entropy, averaged over voxels
    /// and regions, as nnU-Net does (Isensee et al. 2021).
    DiceCe,
    /// The sum, not the mean, of one minus Dice over regions or labels (Brügger et al. 2019,
    /// section 2, "Training"; what the paper leaves open is as in its code).
    Dice,
    /// Focal loss, averaged as cross-entropy is, with γ = 2 and for regions α = 0.25 (Lin et al.
    /// 2017). For exclusive labels its form for many classes, without α.
    Focal,
    /// As `dice_ce`, with focal loss for cross-entropy; AnatomyNet adds the two so (Zhu et al.
    /// 2019).
    DiceFocal,
}

/// Who steps the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Adam, with weight decay as L2 regularization: added to the gradient of every parameter
    /// (Kingma and Ba 2015, and as the papers' PyTorch does it).
    Adam,
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019), of the weights alone, not of
    /// norms and biases.
    Adamw,
}

/// How the learning rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// As (1 − t)^0.9 with t from 0 to 1, as nnU-Net does.
    Polynomial,
    /// As half a cosine wave.
    Cosine,
    /// By a factor at each milestone.
    Steps,
    /// Not at all.
    Constant,
}
