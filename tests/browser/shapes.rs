//! The 3-D view: of a link's result without its scan, and beside the slices of the scan.

use std::time::Duration;

use fantoccini::{Client, Locator};
use model_core::LabelMap;
use web_viewer::share::{self, SharedModel, SharedRegion, SharedResult};

use super::fixtures::{self, drop_on, script};
use super::{DISCLAIMER, Programs, click, screenshot, wait_for};

#[test]
fn regions_are_shown_in_three_dimensions() {
    let Some(programs) = Programs::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = fixtures::make_page(&programs, folder.path(), &fixtures::model("A model", true));
    let (_serve, address) = programs.serve(folder.path(), &page);
    programs.in_browser(folder.path(), "shapes", |client| check_view(client, address));
}

async fn check_view(client: Client, address: String) {
    let fragment = share::encode(&nested_balls()).unwrap();
    client.goto(&format!("{address}#{fragment}")).await.unwrap();
    let is_drawn = |client: Client| async move {
        for _ in 0..100 {
            if num_colored(&client).await > 1000 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("expected colored pixels in the 3-D view, found {}", num_colored(&client).await);
    };
    // Without the scan the regions are shown alone.
    is_drawn(client.clone()).await;
    let canvas = client.find(Locator::Css("#shapes")).await.unwrap();
    let name = canvas.attr("aria-label").await.unwrap().unwrap();
    for expected in ["Outer", "Inner", DISCLAIMER] {
        assert!(name.contains(expected), "{name}");
    }
    screenshot(&client, "shapes-link.png").await;

    let still = settled(&client).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(picture(&client).await == still, "the regions turn only by the user's hand");
    canvas.send_keys("\u{e014}").await.unwrap(); // the right arrow
    let turned = settled(&client).await;
    assert!(turned != still, "a key turns the regions");
    canvas.send_keys("r").await.unwrap();
    assert!(settled(&client).await == still, "the views are reset");
    let colored = num_colored(&client).await;
    click(&client, "#regions input").await;
    settled(&client).await;
    let inner = num_colored(&client).await;
    assert!(inner < colored / 2, "only the inner region is visible: {inner} of {colored} pixels");
    click(&client, "#regions input").await;

    // Beside the slices, on demand.
    let scan = ("scan.nii.gz".into(), fixtures::scan(fixtures::grid()));
    drop_on(&client, &[&[scan]]).await;
    wait_for(&client, ".display .probe", 60, "to show the crosshair's voxel", |text| {
        text.contains("value")
    })
    .await;
    assert!(client.find(Locator::Css("#shapes")).await.is_err(), "the 3-D view is closed");
    click(&client, "#show-shapes").await;
    is_drawn(client.clone()).await;
    screenshot(&client, "shapes.png").await;
    click(&client, ".view.shapes .close").await;
    assert!(client.find(Locator::Css("#shapes")).await.is_err(), "the 3-D view is closed");
}

/// Makes a result on the fixtures' grid: a ball within a ball.
fn nested_balls() -> SharedResult {
    let grid = fixtures::grid();
    let dims = grid.dims;
    let mut labels = LabelMap::background(grid);
    for (n, label) in labels.labels_mut().iter_mut().enumerate() {
        let voxel = [n % dims[0], n / dims[0] % dims[1], n / dims[0] / dims[1]];
        let distance = |axis: usize| (voxel[axis] as f64 + 0.5 - dims[axis] as f64 / 2.0).powi(2);
        let squares = distance(0) + distance(1) + distance(2);
        *label = if squares < 25.0 { 2 } else { u8::from(squares < 144.0) };
    }
    let region = |name: &str, color, codes: Vec<u8>| SharedRegion {
        name: name.into(),
        color,
        volume_ml: labels.volume_ml(&codes),
        codes,
    };
    SharedResult {
        convention: Default::default(),
        regions: vec![
            region("Outer", [242, 196, 109], vec![1, 2]),
            region("Inner", [88, 150, 255], vec![2]),
        ],
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

/// Returns the canvas's picture, or an empty text if there is no canvas.
async fn picture(client: &Client) -> String {
    let drawn = "return document.querySelector('#shapes')?.toDataURL() ?? ''";
    script(client, drawn).await.as_str().unwrap().to_string()
}

/// Returns the picture once it no longer changes: a draft is followed by the smooth picture.
async fn settled(client: &Client) -> String {
    let mut before = String::new();
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = picture(client).await;
        if now == before {
            return now;
        }
        before = now;
    }
    panic!("expected the 3-D view to come to rest");
}

/// Returns the number of the canvas's pixels that are not gray.
async fn num_colored(client: &Client) -> u64 {
    let count = r"
        const canvas = document.querySelector('#shapes');
        if (!canvas || !canvas.width || !canvas.height) return 0;
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        let count = 0;
        for (let n = 0; n < data.length; n += 4) {
            const [r, g, b] = [data[n], data[n + 1], data[n + 2]];
            if (Math.max(r, g, b) - Math.min(r, g, b) > 12) count += 1;
        }
        return count;
    ";
    script(client, count).await.as_u64().unwrap_or_default()
}
