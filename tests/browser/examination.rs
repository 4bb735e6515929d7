//! A real examination as one ZIP archive, from its drop to a link: its series are recognized, the brain
//! is extracted, and the result lies on the scan's own grid. Archives that are broken in several ways
//! are told or refused.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fantoccini::{Client, Locator};
use flate2::Crc;
use model_core::formats::nifti;
use web_viewer::share;

use super::fixtures::{DroppedFile, drop_on, script, texts};
use super::{click, link, open_page, reach, screenshot, text, wait_for, wait_for_model};

/// The series of the examination with their channels.
const SERIES: [(&str, &str); 4] =
    [("t1", "T1"), ("t1post", "T1Gd"), ("t2", "T2"), ("flair", "FLAIR")];

/// Texts of the DICOM files that must not leave the reader.
const IDENTITY: [&str; 3] = ["PGBM-003", "Dumbledore", "14519.5.2.1"];

/// Returns the files of the examination as paths in an archive with their bytes; `None` without the
/// real data.
pub fn files() -> Option<Vec<(String, Vec<u8>)>> {
    let folder = integration_tests::data("dicom/tumor-study")?;
    let mut files = Vec::new();
    for (series, _) in SERIES {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(folder.join(series)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            files.push((format!("study/{series}/{}", name(&path)), fs::read(&path).unwrap()));
        }
    }
    Some(files)
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// Makes a ZIP archive of files that are not compressed (APPNOTE.TXT, sections 4.3.7 to 4.3.16).
pub fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let mut crc = Crc::new();
        crc.update(bytes);
        let size = bytes.len() as u32;
        let mut fields = Vec::new();
        fields.extend([20u16, 0, 0, 0, 0].iter().flat_map(|field| field.to_le_bytes()));
        fields.extend([crc.sum(), size, size].iter().flat_map(|field| field.to_le_bytes()));
        fields.extend((name.len() as u16).to_le_bytes());
        fields.extend(0u16.to_le_bytes());
        let offset = archive.len() as u32;
        archive.extend(b"PK\x03\x04");
        archive.extend(&fields);
        archive.extend(name.as_bytes());
        archive.extend(bytes);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&fields);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (start, count) = (archive.len() as u32, files.len() as u16);
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend([count, count].iter().flat_map(|count| count.to_le_bytes()));
    archive.extend([directory.len() as u32, start].iter().flat_map(|field| field.to_le_bytes()));
    archive.extend([0, 0]);
    archive
}

fn archive(files: &[(String, Vec<u8>)]) -> DroppedFile {
    ("study.zip".into(), zip(files))
}

/// Drops the examination on the page, segments it and makes a link.
pub async fn prepare_and_segment(client: Client, address: String, files: Vec<(String, Vec<u8>)>) {
    open_page(&client, &address, "processor").await;
    wait_for_model(&client).await;
    drop_on(&client, &[&[archive(&files)]]).await;
    reach(&client, "ready", 240).await;
    screenshot(&client, "examination-prepared.png").await;
    let rows = texts(&client, "#series .entry").await;
    assert_eq!(rows.len(), 4, "{rows:#?}");
    check_channels(&client).await;
    let brain = text(&client, "#brain").await;
    let volume_ml: f64 = brain.split(' ').find_map(|word| word.parse().ok()).expect("a volume");
    assert!((1000.0..1700.0).contains(&volume_ml), "{brain}");

    compare_with_the_reference(&client).await;
    paint_the_mask(&client).await;
    reach(&client, "ready", 60).await;

    click(&client, "#segment").await;
    reach(&client, "done", 240).await;
    screenshot(&client, "examination-segmented.png").await;
    let prepared = text(&client, "#prepared").await;
    assert!(prepared.contains("The brain") && prepared.contains("edited"), "{prepared}");
    check_saved_files(&client).await;
    click(&client, "#copy-link").await;
    let link = link(&client).await;
    let (_, fragment) = link.split_once('#').expect("a link with a fragment");
    let shared = share::decode(fragment).unwrap();
    assert_eq!(shared.labels.grid().dims, [280, 320, 22], "the scan's own grid");
    let record = shared.preparation.expect("a record of the preparation");
    assert_eq!(record.channels.len(), 4);
    let json = record.to_json();
    let body = share::body_from_fragment(fragment).unwrap();
    for secret in IDENTITY {
        assert!(!json.contains(secret), "{secret} in {json}");
        assert!(!contains(&body, secret) && !contains(&shared_text(&body), secret), "{secret}");
    }
    refuse_broken_archives(&client, &address, files).await;
}

