//! Windows to choose from, and windows remembered for the next scan.

use serde::{Deserialize, Serialize};

use super::Window;

/// The most voxels from which percentiles are estimated.
const MAX_SAMPLES: usize = 100_000;

/// Below this lowest intensity a scan is taken for computed tomography, whose intensities are Hounsfield
/// units; air has −1000.
const CT_MINIMUM: f32 = -500.0;

/// Returns windows by name for the voxels of a scan. Percentiles are of the voxels that are finite and not
/// zero.
pub fn window_presets(voxels: &[f32]) -> Vec<(&'static str, Window)> {
    let step = voxels.len().div_ceil(MAX_SAMPLES).max(1);
    let mut samples: Vec<f32> = voxels.iter().copied().step_by(step).collect();
    samples.retain(|v| v.is_finite() && *v != 0.0);
    samples.sort_unstable_by(f32::total_cmp);
    let (Some(&lowest), Some(&highest)) = (samples.first(), samples.last()) else {
        return Vec::new();
    };
    let quantile = |q: f64| samples[((samples.len() - 1) as f64 * q).round() as usize];
    let mut presets = vec![
        ("Full range", Window::between(lowest.min(0.0), highest)),
        ("High contrast", Window::between(quantile(0.1), quantile(0.9))),
        ("Bright parts", Window::between(quantile(0.5), quantile(0.999))),
        ("Dark parts", Window::between(lowest.min(0.0), quantile(0.5))),
    ];
    if lowest < CT_MINIMUM {
        presets.push(("CT brain", Window { level: 40.0, width: 80.0 }));
        presets.push(("CT bone", Window { level: 600.0, width: 2800.0 }));
    }
    presets
}

/// A window relative to the one that is shown first, so that it suits another scan of the same kind.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelativeWindow {
    /// The level's distance from the first one, in widths of the first.
    offset: f32,
    /// The factor of the width.
    factor: f32,
}

impl RelativeWindow {
    /// Returns a window relative to the first one.
    pub fn new(window: Window, first: Window) -> RelativeWindow {
        let offset = (window.level - first.level) / first.width;
        RelativeWindow { offset, factor: window.width / first.width }
    }

    /// Returns the window beside another first one; `None` if the numbers, which the browser stored, make
    /// none.
    pub fn beside(self, first: Window) -> Option<Window> {
        let level = first.level + self.offset * first.width;
        let width = self.factor * first.width;
        (level.is_finite() && width.is_finite() && width > 0.0).then_some(Window { level, width })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_cover_the_parts_of_a_scan() {
        let voxels: Vec<f32> = (0..=1000).map(|n| n as f32).collect();
        let presets = window_presets(&voxels);
        let named = |name: &str| presets.iter().find(|(n, _)| *n == name).map(|(_, w)| *w);
        let grays = |name: &str| {
            let window = named(name).unwrap();
            [100.0, 500.0, 900.0].map(|v| window.gray(v))
        };
        assert_eq!(grays("Full range"), [26, 128, 230]);
        assert_eq!(grays("High contrast"), [0, 127, 255]);
        assert_eq!(grays("Bright parts")[1], 0);
        assert_eq!(grays("Dark parts"), [51, 254, 255]);
        assert_eq!(named("CT brain"), None);
        assert_eq!(window_presets(&[0.0, f32::NAN]), []);
        let ct: Vec<f32> = (-1000..1000).map(|n| n as f32).collect();
        assert!(window_presets(&ct).iter().any(|(name, _)| *name == "CT brain"));
    }

    #[test]
    fn a_remembered_window_suits_a_scan_of_other_intensities() {
        let first = Window::between(0.0, 100.0);
        let remembered = RelativeWindow::new(Window { level: 75.0, width: 50.0 }, first);
        let brighter = Window::between(0.0, 1000.0);
        assert_eq!(remembered.beside(brighter), Some(Window { level: 750.0, width: 500.0 }));
        for (offset, factor) in [(f32::NAN, 1.0), (0.0, 0.0), (0.0, -1.0), (f32::INFINITY, 1.0)] {
            assert_eq!(RelativeWindow { offset, factor }.beside(first), None);
        }
    }
}
