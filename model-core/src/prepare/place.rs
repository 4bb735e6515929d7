//! Places the channels of an examination on one grid.

use std::borrow::Cow;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::geometry::{Resampled, resample_onto};
use crate::prepare::record::{ChannelRecord, ChannelStep};
use crate::registration::{Motion, are_aligned, register};
use crate::{Affine, DEFAULT_TOLERANCE_VOXELS, Error, Result, Volume};

/// The way in which a channel is placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlacementChoice {
    /// By its header, or by registration if the header does not place the head where the reference has
    /// it.
    #[default]
    Automatic,
    /// By its header.
    AsStored,
    /// By registration.
    Registered,
}

/// The settings of a placement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlacementSettings {
    /// The channel whose grid is kept, by its index; by default the one with the smallest voxels, and
    /// the first of several.
    pub reference: Option<usize>,
    /// The choice for each channel; for further channels, the last one, or automatic.
    pub choices: Vec<PlacementChoice>,
    /// Whether registration may also scale and shear.
    pub is_affine: bool,
    /// The largest distance in voxels at which two grids count as the same.
    pub tolerance_voxels: f64,
}

impl Default for PlacementSettings {
    fn default() -> Self {
        PlacementSettings {
            reference: None,
            choices: Vec::new(),
            is_affine: false,
            tolerance_voxels: DEFAULT_TOLERANCE_VOXELS,
        }
    }
}

/// Channels on one grid.
#[derive(Debug)]
pub struct Placed<'a> {
    /// The index of the channel whose grid the others lie on.
    pub reference: usize,
    /// The channels. Those that lay on the grid already are borrowed.
    pub volumes: Vec<Cow<'a, Volume>>,
    /// The step for each channel.
    pub records: Vec<ChannelRecord>,
}

/// Places all channels on the reference's grid. A missing channel becomes a volume of zeros.
///
/// `control` receives the completed fraction. If it breaks, the result is `None`.
///
/// # Errors
/// [`Error::Scan`] if every channel is missing, or if a channel does not overlap with the reference;
/// the errors of [`register`].
///
/// # Panics
/// If there is not one name for each channel.
pub fn place<'a>(
    channels: &[Option<&'a Volume>],
    names: &[String],
    settings: &PlacementSettings,
    control: &mut dyn FnMut(f32) -> ControlFlow<()>,
) -> Result<Option<Placed<'a>>> {
    assert_eq!(channels.len(), names.len(), "a name for each channel");
    let present: Vec<(usize, &'a Volume)> =
        channels.iter().enumerate().filter_map(|(n, volume)| Some((n, (*volume)?))).collect();
    let (reference, reference_volume) = reference(&present, settings.reference)?;
    let mut placed = Placed { reference, volumes: Vec::new(), records: Vec::new() };
    for (n, channel) in channels.iter().enumerate() {
        let choice = settings.choices.get(n).or(settings.choices.last());
        let channel_control =
            &mut |fraction: f32| control((n as f32 + fraction) / channels.len() as f32);
        let (volume, step) = match channel {
            None => (Cow::Owned(zeros(reference_volume)?), ChannelStep::Missing),
            Some(volume) if n == reference => (Cow::Borrowed(*volume), ChannelStep::Unchanged),
            Some(volume) => {
                let choice = choice.copied().unwrap_or_default();
                let pair = Pair { reference: reference_volume, moving: volume, settings };
                match pair
                    .place(choice, channel_control)
                    .map_err(|error| in_channel(error, &names[n]))?
                {
                    Some(placed) => placed,
                    None => return Ok(None),
                }
            }
        };
        placed.volumes.push(volume);
        placed.records.push(ChannelRecord { channel: names[n].clone(), step });
    }
    Ok(Some(placed))
}

