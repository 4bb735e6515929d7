//! The position that a label map has once it is saved: the affine of the header written for its grid.

use model_core::{Affine, Grid};

use super::error::ShareError;

/// The largest difference between elements of the two affines. Rounding to 32-bit floats stays below.
const TOLERANCE: f64 = 1e-3;

/// Returns the affine of a grid after its label map is saved: the grid's own, which a reader finds in
/// the file too.
///
/// If the header states no position (both codes 0), the affine is the one that readers assume; an
/// older version may have stored another one.
///
/// # Errors
/// [`ShareError::Content`] if the header cannot be read, or disagrees with the grid.
pub fn world_from_voxel(grid: &Grid) -> Result<Affine, ShareError> {
    let invalid = |error| ShareError::content("a position that can be saved", error);
    let from_header = grid.transforms.world_from_voxel(grid.dims).map_err(invalid)?;
    let from_grid = grid.world_from_voxel;
    let is_stated = grid.states_orientation();
    // Without a stated position only the sizes are known; directions and origin are a convention.
    let compared = match is_stated {
        true => [from_header, from_grid],
        false => [from_header, from_grid].map(absolute_linear_part),
    };
    if compared[0].max_abs_difference(&compared[1]) > TOLERANCE {
        let expected = format!("the position of its header, {:?}", from_header.rows());
        return Err(ShareError::content(expected, format!("{:?}", from_grid.rows())));
    }
    Ok(if is_stated { from_grid } else { from_header })
}

fn absolute_linear_part(affine: Affine) -> Affine {
    Affine::from_rows(affine.rows().map(|[i, j, k, _]| [i.abs(), j.abs(), k.abs(), 0.0]))
}
