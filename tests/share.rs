//! A share link transmits a result completely or is refused, and hostile links use little memory.

mod hostile;

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use integration_tests::in_child_process;
use model_core::prepare::{BrainStep, ChannelRecord, ChannelStep, PreparationRecord};
use model_core::{Affine, Grid, LabelMap, Task, formats::nifti};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use web_viewer::measure::{Measurement, Shape};
use web_viewer::share::{
    self, MAX_FRAGMENT_CHARS, PREFIX, ShareError, SharedModel, SharedRegion, SharedResult,
};
use web_viewer::slice::Convention;

/// Returns the shared result of a label map of BraTS 2023.
fn shared(labels: LabelMap) -> SharedResult {
    let regions = Task::builtin("brats2023").unwrap().regions.clone();
    let regions = regions.into_iter().map(|region| SharedRegion {
        volume_ml: (labels.volume_ml(&region.labels) * 1000.0).round() / 1000.0,
        name: region.name,
        color: region.color,
        codes: region.labels,
    });
    SharedResult {
        convention: Convention::Neurological,
        regions: regions.collect(),
        model: SharedModel {
            name: "A model".into(),
            warning: "Means nothing.".into(),
            hash: "0123456789abcdef".repeat(4),
            tiles: String::new(),
        },
        preparation: None,
        num_edited: 0,
        measurements: Vec::new(),
        labels,
    }
}

/// Returns a result of two nested balls with a core, on an oblique grid.
fn small() -> SharedResult {
    let rows = [[-1.0, 0.1, 0., 9.25], [0.1, -2.0, 0., 1e-7], [0., 0., 3.3, -1234.5]];
    let grid = Grid::new([14, 9, 7], Affine::from_rows(rows));
    let distance = |n: usize, center: [f64; 3]| {
        let at = [n % 14, n / 14 % 9, n / 126].map(|x| x as f64);
        (0..3).map(|a| (at[a] - center[a]).powi(2)).sum::<f64>()
    };
    let label = |n| match distance(n, [6.0, 4.0, 3.0]) {
        d if d <= 2.0 => 3,
        d if d <= 5.0 => 1,
        d if d <= 11.0 => 2,
        _ => 0,
    };
    let labels = (0..grid.num_voxels()).map(label).collect();
    shared(LabelMap::new(grid, labels).unwrap())
}

/// Returns a fragment's card and the coded labels after it.
fn opened(fragment: &str) -> (Value, Vec<u8>) {
    let body = share::body_from_fragment(fragment).unwrap();
    let length = u32::from_le_bytes(body[..4].try_into().unwrap()) as usize;
    let mut json = Vec::new();
    DeflateDecoder::new(&body[4..4 + length]).read_to_end(&mut json).unwrap();
    (serde_json::from_slice(&json).unwrap(), body[4 + length..].to_vec())
}

/// Returns a fragment with this card and a valid checksum.
fn resealed(card: &[u8], coded: &[u8]) -> String {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(card).unwrap();
    let deflated = encoder.finish().unwrap();
    let length = (deflated.len() as u32).to_le_bytes();
    share::fragment_from_body(&[&length[..], &deflated, coded].concat())
}

/// Decodes the valid result with one field of its card replaced.
fn altered(path: &str, value: Value) -> Result<SharedResult, ShareError> {
    let (mut card, coded) = opened(&share::encode(&small()).unwrap());
    *card.pointer_mut(path).unwrap_or_else(|| panic!("the card has {path}")) = value;
    share::decode(&resealed(card.to_string().as_bytes(), &coded))
}

