//! Colors for gray values.

/// A map from gray to color.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colormap {
    /// Black to white.
    #[default]
    Gray,
    /// White to black.
    Inverted,
    /// Black over red and yellow to white.
    Inferno,
    /// Dark blue over green to yellow.
    Viridis,
    /// Equal steps of many hues.
    Turbo,
}

impl Colormap {
    /// All maps, in the order of the menu.
    pub const ALL: [Colormap; 5] =
        [Colormap::Gray, Colormap::Inverted, Colormap::Inferno, Colormap::Viridis, Colormap::Turbo];

    /// Returns the name.
    pub fn name(self) -> &'static str {
        ["Gray", "Inverted", "Inferno", "Viridis", "Turbo"][self as usize]
    }

    /// Colors RGBA pixels that are gray.
    pub fn apply(self, pixels: &mut [u8]) {
        let gradient = match self {
            Colormap::Gray => return,
            Colormap::Inverted => {
                for pixel in pixels.chunks_exact_mut(4) {
                    pixel[..3].iter_mut().for_each(|channel| *channel = 255 - *channel);
                }
                return;
            }
            Colormap::Inferno => colorous::INFERNO,
            Colormap::Viridis => colorous::VIRIDIS,
            Colormap::Turbo => colorous::TURBO,
        };
        let table: [[u8; 3]; 256] =
            std::array::from_fn(|gray| gradient.eval_rational(gray, 256).as_array());
        for pixel in pixels.chunks_exact_mut(4) {
            let color = table[usize::from(pixel[0])];
            pixel[..3].copy_from_slice(&color);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grays_are_colored_and_opacity_stays() {
        let gray = [0, 0, 0, 255, 255, 255, 255, 7];
        let colored = |map: Colormap| {
            let mut pixels = gray;
            map.apply(&mut pixels);
            pixels
        };
        assert_eq!(colored(Colormap::Gray), gray);
        assert_eq!(colored(Colormap::Inverted), [255, 255, 255, 255, 0, 0, 0, 7]);
        // The ends of matplotlib's viridis: python -c "import matplotlib as m;
        // print(*[m.colormaps['viridis'](x, bytes=True) for x in (0, 255)])"
        assert_eq!(colored(Colormap::Viridis), [68, 1, 84, 255, 253, 231, 37, 7]);
        assert_ne!(colored(Colormap::Turbo), colored(Colormap::Inferno));
    }
}
