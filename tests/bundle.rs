//! A bundle is read exactly as it was written. Invalid and damaged bundles are refused.

use std::fmt::Write;

use model_core::metrics::{Calibration, RegionCalibration};
use model_core::{
    Array, BUNDLE_VERSION, Bundle, Card, Error, Foreground, Head, PreprocessConfig, Provenance,
    Score, Task, UNetConfig, Weights, network::layers,
};
use serde_json::{Value, json};

/// Returns the smallest valid network.
fn network() -> UNetConfig {
    let demo = UNetConfig::preset("demo", 1, 2).unwrap();
    let smallest = demo.with(|demo| {
        (demo.widths, demo.expand_ratio, demo.groups) = (vec![2], 1, Some(1));
    });
    smallest.unwrap()
}

/// Returns a bundle of the small network, whose weights are multiples of 1/8.
pub(crate) fn small_bundle() -> Bundle {
    let labels = vec![(7, "lesion".to_string())];
    let task = Task::exclusive("Lesions", vec!["T1".to_string()], labels).unwrap();
    let mut weights: Weights = layers::parameters(&network())
        .into_iter()
        .map(|parameter| {
            let values = vec![0.0; parameter.shape.iter().product()];
            (parameter.name, Array { shape: parameter.shape, values })
        })
        .collect();
    let places = weights.values_mut().flat_map(|array| &mut array.values);
    places.enumerate().for_each(|(n, value)| *value = n as f32 * 0.125 - 2.0);
    let provenance = Provenance {
        code_version: "0.1.0".to_string(),
        data: "Twelve scans".to_string(),
        license: "CC0".to_string(),
        data_fingerprint: "00ff".to_string(),
        training_cases: 9,
        steps: 100,
        patch: None,
        channel_dropout: 0.0,
        folds: 0,
        held_out: vec![Score {
            region: "lesion".to_string(),
            dice: 0.5,
            dice_deviation: None,
            hd95_mm: None,
            n: 3,
        }],
        chosen_by_held_out: true,
    };
    let preprocess = PreprocessConfig {
        spacing_mm: Some([1.0, 1.0, 2.5].try_into().unwrap()),
        foreground: Foreground::Otsu,
        crop: true,
        ..PreprocessConfig::default()
    };
    let mut card = Card::new("Small \"model\"", task, network(), preprocess, provenance);
    card.warning = "It knows nothing.".to_string();
    Bundle { card, weights }
}

#[test]
fn a_written_bundle_is_read_back() {
    let bundle = small_bundle();
    let bytes = bundle.to_bytes().unwrap();
    assert_eq!(Bundle::from_bytes(&bytes).unwrap(), bundle);
    assert_eq!(bytes, bundle.to_bytes().unwrap(), "the same bytes each time");
}

/// Returns the small model with everything that can be known about it.
fn measured_bundle() -> Bundle {
    let mut bundle = small_bundle();
    bundle.card.known_failures = vec!["It misses lesions below 1 ml.".to_string()];
    let calibrated = RegionCalibration { temperature: 1.5, error_before: 0.125, error: 0.03 };
    bundle.card.calibration = Some(Calibration { regions: vec![calibrated], cases: 3 });
    let Provenance { held_out, folds, .. } = &mut bundle.card.provenance;
    *folds = 5;
    held_out[0].dice_deviation = Some(0.125);
    held_out[0].hd95_mm = Some(4.5);
    bundle
}

#[test]
fn what_was_measured_of_a_model_is_read_back_and_checked() {
    let bundle = measured_bundle();
    assert_eq!(Bundle::from_bytes(&bundle.to_bytes().unwrap()).unwrap(), bundle);
    type Change = fn(&mut Card);
    let changes: [Change; 7] = [
        |card| card.calibration.as_mut().unwrap().regions.clear(),
        |card| card.calibration.as_mut().unwrap().regions[0].temperature = 0.0,
        |card| card.calibration.as_mut().unwrap().regions[0].error = f64::NAN,
        |card| card.provenance.held_out[0].dice_deviation = Some(-1.0),
        |card| card.provenance.held_out[0].hd95_mm = Some(f64::INFINITY),
        |card| card.known_failures = vec!["x".into(); 33],
        |card| card.known_failures = vec!["\u{202e}".into()],
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut bundle = measured_bundle();
        change(&mut bundle.card);
        assert!(matches!(bundle.to_bytes(), Err(Error::Bundle { .. })), "change {n}");
    }
}

