//! Fills the slices between those that were drawn.

use super::RegionMask;

/// A slice of the mask.
struct Slice {
    /// Signed distances in mm to the region's border, negative inside.
    ///
    /// # Shapes
    /// `[b][a]` of the two axes in the slice
    distances_mm: Vec<f32>,
    /// The middle of the region's pixels.
    center: [f64; 2],
}

/// Returns the mask with the empty slices between two filled ones interpolated, along an axis of the voxels.
///
/// The signed distances to the border are blended linearly (shape-based interpolation, Raya and Udupa 1990).
/// If the shapes of two slices do not overlap, they are moved onto a common line between their centers, so
/// that the interpolated shape does not vanish.
pub fn fill_between_slices(mask: &RegionMask, axis: usize, spacing_mm: [f64; 3]) -> Vec<bool> {
    let dims = mask.dims();
    let strides = [1, dims[0], dims[0] * dims[1]];
    let [a, b] = [[1, 2], [0, 2], [0, 1]][axis];
    let size = [dims[a], dims[b]];
    let voxel =
        |slice: usize, [x, y]: [usize; 2]| slice * strides[axis] + x * strides[a] + y * strides[b];
    let pixels = || (0..size[1]).flat_map(move |y| (0..size[0]).map(move |x| [x, y]));
    let spacing_mm = [spacing_mm[a], spacing_mm[b]];
    let mut filled = mask.inside().to_vec();
    let mut last: Option<(usize, Option<Slice>)> = None;
    for slice in 0..dims[axis] {
        let inside: Vec<bool> = pixels().map(|pixel| mask.inside()[voxel(slice, pixel)]).collect();
        if !inside.contains(&true) {
            continue;
        }
        let Some((from, earlier)) = last.take().filter(|(from, _)| from + 1 < slice) else {
            last = Some((slice, None));
            continue;
        };
        let earlier = earlier.unwrap_or_else(|| {
            let inside: Vec<bool> =
                pixels().map(|pixel| mask.inside()[voxel(from, pixel)]).collect();
            Slice::new(&inside, size, spacing_mm)
        });
        let later = Slice::new(&inside, size, spacing_mm);
        let moves = !overlap(&earlier, &later);
        for between in from + 1..slice {
            let t = (between - from) as f64 / (slice - from) as f64;
            let blended = blend([&earlier, &later], t, size, spacing_mm, moves);
            for (pixel, inside) in pixels().zip(blended) {
                filled[voxel(between, pixel)] |= inside;
            }
        }
        last = Some((slice, Some(later)));
    }
    filled
}

impl Slice {
    fn new(inside: &[bool], size: [usize; 2], spacing_mm: [f64; 2]) -> Slice {
        let to_inside = squared_distances(inside, size, spacing_mm);
        let outside: Vec<bool> = inside.iter().map(|inside| !inside).collect();
        let to_outside = squared_distances(&outside, size, spacing_mm);
        // Half a pixel is between the centers on both sides of the border.
        let half = (spacing_mm[0].min(spacing_mm[1]) / 2.0) as f32;
        // Beyond the edge there is no shape either.
        let to_edge = |n: usize| {
            let at = [n % size[0], n / size[0]];
            let steps = |axis: usize| (at[axis] + 1).min(size[axis] - at[axis]) as f64;
            (steps(0) * spacing_mm[0]).min(steps(1) * spacing_mm[1]) as f32
        };
        let signed = |(n, inside): (usize, &bool)| match inside {
            true => half - to_outside[n].sqrt().min(to_edge(n)),
            false => to_inside[n].sqrt() - half,
        };
        let distances_mm = inside.iter().enumerate().map(signed).collect();
        let (mut sum, mut count) = ([0.0; 2], 0.0);
        for n in (0..inside.len()).filter(|&n| inside[n]) {
            sum = [sum[0] + (n % size[0]) as f64, sum[1] + (n / size[0]) as f64];
            count += 1.0;
        }
        Slice { distances_mm, center: sum.map(|x| x / f64::max(count, 1.0)) }
    }
}

fn overlap(a: &Slice, b: &Slice) -> bool {
    a.distances_mm.iter().zip(&b.distances_mm).any(|(a, b)| *a < 0.0 && *b < 0.0)
}

