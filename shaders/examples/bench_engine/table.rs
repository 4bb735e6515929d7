//! The results as Markdown.

use std::collections::BTreeMap;

use shaders::Plan;

/// Times of kernels over several runs.
#[derive(Default)]
pub struct Kernels {
    /// Rows by kernel and entry point.
    rows: BTreeMap<(&'static str, &'static str), Row>,
}

/// All dispatches of an entry point.
#[derive(Default)]
struct Row {
    dispatches: usize,
    bytes: u64,
    multiply_adds: u64,
    /// Total seconds of its dispatches in each run.
    seconds: Vec<f64>,
}

impl Kernels {
    /// Adds a run, given the seconds of each step.
    pub fn add(&mut self, plan: &Plan, seconds: &[f64]) {
        let mut run: BTreeMap<_, Row> = BTreeMap::new();
        for (step, seconds) in plan.steps.iter().zip(seconds) {
            let row = run.entry((step.kernel.name, step.entry)).or_default();
            row.dispatches += 1;
            row.bytes += step.bytes;
            row.multiply_adds += step.multiply_adds;
            row.seconds.push(*seconds);
        }
        for (key, row) in run {
            let mut seconds = self.rows.remove(&key).map_or(Vec::new(), |row| row.seconds);
            seconds.push(row.seconds.iter().sum());
            self.rows.insert(key, Row { seconds, ..row });
        }
    }

    /// Returns the sum of the medians, in seconds.
    pub fn seconds(&self) -> f64 {
        self.rows.values().map(|row| median(&row.seconds)).sum()
    }

    /// Returns the table, the slowest entry point first, and the totals.
    pub fn table(&self, copy_rate: f64) -> String {
        let all = self.seconds();
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by(|(_, a), (_, b)| median(&b.seconds).total_cmp(&median(&a.seconds)));
        let mut text = String::from(
            "| kernel | dispatches | ms | of all | GB moved | GB/s | of copy | G multiply-adds | a second |\n\
             |---|---|---|---|---|---|---|---|---|\n",
        );
        let mut total = Row::default();
        for ((kernel, entry), row) in rows {
            let name =
                if kernel == entry { kernel.to_string() } else { format!("{kernel}: {entry}") };
            text += &row.line(&name, median(&row.seconds), all, copy_rate);
            total.dispatches += row.dispatches;
            total.bytes += row.bytes;
            total.multiply_adds += row.multiply_adds;
        }
        text + &total.line("all", all, all, copy_rate)
    }
}

impl Row {
    fn line(&self, name: &str, seconds: f64, all: f64, copy_rate: f64) -> String {
        let rate = self.bytes as f64 / seconds;
        // Kernels that only move values have no work.
        let work = match self.multiply_adds as f64 / 1e9 {
            0.0 => " | ".to_string(),
            giga => format!("{giga:.3} | {:.2}", giga / seconds),
        };
        format!(
            "| {name} | {} | {:.3} | {:.0} % | {:.3} | {:.2} | {:.0} % | {work} |\n",
            self.dispatches,
            1e3 * seconds,
            100.0 * seconds / all,
            self.bytes as f64 / 1e9,
            rate / 1e9,
            100.0 * rate / copy_rate,
        )
    }
}

/// Returns the median.
///
/// # Panics
/// Panics if the slice is empty.
pub fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Formats a time.
pub fn seconds(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.3} ms", 1e3 * seconds) } else { format!("{seconds:.3} s") }
}

/// Formats the median with the fastest and the slowest time.
pub fn spread(times: &[f64]) -> String {
    let fastest = times.iter().copied().fold(f64::INFINITY, f64::min);
    let slowest = times.iter().copied().fold(0.0, f64::max);
    format!("{} ({} to {})", seconds(median(times)), seconds(fastest), seconds(slowest))
}
