//! Registration: the motion that brings a scan onto another scan of the same head, found by mutual
//! information. For scans whose headers do not place the anatomy at the same position.
//!
//! The method is that of Mattes et al. 2003 (PET-CT image registration in the chest using free-form
//! deformations), for rigid and affine maps, from 8 over 4 to 2 mm.

mod bias;
mod moving;
mod mutual_information;
mod optimizer;
mod pyramid;
mod samples;
mod starts;

use std::ops::ControlFlow;

use glam::{DAffine3, DMat3, DVec3};

pub use optimizer::Motion;

use crate::{Affine, Result, Volume};
use moving::MovingImage;
use mutual_information::{MutualInformation, Similarity};
use optimizer::{Bounds, maximize};
use pyramid::{FINEST_MM, Level, NUM_LEVELS, pyramid};
use samples::Samples;

/// The result of a registration.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// The map from world millimeters of the reference to world millimeters of the moving scan.
    pub moving_from_reference: Affine,
    /// The mutual information, in nats, with the initial map.
    pub mutual_information_before: f64,
    /// The mutual information, in nats, with the resulting map.
    pub mutual_information_after: f64,
    /// The angle between the initial and the resulting map.
    pub rotation_deg: f64,
    /// The movement of the center of the reference's head from the initial to the resulting map.
    pub translation_mm: [f64; 3],
}

/// Finds the map under which `moving` shares the most information with `reference`.
///
/// `initial` maps world millimeters of the reference to world millimeters of the moving scan. The
/// search starts there and, in case the heads lie apart, where their centers agree.
///
/// `control` receives the completed fraction, and cancels by breaking; then the result is `None`.
///
/// # Errors
/// [`Error::Geometry`](crate::Error::Geometry) if a map cannot be inverted;
/// [`Error::Scan`](crate::Error::Scan) if a scan has a single intensity.
pub fn register(
    reference: &Volume,
    moving: &Volume,
    motion: Motion,
    initial: Affine,
    control: &mut dyn FnMut(f32) -> ControlFlow<()>,
) -> Result<Option<Registration>> {
    initial.check()?;
    let levels = Levels::new(reference, moving)?;
    let found = levels.search(motion, initial.0, NUM_LEVELS, control);
    Ok(found.continue_value().map(|map| levels.result(&initial.0, &map)))
}

/// The two scans at all resolutions.
struct Levels {
    /// The coarsest first.
    levels: Vec<(Samples, MovingImage)>,
    /// The center of the moving scan's head.
    moving_center: DVec3,
}

impl Levels {
    fn new(reference: &Volume, moving: &Volume) -> Result<Levels> {
        let (reference, moving) = (pyramid(reference)?, pyramid(moving)?);
        let moving_center = starts::head_center(&moving[0]);
        let pair = |(reference, moving): (&Level, &Level)| {
            (Samples::new(reference), MovingImage::new(moving))
        };
        let levels = reference.iter().zip(&moving).map(pair).collect();
        Ok(Levels { levels, moving_center })
    }

