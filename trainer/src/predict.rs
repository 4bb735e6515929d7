//! Segments scans with a trained model.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;
use model_core::nets::UNet3d;
use model_core::{Bundle, Case, LabelMap, nifti, postprocess, preprocess};

use crate::data_set::DataSet;
use crate::run_folder::Run;
use crate::{files, model, progress};

/// A model on a device.
pub struct Predictor {
    bundle: Bundle,
    network: UNet3d,
    device: Device,
}

/// A scan's files.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// What its result is called.
    pub name: String,
    /// One file with all channels, or one a channel in the task's order.
    pub files: Vec<PathBuf>,
}

/// Which cases of a data set are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// All cases of dataset.json.
    All,
    /// Those that the run trained on.
    Training,
    /// Those that the run did not train on.
    HeldOut,
}

impl Predictor {
    /// Puts a model on a device.
    ///
    /// # Errors
    /// When the bundle's weights are not those of its network.
    pub fn new(bundle: Bundle, device: &Device) -> Result<Predictor> {
        let device = device.clone().without_autodiff();
        let network = model::build(&bundle.card.network, &bundle.weights, &device)?;
        Ok(Predictor { bundle, network, device })
    }

    /// Segments a case; the result lies on its grid.
    ///
    /// # Errors
    /// When the case cannot be preprocessed.
    pub fn segment(&self, case: &Case) -> Result<LabelMap> {
        let card = &self.bundle.card;
        let (input, placement) = preprocess(&case.channels, &card.preprocess, &card.network)?;
        let logits = model::logits(&self.network, &input, &self.device);
        Ok(postprocess(&logits, &card.task, &placement))
    }

    /// Segments scans one after the other, writes `NAME.nii.gz` for each into `out` and prints the
    /// volumes of the regions.
    ///
    /// # Errors
    /// At the first scan that cannot be used, with its file; earlier results stay.
    pub fn write_all(&self, scans: &[Scan], out: &Path) -> Result<()> {
        std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        let regions = &self.bundle.card.task.regions;
        let names: Vec<&str> = regions.iter().map(|region| region.name.as_str()).collect();
        println!("volumes in ml\ncase\t{}", names.join("\t"));
        let bar = progress::bar("segmenting", scans.len() as u64);
        for scan in scans {
            bar.set_message(scan.name.clone());
            let labels = self.segment(&self.read(scan)?)?;
            files::write(
                &out.join(format!("{}.nii.gz", scan.name)),
                &nifti::write_labels(&labels),
            )?;
            let volume =
                |region: &model_core::Region| format!("{:.3}", labels.volume_ml(&region.labels));
            let volumes: Vec<String> = regions.iter().map(volume).collect();
            bar.suspend(|| println!("{}\t{}", scan.name, volumes.join("\t")));
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Reads a scan's files as a case of the model's task.
    fn read(&self, scan: &Scan) -> Result<Case> {
        let mut channels = Vec::new();
        for file in &scan.files {
            let bytes = files::read(file, files::MAX_SCAN_BYTES)?;
            let name = file.display().to_string();
            channels.extend(nifti::read(&bytes).map_err(|error| error.in_file(name))?);
        }
        Ok(Case::new(scan.name.clone(), channels, None, &self.bundle.card.task)?)
    }

    /// The scans of a data set; `model` is what the model was read from, for its split.
    ///
    /// # Errors
    /// When the data set cannot be used, or the split is not known.
    pub fn scans_of(data: &Path, split: Split, model: &Path) -> Result<Vec<Scan>> {
        let data_set = DataSet::open(data, None)?;
        let wanted = match split {
            Split::All => None,
            _ => {
                ensure!(
                    model.is_dir(),
                    "--split needs the folder of the run as --model: a bundle does not list cases"
                );
                let run = Run::read(model)?;
                Some(if split == Split::HeldOut { run.held_out } else { run.training })
            }
        };
        let scans: Vec<Scan> = (data_set.cases.into_iter())
            .filter(|case| wanted.as_ref().is_none_or(|wanted| wanted.contains(&case.name)))
            .map(|case| Scan { name: case.name, files: case.images })
            .collect();
        if let Some(wanted) = wanted
            && wanted.len() != scans.len()
        {
            bail!(
                "expected the data set of the run with {} such cases, found {} of them in {}",
                wanted.len(),
                scans.len(),
                data.display()
            );
        }
        ensure!(!scans.is_empty(), "expected at least one case, found none");
        Ok(scans)
    }

    /// Files as scans: each that holds all channels is a scan of its own, else all together are
    /// one.
    ///
    /// # Errors
    /// When a file cannot be read, or the number of channels does not come out.
    pub fn scans_from(&self, given: &[PathBuf]) -> Result<Vec<Scan>> {
        let expected = self.bundle.card.task.channels.len();
        let mut counts = Vec::new();
        for file in given {
            let bytes = files::read(file, files::MAX_SCAN_BYTES)?;
            let name = file.display().to_string();
            counts.push(nifti::read(&bytes).map_err(|error| error.in_file(name))?.len());
        }
        let scan =
            |files: &[PathBuf]| Scan { name: files::case_name(&files[0]), files: files.to_vec() };
        if counts.iter().all(|count| *count == expected) {
            let scans: Vec<Scan> = given.chunks(1).map(scan).collect();
            let mut names: Vec<&str> = scans.iter().map(|scan| scan.name.as_str()).collect();
            names.sort_unstable();
            if let Some(twice) = names.windows(2).find(|two| two[0] == two[1]) {
                bail!("expected files of different names, found {:?} twice", twice[0]);
            }
            return Ok(scans);
        }
        let found: usize = counts.iter().sum();
        ensure!(
            found == expected,
            "expected {expected} channels ({}), found {found} in {} files",
            self.bundle.card.task.channels.join(", "),
            given.len()
        );
        Ok(vec![scan(given)])
    }
}
