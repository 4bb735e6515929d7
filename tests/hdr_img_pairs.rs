//! Scans in a pair of `.hdr` and `.img` files, NIfTI or Analyze 7.5, are read as scans in one file.

use std::fs;

use integration_tests::data;
use model_core::formats::nifti;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trainer_data::data_set::{DataSet, Layout};
use trainer_data::inspect::Inspection;
use trainer_run::reporter::Silent;

use crate::data_sets::trees;

#[test]
fn an_iseg_folder_of_analyze_pairs_is_read_with_a_warning_about_its_missing_position() {
    let folder = tempfile::tempdir().unwrap();
    for (number, big_endian) in [(1, false), (2, true)] {
        trees::write_iseg(folder.path(), number, big_endian);
    }
    let data_set = DataSet::open(folder.path(), None, &Silent).unwrap();
    assert_eq!((data_set.layout, data_set.cases.len()), (Layout::Iseg, 2));
    let (first, second) = (data_set.read(0).unwrap(), data_set.read(1).unwrap());
    assert!(first.case.channels() == second.case.channels(), "both byte orders");
    assert_ne!(first.digest, second.digest, "the digest is over both files of a pair");
    let grid = first.case.channels()[1].grid();
    assert_eq!((grid.dims, grid.world_from_voxel.spacing_mm()), ([6, 5, 4], [1.0, 1.0, 2.0]));
    assert_eq!(first.case.channels()[1].values()[7], 107.0);
    let labels = first.case.labels().unwrap();
    assert_eq!(labels.labels()[..4], [0, 10, 150, 250]);
    let report = Inspection::new(data_set, &Silent).report();
    assert!(report.contains("2 of 2: The file does not state how the scan lies"), "{report}");
    assert!(report.contains("250 white matter") && report.contains("no faults"), "{report}");
}

#[test]
fn mutated_analyze_headers_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    trees::write_iseg(folder.path(), 1, false);
    let bytes =
        |ending: &str| fs::read(folder.path().join(format!("subject-1-T1.{ending}"))).unwrap();
    let (header, voxels) = (bytes("hdr"), bytes("img"));
    let mut random = ChaCha8Rng::seed_from_u64(75);
    let mut num_read = 0;
    for _ in 0..20_000 {
        let mut header = header.clone();
        for _ in 0..1 + random.next_u32() % 3 {
            let position = random.next_u32() as usize % 128;
            header[position] = random.next_u32() as u8;
        }
        let scan = nifti::Reader::open_pair(&header, &voxels).and_then(|reader| reader.scan());
        num_read += usize::from(scan.is_ok());
    }
    assert!((1_000..20_000).contains(&num_read), "{num_read} mutated headers were read");
}

#[test]
fn a_pair_holds_the_same_scan_as_its_single_file() {
    let Some(folder) = data("edge/nifti-rs") else { return };
    let bytes = |name: &str| fs::read(folder.join(name)).unwrap();
    let single = nifti::read(&bytes("minimal.nii")).unwrap();
    for (header, voxels) in [("minimal.hdr", "minimal.img"), ("minimal.hdr.gz", "minimal.img.gz")] {
        let (header, voxels) = (bytes(header), bytes(voxels));
        let pair = |voxels| nifti::Reader::open_pair(&header, voxels).and_then(|r| r.scan());
        assert!(pair(&voxels).unwrap().volumes == single);
        assert!(pair(&voxels[..voxels.len() - 9]).is_err());
        assert!(pair(&[]).is_err());
    }
    assert!(nifti::read(&bytes("minimal.hdr")).unwrap_err().to_string().contains(".hdr/.img"));
    let whole = bytes("minimal.nii");
    assert!(
        nifti::Reader::open_pair(&whole, &whole).is_err(),
        "a whole file is not the header of a pair"
    );
}
