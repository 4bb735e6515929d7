//! `cargo xtask bench browser`: one network on one input in the same headless Chromium, by our
//! engine and by onnxruntime-web from the network's ONNX export.

mod chromium;
mod server;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use self::chromium::Chromium;
use self::server::Server;
use self::table::{Measured, Row, table};
use crate::command::{cargo, run};
use crate::page::glue;
use crate::steps::Steps;
use crate::tools::{Tools, WASM, wasm_target};
use crate::workspace::{NATIVE, Workspace};

/// The peer, from npm.
const PEER: &str = "onnxruntime-web";
const PEER_VERSION: &str = "1.30.0";

/// The engines by name, with what the page is asked for. The peer runs in its build for WebGPU as it
/// is, and as suits it better; in its older one (JSEP), whose other layout has no 3D pooling; and on
/// the CPU. Each with group norms by their operator too where that could suit it.
const ENGINES: [(&str, &str); 7] = [
    ("Rewind", "engine=rewind"),
    ("Rewind, blocks fused", "engine=rewind&fused=32"),
    (
        "onnxruntime-web, WebGPU",
        "engine=onnxruntime&build=ort.webgpu&provider=webgpu&model=model/means.onnx",
    ),
    (
        "onnxruntime-web, WebGPU, NCHW, GroupNormalization",
        "engine=onnxruntime&build=ort.webgpu&provider=webgpu&layout=NCHW&model=model/operator.onnx",
    ),
    (
        "onnxruntime-web, WebGPU (JSEP), NCHW, GroupNormalization",
        "engine=onnxruntime&build=ort.all&provider=webgpu&layout=NCHW&model=model/operator.onnx",
    ),
    (
        "onnxruntime-web, wasm",
        "engine=onnxruntime&build=ort.wasm&provider=wasm&model=model/means.onnx",
    ),
    (
        "onnxruntime-web, wasm, GroupNormalization",
        "engine=onnxruntime&build=ort.wasm&provider=wasm&model=model/operator.onnx",
    ),
];

/// What the command line asks for.
pub struct Browser {
    /// Presets to measure, each with weights of a moment's training on phantoms.
    pub presets: Vec<String>,
    /// Bundles to measure, instead.
    pub models: Vec<PathBuf>,
    /// Voxels of the input along i, j, k.
    pub size: [usize; 3],
    /// Runs after the first.
    pub runs: usize,
    /// The machine's graphics card instead of software.
    pub hardware: bool,
    /// Seconds that an engine may take.
    pub limit_secs: u64,
}

/// Measures every model by every engine, each in a browser of its own, one after the other; prints
/// a table a model.
///
/// # Errors
/// When something cannot be built, fetched or started; not when an engine cannot run a network,
/// which the table says.
pub fn browser(workspace: &Workspace, browser: &Browser) -> Result<()> {
    let folder = workspace.target.join("rewind-bench-browser");
    let steps = &mut Steps::new();
    let tools = steps.run("Find the browser", Tools::find_or_install)?;
    let page = folder.join("page");
    steps.run("Build the page", || build(workspace, &page))?;
    let peer = steps.run(&format!("Fetch {PEER} {PEER_VERSION}"), || fetch(&folder.join("npm")))?;
    steps.run("Build the programs", || {
        run(cargo([&["build", "--bins"], NATIVE].concat()).current_dir(&workspace.root))
    })?;
    let models = steps.run("Make the models", || models(workspace, browser, &folder))?;
    let server = Server::start(vec![("", page), ("ort/", peer)])?;
    let place = if browser.hardware { "the graphics card" } else { "SwiftShader (software)" };
    let version = Command::new(&tools.browser).arg("--version").output()?.stdout;
    let version = String::from_utf8_lossy(&version).trim().to_string();
    let head = format!(
        "{version}, WebGPU on {place}, {PEER} {PEER_VERSION}\n\nResearch use only, not a medical \
         device\n"
    );
    let mut tables = String::new();
    for (name, model) in &models {
        let title = format!("Measure {name}");
        let rows = steps.run(&title, || measure(&server, &tools, browser, &folder, model))?;
        let [i, j, k] = browser.size;
        let (_, outputs) = channels(&model.join("model.safetensors"))?;
        let table = format!("\n{name}, {i} × {j} × {k}\n\n{}", table(&rows, outputs));
        println!("{table}");
        tables += &table;
        // After each, since the next may take minutes.
        fs::write(folder.join("results.md"), head.clone() + &tables)?;
    }
    steps.summary();
    println!("\n{head}{tables}\nthe same is in {}", folder.join("results.md").display());
    Ok(())
}

fn build(workspace: &Workspace, out: &Path) -> Result<()> {
    wasm_target()?;
    run(cargo(["build", "-p", "bench-page", "--target", WASM, "--profile", "page"])
        .current_dir(&workspace.root))?;
    fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    glue(&workspace.target.join(WASM).join("page/bench_page.wasm"), out)?;
    for file in ["index.html", "bench.js"] {
        fs::copy(workspace.root.join(".ci/bench-page").join(file), out.join(file))?;
    }
    Ok(())
}

/// The folder of the peer's files.
fn fetch(folder: &Path) -> Result<PathBuf> {
    let package = folder.join("node_modules").join(PEER);
    let known = fs::read(package.join("package.json")).unwrap_or_default();
    let known: Value = serde_json::from_slice(&known).unwrap_or_default();
    if known["version"] != PEER_VERSION {
        fs::create_dir_all(folder)?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save"]);
        npm.arg("--prefix").arg(folder).arg(format!("{PEER}@{PEER_VERSION}"));
        run(&mut npm).context("npm, which comes with Node.js, is needed for this")?;
    }
    Ok(package.join("dist"))
}

