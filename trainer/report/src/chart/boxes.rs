//! Box plots that show every case: quartiles as a box, whiskers to the farthest case within 1.5
//! times the box's length (Tukey 1977), and each case as a dot.

use super::{Scale, line, text};
use crate::html::escape;

const WIDTH: f64 = 940.0;
const ROW: f64 = 62.0;
/// Left and right ends of the scale.
const ENDS: [f64; 2] = [12.0, 928.0];

/// A region's row.
pub(crate) struct BoxRow {
    pub name: String,
    /// Of the style.
    pub class: String,
    /// Each case's name and value.
    pub cases: Vec<(String, f64)>,
}

/// The chart; none where no case has a value. `format` gives the text of a value.
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
    let x = Scale::linear(range.unwrap_or([low.min(0.0), high + 0.02 * high.abs()]), ENDS);
    let bottom = rows.len() as f64 * ROW + 4.0;
    let quartiles: Vec<Option<[f64; 5]>> = rows.iter().map(|row| five(&row.cases)).collect();
    let words = rows.iter().zip(&quartiles).filter_map(|(row, five)| {
        let [_, first, median, third, _] = five.as_ref()?.map(&format);
        let count = row.cases.len();
        Some(format!("{}: median {median}, quartiles {first} to {third}, n {count}", row.name))
    });
    let words = words.collect::<Vec<_>>();
    let mut out = format!(
        "<svg class=\"chart wide\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">",
        bottom + 24.0,
        escape(&format!("{title}. {}", words.join("; ")))
    );
    for (value, label) in x.ticks(9.0) {
        let at = x.place(value);
        out += &line("grid", [at, 4.0], [at, bottom]);
        out += &text("x", [at, bottom + 17.0], &label);
    }
    for ((n, row), five) in rows.iter().enumerate().zip(quartiles) {
        let top = n as f64 * ROW + 4.0;
        out += &text("row", [ENDS[0], top + 15.0], &clipped(&row.name));
        if let Some(five) = five {
            let [_, first, median, third, _] = five.map(&format);
            let count = row.cases.len();
            let summary = format!("median {median} · quartiles {first} to {third} · n {count}");
            out += &text("summary", [ENDS[1], top + 15.0], &summary);
            out += &row.drawn(&x, five, top + 39.0, &format);
        }
    }
    Some(out + &line("axis", [ENDS[0], bottom], [ENDS[1], bottom]) + "</svg>")
}

impl BoxRow {
    fn drawn(
        &self,
        x: &Scale,
        five: [f64; 5],
        middle: f64,
        format: impl Fn(f64) -> String,
    ) -> String {
        let [low, first, median, third, high] = five.map(|value| x.place(value));
        let class = &self.class;
        let half = 12.0;
        let mut out = line("whisker", [low, middle], [first, middle]);
        out += &line("whisker", [third, middle], [high, middle]);
        out += &format!(
            "<rect class=\"box {class}\" x=\"{first:.1}\" y=\"{:.1}\" width=\"{:.1}\" \
             height=\"{}\" rx=\"2\"/>",
            middle - half,
            (third - first).max(1.0),
            2.0 * half
        );
        for (n, (name, value)) in self.cases.iter().enumerate() {
            // Multiples of the golden ratio spread dots evenly, and the same way each time.
            let spread = ((n as f64 + 1.0) * 0.618_033_988_75).fract() - 0.5;
            let (cx, cy) = (x.place(*value), middle + spread * (2.0 * half - 5.0));
            let title = escape(&format!("{name}: {}", format(*value)));
            out += &format!(
                "<circle class=\"dot {class}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3.2\"><title>\
                 {title}</title></circle>"
            );
        }
        out + &line("median", [median, middle - half], [median, middle + half])
    }
}

/// Lower whisker, quartiles (linear between values, as NumPy has them), upper whisker.
fn five(cases: &[(String, f64)]) -> Option<[f64; 5]> {
    let mut sorted: Vec<f64> = cases.iter().map(|case| case.1).collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let quantile = |part: f64| {
        let at = part * last as f64;
        let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
        below + (above - below) * at.fract()
    };
    let [first, median, third] = [0.25, 0.5, 0.75].map(quantile);
    let reach = 1.5 * (third - first);
    let low = sorted.iter().copied().find(|&v| v >= first - reach).unwrap_or(first);
    let high = sorted.iter().copied().rfind(|&v| v <= third + reach).unwrap_or(third);
    Some([low.min(first), first, median, third, high.max(third)])
}

/// A name that fits in its row.
fn clipped(name: &str) -> String {
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
    fn quartiles_are_numpys_and_whiskers_tukeys() {
        assert_eq!(five(&cases(&[100.0, 1.0, 2.0, 3.0, 4.0])), Some([1.0, 2.0, 3.0, 4.0, 4.0]));
        assert_eq!(five(&cases(&[1.0, 2.0, 4.0, 8.0])), Some([1.0, 1.75, 3.0, 5.0, 8.0]));
        assert_eq!(five(&cases(&[0.5])), Some([0.5; 5]));
        assert_eq!(five(&[]), None);
    }

    #[test]
    fn every_case_is_a_dot_that_says_its_name() {
        let row = |values| BoxRow { name: "core".into(), class: "r0".into(), cases: cases(values) };
        let svg = boxes("Dice", &[row(&[0.5, 0.75])], Some([0.0, 1.0]), |v| format!("{v:.3}"));
        let svg = svg.unwrap();
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("<title>case 0.75: 0.750</title>"), "{svg}");
        assert!(svg.contains("Dice. core: median 0.625"), "{svg}");
        assert_eq!(boxes("Dice", &[row(&[])], None, |_| String::new()), None);
    }
}