/// Multiples of 1/8 are exact in half precision, so the checksum is that of the same values in f32.
#[test]
fn a_half_precision_bundle_has_the_checksum_of_its_values() {
    let mut bundle = small_bundle();
    let bytes = bundle.to_f16_bytes().unwrap();
    assert_eq!(Bundle::from_bytes(&bytes).unwrap(), bundle);
    let data_start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    assert_eq!(bytes.len() - data_start, 2 * 152);
    let mut damaged = bytes.clone();
    damaged[data_start] ^= 1;
    assert!(Bundle::from_bytes(&damaged).unwrap_err().to_string().contains("damaged"));

    let bias = &mut bundle.weights.get_mut("head.bias").unwrap().values[0];
    *bias = 0.1;
    let rounded = Bundle::from_bytes(&bundle.to_f16_bytes().unwrap()).unwrap();
    assert_eq!(rounded, bundle.rounded_to_f16());
    // 0.1 in half precision: 0x2e66.
    assert_eq!(rounded.weights["head.bias"].values[0], 0.099_975_586);
    assert!(rounded.hash() != bundle.hash() && rounded.hash() == rounded.rounded_to_f16().hash());
    bundle.weights.get_mut("head.bias").unwrap().values[0] = 1e5;
    assert!(matches!(bundle.to_f16_bytes(), Err(Error::Network { .. })), "beyond 65504");
    assert!(bundle.to_bytes().is_ok());
}

#[test]
fn a_changed_weight_is_detected() {
    let bytes = small_bundle().to_bytes().unwrap();
    let data_start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    assert_eq!(bytes.len() - data_start, 4 * 152, "the weights are the end of the file");
    for place in data_start..bytes.len() {
        for bit in [0, 7] {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1 << bit;
            let error = Bundle::from_bytes(&damaged).unwrap_err();
            // A number that is not finite is refused before the checksum is compared.
            let is_expected = matches!(error, Error::Bundle { .. } | Error::Network { .. });
            assert!(is_expected, "byte {place}, bit {bit}: {error}");
        }
    }
}