    fn information(&self, level: usize) -> MutualInformation<'_> {
        let (samples, moving) = &self.levels[level];
        MutualInformation { samples, moving }
    }

    /// Climbs over the coarsest `num_levels` resolutions. Returns the map between the worlds.
    fn search(
        &self,
        motion: Motion,
        initial: DAffine3,
        num_levels: usize,
        control: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> ControlFlow<(), DAffine3> {
        let mut maps = starts::starts(&self.information(0), initial, self.moving_center);
        for level in 0..num_levels {
            let information = self.information(level);
            let spacing_mm = FINEST_MM * f64::from(1 << (NUM_LEVELS - 1 - level));
            let bounds = Bounds {
                max_step_mm: spacing_mm,
                tolerance_mm: 0.01 * spacing_mm,
                max_iterations: 60,
            };
            let mut found: Vec<(DAffine3, Similarity)> = Vec::new();
            let center = information.samples.center;
            let num_maps = maps.len();
            for (n, map) in maps.iter().enumerate() {
                let fraction = (level as f32 + n as f32 / num_maps as f32) / num_levels as f32;
                // Shear has no meaning at 8 mm.
                let motion = if level == 0 { Motion::Rigid } else { motion };
                let climbed = maximize(
                    &information,
                    *map * DAffine3::from_translation(center),
                    motion,
                    bounds,
                    &mut || control(fraction),
                )?;
                found.push(climbed);
            }
            found.sort_by(|(_, a), (_, b)| starts::score(b).total_cmp(&starts::score(a)));
            // A second candidate may win at 4 mm; 2 mm refines one.
            found.truncate(if level == 0 { 2 } else { 1 });
            let world =
                |(map, _): &(DAffine3, Similarity)| *map * DAffine3::from_translation(-center);
            maps = found.iter().map(world).collect();
        }
        control(1.0)?;
        ControlFlow::Continue(maps.first().copied().unwrap_or(initial))
    }

    fn result(&self, initial: &DAffine3, map: &DAffine3) -> Registration {
        let information = self.information(NUM_LEVELS - 1);
        let center = information.samples.center;
        let at = |map: &DAffine3| {
            information.evaluate(&(*map * DAffine3::from_translation(center))).information
        };
        Registration {
            moving_from_reference: Affine(*map),
            mutual_information_before: at(initial),
            mutual_information_after: at(map),
            rotation_deg: rotation_deg(map.matrix3 * initial.matrix3.inverse()),
            translation_mm: (map.transform_point3(center) - initial.transform_point3(center))
                .to_array(),
        }
    }
}

/// Returns the angle of a matrix's rotation, without its scaling and shear.
fn rotation_deg(matrix: DMat3) -> f64 {
    // Newton's iteration to the nearest orthogonal matrix (Higham 1986).
    let mut rotation = matrix;
    for _ in 0..20 {
        rotation = (rotation + rotation.inverse().transpose()) * 0.5;
    }
    let trace = rotation.x_axis.x + rotation.y_axis.y + rotation.z_axis.z;
    (0.5 * (trace - 1.0)).clamp(-1.0, 1.0).acos().to_degrees()
}

/// How far a scan lies from where a registration puts it.
#[derive(Debug, Clone, PartialEq)]
pub struct AlignmentCheck {
    /// The fraction of the reference's head that lies in the moving scan's field of view.
    pub overlap: f32,
    /// The mean movement of the head in a short registration from the given map.
    pub displacement_mm: f64,
    /// Whether both show the same anatomy at the same place, so that no registration is needed.
    pub is_aligned: bool,
}

/// The mean movement below which scans count as aligned.
const ALIGNED_MM: f64 = 1.5;

/// Checks whether two scans show the same anatomy at the same place under `moving_from_reference`:
/// whether a registration at 8 and 4 mm would hardly move the head.
///
/// Returns `None` if `control` breaks; see [`register`].
///
/// # Errors
/// As [`register`].
pub fn are_aligned(
    reference: &Volume,
    moving: &Volume,
    moving_from_reference: &Affine,
    control: &mut dyn FnMut(f32) -> ControlFlow<()>,
) -> Result<Option<AlignmentCheck>> {
    moving_from_reference.check()?;
    let levels = Levels::new(reference, moving)?;
    let initial = moving_from_reference.0;
    let found = levels.search(Motion::Rigid, initial, NUM_LEVELS - 1, control);
    let Some(map) = found.continue_value() else { return Ok(None) };
    let information = levels.information(0);
    let Samples { center, offsets, .. } = information.samples;
    let overlap = information.evaluate(&(initial * DAffine3::from_translation(*center))).overlap;
    let moved = |offset: &glam::Vec3| {
        let place = offset.as_dvec3() + *center;
        map.transform_point3(place).distance(initial.transform_point3(place))
    };
    let sum: f64 = offsets.iter().map(moved).sum();
    let displacement_mm = sum / offsets.len().max(1) as f64;
    let is_aligned = displacement_mm < ALIGNED_MM;
    Ok(Some(AlignmentCheck { overlap: overlap as f32, displacement_mm, is_aligned }))
}