/// Returns the pixels inside the shape at `t` between two slices, from 0 to 1.
fn blend(
    [from, to]: [&Slice; 2],
    t: f64,
    size: [usize; 2],
    spacing_mm: [f64; 2],
    moves: bool,
) -> Vec<bool> {
    let shift = |slice: &Slice| {
        let center = [0, 1].map(|n| from.center[n] + t * (to.center[n] - from.center[n]));
        [0, 1].map(|n| if moves { (center[n] - slice.center[n]).round() as isize } else { 0 })
    };
    let (from_shift, to_shift) = (shift(from), shift(to));
    let at = |slice: &Slice, pixel: [usize; 2], shift: [isize; 2]| {
        let moved = [0, 1].map(|n| pixel[n] as isize - shift[n]);
        let nearest = [0, 1].map(|n| moved[n].clamp(0, size[n] as isize - 1));
        // Beyond the edge there is no shape: the distance grows from that of the nearest pixel.
        let beyond = [0, 1].map(|n| (moved[n] - nearest[n]) as f64 * spacing_mm[n]);
        let [x, y] = nearest.map(|n| n as usize);
        slice.distances_mm[x + size[0] * y] + beyond[0].hypot(beyond[1]) as f32
    };
    let t = t as f32;
    (0..size[0] * size[1])
        .map(|n| {
            let pixel = [n % size[0], n / size[0]];
            (1.0 - t) * at(from, pixel, from_shift) + t * at(to, pixel, to_shift) < 0.0
        })
        .collect()
}

/// Returns for each pixel the squared distance to the nearest pixel of `inside`, in mm²: exact, one axis
/// after the other.
fn squared_distances(inside: &[bool], size: [usize; 2], spacing_mm: [f64; 2]) -> Vec<f32> {
    let [width, height] = size;
    // Along the columns: the distance to the nearest pixel above or below.
    let mut within = vec![f32::INFINITY; inside.len()];
    for x in 0..width {
        for ys in [&mut (0..height) as &mut dyn Iterator<Item = usize>, &mut (0..height).rev()] {
            let mut distance = f32::INFINITY;
            for y in ys {
                distance =
                    if inside[x + width * y] { 0.0 } else { distance + spacing_mm[1] as f32 };
                let n = x + width * y;
                within[n] = within[n].min(distance);
            }
        }
    }
    let mut squares = Vec::with_capacity(inside.len());
    for row in within.chunks_exact(width) {
        squares.extend((0..width).map(|x| {
            let square = |(other, within): (usize, &f32)| {
                let across = x.abs_diff(other) as f32 * spacing_mm[0] as f32;
                across * across + within * within
            };
            row.iter().enumerate().map(square).fold(f32::INFINITY, f32::min)
        }));
    }
    squares
}

#[cfg(test)]
mod tests {
    use super::super::region_mask::tests::map_of;
    use super::*;

    fn filled(dims: [usize; 3], axis: usize, inside: impl Fn([usize; 3]) -> bool) -> Vec<bool> {
        let map = map_of(dims, |voxel| u8::from(inside(voxel)));
        let mask = RegionMask::new(&map, &[1], 0).unwrap();
        assert_eq!(mask.dims(), dims, "the shapes touch all sides");
        fill_between_slices(&mask, axis, [1.0; 3])
    }

    #[test]
    fn a_cone_is_restored_from_its_ends() {
        let radius = |k: usize| 16.0 - k as f64;
        let cone = |[i, j, k]: [usize; 3]| {
            let [x, y] = [i, j].map(|x| x as f64 - 16.0);
            x * x + y * y <= radius(k) * radius(k)
        };
        let result = filled([33, 33, 9], 2, |voxel| cone(voxel) && [0, 8].contains(&voxel[2]));
        let wrong = (0..result.len())
            .filter(|&n| result[n] != cone([n % 33, n / 33 % 33, n / 33 / 33]))
            .count();
        let volume = result.iter().filter(|&&inside| inside).count();
        assert!(wrong * 30 < volume, "{wrong} of {volume} voxels");
    }

    #[test]
    fn the_axis_may_be_any_and_drawn_slices_stay() {
        for axis in 0..3 {
            let mut dims = [7; 3];
            dims[axis] = 5;
            let result = filled(dims, axis, |voxel| voxel[axis] == 0 || voxel[axis] == 4);
            assert!(result.iter().all(|&inside| inside));
        }
        // Between adjacent slices there is nothing to fill.
        let result = filled([2, 1, 2], 2, |[i, _, k]| i == k);
        assert_eq!(result, [true, false, false, true]);
    }

    #[test]
    fn shapes_that_do_not_overlap_are_joined_on_the_way() {
        let square = |[i, j, k]: [usize; 3]| match k {
            0 => i < 4 && j < 4,
            6 => i >= 12 && j >= 12,
            _ => false,
        };
        let result = filled([16, 16, 7], 2, square);
        for k in 1..6 {
            let count = result[256 * k..256 * (k + 1)].iter().filter(|&&inside| inside).count();
            assert!((12..=20).contains(&count), "slice {k} has {count} pixels");
        }
    }
}
