//! The Markdown tables of `rewind-bench step`.

use std::collections::BTreeSet;

use super::rounds::{StepBenchmark, VariantSteps};
use crate::library::Library;
use model_core::texts::bytes;

/// Returns times, memory, ratios, the split by kernel, and the failures.
pub fn table(StepBenchmark { rows, failures }: &StepBenchmark) -> String {
    let mut text = String::from(
        "| backward | library | device | seconds a step (median) | fastest to slowest | processor \
         seconds | peak |\n|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let [min, max] = row.range_secs;
        text += &format!(
            "| {} | {} | {} | {:.4} | {min:.4} to {max:.4} | {} | {} |\n",
            row.variant.backward(),
            row.variant.library.name(),
            row.steps.device,
            row.median_secs,
            row.processor_median_secs.map_or("–".into(), |seconds| format!("{seconds:.4}")),
            row.steps.peak_bytes.map_or("–".into(), bytes)
        );
    }
    text += "\nPeak above the memory held before the first step: ";
    text += rows.first().map_or("", |row| &row.steps.memory);
    text += ".\n\n";
    text += &ratios(rows);
    text += &splits(rows);
    if !failures.is_empty() {
        text += "\nNot measured:\n\n";
        failures.iter().for_each(|failure| text += &format!("- {}\n", failure.replace('\n', " ")));
    }
    text
}

/// Returns a line for each pair of variants that were both measured.
fn ratios(rows: &[VariantSteps]) -> String {
    let find = |library: Library, reversible: bool| {
        rows.iter()
            .find(|row| row.variant.library == library && row.variant.reversible == reversible)
    };
    let mut text = String::new();
    for library in [Library::Rewind, Library::Libtorch] {
        if let (Some(a), Some(b)) = (find(library, true), find(library, false)) {
            let title = format!("reversible : non-reversible, in {}", library.name());
            text += &ratio(&title, a, b);
        }
    }
    for reversible in [true, false] {
        let [ours, theirs] =
            [Library::Rewind, Library::Libtorch].map(|library| find(library, reversible));
        if let (Some(a), Some(b)) = (ours, theirs) {
            text += &ratio(&format!("rewind : libtorch, {}", a.variant.backward()), a, b);
        }
    }
    text
}

fn ratio(title: &str, a: &VariantSteps, b: &VariantSteps) -> String {
    let mut text = format!("{title}: time {:.2}", a.median_secs / b.median_secs);
    if let (Some(a), Some(b)) = (a.processor_median_secs, b.processor_median_secs) {
        text += &format!(", processor time {:.2}", a / b);
    }
    if let (Some(a), Some(b)) = (a.steps.peak_bytes, b.steps.peak_bytes) {
        text += &format!(", peak {:.2}", a as f64 / b.max(1) as f64);
    }
    text + "\n"
}

/// Returns the time of our steps by kernel.
fn splits(rows: &[VariantSteps]) -> String {
    let split = |row: &VariantSteps| Some((row.variant.backward(), row.steps.split.clone()?));
    let splits: Vec<_> = rows.iter().filter_map(split).collect();
    let kernels: BTreeSet<&String> = splits.iter().flat_map(|(_, split)| split.keys()).collect();
    if kernels.is_empty() {
        return String::new();
    }
    let titles: Vec<&str> = splits.iter().map(|(title, _)| *title).collect();
    let mut text = format!(
        "\n| kernel, seconds a step in rewind | {} |\n|---|{}\n",
        titles.join(" | "),
        "---|".repeat(titles.len())
    );
    for kernel in kernels {
        text += &format!("| {kernel} |");
        for (_, split) in &splits {
            let seconds = split.get(kernel).copied().unwrap_or(0.0);
            let percent = 100.0 * seconds / split.values().sum::<f64>().max(1e-12);
            text += &format!(" {seconds:.4} ({percent:.0} %) |");
        }
        text += "\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::rounds::{TimedSteps, Variant};
    use super::*;

    #[test]
    fn ratios_are_ours_to_theirs_and_reversible_to_non_reversible() {
        let row = |library, reversible, seconds, peak_bytes| {
            let memory = "in some way".to_string();
            let seconds = vec![seconds];
            let steps = TimedSteps { seconds, peak_bytes, memory, ..TimedSteps::default() };
            VariantSteps::new(Variant { library, reversible }, steps)
        };
        let rows = vec![
            row(Library::Rewind, true, 3.0, Some(1 << 20)),
            row(Library::Libtorch, true, 2.0, Some(1 << 21)),
            row(Library::Rewind, false, 2.5, None),
        ];
        let failures = vec!["non-reversible in libtorch: out of\nmemory".to_string()];
        let text = table(&StepBenchmark { rows, failures });
        assert!(text.contains("rewind : libtorch, reversible: time 1.50, peak 0.50\n"), "{text}");
        assert!(text.contains("reversible : non-reversible, in rewind: time 1.20\n"), "{text}");
        assert!(!text.contains("libtorch, non-reversible:"), "{text}");
        assert!(text.ends_with("- non-reversible in libtorch: out of memory\n"), "{text}");
        assert!(text.contains("in some way.") && text.contains("| 1.0 MiB |"), "{text}");
    }
}
