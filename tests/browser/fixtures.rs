//! Fixtures: an instrumented page, models that are recognized by their results, and files to drop.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fantoccini::{Client, Locator};
use model_core::{
    Affine, Array, Bundle, Card, Grid, PreprocessConfig, Provenance, Task, UNetConfig, Volume,
    formats::nifti, network::layers,
};
use serde_json::{Value, json};

use super::{Programs, page_with_script};

/// Voxels of a scan along each axis.
const SIZE: usize = 32;

/// Drops groups of files on the page, each group as one event, without a pause between them.
const DROP_SCRIPT: &str = r#"
const drop = files => {
    const dataTransfer = new DataTransfer();
    for (const [name, bytes] of files) {
        const decoded = Uint8Array.from(atob(bytes), character => character.charCodeAt(0));
        dataTransfer.items.add(new File([decoded], name));
    }
    const event = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
    document.querySelector(".page").dispatchEvent(event);
};
arguments[0].forEach(drop);
"#;

/// Stores the file that the page saves.
const CAPTURE_SAVED_FILE_SCRIPT: &str = r#"
const create = URL.createObjectURL;
URL.createObjectURL = function (blob) {
    window.saved = blob;
    return create.call(this, blob);
};
"#;

/// Returns the bytes of the saved file.
const SAVED_FILE_SCRIPT: &str = r#"
const [done] = arguments;
window.saved.arrayBuffer().then(bytes => done([...new Uint8Array(bytes)]));
"#;

/// The name and the bytes of a file to drop.
pub type DroppedFile = (String, Vec<u8>);

/// Makes the folder `demo` with a model and a scan, and another model. Returns the folder of an instrumented page.
pub fn make_page(programs: &Programs, folder: &Path, model: &Bundle) -> PathBuf {
    let demo = folder.join("demo");
    fs::create_dir_all(&demo).unwrap();
    fs::write(demo.join("model.safetensors"), model.to_bytes().unwrap()).unwrap();
    fs::write(demo.join("scan.nii.gz"), scan(grid())).unwrap();
    fs::write(demo.join("other.safetensors"), self::model("Other", true).to_bytes().unwrap())
        .unwrap();
    let manifest = json!({ "models": [
        {
            "name": "A model",
            "bundle": "model.safetensors",
            "case": { "name": "a ramp", "files": ["scan.nii.gz"] },
        },
        { "name": "Another model", "bundle": "other.safetensors" },
    ] });
    fs::write(demo.join("manifest.json"), manifest.to_string()).unwrap();
    page_with_script(&programs.page, folder, "observed-page", include_str!("observed_page.js"))
}

/// Makes a model of the demonstration's size that labels every voxel a lesion, or none.
pub fn model(name: &str, finds_lesion: bool) -> Bundle {
    let task = Task::exclusive("Lesions", vec!["T1".into()], vec![(7, "lesion".into())]).unwrap();
    let network = UNetConfig::preset("demo", 1, 2).unwrap();
    let zeros = layers::parameters(&network).into_iter().map(|parameter| {
        let values = vec![0.0; parameter.shape.iter().product()];
        (parameter.name, Array { shape: parameter.shape, values })
    });
    let mut weights: model_core::Weights = zeros.collect();
    let bias = weights.get_mut("head.bias").expect("the network's last parameter");
    bias.values = if finds_lesion { vec![0.0, 1.0] } else { vec![1.0, 0.0] };
    let card = Card::new(name, task, network, PreprocessConfig::default(), Provenance::default());
    Bundle { card, weights }
}

/// Makes a grid of voxels of 1 mm.
pub fn grid() -> Grid {
    Grid::new([SIZE; 3], Affine::IDENTITY)
}

/// Makes a scan whose intensities increase along its axes.
pub fn scan(grid: Grid) -> Vec<u8> {
    let voxels = (0..grid.num_voxels()).map(|n| (n % 97) as f32).collect();
    nifti::write_volumes(&[Volume::new(grid, voxels).unwrap()]).unwrap()
}

/// Makes a file to drop from a bundle.
pub fn file(name: &str, bundle: &Bundle) -> DroppedFile {
    (name.into(), bundle.to_bytes().unwrap())
}

/// Drops groups of files, each as one event.
pub async fn drop_on(client: &Client, groups: &[&[DroppedFile]]) {
    let encoded = groups.iter().map(|group| {
        let files = group.iter().map(|(name, bytes)| json!([name, STANDARD.encode(bytes)]));
        Value::Array(files.collect())
    });
    client.execute(DROP_SCRIPT, vec![Value::Array(encoded.collect())]).await.unwrap();
}

/// Runs a script in the page.
pub async fn script(client: &Client, text: &str) -> Value {
    client.execute(text, vec![]).await.unwrap()
}

/// Sends a command to the instrumented worker: `die`, `hang` or `memory`.
pub async fn command_worker(client: &Client, command: &str) {
    script(client, &format!("new BroadcastChannel('tests').postMessage({command:?});")).await;
}

/// Returns the texts of all elements that match a selector.
pub async fn texts(client: &Client, css: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for element in client.find_all(Locator::Css(css)).await.unwrap() {
        texts.push(element.text().await.unwrap_or_default());
    }
    texts
}

/// Stores the files that the page saves from now on.
pub async fn capture_saved_files(client: &Client) {
    client.execute(CAPTURE_SAVED_FILE_SCRIPT, vec![]).await.unwrap();
}

/// Returns the bytes of the file that the page saved last.
pub async fn saved_file(client: &Client) -> Vec<u8> {
    let bytes: Value = client.execute_async(SAVED_FILE_SCRIPT, vec![]).await.unwrap();
    serde_json::from_value(bytes).unwrap()
}
