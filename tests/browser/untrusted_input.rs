//! Untrusted input: links, long texts and headers without a position; and a browser without a
//! graphics card.

use std::time::Instant;

use fantoccini::Client;
use model_core::{Affine, Bundle, Grid, LabelMap, formats::nifti};
use serde_json::{Value, json};
use web_viewer::share::{self, SharedModel, SharedRegion, SharedResult};

use super::fixtures::{self, DroppedFile, drop_on, script, texts};
use super::{Programs, click, link, reach, screenshot, text, wait_for, wait_for_model};

#[test]
fn untrusted_input_cannot_break_the_page() {
    let Some(programs) = Programs::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = fixtures::make_page(&programs, folder.path(), &model_with_long_texts());
    let (_serve, address) = programs.serve(folder.path(), &page);
    programs.in_browser(folder.path(), "untrusted-input", |client| check_page(client, address));
}

async fn check_page(client: Client, address: String) {
    open_links(&client, &address).await;
    show_long_texts(&client, &address).await;
    show_geometry_warnings(&client, &address).await;
    explain_a_missing_gpu(&client, &address).await;
}

/// Makes a model whose texts have the greatest allowed length and no spaces.
fn model_with_long_texts() -> Bundle {
    let mut bundle = fixtures::model(&"N".repeat(200), true);
    let card = &mut bundle.card;
    card.warning = "W".repeat(2000);
    let task = card.task.with(|task| {
        task.name = "T".repeat(200);
        task.channels[0] = "C".repeat(200);
        task.labels[0].name = "L".repeat(200);
        task.regions[0].name = "R".repeat(200);
    });
    card.task = task.unwrap();
    card.provenance.data = "D".repeat(2000);
    card.provenance.license = "X".repeat(2000);
    card.provenance.training_cases = u32::MAX as usize;
    let score = model_core::Score {
        region: "S".repeat(200),
        dice: 1.0,
        dice_deviation: Some(1.0),
        hd95_mm: Some(374.1),
        n: u32::MAX as usize,
    };
    card.provenance.held_out = vec![score];
    card.provenance.folds = u32::MAX as usize;
    card.known_failures = vec!["F".repeat(2000); 2];
    bundle
}

/// Makes a result with one label in all voxels. Its link is short, however many voxels there are.
fn uniform_result(dims: [usize; 3]) -> SharedResult {
    let grid = Grid::new(dims, Affine::IDENTITY);
    let labels = LabelMap::new(grid.clone(), vec![1; grid.num_voxels()]).unwrap();
    SharedResult {
        convention: Default::default(),
        regions: vec![SharedRegion {
            name: "all".into(),
            color: [255, 0, 0],
            codes: vec![1],
            volume_ml: labels.volume_ml(&[1]),
        }],
        model: SharedModel {
            name: "A model".into(),
            warning: String::new(),
            hash: "0".repeat(64),
            tiles: String::new(),
        },
        preparation: None,
        num_edited: 0,
        measurements: Vec::new(),
        labels,
    }
}

/// A large link is decoded without blocking the page. A forged link is refused, and the page stays
/// usable.
async fn open_links(client: &Client, address: &str) {
    let large = share::encode(&uniform_result([256, 256, 192])).unwrap();
    println!("a link to {} voxels has {} characters", 256 * 256 * 192, large.len());
    client.goto("about:blank").await.unwrap();
    let start = Instant::now();
    client.goto(&format!("{address}#{large}")).await.unwrap();
    wait_for(client, "#regions", 60, "to be shown", |text| text.contains("all")).await;
    let idle_ticks = script(client, "return window.idleTicks").await.as_u64().unwrap();
    println!("opened in {:.1} s, with {idle_ticks} idle ticks", start.elapsed().as_secs_f64());
    assert!(idle_ticks > 20, "the link blocked the page: {idle_ticks} idle ticks");

    let small = share::encode(&uniform_result([8, 8, 8])).unwrap();
    for (forged, message) in forged_links(&small) {
        client.goto("about:blank").await.unwrap();
        client.goto(&format!("{address}#{forged}")).await.unwrap();
        let error = wait_for(client, ".error", 60, "to refuse", |text| !text.is_empty()).await;
        assert!(error.contains(message), "expected {message:?} in {error:?}");
    }
    // The page still loads and plans.
    let model = fixtures::file("own.safetensors", &fixtures::model("Own", true));
    drop_on(client, &[&[model, ("scan.nii.gz".into(), fixtures::scan(fixtures::grid()))]]).await;
    wait_for(client, "#status", 60, "to be ready", |text| text == "Ready to segment").await;
}

