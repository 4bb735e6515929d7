//! The settings of a training run: `train.toml`. Every field has a default, so a file needs only
//! the settings that it changes. `rewind train --print-config` prints all settings, with the doc
//! comments of the fields as their descriptions.

use std::path::PathBuf;

use documented::DocumentedFields;
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
mod tables;

pub use augment::{AUGMENTATIONS, AugmentSettings};
pub use group_by::{BY_CASE, check_group_by, patient_pattern};
pub use precision::{Float, Precision, default_stream, describe, precision};
pub use print::printed;
pub use read::{RECIPES, Sources};
pub use steps_or_epochs::StepsOrEpochs;

/// All settings that determine the result of a run, besides the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// The recipe that the settings start from: "modern" (the defaults), or that of a paper:
    /// "pendse", "brugger" or "invres". The other settings of a file override it, and so do the
    /// options of the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// A network by name; `rewind train --help` lists the names. A `[network]` table without widths
    /// changes the preset, one with widths replaces it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// The source of activations in the backward pass: "reversible" (blocks are rewound from their
    /// outputs), "non_reversible" (everything is stored) or "checkpointed" (every √n-th layer is
    /// stored). The result is the same, memory and time are not. By default that of the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backward: Option<BackwardMode>,
    /// The precision of the layers in training: "f32", "bf16" or "f16" (with dynamic loss scaling).
    /// Weights, their gradients, the optimizer's moments, norms and losses are always f32, and so
    /// are validation and export.
    pub precision: Float,
    /// The type of the residual streams of reversible blocks: "f32", or the same as `precision`,
    /// which takes less memory but drifts when blocks are rewound, the more the longer a sequence of
    /// blocks is. By default the same as `precision` where no sequence has more than five blocks,
    /// otherwise f32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<Float>,
    /// The seed of the split, the initial weights and all random numbers.
    pub seed: u64,
    /// The seed of the split alone, so that runs with different initial weights can share a split. By
    /// default `seed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_seed: Option<u64>,
    /// The cases that are held out for validation: below 1 a fraction, from 1 on a number. With 0
    /// the training cases are measured, which says nothing about other cases.
    pub held_out: f64,
    /// The number of folds of a cross-validation, instead of `held_out`; 0 for none. Without
    /// `fold`, `rewind train` trains all folds, one after the other.
    pub folds: usize,
    /// The fold that is held out, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// A regular expression whose first group, or else match, is the patient in a case's name;
    /// "case" if each case is a patient. All cases of a patient are on the same side of a split. By
    /// default the column `patient` of a CSV, or the naming schemes of BraTS, UPENN-GBM, UCSF-PDGM,
    /// TCGA, BIDS and follow-ups. Cases with equal images count as one patient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_by: Option<String>,
    /// The length of the training: optimizer steps, or passes through the training cases, as
    /// "250 epochs". All lengths below can be given in either form.
    pub steps: StepsOrEpochs,
    /// The patches that pass through the network at once.
    pub batch: usize,
    /// The number of batches whose gradients are averaged for a step: a larger batch in the memory
    /// of a small one.
    pub accumulate: usize,
    /// The patches that an epoch draws from each case.
    pub patches_per_case: usize,
    /// The voxels of a patch along right, front, top.
    pub patch: [usize; 3],
    /// Whether a patch is the middle of its case, cut or padded to `patch`, instead of a random
    /// crop. A case that is not larger than `patch` is used as a whole.
    pub full_volume: bool,
    /// The fraction of the patches that is centered on a foreground voxel, with the same
    /// probability for each label.
    pub foreground_fraction: f64,
    /// The loss: "dice_ce" (one minus Dice, plus cross-entropy), "dice" (the sum of one minus Dice
    /// over regions), "focal" or "dice_focal".
    pub loss: LossKind,
    /// The optimizer: "adamw" (decoupled weight decay of weights only) or "adam" (weight decay as a
    /// part of the gradient of every parameter).
    pub optimizer: Optimizer,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// The time in which the learning rate rises to its maximum.
    pub warm_up: StepsOrEpochs,
    /// The decrease of the learning rate after the warm-up: "polynomial", "cosine", "steps" (at
    /// milestones) or "constant".
    pub decay: Decay,
    /// The times at which the learning rate drops with `decay = "steps"`, such as
    /// ["250 epochs", "400 epochs"].
    pub milestones: Vec<StepsOrEpochs>,
    /// The factor of the learning rate at each milestone.
    pub milestone_factor: f64,
    /// The weight decay of the optimizer; 0 for none.
    pub weight_decay: f64,
    /// The largest norm of the gradient; a longer gradient is scaled down. 0 turns this off.
    pub clip_norm: f64,
    /// The validated and exported weights are a moving average of the trained weights, with this
    /// factor per step; 0 turns this off.
    pub average: f64,
    /// The interval of validations on the held-out cases.
    pub validate_every: StepsOrEpochs,
    /// The length of the moving average of the validations' Dice for `stop_after`.
    pub smooth_over: StepsOrEpochs,
    /// Training stops early if the average of Dice has not risen for this time. By default it never
    /// stops early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<StepsOrEpochs>,
    /// The interval of checkpoints. Each validation is also followed by a checkpoint.
    pub checkpoint_every: StepsOrEpochs,
    /// The interval of rows in metrics.csv.
    pub log_every: StepsOrEpochs,
    /// The interval of drift measurements; 0 for never. A measurement compares the recovered input
    /// of every rewound sequence with the stored input on one patch. The largest relative error is
    /// a column of metrics.csv, and above 0.02 a warning.
    pub drift_every: StepsOrEpochs,
    /// Whether two runs write the same bytes. Devices that do not guarantee this are refused, and
    /// no times are written. On the CPU the numbers are always the same.
    pub deterministic: bool,
    /// The folder of preprocessed cases, which runs share: a new or empty folder, or one that
    /// Rewind created. It is always safe to remove. By default in the user's cache folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// The memory for preprocessed cases. Further cases are read from the cache.
    pub memory_gib: f64,
    /// The threads that prepare patches while the device trains; 0 for a number that suits the
    /// machine.
    pub workers: usize,
    /// A network in full, instead of a preset, or changes of the preset. Input and output channels
    /// are those of the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkSettings>,
    /// A variational branch that reconstructs the input from the bottleneck, in training only. An
    /// empty `[vae]` is the branch of the 2022 paper; `vae = false` removes that of a recipe.
    #[serde(deserialize_with = "partial::table_or_false", skip_serializing_if = "Option::is_none")]
    pub vae: Option<Vae>,
    /// The preprocessing of scans, which is stored in the model. Skull-stripped scans (BraTS, the
    /// phantoms) need `foreground = "nonzero"` with `crop = true`. It is never derived from the
    /// voxels, because the background can be a constant other than zero.
    #[serde(deserialize_with = "partial::over_default")]
    pub preprocess: PreprocessConfig,
    /// Random changes of the patches; an amount of 0 turns a change off. Changes of intensities are
    /// drawn for each channel separately. They do not change voxels that are 0 in every channel
    /// (background).
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
            stream: None,
            seed: 0,
            split_seed: None,
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

