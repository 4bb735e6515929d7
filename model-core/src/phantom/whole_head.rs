//! Synthetic heads around real brains, to train and test brain extraction.
//!
//! The brain is that of a skull-stripped scan; skull, scalp, face, eyes and neck are drawn around it.
//! The brain's mask is known exactly, and contrasts vary far beyond real ones, so that a network
//! learns the anatomy and not a sequence. The idea is that of SynthStrip (Hoopes et al. 2022,
//! "SynthStrip: skull-stripping for any brain image", <https://doi.org/10.1016/j.neuroimage.2022.119474>).
//!
//! A head is a pure function of the brain, the contrast and the seed.

mod anatomy;
mod distance;
mod face;
mod image;
mod real_brain;
mod scanner;
mod tissue;

pub use image::BrainContrast;
pub use real_brain::RealBrain;

use super::noise::{Random, SmoothNoise};
use crate::{Affine, Grid, LabelMap, Volume};
use anatomy::{Head, in_field};
use image::BrainImage;
use scanner::Scanner;
use tissue::Tissue;

/// The voxels of a head before its field of view is cut, along right, front, top.
const DIMS: [usize; 3] = [104, 122, 118];

/// The spacing of a head along each axis.
const SPACING_MM: f32 = 2.0;

/// The fraction of the heads that are skull-stripped already.
const STRIPPED_FRACTION: f32 = 0.08;

/// A head, and the voxels of its brain as label 1.
#[derive(Debug, Clone)]
pub struct WholeHead {
    /// The scan.
    pub volume: Volume,
    /// 1 in the brain, 0 outside.
    pub mask: LabelMap,
    /// Whether the head is stripped: 0 outside the brain.
    pub is_stripped: bool,
}

/// Draws the contrast of a brain: one of its channels, or as often a random one.
pub fn draw_contrast(brain: &RealBrain, seed: u64) -> BrainContrast {
    let mut random = Random::new(seed ^ 0x636f_6e74);
    match random.uniform() < 0.5 {
        true => BrainContrast::Channel(random.below(brain.num_channels() as u32) as usize),
        false => BrainContrast::Random,
    }
}

/// Returns a head around a brain, at 2 mm in the order right, front, top.
pub fn whole_head(brain: &RealBrain, contrast: BrainContrast, seed: u64) -> WholeHead {
    let mut random = Random::new(seed);
    let pose = Pose::draw(&mut random);
    let (image, contrast) = BrainImage::draw(brain, contrast, &mut random);
    let head = Head::draw(brain, &mut random);
    let scanner = Scanner::draw(&mut random);
    let texture = SmoothNoise::draw(75, &mut random);
    let texture_strength = random.between(0.0, 0.3);
    let is_stripped = random.uniform() < STRIPPED_FRACTION;
    let [first, shown] = {
        let cut = scanner::field_of_view(DIMS, &mut random);
        [cut.map(|c| c[0]), cut.map(|c| c[1])]
    };
    let count = shown.iter().product();
    let mut values = Vec::with_capacity(count);
    let (mut labels, mut is_air) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for k in 0..shown[2] {
        for j in 0..shown[1] {
            for i in 0..shown[0] {
                let p = pose.apply([i + first[0], j + first[1], k + first[2]]);
                let corners = brain.corners(p);
                let share = corners.mean(&brain.inside);
                let mut value = 0.0;
                let mut tissue = Tissue::Fluid;
                if share < 0.999 && !is_stripped {
                    tissue = head.tissue(p, corners.mean(&brain.distance_mm));
                    let uneven = 1.0 + texture_strength * texture.at(in_field(p));
                    value += (1.0 - share) * contrast.intensity(tissue) * uneven;
                }
                if share > 0.001 {
                    value += share
                        * match head.is_in_cavity(p) {
                            true => contrast.intensity(Tissue::Fluid),
                            false => image.intensity(brain, &corners, share),
                        };
                }
                let is_brain = share > 0.5;
                labels.push(u8::from(is_brain));
                is_air.push(!is_brain && (is_stripped || tissue == Tissue::Air));
                values.push(value * scanner.gain(p));
            }
        }
    }
    let mut values = scanner.scan(values, &is_air, shown);
    if is_stripped {
        values.iter_mut().zip(&labels).filter(|(_, l)| **l == 0).for_each(|(v, _)| *v = 0.0);
    }
    let rows = std::array::from_fn(|a| {
        let mut row = [0.0; 4];
        row[a] = f64::from(SPACING_MM);
        row[3] = f64::from(SPACING_MM) * (first[a] as f64 - 0.5 * (DIMS[a] as f64 - 1.0));
        row
    });
    let grid = Grid::new(shown, Affine::from_rows(rows));
    WholeHead {
        volume: Volume::new(grid.clone(), values).expect("a value for each voxel"),
        mask: LabelMap::new(grid, labels).expect("a label for each voxel"),
        is_stripped,
    }
}

/// The position, size and deformation of a head: a map from its voxels to the brain's mm.
struct Pose {
    matrix: [[f32; 3]; 3],
    shift: [f32; 3],
    bends: [SmoothNoise; 3],
    bend_mm: f32,
}

impl Pose {
    fn draw(random: &mut Random) -> Pose {
        // A unit quaternion: half-angle tangents of the nod, the tilt and the turn of the head.
        let [x, y, z] = [0.2, 0.12, 0.12].map(|limit| random.between(-limit, limit));
        let square = 1.0 + x * x + y * y + z * z;
        let rotation = [
            [1.0 + x * x - y * y - z * z, 2.0 * (x * y - z), 2.0 * (x * z + y)],
            [2.0 * (x * y + z), 1.0 - x * x + y * y - z * z, 2.0 * (y * z - x)],
            [2.0 * (x * z - y), 2.0 * (y * z + x), 1.0 - x * x - y * y + z * z],
        ];
        let size = random.between(0.9, 1.12);
        let scale: [f32; 3] = std::array::from_fn(|_| 1.0 / (size * random.between(0.93, 1.07)));
        let side = if random.uniform() < 0.5 { -1.0 } else { 1.0 };
        let matrix = std::array::from_fn(|r| {
            let flip = if r == 0 { side } else { 1.0 };
            rotation[r].map(|entry| flip * scale[r] * entry / square)
        });
        Pose {
            matrix,
            shift: [
                random.between(-8.0, 8.0),
                random.between(-8.0, 8.0),
                random.between(-35.0, -5.0),
            ],
            bends: std::array::from_fn(|_| SmoothNoise::draw(6, random)),
            bend_mm: random.between(0.0, 7.0),
        }
    }

    /// Returns the point, in mm from the brain's center, that a voxel shows.
    fn apply(&self, voxel: [usize; 3]) -> [f32; 3] {
        let q: [f32; 3] = std::array::from_fn(|a| {
            SPACING_MM * (voxel[a] as f32 - 0.5 * (DIMS[a] as f32 - 1.0)) + self.shift[a]
        });
        let field = in_field(q);
        std::array::from_fn(|r| {
            let row = self.matrix[r];
            row[0] * q[0] + row[1] * q[1] + row[2] * q[2] + self.bend_mm * self.bends[r].at(field)
        })
    }
}
