//! What comes from outside: links, long texts, headers that state no position, and a browser without a
//! graphics card.

use std::time::Instant;

use fantoccini::Client;
use model_core::{Affine, Bundle, Grid, LabelMap, formats::nifti};
use serde_json::{Value, json};
use web_viewer::share::{self, Shared, SharedModel, SharedRegion};

use super::stage::{self, Dropped, drop_on, script, texts};
use super::{Setup, click, link, model_shown, reach, screenshot, text, wait_for};

#[test]
fn what_comes_from_outside_cannot_spoil_the_page() {
    let Some(setup) = Setup::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = stage::set(&setup, folder.path(), &wordy());
    let (_serve, address) = setup.serve(folder.path(), &page);
    setup.in_a_browser(folder.path(), "outside", |client| look(client, address));
}

async fn look(client: Client, address: String) {
    open_links(&client, &address).await;
    show_long_texts(&client, &address).await;
    warn_of_positions(&client, &address).await;
    say_what_to_do_without_a_gpu(&client, &address).await;
}

/// A model all of whose texts are as long as they may be, without a place to break them.
fn wordy() -> Bundle {
    let mut bundle = stage::model(&"N".repeat(200), true);
    let card = &mut bundle.card;
    card.warning = "W".repeat(2000);
    card.task.name = "T".repeat(200);
    card.task.channels[0] = "C".repeat(200);
    card.task.labels[0].name = "L".repeat(200);
    card.task.regions[0].name = "R".repeat(200);
    card.provenance.data = "D".repeat(2000);
    card.provenance.licence = "X".repeat(2000);
    card.provenance.training_cases = u32::MAX as usize;
    let score = model_core::Score { region: "S".repeat(200), dice: 1.0, n: u32::MAX as usize };
    card.provenance.held_out = vec![score];
    bundle
}

/// One label in all voxels: millions of them in a link of a few characters.
fn full(dims: [usize; 3]) -> Shared {
    let grid = Grid::new(dims, Affine::IDENTITY);
    let labels = LabelMap::new(grid.clone(), vec![1; grid.num_voxels()]).unwrap();
    Shared {
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
            windows: String::new(),
        },
        labels,
    }
}

/// A link that takes long is read beside the page; one that lies is refused, and the page goes on.
async fn open_links(client: &Client, address: &str) {
    let large = share::encode(&full([256, 256, 192])).unwrap();
    println!("a link to {} voxels has {} characters", 256 * 256 * 192, large.len());
    client.goto("about:blank").await.unwrap();
    let start = Instant::now();
    client.goto(&format!("{address}#{large}")).await.unwrap();
    wait_for(client, "#regions", 60, "to be shown", |text| text.contains("all")).await;
    let moments = script(client, "return window.moments").await.as_u64().unwrap();
    println!("opened in {:.1} s, with {moments} moments free", start.elapsed().as_secs_f64());
    assert!(moments > 20, "the page was busy with the link: {moments} moments");

    let small = share::encode(&full([8, 8, 8])).unwrap();
    for (hostile, told) in hostile(&small) {
        client.goto("about:blank").await.unwrap();
        client.goto(&format!("{address}#{hostile}")).await.unwrap();
        let error = wait_for(client, ".error", 60, "to refuse", |text| !text.is_empty()).await;
        assert!(error.contains(told), "expected {told:?} in {error:?}");
    }
    // After that the page does what it can.
    let model = stage::file("own.safetensors", &stage::model("Own", true));
    drop_on(client, &[&[model, ("scan.nii.gz".into(), stage::scan(stage::grid()))]]).await;
    wait_for(client, "#status", 60, "to be ready", |text| text == "Ready to segment").await;
}

