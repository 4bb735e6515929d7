//! A result is corrected and measured by hand, undone, saved, and opened again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use fantoccini::actions::{InputSource, MOUSE_BUTTON_LEFT, MouseActions, PointerAction};
use fantoccini::{Client, Locator};
use model_core::{LabelMap, formats::nifti};
use serde_json::Value;
use web_viewer::measure::Shape;
use web_viewer::share;

use super::fixtures::{capture_saved_files, saved_file, script, texts};
use super::looking::look_around;
use super::page::{click, open_demo, open_page, reach, screenshot, text, wait_for};

/// Segments, corrects and measures. `folder` takes the saved file.
pub async fn correct_and_measure(client: Client, address: String, folder: &Path) {
    open_page(&client, &address, "processor").await;
    open_demo(&client).await;
    click(&client, "#segment").await;
    reach(&client, "done", 400).await;
    let volumes = texts(&client, "#regions td.number").await;

    look_around(&client).await;
    paint_and_undo(&client, &volumes).await;
    measure(&client).await;
    check_operations(&client, &volumes).await;
    screenshot(&client, "corrected.png").await;
    save_and_open(&client, &address, folder).await;
}

/// Drags over the axial slice, from and to offsets from its middle in CSS pixels.
async fn drag(client: &Client, points: &[[f64; 2]]) {
    let canvas = client.find(Locator::Css(".view canvas")).await.unwrap();
    let to = |[x, y]: [f64; 2]| PointerAction::MoveToElement {
        element: canvas.clone(),
        duration: Some(Duration::from_millis(30)),
        x,
        y,
    };
    let mut actions = MouseActions::new("mouse".into())
        .then(to(points[0]))
        .then(PointerAction::Down { button: MOUSE_BUTTON_LEFT });
    for &point in &points[1..] {
        actions = actions.then(to(point));
    }
    let up = PointerAction::Up { button: MOUSE_BUTTON_LEFT };
    client.perform_actions(actions.then(up)).await.unwrap();
}

/// Presses a key with Ctrl.
async fn press_with_ctrl(client: &Client, key: &str) {
    let press = format!(
        "window.dispatchEvent(new KeyboardEvent('keydown', \
         {{ key: '{key}', ctrlKey: true, bubbles: true, cancelable: true }}))"
    );
    script(client, &press).await;
}

/// A stroke adds to the outer region, at the slice's lower edge where there is none; it is undone and done
/// again.
async fn paint_and_undo(client: &Client, volumes: &[String]) {
    let drawn = "return document.querySelector('.view canvas').toDataURL()";
    let before = script(client, drawn).await;
    click(client, "#paint").await;
    drag(client, &[[-60.0, 60.0], [0.0, 70.0], [60.0, 60.0]]).await;
    let edited = text(client, "#edited").await;
    let num_voxels: u64 =
        edited.split_whitespace().find_map(|word| word.parse().ok()).expect("a number of voxels");
    assert!(num_voxels > 20, "{edited}");
    let painted = texts(client, "#regions td.number").await;
    assert_ne!(painted[0], volumes[0], "the volume follows");
    assert_eq!(painted[1..], volumes[1..], "what lies inside is as before");
    assert_ne!(script(client, drawn).await, before, "the stroke is drawn");
    press_with_ctrl(client, "z").await;
    assert_eq!(texts(client, "#regions td.number").await, volumes);
    assert!(texts(client, "#edited").await.is_empty(), "nothing is edited any more");
    press_with_ctrl(client, "y").await;
    assert_eq!(texts(client, "#regions td.number").await, painted);
    assert_eq!(text(client, "#edited").await, edited);
    script(client, "document.activeElement.blur()").await;
}