/// Returns the reference and its index: the chosen one, or the one with the smallest voxels.
fn reference<'a>(
    present: &[(usize, &'a Volume)],
    chosen: Option<usize>,
) -> Result<(usize, &'a Volume)> {
    let voxel_mm3 = |(_, volume): &&(usize, &Volume)| {
        // Sizes that differ by less than a percent are those of one protocol.
        (volume.grid().world_from_voxel.voxel_volume_mm3().ln() * 100.0).round() as i64
    };
    let found = match chosen {
        Some(chosen) => present.iter().find(|(n, _)| *n == chosen),
        None => present.iter().min_by_key(voxel_mm3),
    };
    found.copied().ok_or_else(|| match chosen {
        Some(_) => Error::scan("a scan for the channel that is the reference", "none"),
        None => Error::scan("at least one channel", "none"),
    })
}

/// A channel and the reference.
struct Pair<'a, 'b> {
    reference: &'b Volume,
    moving: &'a Volume,
    settings: &'b PlacementSettings,
}

impl<'a> Pair<'a, '_> {
    /// Places the channel. Returns `None` if `control` breaks.
    fn place(
        &self,
        choice: PlacementChoice,
        control: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<Option<(Cow<'a, Volume>, ChannelStep)>> {
        let grid = self.reference.grid();
        let alignment = grid.align(self.moving.grid(), self.settings.tolerance_voxels);
        let is_registered = match choice {
            PlacementChoice::AsStored => false,
            PlacementChoice::Registered => true,
            PlacementChoice::Automatic => {
                let check = are_aligned(self.reference, self.moving, &Affine::IDENTITY, control)?;
                let Some(check) = check else { return Ok(None) };
                !check.is_aligned
            }
        };
        if is_registered {
            return self.register(control);
        }
        if let Ok(alignment) = alignment {
            // The grids hold the same voxels, perhaps in another order.
            let volume = match alignment.is_same_order() {
                true => Cow::Borrowed(self.moving),
                false => {
                    let values = alignment.reorder(self.moving.values().to_vec());
                    Cow::Owned(Volume::new(grid.clone(), values)?)
                }
            };
            return Ok(Some((volume, ChannelStep::Unchanged)));
        }
        let Resampled { volume, coverage } = self.resample(&Affine::IDENTITY)?;
        Ok(Some((Cow::Owned(volume), ChannelStep::Resampled { coverage })))
    }

    fn register(
        &self,
        control: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<Option<(Cow<'a, Volume>, ChannelStep)>> {
        let motion = if self.settings.is_affine { Motion::Affine } else { Motion::Rigid };
        let found = register(self.reference, self.moving, motion, Affine::IDENTITY, control)?;
        let Some(found) = found else { return Ok(None) };
        // Rounded first, so that the record states the map that was applied.
        let rows = found.moving_from_reference.rows().map(|row| row.map(rounded));
        let moving_from_reference = Affine::from_rows(rows);
        let Resampled { volume, coverage } = self.resample(&moving_from_reference)?;
        let (before, after) = (found.mutual_information_before, found.mutual_information_after);
        let step = ChannelStep::Registered {
            moving_from_reference,
            rotation_deg: rounded(found.rotation_deg),
            translation_mm: found.translation_mm.map(rounded),
            mutual_information: [before, after].map(rounded),
            coverage,
        };
        Ok(Some((Cow::Owned(volume), step)))
    }

    fn resample(&self, moving_from_reference: &Affine) -> Result<Resampled> {
        let resampled = resample_onto(self.moving, self.reference.grid(), moving_from_reference)?;
        match resampled.coverage > 0.0 {
            true => Ok(resampled),
            false => Err(Error::geometry(
                "scans of the same part of the body",
                "scans that do not overlap",
            )),
        }
    }
}

/// Returns a volume of zeros on another's grid.
fn zeros(reference: &Volume) -> Result<Volume> {
    Volume::new(reference.grid().clone(), vec![0.0; reference.values().len()])
}

/// Rounds to six decimals. In a rotation this moves no point of a head by a micrometer.
fn rounded(x: f64) -> f64 {
    (x * 1e6).round() / 1e6
}

/// Names the channel in an error.
fn in_channel(error: Error, channel: &str) -> Error {
    error.in_file(channel)
}
