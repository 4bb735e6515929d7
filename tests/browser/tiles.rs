//! A scan that exceeds every budget: the page offers overlapping tiles, states them with the
//! result, and gives the same result as `rewind predict --mode sliding`.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fantoccini::{Client, Locator};
use model_core::{Bundle, LabelMap, Program, formats::nifti, phantom, preprocess};
use serde_json::json;
use shaders::Plan;
use shaders::kernels::Storage;
use web_viewer::share;

use super::fixtures::{capture_saved_files, saved_file};
use super::tabs::REPLACE_BUDGET_SCRIPT;
use super::{
    Programs, click, compare, link, only_scan, open_page, reach, state, text, wait_for,
    wait_for_model,
};

/// Voxels along each axis of a phantom that needs more memory in 16 bit than a tile of the training
/// patch's size in 32 bit.
const PHANTOM_SIZE: &str = "50";

/// A scan that exceeds the budget, with its expected result.
pub struct LargeScan {
    scan: PathBuf,
    predicted: LabelMap,
    /// A budget that holds a tile but not the whole scan.
    budget_bytes: u64,
    /// The tiles in the page's words.
    tiles: String,
}

impl LargeScan {
    /// Makes a scan for the model in `folder`, and segments it with the trainer.
    pub fn new(programs: &Programs, folder: &Path) -> LargeScan {
        programs.rewind(
            folder,
            &format!("phantom --out large --cases 1 --seed 1000002 --size {PHANTOM_SIZE}"),
        );
        programs.rewind(folder, "predict --model run --data large --mode sliding --out sliding");
        let name = only_scan(&folder.join("sliding"));
        let predicted = fs::read(folder.join("sliding").join(&name)).unwrap();
        let scan = folder.join("large/imagesTr").join(&name);

        let bundle = fs::read(folder.join("demo/model.safetensors")).unwrap();
        let card = Bundle::from_bytes(&bundle).unwrap().card;
        let volumes = nifti::read(&fs::read(&scan).unwrap()).unwrap();
        let (input, _) = preprocess(&volumes, &card.preprocess, &card.network).unwrap();
        let tile = card.network.padded(card.provenance.patch.expect("the training patch"));
        let num_tiles: usize = (0..3)
            .map(|axis| 1 + (input.dims[axis] - tile[axis]).div_ceil(tile[axis] / 2))
            .product();
        let program = |dims| Program::new(&card.network, dims).unwrap();
        let whole = program(input.dims).deciding(&card.task);
        let Err(shaders::Error::Budget { smallest_bytes, .. }) = Plan::within(&whole, 0) else {
            panic!("nothing runs without memory");
        };
        let budget_bytes = smallest_bytes - 1;
        let plan = Plan::within(&program(tile), budget_bytes).expect("memory for a tile");
        let [i, j, k] = tile;
        let tiles = format!("{num_tiles} overlapping tiles of {i} × {j} × {k} voxels");
        // In 32 bit the page's result differs from the trainer's only by rounding.
        assert_eq!(plan.options.storage, Storage::F32);
        println!("{:?} voxels: {tiles}", input.dims);
        assert!(num_tiles > 1);
        let predicted = nifti::read_labels(&predicted).unwrap();
        LargeScan { scan, predicted, budget_bytes, tiles }
    }
}

/// Runs in tiles, cancels, runs again, and checks every place that states the tiles.
pub async fn segment(client: Client, address: String, large_scan: LargeScan) {
    open_page(&client, &address, "gpu").await;
    wait_for_model(&client).await;
    client
        .execute(
            REPLACE_BUDGET_SCRIPT,
            vec![json!(large_scan.budget_bytes), json!(large_scan.budget_bytes)],
        )
        .await
        .unwrap();
    capture_saved_files(&client).await;
    let input = client.find(Locator::Css(".slot input[type=file]")).await.unwrap();
    input.send_keys(large_scan.scan.to_str().unwrap()).await.unwrap();
    let refused = wait_for(&client, "#exceeds", 60, "to refuse", |text| !text.is_empty()).await;
    assert!(refused.contains("needs at least "), "{refused}");
    let offered = text(&client, ".run").await;
    for expected in [&large_scan.tiles, "The result differs from that of the whole scan at once"] {
        assert!(offered.contains(expected), "expected {expected:?} in {offered:?}");
    }
    assert!(!client.find(Locator::Css("#segment")).await.unwrap().is_enabled().await.unwrap());

    click(&client, "#segment-tiles").await;
    wait_for(&client, "#status", 60, "to show the progress", |text| text.contains(" %")).await;
    let start = Instant::now();
    click(&client, "#cancel").await;
    reach(&client, "idle", 10).await;
    let elapsed = start.elapsed();
    println!("canceled within {} ms, as the driver sees it", elapsed.as_millis());
    // The run does not wait for the tile, which takes seconds in software.
    assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
    assert_eq!(text(&client, "#segment-tiles").await, "Run in overlapping tiles");

    let start = Instant::now();
    click(&client, "#segment-tiles").await;
    reach(&client, "done", 400).await;
    println!("segmented in tiles in {:.1} s", start.elapsed().as_secs_f64());
    assert!(text(&client, "#tiles").await.contains(&large_scan.tiles));
    assert!(text(&client, "#run-summary").await.contains(&large_scan.tiles));

    click(&client, "#copy-link").await;
    let link = link(&client).await;
    let shared = share::decode(link.split_once('#').unwrap().1).unwrap();
    assert_eq!(shared.model.tiles, large_scan.tiles);
    compare(&shared, &large_scan.predicted, &phantom::task().regions);

    click(&client, "#save").await;
    let saved = saved_file(&client).await;
    assert_eq!(nifti::read_labels(&saved).unwrap(), shared.labels);
    let description = nifti_description(&saved);
    assert!(description.contains(&large_scan.tiles.replace('×', "x")), "{description:?}");
    assert!(description.contains("research use only"), "{description:?}");

    // The linked result states the tiles too.
    client.goto("about:blank").await.unwrap();
    client.goto(&link).await.unwrap();
    assert!(text(&client, "#tiles").await.contains(&large_scan.tiles));
    assert_eq!(state(&client).await, "done");
}

/// Returns the field `descrip` of a compressed NIfTI file's header.
fn nifti_description(file: &[u8]) -> String {
    let mut header = [0; 348];
    flate2::read::MultiGzDecoder::new(file).read_exact(&mut header).unwrap();
    String::from_utf8_lossy(&header[148..228]).trim_end_matches('\0').to_string()
}
