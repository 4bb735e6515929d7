//! Charts as SVG with the fonts and colors of the page's style: they follow the reader's light or
//! dark mode and print sharply. Charting crates write colors and fonts into each mark, where no
//! style can change them.

use super::escape::escape;

mod boxes;
mod lines;
mod reliability;

pub(super) use boxes::{BoxRow, boxes};
pub(super) use lines::{LineChart, Series};
pub(super) use reliability::ReliabilityChart;

/// Maps values to positions in the drawing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    values: [f64; 2],
    positions: [f64; 2],
    is_log: bool,
}

impl Scale {
    /// Returns a linear scale. A range of one value is widened.
    pub(super) fn linear(values: [f64; 2], positions: [f64; 2]) -> Scale {
        let [low, high] = values;
        let values = match high > low {
            true => values,
            false => [low - 0.5 * low.abs().max(1e-9), low + 0.5 * low.abs().max(1e-9)],
        };
        Scale { values, positions, is_log: false }
    }

    /// Returns a logarithmic scale, for values above 0.
    pub(super) fn log(values: [f64; 2], positions: [f64; 2]) -> Scale {
        let [low, high] = values;
        let values = if high > low { values } else { [low / 2.0, low * 2.0] };
        Scale { values: values.map(f64::log10), positions, is_log: true }
    }

    /// Returns the position of a value.
    pub(super) fn position(&self, value: f64) -> f64 {
        let value = if self.is_log { value.log10() } else { value };
        let [low, high] = self.values;
        let share = (value - low) / (high - low);
        self.positions[0] + share * (self.positions[1] - self.positions[0])
    }

    /// Returns about `count` values for grid lines, with their labels.
    pub(super) fn ticks(&self, count: f64) -> Vec<(f64, String)> {
        let [low, high] = self.values;
        if !self.is_log {
            let step = nice_step((high - low) / count);
            let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
            let decimals = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
            let tick = |n: f64| (n * step, grouped(n * step, decimals));
            let number = (last - first).clamp(0.0, 50.0) as usize;
            return (0..=number).map(|n| tick(first + n as f64)).collect();
        }
        // Powers of ten if there are enough, else also 2 and 5 times these.
        let every = ((high - low) / count).ceil().max(1.0) as i32;
        let factors: &[f64] = if high - low >= 2.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let decades = (low.floor() as i32..=high.ceil() as i32).filter(|n| n % every == 0);
        let values = decades.flat_map(|n| factors.iter().map(move |factor| (n, *factor)));
        let inside = values.filter(|(n, factor)| {
            let logarithm = f64::from(*n) + factor.log10();
            logarithm >= low - 1e-9 && logarithm <= high + 1e-9
        });
        inside.map(|(n, factor)| (factor * 10f64.powi(n), decimal(n, factor))).collect()
    }
}

/// Returns the smallest number of at least `least` that is 1, 2 or 5 times a power of ten.
fn nice_step(least: f64) -> f64 {
    let decade = 10f64.powf(least.max(1e-300).log10().floor());
    let is_enough = |factor: &f64| factor * decade >= least * (1.0 - 1e-9);
    [1.0, 2.0, 5.0].into_iter().find(is_enough).unwrap_or(10.0) * decade
}

/// Formats a number. From 10 000 on, its thousands are separated by narrow spaces.
pub(super) fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}").replace('-', "\u{2212}");
    if value.abs() < 1e4 {
        return text;
    }
    let (whole, rest) = text.split_once('.').map_or((&text[..], ""), |(whole, rest)| (whole, rest));
    let mut out = String::new();
    for (n, digit) in whole.chars().enumerate() {
        let left = whole.chars().count() - n;
        if n > 0 && left.is_multiple_of(3) && out.ends_with(|c: char| c.is_ascii_digit()) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    if rest.is_empty() { out } else { format!("{out}.{rest}") }
}

/// Formats `factor` times the n-th power of ten.
fn decimal(n: i32, factor: f64) -> String {
    match n {
        -3..=-1 => format!("{:.*}", n.unsigned_abs() as usize, factor * 10f64.powi(n)),
        0..=5 => grouped(factor * 10f64.powi(n), 0),
        _ => format!("{factor}e{n}").replace('-', "\u{2212}"),
    }
}

/// Formats a number with three significant digits.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size < 1e-3 => format!("{value:.2e}").replace('-', "\u{2212}"),
        size => grouped(value, (2.0 - size.log10().floor()).clamp(0.0, 5.0) as usize),
    }
}

/// Returns an SVG text.
fn text(class: &str, [x, y]: [f64; 2], text: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(text))
}

/// Returns an SVG line.
fn line(class: &str, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2]) -> String {
    format!("<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scale: Scale) -> Vec<String> {
        scale.ticks(5.0).into_iter().map(|tick| tick.1).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(
            texts(Scale::linear([0.0, 1.0], [0.0, 1.0])).join(" "),
            "0.0 0.2 0.4 0.6 0.8 1.0"
        );
        assert_eq!(texts(Scale::linear([0.0, 600.0], [0.0, 1.0])).join(" "), "0 200 400 600");
        assert_eq!(texts(Scale::log([0.09, 12.0], [0.0, 1.0])).join(" "), "0.1 1 10");
        assert_eq!(texts(Scale::log([0.4, 3.0], [0.0, 1.0])).join(" "), "0.5 1 2");
        assert_eq!(texts(Scale::log([1e-9, 1e-6], [0.0, 1.0])).join(" "), "1e−9 1e−8 1e−7 1e−6");
    }

    #[test]
    fn a_scale_of_one_value_is_widened() {
        for value in [0.0, 3.0, -2.0] {
            let scale = Scale::linear([value; 2], [0.0, 10.0]);
            assert!((scale.position(value) - 5.0).abs() < 1e-6 && scale.ticks(5.0).len() < 60);
        }
        assert_eq!(Scale::log([2.0; 2], [0.0, 10.0]).position(2.0), 5.0);
    }

    #[test]
    fn numbers_have_three_significant_digits() {
        let texts = [0.0, 0.00012, 0.0421, 0.87751, 12.34, 373.1, 123456.0].map(short);
        assert_eq!(texts, ["0", "1.20e−4", "0.0421", "0.878", "12.3", "373", "123\u{202f}456"]);
    }
}
