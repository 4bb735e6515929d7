//! `cargo xtask bench browser`: a network on the same input in the same headless Chromium, by
//! Rewind's engine and by onnxruntime-web from the network's ONNX export.

mod chromium;
mod server;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xshell::cmd;

use self::chromium::Chromium;
use self::server::Server;
use self::table::{EngineResult, Measurement, table};
use super::{Size, parse_size};
use crate::command::run;
use crate::page::bindgen;
use crate::steps::Steps;
use crate::tools::{Tools, WASM, add_wasm_target};
use crate::workspace::{NATIVE, Workspace};

/// The npm package of the engine to compare with.
const PEER: &str = "onnxruntime-web";
const PEER_VERSION: &str = "1.30.0";

/// The name of each engine, with the page's query.
///
/// Ours on the processor runs on one thread. The peer runs in its WebGPU build with default options
/// and with faster ones, in its older WebGPU build (JSEP), whose other layout lacks 3D pooling, and
/// on the processor. The variants with the operator `GroupNormalization` are those in which it can be
/// faster.
const ENGINES: [(&str, &str); 10] = [
    ("Rewind, processor", "engine=processor"),
    ("Rewind, WebGPU", "engine=rewind"),
    ("Rewind, WebGPU, blocks fused", "engine=rewind&fused=32"),
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
        "onnxruntime-web, wasm, GroupNormalization, 1 thread",
        "engine=onnxruntime&build=ort.wasm&provider=wasm&threads=1&model=model/operator.onnx",
    ),
    (
        "onnxruntime-web, wasm, 1 thread",
        "engine=onnxruntime&build=ort.wasm&provider=wasm&threads=1&model=model/means.onnx",
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

/// The options of `cargo xtask bench browser`.
#[derive(clap::Args)]
pub struct BrowserOptions {
    /// A preset, trained for a moment on phantoms; can be given more than once
    #[arg(long = "preset", default_values = ["demo", "mbconv-slim"])]
    presets: Vec<String>,
    /// A bundle to measure instead of presets; can be given more than once
    #[arg(long = "model", value_name = "FILE")]
    models: Vec<PathBuf>,
    /// Measure only the engines whose names contain this text; can be given more than once
    #[arg(long = "engine", value_name = "TEXT")]
    engines: Vec<String>,
    /// Voxels of the input along i, j, k
    #[arg(long, default_value = "32x32x32", value_parser = parse_size)]
    size: Size,
    /// Runs after the first; their median is reported
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Use the machine's graphics card instead of software
    #[arg(long)]
    hardware: bool,
    /// The time limit of an engine in seconds
    #[arg(long, default_value_t = 300)]
    limit_secs: u64,
}

/// Measures every model by every engine, one after the other, each in a new browser. Prints one
/// table per model.
///
/// # Errors
/// If something cannot be built, downloaded or started. The failure of an engine is a row of the
/// table.
pub fn browser(workspace: &Workspace, options: &BrowserOptions) -> Result<()> {
    let folder = workspace.target.join("rewind-bench-browser");
    let steps = &mut Steps::new();
    let tools = steps.run("Find the browser", || Tools::find_or_install(&workspace.shell))?;
    let page = folder.join("page");
    steps.run("Build the page", || build(workspace, &page))?;
    let title = format!("Download {PEER} {PEER_VERSION}");
    let peer = steps.run(&title, || download_peer(workspace, &folder.join("npm")))?;
    steps.run("Build the programs", || {
        let sh = &workspace.shell;
        run(cmd!(sh, "cargo build --bins {NATIVE...}"))
    })?;
    let models = steps.run("Make the models", || models(workspace, options, &folder))?;
    let server = Server::start(vec![("", page), ("ort/", peer)])?;
    let place = if options.hardware { "the graphics card" } else { "SwiftShader (software)" };
    let browser = &tools.browser;
    let version = cmd!(workspace.shell, "{browser} --version").quiet().read()?;
    let head = format!(
        "{version}, WebGPU on {place}, {PEER} {PEER_VERSION}\n\nResearch use only, not a medical \
         device\n"
    );
    let mut tables = String::new();
    for (name, model) in &models {
        let title = format!("Measure {name}");
        let rows = steps.run(&title, || measure(&server, &tools, options, &folder, model))?;
        let Size([i, j, k]) = options.size;
        let (_, outputs) = channels(&model.join("model.safetensors"))?;
        let table = format!("\n{name}, {i} × {j} × {k}\n\n{}", table(&rows, outputs));
        println!("{table}");
        tables += &table;
        // After each model, because the next can take minutes.
        fs::write(folder.join("results.md"), head.clone() + &tables)?;
    }
    steps.print_summary();
    println!("\n{head}{tables}\nthe tables are also in {}", folder.join("results.md").display());
    Ok(())
}

fn build(workspace: &Workspace, out: &Path) -> Result<()> {
    let sh = &workspace.shell;
    add_wasm_target(sh)?;
    run(cmd!(sh, "cargo build -p bench-page --target {WASM} --profile page"))?;
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    bindgen(&workspace.target.join(WASM).join("page/bench_page.wasm"), "bench_page", out)?;
    for file in ["index.html", "bench.js"] {
        fs::copy(workspace.root.join(".ci/bench-page").join(file), out.join(file))?;
    }
    Ok(())
}

/// Downloads the peer if it is missing, and returns the folder of its files.
fn download_peer(workspace: &Workspace, folder: &Path) -> Result<PathBuf> {
    let sh = &workspace.shell;
    let package = folder.join("node_modules").join(PEER);
    let description = fs::read(package.join("package.json")).unwrap_or_default();
    let description: Value = serde_json::from_slice(&description).unwrap_or_default();
    if description["version"] != PEER_VERSION {
        fs::create_dir_all(folder)?;
        let npm = cmd!(sh, "npm install --no-audit --no-fund --ignore-scripts --no-save");
        run(npm.arg("--prefix").arg(folder).arg(format!("{PEER}@{PEER_VERSION}")))
            .context("this benchmark needs npm, which comes with Node.js")?;
    }
    Ok(package.join("dist"))
}

/// Returns each model's name, and a folder with its bundle and its ONNX exports.
fn models(
    workspace: &Workspace,
    options: &BrowserOptions,
    folder: &Path,
) -> Result<Vec<(String, PathBuf)>> {
    let mut models: Vec<(String, PathBuf)> = Vec::new();
    for bundle in &options.models {
        models.push((bundle.display().to_string(), bundle.clone()));
    }
    if models.is_empty() {
        let data = folder.join("phantoms");
        if !data.join("dataset.json").exists() {
            let phantom = workspace.rewind().args(["phantom", "--cases", "3", "--size", "64"]);
            run(phantom.arg("--out").arg(&data))?;
        }
        for preset in &options.presets {
            let out = folder.join("runs").join(preset);
            if !out.join("best.safetensors").exists() {
                let train = workspace.rewind().args(["train", "--preset", preset]);
                let train = train.args(["--foreground", "nonzero", "--steps", "2"]);
                let train = train.args(["--validate-every", "2", "--data"]).arg(&data);
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
                let export = workspace.rewind().arg("export").arg("--model").arg(&model);
                let export = export.args(["--onnx-norms", norms]);
                let export = export.arg("--onnx").arg(out.join(format!("{norms}.onnx")));
                run(export.arg("--out").arg(out.join("model.safetensors")))?;
            }
            Ok((name, out))
        })
        .collect()
}

/// Returns the input channels and the output channels of a bundle's network.
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

/// Measures a model by every engine.
fn measure(
    server: &Server,
    tools: &Tools,
    options: &BrowserOptions,
    folder: &Path,
    model: &Path,
) -> Result<Vec<EngineResult>> {
    server.replace("model/", model);
    let (inputs, _) = channels(&model.join("model.safetensors"))?;
    let Size(size) = options.size;
    let size = size.map(|extent| extent.to_string()).join("x");
    let measure_one = |(name, query): (&str, &str)| {
        let address = format!(
            "http://{}/?{query}&size={size}&channels={inputs}&runs={}",
            server.address, options.runs
        );
        println!("  {name}");
        let chromium =
            Chromium::open(&tools.browser, &folder.join("browser"), &address, options.hardware)?;
        let measured = wait_for_report(server, &chromium, Duration::from_secs(options.limit_secs));
        if let Err(message) = &measured {
            println!("    failed: {message}");
        }
        Ok((name.to_string(), measured))
    };
    let is_wanted = |(name, _): &(&str, &str)| {
        options.engines.is_empty()
            || options.engines.iter().any(|text| name.contains(text.as_str()))
    };
    ENGINES.into_iter().filter(is_wanted).map(measure_one).collect()
}

/// Waits for the page's report and samples the browser's memory.
fn wait_for_report(
    server: &Server,
    chromium: &Chromium,
    limit: Duration,
) -> Result<Measurement, String> {
    // Discards the last messages of an earlier browser.
    while server.reports.try_recv().is_ok() {}
    let start = Instant::now();
    let (mut before, mut peak, mut logits) = (None, None, Vec::new());
    while start.elapsed() < limit {
        match server.reports.recv_timeout(Duration::from_millis(20)) {
            Ok((path, body)) => match &*path {
                "start" => before = chromium.memory_bytes(),
                "logits" => {
                    let values = body.as_chunks().0.iter();
                    logits = values.map(|bytes| f32::from_le_bytes(*bytes)).collect();
                }
                "done" => {
                    let peak_bytes = before
                        .zip(peak)
                        .map(|(before, peak): (u64, u64)| peak.saturating_sub(before));
                    return parse_report(&body, peak_bytes, logits)
                        .map_err(|error| error.to_string());
                }
                _ => return Err(String::from_utf8_lossy(&body).into_owned()),
            },
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err("the server ended".into()),
        }
        if before.is_some() {
            peak = peak.max(chromium.memory_bytes());
        }
    }
    Err(format!("no result within {} s", limit.as_secs()))
}

/// Returns the measurement in the JSON of a page's report.
fn parse_report(body: &[u8], peak_bytes: Option<u64>, logits: Vec<f32>) -> Result<Measurement> {
    let json: Value = serde_json::from_slice(body)?;
    let warm_ms: Vec<f64> =
        json["warm_ms"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    ensure!(!warm_ms.is_empty(), "expected times, found {json}");
    Ok(Measurement {
        first_ms: json["first_ms"].as_f64().context("the first run's time")?,
        warm_ms,
        adapter: json["adapter"].as_str().unwrap_or_default().to_string(),
        peak_bytes,
        logits,
    })
}
