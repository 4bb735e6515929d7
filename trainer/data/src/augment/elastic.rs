//! Elastic deformation: smooth displacements of a patch's voxels in the scan.

use rand::Rng;

use super::{ControlGrid, Rows, bernoulli};
use trainer_run::config::AugmentSettings;

/// Displacements on a coarse grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Elastic {
    /// In voxels along right, front, top; none along an axis that nothing is displaced along.
    pub displacements: [Option<ControlGrid>; 3],
}

impl Elastic {
    /// Draws displacements; none where this patch is not deformed.
    pub fn draw(random: &mut impl Rng, settings: &AugmentSettings) -> Option<Elastic> {
        let most = settings.elastic_voxels.into_iter().fold(0.0, f64::max);
        bernoulli(random, most, settings.elastic_fraction).then(|| Elastic {
            displacements: settings.elastic_voxels.map(|deviation| {
                (deviation > 0.0)
                    .then(|| ControlGrid::draw(random, settings.elastic_grid, deviation))
            }),
        })
    }

    /// The displacements over a patch, to be asked for row by row.
    pub fn over(&self, patch: [usize; 3]) -> [Option<Rows<'_>>; 3] {
        self.displacements.each_ref().map(|axis| axis.as_ref().map(|coarse| coarse.over(patch)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trainer_run::rng::{RngStream, generator};

    #[test]
    fn the_axial_plane_alone_is_deformed_and_alike_in_every_slice() {
        let mut random = generator(0, RngStream::Patch, 0);
        let elastic = Elastic::draw(&mut random, &AugmentSettings::brugger()).unwrap();
        let [right, front, top] = elastic.over([16, 12, 8]);
        assert!(top.is_none());
        let [mut right, mut front] = [right.unwrap(), front.unwrap()];
        let (mut first, mut last) = ([0.0; 16], [0.0; 16]);
        right.row(5, 0, &mut first);
        right.row(5, 7, &mut last);
        assert_eq!(first, last);
        front.row(5, 0, &mut last);
        assert_ne!(first, last, "each axis has displacements of its own");
    }
}
