//! Writes synthetic heads around the brains of a data set, in the layout of the Medical Segmentation
//! Decathlon: one channel, and the brain as the only label.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use model_core::brain::{HeadBox, brain_task};
use model_core::formats::nifti;
use model_core::phantom::whole_head::{BrainContrast, RealBrain, draw_contrast, whole_head};
use model_core::task::dataset::{LabeledScan, Manifest};
use rayon::prelude::*;

use crate::data_set::{CaseFiles, DataSet};
use trainer_run::files;
use trainer_run::reporter::Reporter;

/// The heads to write.
#[derive(Debug, Clone)]
pub struct HeadSettings {
    /// A data set of skull-stripped scans.
    pub brains: PathBuf,
    /// The task of the data set, as `--task` names it.
    pub task: Option<String>,
    /// The cases to use; empty for all.
    pub only: Vec<String>,
    /// The cases to leave out.
    pub without: Vec<String>,
    /// The number of heads.
    pub heads: usize,
    /// The seed of the first head; each further head has the next seed and the next brain.
    pub seed: u64,
    /// Whether each head is written in the box of brain extraction, as its network is trained on.
    pub boxed: bool,
    /// The license of the brains, if the data set does not state it.
    pub license: Option<String>,
}

/// Writes the heads into a new folder, and returns the number of brains. A head is named by its brain,
/// its seed and its contrast.
///
/// # Errors
/// Errors if the data set cannot be read or is not skull-stripped, if no case remains, or if the
/// folder is not empty or cannot be written to.
pub fn write(out: &Path, settings: &HeadSettings, reporter: &dyn Reporter) -> Result<usize> {
    let data_set = DataSet::open(&settings.brains, settings.task.as_deref(), reporter)?;
    let cases = selected(&data_set, settings)?;
    ensure!(settings.heads >= 1, "--cases: expected at least 1, found 0");
    let brains = cases
        .iter()
        .map(|case| {
            let loaded = case.read(&data_set.task, data_set.tolerance_voxels)?;
            RealBrain::new(loaded.case.channels()).with_context(|| format!("case {}", case.name))
        })
        .collect::<Result<Vec<RealBrain>>>()?;
    files::new_folder(out, &[])?;
    for folder in ["imagesTr", "labelsTr"] {
        std::fs::create_dir(out.join(folder))?;
    }
    let progress = reporter.start_task("writing heads", Some(settings.heads as u64));
    let pair = |number: usize| -> Result<LabeledScan> {
        let seed = settings.seed.wrapping_add(number as u64);
        let brain = &brains[number % brains.len()];
        let contrast = draw_contrast(brain, seed);
        let contrast_name = match contrast {
            BrainContrast::Channel(channel) => data_set.task.channels[channel].to_lowercase(),
            BrainContrast::Random => "random".to_string(),
        };
        let head = whole_head(brain, contrast, seed);
        let (volume, mask) = match settings.boxed {
            true => {
                let head_box = HeadBox::find(&head.volume)?;
                (head_box.place(&head.volume)?, head_box.place_labels(&head.mask))
            }
            false => (head.volume, head.mask),
        };
        let stripped = if head.is_stripped { "_stripped" } else { "" };
        let brain_name = &cases[number % brains.len()].name;
        let name = format!("{brain_name}_head_{seed:06}_{contrast_name}{stripped}.nii.gz");
        let (image, label) = (format!("imagesTr/{name}"), format!("labelsTr/{name}"));
        files::write(&out.join(&image), &nifti::write_volumes(&[volume])?)?;
        files::write(&out.join(&label), &nifti::write_labels(&mask))?;
        progress.advance();
        Ok(LabeledScan { image, other_images: Vec::new(), label })
    };
    let numbers = (0..settings.heads).into_par_iter();
    let training = numbers.map(pair).collect::<Result<Vec<LabeledScan>>>()?;
    drop(progress);
    let manifest = Manifest {
        name: format!("Synthetic heads around {} brains", brains.len()),
        license: settings.license.clone().or(data_set.license),
        task: brain_task(),
        num_training: Some(training.len() as u64),
        training,
        validation: Vec::new(),
        test: Vec::new(),
        nnunet_cases: None,
    };
    files::write(&out.join("dataset.json"), manifest.to_json().as_bytes())?;
    Ok(brains.len())
}

/// Returns the cases that heads are built around.
fn selected(data_set: &DataSet, settings: &HeadSettings) -> Result<Vec<CaseFiles>> {
    let cases: Vec<&CaseFiles> = data_set.cases.iter().chain(&data_set.unlabeled).collect();
    for name in settings.only.iter().chain(&settings.without) {
        ensure!(
            cases.iter().any(|case| case.name == *name),
            "expected a case of the data set, found {name:?}"
        );
    }
    let is_used = |case: &&CaseFiles| {
        (settings.only.is_empty() || settings.only.contains(&case.name))
            && !settings.without.contains(&case.name)
    };
    let used: Vec<CaseFiles> = cases.into_iter().filter(is_used).cloned().collect();
    ensure!(!used.is_empty(), "expected at least one case to build heads around, found none");
    Ok(used)
}

#[cfg(test)]
mod tests {
    use trainer_run::reporter::Silent;

    use super::*;
    use crate::phantom;

    #[test]
    fn heads_around_the_brains_of_a_data_set_are_a_data_set_with_the_brain_as_label() {
        let folder = tempfile::tempdir().unwrap();
        let brains = folder.path().join("brains");
        phantom::write(&brains, 3, 5, 64, &Silent).unwrap();
        let settings = HeadSettings {
            brains,
            task: None,
            only: Vec::new(),
            without: vec!["phantom_00006".into()],
            heads: 3,
            seed: 40,
            boxed: true,
            license: Some("CC0".into()),
        };
        let out = folder.path().join("heads");
        assert_eq!(write(&out, &settings, &Silent).unwrap(), 2);
        let heads = DataSet::open(&out, None, &Silent).unwrap();
        assert_eq!((heads.num_cases(), &heads.task), (3, &brain_task()));
        assert_eq!(heads.license.as_deref(), Some("CC0"));
        for number in 0..3 {
            let loaded = heads.read(number).unwrap();
            let labels = loaded.case.labels().unwrap().labels();
            let brain = labels.iter().filter(|label| **label == 1).count();
            assert!((20_000..400_000).contains(&brain), "{} voxels", brain);
            assert!(!loaded.case.name().contains("phantom_00006"), "{}", loaded.case.name());
        }
        let again = folder.path().join("again");
        write(&again, &settings, &Silent).unwrap();
        for file in std::fs::read_dir(out.join("imagesTr")).unwrap() {
            let name = file.unwrap().file_name();
            let read = |folder: &Path| std::fs::read(folder.join("imagesTr").join(&name)).unwrap();
            assert!(read(&out) == read(&again), "{name:?} differs");
        }
        let unknown = HeadSettings { only: vec!["other".into()], ..settings };
        let error = write(&folder.path().join("none"), &unknown, &Silent).unwrap_err();
        assert!(error.to_string().contains("\"other\""), "{error}");
    }
}