/// A line of a known length, and the diameters of the lesions.
async fn measure(client: &Client) {
    click(client, "#ruler").await;
    drag(client, &[[-50.0, -40.0], [0.0, -40.0], [50.0, -40.0]]).await;
    let lines = texts(client, "#measurements output").await;
    let [line] = &lines[..] else { panic!("expected one line, found {lines:?}") };
    let mm: f64 = line.split_whitespace().next().unwrap().parse().unwrap();
    // The slice of the phantom, 32 voxels of 6 mm, fills the shorter side of its canvas.
    let mm_per_pixel = "const canvas = document.querySelector('.view canvas');\
                        return 32 * 6 / Math.min(canvas.clientWidth, canvas.clientHeight)";
    let scale = script(client, mm_per_pixel).await.as_f64().unwrap();
    assert!((mm - 100.0 * scale).abs() < 1.5 * scale + 0.06, "{mm} mm, {scale} mm a pixel");

    click(client, "#diameters").await;
    let all = texts(client, "#measurements output").await;
    assert!(all.len() > 1 && all[1].contains(" × "), "{all:?}");
    assert!(text(client, "#measurements").await.contains("Product"));
    click(client, "#measurements li:first-child button[title=Delete]").await;
    assert_eq!(texts(client, "#measurements output").await, all[1..]);
    click(client, "#undo").await;
    assert_eq!(texts(client, "#measurements output").await, all);
}

/// What is done to the whole region, each undone.
async fn check_operations(client: &Client, volumes: &[String]) {
    script(client, "document.querySelector('.operations').open = true").await;
    let painted = texts(client, "#regions td.number").await;
    click(client, "#clear-region").await;
    let cleared = texts(client, "#regions td.number").await;
    assert!(cleared.iter().all(|volume| volume == "0.00 ml"), "inner regions too: {cleared:?}");
    click(client, "#undo").await;
    assert_eq!(texts(client, "#regions td.number").await, painted);
    // The stroke did not touch the tumor, so it is an island.
    click(client, "#keep-largest").await;
    let largest = texts(client, "#regions td.number").await;
    assert_ne!(largest[0], painted[0]);
    click(client, "#undo").await;
    for operation in ["#smooth", "#fill-slices", "#fill-holes", "#remove-small"] {
        click(client, operation).await;
    }
    assert_eq!(texts(client, "#regions td.number").await.len(), volumes.len());
}

/// The saved label map holds corrections and measurements, and opens as it was.
async fn save_and_open(client: &Client, address: &str, folder: &Path) {
    capture_saved_files(client).await;
    click(client, "#save-csv").await;
    let csv = String::from_utf8(saved_file(client).await).unwrap();
    assert!(
        csv.contains("perpendicular diameter") && csv.contains("not a medical device"),
        "{csv}"
    );
    click(client, "#save-report").await;
    let report = String::from_utf8(saved_file(client).await).unwrap();
    assert_eq!(report.matches("data:image/png").count(), 3);
    assert!(report.contains("Edited by hand"));
    click(client, "#save-picture").await;
    assert!(saved_file(client).await.starts_with(b"\x89PNG"));

    click(client, "#save").await;
    let file = saved_file(client).await;
    let labels: LabelMap = nifti::read_labels(&file).unwrap();
    let comment = nifti::comment(&file).expect("the regions and measurements");
    let saved = share::read_file(&comment, labels).unwrap().unwrap();
    assert!(saved.num_edited > 20);
    assert!(matches!(saved.measurements[0].shape, Shape::Length(_)));
    let volumes = texts(client, "#regions td.number").await;
    let edited = text(client, "#edited").await;
    let measured = texts(client, "#measurements output").await;
    let path = folder.join("saved.nii.gz");
    fs::write(&path, &file).unwrap();

    // Over the scan, and in a new page alone.
    open_page(client, address, "processor").await;
    open_demo(client).await;
    choose(client, &path).await;
    wait_for(client, "#edited", 60, "to be as saved", |text| text == edited).await;
    assert_eq!(texts(client, "#regions td.number").await, volumes);
    assert_eq!(texts(client, "#measurements output").await, measured);
    open_page(client, address, "processor").await;
    super::wait_for_model(client).await;
    choose(client, &path).await;
    wait_for(client, "#edited", 60, "to be as saved", |text| text == edited).await;
    assert_eq!(texts(client, "#regions td.number").await, volumes);
    let title = script(client, "return document.querySelector('.welcome h2').textContent").await;
    assert_eq!(title, Value::from("Drop the scan of this result here"));
}

/// Chooses a file as a scan.
async fn choose(client: &Client, file: &Path) {
    let input = client.find(Locator::Css("input[type=file][multiple]")).await.unwrap();
    input.send_keys(file.to_str().unwrap()).await.unwrap();
}
