//! Small data sets of phantoms in the usual layouts.

use std::fs;
use std::path::{Path, PathBuf};

use model_core::{Affine, Case, Grid, Volume, formats::nifti, phantom};

/// Phantoms that can be written in every layout.
pub struct Source {
    pub cases: Vec<Case>,
}

fn write(file: PathBuf, bytes: &[u8]) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, bytes).unwrap();
}

fn channel(case: &Case, n: usize) -> Vec<u8> {
    nifti::write_volumes(&case.channels()[n..=n]).unwrap()
}

fn labels(case: &Case) -> Vec<u8> {
    nifti::write_labels(case.labels().unwrap())
}

impl Source {
    pub fn new(count: u64) -> Source {
        let case = |n| phantom::phantom(n, 32).with_name(format!("case-{n}"));
        Source { cases: (0..count).map(case).collect() }
    }

    pub fn names(&self) -> Vec<String> {
        self.cases.iter().map(|case| case.name().to_string()).collect()
    }

    /// Writes `HGG/ID/ID_t1.nii`. Compressed files are recognized by their bytes, not by their
    /// names.
    pub fn write_brats_2018(&self, folder: &Path) {
        for case in &self.cases {
            let file = |part: &str| folder.join(format!("HGG/{0}/{0}_{part}.nii", case.name()));
            for (n, part) in ["t1", "t1ce", "t2", "flair"].iter().enumerate() {
                write(file(part), &channel(case, n));
            }
            write(file("seg"), &labels(case));
        }
        write(folder.join("survival_data.csv"), b"Brats18ID,Age\n");
    }

    /// Writes `ID/ID-t1n.nii.gz`, a case without labels, and a hidden file of macOS.
    pub fn write_brats_2023(&self, folder: &Path) {
        let write_case = |case: &Case, name: &str, has_labels: bool| {
            let file = |part: &str| folder.join(format!("{name}/{name}-{part}.nii.gz"));
            for (n, part) in ["t1n", "t1c", "t2w", "t2f"].iter().enumerate() {
                write(file(part), &channel(case, n));
            }
            if has_labels {
                write(file("seg"), &labels(case));
            }
        };
        self.cases.iter().for_each(|case| write_case(case, case.name(), true));
        write_case(&self.cases[0], "validation-1", false);
        write(folder.join("case-0/._case-0-seg.nii.gz"), b"");
    }

    /// Writes `imagesTr/case_0000.nii.gz` with the `dataset.json` of nnU-Net version 1 or 2.
    pub fn write_nnunet(&self, folder: &Path, is_first: bool) {
        for case in &self.cases {
            for n in 0..4 {
                let name = format!("imagesTr/{}_{n:04}.nii.gz", case.name());
                write(folder.join(name), &channel(case, n));
            }
            write(folder.join(format!("labelsTr/{}.nii.gz", case.name())), &labels(case));
        }
        for n in 0..4 {
            let name = format!("imagesTs/unseen_{n:04}.nii.gz");
            write(folder.join(name), &channel(&self.cases[0], n));
        }
        let channels = r#"{"0": "T1", "1": "T1Gd", "2": "T2", "3": "FLAIR"}"#;
        let pair = |name: String| {
            format!(
                r#"{{"image": "./imagesTr/{name}.nii.gz", "label": "./labelsTr/{name}.nii.gz"}}"#
            )
        };
        let pairs: Vec<String> = self.names().into_iter().map(pair).collect();
        let json = match is_first {
            true => format!(
                r#"{{"name": "Tumors", "modality": {channels}, "training": [{}],
                "labels": {{"0": "background", "1": "core", "2": "edema", "3": "enhancing"}}}}"#,
                pairs.join(", ")
            ),
            false => format!(
                r#"{{"channel_names": {channels}, "file_ending": ".nii.gz", "numTraining": {},
                "labels": {{"background": 0, "whole": [1, 2, 3], "core": [1, 3], "enhancing": 3}},
                "regions_class_order": [2, 1, 3]}}"#,
                self.cases.len()
            ),
        };
        write(folder.join("dataset.json"), json.as_bytes());
    }

    /// Writes `cases.csv` with relative paths, and a case without labels.
    pub fn write_csv(&self, folder: &Path) {
        let mut rows = String::from("case,label,FLAIR,t1ce,T1,T2\n");
        for case in &self.cases {
            let name = case.name();
            for n in 0..4 {
                write(folder.join(format!("scans/{name}_{n}.nii.gz")), &channel(case, n));
            }
            write(folder.join(format!("{name}.nii.gz")), &labels(case));
            let images = [3, 1, 0, 2].map(|n| format!("scans/{name}_{n}.nii.gz")).join(",");
            rows += &format!("{name},{name}.nii.gz,{images}\n");
        }
        rows += "unseen,,scans/a.nii,scans/b.nii,scans/c.nii,scans/d.nii\n";
        write(folder.join("cases.csv"), rows.as_bytes());
    }
}