/// Returns links with forged fields and a valid checksum, each with a text of the page's error.
fn forged_links(fragment: &str) -> Vec<(String, &'static str)> {
    use flate2::Compression;
    use flate2::read::{DeflateDecoder, DeflateEncoder};
    use std::io::Read;
    let body = share::body_from_fragment(fragment).unwrap();
    let length = u32::from_le_bytes(body[..4].try_into().unwrap()) as usize;
    let mut json = String::new();
    DeflateDecoder::new(&body[4..4 + length]).read_to_string(&mut json).unwrap();
    let coded = &body[4 + length..];
    let with = |fields: &[(&str, Value)]| {
        let mut card: Value = serde_json::from_str(&json).unwrap();
        for (path, value) in fields {
            *card.pointer_mut(path).unwrap() = value.clone();
        }
        let card = card.to_string();
        let mut deflated = Vec::new();
        DeflateEncoder::new(card.as_bytes(), Compression::best())
            .read_to_end(&mut deflated)
            .unwrap();
        let length = (deflated.len() as u32).to_le_bytes();
        share::fragment_from_body(&[&length[..], &deflated, coded].concat())
    };
    vec![
        (
            with(&[("/grid/dims", json!([1 << 25, 1, 1])), ("/extent", json!([1 << 25, 1, 1]))]),
            "32767",
        ),
        (with(&[("/grid/dims", json!([32768, 1, 1])), ("/extent", json!([1, 1, 1]))]), "32767"),
        (
            with(&[("/grid/dims", json!([512, 512, 128])), ("/extent", json!([512, 512, 128]))]),
            "coded labels",
        ),
        (with(&[("/grid/forms/rows/0/3", json!(50.0))]), "position"),
        (fragment[..fragment.len() - 3].to_string(), "incomplete or damaged"),
    ]
}

/// Long texts do not make the page wider than the browser's window.
async fn show_long_texts(client: &Client, address: &str) {
    client.goto("about:blank").await.unwrap();
    client.goto(address).await.unwrap();
    wait_for_model(client).await;
    let scan: DroppedFile =
        (format!("{}.nii.gz", "F".repeat(200)), fixtures::scan(fixtures::grid()));
    drop_on(client, &[std::slice::from_ref(&scan)]).await;
    reach(client, "ready", 60).await;
    expect_no_overflow(client, "the model and its scan").await;
    click(client, "#segment").await;
    reach(client, "done", 400).await;
    expect_no_overflow(client, "the result").await;
    screenshot(client, "long-texts.png").await;
    click(client, "#copy-link").await;
    let link = link(client).await;

    let broken: DroppedFile = (scan.0.clone(), vec![0; 400]);
    drop_on(client, &[&[broken]]).await;
    wait_for(client, ".error", 60, "to name the file", |text| text.contains("FFFF")).await;
    expect_no_overflow(client, "an error").await;

    client.set_window_size(500, 900).await.unwrap();
    expect_no_overflow(client, "a narrow page").await;
    client.goto("about:blank").await.unwrap();
    client.goto(&link).await.unwrap();
    wait_for(client, "#regions", 60, "to be shown", |text| text.contains("RRRR")).await;
    expect_no_overflow(client, "a link on a narrow page").await;
    screenshot(client, "long-texts-narrow.png").await;
    client.set_window_size(1440, 960).await.unwrap();

    // Longer texts are refused.
    let bundle = with_warning(&fixtures::model("Own", true), &"W".repeat(3000));
    drop_on(client, &[&[("long-warning.safetensors".into(), bundle)]]).await;
    wait_for(client, ".error", 60, "to refuse", |text| text.contains("at most 2000")).await;
}

