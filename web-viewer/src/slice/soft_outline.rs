//! The border of a region as its probability shows it: sharp where the network is decided, broad
//! where it is not.

/// The distance of a probability from one half at which the outline has 0.6 of its opacity.
const SOFTNESS: f32 = 0.18;

/// The part of the outline's opacity that is left out: that of probabilities below 0.1 and above 0.9.
const VEIL: f32 = 0.085;

/// Draws a slice of regions' probabilities as RGBA pixels for blending over the gray slice. The outline
/// is most opaque where a probability is one half. Where several regions have one, the later, inner one
/// covers the others.
///
/// # Shapes
/// - regions: the probability of every voxel, from 0 to 255, and the color
/// - output: 4 bytes for each of the `indices`
pub fn draw_soft_outlines(
    regions: &[(&[u8], [u8; 3])],
    indices: impl Iterator<Item = usize>,
    opacity: f32,
) -> Vec<u8> {
    let opacity = opacity.clamp(0.0, 1.0);
    let alpha: Vec<f32> = (0..=255u8)
        .map(|byte| {
            let apart = (f32::from(byte) / 255.0 - 0.5) / SOFTNESS;
            // Nothing where the network is sure: a faint veil would lie over the whole scan.
            opacity * ((-0.5 * apart * apart).exp() - VEIL).max(0.0) / (1.0 - VEIL)
        })
        .collect();
    let mut pixels = Vec::new();
    for index in indices {
        let (mut color, mut covered) = ([0.0f32; 3], 0.0f32);
        for (probabilities, own) in regions {
            let own_alpha = alpha[usize::from(probabilities[index])];
            let rest = covered * (1.0 - own_alpha);
            let total = own_alpha + rest;
            if total > 0.0 {
                for (color, own) in color.iter_mut().zip(own) {
                    *color = (f32::from(*own) * own_alpha + *color * rest) / total;
                }
            }
            covered = total;
        }
        pixels.extend(color.map(|value| value.round() as u8));
        pixels.push((covered * 255.0).round() as u8);
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outline_is_where_the_probability_is_a_half() {
        let red = ([0u8, 20, 128, 230, 255].as_slice(), [255, 0, 0]);
        let pixels = draw_soft_outlines(&[red], 0..5, 1.0);
        let alpha: Vec<u8> = pixels.chunks_exact(4).map(|pixel| pixel[3]).collect();
        assert_eq!((alpha[0], alpha[2], alpha[4]), (0, 255, 0));
        assert!(alpha[1] < 40 && alpha[3] < 50, "{alpha:?}");
        assert_eq!(pixels[8..11], [255, 0, 0]);
        let faint = draw_soft_outlines(&[red], 2..3, 0.5);
        assert!((127..=128).contains(&faint[3]));
    }

    #[test]
    fn an_inner_region_covers_an_outer_one() {
        let red = ([128u8].as_slice(), [255, 0, 0]);
        let blue = ([128u8].as_slice(), [0, 0, 255]);
        let pixels = draw_soft_outlines(&[red, blue], 0..1, 1.0);
        assert!(pixels[2] > 250 && pixels[0] < 5 && pixels[3] == 255, "{pixels:?}");
        let half = draw_soft_outlines(&[red, blue], 0..1, 0.5);
        assert!(half[0] > 60 && half[2] > half[0], "{half:?}");
    }
}
