//! Chooses between the full volume and tiles before a network runs, from the memory estimate of a
//! forward pass.

use anyhow::{Context, Result, bail};
use model_core::kernels::DeviceKind;
use model_core::network::memory_estimate::{self, forward_peak_bytes};
use model_core::texts::bytes as format_bytes;
use model_core::{Bundle, Placement, UNetConfig};
use serde::{Deserialize, Serialize};

use super::plan_summary::{F16_NOTE, PlanSummary};
use super::settings::{Mode, Settings};

/// The note on every result that was made in tiles.
pub const TILES_NOTE: &str = "Tiles are another function than the full volume: the network's norms \
     take their statistics from what the network sees, so the result differs.";

/// The share of the free memory that may be used. The rest is for the system and other programs.
const USABLE_SHARE: f64 = 0.9;

/// The part of a volume that a network sees at once. A record calls tiles a sliding window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "extent")]
pub enum Extent {
    /// The full volume.
    FullVolume,
    /// Overlapping tiles, whose logits are averaged.
    #[serde(rename = "sliding_window")]
    Tiles {
        /// Voxels along right, front, top.
        #[serde(rename = "window")]
        tile_dims: [usize; 3],
        /// The least share of a tile that overlaps with the next tile.
        overlap: f64,
    },
}

/// The extent that was chosen, and the reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChosenExtent {
    /// The extent.
    #[serde(flatten)]
    pub extent: Extent,
    /// The reason for the choice.
    #[serde(rename = "why")]
    pub reason: String,
    /// The plan of the WGSL engine, if it ran the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanSummary>,
}

impl std::fmt::Display for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Extent::FullVolume => write!(f, "full volume"),
            Extent::Tiles { tile_dims: [i, j, k], overlap } => {
                write!(f, "tiles of {i} × {j} × {k} voxels, overlap {overlap}")
            }
        }
    }
}

impl ChosenExtent {
    /// Returns the notes on the result: one for tiles, one for feature maps in f16.
    pub fn notes(&self) -> Vec<&'static str> {
        let tiles = (self.extent != Extent::FullVolume).then_some(TILES_NOTE);
        let f16 = self.plan.as_ref().filter(|plan| plan.is_f16()).map(|_| F16_NOTE);
        tiles.into_iter().chain(f16).collect()
    }
}

impl std::fmt::Display for ChosenExtent {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match &self.plan {
            None => self.extent.fmt(f),
            Some(plan) => write!(f, "{}, feature maps in {}", self.extent, plan.storage),
        }
    }
}

/// Returns the memory that this process may still use, in bytes, or `None` if the system does not
/// report it.
pub fn free_bytes() -> Option<u64> {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let machine_bytes = system.available_memory();
    let control_group_bytes = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    let usable_bytes = (machine_bytes.min(control_group_bytes) as f64 * USABLE_SHARE) as u64;
    (machine_bytes > 0).then_some(usable_bytes)
}

/// Chooses the extent for a scan of `dims` voxels within `max_bytes`. `None` is no limit.
/// `needed_bytes` returns the memory for segmenting the scan if the network sees the given voxels at
/// once.
///
/// # Errors
/// Errors if tiles are needed but their size is unknown, or if not even a tile fits.
pub fn choose(
    settings: &Settings,
    bundle: &Bundle,
    dims: [usize; 3],
    max_bytes: Option<u64>,
    needed_bytes: &dyn Fn([usize; 3]) -> Result<u64>,
) -> Result<ChosenExtent> {
    let full = |reason: String| Ok(ChosenExtent { extent: Extent::FullVolume, reason, plan: None });
    let full_bytes = needed_bytes(dims)?;
    let needed = format_bytes(full_bytes);
    let reason = match (settings.mode, max_bytes) {
        (Mode::Full, _) => return full("as requested".into()),
        (Mode::Auto, None) => return full("the free memory is unknown".into()),
        (Mode::Auto, Some(max)) if full_bytes <= max => {
            return full(format!("needs about {needed} of {} allowed", format_bytes(max)));
        }
        (Mode::Auto, Some(max)) => {
            format!("the full volume needs about {needed}, more than {} allowed", format_bytes(max))
        }
        (Mode::Tiles, _) => "as requested".into(),
    };
    let chosen = tiles(settings, bundle, dims, reason)?;
    let Extent::Tiles { tile_dims, .. } = chosen.extent else { return Ok(chosen) };
    let tile_bytes = needed_bytes(tile_dims)?;
    match (settings.mode, max_bytes) {
        (Mode::Auto, Some(max)) if tile_bytes > max => bail!(
            "a tile of {tile_dims:?} voxels needs about {}, found {}; give a smaller --tile, a \
             larger --memory, or --mode tiles to try it",
            format_bytes(tile_bytes),
            format_bytes(max)
        ),
        _ => Ok(chosen),
    }
}

/// Returns tiles of the requested size or else of the training patch's, at a size that the network
/// accepts. Returns the full volume if one tile holds it.
///
/// # Errors
/// Errors if neither size is known.
pub fn tiles(
    settings: &Settings,
    bundle: &Bundle,
    dims: [usize; 3],
    reason: String,
) -> Result<ChosenExtent> {
    let wanted = settings.tile_dims.or(bundle.card.provenance.patch).with_context(|| {
        format!("{reason}; the model does not state its training patch: give a --tile")
    })?;
    let tile_dims = bundle.card.network.tile_dims(wanted, dims);
    let overlap = settings.overlap;
    Ok(match tile_dims == dims {
        true => {
            let reason = format!("a tile of {wanted:?} voxels holds the volume");
            ChosenExtent { extent: Extent::FullVolume, reason, plan: None }
        }
        false => ChosenExtent { extent: Extent::Tiles { tile_dims, overlap }, reason, plan: None },
    })
}

/// Returns the memory for segmenting a scan besides a pass and the parameters: the scan, the input
/// and the logits with a mirrored copy of each, and two copies of the result on the source grid for
/// means.
pub fn other_bytes(network: &UNetConfig, placement: &Placement) -> u64 {
    let (channels, outputs) = (network.in_channels() as u64, network.out_channels() as u64);
    let source_values = (channels + 2 * outputs) * placement.source().num_voxels() as u64;
    let num_voxels = placement.dims().iter().product::<usize>() as u64;
    4 * (source_values + 2 * (channels + outputs) * num_voxels)
}

/// Returns the memory of a pass by burn on a GPU.
///
/// # Errors
/// Errors if the network does not accept the size.
pub fn gpu_pass_bytes(network: &UNetConfig, dims: [usize; 3]) -> Result<u64> {
    let settings = memory_estimate::Settings {
        place: DeviceKind::Gpu,
        ..memory_estimate::Settings::default()
    };
    Ok(forward_peak_bytes(network, dims, settings)?)
}