/// Links with other numbers behind a checksum that is right, and words of the page's answers.
fn hostile(fragment: &str) -> Vec<(String, &'static str)> {
    use flate2::Compression;
    use flate2::read::{DeflateDecoder, DeflateEncoder};
    use std::io::Read;
    let body = share::open(fragment).unwrap();
    let length = u32::from_le_bytes(body[..4].try_into().unwrap()) as usize;
    let mut json = String::new();
    DeflateDecoder::new(&body[4..4 + length]).read_to_string(&mut json).unwrap();
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
        share::seal(
            &[
                &length[..],
                &deflated,
                &body[4 + u32::from_le_bytes(body[..4].try_into().unwrap()) as usize..],
            ]
            .concat(),
        )
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

/// No text makes the page wider than its window.
async fn show_long_texts(client: &Client, address: &str) {
    client.goto("about:blank").await.unwrap();
    client.goto(address).await.unwrap();
    model_shown(client).await;
    let scan: Dropped = (format!("{}.nii.gz", "F".repeat(200)), stage::scan(stage::grid()));
    drop_on(client, &[std::slice::from_ref(&scan)]).await;
    reach(client, "ready", 60).await;
    expect_narrow(client, "the model and its scan").await;
    click(client, "#segment").await;
    reach(client, "done", 400).await;
    expect_narrow(client, "the result").await;
    screenshot(client, "long-texts.png").await;
    click(client, "#copy-link").await;
    let link = link(client).await;

    let broken: Dropped = (scan.0.clone(), vec![0; 400]);
    drop_on(client, &[&[broken]]).await;
    wait_for(client, ".error", 60, "to name the file", |text| text.contains("FFFF")).await;
    expect_narrow(client, "an error").await;

    client.set_window_size(500, 900).await.unwrap();
    expect_narrow(client, "a narrow window").await;
    client.goto("about:blank").await.unwrap();
    client.goto(&link).await.unwrap();
    wait_for(client, "#regions", 60, "to be shown", |text| text.contains("RRRR")).await;
    expect_narrow(client, "a link in a narrow window").await;
    screenshot(client, "long-texts-narrow.png").await;
    client.set_window_size(1440, 960).await.unwrap();

    // Longer ones are refused.
    let bundle = with_warning(&stage::model("Own", true), &"W".repeat(3000));
    drop_on(client, &[&[("wordy.safetensors".into(), bundle)]]).await;
    wait_for(client, ".error", 60, "to refuse", |text| text.contains("at most 2000")).await;
}

/// The file of a bundle with another warning, which our own code does not write.
fn with_warning(bundle: &Bundle, warning: &str) -> Vec<u8> {
    let bytes = bundle.to_bytes().unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + length]).unwrap().trim_end();
    let changed =
        header.replacen(r#"\"warning\":\"\""#, &format!(r#"\"warning\":\"{warning}\""#), 1);
    assert_ne!(changed, header, "the header has an empty warning");
    [&(changed.len() as u64).to_le_bytes()[..], changed.as_bytes(), &bytes[8 + length..]].concat()
}

async fn expect_narrow(client: &Client, what: &str) {
    const WIDE: &str = r#"
        const places = [document.documentElement, ...document.querySelectorAll(".panel, .scrolling, header, .error")];
        if (innerWidth > 1000 && document.documentElement.scrollHeight > innerHeight) return "too high";
        return places
            .filter(place => place.scrollWidth > place.clientWidth + 1)
            .map(place => `${place.tagName} ${place.className}: ${place.scrollWidth} of ${place.clientWidth}`);
    "#;
    assert_eq!(script(client, WIDE).await, json!([]), "{what} takes more than its place");
}

/// Volumes follow from a header; where it is in doubt, the page says so beside scan and result.
async fn warn_of_positions(client: &Client, address: &str) {
    let mut unstated = stage::grid();
    (unstated.transforms.sform_code, unstated.transforms.qform_code) = (0, 0);
    let mut twice = stage::grid();
    twice.transforms.qform_code = 1;
    twice.transforms.offset_mm = [0.0, 5.0, 0.0];
    for grid in [unstated, twice] {
        let expected = nifti::warnings(&grid.transforms);
        assert!(!expected.is_empty());
        client.goto("about:blank").await.unwrap();
        client.goto(address).await.unwrap();
        model_shown(client).await;
        drop_on(client, &[&[("scan.nii.gz".into(), stage::scan(grid))]]).await;
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

async fn say_what_to_do_without_a_gpu(client: &Client, address: &str) {
    client.goto(&format!("{address}/?nogpu")).await.unwrap();
    let told = text(client, "#no-gpu").await;
    for said in ["Use graphics acceleration when available", "chrome://flags", "Links to results"] {
        assert!(told.contains(said), "expected {said:?} in {told:?}");
    }
    model_shown(client).await;
    drop_on(client, &[&[("scan.nii.gz".into(), stage::scan(stage::grid()))]]).await;
    wait_for(client, "#status", 60, "to be honest", |text| text.contains("cannot run")).await;
    let segment = client.find(fantoccini::Locator::Css("#segment")).await.unwrap();
    assert!(!segment.is_enabled().await.unwrap(), "no run without a graphics card");
    screenshot(client, "no-gpu.png").await;
}
