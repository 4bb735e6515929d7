//! Labels as colors over a slice.

/// The color of each label code, or `None` for a code that no visible region has.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelColors([Option<[u8; 3]>; 256]);

/// The opacity added to that of a region's inside to draw its outline.
const OUTLINE_OPACITY: f32 = 0.45;

impl LabelColors {
    /// Assigns colors from the label codes and the color of each visible region. Of nested regions, the
    /// later, inner one covers the earlier.
    pub fn new<'a>(regions: impl IntoIterator<Item = (&'a [u8], [u8; 3])>) -> LabelColors {
        let mut colors = [None; 256];
        for (codes, color) in regions {
            codes.iter().for_each(|&code| colors[usize::from(code)] = Some(color));
        }
        colors[0] = None;
        LabelColors(colors)
    }

    /// Returns the color of a label code.
    pub fn color(&self, code: u8) -> Option<[u8; 3]> {
        self.0[usize::from(code)]
    }
}

/// Draws a slice's labels as RGBA pixels, `width` in a row, for blending over the gray slice.
///
/// With an `opacity` of 0 nothing is visible, with 1 the gray slice is hidden. Regions have an outline
/// that is more opaque than their inside.
pub fn draw_overlay(
    labels: &[u8],
    indices: impl Iterator<Item = usize>,
    width: usize,
    colors: &LabelColors,
    opacity: f32,
) -> Vec<u8> {
    let pixels: Vec<Option<[u8; 3]>> = indices.map(|n| colors.color(labels[n])).collect();
    let opacity = opacity.clamp(0.0, 1.0);
    let outline = if opacity > 0.0 { (opacity + OUTLINE_OPACITY).min(1.0) } else { 0.0 };
    let alpha = |n: usize| {
        let x = n % width;
        let has_same_color = |m: usize| pixels.get(m) == Some(&pixels[n]);
        let is_inside = x > 0
            && x + 1 < width
            && n >= width
            && [n - 1, n + 1, n - width, n + width].into_iter().all(has_same_color);
        ((if is_inside { opacity } else { outline }) * 255.0).round() as u8
    };
    let rgba = |n: usize| match pixels[n] {
        Some([r, g, b]) => [r, g, b, alpha(n)],
        None => [0; 4],
    };
    (0..pixels.len()).flat_map(rgba).collect()
}

/// Returns the edges between the inside and the outside of a mask's slice, each as a line between two
/// corners of pixels. `width` pixels are in a row.
pub fn mask_edges(
    mask: &[u8],
    indices: impl Iterator<Item = usize>,
    width: usize,
) -> Vec<[[usize; 2]; 2]> {
    let inside: Vec<bool> = indices.map(|n| mask[n] != 0).collect();
    let height = inside.len() / width.max(1);
    let is_inside = |x: usize, y: usize| x < width && y < height && inside[x + width * y];
    let mut edges = Vec::new();
    for y in 0..=height {
        for x in 0..=width {
            // The pixels left of and above a pixel; beyond the first there are none.
            let left = x > 0 && is_inside(x - 1, y);
            let above = y > 0 && is_inside(x, y - 1);
            if is_inside(x, y) != left && y < height {
                edges.push([[x, y], [x, y + 1]]);
            }
            if is_inside(x, y) != above && x < width {
                edges.push([[x, y], [x + 1, y]]);
            }
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_a_mask_surround_it() {
        // Two pixels side by side in the upper right corner of 3 × 2 pixels.
        let mask = [0, 1, 1, 0, 0, 0];
        let mut edges = mask_edges(&mask, 0..6, 3);
        edges.sort_unstable();
        let expected = [
            [[1, 0], [1, 1]],
            [[1, 0], [2, 0]],
            [[1, 1], [2, 1]],
            [[2, 0], [3, 0]],
            [[2, 1], [3, 1]],
            [[3, 0], [3, 1]],
        ];
        assert_eq!(edges, expected);
        assert!(mask_edges(&[0; 6], 0..6, 3).is_empty());
    }

    const RED: [u8; 3] = [255, 0, 0];
    const BLUE: [u8; 3] = [0, 0, 255];

    #[test]
    fn an_inner_region_covers_the_outer_while_it_is_visible() {
        let both = LabelColors::new([(&[1u8, 2][..], RED), (&[2][..], BLUE)]);
        assert_eq!([0, 1, 2, 3].map(|c| both.color(c)), [None, Some(RED), Some(BLUE), None]);
        let outer = LabelColors::new([(&[1u8, 2][..], RED)]);
        assert_eq!(outer.color(2), Some(RED));
    }

    #[test]
    fn regions_are_filled_with_a_stronger_outline() {
        let labels = [1u8; 9];
        let colors = LabelColors::new([(&[1u8][..], RED)]);
        let pixels = draw_overlay(&labels, 0..9, 3, &colors, 0.4);
        let alpha: Vec<u8> = pixels.chunks_exact(4).map(|p| p[3]).collect();
        assert_eq!(alpha, [217, 217, 217, 217, 102, 217, 217, 217, 217]);
        assert_eq!(pixels[..3], RED);
    }

    #[test]
    fn opacity_zero_and_background_show_nothing() {
        let colors = LabelColors::new([(&[0u8, 1][..], RED)]);
        assert!(draw_overlay(&[0; 4], 0..4, 2, &colors, 1.0).iter().all(|&b| b == 0));
        let invisible = draw_overlay(&[1; 4], 0..4, 2, &colors, 0.0);
        assert!(invisible.chunks_exact(4).all(|p| p[3] == 0));
    }
}
