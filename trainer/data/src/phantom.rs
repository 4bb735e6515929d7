//! Writes synthetic cases as a data set in the layout of the Medical Segmentation Decathlon.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use model_core::task::dataset::{LabeledScan, Manifest};
use model_core::{formats::nifti, phantom};
use rayon::prelude::*;

use trainer_run::files;
use trainer_run::reporter::Reporter;

/// Writes the phantoms of the seeds `seed..seed + cases` into a new folder.
///
/// # Errors
/// Errors if a phantom cannot have `size` voxels along each axis, or if the folder is not empty or
/// cannot be written to.
pub fn write(
    out: &Path,
    cases: usize,
    seed: u64,
    size: usize,
    reporter: &dyn Reporter,
) -> Result<()> {
    let sizes = phantom::SIZES;
    ensure!(
        sizes.contains(&size),
        "--size: expected {} to {} voxels, found {size}",
        sizes.start(),
        sizes.end()
    );
    ensure!(cases >= 1, "--cases: expected at least 1, found 0");
    let end = seed.checked_add(cases as u64).context("--seed: expected a smaller number")?;
    files::new_folder(out, &[])?;
    for folder in ["imagesTr", "labelsTr"] {
        std::fs::create_dir(out.join(folder))?;
    }
    let progress = reporter.start_task("writing phantoms", Some(cases as u64));
    let pair = |seed: u64| -> Result<LabeledScan> {
        let case = phantom::phantom(seed, size);
        let image = format!("imagesTr/phantom_{seed:05}.nii.gz");
        let label = format!("labelsTr/phantom_{seed:05}.nii.gz");
        files::write(&out.join(&image), &nifti::write_volumes(case.channels())?)?;
        let labels = case.labels().context("expected a phantom with labels")?;
        files::write(&out.join(&label), &nifti::write_labels(labels))?;
        progress.advance();
        Ok(LabeledScan { image, other_images: Vec::new(), label })
    };
    let training = (seed..end).into_par_iter().map(pair).collect::<Result<Vec<LabeledScan>>>()?;
    drop(progress);
    let manifest = Manifest {
        name: phantom::task().name.clone(),
        license: Some("CC0 1.0 (synthetic)".into()),
        task: phantom::task(),
        num_training: Some(training.len() as u64),
        training,
        validation: Vec::new(),
        test: Vec::new(),
        nnunet_cases: None,
    };
    files::write(&out.join("dataset.json"), manifest.to_json().as_bytes())
}
