//! The memory of a training step at a fixed size, planned and measured.

use anyhow::{Context, Result};
use xshell::cmd;

use super::measured::Measured;
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

/// Returns the name of a network's peaks among what was measured.
fn key(name: &str) -> String {
    format!("memory, {name}")
}

/// Measures each network that was not measured before, by `rewind-bench memory`.
///
/// # Errors
/// If a measurement fails.
pub fn measure(workspace: &Workspace, measured: &mut Measured) -> Result<()> {
    let (sh, program) = (&workspace.shell, workspace.program("rewind-bench"));
    let plain = REVERSIBLE.map(|name| (name, name.to_string(), None, "1,2"));
    let branch = WITH_BRANCH.map(|name| (name, format!("{name} branch"), Some("--vae"), "1"));
    for (preset, name, vae, blocks) in plain.into_iter().chain(branch) {
        if measured.get(&key(&name)).is_some() {
            continue;
        }
        let measure = cmd!(
            sh,
            "{program} memory --preset {preset} --size {SIZE} --blocks {blocks} --device cpu {vae...} --json"
        );
        let found = serde_json::from_str(&measure.read()?);
        measured.insert(key(&name), found.with_context(|| format!("of {preset}"))?)?;
    }
    Ok(())
}

/// A row of `rewind-bench memory`.
struct Peak {
    planned: f64,
    measured: f64,
}

fn peak(measured: &Measured, name: &str, blocks: u64, mode: &str) -> Option<Peak> {
    let rows = measured.get(&key(name))?.as_array()?;
    let row = rows.iter().find(|row| row["blocks"] == blocks && row["mode"] == mode)?;
    let of = |kind: &str| number(&row[kind]["peak_bytes"]).ok();
    Some(Peak { planned: of("planned")?, measured: of("measured")? })
}

/// Returns the tables of peak memory.
pub fn tables(measured: &Measured) -> Vec<Table> {
    vec![ratios(measured), with_branch(measured)]
}

/// The peak of the network without reversibility, over that of the reversible one.
fn ratios(measured: &Measured) -> Table {
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
            let of = |mode: &str| peak(measured, name, blocks, mode);
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
fn with_branch(found: &Measured) -> Table {
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
