//! The places of the reference's head at which the scans are compared.

use glam::{DVec3, Vec3};

use super::moving::MovingImage;
use super::pyramid::{BINS, HEAD_THRESHOLD, Level};

/// The largest number of places; more do not make the result better.
const MAX_SAMPLES: usize = 120_000;

/// How far the background around the head belongs to it: the skin is the strongest edge there is.
const MARGIN_MM: f64 = 8.0;

/// Places in the reference's head, in the order of its voxels.
pub(super) struct Samples {
    /// The center of the head, in world millimeters of the reference.
    pub center: DVec3,
    /// The root mean square distance of the places to the center.
    pub radius_mm: f64,
    /// World millimeters from the center.
    pub offsets: Vec<Vec3>,
    /// The reference's intensity, as an index of the histogram.
    pub bins: Vec<u8>,
}

impl Samples {
    /// Places samples at random within voxels.
    ///
    /// On the voxels' centers, the two lattices would agree under the identity, and interpolation
    /// would favor it (Pluim et al. 2000). A place is a function of its voxel's index.
    pub fn new(level: &Level) -> Samples {
        let head = head(level);
        let num_head = head.iter().filter(|&&is_head| is_head).count();
        let every = num_head.div_ceil(MAX_SAMPLES).max(1) as u64;
        let image = MovingImage::new(level);
        let [ni, nj, _] = level.dims;
        let (mut places, mut bins) = (Vec::new(), Vec::new());
        for (index, _) in head.iter().enumerate().filter(|(_, is_head)| **is_head) {
            let random = hash(index as u64);
            if !random.is_multiple_of(every) {
                continue;
            }
            let jitter = |n: u32| (random >> (16 + 16 * n) & 0xffff) as f64 / 65536.0 - 0.5;
            let voxel = [index % ni, index / ni % nj, index / ni / nj].map(|n| n as f64);
            let at = DVec3::new(voxel[0] + jitter(0), voxel[1] + jitter(1), voxel[2] + jitter(2));
            if let Some((value, _)) = image.at(at.as_vec3()) {
                places.push(level.world_from_voxel.transform_point3(at));
                bins.push((value + 0.5).min((BINS - 1) as f32) as u8);
            }
        }
        let mean = |sum: DVec3| sum / places.len().max(1) as f64;
        let center = mean(places.iter().copied().sum());
        let square = mean(places.iter().map(|place| (place - center) * (place - center)).sum());
        let radius_mm = square.element_sum().sqrt().max(1.0);
        let offsets = places.iter().map(|place| (place - center).as_vec3()).collect();
        Samples { center, radius_mm, offsets, bins }
    }
}

/// Returns which voxels belong to the head or its surroundings.
pub(super) fn head(level: &Level) -> Vec<bool> {
    let threshold = HEAD_THRESHOLD * (BINS - 1) as f32;
    let mut head: Vec<bool> = level.values.iter().map(|&value| value > threshold).collect();
    let mut stride = 1;
    let matrix = level.world_from_voxel.matrix3;
    for (dim, step) in level.dims.into_iter().zip([matrix.x_axis, matrix.y_axis, matrix.z_axis]) {
        let margin = (MARGIN_MM / step.length()).round() as usize;
        dilate(&mut head, dim, stride, margin);
        stride *= dim;
    }
    head
}

/// Extends the head by `margin` voxels along the axis of `dim` voxels that are `stride` apart.
fn dilate(head: &mut [bool], dim: usize, stride: usize, margin: usize) {
    let mut line = vec![false; dim];
    for block in 0..head.len() / (dim * stride) {
        for lane in 0..stride {
            let first = block * dim * stride + lane;
            line.fill(false);
            let mut end = 0;
            for n in (0..dim).filter(|n| head[first + n * stride]) {
                let from = n.saturating_sub(margin).max(end);
                end = (n + margin + 1).min(dim);
                line[from.min(end)..end].fill(true);
            }
            line.iter().enumerate().for_each(|(n, &is_head)| head[first + n * stride] = is_head);
        }
    }
}

/// Returns random bits for an index (SplitMix64, Steele et al. 2014).
fn hash(index: u64) -> u64 {
    let mut x = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}
