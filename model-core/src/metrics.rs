//! How well a segmentation agrees with a reference, as the field measures it: Dice, Hausdorff
//! distances, normalized surface distance, volumes, and the same lesion by lesion.
//!
//! Tools differ in every one of these but the volumes. What is meant here stands with [`Scores`],
//! [`Surface`], [`SurfaceDistances`], [`LesionScores`] and [`EmptyRule`]; a report repeats it
//! ([`Surface::definitions`], [`EmptyRule::describe`]).

mod areas;
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
pub use surface::{Element, Surface, SurfaceDistances, surface_distances};
