//! Line charts over the steps of a run.

use super::{Scale, grouped, line, short, text};
use crate::escape::escape;

/// Width and height in the drawing's units. The page scales the drawing.
const SIZE: [f64; 2] = [460.0, 236.0];
/// The plot area: left, top, right, bottom.
const FRAME: [f64; 4] = [50.0, 10.0, 442.0, 208.0];
/// The largest number of points that are drawn. More cannot be distinguished.
const MAX_POINTS: usize = 400;
/// The largest number of columns that show their values under the mouse pointer.
const MAX_HOVER_COLUMNS: usize = 100;

/// A chart of one or several curves.
pub(crate) struct LineChart<'a> {
    pub title: &'a str,
    /// The step at the right end.
    pub steps: usize,
    pub series: Vec<Series>,
    /// The fixed range of the values, if there is one.
    pub range: Option<[f64; 2]>,
    /// Whether values above 0 may have a logarithmic scale.
    pub may_be_log: bool,
    /// A marked step and its label.
    pub mark: Option<(usize, &'a str)>,
}

/// A curve.
pub(crate) struct Series {
    pub name: String,
    /// The CSS class. `r0`, `r1` … are those of the regions.
    pub class: String,
    /// Steps and values.
    pub points: Vec<(usize, f64)>,
    /// Whether a smoothed curve is drawn over a faint one.
    pub is_noisy: bool,
    /// Whether each point has a dot.
    pub has_dots: bool,
}

impl LineChart<'_> {
    /// Returns the chart, or `None` if there is no point.
    pub(crate) fn svg(&self) -> Option<String> {
        let values = || self.series.iter().flat_map(|series| series.points.iter().map(|p| p.1));
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        if low > high {
            return None;
        }
        let [left, top, right, bottom] = FRAME;
        let x = Scale::linear([0.0, self.steps.max(1) as f64], [left, right]);
        let y = match self.range {
            Some(range) => Scale::linear(range, [bottom, top]),
            None if self.may_be_log && low > 0.0 && high / low >= 8.0 => {
                Scale::log([low, high], [bottom - 4.0, top + 4.0])
            }
            None => Scale::linear([low, high], [bottom - 4.0, top + 4.0]),
        };
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
        for (value, label) in x.ticks(6.0) {
            out += &text("x", [x.position(value), bottom + 17.0], &label);
        }
        out += &line("axis", [left, bottom], [right, bottom]);
        if let Some((step, label)) = self.mark {
            let position = x.position(step as f64);
            out += &line("mark", [position, top], [position, bottom]);
            let is_right = position > (left + right) / 2.0;
            let (class, shift) = if is_right { ("mark-end", -5.0) } else { ("mark-start", 5.0) };
            out += &text(class, [position + shift, top + 11.0], label);
        }
        self.series.iter().for_each(|series| out += &series.curve(&x, &y));
        out += &self.hover_columns(&x, &y);
        Some(out + "</svg>")
    }

    /// Describes the chart in words, for screen readers.
    fn describe(&self) -> String {
        let describe = |series: &Series| {
            let ((first, from), (last, to)) = (*series.points.first()?, *series.points.last()?);
            let (from, to) = (short(from), short(to));
            Some(format!("{} from {from} at step {first} to {to} at step {last}", series.name))
        };
        let curves: Vec<String> = self.series.iter().filter_map(describe).collect();
        format!("{}: {}", self.title, curves.join("; "))
    }

    /// Returns the columns that show the curves' values under the mouse pointer.
    fn hover_columns(&self, x: &Scale, y: &Scale) -> String {
        let Some(first) = self.series.iter().find(|series| !series.points.is_empty()) else {
            return String::new();
        };
        let stride = first.points.len().div_ceil(MAX_HOVER_COLUMNS);
        let picked: Vec<usize> = (0..first.points.len()).step_by(stride).collect();
        let [left, top, right, bottom] = FRAME;
        let position = |&n: &usize| x.position(first.points[n].0 as f64);
        let positions: Vec<f64> = picked.iter().map(position).collect();
        let mut out = String::new();
        for (n, &point) in picked.iter().enumerate() {
            let middle = positions[n];
            let from = if n == 0 { left } else { (positions[n - 1] + middle) / 2.0 };
            let to = positions.get(n + 1).map_or(right, |next| (middle + next) / 2.0);
            let step = first.points[point].0;
            let mut title = format!("step {}", grouped(step as f64, 0));
            let mut dots = String::new();
            for series in &self.series {
                let value = series.points.get(point).filter(|found| found.0 == step);
                let Some(&(_, value)) = value else { continue };
                title += &format!("\n{}: {}", series.name, short(value));
                let class = &series.class;
                let y = y.position(value);
                dots += &format!(
                    "<circle class=\"{class}\" cx=\"{middle:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>"
                );
            }
            out += &format!(
                "<g class=\"hover\"><rect x=\"{from:.1}\" y=\"{top}\" width=\"{:.1}\" \
                 height=\"{}\"/>{dots}<title>{}</title></g>",
                (to - from).max(0.0),
                bottom - top,
                escape(&title)
            );
        }
        out
    }
}

