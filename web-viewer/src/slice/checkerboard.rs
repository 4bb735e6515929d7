//! Two pictures of a slice in one, to compare where they lie.

/// The fields of the checkerboard along the longer side of the slice.
const NUM_FIELDS: usize = 8;

/// Joins two slices of RGBA pixels, `width` in a row, as the fields of a checkerboard. The first has the
/// field at the top left.
pub fn draw_checkerboard(mut first: Vec<u8>, second: &[u8], width: usize) -> Vec<u8> {
    let height = first.len() / 4 / width.max(1);
    let side = width.max(height).div_ceil(NUM_FIELDS).max(1);
    let pixels = first.chunks_exact_mut(4).zip(second.chunks_exact(4)).enumerate();
    for (n, (first, second)) in pixels {
        let (x, y) = (n % width / side, n / width / side);
        if (x + y) % 2 == 1 {
            first.copy_from_slice(second);
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_alternate_between_two_slices() {
        // 16 × 8 pixels: fields of 2 × 2.
        let joined = draw_checkerboard(vec![1; 16 * 8 * 4], &[2; 16 * 8 * 4], 16);
        let at = |x: usize, y: usize| joined[(x + 16 * y) * 4];
        assert_eq!(
            [at(0, 0), at(1, 1), at(2, 0), at(0, 2), at(2, 2), at(15, 7)],
            [1, 1, 2, 2, 1, 1]
        );
    }
}
