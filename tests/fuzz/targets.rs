//! The readers of files from outside, each with valid files to start from and a memory limit.
//!
//! The limit is the memory that the format allows a file to need. It grows only with the size of
//! the file.

mod packed;

use std::fs;
use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use model_core::formats::nifti::{self, Reader};
use model_core::task::dataset::{LabeledScan, Manifest};
use model_core::{Bundle, Error, Grid, Task};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use trainer_data::data_set::DataSet;
use trainer_run::reporter::Silent;
use trainer_train::checkpoint::Checkpoint;
use web_viewer::share::{self, MAX_BOX_VOXELS, MAX_VOXELS};

use super::mutation::{self, choice};
use super::nifti_bytes::{Scan, gzip, seeds};
use super::{Afterwards, Make, Target, json};

/// Memory of a scan: tables of the decompressor, a chunk of voxels, the geometry of up to 1024
/// channels, and the text of an error.
const SCAN_BYTES: usize = 1 << 20;

/// Memory per byte of a scan: a byte may become a float of four bytes, in a buffer that doubles as
/// it grows.
const SCAN_FACTOR: usize = 8;

/// Memory per byte of a JSON file with free values: `{"":0}` is a value of 32 bytes and a map's
/// node for eleven.
const VALUE_FACTOR: usize = 160;

/// Memory per byte of a JSON file with fixed fields: `1,` is a number of 8 bytes, in a vector that
/// doubles, and there is a copy of the text. Weights of two bytes become four bytes, twice.
const FIELD_FACTOR: usize = 24;

/// Memory of the parameter list of the largest network that a card can describe: names and shapes
/// of 8 levels of 64 blocks.
const NETWORK_BYTES: usize = 8 << 20;

/// Memory per byte of a table: a row of one comma is a case or a fault, with texts and paths.
const ROW_FACTOR: usize = 400;

/// Memory of the tables of a parser and of the text of an error.
const PARSER_BYTES: usize = 64 << 10;

/// Returns all targets.
pub fn targets() -> Vec<Target> {
    vec![
        Target { name: "nifti", make: scan(), read: read_nifti, max_held_bytes: scan_bytes },
        Target {
            name: "nifti-gz",
            make: packed_scan(),
            read: read_nifti,
            max_held_bytes: scan_bytes,
        },
        Target { name: "nifti-pair", make: pair(), read: read_pair, max_held_bytes: pair_bytes },
        Target {
            name: "bundle",
            make: packed::bundle(),
            read: read_bundle,
            max_held_bytes: |bytes| FIELD_FACTOR * bytes.len() + NETWORK_BYTES,
        },
        Target {
            name: "checkpoint",
            make: packed::checkpoint(),
            read: read_checkpoint,
            max_held_bytes: |bytes| FIELD_FACTOR * bytes.len() + PARSER_BYTES,
        },
        Target {
            name: "link",
            make: packed::link(),
            read: read_link,
            // The label map of a scan, twice the box of its labels, and the tables of the decoder.
            max_held_bytes: |_| MAX_VOXELS + 2 * MAX_BOX_VOXELS + (16 << 20),
        },
        Target {
            name: "dataset-json",
            make: manifest(),
            read: read_manifest,
            max_held_bytes: |bytes| VALUE_FACTOR * bytes.len() + PARSER_BYTES,
        },
        Target {
            name: "csv",
            make: table(),
            read: read_table,
            max_held_bytes: |bytes| ROW_FACTOR * bytes.len() + PARSER_BYTES,
        },
    ]
}

/// The small scans of the folder of real edge cases, uncompressed. Empty if the folder does not
/// exist.
static REAL_SCANS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let Some(folder) = crate::data("edge") else { return Vec::new() };
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
    files.sort();
    let bytes = files.iter().filter_map(|file| fs::read(file).ok()).map(|bytes| inflated(&bytes));
    bytes.filter(|bytes| bytes.len() < 64 << 10).collect()
});

/// Makes changed scans in one file.
fn scan() -> Make {
    let seeds = seeds(false);
    Box::new(move |random| {
        let real = &*REAL_SCANS;
        if !real.is_empty() && random.random_range(0..8) == 0 {
            let mut bytes = choice(random, real).clone();
            mutation::change(&mut bytes, real, random);
            return bytes;
        }
        let Scan { header, voxels, .. } = changed(&seeds, random);
        [header, voxels].concat()
    })
}

