//! Measures the agreement of a segmentation with a reference: Dice, Hausdorff distances, normalized
//! surface distance, volumes, and the scores of single lesions.
//!
//! Tools define all of these but the volumes differently. The definitions used here are documented at
//! [`Scores`], [`Surface`], [`SurfaceDistances`], [`LesionScores`] and [`EmptyRule`]. A report repeats
//! them ([`Surface::definitions`], [`EmptyRule::describe`]).

mod calibration;
mod components;
mod dice;
mod distance;
mod empty_rule;
mod lesions;
mod region_masks;
mod score;
mod summary;
mod surface_distances;
mod surface_elements;
mod surface_kind;

pub use calibration::{
    Calibration, MARGIN_MM, OddsCounts, RELIABILITY_BINS, RegionCalibration, ReliabilityBin,
};
pub use components::{Components, Connectivity, components};
pub use dice::dice;
pub(crate) use distance::distances_mm;
pub use empty_rule::EmptyRule;
pub use lesions::{
    LESION_PENALTY_MM, LesionScores, MIN_LESION_MM3, lesion_scores, missing_lesions,
};
pub use score::{Scores, Settings, missing_scores, score};
pub use summary::Summary;
pub use surface_distances::{SurfaceDistances, SurfaceElement, surface_distances};
pub use surface_kind::Surface;
