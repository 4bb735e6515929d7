//! One or several models, and the segmentation of a case by them.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Context, Result, bail, ensure};
use model_core::{
    Bundle, Case, Input, LabelMap, Placement, Task, Tiling, Volume, histograms,
    keep_largest_of_foreground, keep_largest_of_regions, labels_from_probabilities, postprocess,
    preprocess, probabilities, region_probabilities, restore_logits,
};

use crate::backend::Backend;
use crate::extent::{self, ChosenExtent, Extent};
use crate::flips;
use crate::members::{Member, ModelId};
use crate::profile::{Profile, Selection};
use crate::settings::{Ensemble, LargestComponent, Mode, Settings};

/// One or several models on a device, with the settings of their predictions.
pub struct Predictor {
    pub(super) members: Vec<Member>,
    pub(super) settings: Settings,
    profile: Option<Profile>,
    pub(super) backend: Backend,
    max_bytes: Option<u64>,
    /// The voxels of the smallest full volume that the device could not run.
    failed_voxels: Cell<Option<usize>>,
}

/// A segmented case.
pub struct Prediction {
    /// The labels, on the case's grid.
    pub labels: LabelMap,
    /// The probabilities of each region, if the settings ask for them.
    pub probabilities: Option<Vec<Volume>>,
    /// The extent of each model that ran.
    pub extents: Vec<ChosenExtent>,
    /// The selected model, if the ensemble selects one.
    pub selection: Option<Selection>,
}

impl Predictor {
    /// Loads a model onto a device, with the default settings.
    ///
    /// # Errors
    /// Errors if the bundle's weights are not those of its network.
    pub fn new(bundle: Bundle, backend: impl Into<Backend>) -> Result<Predictor> {
        Predictor::ensemble(vec![bundle], Settings::default(), None, backend)
    }