fn changed(seeds: &[Scan], random: &mut ChaCha8Rng) -> Scan {
    let mut scan = choice(random, seeds).clone();
    scan.change(choice(random, seeds), random);
    scan
}

/// Makes compressed scans with changes before or after compression, or with trailing bytes.
fn packed_scan() -> Make {
    let (plain, seeds) = (scan(), seeds(false));
    Box::new(move |random| {
        let level = *choice(random, &[Compression::none(), Compression::fast()]);
        let mut bytes = match random.random_range(0..3) {
            0 => {
                let Scan { header, voxels, .. } = choice(random, &seeds);
                gzip(&[&header[..], voxels].concat(), level)
            }
            _ => return gzip(&plain(random), level),
        };
        match random.random_range(0..3) {
            0 => bytes.extend(vec![0; random.random_range(1..2000)]),
            1 => bytes.extend(gzip(&vec![0; random.random_range(1..1 << 20)], Compression::fast())),
            _ => mutation::change(&mut bytes, &[gzip(b"", level)], random),
        }
        bytes
    })
}

/// Makes pairs of a `.hdr` and an `.img` file, each compressed or not: the length of the first,
/// then both.
fn pair() -> Make {
    let seeds = seeds(true);
    Box::new(move |random| {
        let Scan { header, voxels, .. } = changed(&seeds, random);
        let [header, voxels] = [header, voxels].map(|bytes| match random.random_range(0..4) {
            0 => gzip(&bytes, Compression::fast()),
            _ => bytes,
        });
        [&(header.len() as u32).to_le_bytes()[..], &header, &voxels].concat()
    })
}

/// Returns the two files of a pair.
fn split_pair(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return (bytes, &[]) };
    rest.split_at((u32::from_le_bytes(*length) as usize).min(rest.len()))
}

/// Returns the content of a compressed file, as far as it can be inflated, or the bytes of another
/// file.
fn inflated(bytes: &[u8]) -> Vec<u8> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes.to_vec();
    }
    let (mut inflated, mut chunk) = (Vec::new(), [0; 4096]);
    let mut decoder = MultiGzDecoder::new(Cursor::new(bytes));
    while let Ok(count @ 1..) = decoder.read(&mut chunk) {
        inflated.extend(&chunk[..count]);
    }
    inflated
}

fn scan_bytes(bytes: &[u8]) -> usize {
    SCAN_BYTES + SCAN_FACTOR * inflated(bytes).len()
}

fn pair_bytes(bytes: &[u8]) -> usize {
    scan_bytes(split_pair(bytes).1)
}

fn read_nifti(bytes: &[u8]) -> Option<Afterwards> {
    let labels = nifti::read_labels(bytes);
    drop(labels);
    let volumes = nifti::read(bytes).ok()?;
    Some(Box::new(move || {
        // A scan that was read can be written and read again.
        let written = nifti::write_volumes(&volumes).expect("a scan that was read");
        let again = match nifti::read(&written) {
            // If the spacing is at a limit, rounding to f32 can move it beyond the limit.
            Err(Error::Geometry { .. }) if is_at_spacing_limit(volumes[0].grid()) => return,
            again => again.expect("a scan that was written"),
        };
        assert_eq!(again[0].grid().dims, volumes[0].grid().dims);
        assert_eq!(again.len(), volumes.len());
    }))
}

fn is_at_spacing_limit(grid: &Grid) -> bool {
    let is_near = |mm: f64| [1e-4, 1e4].iter().any(|limit| (mm / limit - 1.0).abs() < 1e-6);
    grid.world_from_voxel.spacing_mm().into_iter().any(is_near)
}

fn read_pair(bytes: &[u8]) -> Option<Afterwards> {
    let (header, voxels) = split_pair(bytes);
    let labels = Reader::open_pair(header, voxels).and_then(Reader::labels);
    drop(labels);
    let scan = Reader::open_pair(header, voxels).and_then(Reader::scan).ok()?;
    Some(Box::new(move || assert!(!scan.volumes.is_empty())))
}

fn read_bundle(bytes: &[u8]) -> Option<Afterwards> {
    let bundle = Bundle::from_bytes(bytes).ok()?;
    Some(Box::new(move || {
        bundle.card.check().expect("a card that was read");
        let bytes = bundle.to_bytes().expect("a bundle that was read");
        assert_eq!(Bundle::from_bytes(&bytes).expect("a bundle that was written"), bundle);
    }))
}

