//! No text that names a patient leaves the reader, except in a segmentation of the patient's study.

use model_core::LabelMap;
use model_core::formats::study::{SourceFile, Study};

use super::dicom::*;
use super::segmentation::segmentation;
use super::written_dicom::Read;
use super::zip::archive;

/// Texts that name a person, a place or an examination, with their attributes.
const SECRETS: [(u32, &str, &str); 12] = [
    (NAME, "PN", "Quixote^Alonso"),
    (ID, "LO", "PAT-990817"),
    (BIRTH_DATE, "DA", "19470623"),
    (0x0008_0020, "DA", "20240229"),
    (0x0008_0030, "TM", "081533"),
    (0x0008_0050, "SH", "ACC5550123"),
    (0x0008_0080, "LO", "Mancha General Hospital"),
    (0x0008_0090, "PN", "Panza^Sancho"),
    (0x0010_1040, "LO", "Windmill Road 7"),
    (0x0020_000d, "UI", "1.2.826.77123.1"),
    (SERIES_UID, "UI", "1.2.826.77123.2"),
    (0x0020_0052, "UI", "1.2.826.77123.3"),
];

fn named(index: usize) -> Dicom {
    let slice = slice(index).text(INSTANCE, "UI", &format!("1.2.826.77123.4.{index}"));
    let slice = SECRETS.iter().fold(slice, |slice, (tag, vr, text)| slice.text(*tag, vr, text));
    // Some sites repeat the name where it does not belong.
    slice.text(DESCRIPTION, "LO", "T2 QUIXOTE, Alonso PAT-990817 head").text(
        0x0018_1030,
        "LO",
        "protocol of quixote",
    )
}

/// Returns all that the study shows.
fn shown(study: &Study) -> String {
    let mut out = study.notes.join("\n");
    for (path, error) in &study.refused {
        out += &format!("\n{path} {error} {error:?}");
    }
    for series in &study.series {
        out += &serde_json::to_string(series.summary()).unwrap();
        match series.read() {
            Ok(scan) => out += &scan.warnings.join("\n"),
            Err(error) => out += &format!("{error} {error:?}"),
        }
    }
    out + &serde_json::to_string(study.identity()).unwrap()
}

/// Asserts that no part of a secret is shown.
#[track_caller]
fn assert_private(text: &str) {
    let lower = text.to_lowercase();
    let uids = ["77123"];
    let parts = SECRETS.iter().flat_map(|(_, vr, secret)| match *vr {
        "UI" => vec![*secret],
        _ => secret.split(['^', '-']).collect(),
    });
    for part in parts.chain(uids).filter(|part| part.len() > 3) {
        assert!(!lower.contains(&part.to_lowercase()), "{part} is shown in {text}");
    }
}

#[test]
fn summaries_warnings_notes_and_errors_name_nobody() {
    let file = |index: usize| named(index).file(&format!("s/{index}"));
    let study = Study::open((0..4).map(file).collect()).unwrap();
    assert_private(&shown(&study));
    let description = study.series[0].summary().hints.series_description.clone();
    assert_eq!(description.as_deref(), Some("T2 ***, *** ***-*** head"));

    let broken = |change: &dyn Fn(&mut Vec<SourceFile>)| {
        let mut files: Vec<SourceFile> = (0..6).map(file).collect();
        change(&mut files);
        match Study::open(files) {
            Ok(study) => assert_private(&shown(&study)),
            Err(error) => assert_private(&format!("{error} {error:?}")),
        }
    };
    broken(&|files| drop(files.drain(2..4)));
    broken(&|files| files[1] = named(1).text(NAME, "PN", "Somebody^Else").file("s/1"));
    broken(&|files| files[1] = named(1).text(0x0020_000d, "UI", "1.2.826.77123.8").file("s/1"));
    broken(&|files| files.truncate(1));
    broken(&|files| {
        let localizer = named(0).text(DESCRIPTION, "LO", "survey Quixote");
        *files = vec![localizer.file("s/0")];
    });
    let packed = named(0).bytes();
    broken(&|files| files[0].bytes = archive(&[("a", &packed)], 1, None));
    // Cut at every place: the errors of damaged attributes quote none of them.
    for kept in 132..packed.len() {
        broken(&|files| files[3].bytes = packed[..kept].to_vec());
    }
}

#[test]
fn only_a_segmentation_of_the_study_names_its_patient() {
    let file = |index: usize| named(index).file(&format!("s/{index}"));
    let study = Study::open((0..4).map(file).collect()).unwrap();
    let grid = study.series[0].read().unwrap().volumes[0].grid().clone();
    let map = LabelMap::background(grid);
    let bytes = study.series[0].write_segmentation(0, &map, &segmentation()).unwrap();
    let [_, written] = Read::file(&bytes);
    for tag in [NAME, ID, BIRTH_DATE, 0x0008_0020, 0x0008_0050, 0x0020_000d, 0x0020_0052] {
        let (.., secret) = SECRETS.iter().find(|(secret, ..)| *secret == tag).unwrap();
        assert_eq!(written.text(tag), *secret);
    }
    // The hospital, the address and the descriptions of the series are not repeated.
    let contains = |part: &str| bytes.windows(part.len()).any(|window| window == part.as_bytes());
    assert!(!["Mancha", "Windmill", "QUIXOTE", "protocol"].into_iter().any(contains));

    let mut segmentation = segmentation();
    segmentation.segments.clear();
    let refused = [
        study.series[0].write_segmentation(0, &map, &segmentation),
        study.series[0].write_segmentation(7, &map, &super::segmentation::segmentation()),
    ];
    for error in refused.into_iter().map(Result::unwrap_err) {
        assert_private(&format!("{error} {error:?}"));
    }
}