#[test]
fn a_link_states_the_preparation_with_its_matrices() {
    let rows = [[0.998, -0.06, 0., 3.25], [0.06, 0.998, 0., -1.5], [0., 0., 1., 0.125]];
    let registered = ChannelStep::Registered {
        moving_from_reference: Affine::from_rows(rows),
        rotation_deg: 3.44,
        translation_mm: [3.25, -1.5, 0.125],
        mutual_information: [0.31, 0.78],
        coverage: 0.9,
    };
    let channel = |channel: &str, step| ChannelRecord { channel: channel.into(), step };
    let record = PreparationRecord {
        reference: "T1Gd".into(),
        channels: vec![
            channel("T1", registered),
            channel("T1Gd", ChannelStep::Unchanged),
            channel("FLAIR", ChannelStep::Missing),
        ],
        brain: BrainStep::Extracted { volume_ml: 1385.25, is_edited: true },
    };
    let shared = SharedResult { preparation: Some(record.clone()), ..small() };
    let link = share::encode(&shared).unwrap();
    let plain = share::encode(&small()).unwrap();
    assert!(link.len() < plain.len() + 700, "{} and {} characters", link.len(), plain.len());
    assert_eq!(share::decode(&link).unwrap().preparation, Some(record.clone()));
    let text = record.sentences().join(" ");
    for part in ["T1 was registered", "3.4°", "3.6 mm", "FLAIR is missing", "1385 ml", "edited"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // A link from elsewhere cannot show texts or numbers without bounds.
    let mut forged = record.clone();
    forged.channels[0].channel = "x".repeat(300);
    let forged = SharedResult { preparation: Some(forged), ..small() };
    assert!(share::encode(&forged).is_err());
    let endless = BrainStep::Extracted { volume_ml: f64::INFINITY, is_edited: false };
    let forged = PreparationRecord { brain: endless, ..record };
    assert!(share::encode(&SharedResult { preparation: Some(forged), ..small() }).is_err());
}

/// A result that was edited, with a measurement of each shape.
fn edited() -> SharedResult {
    let shapes = [
        Shape::Length([[0.25, 1.5, -20.0], [3.0, 4.0, 5.0]]),
        Shape::Angle([[0.0; 3], [1.0, 2.0, 3.0], [9.0, 8.0, 7.0]]),
        Shape::Diameters([[0.0; 3], [9.0, 0.0, 0.0], [4.0, -3.0, 0.0], [4.0, 3.0, 0.01]]),
    ];
    let measurements = shapes.map(|shape| Measurement { name: shape.text(), shape }).to_vec();
    SharedResult { num_edited: 17, measurements, ..small() }
}

#[test]
fn a_link_and_a_file_state_corrections_and_measurements() {
    let shared = edited();
    let link = share::encode(&shared).unwrap();
    assert_eq!(share::decode(&link).unwrap(), shared);
    let comment = share::file_comment(&shared).unwrap();
    assert!(comment.starts_with("research-use-only."), "{comment}");
    let file = nifti::write_labels_with_texts(&shared.labels, "", &comment);
    let (labels, comment) =
        (nifti::read_labels(&file).unwrap(), nifti::comment(&file).expect("the comment"));
    let read = share::read_file(&comment, labels.clone()).expect("a result").unwrap();
    assert_eq!(read, SharedResult { labels, ..shared.clone() });
    // Labels that were changed by another program are not those of the comment.
    let mut changed = shared.labels.clone();
    changed.labels_mut()[0] = 3;
    let error = share::read_file(&comment, changed).unwrap().unwrap_err().to_string();
    assert!(error.contains("to fill the"), "{error}");
    assert!(share::read_file("FreeSurfer", shared.labels.clone()).is_none());
    let newer = comment.replacen("-v1 ", "-v9 ", 1);
    assert!(matches!(
        share::read_file(&newer, shared.labels.clone()),
        Some(Err(ShareError::Version { .. }))
    ));
    // More edited voxels than voxels, and a point that no scanner reaches.
    assert!(share::encode(&SharedResult { num_edited: 1 << 40, ..small() }).is_err());
    let far = Measurement { name: "far".into(), shape: Shape::Length([[1e9; 3], [0.0; 3]]) };
    assert!(share::encode(&SharedResult { measurements: vec![far], ..small() }).is_err());
}

#[test]
fn a_shared_result_is_restored() {
    let shared = small();
    let fragment = share::encode(&shared).unwrap();
    assert!(fragment.starts_with("research-use-only."), "{fragment}");
    assert!(fragment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
    assert_eq!(share::decode(&fragment).unwrap(), shared);
    assert_eq!(share::decode(&format!("#{fragment}")).unwrap(), shared);
}

#[test]
fn an_empty_result_is_restored() {
    let grid = small().labels.grid().clone();
    let shared = shared(LabelMap::background(grid));
    assert_eq!(share::decode(&share::encode(&shared).unwrap()).unwrap(), shared);
}

/// A header field that is not used may be NaN.
#[test]
fn nan_in_an_unused_header_field_does_not_break_a_link() {
    let mut shared = small();
    let (mut grid, labels) = shared.labels.into_parts();
    grid.transforms.quaternion[1] = f32::NAN;
    shared.labels = LabelMap::new(grid, labels).unwrap();
    let back = share::decode(&share::encode(&shared).unwrap()).unwrap();
    assert_eq!(back.labels.labels(), shared.labels.labels());
}

/// The map has 240 × 240 × 155 voxels. Messengers accept a link of this length. Deflate alone needs
/// 19333 bytes for these labels, or 8302 after cropping.
#[test]
fn a_full_size_tumor_fits_into_a_short_link() {
    let case = "brats/BraTS-GLI-00000-000/BraTS-GLI-00000-000-seg.nii.gz";
    let Some(path) = integration_tests::data(case) else { return };
    let shared = shared(nifti::read_labels(&std::fs::read(path).unwrap()).unwrap());
    assert_eq!(shared.labels.grid().dims, [240, 240, 155]);
    let fragment = share::encode(&shared).unwrap();
    assert!(fragment.len() < 5500, "{} characters", fragment.len());
    assert_eq!(share::decode(&fragment).unwrap(), shared);
}

#[test]
fn a_full_size_phantom_is_restored() {
    let case = model_core::phantom::phantom(3, 128);
    let labels = case.labels().unwrap().clone();
    let shared = shared(labels);
    let fragment = share::encode(&shared).unwrap();
    assert!(fragment.len() < 30_000, "{} characters", fragment.len());
    assert_eq!(share::decode(&fragment).unwrap(), shared);
}

/// Users have links of version 1, so every later version must open them.
#[test]
fn a_link_of_version_1_opens() {
    let opened = share::decode(LINK_OF_VERSION_1).unwrap();
    assert_eq!(opened, small());
}

/// A network in tiles is another function than on the full volume, so the link states the tiles.
#[test]
fn a_link_states_the_tiles_of_its_result() {
    let mut shared = small();
    shared.model.tiles = "8 overlapping windows of 96 × 96 × 96 voxels".into();
    let opened = share::decode(&share::encode(&shared).unwrap()).unwrap();
    assert_eq!(opened.model.tiles, shared.model.tiles);
    shared.model.tiles = "8".repeat(201);
    assert!(matches!(share::encode(&shared), Err(ShareError::TooLarge { limit: 200, .. })));
}

#[test]
fn a_truncated_link_is_refused() {
    let fragment = share::encode(&small()).unwrap();
    for length in 0..fragment.len() {
        assert!(share::decode(&fragment[..length]).is_err(), "the first {length} characters");
    }
}

#[test]
fn a_link_with_changed_characters_is_refused() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let fragment = share::encode(&small()).unwrap();
    for _ in 0..3000 {
        let mut bytes = fragment.clone().into_bytes();
        let at = random.random_range(0..bytes.len());
        bytes[at] = random.random_range(0x20..0x7f);
        let mutated = String::from_utf8(bytes).unwrap();
        assert!(mutated == fragment || share::decode(&mutated).is_err(), "{mutated}");
    }
}

/// An attacker can compute a valid checksum.
#[test]
fn mutated_bodies_with_a_valid_checksum_never_panic() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let fragment = share::encode(&small()).unwrap();
    let body = share::body_from_fragment(&fragment).unwrap();
    let (card, coded) = opened(&fragment);
    let card = card.to_string().into_bytes();
    for n in 0..6000 {
        let mut bytes = if n % 2 == 0 { body.clone() } else { card.clone() };
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = (random.next_u32() >> 24) as u8;
        }
        let mutated =
            if n % 2 == 0 { share::fragment_from_body(&bytes) } else { resealed(&bytes, &coded) };
        if let Ok(shared) = share::decode(&mutated) {
            assert_eq!(shared.labels.labels().len(), shared.labels.grid().num_voxels());
        }
    }
    for length in 0..body.len() {
        let _ = share::decode(&share::fragment_from_body(&body[..length]));
    }
}

