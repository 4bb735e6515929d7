//! `cargo xtask papers`: the comparisons of the papers with networks at a fraction of their widths, on
//! real scans, and the tables of `trainer/docs/papers.md`.

mod ensembles;
mod measured;
mod memory;
mod runs;
mod summary;
mod tables;
mod variants;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::command::run;
use crate::steps::Steps;
use crate::workspace::{NATIVE, Workspace};
use measured::Measured;
use runs::Results;
use variants::{DATA_SETS, DataSet, VARIANTS};
use xshell::cmd;

/// The document with the tables.
const DOCUMENT: &str = "trainer/docs/papers.md";

/// What was measured.
const MEASURED: &str = "trainer/docs/papers.json";

/// The options of `cargo xtask papers`.
#[derive(clap::Args)]
pub struct PapersOptions {
    /// The folder with the data sets `hippocampus` (Medical Segmentation Decathlon, task 4) and
    /// `glioma2mm` (BraTS cases at 2 mm)
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Trainings of each network, which differ in their initial weights and patches
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=20))]
    seeds: u64,
    /// Only this data set
    #[arg(long, value_parser = DATA_SETS.map(|data| data.name))]
    only: Option<String>,
    /// Only write the tables of what was measured before
    #[arg(long)]
    tables: bool,
}

/// Trains and measures everything that was not measured before, and writes the tables. A training that
/// was stopped continues.
///
/// # Errors
/// If a step fails. The error contains the line to run it again.
pub fn papers(workspace: &Workspace, options: &PapersOptions) -> Result<()> {
    let data = options.data.canonicalize();
    let data = data.with_context(|| format!("no data sets in {}", options.data.display()))?;
    let folder = workspace.target.join("rewind-papers");
    let steps = &mut Steps::new();
    let sh = &workspace.shell;
    if !options.tables {
        steps.run("Build the programs", || {
            run(cmd!(sh, "cargo build {NATIVE...} --bin rewind --bin rewind-bench"))
        })?;
    }
    let is_chosen = |set: &&DataSet| options.only.as_deref().is_none_or(|only| only == set.name);
    let measured = &mut Measured::open(workspace.root.join(MEASURED))?;
    let mut results = Results::new(workspace, &folder, &data);
    for seed in 1..=options.seeds {
        for set in DATA_SETS.iter().filter(is_chosen) {
            for variant in &VARIANTS {
                let title = format!("{}, {}, seed {seed}", set.name, variant.name);
                if !options.tables {
                    results.measure(measured, steps, &title, set, variant, seed)?;
                }
                results.find(measured, set, variant, seed)?;
            }
        }
    }
    for set in DATA_SETS.iter().filter(is_chosen).filter(|_| options.seeds >= ensembles::MEMBERS) {
        if !options.tables && ensembles::find(measured, set)?.is_none() {
            let title = format!("{}, ensembles", set.name);
            steps.run(&title, || ensembles::measure(&results, measured, set))?;
        }
    }
    if !options.tables {
        steps.run("Memory", || memory::measure(workspace, measured))?;
    }

    let file = workspace.root.join(DOCUMENT);
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {DOCUMENT}"))?;
    fs::write(&file, with_tables(&text, &results, measured)?)?;
    steps.print_summary();
    println!("\nwrote the tables of {DOCUMENT}");
    Ok(())
}

/// Returns the document with the tables of what was measured.
fn with_tables(document: &str, results: &Results<'_>, measured: &Measured) -> Result<String> {
    let mut ensembles = Vec::new();
    for set in &DATA_SETS {
        ensembles.extend(ensembles::find(measured, set)?.map(|found| (set.name, found)));
    }
    let mut tables = summary::tables(results);
    tables.push(ensembles::table(&ensembles));
    tables.extend(memory::tables(measured));
    tables::replace(document, &tables)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Run `cargo xtask papers --data DIR --tables` after a change of the tables or the measurements.
    #[test]
    fn the_documents_tables_are_those_of_what_was_measured() {
        let workspace = Workspace::find().unwrap();
        let measured = Measured::open(workspace.root.join(MEASURED)).unwrap();
        let unused = Path::new("unused");
        let mut results = Results::new(&workspace, unused, unused);
        for seed in 1..=20 {
            for (set, variant) in
                DATA_SETS.iter().flat_map(|set| VARIANTS.iter().map(move |v| (set, v)))
            {
                results.find(&measured, set, variant, seed).unwrap();
            }
        }
        let document = fs::read_to_string(workspace.root.join(DOCUMENT)).unwrap();
        let expected = with_tables(&document, &results, &measured).unwrap();
        let differing = document.lines().zip(expected.lines()).find(|(a, b)| a != b);
        assert_eq!(differing, None, "the document's line and the one that was measured");
        assert_eq!(document, expected);
    }
}
