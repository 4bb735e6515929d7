//! Where a label map lies once it has been saved: as the header says that is written for its grid.

use std::io::Read;

use flate2::read::GzDecoder;
use model_core::nifti::{self, Reader};
use model_core::{AFFINE_TOLERANCE, Affine, Grid, LabelMap};

use super::ShareError;

/// Where a NIfTI-1 header says its extents along i, j, k.
const DIMS_AT: usize = 42;

/// The map of a grid whose label map can be saved: its own, which a reader finds in the file too.
/// Where the header states no position (both codes 0) it is the one that the reader takes it for: an
/// older version may have taken it for another.
///
/// # Errors
/// [`ShareError::Content`] when the reader refuses the header, or it lies elsewhere than the grid.
///
/// # Panics
/// When an axis is longer than NIfTI-1 can say (32767).
pub fn world_from_voxel(grid: &Grid) -> Result<Affine, ShareError> {
    let refused = |error| ShareError::content("a position that can be saved", error);
    let (header, length) = (header(grid), 1024 + grid.num_voxels() as u64);
    let saved = Reader::open_start(&header, length).map_err(refused)?.grid().world_from_voxel;
    let own = grid.world_from_voxel;
    let is_stated = grid.forms.sform_code > 0 || grid.forms.qform_code > 0;
    // What is not stated has a size, and directions and an origin by convention.
    let compared = if is_stated { [saved, own] } else { [saved, own].map(sizes) };
    if compared[0].max_abs_difference(&compared[1]) > AFFINE_TOLERANCE {
        let expected = format!("the position of its header, {:?}", saved.rows());
        return Err(ShareError::content(expected, format!("{:?}", own.rows())));
    }
    Ok(if is_stated { own } else { saved })
}

/// What a file of this grid begins with: that of a single voxel, with the grid's own extents.
fn header(grid: &Grid) -> Vec<u8> {
    let voxel = LabelMap { grid: Grid { dims: [1; 3], ..grid.clone() }, labels: vec![0] };
    let mut plain = Vec::new();
    let file = nifti::write_labels(&voxel);
    GzDecoder::new(&file[..]).read_to_end(&mut plain).expect("what was just compressed");
    for (n, &extent) in grid.dims.iter().enumerate() {
        let extent = i16::try_from(extent).expect("axes of at most 32767 voxels");
        plain[DIMS_AT + 2 * n..][..2].copy_from_slice(&extent.to_le_bytes());
    }
    plain
}

fn sizes(map: Affine) -> Affine {
    Affine::from_rows(map.rows().map(|[i, j, k, _]| [i.abs(), j.abs(), k.abs(), 0.0]))
}
