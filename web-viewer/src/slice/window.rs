//! The radiological window: maps intensities to grays.

/// A radiological window: the range of intensities shown from black to white.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// The intensity of middle gray.
    pub level: f32,
    /// The difference of the intensities of white and black; positive.
    pub width: f32,
}

/// The fraction of voxels that the robust window leaves out at either end.
const OUTLIER_FRACTION: f64 = 0.005;
/// The most voxels from which percentiles are estimated: enough for an error that is not visible.
const MAX_SAMPLES: usize = 200_000;

impl Window {
    /// Makes a window from the intensities of black and white. Equal intensities give a narrow window.
    pub fn between(black: f32, white: f32) -> Window {
        let width = (white - black).max(f32::EPSILON * white.abs()).max(1e-6);
        Window { level: black + width / 2.0, width }
    }

    /// Makes a window that shows the foreground: from the 0.5th to the 99.5th percentile of the voxels
    /// that are finite and not zero. Without negative voxels it starts at zero.
    pub fn robust(voxels: &[f32]) -> Window {
        let step = voxels.len().div_ceil(MAX_SAMPLES).max(1);
        let mut samples: Vec<f32> = voxels.iter().copied().step_by(step).collect();
        samples.retain(|v| v.is_finite() && *v != 0.0);
        if samples.is_empty() {
            return Window::between(0.0, 1.0);
        }
        samples.sort_unstable_by(f32::total_cmp);
        let quantile = |q: f64| samples[((samples.len() - 1) as f64 * q).round() as usize];
        let (low, high) = (quantile(OUTLIER_FRACTION), quantile(1.0 - OUTLIER_FRACTION));
        Window::between(low.min(0.0), high.max(low))
    }

    /// Returns the gray of an intensity; NaN is black.
    pub fn gray(self, intensity: f32) -> u8 {
        let black = self.level - self.width / 2.0;
        // The conversion to an integer saturates, and maps NaN to 0.
        ((intensity - black) / self.width * 255.0 + 0.5) as u8
    }
}

/// Draws a slice in gray, as RGBA pixels.
pub fn draw_gray(voxels: &[f32], indices: impl Iterator<Item = usize>, window: Window) -> Vec<u8> {
    indices
        .flat_map(|n| {
            let gray = window.gray(voxels[n]);
            [gray, gray, gray, 255]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_runs_from_black_to_white() {
        let window = Window { level: 50.0, width: 100.0 };
        let grays =
            [-10.0, 0.0, 50.0, 100.0, 1e30, f32::NAN, f32::INFINITY].map(|v| window.gray(v));
        assert_eq!(grays, [0, 0, 128, 255, 255, 0, 255]);
    }

    #[test]
    fn a_few_outliers_do_not_darken_the_rest() {
        let mut voxels: Vec<f32> = (0..10_000).map(|n| (n % 100) as f32).collect();
        voxels[5] = 1e9;
        voxels[6] = f32::NAN;
        let window = Window::robust(&voxels);
        assert!((0.0..=1.0).contains(&(window.level - window.width / 2.0)), "{window:?}");
        assert!((98.0..=100.0).contains(&(window.level + window.width / 2.0)), "{window:?}");
    }

    #[test]
    fn empty_constant_and_negative_volumes_have_a_window() {
        for voxels in [vec![], vec![0.0; 9], vec![7.0; 9], vec![f32::NAN; 3], vec![-4.0, -2.0]] {
            let window = Window::robust(&voxels);
            assert!(window.width > 0.0 && window.level.is_finite(), "{voxels:?}: {window:?}");
        }
    }

    #[test]
    fn a_slice_is_drawn_in_the_order_of_its_indices() {
        let window = Window::between(0.0, 255.0);
        let pixels = draw_gray(&[0.0, 10.0, 20.0], [2, 0].into_iter(), window);
        assert_eq!(pixels, [20, 20, 20, 255, 0, 0, 0, 255]);
    }
}
