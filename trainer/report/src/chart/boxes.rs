//! Box plots that show every case: the quartiles as a box, whiskers to the farthest case within 1.5
//! times the box's length (Tukey 1977), and a dot for each case.

use super::{Scale, line, text};
use crate::escape::escape;

const WIDTH: f64 = 940.0;
const ROW_HEIGHT: f64 = 62.0;
/// The left and right ends of the scale.
const SCALE_ENDS: [f64; 2] = [12.0, 928.0];

/// The row of a region.
pub(crate) struct BoxRow {
    pub name: String,
    /// The CSS class.
    pub class: String,
    /// The name and the value of each case.
    pub cases: Vec<(String, f64)>,
}

/// Returns the chart, or `None` if no case has a value. `format` formats a value.
pub(crate) fn boxes(
    title: &str,
    rows: &[BoxRow],
    range: Option<[f64; 2]>,
    format: impl Fn(f64) -> String,
) -> Option<String> {
    let values = || rows.iter().flat_map(|row| row.cases.iter().map(|case| case.1));
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(f64::NEG_INFINITY, f64::max);
    if low > high {
        return None;
    }
    let x = Scale::linear(range.unwrap_or([low.min(0.0), high + 0.02 * high.abs()]), SCALE_ENDS);
    let bottom = rows.len() as f64 * ROW_HEIGHT + 4.0;
    let statistics: Vec<Option<BoxStatistics>> =
        rows.iter().map(|row| BoxStatistics::of(&row.cases)).collect();
    let description = rows.iter().zip(&statistics).filter_map(|(row, statistics)| {
        let [first, median, third] = statistics.as_ref()?.quartiles.map(&format);
        let count = row.cases.len();
        Some(format!("{}: median {median}, quartiles {first} to {third}, n {count}", row.name))
    });
    let description = description.collect::<Vec<_>>();
    let mut out = format!(
        "<svg class=\"chart wide\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">",
        bottom + 24.0,
        escape(&format!("{title}. {}", description.join("; ")))
    );
    for (value, label) in x.ticks(9.0) {
        let position = x.position(value);
        out += &line("grid", [position, 4.0], [position, bottom]);
        out += &text("x", [position, bottom + 17.0], &label);
    }
    for ((n, row), statistics) in rows.iter().enumerate().zip(statistics) {
        let top = n as f64 * ROW_HEIGHT + 4.0;
        out += &text("row", [SCALE_ENDS[0], top + 15.0], &shortened(&row.name));
        if let Some(statistics) = statistics {
            let [first, median, third] = statistics.quartiles.map(&format);
            let count = row.cases.len();
            let summary = format!("median {median} · quartiles {first} to {third} · n {count}");
            out += &text("summary", [SCALE_ENDS[1], top + 15.0], &summary);
            out += &row.draw(&x, &statistics, top + 39.0, &format);
        }
    }
    Some(out + &line("axis", [SCALE_ENDS[0], bottom], [SCALE_ENDS[1], bottom]) + "</svg>")
}

impl BoxRow {
    /// Draws the row's box, whiskers and dots around the height `middle`.
    fn draw(
        &self,
        x: &Scale,
        statistics: &BoxStatistics,
        middle: f64,
        format: impl Fn(f64) -> String,
    ) -> String {
        let [first, median, third] = statistics.quartiles.map(|value| x.position(value));
        let [low, high] = statistics.whiskers.map(|value| x.position(value));
        let class = &self.class;
        let half_height = 12.0;
        let mut out = line("whisker", [low, middle], [first, middle]);
        out += &line("whisker", [third, middle], [high, middle]);
        out += &format!(
            "<rect class=\"box {class}\" x=\"{first:.1}\" y=\"{:.1}\" width=\"{:.1}\" \
             height=\"{}\" rx=\"2\"/>",
            middle - half_height,
            (third - first).max(1.0),
            2.0 * half_height
        );
        for (n, (name, value)) in self.cases.iter().enumerate() {
            // Multiples of the golden ratio spread dots evenly and reproducibly.
            let spread = ((n as f64 + 1.0) * 0.618_033_988_75).fract() - 0.5;
            let (cx, cy) = (x.position(*value), middle + spread * (2.0 * half_height - 5.0));
            let title = escape(&format!("{name}: {}", format(*value)));
            out += &format!(
                "<circle class=\"dot {class}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3.2\"><title>\
                 {title}</title></circle>"
            );
        }
        out + &line("median", [median, middle - half_height], [median, middle + half_height])
    }
}

/// The numbers of a box plot.
#[derive(Debug, Clone, Copy, PartialEq)]
struct BoxStatistics {
    /// The quartiles, linear between values as in NumPy.
    quartiles: [f64; 3],
    /// The ends of the lower and the upper whisker.
    whiskers: [f64; 2],
}

impl BoxStatistics {
    /// Returns the numbers of the cases' values, or `None` without cases.
    fn of(cases: &[(String, f64)]) -> Option<BoxStatistics> {
        let mut sorted: Vec<f64> = cases.iter().map(|case| case.1).collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let quantile = |share: f64| {
            let position = share * last as f64;
            let (below, above) =
                (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
            below + (above - below) * position.fract()
        };
        let quartiles = [0.25, 0.5, 0.75].map(quantile);
        let [first, _, third] = quartiles;
        let reach = 1.5 * (third - first);
        let low = sorted.iter().copied().find(|&v| v >= first - reach).unwrap_or(first);
        let high = sorted.iter().copied().rfind(|&v| v <= third + reach).unwrap_or(third);
        Some(BoxStatistics { quartiles, whiskers: [low.min(first), high.max(third)] })
    }
}

/// Shortens a name to fit in its row.
fn shortened(name: &str) -> String {
    match name.char_indices().nth(44) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(values: &[f64]) -> Vec<(String, f64)> {
        values.iter().map(|&value| (format!("case {value}"), value)).collect()
    }

    /// `numpy.percentile([1, 2, 3, 4, 100], [25, 50, 75])` is 2, 3, 4; of [1, 2, 4, 8] 1.75, 3, 5.
    #[test]
    fn quartiles_match_numpy_and_whiskers_tukey() {
        let statistics = |quartiles, whiskers| Some(BoxStatistics { quartiles, whiskers });
        let of = |values: &[f64]| BoxStatistics::of(&cases(values));
        assert_eq!(of(&[100.0, 1.0, 2.0, 3.0, 4.0]), statistics([2.0, 3.0, 4.0], [1.0, 4.0]));
        assert_eq!(of(&[1.0, 2.0, 4.0, 8.0]), statistics([1.75, 3.0, 5.0], [1.0, 8.0]));
        assert_eq!(of(&[0.5]), statistics([0.5; 3], [0.5; 2]));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn every_case_is_a_dot_with_its_name() {
        let row = |values| BoxRow { name: "core".into(), class: "r0".into(), cases: cases(values) };
        let svg = boxes("Dice", &[row(&[0.5, 0.75])], Some([0.0, 1.0]), |v| format!("{v:.3}"));
        let svg = svg.unwrap();
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("<title>case 0.75: 0.750</title>"), "{svg}");
        assert!(svg.contains("Dice. core: median 0.625"), "{svg}");
        assert_eq!(boxes("Dice", &[row(&[])], None, |_| String::new()), None);
    }
}