/// A loss. Regions have sigmoids, exclusive labels a softmax. Dice is the soft Dice, smoothed by 1,
/// with plain sums, not squares, in the denominator; for exclusive labels it excludes the
/// background.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// One minus Dice, averaged over regions or labels, plus cross-entropy, averaged over voxels
    /// and regions, as nnU-Net does (Isensee et al. 2021).
    DiceCe,
    /// The sum, not the mean, of one minus Dice over regions or labels (Brügger et al. 2019,
    /// section 2, "Training"; details that the paper omits follow its code).
    Dice,
    /// Focal loss, averaged like cross-entropy, with γ = 2, and for regions α = 0.25 (Lin et al.
    /// 2017). Exclusive labels use the multi-class form without α.
    Focal,
    /// `dice_ce` with focal loss instead of cross-entropy, a sum as in AnatomyNet (Zhu et al.
    /// 2019).
    DiceFocal,
}

/// An optimizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Adam with weight decay as L2 regularization, added to the gradient of every parameter
    /// (Kingma and Ba 2015, as in PyTorch).
    Adam,
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019) of weights, without norms and
    /// biases.
    Adamw,
}

/// The decrease of the learning rate after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// (1 − t)^0.9 with t from 0 to 1, as in nnU-Net.
    Polynomial,
    /// Half a cosine wave.
    Cosine,
    /// A factor at each milestone.
    Steps,
    /// No decrease.
    Constant,
}
