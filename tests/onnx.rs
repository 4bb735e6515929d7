//! An ONNX export contains every operation, weight and description of a model.
//!
//! With `REWIND_ONNX=DIR` a test writes exports to `DIR`, and `tests/onnx/compare.py` compares them
//! with onnxruntime.

mod evaluate;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::env;
use std::fs;
use std::path::PathBuf;

use integration_tests::narrow_network;
use model_core::network::config::PRESETS;
use model_core::network::layers::parameters;
use model_core::{Array, Bundle, Op, Program, Task, UNetConfig, Weights, orthogonal};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trainer_export::bundle::{Storage, write_onnx, write_onnx_sample};
use trainer_export::onnx::{self, Norms, OnnxOptions, proto};
use trainer_run::DISCLAIMER;

use crate::bundle::small_bundle;

/// Returns weights of the size of trained weights. No parameter has a value that hides an error.
fn random_weights(config: &UNetConfig) -> Weights {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let array = |parameter: model_core::network::layers::Parameter| {
        let count: usize = parameter.shape.iter().product();
        let range = match parameter.name.rsplit('.').next() {
            Some("gamma") => 0.5..1.5,
            Some("beta" | "bias") => -0.5..0.5,
            _ => {
                let end = (3.0 * parameter.shape[0] as f32 / count as f32).sqrt();
                -end..end
            }
        };
        let values = (0..count).map(|_| random.random_range(range.clone())).collect();
        (parameter.name, Array { shape: parameter.shape, values })
    };
    parameters(config).into_iter().map(array).collect()
}

fn bundle(preset: &str) -> Bundle {
    let network = narrow_network(preset).with(|network| network.blocks = 2).unwrap();
    let mut bundle = small_bundle();
    bundle.weights = random_weights(&network);
    bundle.card.network = network;
    bundle.card.task = Task::builtin("brats2023").unwrap();
    bundle
}

const FULL: OnnxOptions = OnnxOptions { storage: Storage::F32, norms: Norms::Means };
const HALF: OnnxOptions = OnnxOptions { storage: Storage::F16, norms: Norms::Means };
const FORMS: [OnnxOptions; 3] =
    [FULL, HALF, OnnxOptions { storage: Storage::F32, norms: Norms::Operator }];

fn export(bundle: &Bundle, form: OnnxOptions) -> proto::ModelProto {
    onnx::read(&onnx::bytes(bundle, form).unwrap()).unwrap()
}

fn numbers(tensor: &proto::TensorProto) -> Vec<f32> {
    assert_eq!(tensor.data_type, proto::FLOAT, "{}", tensor.name);
    tensor.raw_data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Evaluates the file in plain loops.
#[test]
fn an_export_computes_the_logits_of_the_network() {
    // These presets contain every operator. The others need larger images and are compared with
    // onnxruntime.
    for preset in ["demo", "unet3d", "partially-invres", "fully-invres"] {
        let bundle = bundle(preset);
        let [image, expected] = onnx::sample(&bundle).unwrap();
        let graph = export(&bundle, FULL).graph.unwrap();
        let actual = evaluate::evaluate(&graph, evaluate::Tensor::read(&image));
        let expected = evaluate::Tensor::read(&expected);
        assert_eq!(actual.shape, expected.shape, "{preset}");
        let differences = actual.values.iter().zip(&expected.values).map(|(a, b)| (a - b).abs());
        let difference = differences.fold(0.0, f64::max);
        assert!(difference < 1e-4, "{preset}: {difference}");
    }
}

/// The network halves each axis three times, and the image has only one slice.
#[test]
#[should_panic(expected = "Reshape")]
fn an_image_with_a_size_that_the_network_does_not_take_is_refused() {
    let bundle = bundle("demo");
    let [image, _] = onnx::sample(&bundle).unwrap();
    let mut image = evaluate::Tensor::read(&image);
    let [i, j] = [image.shape[4], image.shape[3]];
    image.shape[2] = 1;
    image.values.truncate(image.shape[1] * j * i);
    evaluate::evaluate(&export(&bundle, FULL).graph.unwrap(), image);
}

/// The exports are for a comparison with onnxruntime, which continuous integration does not have.
#[test]
fn exports_are_written_to_the_folder_in_the_environment() {
    let Some(folder) = env::var_os("REWIND_ONNX").map(PathBuf::from) else { return };
    for preset in PRESETS {
        for (form, ending) in [(FULL, ""), (HALF, "-f16")] {
            let bundle = match form.storage {
                Storage::F32 => bundle(preset),
                Storage::F16 => bundle(preset).rounded_to_f16(),
            };
            let folder = folder.join(format!("{preset}{ending}"));
            fs::create_dir_all(&folder).unwrap();
            write_onnx(&bundle, &folder.join("model.onnx"), form).unwrap();
            write_onnx_sample(&bundle, &folder.join("test_data_set_0")).unwrap();
        }
    }
}

/// Returns the operators that the file of a program must have, in order.
fn expected_operators(program: &Program) -> Vec<&'static str> {
    let operators = |op: &Op| match op {
        Op::Pointwise { .. } | Op::Conv3 { .. } | Op::Depthwise3 { .. } | Op::Reflect { .. } => {
            vec!["Conv"]
        }
        Op::GroupNorm { activation, .. } => match activation.negative_slope() {
            0.0 => vec!["GroupNormalization", "Relu"],
            1.0 => vec!["GroupNormalization"],
            _ => vec!["GroupNormalization", "LeakyRelu"],
        },
        Op::AddInPlace { .. } => vec!["Add"],
        Op::MaxPool { .. } => vec!["MaxPool"],
        Op::Upsample { .. } => vec!["Resize"],
        Op::AddUpsampled { .. } => vec!["Resize", "Add"],
        Op::SpaceToDepth { .. } | Op::DepthToSpace { .. } => vec!["Transpose"],
        Op::Decide { .. } => vec![],
    };
    program.ops.iter().flat_map(operators).collect()
}

