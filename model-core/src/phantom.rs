//! Synthetic cases with known labels, for demonstrations and tests: a skull-stripped head with a tumor,
//! in the four modalities of BraTS.
//!
//! A phantom is a pure function of seed and size. It only uses +, −, ×, ÷, square root and rounding,
//! which IEEE 754 defines exactly, so that its bytes are the same natively and in the browser.

mod anatomy;
mod noise;
pub mod whole_head;

use std::ops::RangeInclusive;

use crate::{Affine, Case, Grid, LabelMap, Task, Volume};
use anatomy::{Head, Tissue};
use noise::{Random, SmoothNoise};

/// The accepted sizes of a phantom, in voxels along each axis.
pub const SIZES: RangeInclusive<usize> = 32..=256;

/// The extent of a phantom along each axis.
const EXTENT_MM: f64 = 192.0;

/// The mean intensities of the tissues in one modality, as shares of the largest intensity.
struct TissueContrast {
    white: f32,
    gray: f32,
    fluid: f32,
    vessel: f32,
    lesion: f32,
    necrosis: f32,
    edema: f32,
    enhancing: f32,
}

/// The contrasts of T1, T1Gd, T2 and FLAIR. In each of them every tumor region is about as bright as
/// another tissue: vessels take up gadolinium as the tumor does, small old lesions are as bright as
/// edema in FLAIR, fluid is brighter in T2.
#[rustfmt::skip]
const CONTRASTS: [TissueContrast; 4] = [
    TissueContrast { white: 0.80, gray: 0.58, fluid: 0.22, vessel: 0.50, lesion: 0.55, necrosis: 0.34, edema: 0.54, enhancing: 0.56 },
    TissueContrast { white: 0.74, gray: 0.56, fluid: 0.22, vessel: 0.98, lesion: 0.52, necrosis: 0.32, edema: 0.52, enhancing: 0.95 },
    TissueContrast { white: 0.36, gray: 0.52, fluid: 0.98, vessel: 0.30, lesion: 0.70, necrosis: 0.84, edema: 0.78, enhancing: 0.64 },
    TissueContrast { white: 0.46, gray: 0.60, fluid: 0.18, vessel: 0.34, lesion: 0.84, necrosis: 0.44, edema: 0.80, enhancing: 0.68 },
];

impl TissueContrast {
    fn intensity(&self, tissue: Tissue) -> f32 {
        match tissue {
            Tissue::Outside => 0.0,
            Tissue::White => self.white,
            Tissue::Gray => self.gray,
            Tissue::Fluid => self.fluid,
            Tissue::Vessel => self.vessel,
            Tissue::Lesion => self.lesion,
            Tissue::Necrosis => self.necrosis,
            Tissue::Edema => self.edema,
            Tissue::Enhancing => self.enhancing,
        }
    }
}

/// Returns the phantoms' task: the channels, labels and nested regions of BraTS 2023.
pub fn task() -> Task {
    let task = Task::builtin("brats2023").expect("a built-in task");
    task.with(|task| task.name = "Phantom".to_string()).expect("any name")
}

/// Returns a case of `size`³ voxels over 192 mm, stored in the axis order of BraTS (left, back, top).
///
/// # Panics
/// If the size is not in [`SIZES`].
pub fn phantom(seed: u64, size: usize) -> Case {
    assert!(SIZES.contains(&size), "a size from 32 to 256, not {size}");
    let grid = grid(size);
    let mut random = Random::new(seed);
    let mut head = Head::draw(&mut random);
    let mut tissues = head.tissues(size);
    // Draws the tumor again, rounder each time, until all of its labels have a few voxels.
    while !has_all_labels(&tissues) {
        head.redraw_tumor(&mut random);
        tissues = head.tissues(size);
    }
    let channels = CONTRASTS
        .iter()
        .map(|contrast| {
            let values = image(&tissues, size, contrast, &mut random);
            Volume::new(grid.clone(), values).expect("a value for each voxel")
        })
        .collect();
    let labels = tissues.iter().map(|tissue| tissue.label()).collect();
    let labels = Some(LabelMap::new(grid, labels).expect("a label for each voxel"));
    let name = format!("phantom_{seed:04}");
    Case::new(name, channels, labels, &task()).expect("a phantom is a case of its task")
}

