//! Charts as SVG, which takes its fonts and colors from the page's style: so they follow the
//! reader's light or dark mode, and print as sharp as text. The charting crates write colors and
//! fonts into each mark, which no style can change.

use super::html::escape;

mod boxes;
mod lines;

pub(super) use boxes::{BoxRow, boxes};
pub(super) use lines::{LineChart, Series};

/// From values to places on the screen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    values: [f64; 2],
    places: [f64; 2],
    is_log: bool,
}

impl Scale {
    /// An even scale; values that are all the same get some room.
    pub(super) fn linear(values: [f64; 2], places: [f64; 2]) -> Scale {
        let [low, high] = values;
        let values = match high > low {
            true => values,
            false => [low - 0.5 * low.abs().max(1e-9), low + 0.5 * low.abs().max(1e-9)],
        };
        Scale { values, places, is_log: false }
    }

    /// A scale of equal ratios, for values above 0.
    pub(super) fn log(values: [f64; 2], places: [f64; 2]) -> Scale {
        let [low, high] = values;
        let values = if high > low { values } else { [low / 2.0, low * 2.0] };
        Scale { values: values.map(f64::log10), places, is_log: true }
    }

    /// Where a value lies.
    pub(super) fn place(&self, value: f64) -> f64 {
        let value = if self.is_log { value.log10() } else { value };
        let [low, high] = self.values;
        let part = (value - low) / (high - low);
        self.places[0] + part * (self.places[1] - self.places[0])
    }

    /// Values with a line across the chart, about `count`, and their texts.
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
        // Whole decades where there are enough of them, else 1, 2 and 5 of each.
        let every = ((high - low) / count).ceil().max(1.0) as i32;
        let parts: &[f64] = if high - low >= 2.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let decades = (low.floor() as i32..=high.ceil() as i32).filter(|n| n % every == 0);
        let values = decades.flat_map(|n| parts.iter().map(move |part| (n, *part)));
        let inside = values.filter(|(n, part)| {
            let at = f64::from(*n) + part.log10();
            at >= low - 1e-9 && at <= high + 1e-9
        });
        inside.map(|(n, part)| (part * 10f64.powi(n), power(n, part))).collect()
    }
}

/// 1, 2 or 5 times a power of ten, at least as large.
fn nice_step(least: f64) -> f64 {
    let decade = 10f64.powf(least.max(1e-300).log10().floor());
    let part = [1.0, 2.0, 5.0].into_iter().find(|part| part * decade >= least * (1.0 - 1e-9));
    part.unwrap_or(10.0) * decade
}

/// A number with so many decimals; from 10 000 on its thousands stand apart.
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

/// A part of a power of ten as it is read most easily.
fn power(n: i32, part: f64) -> String {
    match n {
        -3..=-1 => format!("{:.*}", n.unsigned_abs() as usize, part * 10f64.powi(n)),
        0..=5 => grouped(part * 10f64.powi(n), 0),
        _ => format!("{part}e{n}").replace('-', "\u{2212}"),
    }
}

/// A number as a reader of a chart wants it: three digits that count.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size < 1e-3 => format!("{value:.2e}").replace('-', "\u{2212}"),
        size => grouped(value, (2.0 - size.log10().floor()).clamp(0.0, 5.0) as usize),
    }
}

/// A text in a chart.
fn text(class: &str, [x, y]: [f64; 2], text: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(text))
}

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
    fn a_scale_of_one_value_still_has_room() {
        for value in [0.0, 3.0, -2.0] {
            let scale = Scale::linear([value; 2], [0.0, 10.0]);
            assert!((scale.place(value) - 5.0).abs() < 1e-6 && scale.ticks(5.0).len() < 60);
        }
        assert_eq!(Scale::log([2.0; 2], [0.0, 10.0]).place(2.0), 5.0);
    }

    #[test]
    fn numbers_are_as_long_as_they_are_exact() {
        let of = [0.0, 0.00012, 0.0421, 0.87751, 12.34, 373.1, 123456.0].map(short);
        assert_eq!(of, ["0", "1.20e−4", "0.0421", "0.878", "12.3", "373", "123\u{202f}456"]);
    }
}