/// Returns the file of a bundle with a changed warning, which may be longer than this code writes.
fn with_warning(bundle: &Bundle, warning: &str) -> Vec<u8> {
    let bytes = bundle.to_bytes().unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + length]).unwrap().trim_end();
    let changed =
        header.replacen(r#"\"warning\":\"\""#, &format!(r#"\"warning\":\"{warning}\""#), 1);
    assert_ne!(changed, header, "the header has an empty warning");
    [&(changed.len() as u64).to_le_bytes()[..], changed.as_bytes(), &bytes[8 + length..]].concat()
}

/// Checks that no panel's content is wider than the panel.
async fn expect_no_overflow(client: &Client, what: &str) {
    const OVERFLOWING: &str = r#"
        const elements = [document.documentElement, ...document.querySelectorAll(".panel, .scrolling, header, .error")];
        if (innerWidth > 1000 && document.documentElement.scrollHeight > innerHeight) return "too tall";
        return elements
            .filter(e => e.scrollWidth > e.clientWidth + 1)
            .map(e => `${e.tagName} ${e.className}: ${e.scrollWidth} of ${e.clientWidth}`);
    "#;
    assert_eq!(script(client, OVERFLOWING).await, json!([]), "{what} overflows");
}

/// Volumes depend on the header: its warnings are shown with the scan and with the result.
async fn show_geometry_warnings(client: &Client, address: &str) {
    let mut unstated = fixtures::grid();
    (unstated.transforms.sform_code, unstated.transforms.qform_code) = (0, 0);
    let mut contradictory = fixtures::grid();
    contradictory.transforms.qform_code = 1;
    contradictory.transforms.offset_mm = [0.0, 5.0, 0.0];
    for grid in [unstated, contradictory] {
        let expected = nifti::warnings(&grid.transforms);
        assert!(!expected.is_empty());
        client.goto("about:blank").await.unwrap();
        client.goto(address).await.unwrap();
        wait_for_model(client).await;
        drop_on(client, &[&[("scan.nii.gz".into(), fixtures::scan(grid))]]).await;
        reach(client, "ready", 60).await;
        assert_eq!(texts(client, ".scan .geometry").await, expected);
        click(client, "#segment").await;
        reach(client, "done", 400).await;
        assert_eq!(texts(client, ".result .geometry").await, expected);
        click(client, "#copy-link").await;
        let link = link(client).await;
        client.goto("about:blank").await.unwrap();
        client.goto(&link).await.unwrap();
        wait_for(client, "#regions", 60, "to be shown", |text| text.contains("ml")).await;
        assert_eq!(texts(client, ".result .geometry").await, expected);
    }
    screenshot(client, "geometry.png").await;
}

async fn explain_a_missing_gpu(client: &Client, address: &str) {
    client.goto(&format!("{address}/?nogpu")).await.unwrap();
    let message = text(client, "#gpu-problem").await;
    for expected in
        ["Use graphics acceleration when available", "chrome://flags", "choose the processor"]
    {
        assert!(message.contains(expected), "expected {expected:?} in {message:?}");
    }
    wait_for_model(client).await;
    drop_on(client, &[&[("scan.nii.gz".into(), fixtures::scan(fixtures::grid()))]]).await;
    wait_for(client, "#status", 60, "to report the problem", |text| text.contains("cannot run"))
        .await;
    let segment = client.find(fantoccini::Locator::Css("#segment")).await.unwrap();
    assert!(!segment.is_enabled().await.unwrap(), "no run without a graphics card");
    screenshot(client, "no-gpu.png").await;
    let select = client.find(fantoccini::Locator::Css("#engine")).await.unwrap();
    select.select_by_value("automatic").await.unwrap();
    reach(client, "ready", 60).await;
    click(client, "#segment").await;
    reach(client, "done", 60).await;
    assert!(text(client, "#run-summary").await.contains("this computer's processor"));
}