/// Operators that move values or compute shapes.
const SHAPE_OPERATORS: [&str; 8] =
    ["Slice", "Concat", "Reshape", "Shape", "Div", "Mul", "Max", "Cast"];

/// Returns the other operators of a file in order. A norm of many nodes is one operator.
fn actual_operators(graph: &proto::GraphProto) -> Vec<&str> {
    let mut operators = Vec::new();
    for node in &graph.node {
        match node.name.split_once(".norm") {
            Some((_, ".activation")) | None if SHAPE_OPERATORS.contains(&&*node.op_type) => {}
            Some((_, ".activation")) | None => operators.push(&*node.op_type),
            // The last node of a norm has the name of the norm.
            Some((_, "")) => operators.push("GroupNormalization"),
            Some(_) => {}
        }
    }
    operators
}

#[test]
fn every_operation_of_every_preset_is_a_node() {
    for preset in PRESETS {
        for form in FORMS {
            let bundle = bundle(preset);
            let network = &bundle.card.network;
            let graph = export(&bundle, form).graph.unwrap();
            let program = Program::new(network, [network.min_size(); 3]).unwrap();
            assert_eq!(actual_operators(&graph), expected_operators(&program), "{preset}");
        }
    }
}

/// Only the result is not used by another node.
#[test]
fn every_value_is_defined_once_before_it_is_used() {
    for preset in PRESETS {
        for form in FORMS {
            let graph = export(&bundle(preset), form).graph.unwrap();
            let constants = graph.initializer.iter().map(|tensor| &tensor.name);
            let mut defined: HashSet<&String> = constants.chain([&graph.input[0].name]).collect();
            assert_eq!(defined.len(), graph.initializer.len() + 1, "{preset}: a constant twice");
            let mut unused = defined.clone();
            for node in &graph.node {
                for input in node.input.iter().filter(|input| !input.is_empty()) {
                    assert!(defined.contains(input), "{preset}: {} uses {input}", node.name);
                    unused.remove(input);
                }
                for output in &node.output {
                    assert!(defined.insert(output), "{preset}: {output} is defined twice");
                    unused.insert(output);
                }
            }
            assert_eq!(unused, HashSet::from([&graph.output[0].name]), "{preset}");
        }
    }
}

