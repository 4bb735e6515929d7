//! Forged links are refused, or restore a result that is consistent.

use std::time::{Duration, Instant};

use integration_tests::in_child_process;
use model_core::{Affine, Grid, LabelMap, NiftiTransforms, formats::nifti};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use web_viewer::share::{self, ShareError, SharedResult};

use super::{altered, opened, resealed, shared, small};

/// Returns the valid link with several fields of its card and its coded labels replaced.
fn forged(fields: &[(&str, Value)], coded: &[u8]) -> String {
    let (mut card, _) = opened(&share::encode(&small()).unwrap());
    for (path, value) in fields {
        *card.pointer_mut(path).unwrap_or_else(|| panic!("the card has {path}")) = value.clone();
    }
    resealed(card.to_string().as_bytes(), coded)
}

/// Returns a link to a box of this extent at the grid's first corner, without coded labels.
fn boxed(dims: [usize; 3], extent: [usize; 3]) -> String {
    let fields = [
        ("/grid/dims", json!(dims)),
        ("/start", json!([0, 0, 0])),
        ("/extent", json!(extent)),
        ("/codes", json!([0, 1])),
    ];
    forged(&fields, &[])
}

fn expect_too_large(link: &str, limit: u64) {
    match share::decode(link) {
        Err(ShareError::TooLarge { limit: found, .. }) if found == limit => {}
        other => panic!("expected more than {limit} to be refused, found {other:?}"),
    }
}

/// Returns the result with its grid changed.
fn with_grid(mut shared: SharedResult, change: impl FnOnce(&mut Grid)) -> SharedResult {
    let (mut grid, labels) = shared.labels.into_parts();
    change(&mut grid);
    shared.labels = LabelMap::new(grid, labels).unwrap();
    shared
}

/// A label map is saved as NIfTI-1, whose axes have at most 32767 voxels.
#[test]
fn an_axis_that_cannot_be_saved_is_refused() {
    for axis in 0..3 {
        let dims = |n| std::array::from_fn(|a| if a == axis { n } else { 1 });
        expect_too_large(&boxed(dims(32_768), dims(1)), 32_767);
        let grid = Grid::new(dims(32_768), Affine::IDENTITY);
        let map = |grid: Grid| shared(LabelMap::background(grid));
        let refused = share::encode(&map(grid));
        assert!(matches!(refused, Err(ShareError::TooLarge { limit: 32_767, .. })), "{refused:?}");
        let longest = map(Grid::new(dims(32_767), Affine::IDENTITY));
        assert_eq!(share::decode(&share::encode(&longest).unwrap()).unwrap(), longest);
        assert!(!nifti::write_labels(&longest.labels).is_empty());
    }
}

/// The decoder adds a margin to the box, which enlarges thin boxes most.
#[test]
fn a_box_with_its_margin_is_limited() {
    expect_too_large(&boxed([1 << 25, 1, 1], [1 << 25, 1, 1]), 32_767);
    expect_too_large(&boxed([32_767, 1024, 1], [32_767, 1024, 1]), 1 << 26);
    expect_too_large(&boxed([5000, 5000, 1], [5000, 5000, 1]), 1 << 26);
    // A whole head and a very fine slice are not too large, but their labels are missing.
    for extent in [[512, 512, 128], [3600, 3600, 1]] {
        let error = share::decode(&boxed(extent, extent)).unwrap_err();
        assert!(error.to_string().contains("the coded labels of"), "{error}");
    }
}

/// The boxes are within the limits.
#[test]
fn a_link_without_coded_labels_is_refused_quickly_within_bounded_memory() {
    let name =
        "share::hostile::a_link_without_coded_labels_is_refused_quickly_within_bounded_memory";
    let outcome = in_child_process(name, "", |_| {
        let start = Instant::now();
        for extent in [[512, 512, 128], [3600, 3600, 1], [256, 256, 256]] {
            for bytes in [&[][..], &[0; 20]] {
                let fields = [
                    ("/grid/dims", json!(extent)),
                    ("/start", json!([0, 0, 0])),
                    ("/extent", json!(extent)),
                    ("/codes", json!([0, 1])),
                ];
                assert!(share::decode(&forged(&fields, bytes)).is_err(), "{extent:?}");
            }
        }
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        "refused".into()
    });
    assert_eq!(outcome.answer.unwrap(), "refused");
    if let Some(peak_bytes) = outcome.peak_bytes {
        assert!(peak_bytes < 150 << 20, "{peak_bytes} bytes at most");
    }
}

#[test]
fn missing_and_additional_bytes_of_coded_labels_are_refused() {
    let (_, coded) = opened(&share::encode(&small()).unwrap());
    assert!(share::decode(&forged(&[], &coded)).is_ok());
    let longer = [&coded[..], b"a hidden message"].concat();
    for other in [&coded[..0], &coded[..coded.len() / 2], &longer] {
        // The coder never writes these bytes, or they decode to another map than the card
        // describes.
        let refused = share::decode(&forged(&[], other));
        assert!(matches!(refused, Err(ShareError::Content { .. })), "{refused:?}");
    }
}

/// The saved map must lie where the page shows it.
#[test]
fn a_header_that_lies_elsewhere_than_its_grid_is_refused() {
    for (path, value) in [
        ("/grid/forms/rows/0/3", json!(10.25)),
        ("/grid/forms/rows/0/0", json!(1.0)),
        ("/grid/forms/rows/2/2", json!(1e30)),
        ("/grid/world_from_voxel/0/3", json!(10.25)),
        ("/grid/world_from_voxel/2/2", json!(6.6)),
        ("/grid/world_from_voxel/2/2", json!(1e9)),
        ("/grid/forms/units", json!(1)),
        ("/grid/forms/units", json!(3)),
        ("/grid/forms/sform_code", json!(0)),
        ("/grid/forms/sform_code", json!(-7)),
    ] {
        match altered(path, value.clone()) {
            Err(ShareError::Content { expected, .. }) if expected.contains("position") => {}
            other => panic!("{path} = {value}: expected a contradiction, found {other:?}"),
        }
    }
    let map = with_grid(small(), |grid| grid.transforms.rows[0][3] += 1.0);
    assert!(matches!(share::encode(&map), Err(ShareError::Content { .. })));
}