#[test]
fn contradictions_are_refused_with_their_field() {
    let content = |path, value, part: &str| match altered(path, value) {
        Err(ShareError::Content { expected, .. }) if expected.contains(part) => {}
        other => panic!("{path}: expected a contradiction about {part}, found {other:?}"),
    };
    content("/grid/dims", json!([0, 9, 7]), "voxels");
    content("/grid/dims", json!([14, 9, -7]), "header");
    content("/grid/dims", json!([4, 9, 7]), "inside the grid");
    content("/grid/world_from_voxel", json!([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]), "space");
    content("/start", json!([u64::MAX, 0, 0]), "");
    content("/extent", json!([100, 1, 1]), "inside the grid");
    content("/codes", json!([3, 2, 1, 0]), "codes");
    content("/regions/0/volume_ml", json!(12345.0), "ml of its map");
    content("/regions/0/codes", json!([0, 1]), "region");
    content("/model/hash", json!("abc"), "SHA-256");
    content("/convention", json!("sideways"), "header");
}

#[test]
fn huge_sizes_are_refused_before_any_allocation() {
    let too_large = |path, value| match altered(path, value) {
        Err(ShareError::TooLarge { .. }) => {}
        other => panic!("{path}: expected too large, found {other:?}"),
    };
    too_large("/grid/dims", json!([1u64 << 20, 1u64 << 20, 1]));
    too_large("/grid/dims", json!([u32::MAX, u32::MAX, u32::MAX]));
    too_large("/grid/dims", json!([513, 512, 512]));
    too_large("/model/name", json!("x".repeat(500)));
    let long = format!("{PREFIX}1.{}", "A".repeat(MAX_FRAGMENT_CHARS));
    assert!(matches!(share::decode(&long), Err(ShareError::TooLarge { .. })));
}