/// Writes files of one small scan. Files with `seg` in their names are label maps.
pub fn write_named(folder: &Path, names: &[&str]) {
    let case = phantom::phantom(1, 32);
    for name in names {
        let is_labels = name.to_lowercase().contains("seg");
        write(folder.join(name), &if is_labels { labels(&case) } else { channel(&case, 0) });
    }
}

/// Shifts a scan along x.
pub fn shift(file: &Path, by_mm: f64) {
    let volume = nifti::read(&fs::read(file).unwrap()).unwrap().remove(0);
    let mut rows = volume.grid().world_from_voxel.rows();
    rows[0][3] += by_mm;
    let grid = Grid::new(volume.grid().dims, Affine::from_rows(rows));
    let shifted = Volume::new(grid, volume.into_values()).unwrap();
    fs::write(file, nifti::write_volumes(&[shifted]).unwrap()).unwrap();
}

/// Replaces a label by another.
pub fn relabel(file: &Path, from: u8, to: u8) {
    let mut map = nifti::read_labels(&fs::read(file).unwrap()).unwrap();
    map.labels_mut().iter_mut().filter(|label| **label == from).for_each(|label| *label = to);
    fs::write(file, nifti::write_labels(&map)).unwrap();
}

/// Replaces the first voxels by NaN.
pub fn put_nan(file: &Path, count: usize) {
    let mut volumes = nifti::read(&fs::read(file).unwrap()).unwrap();
    volumes[0].values_mut()[..count].fill(f32::NAN);
    fs::write(file, nifti::write_volumes(&volumes).unwrap()).unwrap();
}

/// Writes an iSeg subject as Analyze 7.5 pairs of 6 × 5 × 4 voxels of 1 × 1 × 2 mm.
pub fn write_iseg(folder: &Path, number: usize, big_endian: bool) {
    let labels = [0, 10, 150, 250];
    let value = |part: &str, n: i16| match part {
        "T1" => n,
        "T2" => 100 + n,
        _ => labels[n as usize % 4],
    };
    for part in ["T1", "T2", "label"] {
        let bytes = |value: i16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let voxels: Vec<u8> = (0..120).flat_map(|n| bytes(value(part, n))).collect();
        let file = |ending: &str| folder.join(format!("subject-{number}-{part}.{ending}"));
        write(file("hdr"), &analyze_header(big_endian));
        write(file("img"), &voxels);
    }
}

/// Returns an Analyze 7.5 header with the relevant fields, and with fields that have another
/// meaning in NIfTI.
fn analyze_header(big_endian: bool) -> Vec<u8> {
    let mut header = vec![0u8; 348];
    let mut put = |at: usize, little: &[u8]| {
        let mut field = little.to_vec();
        if big_endian {
            field.reverse();
        }
        header[at..at + field.len()].copy_from_slice(&field);
    };
    put(0, &348i32.to_le_bytes());
    for (n, extent) in [4i16, 6, 5, 4, 1].into_iter().enumerate() {
        put(40 + 2 * n, &extent.to_le_bytes());
    }
    put(70, &4i16.to_le_bytes()); // 16-bit integers
    put(72, &16i16.to_le_bytes());
    for (n, spacing_mm) in [0f32, 1.0, 1.0, 2.0].into_iter().enumerate() {
        put(76 + 4 * n, &spacing_mm.to_le_bytes());
    }
    // The origin of SPM and the smallest value, at the positions of NIfTI's sform_code and
    // signature.
    put(253, &3i16.to_le_bytes());
    put(344, &(-7i32).to_le_bytes());
    header
}
