//! What a network is shown at once: the full volume where it fits in memory, else a window. Decided
//! before it runs, from the plan of a forward pass.

use anyhow::{Context, Result, bail};
use model_core::kernels::DeviceKind;
use model_core::network::memory_estimate::{self, forward_peak_bytes};
use model_core::{Bundle, Placement};
use serde::{Deserialize, Serialize};

use super::settings::{Mode, Settings};
use super::wgsl::{F16_NOTE, Planned};
use model_core::texts::bytes as amount;

/// Stands with every result of a sliding window.
pub const SLIDING_NOTE: &str = "A sliding window is another function than the full volume: the \
     network's norms take their statistics from what they see, so its result differs.";

/// What is left to the system and to other programs.
const SHARE: f64 = 0.9;

/// What a network was shown at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "extent")]
pub enum Extent {
    /// The full volume.
    FullVolume,
    /// Windows, averaged.
    SlidingWindow {
        /// Voxels along right, front, top.
        window: [usize; 3],
        /// The least share of a window that the next one overlaps.
        overlap: f64,
    },
}

/// What a network is shown, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// What.
    #[serde(flatten)]
    pub extent: Extent,
    /// Why.
    pub why: String,
    /// How the WGSL engine ran it, where it was that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Planned>,
}

impl std::fmt::Display for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Extent::FullVolume => write!(f, "full volume"),
            Extent::SlidingWindow { window: [i, j, k], overlap } => {
                write!(f, "sliding window of {i} × {j} × {k} voxels, overlap {overlap}")
            }
        }
    }
}

impl Choice {
    /// What it means for the result, where that is more than rounding.
    pub fn notes(&self) -> Vec<&'static str> {
        let slides = (self.extent != Extent::FullVolume).then_some(SLIDING_NOTE);
        let rounds = self.plan.as_ref().filter(|plan| plan.is_f16()).map(|_| F16_NOTE);
        slides.into_iter().chain(rounds).collect()
    }
}

impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match &self.plan {
            None => self.extent.fmt(f),
            Some(plan) => write!(f, "{}, maps in {}", self.extent, plan.storage),
        }
    }
}

/// Memory that this process may still take, in bytes; none where the system does not tell.
pub fn free_bytes() -> Option<u64> {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let of_machine = system.available_memory();
    let of_group = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    let free = (of_machine.min(of_group) as f64 * SHARE) as u64;
    (of_machine > 0).then_some(free)
}

/// Decides what a model is shown of a scan, within `most_bytes`.
///
/// # Errors
/// When a window is needed and none is known, or not even that fits.
pub fn choose(
    settings: &Settings,
    bundle: &Bundle,
    placement: &Placement,
    place: DeviceKind,
    most_bytes: Option<u64>,
) -> Result<Choice> {
    let dims = placement.dims();
    let full = |why: String| Ok(Choice { extent: Extent::FullVolume, why, plan: None });
    let of_full = needed_bytes(bundle, placement, dims, place)?;
    let why = match (settings.mode, most_bytes) {
        (Mode::Full, _) => return full("as asked for".into()),
        (Mode::Auto, None) => return full("how much memory is free is not known".into()),
        (Mode::Auto, Some(most)) if of_full <= most => {
            return full(format!("needs about {}, may take {}", amount(of_full), amount(most)));
        }
        (Mode::Auto, Some(most)) => {
            format!("the full volume needs about {}, may take {}", amount(of_full), amount(most))
        }
        (Mode::Sliding, _) => "as asked for".into(),
    };
    let sliding = window(settings, bundle, dims, why)?;
    let Extent::SlidingWindow { window, .. } = sliding.extent else { return Ok(sliding) };
    let needed = needed_bytes(bundle, placement, window, place)?;
    match (settings.mode, most_bytes) {
        (Mode::Auto, Some(most)) if needed > most => bail!(
            "a window of {window:?} voxels needs about {}, found {}; name a smaller --window, a \
             larger --memory, or --mode sliding to try it",
            amount(needed),
            amount(most)
        ),
        _ => Ok(sliding),
    }
}

/// The window that is asked for or else the training's, at a size that the network takes.
///
/// # Errors
/// When neither is known.
pub fn window(
    settings: &Settings,
    bundle: &Bundle,
    dims: [usize; 3],
    why: String,
) -> Result<Choice> {
    let wanted = settings.window.or(bundle.card.provenance.patch).with_context(|| {
        format!("{why}; the model does not tell the patch that it was trained on: name a --window")
    })?;
    let taken = bundle.card.network.padded(wanted);
    let window = std::array::from_fn(|axis| taken[axis].min(dims[axis]));
    let overlap = settings.overlap;
    Ok(match window == dims {
        true => {
            let why = format!("the window {wanted:?} holds it");
            Choice { extent: Extent::FullVolume, why, plan: None }
        }
        false => Choice { extent: Extent::SlidingWindow { window, overlap }, why, plan: None },
    })
}

/// What segmenting takes beside the parameters: the scan as it was read, the input and the logits,
/// as they are and mirrored, two copies of the result on the source grid for means, and the forward
/// pass on `shown` voxels.
fn needed_bytes(
    bundle: &Bundle,
    placement: &Placement,
    shown: [usize; 3],
    place: DeviceKind,
) -> Result<u64> {
    let network = &bundle.card.network;
    let settings = memory_estimate::Settings { place, ..memory_estimate::Settings::default() };
    let forward = forward_peak_bytes(network, shown, settings)?;
    let (channels, outputs) = (network.in_channels() as u64, network.out_channels() as u64);
    let on_source = (channels + 2 * outputs) * placement.source().num_voxels() as u64;
    let on_grid = 2 * (channels + outputs) * placement.dims().iter().product::<usize>() as u64;
    Ok(forward.saturating_add(4 * (on_source + on_grid)))
}
