//! Elastic deformation: smooth displacements of a patch's voxels in the scan.

use rand::Rng;

use super::random::bernoulli;
use super::{ControlGrid, FieldRows};
use trainer_run::config::AugmentSettings;

/// Displacements on a coarse grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Elastic {
    /// Displacements in voxels along right, front, top. `None` is no displacement along that axis.
    pub displacements: [Option<ControlGrid>; 3],
}

impl Elastic {
    /// Draws displacements, or `None` if the patch is not deformed.
    pub fn draw(random: &mut impl Rng, settings: &AugmentSettings) -> Option<Elastic> {
        let largest = settings.elastic_voxels.into_iter().fold(0.0, f64::max);
        bernoulli(random, largest, settings.elastic_fraction).then(|| Elastic {
            displacements: settings.elastic_voxels.map(|deviation| {
                (deviation > 0.0)
                    .then(|| ControlGrid::draw(random, settings.elastic_grid, deviation))
            }),
        })
    }

    /// Prepares the interpolation of the displacements over a patch, row by row.
    pub fn rows_over(&self, patch: [usize; 3]) -> [Option<FieldRows<'_>>; 3] {
        self.displacements.each_ref().map(|axis| axis.as_ref().map(|grid| grid.rows_over(patch)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trainer_run::rng::{RngStream, generator};

    #[test]
    fn brugger_deforms_only_the_axial_plane_and_every_slice_the_same() {
        let mut random = generator(0, RngStream::Patch, 0);
        let elastic = Elastic::draw(&mut random, &AugmentSettings::brugger()).unwrap();
        let [right, front, top] = elastic.rows_over([16, 12, 8]);
        assert!(top.is_none());
        let [mut right, mut front] = [right.unwrap(), front.unwrap()];
        let (mut first, mut last) = ([0.0; 16], [0.0; 16]);
        right.row(5, 0, &mut first);
        right.row(5, 7, &mut last);
        assert_eq!(first, last);
        front.row(5, 0, &mut last);
        assert_ne!(first, last, "each axis has its own displacements");
    }
}
