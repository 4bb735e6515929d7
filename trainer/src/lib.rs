//! The command `rewind`: trains, evaluates and exports reversible 3D U-Nets.

pub mod cli;
pub mod final_report;
mod folds;
