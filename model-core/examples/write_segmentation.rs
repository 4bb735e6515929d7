//! Writes the regions of a label map as a segmentation, in DICOM or for 3D Slicer; or the map itself as
//! NIfTI.
//!
//! ```text
//! cargo run -p model-core --example write_segmentation -- LABELS.nii.gz TASK OUT.seg.nrrd
//! cargo run -p model-core --example write_segmentation -- LABELS.nii.gz TASK OUT.nii.gz
//! cargo run -p model-core --example write_segmentation -- LABELS.nii.gz TASK OUT.dcm FOLDER
//! ```
//!
//! TASK is a built-in task, such as `brats2023`. FOLDER holds the DICOM files of the examination. The
//! segmentation refers to the first series that is on the label map's grid.

use std::hash::BuildHasher;
use std::path::Path;
use std::time::SystemTime;

use model_core::formats::nifti;
use model_core::formats::segmentation::{DicomSegmentation, LocalTime, Segment, write_nrrd};
use model_core::formats::study::{SourceFile, Study};
use model_core::{Grid, Task};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn read(folder: &Path, files: &mut Vec<SourceFile>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => read(&path, files)?,
            false => {
                let bytes = std::fs::read(&path)?;
                files.push(SourceFile { path: path.display().to_string(), bytes });
            }
        }
    }
    Ok(())
}

/// Returns the time, in UTC.
fn now() -> Result<LocalTime> {
    let text = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let numbers = text.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok());
    let numbers: Vec<u16> = numbers.collect();
    let numbers = numbers.try_into().map_err(|_| "a time that cannot be read")?;
    Ok(LocalTime::new(numbers)?)
}

/// Returns a random number: the standard library seeds its hash tables at random.
fn random_bits() -> u128 {
    let half = || u128::from(std::hash::RandomState::new().hash_one(SystemTime::now()));
    half() << 64 | half()
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [labels, task, out, folder @ ..] = &arguments[..] else {
        return Err("usage: write_segmentation LABELS TASK OUT [FOLDER]".into());
    };
    let map = nifti::read_labels(&std::fs::read(labels)?)?;
    let task = Task::builtin(task)?;
    let segment = |region: &model_core::Region| Segment {
        name: region.name.clone(),
        color: region.color,
        codes: region.labels.clone(),
    };
    let segments: Vec<Segment> = task.regions.iter().map(segment).collect();
    let [folder] = folder else {
        let bytes = match out.ends_with(".nrrd") {
            true => write_nrrd(&map, &segments)?,
            false => nifti::write_labels(&map),
        };
        return Ok(std::fs::write(out, bytes)?);
    };

    let mut files = Vec::new();
    read(Path::new(folder), &mut files)?;
    let study = Study::open(files)?;
    let is_on_grid = |series: &&model_core::formats::study::Series| {
        let summary = series.summary();
        Grid::new(summary.dims, summary.world_from_voxel).check_same(map.grid()).is_ok()
    };
    let series = study.series.iter().find(is_on_grid);
    let series = series.ok_or("expected a series on the label map's grid, found none")?;
    let segmentation = DicomSegmentation {
        segments,
        algorithm: task.name.to_string(),
        is_edited: false,
        created: now()?,
        random_bits: std::array::from_fn(|_| random_bits()),
    };
    println!("{}: a segmentation of {}", out, series.summary().name);
    Ok(std::fs::write(out, series.write_segmentation(0, &map, &segmentation)?)?)
}
