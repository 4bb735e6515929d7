//! The memory of a training step at a fixed size, planned and measured.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use xshell::cmd;

use super::runs::number;
use super::tables::Table;
use crate::workspace::Workspace;

/// The reversible networks.
const REVERSIBLE: [&str; 8] = [
    "pendse-baseline",
    "mbconv-base",
    "mbconv-deeper",
    "mbconv-wider",
    "mbconv-slim",
    "brugger-1-1",
    "partially-invres",
    "fully-invres",
];

/// The networks of Yamazaki et al. 2022, measured with the branch.
const WITH_BRANCH: [&str; 3] = ["unet3d", "partially-invres", "fully-invres"];

const SIZE: &str = "64";

const RESULT: &str = "memory.json";

/// Returns what was measured before; empty if nothing was.
///
/// # Errors
/// If the file cannot be used.
pub fn find(folder: &Path) -> Result<Value> {
    let file = folder.join(RESULT);
    match file.exists() {
        true => Ok(serde_json::from_slice(&fs::read(&file)?)?),
        false => Ok(json!({})),
    }
}

/// Measures each network that was not measured before, by `rewind-bench memory`.
///
/// # Errors
/// If a measurement fails.
pub fn measure(workspace: &Workspace, folder: &Path) -> Result<Value> {
    let (sh, program) = (&workspace.shell, workspace.program("rewind-bench"));
    let mut found = find(folder)?;
    let plain = REVERSIBLE.map(|name| (name, name.to_string(), None, "1,2"));
    let branch = WITH_BRANCH.map(|name| (name, format!("{name} branch"), Some("--vae"), "1"));
    for (preset, key, vae, blocks) in plain.into_iter().chain(branch) {
        if !found[&key].is_null() {
            continue;
        }
        let measure = cmd!(
            sh,
            "{program} memory --preset {preset} --size {SIZE} --blocks {blocks} --device cpu {vae...} --json"
        );
        let text = measure.read()?;
        found[&key] = serde_json::from_str(&text).with_context(|| format!("of {preset}"))?;
        fs::create_dir_all(folder)?;
        fs::write(folder.join(RESULT), format!("{found:#}\n"))?;
    }
    Ok(found)
}

/// A row of `rewind-bench memory`.
struct Peak {
    planned: f64,
    measured: f64,
}

fn peak(found: &Value, key: &str, blocks: u64, mode: &str) -> Option<Peak> {
    let rows = found[key].as_array()?;
    let row = rows.iter().find(|row| row["blocks"] == blocks && row["mode"] == mode)?;
    let of = |kind: &str| number(&row[kind]["peak_bytes"]).ok();
    Some(Peak { planned: of("planned")?, measured: of("measured")? })
}

/// Returns the tables of peak memory.
pub fn tables(found: &Value) -> Vec<Table> {
    vec![ratios(found), with_branch(found)]
}

/// The peak of the network without reversibility, over that of the reversible one.
fn ratios(found: &Value) -> Table {
    let headings = [
        "network",
        "blocks a level",
        "reversible, MiB",
        "planned : measured",
        "non-reversible : reversible, planned",
        "measured",
        "checkpointed : reversible, planned",
        "measured",
    ];
    let mut table = Table::new("peaks", &headings);
    for name in REVERSIBLE {
        for blocks in [1, 2] {
            let of = |mode: &str| peak(found, name, blocks, mode);
            let (Some(reversible), Some(stored), Some(checkpointed)) =
                (of("reversible"), of("non_reversible"), of("checkpointed"))
            else {
                continue;
            };
            let ratio = |a: f64, b: f64| format!("{:.2}", a / b);
            table.row(vec![
                format!("`{name}`"),
                blocks.to_string(),
                format!("{:.0}", reversible.measured / f64::from(1 << 20)),
                ratio(reversible.planned, reversible.measured),
                ratio(stored.planned, reversible.planned),
                ratio(stored.measured, reversible.measured),
                ratio(checkpointed.planned, reversible.planned),
                ratio(checkpointed.measured, reversible.measured),
            ]);
        }
    }
    table
}

/// The networks of Yamazaki et al. 2022 with the branch.
fn with_branch(found: &Value) -> Table {
    let mut table = Table::new("branch", &["network", "peak, MiB", ": `unet3d`", "the paper"]);
    let modes = ["non_reversible", "reversible", "reversible"];
    let published = ["1 (4.18 GB)", "0.86 (3.60 GB)", "0.51 (2.12 GB)"];
    let measured = |name: &str, mode: &str| {
        peak(found, &format!("{name} branch"), 1, mode).map(|peak| peak.measured)
    };
    let plain = measured(WITH_BRANCH[0], modes[0]);
    for ((name, mode), published) in WITH_BRANCH.into_iter().zip(modes).zip(published) {
        if let (Some(own), Some(plain)) = (measured(name, mode), plain) {
            table.row(vec![
                format!("`{name}`"),
                format!("{:.0}", own / f64::from(1 << 20)),
                format!("{:.2}", own / plain),
                published.into(),
            ]);
        }
    }
    table
}
