//! The answer as Markdown tables.

use std::collections::BTreeSet;

use super::measured::Row;
use super::rounds::Answer;
use trainer_train::estimate::bytes;

/// Times, memory, ratios, the split of ours by kernel, and what could not be measured.
pub(super) fn table(Answer { rows, failures }: &Answer) -> String {
    let mut text = String::from(
        "| backward | library | device | seconds a step (median) | fastest to slowest | of the \
         processors | peak |\n|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let [least, most] = row.range_secs;
        text += &format!(
            "| {} | {} | {} | {:.4} | {least:.4} to {most:.4} | {} | {} |\n",
            how(row.reversible),
            row.library,
            row.measured.device,
            row.median_secs,
            row.processor_median_secs.map_or("–".into(), |seconds| format!("{seconds:.4}")),
            row.measured.peak_bytes.map_or("–".into(), bytes)
        );
    }
    text += "\nPeak above what was held before the first step: ";
    text += rows.first().map_or("", |row| &row.measured.memory);
    text += ".\n\n";
    let of = |library: &str, reversible: bool| {
        rows.iter().find(|row| row.library == library && row.reversible == reversible)
    };
    for library in ["rewind", "libtorch"] {
        let name = format!("reversible : plain, in {library}");
        text += &ratio(&name, of(library, true), of(library, false));
    }
    for reversible in [true, false] {
        let name = format!("rewind : libtorch, {}", how(reversible));
        text += &ratio(&name, of("rewind", reversible), of("libtorch", reversible));
    }
    text += &splits(rows);
    if !failures.is_empty() {
        text += "\nNot measured:\n\n";
        failures.iter().for_each(|failure| text += &format!("- {}\n", failure.replace('\n', " ")));
    }
    text
}

fn how(reversible: bool) -> &'static str {
    if reversible { "reversible" } else { "plain" }
}

/// A line with the ratio of two measurements, where there are both.
fn ratio(name: &str, a: Option<&Row>, b: Option<&Row>) -> String {
    let (Some(a), Some(b)) = (a, b) else { return String::new() };
    let mut text = format!("{name}: time {:.2}", a.median_secs / b.median_secs);
    if let (Some(a), Some(b)) = (a.processor_median_secs, b.processor_median_secs) {
        text += &format!(", of the processors {:.2}", a / b);
    }
    if let (Some(a), Some(b)) = (a.measured.peak_bytes, b.measured.peak_bytes) {
        text += &format!(", peak {:.2}", a as f64 / b.max(1) as f64);
    }
    text + "\n"
}

/// Where the time of ours goes.
fn splits(rows: &[Row]) -> String {
    let rows: Vec<_> = rows.iter().filter_map(|row| Some((row, row.split.as_ref()?))).collect();
    let names: BTreeSet<&String> = rows.iter().flat_map(|(_, split)| split.keys()).collect();
    if names.is_empty() {
        return String::new();
    }
    let heads: Vec<&str> = rows.iter().map(|(row, _)| how(row.reversible)).collect();
    let mut text = format!(
        "\n| kernel, seconds a step in rewind | {} |\n|---|{}\n",
        heads.join(" | "),
        "---|".repeat(rows.len())
    );
    for name in names {
        text += &format!("| {name} |");
        for (_, split) in &rows {
            let seconds = split.get(name).copied().unwrap_or(0.0);
            let share = 100.0 * seconds / split.values().sum::<f64>().max(1e-12);
            text += &format!(" {seconds:.4} ({share:.0} %) |");
        }
        text += "\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::measured::Measured;
    use super::*;

    #[test]
    fn ratios_are_ours_to_theirs_and_reversible_to_plain() {
        let row = |library: &str, reversible, seconds, peak_bytes| {
            let (device, memory) = ("cpu".to_string(), "somehow".to_string());
            let measured = Measured {
                device,
                seconds: vec![seconds],
                processor_secs: Vec::new(),
                peak_bytes,
                memory,
                split: None,
            };
            Row::new(library, reversible, measured)
        };
        let rows = vec![
            row("rewind", true, 3.0, Some(1 << 20)),
            row("libtorch", true, 2.0, Some(1 << 21)),
            row("rewind", false, 2.5, None),
        ];
        let failures = vec!["plain in libtorch: out of\nmemory".to_string()];
        let text = table(&Answer { rows, failures });
        assert!(text.contains("rewind : libtorch, reversible: time 1.50, peak 0.50\n"), "{text}");
        assert!(text.contains("reversible : plain, in rewind: time 1.20\n"), "{text}");
        assert!(!text.contains("libtorch, plain:"), "{text}");
        assert!(text.ends_with("- plain in libtorch: out of memory\n"), "{text}");
        assert!(text.contains("somehow.") && text.contains("| 1.0 MiB |"), "{text}");
    }
}