/// The models by name, each a folder with the bundle and its exports.
fn models(
    workspace: &Workspace,
    browser: &Browser,
    folder: &Path,
) -> Result<Vec<(String, PathBuf)>> {
    let rewind = || {
        let mut command = Command::new(workspace.program("rewind"));
        command.current_dir(&workspace.root);
        command
    };
    let mut models: Vec<(String, PathBuf)> = Vec::new();
    for bundle in &browser.models {
        models.push((bundle.display().to_string(), bundle.clone()));
    }
    if models.is_empty() {
        let data = folder.join("phantoms");
        if !data.join("dataset.json").exists() {
            run(rewind().args(["phantom", "--cases", "3", "--size", "64", "--out"]).arg(&data))?;
        }
        for preset in &browser.presets {
            let out = folder.join("runs").join(preset);
            if !out.join("best.safetensors").exists() {
                let mut train = rewind();
                train.arg("train").arg("--data").arg(&data).args(["--preset", preset]);
                train.args(["--foreground", "nonzero", "--steps", "2", "--validate-every", "2"]);
                run(train.arg("--out").arg(&out))?;
            }
            models.push((preset.clone(), out));
        }
    }
    models
        .into_iter()
        .enumerate()
        .map(|(n, (name, model))| {
            let out = folder.join(format!("models/{n}"));
            fs::create_dir_all(&out)?;
            for norms in ["means", "operator"] {
                let mut export = rewind();
                export.arg("export").arg("--model").arg(&model).args(["--onnx-norms", norms]);
                export.arg("--onnx").arg(out.join(format!("{norms}.onnx")));
                run(export.arg("--out").arg(out.join("model.safetensors")))?;
            }
            Ok((name, out))
        })
        .collect()
}

/// A bundle's channels in and out, as its card says.
fn channels(bundle: &Path) -> Result<(usize, usize)> {
    let bytes = fs::read(bundle).with_context(|| format!("cannot read {}", bundle.display()))?;
    let (length, rest) = bytes.split_first_chunk().context("a bundle begins with a length")?;
    let header = rest.get(..u64::from_le_bytes(*length) as usize).context("a header")?;
    let header: Value = serde_json::from_slice(header)?;
    let card = header["__metadata__"]["rewind"].as_str().context("a card")?;
    let network = &serde_json::from_str::<Value>(card)?["card"]["network"];
    let number = |key: &str| Some(network[key].as_u64()? as usize);
    number("in_channels").zip(number("out_channels")).context("channels in the card")
}

fn measure(
    server: &Server,
    tools: &Tools,
    browser: &Browser,
    folder: &Path,
    model: &Path,
) -> Result<Vec<Row>> {
    server.replace("model/", model);
    let (inputs, _) = channels(&model.join("model.safetensors"))?;
    let size = browser.size.map(|extent| extent.to_string()).join("x");
    let measure_one = |(name, query): (&str, &str)| {
        let address = format!(
            "http://{}/?{query}&size={size}&channels={inputs}&runs={}",
            server.address, browser.runs
        );
        println!("  {name}");
        let chromium =
            Chromium::open(&tools.browser, &folder.join("browser"), &address, browser.hardware)?;
        let measured = watch(server, &chromium, Duration::from_secs(browser.limit_secs));
        if let Err(message) = &measured {
            println!("    cannot: {message}");
        }
        Ok((name.to_string(), measured))
    };
    ENGINES.into_iter().map(measure_one).collect()
}

/// Waits for what a page reports, and watches its memory meanwhile.
fn watch(server: &Server, chromium: &Chromium, limit: Duration) -> Result<Measured, String> {
    // What a browser before this one said last.
    while server.reports.try_recv().is_ok() {}
    let start = Instant::now();
    let (mut before, mut most, mut logits) = (None, None, Vec::new());
    while start.elapsed() < limit {
        match server.reports.recv_timeout(Duration::from_millis(20)) {
            Ok((path, body)) => match &*path {
                "start" => before = chromium.memory_bytes(),
                "logits" => {
                    let values = body.as_chunks().0.iter();
                    logits = values.map(|bytes| f32::from_le_bytes(*bytes)).collect();
                }
                "done" => {
                    let peak_bytes = before.zip(most).map(|(b, m): (u64, u64)| m.saturating_sub(b));
                    return report(&body, peak_bytes, logits).map_err(|error| error.to_string());
                }
                _ => return Err(String::from_utf8_lossy(&body).into_owned()),
            },
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err("the server ended".into()),
        }
        if before.is_some() {
            most = most.max(chromium.memory_bytes());
        }
    }
    Err(format!("no result within {} s", limit.as_secs()))
}

fn report(body: &[u8], peak_bytes: Option<u64>, logits: Vec<f32>) -> Result<Measured> {
    let json: Value = serde_json::from_slice(body)?;
    let warm_ms: Vec<f64> =
        json["warm_ms"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    ensure!(!warm_ms.is_empty(), "expected times, found {json}");
    Ok(Measured {
        first_ms: json["first_ms"].as_f64().context("the first run's time")?,
        warm_ms,
        adapter: json["adapter"].as_str().unwrap_or_default().to_string(),
        peak_bytes,
        logits,
    })
}
