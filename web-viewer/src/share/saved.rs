//! Where a label map lies once it has been saved: as the header says that is written for its grid.

use model_core::{Affine, Grid};

use super::ShareError;

/// How far the elements of the two maps may differ; rounding to 32-bit floats stays below.
const TOLERANCE: f64 = 1e-3;

/// The map of a grid whose label map can be saved: its own, which a reader finds in the file too.
/// A grid whose header states no position (both codes 0) has the map that readers give it: an older
/// version may have given it another.
///
/// # Errors
/// [`ShareError::Content`] when the header cannot be read, or lies elsewhere than the grid.
pub fn world_from_voxel(grid: &Grid) -> Result<Affine, ShareError> {
    let refused = |error| ShareError::content("a position that can be saved", error);
    let saved = grid.transforms.world_from_voxel(grid.dims).map_err(refused)?;
    let own = grid.world_from_voxel;
    let is_stated = grid.states_orientation();
    // What is not stated has a size, and directions and an origin by convention.
    let compared = if is_stated { [saved, own] } else { [saved, own].map(sizes) };
    if compared[0].max_abs_difference(&compared[1]) > TOLERANCE {
        let expected = format!("the position of its header, {:?}", saved.rows());
        return Err(ShareError::content(expected, format!("{:?}", own.rows())));
    }
    Ok(if is_stated { own } else { saved })
}

fn sizes(map: Affine) -> Affine {
    Affine::from_rows(map.rows().map(|[i, j, k, _]| [i.abs(), j.abs(), k.abs(), 0.0]))
}