impl Series {
    /// Draws the curve.
    fn curve(&self, x: &Scale, y: &Scale) -> String {
        let path = |class: &str, points: &[(f64, f64)]| {
            let mut d = String::new();
            for (n, &(step, value)) in points.iter().enumerate() {
                let letter = if n == 0 { 'M' } else { 'L' };
                d += &format!("{letter}{:.1} {:.1}", x.position(step), y.position(value));
            }
            format!("<path class=\"curve {class}\" d=\"{d}\"/>")
        };
        let points = thinned(&self.points);
        let class = &self.class;
        let mut out = String::new();
        if self.is_noisy && self.points.len() >= 8 {
            out += &path(&format!("{class} faint"), &points);
            out += &path(class, &thinned(&smoothed(&self.points)));
        } else {
            out += &path(class, &points);
        }
        // A single point has no line.
        if (self.has_dots && points.len() <= 60) || points.len() == 1 {
            for (step, value) in points {
                let (cx, cy) = (x.position(step), y.position(value));
                out +=
                    &format!("<circle class=\"{class}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"2.6\"/>");
            }
        }
        out
    }
}

/// Returns the running mean over a twentieth of the points on each side, or fewer at the ends.
fn smoothed(points: &[(usize, f64)]) -> Vec<(usize, f64)> {
    let mut sums = vec![0.0];
    points.iter().for_each(|point| sums.push(sums[sums.len() - 1] + point.1));
    let mean = |n: usize| {
        let reach = (points.len() / 20).max(1).min(n).min(points.len() - 1 - n);
        (sums[n + reach + 1] - sums[n - reach]) / (2 * reach + 1) as f64
    };
    points.iter().enumerate().map(|(n, point)| (point.0, mean(n))).collect()
}

/// Reduces the points to at most [`MAX_POINTS`]: the lowest and the highest of each group, so that
/// peaks remain.
fn thinned(points: &[(usize, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MAX_POINTS {
        return points.iter().map(|&(step, value)| (step as f64, value)).collect();
    }
    let groups = points.chunks(points.len().div_ceil(MAX_POINTS / 2));
    groups
        .flat_map(|group| {
            let by_value = |a: &&(usize, f64), b: &&(usize, f64)| a.1.total_cmp(&b.1);
            let (low, high) = (group.iter().min_by(by_value), group.iter().max_by(by_value));
            let mut both: Vec<(usize, f64)> = low.into_iter().chain(high).copied().collect();
            both.sort_by_key(|point| point.0);
            both.into_iter().map(|(step, value)| (step as f64, value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_history_is_thinned_but_keeps_its_peaks() {
        let mut points: Vec<(usize, f64)> = (1..=100_000).map(|n| (n, 1.0)).collect();
        points[77_777].1 = 9.0;
        let thin = thinned(&points);
        assert!(thin.len() <= MAX_POINTS && thin.contains(&(77_778.0, 9.0)), "{}", thin.len());
        let smooth = smoothed(&points);
        assert!(smooth.len() == points.len() && smooth[77_777].1 < 1.01);
        let straight: Vec<(usize, f64)> = (0..50).map(|n| (n, n as f64)).collect();
        assert!(smoothed(&straight).iter().zip(&straight).all(|(a, b)| (a.1 - b.1).abs() < 1e-9));
    }

    #[test]
    fn a_chart_describes_its_values_and_needs_at_least_one() {
        let series = |points: &[(usize, f64)]| Series {
            name: "loss <&>".into(),
            class: "main".into(),
            points: points.to_vec(),
            is_noisy: true,
            has_dots: false,
        };
        let chart = |points: &[(usize, f64)]| {
            let (title, mark) = ("Loss", Some((10, "best")));
            let series = vec![series(points)];
            LineChart { title, steps: 20, series, range: None, may_be_log: true, mark }.svg()
        };
        assert_eq!(chart(&[]), None);
        let svg = chart(&[(10, 0.5), (20, 0.25)]).unwrap();
        assert!(svg.contains("<title>step 10\nloss &lt;&amp;&gt;: 0.500</title>"), "{svg}");
        assert!(svg.contains("from 0.500 at step 10 to 0.250 at step 20") && !svg.contains("NaN"));
        assert!(!chart(&[(10, 0.0)]).unwrap().contains("NaN"));
    }
}
