//! A scan that no memory holds at once: the page offers overlapping windows, says so wherever their
//! result goes, and they are those of `rewind predict --mode sliding`.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fantoccini::{Client, Locator};
use model_core::{Bundle, LabelMap, Program, formats::nifti, phantom, preprocess};
use serde_json::{Value, json};
use shaders::Plan;
use shaders::kernels::Storage;
use web_viewer::share;

use super::tabs::ALLOW;
use super::{Setup, click, compare, link, model_shown, only_scan, reach, state, text, wait_for};

/// Voxels along each axis of a phantom that takes more in 16 bit than a window of the trained patch in 32.
const SIZE: &str = "50";

/// Keeps what the page saves.
const KEEP: &str = r#"
const create = URL.createObjectURL;
URL.createObjectURL = function (blob) {
    window.saved = blob;
    return create.call(this, blob);
};
"#;

/// The bytes that it saved.
const SAVED: &str = r#"
const [done] = arguments;
window.saved.arrayBuffer().then(bytes => done([...new Uint8Array(bytes)]));
"#;

/// A scan and what is expected of it.
pub struct Wide {
    scan: PathBuf,
    predicted: LabelMap,
    /// Memory that holds a window of it and not the whole.
    budget_bytes: u64,
    /// The windows, as the page names them.
    windows: String,
}

impl Wide {
    /// Makes one for the model in `folder`.
    pub fn new(setup: &Setup, folder: &Path) -> Wide {
        setup.rewind(folder, &format!("phantom --out wide --cases 1 --seed 1000002 --size {SIZE}"));
        setup.rewind(folder, "predict --model run --data wide --mode sliding --out sliding");
        let name = only_scan(&folder.join("sliding"));
        let predicted = fs::read(folder.join("sliding").join(&name)).unwrap();
        let scan = folder.join("wide/imagesTr").join(&name);

        let bundle = fs::read(folder.join("demo/model.safetensors")).unwrap();
        let card = Bundle::from_bytes(&bundle).unwrap().card;
        let volumes = nifti::read(&fs::read(&scan).unwrap()).unwrap();
        let (input, _) = preprocess(&volumes, &card.preprocess, &card.network).unwrap();
        let window = card.network.padded(card.provenance.patch.expect("the patch of the training"));
        let number: usize = (0..3)
            .map(|axis| 1 + (input.dims[axis] - window[axis]).div_ceil(window[axis] / 2))
            .product();
        let program = |dims| Program::new(&card.network, dims).unwrap();
        let whole = program(input.dims).deciding(&card.task);
        let Err(shaders::Error::Budget { smallest_bytes, .. }) = Plan::within(&whole, 0) else {
            panic!("nothing runs without memory");
        };
        let budget_bytes = smallest_bytes - 1;
        let plan = Plan::within(&program(window), budget_bytes).expect("memory for a window");
        let [i, j, k] = window;
        let windows = format!("{number} overlapping windows of {i} × {j} × {k} voxels");
        // So that nothing but rounding of floats tells the page's result from the command's.
        assert_eq!(plan.manner.storage, Storage::F32);
        println!("{:?} voxels: {windows}", input.dims);
        assert!(number > 1);
        let predicted = nifti::read_labels(&predicted).unwrap();
        Wide { scan, predicted, budget_bytes, windows }
    }
}

/// Segments it as a person would to whom the page offers no other way, who first changes their mind.
pub async fn segment(client: Client, address: String, wide: Wide) {
    client.goto(&address).await.unwrap();
    model_shown(&client).await;
    client.execute(ALLOW, vec![json!(wide.budget_bytes), json!(wide.budget_bytes)]).await.unwrap();
    client.execute(KEEP, vec![]).await.unwrap();
    let input = client.find(Locator::Css(".slot input[type=file]")).await.unwrap();
    input.send_keys(wide.scan.to_str().unwrap()).await.unwrap();
    let refused = wait_for(&client, "#exceeds", 60, "to refuse", |text| !text.is_empty()).await;
    assert!(refused.contains("needs at least "), "{refused}");
    let offered = text(&client, ".run").await;
    for said in [&wide.windows, "another function"] {
        assert!(offered.contains(said), "expected {said:?} in {offered:?}");
    }
    assert!(!client.find(Locator::Css("#segment")).await.unwrap().is_enabled().await.unwrap());

    click(&client, "#segment-windows").await;
    wait_for(&client, "#status", 60, "to tell of the run", |text| text.contains(" %")).await;
    let start = Instant::now();
    click(&client, "#cancel").await;
    reach(&client, "idle", 10).await;
    let elapsed = start.elapsed();
    println!("cancelled within {} ms, as the driver sees it", elapsed.as_millis());
    // Not after the window, which takes seconds in software.
    assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
    assert_eq!(text(&client, "#segment-windows").await, "Run in overlapping windows");

    let start = Instant::now();
    click(&client, "#segment-windows").await;
    reach(&client, "done", 400).await;
    println!("segmented in windows in {:.1} s", start.elapsed().as_secs_f64());
    assert!(text(&client, "#windows").await.contains(&wide.windows));
    assert!(text(&client, "#made").await.contains(&wide.windows));

    click(&client, "#copy-link").await;
    let link = link(&client).await;
    let shared = share::decode(link.split_once('#').unwrap().1).unwrap();
    assert_eq!(shared.model.windows, wide.windows);
    compare(&shared, &wide.predicted, &phantom::task().regions);

    click(&client, "#save").await;
    let saved = saved(&client).await;
    assert_eq!(nifti::read_labels(&saved).unwrap(), shared.labels);
    let told = described(&saved);
    assert!(told.contains(&wide.windows.replace('×', "x")), "{told:?}");
    assert!(told.contains("research use only"), "{told:?}");

    // Whoever opens the link is told too.
    client.goto("about:blank").await.unwrap();
    client.goto(&link).await.unwrap();
    assert!(text(&client, "#windows").await.contains(&wide.windows));
    assert_eq!(state(&client).await, "done");
}

async fn saved(client: &Client) -> Vec<u8> {
    let bytes: Value = client.execute_async(SAVED, vec![]).await.unwrap();
    serde_json::from_value(bytes).unwrap()
}

/// The field `descrip` of a compressed file's header.
fn described(file: &[u8]) -> String {
    let mut header = [0; 348];
    flate2::read::MultiGzDecoder::new(file).read_exact(&mut header).unwrap();
    String::from_utf8_lossy(&header[148..228]).trim_end_matches('\0').to_string()
}
