//! Labels as colors over a slice.

/// The color of every label code; none where nothing visible has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Colors([Option<[u8; 3]>; 256]);

/// How much more opaque a region's outline is than its inside.
const OUTLINE: f32 = 0.45;

impl Colors {
    /// From the visible regions, each its codes and its color. Of nested regions the later, inner
    /// one covers the earlier.
    pub fn new<'a>(visible: impl IntoIterator<Item = (&'a [u8], [u8; 3])>) -> Colors {
        let mut colors = [None; 256];
        for (codes, color) in visible {
            codes.iter().for_each(|&code| colors[usize::from(code)] = Some(color));
        }
        colors[0] = None;
        Colors(colors)
    }

    /// The color of a label code.
    pub fn of(&self, code: u8) -> Option<[u8; 3]> {
        self.0[usize::from(code)]
    }
}

/// The pixels of a slice's labels, as RGBA to be laid over the gray; `width` pixels a row.
/// An `opacity` of 0 shows nothing, of 1 hides what is below.
pub fn draw_overlay(
    labels: &[u8],
    indices: impl Iterator<Item = usize>,
    width: usize,
    colors: &Colors,
    opacity: f32,
) -> Vec<u8> {
    let pixels: Vec<Option<[u8; 3]>> = indices.map(|n| colors.of(labels[n])).collect();
    let opacity = opacity.clamp(0.0, 1.0);
    let outline = if opacity > 0.0 { (opacity + OUTLINE).min(1.0) } else { 0.0 };
    let alpha = |n: usize| {
        let (x, same) = (n % width, |m: usize| pixels.get(m) == Some(&pixels[n]));
        let inside = x > 0
            && x + 1 < width
            && n >= width
            && [n - 1, n + 1, n - width, n + width].into_iter().all(same);
        ((if inside { opacity } else { outline }) * 255.0).round() as u8
    };
    let rgba = |n: usize| match pixels[n] {
        Some([r, g, b]) => [r, g, b, alpha(n)],
        None => [0; 4],
    };
    (0..pixels.len()).flat_map(rgba).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: [u8; 3] = [255, 0, 0];
    const BLUE: [u8; 3] = [0, 0, 255];

    #[test]
    fn an_inner_region_covers_the_outer_while_it_is_visible() {
        let both = Colors::new([(&[1u8, 2][..], RED), (&[2][..], BLUE)]);
        assert_eq!([0, 1, 2, 3].map(|c| both.of(c)), [None, Some(RED), Some(BLUE), None]);
        let outer = Colors::new([(&[1u8, 2][..], RED)]);
        assert_eq!(outer.of(2), Some(RED));
    }

    #[test]
    fn regions_are_filled_with_a_stronger_outline() {
        let labels = [1u8; 9];
        let colors = Colors::new([(&[1u8][..], RED)]);
        let pixels = draw_overlay(&labels, 0..9, 3, &colors, 0.4);
        let alpha: Vec<u8> = pixels.chunks_exact(4).map(|p| p[3]).collect();
        assert_eq!(alpha, [217, 217, 217, 217, 102, 217, 217, 217, 217]);
        assert_eq!(pixels[..3], RED);
    }

    #[test]
    fn opacity_zero_and_background_show_nothing() {
        let colors = Colors::new([(&[0u8, 1][..], RED)]);
        assert!(draw_overlay(&[0; 4], 0..4, 2, &colors, 1.0).iter().all(|&b| b == 0));
        let invisible = draw_overlay(&[1; 4], 0..4, 2, &colors, 0.0);
        assert!(invisible.chunks_exact(4).all(|p| p[3] == 0));
    }
}
