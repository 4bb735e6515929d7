//! Segments scans with a trained model, or with several.
//!
//! One step a module: [`inputs`] finds the scans; of the [`members`] of an ensemble all answer, or
//! one that is chosen by a [`profile`], on the [`backend`] that is asked for, burn's or [`wgsl`]; [`fit`]
//! decides whether a network is shown the full volume or windows of it ([`Tiling`]), also mirrored
//! ([`flips`]); and [`run`] writes every result with its [`record`] to its place.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Context, Result, bail, ensure};
use model_core::kernels::DeviceKind;
use model_core::{
    Bundle, Case, Input, LabelMap, Placement, Task, Tiling, Volume, histograms,
    keep_largest_of_foreground, keep_largest_of_regions, labels_from_probabilities, postprocess,
    preprocess, probabilities, region_probabilities, restore_logits,
};

pub mod backend;
mod channels;
pub mod fit;
pub mod flips;
pub mod inputs;
pub mod measure;
pub mod members;
mod place;
pub mod profile;
pub mod record;
pub mod run;
pub mod settings;
pub mod wgsl;

use backend::Backend;
use fit::{Choice, Extent};
use members::{Member, ModelId};
use profile::{Profile, Selection};
use settings::{Ensemble, Largest, Mode, Settings};

/// One or several models where they run, and how they segment.
pub struct Predictor {
    members: Vec<Member>,
    settings: Settings,
    profile: Option<Profile>,
    backend: Backend,
    most_bytes: Option<u64>,
    /// Voxels of the smallest full volume that the device refused.
    refused: Cell<usize>,
}

/// A segmented case.
pub struct Prediction {
    /// The labels, on the case's grid.
    pub labels: LabelMap,
    /// For each region its probabilities, where they were asked for.
    pub probabilities: Option<Vec<Volume>>,
    /// What each model that ran was shown.
    pub shown: Vec<Choice>,
    /// Which model ran, where one was selected.
    pub selection: Option<Selection>,
}

impl Predictor {
    /// Puts a model on a device of burn's, or on a GPU of the WGSL engine.
    ///
    /// # Errors
    /// When the bundle's weights are not those of its network.
    pub fn new(bundle: Bundle, backend: impl Into<Backend>) -> Result<Predictor> {
        Predictor::of(vec![bundle], Settings::default(), None, backend)
    }

    /// Puts models of one task there; `profile` is what `similarity` and `literal` select by.
    ///
    /// # Errors
    /// For settings that mean nothing, a profile that is missing, not used or of other models, and as
    /// [`Predictor::new`].
    pub fn of(
        bundles: Vec<Bundle>,
        settings: Settings,
        profile: Option<Profile>,
        backend: impl Into<Backend>,
    ) -> Result<Predictor> {
        settings.check()?;
        ensure!(!bundles.is_empty(), "expected at least one model, found none");
        let backend = backend.into();
        let most_bytes = most_bytes(&settings, &backend);
        let members: Vec<Member> = bundles
            .into_iter()
            .map(|bundle| Member::new(bundle, &backend, most_bytes))
            .collect::<Result<_>>()?;
        let profile = match settings.ensemble {
            Ensemble::Mean => {
                ensure!(
                    profile.is_none(),
                    "--profile: expected --ensemble similarity or literal, which select by it, found \
                     mean, which does not"
                );
                None
            }
            rule => {
                let name = format!("{rule:?}").to_lowercase();
                let profile = profile.with_context(|| {
                    format!("--ensemble {name} needs a --profile; `rewind profile` makes one")
                })?;
                let rules: Vec<_> =
                    members.iter().map(|m| m.bundle.card.preprocess.foreground).collect();
                ensure!(
                    rules.iter().all(|rule| *rule == rules[0]),
                    "expected models of one foreground to select among, found {rules:?}"
                );
                let ids: Vec<ModelId> = members.iter().map(|member| member.id.clone()).collect();
                Some(profile.of_models(&ids, rules[0])?)
            }
        };
        for member in &members {
            let known = settings.window.or(member.bundle.card.provenance.patch);
            ensure!(
                known.is_some() || settings.mode != Mode::Sliding,
                "--mode sliding: the model {} does not tell the patch that it was trained on; name a \
                 --window",
                member.id.name
            );
        }
        let refused = Cell::new(usize::MAX);
        Ok(Predictor { members, settings, profile, backend, most_bytes, refused })
    }

    /// What all members were asked.
    pub fn task(&self) -> &Task {
        &self.members[0].bundle.card.task
    }

    /// The models, in order.
    pub fn ids(&self) -> Vec<ModelId> {
        self.members.iter().map(|member| member.id.clone()).collect()
    }