/// A qform alone is valid. With an sform the qform is not used.
#[test]
fn links_with_a_qform_are_restored() {
    let spacing = Affine::from_spacing([1.0, 2.0, 3.0]);
    let map = with_grid(small(), |grid| *grid = Grid::new(grid.dims, spacing));
    let map = shared(map.labels);
    let transforms = &map.labels.grid().transforms;
    let only_qform =
        NiftiTransforms { qform_code: 1, sform_code: 0, rows: [[9.0; 4]; 3], ..*transforms };
    let other_qform = NiftiTransforms { qform_code: 1, offset_mm: [50.0; 3], ..*transforms };
    for transforms in [only_qform, other_qform] {
        let map = with_grid(map.clone(), |grid| grid.transforms = transforms);
        assert_eq!(share::decode(&share::encode(&map).unwrap()).unwrap(), map, "{transforms:?}");
    }
}

/// The position of a scan whose header states none is a convention of the reader. A link takes the
/// position from the reader, so that it stays valid if the convention changes.
#[test]
fn a_link_without_a_stated_position_opens_on_its_scan() {
    let spacing = Affine::from_spacing([1.0, 2.0, 3.0]);
    let mut grid = Grid::new([14, 9, 7], spacing);
    (grid.transforms.sform_code, grid.transforms.units) = (0, 2);
    let map = LabelMap::new(grid, small().labels.into_labels()).unwrap();
    let saved = nifti::read_labels(&nifti::write_labels(&map)).unwrap();
    let back = share::decode(&share::encode(&shared(map)).unwrap()).unwrap();
    back.labels.grid().check_same(saved.grid()).unwrap();
    // Another spacing is a contradiction.
    let (mut grid, labels) = saved.into_parts();
    grid.transforms.spacing_mm[1] = 4.0;
    let wrong = shared(LabelMap::new(grid, labels).unwrap());
    assert!(matches!(share::encode(&wrong), Err(ShareError::Content { .. })));
}

#[test]
fn codes_and_boxes_must_match_the_map() {
    let (card, _) = opened(&share::encode(&small()).unwrap());
    assert_eq!(card["codes"], json!([0, 1, 2, 3]));
    let expect = |path, value: Value, part: &str| match altered(path, value.clone()) {
        Err(ShareError::Content { expected, .. }) if expected.contains(part) => {}
        other => panic!("{path} = {value}: expected {part:?}, found {other:?}"),
    };
    expect("/codes", json!([0, 1, 2, 3, 4]), "coded labels");
    expect("/codes", json!([0, 1, 3, 7]), "ml of its map");
    expect("/codes", json!([1, 2, 3, 4]), "ml of its map");
    expect("/regions/0/codes", json!([]), "labels");
    expect("/regions/0/codes", json!([200]), "ml of its map");
    expect("/regions/0/name", json!("a\u{1b}[2J"), "control characters");
    expect("/model/warning", json!("\u{202e}"), "control characters");
    let many = altered("/regions/0/codes", json!(vec![1; 256]));
    assert!(matches!(many, Err(ShareError::TooLarge { limit: 255, .. })), "{many:?}");
}

/// The encoder refuses every result that the decoder would refuse.
#[test]
fn every_encoded_link_can_be_decoded() {
    let refused = |change: fn(&mut SharedResult)| {
        let mut map = small();
        change(&mut map);
        share::encode(&map).expect_err("expected a refusal");
    };
    refused(|map| map.regions[0].volume_ml += 1.0);
    refused(|map| map.regions[0].codes = vec![0]);
    refused(|map| map.model.name = "x".repeat(201));
    refused(|map| map.model.warning = "x".repeat(2001));
    refused(|map| map.regions = vec![map.regions[0].clone(); 256]);
    refused(|map| {
        map.regions.iter_mut().for_each(|region| region.name = "é".repeat(200));
        map.regions = map.regions.iter().cycle().take(250).cloned().collect();
    });
    let mut map = small();
    map.regions[0].name = "é".repeat(200);
    assert_eq!(share::decode(&share::encode(&map).unwrap()).unwrap(), map);
}

/// A changed link that opens has a map that can be saved at the same position.
#[test]
fn a_link_that_opens_can_be_saved_and_shared_again() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let (card, coded) = opened(&share::encode(&small()).unwrap());
    let card = card.to_string().into_bytes();
    let mut num_opened = 0;
    for _ in 0..20_000 {
        let mut bytes = card.clone();
        let at = random.random_range(0..bytes.len());
        bytes[at] = match bytes[at].is_ascii_digit() {
            true => b'0' + (random.next_u32() % 10) as u8,
            false => (random.next_u32() >> 24) as u8,
        };
        let Ok(shared) = share::decode(&resealed(&bytes, &coded)) else { continue };
        num_opened += 1;
        let saved = nifti::read_labels(&nifti::write_labels(&shared.labels)).unwrap();
        saved.grid().check_same(shared.labels.grid()).unwrap();
        assert_eq!(saved.labels(), shared.labels.labels());
        let again = share::decode(&share::encode(&shared).unwrap()).unwrap();
        assert_eq!(again.labels, shared.labels);
    }
    assert!(num_opened > 100, "{num_opened} of the changed links opened");
}