fn read_checkpoint(bytes: &[u8]) -> Option<Afterwards> {
    let network = packed::network();
    let checkpoint = Checkpoint::parse(bytes, &network).ok()?;
    Some(Box::new(move || {
        let bytes = checkpoint.to_bytes().expect("a checkpoint that was read");
        Checkpoint::parse(&bytes, &network).expect("a checkpoint that was written");
    }))
}

fn read_link(bytes: &[u8]) -> Option<Afterwards> {
    let shared = share::decode(std::str::from_utf8(bytes).ok()?).ok()?;
    Some(Box::new(move || {
        // The label map can be saved and opened again.
        let saved = nifti::write_labels(&shared.labels);
        let again = nifti::read_labels(&saved).expect("a label map that was saved");
        assert!(again.labels() == shared.labels.labels(), "the labels change when they are saved");
    }))
}

fn manifest() -> Make {
    let manifest = Manifest {
        name: "set".into(),
        license: Some("CC0".into()),
        task: Task::builtin("brats2023").expect("a built-in task"),
        training: (0..3)
            .map(|n| LabeledScan {
                image: format!("imagesTr/case-{n}.nii.gz"),
                other_images: Vec::new(),
                label: format!("labelsTr/case-{n}.nii.gz"),
            })
            .collect(),
        num_training: Some(3),
        validation: Vec::new(),
        test: vec![vec!["imagesTs/case-9.nii.gz".into()]],
        nnunet_cases: None,
    };
    let mut seeds = vec![manifest.to_json().into_bytes()];
    seeds.extend(NNUNET.map(|text| text.as_bytes().to_vec()));
    Box::new(move |random| json::change(&choice(random, &seeds).clone(), random))
}

/// Files in the format of nnU-Net version 2 with regions and with a list of cases, and a file that
/// needs much memory.
const NNUNET: [&str; 3] = [
    r#"{"channel_names": {"0": "T1", "1": "FLAIR"}, "labels": {"background": 0, "whole": [1, 2, 3],
        "core": [2, 3], "enhancing": 3}, "regions_class_order": [1, 2, 3], "numTraining": 2,
        "file_ending": ".nii.gz"}"#,
    r#"{"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "tumor": [2]},
        "numTraining": 1, "file_ending": ".nii", "dataset": {"a": {"images": ["imagesTr/a.nii"],
        "label": "labelsTr/a.nii"}}}"#,
    r#"{"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "tumor"}, "training": [{"image": ["a.nii", "b.nii"], "label": "c.nii"}],
        "tensorImageSize": [[], {}, ["", 0]], "numTraining": "1",
        "test": ["d.nii", ["e.nii", "f.nii"], {"image": "g.nii"}]}"#,
];

fn read_manifest(bytes: &[u8]) -> Option<Afterwards> {
    let manifest = Manifest::parse(bytes).ok()?;
    Some(Box::new(move || {
        let again = Manifest::parse(manifest.to_json().as_bytes());
        assert_eq!(again.expect("a description that was written"), manifest);
    }))
}

fn table() -> Make {
    let seeds = [
        "case,T1,T1Gd,T2,FLAIR,label\na,a1.nii,a2.nii,a3.nii,a4.nii,a5.nii\nb,b1,b2,b3,b4,\n",
        "image,label\n\"a, b.nii.gz\",\"c\"\"d.nii.gz\"\n,\n,\n/e.nii,f.nii\n",
        "\u{feff}case,image\r\nä,ä.nii\r\n",
        "image,label\n,\n,\n,\n,\n,\n,\n,\n,\n,\n,\n,\n,\n,\n,\n,\n,\n,\n,\n,\n,\n,\n,\n,\n,\n",
    ]
    .map(|text| text.as_bytes().to_vec());
    Box::new(move |random| {
        let mut bytes = choice(random, &seeds).clone();
        mutation::change(&mut bytes, &seeds, random);
        bytes
    })
}

fn read_table(bytes: &[u8]) -> Option<Afterwards> {
    static FOLDER: LazyLock<TempDir> =
        LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));
    let file = FOLDER.path().join("table.csv");
    fs::write(&file, bytes).expect("a table that can be written");
    let data_set = DataSet::open(&file, Some("brats2023"), &Silent).ok()?;
    Some(Box::new(move || assert!(data_set.cases.iter().all(|case| !case.name.is_empty()))))
}