    /// Segments a case; the result lies on its grid.
    ///
    /// # Errors
    /// When the case cannot be preprocessed, or does not fit in memory even in windows.
    pub fn segment(&self, case: &Case, mut tell: impl FnMut(String)) -> Result<Prediction> {
        let selection = self.select(case)?;
        let running: Vec<&Member> = match &selection {
            Some(selection) => vec![&self.members[selection.chosen]],
            None => self.members.iter().collect(),
        };
        let flips = flips::combinations(self.settings.flips);
        let (num_voxels, count) =
            (case.channels[0].grid().num_voxels(), running.len() * flips.len());
        let (mut shown, mut sum) = (Vec::new(), Vec::new());
        let mut alone = None;
        for (n, member) in running.iter().enumerate() {
            let card = &member.bundle.card;
            let (input, placement) = preprocess(&case.channels, &card.preprocess, &card.network)?;
            let mut choice = self.choose(member, &placement)?;
            for (m, flip) in flips.iter().enumerate() {
                let place = place_of(n * flips.len() + m, count);
                let tell = |text: String| tell(format!("{place}{text}"));
                let mut logits = self.logits(member, &input, *flip, &mut choice, tell)?;
                if count == 1 {
                    alone = Some(postprocess(&logits, self.task(), &placement));
                }
                if count > 1 || self.settings.probabilities {
                    logits = restore_logits(&logits, self.task(), &placement);
                    probabilities(&mut logits, num_voxels, self.task());
                    add(&mut sum, logits);
                }
            }
            shown.push(choice);
        }
        sum.iter_mut().for_each(|p| *p /= count as f32);
        let grid = case.channels[0].grid().clone();
        let mut labels = match alone {
            Some(labels) => labels,
            None => {
                let labels = labels_from_probabilities(&sum, num_voxels, self.task());
                LabelMap::new(grid.clone(), labels)?
            }
        };
        match self.settings.largest {
            Some(Largest::Foreground) => keep_largest_of_foreground(&mut labels),
            Some(Largest::Regions) => keep_largest_of_regions(&mut labels, self.task()),
            None => {}
        }
        let volume = |values| Volume::new(grid.clone(), values);
        let probabilities = self.settings.probabilities.then(|| {
            let regions = region_probabilities(&sum, num_voxels, self.task());
            regions.into_iter().map(volume).collect::<model_core::Result<_>>()
        });
        let probabilities = probabilities.transpose()?;
        Ok(Prediction { labels, probabilities, shown, selection })
    }

    fn select(&self, case: &Case) -> Result<Option<Selection>> {
        let Some(profile) = &self.profile else { return Ok(None) };
        let config = &self.members[0].bundle.card.preprocess;
        let histograms = histograms(&case.channels, config)?;
        Ok(Some(profile.select(&histograms, self.settings.ensemble)?))
    }

    fn choose(&self, member: &Member, placement: &Placement) -> Result<Choice> {
        if let Some(network) = member.on_gpu() {
            return network.choose(&self.settings, &member.bundle, placement.dims());
        }
        let place = if self.backend.is_cpu() { DeviceKind::Cpu } else { DeviceKind::Gpu };
        let num_voxels = placement.dims().iter().product::<usize>();
        if self.settings.mode == Mode::Auto && num_voxels >= self.refused.get() {
            return self.after_refusal(member, placement.dims());
        }
        fit::choose(&self.settings, &member.bundle, placement, place, self.most_bytes)
    }

    fn after_refusal(&self, member: &Member, dims: [usize; 3]) -> Result<Choice> {
        let why = "the device could not run the full volume".into();
        fit::window(&self.settings, &member.bundle, dims, why)
    }

    /// The logits of an input that is mirrored before the network and back behind it.
    fn logits(
        &self,
        member: &Member,
        input: &Input,
        flips: [bool; 3],
        choice: &mut Choice,
        mut tell: impl FnMut(String),
    ) -> Result<Vec<f32>> {
        let flipped = Input {
            values: flips::flipped(&input.values, input.dims, flips),
            ..Input { values: Vec::new(), ..*input }
        };
        if choice.extent == Extent::FullVolume {
            tell(String::new());
            match self.full(member, &flipped, &mut tell)? {
                Some(logits) => {
                    choice.plan = member.planned();
                    return Ok(flips::flipped(&logits, input.dims, flips));
                }
                None => *choice = self.after_refusal(member, input.dims)?,
            }
        }
        let Extent::SlidingWindow { window, overlap } = choice.extent else {
            bail!(
                "the device could not run the full volume, nor would a window be smaller; name a --window"
            )
        };
        let tiling = Tiling::new(input.dims, window, overlap);
        let count = tiling.num_tiles();
        let logits = tiling.run(
            &flipped,
            self.task().num_outputs(),
            |window| member.logits(window, &mut |_| {}),
            |number| tell(format!(", window {} of {count}", number + 1)),
        )?;
        choice.plan = member.planned();
        Ok(flips::flipped(&logits, input.dims, flips))
    }

    /// The logits of a full volume; none where the device cannot run it. A graphics card does not
    /// tell what it has free: in `auto` alone it is tried, and burn reports its refusal by a panic.
    fn full(
        &self,
        member: &Member,
        input: &Input,
        tell: &mut dyn FnMut(String),
    ) -> Result<Option<Vec<f32>>> {
        let is_told = self.backend.is_cpu() || member.on_gpu().is_some();
        let mut run = || member.logits(input, tell);
        if self.settings.mode != Mode::Auto || is_told {
            return run().map(Some);
        }
        let logits = catch_unwind(AssertUnwindSafe(run)).ok();
        if logits.is_none() {
            let num_voxels = input.dims.iter().product::<usize>();
            self.refused.set(self.refused.get().min(num_voxels));
        }
        logits.transpose()
    }
}

/// What may be held: what is asked for, or what the machine has free, from which a GPU without memory
/// of its own takes too. burn's GPUs are tried; and `full` is, whatever it takes.
fn most_bytes(settings: &Settings, backend: &Backend) -> Option<u64> {
    let is_bound = match backend {
        Backend::Burn(_) => backend.is_cpu(),
        Backend::Wgsl(_) => settings.mode != Mode::Full,
    };
    settings.memory_bytes.or_else(|| if is_bound { fit::free_bytes() } else { None })
}

/// For the bar, where a case takes several passes.
fn place_of(pass: usize, count: usize) -> String {
    if count == 1 { String::new() } else { format!(", pass {} of {count}", pass + 1) }
}

fn add(sum: &mut Vec<f32>, values: Vec<f32>) {
    match sum.is_empty() {
        true => *sum = values,
        false => sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
    }
}
