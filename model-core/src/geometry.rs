//! The positions of voxels: affines, orientations, grids, boxes, crops, resampling and inference tiles.

mod affine;
mod alignment;
mod interpolate;
mod orientation;
mod placement;
pub(crate) mod resample;
mod reslice;
mod tiling;
mod volume;
mod voxel_box;

pub use affine::Affine;
pub use alignment::{Alignment, DEFAULT_TOLERANCE_VOXELS};
pub use orientation::Orientation;
pub use placement::Placement;
pub use reslice::{Resampled, resample_labels_onto, resample_onto};
pub use tiling::{DEFAULT_OVERLAP, Tiling};
pub use volume::{Grid, LabelMap, NiftiTransforms, Volume};
pub use voxel_box::VoxelBox;
