//! Euclidean distance transforms on small grids (Felzenszwalb and Huttenlocher 2012, "Distance
//! transforms of sampled functions").

/// Returns the distance in mm of each voxel from the nearest voxel of the mask; 0 in the mask, and
/// infinite everywhere if the mask is empty.
pub(super) fn distance_mm(mask: &[bool], dims: [usize; 3], spacing_mm: [f32; 3]) -> Vec<f32> {
    let mut squares: Vec<f32> =
        mask.iter().map(|&inside| if inside { 0.0 } else { f32::INFINITY }).collect();
    let strides = [1, dims[0], dims[0] * dims[1]];
    for axis in 0..3 {
        let (stride, length) = (strides[axis], dims[axis]);
        let mut line = vec![0.0; length];
        let mut envelope = Envelope::default();
        for start in 0..squares.len() {
            if !(start / stride).is_multiple_of(length) {
                continue;
            }
            (0..length).for_each(|n| line[n] = squares[start + n * stride]);
            envelope.build(&line, spacing_mm[axis]);
            envelope.evaluate(length, spacing_mm[axis], |n, square| {
                squares[start + n * stride] = square;
            });
        }
    }
    squares.into_iter().map(f32::sqrt).collect()
}

/// The lower envelope of the parabolas (x − center)² + height of one line.
#[derive(Default)]
struct Envelope {
    /// Center, height, and the position from which the parabola is the lowest.
    parabolas: Vec<[f32; 3]>,
}

impl Envelope {
    fn build(&mut self, heights: &[f32], spacing_mm: f32) {
        self.parabolas.clear();
        for (n, &height) in heights.iter().enumerate().filter(|(_, height)| height.is_finite()) {
            let center = n as f32 * spacing_mm;
            let mut from = f32::NEG_INFINITY;
            while let Some(&[last, last_height, last_from]) = self.parabolas.last() {
                from = (height + center * center - last_height - last * last)
                    / (2.0 * (center - last));
                if from > last_from {
                    break;
                }
                self.parabolas.pop();
                from = f32::NEG_INFINITY;
            }
            self.parabolas.push([center, height, from]);
        }
    }

    fn evaluate(&self, length: usize, spacing_mm: f32, mut write: impl FnMut(usize, f32)) {
        let mut at = 0;
        for n in 0..length {
            let x = n as f32 * spacing_mm;
            while self.parabolas.get(at + 1).is_some_and(|next| next[2] <= x) {
                at += 1;
            }
            let square = self
                .parabolas
                .get(at)
                .map_or(f32::INFINITY, |[center, height, _]| (x - center) * (x - center) + height);
            write(n, square);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_to_the_nearest_voxel_of_the_mask() {
        let (dims, spacing) = ([7, 6, 5], [1.0, 2.0, 1.5]);
        let inside = [[1, 1, 1], [5, 4, 3], [6, 0, 4]];
        let at = |[i, j, k]: [usize; 3]| i + dims[0] * (j + dims[1] * k);
        let mut mask = vec![false; 210];
        inside.iter().for_each(|voxel| mask[at(*voxel)] = true);
        let found = distance_mm(&mask, dims, spacing);
        for (n, found) in found.into_iter().enumerate() {
            let voxel = [n % 7, n / 7 % 6, n / 42];
            let distance = |other: &[usize; 3]| {
                let square = |a: usize| {
                    let apart = (voxel[a] as f32 - other[a] as f32) * spacing[a];
                    apart * apart
                };
                (square(0) + square(1) + square(2)).sqrt()
            };
            let expected = inside.iter().map(distance).fold(f32::INFINITY, f32::min);
            assert!((found - expected).abs() < 1e-4, "{voxel:?}: {found} {expected}");
        }
        assert!(distance_mm(&[false; 8], [2; 3], [1.0; 3]).iter().all(|d| d.is_infinite()));
    }
}