    /// Loads the models of one task onto a device. The ensembles `similarity` and `literal` select
    /// a model by the profile.
    ///
    /// # Errors
    /// Errors if a setting is out of range, if the profile is missing, unused or of other models,
    /// and as [`Predictor::new`].
    pub fn ensemble(
        bundles: Vec<Bundle>,
        settings: Settings,
        profile: Option<Profile>,
        backend: impl Into<Backend>,
    ) -> Result<Predictor> {
        settings.check()?;
        ensure!(!bundles.is_empty(), "expected at least one model, found none");
        let backend = backend.into();
        let max_bytes = max_bytes(&settings, &backend);
        let members: Vec<Member> = bundles
            .into_iter()
            .map(|bundle| Member::new(bundle, &backend, max_bytes))
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
                let foregrounds: Vec<_> =
                    members.iter().map(|m| m.bundle.card.preprocess.foreground).collect();
                ensure!(
                    foregrounds.iter().all(|foreground| *foreground == foregrounds[0]),
                    "expected models of one foreground to select among, found {foregrounds:?}"
                );
                let ids: Vec<ModelId> = members.iter().map(|member| member.id.clone()).collect();
                Some(profile.for_models(&ids, foregrounds[0])?)
            }
        };
        for member in &members {
            let tile_dims = settings.tile_dims.or(member.bundle.card.provenance.patch);
            ensure!(
                tile_dims.is_some() || settings.mode != Mode::Tiles,
                "--mode tiles: the model {} does not state its training patch; give a --tile",
                member.id.name
            );
        }
        let failed_voxels = Cell::new(None);
        Ok(Predictor { members, settings, profile, backend, max_bytes, failed_voxels })
    }

    /// Returns the models' task.
    pub fn task(&self) -> &Task {
        &self.members[0].bundle.card.task
    }

    /// Returns the models' identities, in order.
    pub fn ids(&self) -> Vec<ModelId> {
        self.members.iter().map(|member| member.id.clone()).collect()
    }

    /// Segments a case. The result is on the case's grid. `on_progress` receives texts about the
    /// progress, each the continuation of the case's name.
    ///
    /// # Errors
    /// Errors if the case cannot be preprocessed, or if not even tiles of it fit in memory.
    pub fn segment(&self, case: &Case, mut on_progress: impl FnMut(String)) -> Result<Prediction> {
        let selection = self.select(case)?;
        let running: Vec<&Member> = match &selection {
            Some(selection) => vec![&self.members[selection.chosen]],
            None => self.members.iter().collect(),
        };
        let flips = flips::combinations(self.settings.flips);
        let num_voxels = case.grid().num_voxels();
        let num_passes = running.len() * flips.len();
        let (mut extents, mut probability_sum) = (Vec::new(), Vec::new());
        let mut single_pass_labels = None;
        for (n, member) in running.iter().enumerate() {
            let card = &member.bundle.card;
            let (input, placement) = preprocess(case.channels(), &card.preprocess, &card.network)?;
            let mut chosen = self.choose_extent(member, &placement)?;
            for (m, flip) in flips.iter().enumerate() {
                let pass = pass_text(n * flips.len() + m, num_passes);
                let on_progress = |text: String| on_progress(format!("{pass}{text}"));
                let mut logits = self.logits(member, &input, *flip, &mut chosen, on_progress)?;
                if num_passes == 1 {
                    single_pass_labels = Some(postprocess(&logits, self.task(), &placement));
                }
                if num_passes > 1 || self.settings.probabilities {
                    logits = restore_logits(&logits, self.task(), &placement);
                    probabilities(&mut logits, num_voxels, self.task());
                    add(&mut probability_sum, logits);
                }
            }
            extents.push(chosen);
        }
        probability_sum.iter_mut().for_each(|p| *p /= num_passes as f32);
        let mean_probabilities = probability_sum;
        let grid = case.grid().clone();
        let mut labels = match single_pass_labels {
            Some(labels) => labels,
            None => {
                let labels =
                    labels_from_probabilities(&mean_probabilities, num_voxels, self.task());
                LabelMap::new(grid.clone(), labels)?
            }
        };
        match self.settings.largest_component {
            Some(LargestComponent::Foreground) => keep_largest_of_foreground(&mut labels),
            Some(LargestComponent::Regions) => keep_largest_of_regions(&mut labels, self.task()),
            None => {}
        }
        let volume = |values| Volume::new(grid.clone(), values);
        let probabilities = self.settings.probabilities.then(|| {
            let mut regions = region_probabilities(&mean_probabilities, num_voxels, self.task());
            // That of one model says nothing about the mean of several.
            if let [member] = running[..]
                && let Some(calibration) = &member.bundle.card.calibration
            {
                let regions = regions.iter_mut().enumerate();
                regions.for_each(|(region, values)| calibration.apply(region, values));
            }
            regions.into_iter().map(volume).collect::<model_core::Result<_>>()
        });
        let probabilities = probabilities.transpose()?;
        Ok(Prediction { labels, probabilities, extents, selection })
    }

    fn select(&self, case: &Case) -> Result<Option<Selection>> {
        let Some(profile) = &self.profile else { return Ok(None) };
        let config = &self.members[0].bundle.card.preprocess;
        let histograms = histograms(case.channels(), config)?;
        Ok(Some(profile.select(&histograms, self.settings.ensemble)?))
    }

    fn choose_extent(&self, member: &Member, placement: &Placement) -> Result<ChosenExtent> {
        if let Some(network) = member.wgsl_network() {
            return network.choose(&self.settings, &member.bundle, placement.dims());
        }
        let num_voxels = placement.dims().iter().product::<usize>();
        let has_failed = self.failed_voxels.get().is_some_and(|failed| num_voxels >= failed);
        if self.settings.mode == Mode::Auto && has_failed {
            return self.tiles_after_failure(member, placement.dims());
        }
        let network = &member.bundle.card.network;
        let other_bytes = extent::other_bytes(network, placement);
        let pass_bytes = |dims| match member.cpu_network() {
            Some(cpu) => {
                cpu.limit(self.max_bytes.map(|max| max.saturating_sub(other_bytes)));
                cpu.pass_bytes(network, dims)
            }
            None => extent::gpu_pass_bytes(network, dims),
        };
        let needed_bytes = |dims| Ok(other_bytes.saturating_add(pass_bytes(dims)?));
        let dims = placement.dims();
        extent::choose(&self.settings, &member.bundle, dims, self.max_bytes, &needed_bytes)
    }

    fn tiles_after_failure(&self, member: &Member, dims: [usize; 3]) -> Result<ChosenExtent> {
        let reason = "the device could not run the full volume".into();
        extent::tiles(&self.settings, &member.bundle, dims, reason)
    }

    /// Computes the logits of an input that is mirrored, and mirrors them back. Updates `chosen`
    /// with what ran.
    fn logits(
        &self,
        member: &Member,
        input: &Input,
        flips: [bool; 3],
        chosen: &mut ChosenExtent,
        mut on_progress: impl FnMut(String),
    ) -> Result<Vec<f32>> {
        let flipped = Input {
            values: flips::flip(&input.values, input.dims, flips),
            ..Input { values: Vec::new(), ..*input }
        };
        if chosen.extent == Extent::FullVolume {
            on_progress(String::new());
            match self.full_volume_logits(member, &flipped, &mut on_progress)? {
                Some(logits) => {
                    chosen.plan = member.last_plan();
                    return Ok(flips::flip(&logits, input.dims, flips));
                }
                None => *chosen = self.tiles_after_failure(member, input.dims)?,
            }
        }
        let Extent::Tiles { tile_dims, overlap } = chosen.extent else {
            bail!(
                "the device could not run the full volume, and a tile would not be smaller; give a \
                 smaller --tile"
            )
        };
        let tiling = Tiling::new(input.dims, tile_dims, overlap);
        let num_tiles = tiling.num_tiles();
        let logits = tiling.run(
            &flipped,
            self.task().num_outputs(),
            |tile| member.logits(tile, &mut |_| {}),
            |number| on_progress(format!(", tile {} of {num_tiles}", number + 1)),
        )?;
        chosen.plan = member.last_plan();
        Ok(flips::flip(&logits, input.dims, flips))
    }

    /// Computes the logits of a full volume. Returns `None` if the device cannot run it.
    ///
    /// A graphics card does not report its free memory to burn. So in the mode `auto` the full
    /// volume is tried, and burn's panic is caught if the memory does not suffice.
    fn full_volume_logits(
        &self,
        member: &Member,
        input: &Input,
        on_progress: &mut dyn FnMut(String),
    ) -> Result<Option<Vec<f32>>> {
        let is_memory_known = !matches!(self.backend, Backend::Burn(_));
        let mut run = || member.logits(input, on_progress);
        if self.settings.mode != Mode::Auto || is_memory_known {
            return run().map(Some);
        }
        let logits = catch_unwind(AssertUnwindSafe(run)).ok();
        if logits.is_none() {
            let num_voxels = input.dims.iter().product::<usize>();
            let smallest = self.failed_voxels.get().map_or(num_voxels, |n| n.min(num_voxels));
            self.failed_voxels.set(Some(smallest));
        }
        logits.transpose()
    }
}

/// Returns the memory limit: that of the settings, or the machine's free memory, which a GPU
/// without its own memory shares. Returns `None` for burn's GPUs, and for the mode `full` on the
/// WGSL engine.
fn max_bytes(settings: &Settings, backend: &Backend) -> Option<u64> {
    let is_limited = match backend {
        Backend::Cpu => true,
        Backend::Burn(_) => false,
        Backend::Wgsl(_) => settings.mode != Mode::Full,
    };
    settings.memory_bytes.or_else(|| if is_limited { extent::free_bytes() } else { None })
}

/// Describes a pass in the progress of a case, if the case takes several.
fn pass_text(pass: usize, num_passes: usize) -> String {
    if num_passes == 1 { String::new() } else { format!(", pass {} of {num_passes}", pass + 1) }
}

fn add(sum: &mut Vec<f32>, values: Vec<f32>) {
    match sum.is_empty() {
        true => *sum = values,
        false => sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
    }
}
