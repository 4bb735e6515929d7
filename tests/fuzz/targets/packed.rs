//! Files with JSON inside a container: bundles, checkpoints, links. A valid container is made
//! around the changed JSON, so that most inputs pass the checks of the container.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use model_core::metrics::{Calibration, RegionCalibration};
use model_core::{
    Affine, Bundle, Card, Foreground, Grid, LabelMap, PreprocessConfig, Provenance, Task,
    UNetConfig,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use trainer_train::checkpoint::Checkpoint;
use trainer_train::initial::initial_weights;
use trainer_train::loss_scale::LossScale;
use web_viewer::share::{self, SharedModel, SharedRegion, SharedResult};
use web_viewer::slice::Convention;

use super::super::{Make, json, mutation};

/// Returns the smallest network that can be configured.
pub(super) fn network() -> UNetConfig {
    let preset = UNetConfig::preset("demo", 1, 2).expect("a preset's name");
    let smallest = preset.with(|network| {
        (network.widths, network.expand_ratio, network.groups) = (vec![2], 1, Some(1));
    });
    smallest.expect("a network that can be built")
}

pub(super) fn bundle() -> Make {
    let task = Task::exclusive("Lesions", vec!["T1".into()], vec![(7, "lesion".into())])
        .expect("a consistent task");
    let preprocess = PreprocessConfig {
        spacing_mm: Some([1.0, 1.0, 2.5].try_into().expect("a legal spacing")),
        foreground: Foreground::Otsu,
        crop: true,
        ..PreprocessConfig::default()
    };
    let region = RegionCalibration { temperature: 1.5, error_before: 0.1, error: 0.05 };
    let regions = vec![region; task.regions.len()];
    let mut card = Card::new("Model", task, network(), preprocess, Provenance::default());
    card.warning = "None.".into();
    card.known_failures = vec!["It sees nothing.".into()];
    card.calibration = Some(Calibration { regions, cases: 1 });
    let bundle = Bundle { card, weights: initial_weights(&network(), 1) };
    let f32s = bundle.to_bytes().expect("a valid bundle");
    let f16s = bundle.to_f16_bytes().expect("a valid bundle");
    safetensors("rewind", vec![f32s, f16s])
}

pub(super) fn checkpoint() -> Make {
    let moments = BTreeMap::from([("head.bias".to_string(), vec![0.5, -1.0])]);
    let checkpoint = Checkpoint {
        steps: 20,
        validation_is_due: true,
        validations: vec![(10, 0.5), (20, 0.75)],
        weights: initial_weights(&network(), 1),
        average: initial_weights(&network(), 2),
        moments: [moments.clone(), moments],
        loss_scale: LossScale::default(),
    };
    safetensors("rewind-checkpoint", vec![checkpoint.to_bytes().expect("a valid checkpoint")])
}

/// Makes changed safetensors files, with changes of the bytes, the header, or the JSON under `key`
/// in the header.
fn safetensors(key: &'static str, seeds: Vec<Vec<u8>>) -> Make {
    Box::new(move |random| {
        let seed = mutation::choice(random, &seeds);
        let (length, rest) = seed.split_first_chunk::<8>().expect("a header's length");
        let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
        let header = match random.random_range(0..3) {
            0 => {
                let mut bytes = seed.clone();
                mutation::change(&mut bytes, &seeds, random);
                return bytes;
            }
            1 => json::change(header, random),
            _ => {
                let mut root: Value = serde_json::from_slice(header).expect("a valid header");
                let description = &mut root["__metadata__"][key];
                let text = description.as_str().expect("a description").as_bytes();
                let text = json::change(text, random);
                *description = String::from_utf8_lossy(&text).into();
                root.to_string().into_bytes()
            }
        };
        [&(header.len() as u64).to_le_bytes()[..], &header, data].concat()
    })
}

/// Makes changed links to results of a few voxels, with changes of the text, the header or the
/// coded labels.
pub(super) fn link() -> Make {
    let seeds: Vec<String> = [[6, 5, 4], [1, 1, 1], [12, 1, 3]].map(fragment).into();
    Box::new(move |random| {
        let seed = mutation::choice(random, &seeds);
        if random.random_range(0..4) == 0 {
            let mut text = seed.clone().into_bytes();
            mutation::change(&mut text, &[seed.clone().into_bytes()], random);
            return text;
        }
        let body = share::body_from_fragment(seed).expect("a valid link");
        let (length, rest) = body.split_first_chunk::<4>().expect("a card's length");
        let (deflated, coded) = rest.split_at(u32::from_le_bytes(*length) as usize);
        let (mut card, mut coded) = (Vec::new(), coded.to_vec());
        DeflateDecoder::new(deflated).read_to_end(&mut card).expect("a valid card");
        match random.random_range(0..4) {
            0 => mutation::change(&mut coded, &[card.clone()], random),
            _ => card = json::change(&card, random),
        }
        share::fragment_from_body(&with_length(&deflate_card(&card, random), &coded)).into_bytes()
    })
}

/// Compresses a card, and sometimes changes the compressed bytes.
fn deflate_card(card: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(card).expect("memory takes it");
    let mut deflated = encoder.finish().expect("memory takes it");
    if random.random_range(0..16) == 0 {
        mutation::change(&mut deflated, &[card.to_vec()], random);
    }
    deflated
}

fn with_length(first: &[u8], second: &[u8]) -> Vec<u8> {
    [&(first.len() as u32).to_le_bytes()[..], first, second].concat()
}

fn fragment(dims: [usize; 3]) -> String {
    let grid = Grid::new(dims, Affine::from_spacing([1.0, 2.0, 3.0]));
    let labels = (0..grid.num_voxels()).map(|n| (n % 7 % 3) as u8).collect();
    let labels = LabelMap::new(grid, labels).unwrap();
    let region = |codes: &[u8]| SharedRegion {
        name: "region".into(),
        color: [230, 159, 0],
        codes: codes.to_vec(),
        volume_ml: labels.volume_ml(codes),
    };
    let shared = SharedResult {
        preparation: None,
        num_edited: 0,
        measurements: Vec::new(),
        convention: Convention::Neurological,
        regions: vec![region(&[1, 2]), region(&[2])],
        model: SharedModel {
            name: "Model".into(),
            warning: "None.".into(),
            hash: "0123456789abcdef".repeat(4),
            tiles: String::new(),
        },
        labels: labels.clone(),
    };
    share::encode(&shared).expect("a valid result")
}
