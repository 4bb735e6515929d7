//! What each stage consists of.

use std::path::Path;

use super::Stage;

/// One of this program's commands, and what becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Its name in the results, of which each stage has it once.
    pub name: String,
    /// The command; for a training without its settings and `--out`.
    pub args: Vec<String>,
    /// The settings of a training, which has a state.
    pub settings: Option<&'static str>,
    /// Whether its model is kept among the results.
    pub keeps_model: bool,
}

/// The settings of the trainings, which travel in the program.
const HIPPOCAMPUS: &str = include_str!("../../../configs/gpu/hippocampus.toml");
const LGG64: &str = include_str!("../../../configs/gpu/lgg64.toml");

const OPERATIONS: [&str; 8] =
    ["depthwise", "pointwise", "conv3", "group norm", "max pool", "upsample", "add", "loss"];

/// The items of a stage, in order; `rehearse` makes them small.
pub fn items(stage: Stage, device: &str, data: Option<&Path>, rehearse: bool) -> Vec<Item> {
    let item = |name: String, args: &str, more: Vec<String>| Item {
        name,
        args: args.split(' ').map(String::from).chain(more).collect(),
        settings: None,
        keeps_model: false,
    };
    let on = |more: &[&str]| -> Vec<String> {
        ["--device", device].iter().chain(more).map(|s| s.to_string()).collect()
    };
    let storages: &[&str] =
        if device.starts_with("cuda") { &["f32", "f16", "bf16"] } else { &["f32", "f16"] };
    let peers = if cfg!(feature = "libtorch") { "stock,libtorch" } else { "stock" };
    match stage {
        Stage::Correctness => {
            let networks: &[&str] = match rehearse {
                true => &["demo"],
                false => &model_core::network::config::PRESETS,
            };
            let names = OPERATIONS.iter().chain(networks);
            let storages = storages.join(",");
            let of = |name: &&str| {
                let more = on(&["--only", name, "--storage", &storages]);
                item(name.to_string(), "bench correctness", more)
            };
            names.map(of).collect()
        }
        Stage::Kernels => {
            let each = |storage: &&str| {
                let of = |name: &&str| {
                    let mut more = on(&["--only", name, "--storage", storage, "--against", peers]);
                    if rehearse {
                        let small = ["--size", "8x16x16", "--widths", "30,60", "--repeat", "2"];
                        more.extend(small.map(String::from));
                    }
                    item(format!("{name}, {storage}"), "bench kernels", more)
                };
                OPERATIONS.iter().map(of).collect::<Vec<_>>()
            };
            storages.iter().flat_map(each).collect()
        }
        Stage::Step => steps(rehearse, storages)
            .into_iter()
            .map(|(preset, size, precision)| {
                let mut more = on(&["--size", size]);
                more.extend(precision.split(' ').map(String::from));
                if cfg!(feature = "libtorch") {
                    more.extend(["--against".into(), "libtorch".into()]);
                }
                let name = format!("{preset}, {size}, {}", precision.replace("--", ""));
                item(name, &format!("bench step --preset {preset}"), more)
            })
            .collect(),
        Stage::Hippocampus | Stage::Lgg64 => trainings(stage, device, data, rehearse),
    }
}

/// Networks, sizes and precisions whose steps are measured.
fn steps(
    rehearse: bool,
    storages: &[&'static str],
) -> Vec<(&'static str, &'static str, &'static str)> {
    let networks: &[(&str, &str)] = match rehearse {
        true => &[("demo", "16x16x16")],
        false => &[
            ("mbconv-base", "160x240x240"),
            ("mbconv-slim", "160x240x240"),
            ("brugger-1-1", "128x128x128"),
        ],
    };
    let mut steps = Vec::new();
    for &(preset, size) in networks {
        steps.push((preset, size, "--precision f32"));
        steps.push((preset, size, "--precision f16 --stream f32"));
        steps.push((preset, size, "--precision f16 --stream f16"));
        if storages.contains(&"bf16") {
            steps.push((preset, size, "--precision bf16 --stream f32"));
        }
    }
    steps
}

/// The trainings of a data set.
fn trainings(stage: Stage, device: &str, data: Option<&Path>, rehearse: bool) -> Vec<Item> {
    let data = data.map_or(String::new(), |data| data.display().to_string());
    let (settings, names): (&'static str, Vec<(String, Vec<String>)>) = match stage {
        Stage::Hippocampus => {
            let fold = |k: usize| (format!("fold {k}"), vec!["--fold".into(), k.to_string()]);
            (HIPPOCAMPUS, (0..5).map(fold).collect())
        }
        _ => {
            let precisions = if device.starts_with("wgpu") {
                vec!["f32", "f16"]
            } else {
                vec!["f32", "bf16", "f16"]
            };
            let of = |(precision, seed): (&str, u64)| {
                let args = ["--precision", precision, "--seed", &seed.to_string()];
                (format!("{precision}, seed {seed}"), args.map(String::from).to_vec())
            };
            let seeds = |precision| (0..3).map(move |seed| (precision, seed));
            (LGG64, precisions.into_iter().flat_map(seeds).map(of).collect())
        }
    };
    let training = |(number, (name, more)): (usize, (String, Vec<String>))| {
        let mut args: Vec<String> =
            ["train", "--data", &data, "--device", device].map(String::from).to_vec();
        args.extend(more);
        if rehearse {
            let small =
                "--steps 30 --validate-every 15 --batch 1 --patch 32 --set checkpoint_every=5";
            args.extend(small.split(' ').map(String::from));
        }
        Item { name, args, settings: Some(settings), keeps_model: number == 0 }
    };
    names.into_iter().enumerate().map(training).collect()
}
