//! Colors that stand out from their background.

/// An sRGB color.
pub(super) type Color = [u8; 3];

/// The page's background in the light and the dark mode, as in `style.css`.
pub(super) const BACKGROUNDS: [Color; 2] = [[255, 255, 255], [20, 23, 26]];
/// The least contrast of graphics by WCAG 2.2 (success criterion 1.4.11).
const MIN_CONTRAST: f64 = 3.0;

/// Returns the color, moved towards black or white until it stands out from the background.
pub(super) fn legible(color: Color, background: Color) -> Color {
    let end = if luminance(background) > 0.18 { [0; 3] } else { [255; 3] };
    let mixed = (0..=20).map(|n| mix(color, end, f64::from(n) / 20.0));
    let stands_out = |color: &Color| contrast(*color, background) >= MIN_CONTRAST;
    mixed.into_iter().find(stands_out).unwrap_or(end)
}

/// Mixes two colors. `share` is the share of the second.
pub(super) fn mix(a: Color, b: Color, share: f64) -> Color {
    let channel = |n: usize| f64::from(a[n]) * (1.0 - share) + f64::from(b[n]) * share;
    std::array::from_fn(|n| channel(n).round() as u8)
}

/// Formats a color for CSS.
pub(super) fn css([r, g, b]: Color) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Returns the contrast ratio of WCAG 2.2, from 1 to 21.
fn contrast(a: Color, b: Color) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// Returns the relative luminance of WCAG 2.2, from 0 to 1.
fn luminance(color: Color) -> f64 {
    let linear = |value: u8| match f64::from(value) / 255.0 {
        value if value <= 0.04045 => value / 12.92,
        value => ((value + 0.055) / 1.055).powf(2.4),
    };
    let [r, g, b] = color.map(linear);
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_core::Task;

    #[test]
    fn every_regions_color_stands_out_in_the_light_and_the_dark_mode() {
        let labels = (1..=7).map(|code| (code, format!("label {code}"))).collect();
        let task = Task::exclusive("Test", vec!["MRI".into()], labels).unwrap();
        for background in BACKGROUNDS {
            for region in &task.regions {
                let color = legible(region.color, background);
                assert!(contrast(color, background) >= MIN_CONTRAST, "{color:?} on {background:?}");
            }
        }
        assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 1e-9);
        assert_eq!(legible([0, 114, 178], BACKGROUNDS[0]), [0, 114, 178]);
    }
}