/// Returns the grid of a phantom.
fn grid(size: usize) -> Grid {
    let spacing = EXTENT_MM / size as f64;
    let far = (size - 1) as f64 * spacing / 2.0;
    let rows = [[-spacing, 0., 0., far], [0., -spacing, 0., far], [0., 0., spacing, -far]];
    Grid::new([size; 3], Affine::from_rows(rows))
}

/// The least number of voxels of each label in a phantom.
const MIN_LABEL_VOXELS: usize = 6;

/// Returns whether every label has at least [`MIN_LABEL_VOXELS`] voxels.
fn has_all_labels(tissues: &[Tissue]) -> bool {
    [Tissue::Necrosis, Tissue::Edema, Tissue::Enhancing].iter().all(|wanted| {
        tissues.iter().filter(|tissue| *tissue == wanted).take(MIN_LABEL_VOXELS).count()
            == MIN_LABEL_VOXELS
    })
}

/// Returns one modality as whole numbers, 0 outside the head. It has tissue means that vary between
/// cases, partial volume, a bias field, texture, noise and a random scale.
fn image(
    tissues: &[Tissue],
    size: usize,
    contrast: &TissueContrast,
    random: &mut Random,
) -> Vec<f32> {
    let variation: [f32; Tissue::COUNT] =
        std::array::from_fn(|_| 1.0 + random.between(-0.06, 0.06));
    let scale = random.between(300.0, 1500.0);
    let deviation = random.between(0.04, 0.08);
    let bias = SmoothNoise::draw(3, random);
    let bias_strength = random.between(0.1, 0.3);
    let texture = SmoothNoise::draw(24, random);
    let mut voxels: Vec<f32> = tissues
        .iter()
        .map(|&tissue| contrast.intensity(tissue) * variation[tissue as usize])
        .collect();
    let strides = [1, size, size * size];
    strides.iter().for_each(|&stride| blur(&mut voxels, tissues, stride, size));
    for k in 0..size {
        for j in 0..size {
            for i in 0..size {
                let index = i + size * (j + size * k);
                let draw = random.gaussian(); // drawn outside too, so that the noise of a voxel does not depend on the head
                if tissues[index] == Tissue::Outside {
                    continue;
                }
                let point = anatomy::point([i, j, k], size);
                let gain = 1.0 + bias_strength * bias.at(point);
                let value = voxels[index] * gain + 0.03 * texture.at(point) + deviation * draw;
                voxels[index] = (value * scale).round().max(1.0);
            }
        }
    }
    voxels
}

/// The share of a neighbor in a voxel's partial volume, along each axis.
const NEIGHBOR_SHARE: f32 = 0.125;

/// Mixes every voxel of the head with its two neighbors in the head along one axis.
fn blur(voxels: &mut [f32], tissues: &[Tissue], stride: usize, size: usize) {
    let outside = |n: usize| tissues[n] == Tissue::Outside;
    let mut before = 0.0;
    for start in 0..voxels.len() {
        // Visits each line along the axis once, from its first voxel.
        if !(start / stride).is_multiple_of(size) {
            continue;
        }
        for n in 0..size {
            let at = start + n * stride;
            let here = voxels[at];
            let low = if n == 0 || outside(at - stride) { here } else { before };
            let high =
                if n + 1 == size || outside(at + stride) { here } else { voxels[at + stride] };
            before = here;
            if !outside(at) {
                voxels[at] = here + NEIGHBOR_SHARE * (low + high - 2.0 * here);
            }
        }
    }
}

#[cfg(test)]
mod tests;