#[test]
fn unknown_versions_and_other_fragments_are_refused() {
    let fragment = share::encode(&small()).unwrap();
    let newer = fragment.replacen("rewind-v1.", "rewind-v2.", 1);
    assert!(share::is_share_fragment(&newer));
    assert_eq!(share::decode(&newer), Err(ShareError::Version { found: "2".into() }));
    for other in ["", "#", "section-2", "research-use-only", "rewind-v1.AAAA"] {
        assert_eq!(share::decode(other), Err(ShareError::NotALink), "{other:?}");
    }
}

/// A gigabyte of spaces compresses to a megabyte and is not decompressed.
#[test]
fn a_decompression_bomb_is_refused_within_bounded_memory() {
    let outcome = in_child_process(
        "share::a_decompression_bomb_is_refused_within_bounded_memory",
        "",
        |_| {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
            let spaces = vec![b' '; 1 << 20];
            for _ in 0..1024 {
                encoder.write_all(&spaces).unwrap();
            }
            let deflated = encoder.finish().unwrap();
            let length = (deflated.len() as u32).to_le_bytes();
            let bomb = share::fragment_from_body(&[&length[..], &deflated].concat());
            match share::decode(&bomb) {
                Err(ShareError::TooLarge { what, .. }) => format!("refused: {what}"),
                other => format!("{other:?}"),
            }
        },
    );
    assert_eq!(outcome.answer.unwrap(), "refused: the header in bytes");
    if let Some(peak_bytes) = outcome.peak_bytes {
        assert!(peak_bytes < 200 << 20, "{peak_bytes} bytes at most");
    }
}

const LINK_OF_VERSION_1: &str = "research-use-only.rewind-v1.sNoMhMnnCzR5AQAArZLbjqMwDIZfpfK1i3KAUrjbB9gnqCqUhXCQctiG0I5U8e7r0J1RZ3o10lxExL_x5z-W79B6d9UuTt5BDU4vwRs_TK0ygDCEqYP6Dt1kZ6hPPMcKyzPCzQfTNX3wtrn6N20od9rzjCHLOB2GVSaKM55SuBebzpDrfblpj1BmEvdcyDwrzoTsfUg97nBJt6b1nYaaIVwWFXVwm72PWjpU4vt-1rGx9iVz6VULdTIE81_VTm54_EUKy6tjeUAyxQRd8-SDKuanrhwh-Nv8A49a3BSJI9aVOkQVIjElEo1y-i3S2EkosdyGmpqnpgRFgclU0AO9O2l3cMqSNbiN3uhdXKwPkEoMfeuTkFRUVBv3HfMOuXqzWN1YkwZC1lb8gG2YXeuDfmIdD8iPDIWUn2BfUCyTZf6E0m5ULg361RuXWOWfrL2wuChW0izlTdqB_9Bfu4dCC6doBdxA2m-t3LxzPo4UZ5Qa1TySztLUi0N5rNSfttP9d2NY138-EUdeoAJCO9EHq-zlL-VoKV_bFw4dSNxHOJThAOanF7dFTI3tSkFD9whvElGTwC98CZM";
