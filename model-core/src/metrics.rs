//! How well a segmentation agrees with a reference, as the field measures it: Dice, Hausdorff
//! distances, normalized surface distance, volumes, and the same lesion by lesion.
//!
//! Tools differ in every one of these but the volumes. What is meant here stands with [`Scores`],
//! [`SurfaceDistances`], [`LesionScores`] and [`EmptyRule`]; a report repeats it in
//! [`DEFINITIONS`].

mod components;
mod distance;
mod lesions;
mod overlap;
mod pair;
mod rule;
mod score;
mod summary;
mod surface;

pub use components::{Components, Connectivity, components};
pub use lesions::{
    LESION_PENALTY_MM, LesionScores, MIN_LESION_MM3, lesion_scores, missing_lesions,
};
pub use overlap::dice;
pub use rule::EmptyRule;
pub use score::{Scores, Settings, missing, score};
pub use summary::Summary;
pub use surface::{SurfaceDistances, surface_distances};

/// What the names of scores mean, in a line each, for reports: a name and its definition.
pub const DEFINITIONS: [(&str, &str); 5] = [
    ("Dice", "2 |A ∩ B| / (|A| + |B|), in voxels"),
    (
        "HD95",
        "the larger of the two directed 95th percentiles (linear interpolation) of the distances \
         between surface voxels, as MONAI",
    ),
    ("HD", "the largest of these distances"),
    (
        "NSD",
        "the share of the surface voxels of both within the tolerance of the other's surface, as \
         MONAI",
    ),
    (
        "surface voxel",
        "a voxel inside that has one of its 6 neighbors outside; beyond the volume is outside",
    ),
];
