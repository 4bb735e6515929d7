//! Curves over the steps of a run.

use super::{Scale, grouped, line, short, text};
use crate::html::escape;

/// The drawing's own units; the page scales it.
const SIZE: [f64; 2] = [460.0, 236.0];
/// The frame of the curves: left, top, right, bottom.
const FRAME: [f64; 4] = [50.0, 10.0, 442.0, 208.0];
/// No more points are drawn than the eye can part.
const MOST_POINTS: usize = 400;
/// Columns that tell their values when they are pointed at.
const MOST_HOVERS: usize = 100;

/// A chart of one or several curves.
pub(crate) struct LineChart<'a> {
    pub title: &'a str,
    /// Steps at the right end.
    pub steps: usize,
    pub series: Vec<Series>,
    /// The range of the values, where it is fixed.
    pub range: Option<[f64; 2]>,
    /// Whether values above 0 may be drawn on a scale of equal ratios.
    pub may_be_log: bool,
    /// A step that is marked, and how.
    pub mark: Option<(usize, &'a str)>,
}

/// A curve.
pub(crate) struct Series {
    pub name: String,
    /// Of the style; `r0`, `r1` … are the regions'.
    pub class: String,
    /// Steps and values.
    pub points: Vec<(usize, f64)>,
    /// Whether a smoothed curve goes over a fainter one.
    pub is_noisy: bool,
    /// Whether each point gets a dot.
    pub has_dots: bool,
}

impl LineChart<'_> {
    /// The chart; none without any point.
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
            let at = y.place(value);
            out += &line("grid", [left, at], [right, at]);
            out += &text("y", [left - 7.0, at + 4.0], &label);
        }
        for (value, label) in x.ticks(6.0) {
            out += &text("x", [x.place(value), bottom + 17.0], &label);
        }
        out += &line("axis", [left, bottom], [right, bottom]);
        if let Some((step, label)) = self.mark {
            let at = x.place(step as f64);
            out += &line("mark", [at, top], [at, bottom]);
            let is_right = at > (left + right) / 2.0;
            let (class, shift) = if is_right { ("mark-end", -5.0) } else { ("mark-start", 5.0) };
            out += &text(class, [at + shift, top + 11.0], label);
        }
        self.series.iter().for_each(|series| out += &series.curve(&x, &y));
        out += &self.hovers(&x, &y);
        Some(out + "</svg>")
    }

    /// The chart in words, for who cannot see it.
    fn describe(&self) -> String {
        let of = |series: &Series| {
            let ((first, from), (last, to)) = (*series.points.first()?, *series.points.last()?);
            let (from, to) = (short(from), short(to));
            Some(format!("{} from {from} at step {first} to {to} at step {last}", series.name))
        };
        let curves: Vec<String> = self.series.iter().filter_map(of).collect();
        format!("{}: {}", self.title, curves.join("; "))
    }

    /// Columns that tell, when they are pointed at, what the curves are there.
    fn hovers(&self, x: &Scale, y: &Scale) -> String {
        let Some(first) = self.series.iter().find(|series| !series.points.is_empty()) else {
            return String::new();
        };
        let stride = first.points.len().div_ceil(MOST_HOVERS);
        let picked: Vec<usize> = (0..first.points.len()).step_by(stride).collect();
        let [left, top, right, bottom] = FRAME;
        let places: Vec<f64> = picked.iter().map(|&n| x.place(first.points[n].0 as f64)).collect();
        let mut out = String::new();
        for (n, &point) in picked.iter().enumerate() {
            let at = places[n];
            let from = if n == 0 { left } else { (places[n - 1] + at) / 2.0 };
            let to = places.get(n + 1).map_or(right, |next| (at + next) / 2.0);
            let step = first.points[point].0;
            let mut title = format!("step {}", grouped(step as f64, 0));
            let mut dots = String::new();
            for series in &self.series {
                let value = series.points.get(point).filter(|found| found.0 == step);
                let Some(&(_, value)) = value else { continue };
                title += &format!("\n{}: {}", series.name, short(value));
                let class = &series.class;
                let y = y.place(value);
                dots +=
                    &format!("<circle class=\"{class}\" cx=\"{at:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>");
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
    fn curve(&self, x: &Scale, y: &Scale) -> String {
        let path = |class: &str, points: &[(f64, f64)]| {
            let mut d = String::new();
            for (n, &(step, value)) in points.iter().enumerate() {
                let letter = if n == 0 { 'M' } else { 'L' };
                d += &format!("{letter}{:.1} {:.1}", x.place(step), y.place(value));
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
        // A single point makes no line.
        if (self.has_dots && points.len() <= 60) || points.len() == 1 {
            for (step, value) in points {
                let (cx, cy) = (x.place(step), y.place(value));
                out +=
                    &format!("<circle class=\"{class}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"2.6\"/>");
            }
        }
        out
    }
}

/// A mean over neighbors, a twentieth of the points to either side and fewer at the ends.
fn smoothed(points: &[(usize, f64)]) -> Vec<(usize, f64)> {
    let mut sums = vec![0.0];
    points.iter().for_each(|point| sums.push(sums[sums.len() - 1] + point.1));
    let mean = |n: usize| {
        let reach = (points.len() / 20).max(1).min(n).min(points.len() - 1 - n);
        (sums[n + reach + 1] - sums[n - reach]) / (2 * reach + 1) as f64
    };
    points.iter().enumerate().map(|(n, point)| (point.0, mean(n))).collect()
}

/// As many points as can be drawn: of each group the least and the largest value, so that peaks
/// stay.
fn thinned(points: &[(usize, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MOST_POINTS {
        return points.iter().map(|&(step, value)| (step as f64, value)).collect();
    }
    let groups = points.chunks(points.len().div_ceil(MOST_POINTS / 2));
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
    fn a_long_history_is_thinned_and_keeps_its_peaks() {
        let mut points: Vec<(usize, f64)> = (1..=100_000).map(|n| (n, 1.0)).collect();
        points[77_777].1 = 9.0;
        let thin = thinned(&points);
        assert!(thin.len() <= MOST_POINTS && thin.contains(&(77_778.0, 9.0)), "{}", thin.len());
        let smooth = smoothed(&points);
        assert!(smooth.len() == points.len() && smooth[77_777].1 < 1.01);
        let straight: Vec<(usize, f64)> = (0..50).map(|n| (n, n as f64)).collect();
        assert!(smoothed(&straight).iter().zip(&straight).all(|(a, b)| (a.1 - b.1).abs() < 1e-9));
    }

    #[test]
    fn a_chart_tells_its_values_and_is_none_without_any() {
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