/// The weights are equal to the bit. A list of reflections is stored as their matrix.
#[test]
fn the_constants_of_an_export_are_the_weights() {
    for preset in PRESETS {
        let bundle = bundle(preset);
        let graph = export(&bundle, FULL).graph.unwrap();
        let constants: HashMap<_, _> = graph.initializer.iter().map(|t| (&*t.name, t)).collect();
        for (name, array) in &bundle.weights {
            let (name, expected) = match name.strip_suffix(".vectors") {
                Some(path) => (format!("{path}.weight"), orthogonal(array)),
                None => (name.clone(), array.values.clone()),
            };
            let constant = constants[&*name];
            assert_eq!(numbers(constant), expected, "{preset}: {name}");
            let extents: i64 = constant.dims.iter().product();
            assert_eq!(extents as usize, expected.len(), "{preset}: {name}");
        }
    }
}

#[test]
fn half_precision_halves_the_file_and_computes_in_f32() {
    let bundle = bundle("unet3d").rounded_to_f16();
    let [full, half] = [FULL, HALF].map(|form| onnx::bytes(&bundle, form).unwrap());
    assert!(half.len() < full.len() * 3 / 5, "{} of {}", half.len(), full.len());
    let graph = onnx::read(&half).unwrap().graph.unwrap();
    let casts: Vec<_> = graph.node.iter().filter(|node| node.op_type == "Cast").collect();
    let large = bundle.weights.values().filter(|array| array.values.len() >= 128);
    assert_eq!(casts.len(), large.count());
    let name = "encoder.0.body.conv.weight";
    let stored = graph.initializer.iter().find(|tensor| tensor.name == format!("{name}.f16"));
    let halves = stored.unwrap().raw_data.as_chunks().0.iter();
    let halves: Vec<f32> = halves.map(|bytes| f32_from_f16(u16::from_le_bytes(*bytes))).collect();
    assert_eq!(halves, bundle.weights[name].values);
}

/// Converts a number in half precision, as IEEE 754 defines it.
fn f32_from_f16(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023) / 1024.0);
    let size = match exponent {
        0 => fraction * 2_f32.powi(-14),
        _ => (1.0 + fraction) * 2_f32.powi(exponent - 15),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// Batch and size are variable, the number of channels is fixed.
#[test]
fn a_file_describes_its_inputs_its_outputs_and_its_limits() {
    let bundle = bundle("mbconv-slim");
    let model = export(&bundle, FULL);
    let versions: Vec<i64> = model.opset_import.iter().map(|opset| opset.version).collect();
    assert_eq!((model.ir_version, versions), (10, vec![21]));
    let graph = model.graph.unwrap();
    let shape = |value: &proto::ValueInfoProto| {
        let tensor = value.r#type.clone().unwrap().tensor_type.unwrap();
        let dims = tensor.shape.unwrap().dim.into_iter();
        let axes =
            dims.map(|dim| dim.dim_param.unwrap_or_else(|| dim.dim_value.unwrap().to_string()));
        (value.name.clone(), tensor.elem_type, axes.collect::<Vec<_>>().join(","))
    };
    assert_eq!(shape(&graph.input[0]), ("image".into(), proto::FLOAT, "batch,4,k,j,i".into()));
    assert_eq!(shape(&graph.output[0]), ("logits".into(), proto::FLOAT, "batch,3,k,j,i".into()));

    let properties: BTreeMap<String, String> =
        model.metadata_props.into_iter().map(|entry| (entry.key, entry.value)).collect();
    assert_eq!(properties["disclaimer"], DISCLAIMER);
    assert!(model.doc_string.contains(DISCLAIMER) && model.doc_string.contains("knows nothing"));
    assert_eq!(properties["task"], "BraTS 2023");
    assert_eq!(properties["size"], r#"{"at_least":32,"multiple_of":16}"#);
    let preprocess = serde_json::from_str(&properties["preprocess"]).unwrap();
    assert_eq!(bundle.card.preprocess, preprocess);
    let outputs: Vec<String> = serde_json::from_str(&properties["outputs"]).unwrap();
    let regions = bundle.card.task.regions.iter().map(|region| region.name.clone());
    assert_eq!(outputs, regions.collect::<Vec<_>>());
    assert_eq!(properties["sha256"], bundle.hash());
}

#[test]
fn weights_of_another_network_are_never_exported() {
    let mut bundle = bundle("demo");
    bundle.weights.remove("head.bias");
    let error = onnx::bytes(&bundle, FULL).unwrap_err().to_string();
    assert!(error.contains("head.bias"), "{error}");
}
