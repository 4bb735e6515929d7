//! The definitions of a mask's surface.

use std::str::FromStr;

use crate::{Error, Result};

/// A definition of a mask's surface. Tools differ, by parts of a voxel in distances and by more in NSD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Surface {
    /// The voxels inside that have one of their 6 neighbors outside, with equal weights (SciPy's
    /// `mask ^ binary_erosion(mask)`), as in MONAI and MedPy. A percentile is interpolated linearly
    /// between ranks.
    #[default]
    Voxels,
    /// Elements at the points where eight voxels meet and some are inside, weighted by their area, as
    /// in DeepMind's surface-distance, by which BraTS 2023 ranks. A percentile is the least distance
    /// that covers this share of the area.
    Areas,
}

impl Surface {
    /// Both definitions.
    pub const ALL: [Surface; 2] = [Surface::Voxels, Surface::Areas];

    /// Returns the name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Surface::Voxels => "voxels",
            Surface::Areas => "areas",
        }
    }

    /// Returns the name and the definition of each score, for reports.
    pub fn definitions(self) -> [(&'static str, &'static str); 5] {
        let [hd95, nsd, surface] = match self {
            Surface::Voxels => [
                "the larger of the two directed 95th percentiles (linear interpolation) of the \
                 distances between surface voxels, as MONAI",
                "the share of the surface voxels of both within the tolerance of the other's, as \
                 MONAI",
                "the voxels inside that have one of their 6 neighbors outside; beyond the volume is \
                 outside",
            ],
            Surface::Areas => [
                "the larger of the two directed 95th percentiles (by area) of the distances between \
                 surfaces, as DeepMind's surface-distance and BraTS 2023",
                "the share of the area of both surfaces within the tolerance of the other, as \
                 DeepMind's surface-distance",
                "between the voxels, where eight of them are partly inside, with its area by \
                 marching cubes; beyond the volume is outside",
            ],
        };
        [
            ("Dice", "2 |A ∩ B| / (|A| + |B|), in voxels"),
            ("HD95", hd95),
            ("HD", "the largest of these distances"),
            ("NSD", nsd),
            ("surface", surface),
        ]
    }
}

impl FromStr for Surface {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Surface::ALL.into_iter().find(|surface| surface.name() == name).ok_or_else(|| {
            let names = Surface::ALL.map(Surface::name).join(" or ");
            Error::task(format!("a kind of surface, {names}"), format!("{name:?}"))
        })
    }
}
