//! Memory estimates as text.

use indicatif::HumanCount;
use model_core::UNetConfig;
use model_core::kernels::DeviceKind;
use model_core::network::memory_estimate::{
    Fit, LargestFit, LevelModeEstimate, MemoryEstimate, ModeEstimate,
};
use model_core::texts::bytes;

/// Formats a number of multiply-adds for tables.
pub fn work(count: u64) -> String {
    let giga = count as f64 / 1e9;
    if giga >= 1000.0 { format!("{:.3} T", giga / 1e3) } else { format!("{giga:.2} G") }
}

/// Returns the summary of a network and its step.
pub fn head(
    name: &str,
    config: &UNetConfig,
    plan: &MemoryEstimate,
    precision: &str,
    place: DeviceKind,
) -> String {
    let [i, j, k] = plan.size;
    let mut text = format!(
        "{name}: {} channels in, {} out; {} of {k}×{j}×{i} voxels (k, j, i), {precision}, {}\n\
         {} parameters; with the optimizer's state and their average {}\n\n\
         {:>14} {:>12} {:>12} {:>12} {:>14}  computed again\n",
        config.in_channels(),
        config.out_channels(),
        if plan.batch == 1 { "one volume".into() } else { format!("{} volumes", plan.batch) },
        if place == DeviceKind::Cpu { "on the CPU" } else { "on a GPU" },
        HumanCount(plan.parameters),
        bytes(plan.state_bytes),
        "a step",
        "stored",
        "peak",
        "in all",
        "multiply-adds",
    );
    for run in &plan.runs {
        text += &format!(
            "{:>14} {:>12} {:>12} {:>12} {:>14}  {:.2} forward passes\n",
            run.mode.name(),
            bytes(run.stored_bytes),
            bytes(run.peak_bytes),
            bytes(run.peak_bytes.saturating_add(plan.state_bytes)),
            work(run.step_multiply_adds),
            run.extra_forward
        );
    }
    text + "\
        stored: bytes kept for the backward pass. peak: the most held, without the parameters, the\n\
        optimizer's state and their average; in all: with them. non-reversible: the same network,\n\
        storing everything; checkpointed: the same, storing every √n-th of n layers.\n"
}

/// Returns the tables by level: of the network, then of the step.
pub fn levels(plan: &MemoryEstimate) -> String {
    let total = |text: &str| format!("{text:>5}");
    let mut text = format!(
        "{:>5} {:>13} {:>6} {:>12} {:>14}  (forward)\n",
        "level", "voxels", "width", "parameters", "multiply-adds"
    );
    for (number, level) in plan.levels.iter().enumerate() {
        let [i, j, k] = level.size;
        text += &format!(
            "{number:>5} {:>13} {:>6} {:>12} {:>14}\n",
            format!("{k}×{j}×{i}"),
            level.width,
            HumanCount(level.parameters).to_string(),
            work(level.forward_multiply_adds)
        );
    }
    if let Some(branch) = &plan.branch {
        text += &format!(
            "{:>19} {:>6} {:>12} {:>14}\n",
            "branch",
            "",
            HumanCount(branch.parameters).to_string(),
            work(branch.forward_multiply_adds)
        );
    }
    text += &format!(
        "{} {:>20} {:>12} {:>14}\n\n",
        total("total"),
        "",
        HumanCount(plan.parameters).to_string(),
        work(plan.forward_multiply_adds)
    );
    let columns: [(&str, Column); 3] = [
        ("stored", |of| bytes(of.stored_bytes)),
        ("peak while there", |of| bytes(of.peak_bytes)),
        ("multiply-adds", |of| work(of.step_multiply_adds)),
    ];
    text += &total("");
    for (name, _) in columns {
        let width = 15 * plan.runs.len() - 1;
        text += &format!(" | {name:^width$}");
    }
    text += &format!("\n{}", total("level"));
    for _ in columns {
        let names = plan.runs.iter().map(|run| format!("{:>14}", run.mode.name()));
        text += &format!(" | {}", names.collect::<Vec<_>>().join(" "));
    }
    let row = |of: &dyn Fn(&ModeEstimate) -> LevelModeEstimate| {
        columns.map(|(_, column)| {
            let cells = plan.runs.iter().map(|run| format!("{:>14}", column(&of(run))));
            format!(" | {}", cells.collect::<Vec<_>>().join(" "))
        })
    };
    for number in 0..plan.levels.len() {
        let cells = row(&|run: &ModeEstimate| run.levels[number].clone()).concat();
        text += &format!("\n{number:>5}{cells}");
    }
    let all = |run: &ModeEstimate| LevelModeEstimate {
        stored_bytes: run.stored_bytes,
        peak_bytes: run.peak_bytes,
        step_multiply_adds: run.step_multiply_adds,
    };
    text + &format!("\n{}{}\n", total("total"), row(&all).concat())
}

/// The text of a column for a level.
type Column = fn(&LevelModeEstimate) -> String;

/// Returns the table of the largest networks that fit.
pub fn fitting(fits: &[Fit], budget: &str, [i, j, k]: [usize; 3]) -> String {
    let mut text = format!(
        "Within {budget}, the optimizer's state included, a variational branch left out (depth and\n\
         width at {k}×{j}×{i}):\n\
         {:>14} {:>15} {:>8} {:>16} {:>14}\n",
        "", "largest volume", "levels", "blocks a level", "widths"
    );
    fn cell<T>(found: &Option<LargestFit<T>>, text: impl Fn(&T) -> String) -> String {
        match found {
            None => "none".to_string(),
            Some(LargestFit { value, or_more: false }) => text(value),
            Some(LargestFit { value, or_more: true }) => format!("{} or more", text(value)),
        }
    }
    for fit in fits {
        text += &format!(
            "{:>14} {:>15} {:>8} {:>16} {:>14}\n",
            fit.mode.name(),
            cell(&fit.volume, |[i, j, k]| format!("{k}×{j}×{i}")),
            cell(&fit.levels, |n| n.to_string()),
            cell(&fit.blocks, |n| n.to_string()),
            cell(&fit.width, |n| format!("{n:.2} ×")),
        );
    }
    text
}
