//! The measurements in the browser as a Markdown table.

/// The measurement of one engine.
pub struct Measurement {
    /// The time until the first logits: opening, compiling and running.
    pub first_ms: f64,
    /// The times of the later runs.
    pub warm_ms: Vec<f64>,
    /// The name of the GPU or CPU, as the page reports it.
    pub adapter: String,
    /// The browser's peak memory minus its memory before the engine started; `None` where the
    /// system does not report it.
    pub peak_bytes: Option<u64>,
    /// The logits, `[output][voxel]`.
    pub logits: Vec<f32>,
}

/// An engine's name, and its measurement or its error.
pub type EngineResult = (String, Result<Measurement, String>);

/// Returns the table. The engines are compared with the first.
pub fn table(rows: &[EngineResult], num_outputs: usize) -> String {
    let ours = rows.first().and_then(|(_, measured)| measured.as_ref().ok());
    let head = "| engine | runs on | first run | warm, median | against ours | peak memory | \
                logits differ by | voxels that agree |\n|---|---|---|---|---|---|---|---|\n";
    let line = |(name, measured): &EngineResult| match measured {
        Err(message) => {
            format!("| {name} | failed: {} | | | | | | |\n", cell(message))
        }
        Ok(measured) => {
            let warm = median(&measured.warm_ms);
            let against =
                ours.map_or(String::new(), |ours| format!("{:.2} ×", warm / median(&ours.warm_ms)));
            let memory = measured.peak_bytes.map_or("unknown".into(), |bytes| {
                format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
            });
            let compared = ours.filter(|ours| ours.logits.len() == measured.logits.len());
            let [difference, agreement_percent] =
                compared.map_or(["unknown".into(), "unknown".into()], |ours| {
                    let agreement = agreement(&ours.logits, &measured.logits, num_outputs);
                    let difference = max_difference(&ours.logits, &measured.logits);
                    [format!("{difference:.1e}"), format!("{:.3} %", 100.0 * agreement)]
                });
            format!(
                "| {name} | {} | {} | {} | {against} | {memory} | {difference} | {agreement_percent} |\n",
                cell(&measured.adapter),
                time(measured.first_ms),
                time(warm),
            )
        }
    };
    head.to_string() + &rows.iter().map(line).collect::<String>()
}

fn time(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.0} ms") } else { format!("{:.2} s", ms / 1000.0) }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns the largest difference, or NaN if one of the numbers is NaN.
fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |max, d| if d.is_nan() || max.is_nan() { f32::NAN } else { d.max(max) })
}

/// Returns the fraction of voxels at which the same outputs are positive and the same output is the
/// largest: voxels whose prediction is the same with regions and with labels.
fn agreement(a: &[f32], b: &[f32], num_outputs: usize) -> f64 {
    let num_voxels = a.len() / num_outputs;
    let decision = |logits: &[f32], at: usize| {
        let values = || (0..num_outputs).map(|output| logits[output * num_voxels + at]);
        let largest = values().enumerate().max_by(|x, y| x.1.total_cmp(&y.1));
        (values().map(|value| value > 0.0).collect::<Vec<_>>(), largest.map(|(output, _)| output))
    };
    let alike = (0..num_voxels).filter(|&at| decision(a, at) == decision(b, at)).count();
    alike as f64 / num_voxels.max(1) as f64
}

/// Returns a text for a table cell, on one line and of limited length.
fn cell(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    match text.char_indices().nth(240) {
        None => text,
        Some((end, _)) => format!("{} …", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(warm_ms: &[f64], logits: &[f32]) -> Result<Measurement, String> {
        Ok(Measurement {
            first_ms: 1500.0,
            warm_ms: warm_ms.to_vec(),
            adapter: "a | b".into(),
            peak_bytes: Some(3 << 20),
            logits: logits.to_vec(),
        })
    }

    #[test]
    fn a_table_compares_with_its_first_row_and_contains_errors() {
        let rows = [
            ("ours".to_string(), measured(&[30.0, 10.0, 20.0], &[1.0, -1.0, 0.5, 2.0])),
            ("theirs".to_string(), measured(&[60.0], &[1.0, -1.0, 0.75, -2.0])),
            ("none".to_string(), Err("no\nkernel".to_string())),
        ];
        let lines: Vec<String> = table(&rows, 2).lines().skip(2).map(String::from).collect();
        let ours = r"| ours | a \| b | 1.50 s | 20 ms | 1.00 × | 3 MiB | 0.0e0 | 100.000 % |";
        let theirs = r"| theirs | a \| b | 1.50 s | 60 ms | 3.00 × | 3 MiB | 4.0e0 | 50.000 % |";
        assert_eq!(lines, [ours, theirs, "| none | failed: no kernel | | | | | | |"]);
    }

    #[test]
    fn nan_is_no_agreement() {
        assert!(max_difference(&[1.0, f32::NAN, 2.0], &[1.0, 1.0, 2.0]).is_nan());
        assert_eq!(agreement(&[1.0, 1.0], &[1.0, f32::NAN], 1), 0.5);
    }
}