/// Saves the label map and the preparation. Both hold nothing of the patient.
async fn check_saved_files(client: &Client) {
    script(
        client,
        "const make = URL.createObjectURL;
         window.saved = [];
         URL.createObjectURL = blob => { window.saved.push(blob); return make.call(URL, blob); };",
    )
    .await;
    click(client, "#save").await;
    click(client, "#save-preparation").await;
    click(client, "#save-dicom").await;
    let num_saved = "return window.saved.length";
    for _ in 0..100 {
        if script(client, num_saved).await == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    const READ: &str = "const done = arguments[0];
        Promise.all(window.saved.map(blob => blob.arrayBuffer()))
            .then(all => done(all.map(bytes => Array.from(new Uint8Array(bytes)))));";
    let saved = client.execute_async(READ, Vec::new()).await.unwrap();
    let saved: Vec<Vec<u8>> = serde_json::from_value(saved).unwrap();
    let [map, record, segmentation] = &saved[..] else {
        panic!("expected three files, found {}", saved.len())
    };
    // The preamble, then a segmentation object of the study.
    assert_eq!(segmentation[128..132], *b"DICM");
    for expected in ["1.2.840.10008.5.1.4.1.1.66.4", "Research use only", "whole tumor"] {
        assert!(contains(segmentation, expected), "{expected}");
    }
    let labels = nifti::read_labels(map).unwrap();
    assert_eq!(labels.grid().dims, [280, 320, 22]);
    let mut header = Vec::new();
    flate2::read::GzDecoder::new(&map[..]).take(400).read_to_end(&mut header).unwrap();
    let text = String::from_utf8_lossy(record);
    assert!(text.contains("Research use only") && text.contains("extracted"), "{text}");
    for secret in IDENTITY {
        assert!(!contains(&header, secret) && !contains(record, secret), "{secret}");
    }
}

/// Returns the inflated header of a link's body.
fn shared_text(body: &[u8]) -> Vec<u8> {
    let length = u32::from_le_bytes(body[..4].try_into().unwrap()) as usize;
    let mut inflated = flate2::write::DeflateDecoder::new(Vec::new());
    inflated.write_all(&body[4..4 + length]).unwrap();
    inflated.finish().unwrap()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Each series has its channel, by its description.
async fn check_channels(client: &Client) {
    let chosen = script(
        client,
        "return [...document.querySelectorAll('#series .entry')].map(row => \
         [row.querySelector('strong').textContent, row.querySelector('select').selectedOptions[0].textContent])",
    );
    let chosen = chosen.await;
    for row in chosen.as_array().unwrap() {
        let [name, channel] = [0, 1].map(|n| row[n].as_str().unwrap());
        let expected = SERIES.iter().find(|(_, channel)| match *channel {
            "T1" => name == "T1pre_reg",
            "T1Gd" => name == "T1post",
            other => name == format!("{other}_reg"),
        });
        assert_eq!(Some(channel), expected.map(|(_, channel)| *channel), "{chosen}");
    }
}

/// A channel other than the reference is compared as a checkerboard.
async fn compare_with_the_reference(client: &Client) {
    for n in 1..=4 {
        click(client, &format!(".display .choices button:nth-child({n})")).await;
        let field = client.find(Locator::Css("#comparison")).await.unwrap();
        if field.is_displayed().await.unwrap() {
            break;
        }
    }
    let alone = picture(client).await;
    click(client, "#comparison button:nth-child(3)").await;
    let after = picture(client).await;
    assert_ne!(alone, after, "the checkerboard shows the reference");
    click(client, "#comparison button:nth-child(2)").await;
    screenshot(client, "examination-checkerboard.png").await;
    click(client, "#comparison button:nth-child(1)").await;
    assert_eq!(picture(client).await, alone);
}

/// Returns the first view's pixels as text.
async fn picture(client: &Client) -> String {
    tokio::time::sleep(Duration::from_millis(300)).await;
    let data = script(client, "return document.querySelector('.view canvas').toDataURL()").await;
    data.as_str().unwrap().to_string()
}

/// Erases a ball of the mask, undoes it, and adds a ball. The brain's volume follows.
async fn paint_the_mask(client: &Client) {
    let before = text(client, "#brain").await;
    click(client, "#brush button:nth-child(3)").await;
    press(client).await;
    let erased = wait_for(client, "#brain", 60, "to change", |text| *text != before).await;
    assert!(erased.contains("edited"), "{erased}");
    reach(client, "ready", 60).await;
    screenshot(client, "examination-painted.png").await;
    click(client, "#undo-mask").await;
    let volume = |text: &str| text.split(" ml").next().unwrap().to_string();
    let expected = volume(&before);
    wait_for(client, "#brain", 60, "to be as before", |text| volume(text) == expected).await;
    reach(client, "ready", 60).await;
    click(client, "#brush button:nth-child(1)").await;
}

/// Presses and releases the pointer in the middle of the first view.
async fn press(client: &Client) {
    script(
        client,
        "const canvas = document.querySelector('.view canvas');
         const box = canvas.getBoundingClientRect();
         const options = { bubbles: true, pointerId: 1, button: 0, buttons: 1,
             clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 };
         canvas.dispatchEvent(new PointerEvent('pointerdown', options));
         canvas.dispatchEvent(new PointerEvent('pointerup', { ...options, buttons: 0 }));",
    )
    .await;
}

/// Two patients in one archive, missing slices and a truncated file.
async fn refuse_broken_archives(client: &Client, address: &str, files: Vec<(String, Vec<u8>)>) {
    let reload = async || {
        client.goto("about:blank").await.unwrap();
        client.goto(address).await.unwrap();
        wait_for_model(client).await;
    };
    reload().await;
    let mut two_patients = files.clone();
    let (_, bytes) = two_patients.last_mut().unwrap();
    let id = bytes.windows(8).position(|window| window == b"PGBM-003").expect("an id");
    bytes[id + 7] = b'4';
    drop_on(client, &[&[archive(&two_patients)]]).await;
    let error = wait_for(client, ".error", 60, "to refuse", |text| !text.is_empty()).await;
    assert!(error.contains("one patient") && !error.contains("PGBM"), "{error}");

    // The patients of two drops must be the same too.
    reload().await;
    let is_flair = |(path, _): &&(String, Vec<u8>)| path.contains("/flair/");
    let others: Vec<_> = files.iter().filter(|file| !is_flair(file)).cloned().collect();
    drop_on(client, &[&[archive(&others)]]).await;
    wait_for(client, "#status", 120, "to ask for FLAIR", |text| text.contains("Choose FLAIR"))
        .await;
    let mut flair: Vec<_> = files.iter().filter(is_flair).cloned().collect();
    for (_, bytes) in &mut flair {
        let id = bytes.windows(8).position(|window| window == b"PGBM-003").expect("an id");
        bytes[id + 7] = b'4';
    }
    drop_on(client, &[&[archive(&flair)]]).await;
    let error = wait_for(client, ".error", 60, "to refuse", |text| !text.is_empty()).await;
    assert!(error.contains("one patient"), "{error}");

    reload().await;
    let mut broken = files.clone();
    // A slice in the middle of T2 is missing, and one of FLAIR is cut off.
    let t2 = broken.iter().position(|(path, _)| path.contains("/t2/000010")).unwrap();
    broken.remove(t2);
    let flair = broken.iter().position(|(path, _)| path.contains("/flair/000010")).unwrap();
    broken[flair].1.truncate(60_000);
    drop_on(client, &[&[archive(&broken)]]).await;
    let error = wait_for(client, ".error", 120, "to tell", |text| !text.is_empty()).await;
    println!("a broken examination: {error}");
    let listed = texts(client, "#series .entry").await.join("\n");
    println!("its series: {listed}");
    assert!(listed.contains("slice") && listed.contains("missing"), "{listed}");
    screenshot(client, "examination-broken.png").await;
}