#[test]
fn another_version_is_refused_with_its_number() {
    let bytes = file_by_hand(CARD_VERSION_1, 0);
    for version in [0, BUNDLE_VERSION + 1, u32::MAX] {
        let card = CARD_VERSION_1.replacen("\"version\":1", &format!("\"version\":{version}"), 1);
        let error = Bundle::from_bytes(&file_by_hand(&card, 0)).unwrap_err().to_string();
        assert!(error.contains(&format!("found {version}")), "{error}");
    }
    // The version is refused even if the rest of the card is unreadable.
    let card = format!(r#"{{"version":{}}}"#, BUNDLE_VERSION + 1);
    let error = Bundle::from_bytes(&file_by_hand(&card, 0)).unwrap_err().to_string();
    assert!(error.contains("a newer Rewind"), "{error}");
    assert!(Bundle::from_bytes(&bytes).is_ok());
}

/// The metadata that version 1 writes. The checksum was computed with Python:
///
/// ```text
/// import hashlib, math, struct
/// h, n = hashlib.sha256(), 0
/// for name, shape in sorted(tensors):  # names and shapes as in `tensors` below
///     h.update(f"{name} {shape} ".encode())
///     for _ in range(math.prod(shape)):
///         h.update(struct.pack("<f", n * 0.125 - 2)); n += 1
/// print(h.hexdigest())
/// ```
const CARD_VERSION_1: &str = r#"{"version":1,"card":{"name":"Small \"model\"","warning":"It knows nothing.","task":{"name":"Lesions","channels":["T1"],"labels":[{"name":"lesion","code":7}],"regions":[{"name":"lesion","labels":[7],"writes":7,"color":[230,159,0]}],"head":"softmax"},"network":{"in_channels":1,"out_channels":2,"widths":[2],"expand_ratio":1,"blocks":1,"decoder":"reversible_mbconv","groups":1,"activation":"relu","reversible":true},"preprocess":{"spacing_mm":[1.0,1.0,2.5],"foreground":"otsu","crop":true},"provenance":{"code_version":"0.1.0","data":"Twelve scans","licence":"CC0","data_fingerprint":"00ff","training_cases":9,"steps":100,"held_out":[{"region":"lesion","dice":0.5,"n":3}]}},"sha256":"9682df930324cfd2719d453a7483d391270a39c2e199381e220e0b79a5623ebc"}"#;

/// Returns the names and shapes of the small network's tensors, ordered by name.
fn tensors() -> Vec<(String, &'static [usize])> {
    let mut list: Vec<(String, &'static [usize])> = vec![
        ("encoder.0.pointwise.conv.weight".into(), &[2, 1]),
        ("encoder.0.pointwise.norm.beta".into(), &[2]),
        ("encoder.0.pointwise.norm.gamma".into(), &[2]),
        ("head.bias".into(), &[2]),
        ("head.weight".into(), &[2, 2]),
    ];
    for side in ["decoder", "encoder"] {
        for part in ["f", "g"] {
            for layer in ["expand", "depthwise", "project"] {
                let path = format!("{side}.0.sequence.blocks.0.{part}.{layer}");
                let weight: &[usize] = if layer == "depthwise" { &[1, 3, 3, 3] } else { &[1, 1] };
                list.push((format!("{path}.conv.weight"), weight));
                list.push((format!("{path}.norm.beta"), &[1]));
                list.push((format!("{path}.norm.gamma"), &[1]));
            }
        }
    }
    list.sort();
    list
}

/// Returns a safetensors file made after its specification: the header's length, the header as
/// JSON, the tensors. The first weight is raised by `change` eighths.
fn file_by_hand(card: &str, change: u32) -> Vec<u8> {
    let card = Value::from(card).to_string();
    let mut header = format!(r#"{{"__metadata__":{{"rewind":{card}}}"#);
    let mut at = 0;
    for (name, shape) in tensors() {
        let end = at + 4 * shape.iter().product::<usize>();
        let entry = format!(r#"{{"dtype":"F32","shape":{shape:?},"data_offsets":[{at},{end}]}}"#);
        write!(header, r#","{name}":{entry}"#).unwrap();
        at = end;
    }
    header.push('}');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    for n in 0..at / 4 {
        let steps = n as f32 + if n == 0 { change as f32 } else { 0.0 };
        bytes.extend((steps * 0.125 - 2.0).to_le_bytes());
    }
    bytes
}

#[test]
fn a_file_of_version_1_is_read() {
    assert_eq!(Bundle::from_bytes(&file_by_hand(CARD_VERSION_1, 0)).unwrap(), small_bundle());
    let error = Bundle::from_bytes(&file_by_hand(CARD_VERSION_1, 1)).unwrap_err().to_string();
    assert!(error.contains("damaged"), "{error}");
}

#[test]
fn contradictory_bundles_are_neither_read_nor_written() {
    type Change = fn(&mut Card);
    let changes: [(&str, Change); 10] = [
        ("a channel more than the network's", |card| {
            card.task = card.task.with(|task| task.channels.push("T2".into())).unwrap();
        }),
        ("regions instead of labels", |card| {
            card.task = card.task.with(|task| task.head = Head::Sigmoid).unwrap();
        }),
        ("another network's weights", |card| {
            card.network = card.network.with(|network| network.blocks = 2).unwrap();
        }),
        ("a name of 201 letters", |card| card.name = "x".repeat(201)),
        ("a warning of 2001 letters", |card| card.warning = "x".repeat(2001)),
        ("a license of 2001 letters", |card| card.provenance.license = "é".repeat(2001)),
        ("256 scores", |card| {
            let score = card.provenance.held_out[0].clone();
            card.provenance.held_out = vec![score; 256];
        }),
        ("a Dice of a hundred digits", |card| card.provenance.held_out[0].dice = 1e100),
        ("an empty patch", |card| card.provenance.patch = Some([0, 8, 8])),
        ("an infinite patch", |card| card.provenance.patch = Some([usize::MAX; 3])),
    ];
    let file_with = |card: &Value| {
        let start = CARD_VERSION_1.find("{\"name\"").unwrap();
        let end = CARD_VERSION_1.find(",\"sha256\"").unwrap();
        let changed =
            CARD_VERSION_1[..start].to_string() + &card.to_string() + &CARD_VERSION_1[end..];
        file_by_hand(&changed, 0)
    };
    let plain = serde_json::to_value(small_bundle().card).unwrap();
    assert!(Bundle::from_bytes(&file_with(&plain)).is_ok(), "{plain}");
    for (what, change) in changes {
        let mut card = small_bundle().card;
        change(&mut card);
        let result = Bundle::from_bytes(&file_with(&serde_json::to_value(&card).unwrap()));
        assert!(result.is_err(), "{what}");
        let bundle = Bundle { card, weights: small_bundle().weights };
        assert!(bundle.to_bytes().is_err() && bundle.to_f16_bytes().is_err(), "{what} is written");
    }
    // Values that no `Card` can hold.
    let illegal = [
        ("/task/regions/0/labels", json!([7, 8])),
        ("/task/regions/0/writes", json!(1)),
        ("/task/regions/0/name", json!("\u{1b}c")),
        ("/task/regions", json!([])),
        ("/task/labels/0/code", json!(0)),
        ("/task/labels/0/name", json!("\u{202e}")),
        ("/task/channels/0", json!("x".repeat(201))),
        ("/preprocess/spacing_mm", json!([1.0, 0.0, 1.0])),
        ("/network/blocks", json!(0)),
    ];
    for (path, value) in illegal {
        let mut card = plain.clone();
        *card.pointer_mut(path).unwrap() = value;
        assert!(Bundle::from_bytes(&file_with(&card)).is_err(), "{path}");
    }
}

/// A data set may state the full text of a license. The trained bundle must still be readable.
#[test]
fn a_long_card_is_shortened_to_a_readable_one() {
    let mut bundle = small_bundle();
    assert_eq!(bundle.card.clone().shortened(), bundle.card);
    bundle.card.provenance.license = "Permission is hereby granted. ".repeat(500);
    bundle.card.name = "a\0name".into();
    assert!(bundle.to_bytes().is_err());
    bundle.card = bundle.card.shortened();
    let read = Bundle::from_bytes(&bundle.to_bytes().unwrap()).unwrap();
    assert_eq!(read.card.name, "a name");
    assert_eq!(read.card.provenance.license.chars().count(), 2000);
}

#[test]
fn weights_that_do_not_fit_the_network_are_never_written() {
    let mut bundle = small_bundle();
    bundle.weights.remove("head.bias");
    assert!(matches!(bundle.to_bytes(), Err(Error::Network { .. })));
    let mut bundle = small_bundle();
    bundle.weights.get_mut("head.bias").unwrap().values[0] = f32::NAN;
    assert!(bundle.to_bytes().is_err());
}
