//! Reliability diagrams: how often voxels of a predicted probability belong to their region.

use model_core::metrics::ReliabilityBin;

use super::{Scale, line, short, text};
use crate::escape::escape;

/// Width and height in the drawing's units. The page scales the drawing.
const SIZE: [f64; 2] = [300.0, 268.0];
/// The plot area: left, top, right, bottom.
const FRAME: [f64; 4] = [46.0, 10.0, 284.0, 224.0];

/// A reliability diagram of one region.
pub(crate) struct ReliabilityChart<'a> {
    /// The region's name.
    pub region: &'a str,
    /// The CSS class of the region, `r0`, `r1` …
    pub class: String,
    /// The bars as the network gives them.
    pub before: &'a [ReliabilityBin],
    /// The bars with the temperature, if there is one.
    pub after: Option<&'a [ReliabilityBin]>,
}

impl ReliabilityChart<'_> {
    /// Returns the chart. The diagonal is that of exact frequencies. With a temperature, the curve
    /// before is faint.
    pub(crate) fn svg(&self) -> String {
        let [left, top, right, bottom] = FRAME;
        let x = Scale::linear([0.0, 1.0], [left, right]);
        let y = Scale::linear([0.0, 1.0], [bottom, top]);
        let mut out = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">",
            SIZE[0],
            SIZE[1],
            escape(&self.describe())
        );
        for (value, label) in y.ticks(5.0) {
            let position = y.position(value);
            out += &line("grid", [left, position], [right, position]);
            out += &text("y", [left - 7.0, position + 4.0], &label);
        }
        for (value, label) in x.ticks(5.0) {
            out += &text("x", [x.position(value), bottom + 17.0], &label);
        }
        out += &line("axis", [left, bottom], [right, bottom]);
        out += &line("mark", [left, bottom], [right, top]);
        out += &text("x", [(left + right) / 2.0, bottom + 36.0], "predicted probability");
        let class = &self.class;
        let curve = |class: &str, bars: &[ReliabilityBin]| {
            let points = bars.iter().filter(|bar| bar.voxels > 0);
            let points = points.map(|bar| (x.position(bar.probability), y.position(bar.frequency)));
            let mut d = String::new();
            let mut dots = String::new();
            for (n, (x, y)) in points.enumerate() {
                d += &format!("{}{x:.1} {y:.1}", if n == 0 { 'M' } else { 'L' });
                dots +=
                    &format!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\"/>");
            }
            format!("<path class=\"curve {class}\" d=\"{d}\"/>{dots}")
        };
        match self.after {
            None => out += &curve(class, self.before),
            Some(after) => {
                out += &curve(&format!("{class} faint"), self.before);
                out += &curve(class, after);
            }
        }
        out + "</svg>"
    }

    /// Describes the chart in words, for screen readers.
    fn describe(&self) -> String {
        let bars = self.after.unwrap_or(self.before).iter().filter(|bar| bar.voxels > 0);
        let points: Vec<String> = bars
            .map(|bar| format!("{} at {}", short(bar.frequency), short(bar.probability)))
            .collect();
        format!("{}: observed frequency by probability: {}", self.region, points.join(", "))
    }
}
