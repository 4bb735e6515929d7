//! What was measured in the browser, as a Markdown table.

/// One engine's run.
pub struct Measured {
    /// From nothing to the first logits: opening, compiling, running.
    pub first_ms: f64,
    /// The runs after that.
    pub warm_ms: Vec<f64>,
    /// What it ran on, as it says.
    pub adapter: String,
    /// The most that the browser held at a moment, beyond what it held before; where that is known.
    pub peak_bytes: Option<u64>,
    /// What it computed, `[output][voxel]`.
    pub logits: Vec<f32>,
}

/// An engine's name, and its run or what it said instead.
pub type Row = (String, Result<Measured, String>);

/// The rows; the first is what the others are compared with.
pub fn table(rows: &[Row], num_outputs: usize) -> String {
    let ours = rows.first().and_then(|(_, measured)| measured.as_ref().ok());
    let head = "| engine | runs on | first run | warm, median | against ours | peak memory | \
                logits differ by | voxels decided alike |\n|---|---|---|---|---|---|---|---|\n";
    let line = |(name, measured): &Row| match measured {
        Err(message) => {
            format!("| {name} | cannot: {} | | | | | | |\n", plain(message))
        }
        Ok(measured) => {
            let warm = median(&measured.warm_ms);
            let against =
                ours.map_or(String::new(), |ours| format!("{:.2} ×", warm / median(&ours.warm_ms)));
            let memory = measured.peak_bytes.map_or("unknown".into(), |bytes| {
                format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
            });
            let compared = ours.filter(|ours| ours.logits.len() == measured.logits.len());
            let [differ, alike] = compared.map_or(["unknown".into(), "unknown".into()], |ours| {
                let alike = decided_alike(&ours.logits, &measured.logits, num_outputs);
                let differ = difference(&ours.logits, &measured.logits);
                [format!("{differ:.1e}"), format!("{:.3} %", 100.0 * alike)]
            });
            format!(
                "| {name} | {} | {} | {} | {against} | {memory} | {differ} | {alike} |\n",
                plain(&measured.adapter),
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

/// The largest difference; NaN where a number is none.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences
        .fold(0.0, |most, d| if d.is_nan() || most.is_nan() { f32::NAN } else { d.max(most) })
}

/// The share of voxels at which the same outputs are positive and the same is the largest: alike
/// under either way to read logits.
fn decided_alike(a: &[f32], b: &[f32], num_outputs: usize) -> f64 {
    let num_voxels = a.len() / num_outputs;
    let decision = |logits: &[f32], at: usize| {
        let values = || (0..num_outputs).map(|output| logits[output * num_voxels + at]);
        let largest = values().enumerate().max_by(|x, y| x.1.total_cmp(&y.1));
        (values().map(|value| value > 0.0).collect::<Vec<_>>(), largest.map(|(output, _)| output))
    };
    let alike = (0..num_voxels).filter(|&at| decision(a, at) == decision(b, at)).count();
    alike as f64 / num_voxels.max(1) as f64
}

/// An engine's words in a cell of a table.
fn plain(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    match text.char_indices().nth(240) {
        None => text,
        Some((end, _)) => format!("{} …", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(warm_ms: &[f64], logits: &[f32]) -> Result<Measured, String> {
        Ok(Measured {
            first_ms: 1500.0,
            warm_ms: warm_ms.to_vec(),
            adapter: "a | b".into(),
            peak_bytes: Some(3 << 20),
            logits: logits.to_vec(),
        })
    }

    #[test]
    fn a_table_compares_with_its_first_row_and_keeps_what_a_peer_says() {
        let rows = [
            ("ours".to_string(), measured(&[30.0, 10.0, 20.0], &[1.0, -1.0, 0.5, 2.0])),
            ("theirs".to_string(), measured(&[60.0], &[1.0, -1.0, 0.75, -2.0])),
            ("none".to_string(), Err("no\nkernel".to_string())),
        ];
        let lines: Vec<String> = table(&rows, 2).lines().skip(2).map(String::from).collect();
        let ours = r"| ours | a \| b | 1.50 s | 20 ms | 1.00 × | 3 MiB | 0.0e0 | 100.000 % |";
        let theirs = r"| theirs | a \| b | 1.50 s | 60 ms | 3.00 × | 3 MiB | 4.0e0 | 50.000 % |";
        assert_eq!(lines, [ours, theirs, "| none | cannot: no kernel | | | | | | |"]);
    }

    #[test]
    fn a_number_that_is_none_is_no_agreement() {
        assert!(difference(&[1.0, f32::NAN, 2.0], &[1.0, 1.0, 2.0]).is_nan());
        assert_eq!(decided_alike(&[1.0, 1.0], &[1.0, f32::NAN], 1), 0.5);
    }
}
