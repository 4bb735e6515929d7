//! Writes a model as an ONNX file: the operations of the program that the page runs, as nodes.

use anyhow::{Result, ensure};
use burn::tensor::Device;
use model_core::{Bundle, Head, Input, Program, Task};
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

pub use options::{Norms, OnnxOptions};

use graph::{Graph, SizeRule};
use options::MAX_BYTES;
use proto::{
    DimensionProto, FLOAT, GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use trainer_run::DISCLAIMER;
use trainer_train::model;

mod graph;
mod norm;
mod ops;
mod options;
pub mod proto;
mod values;

/// The version of the operator set: the first whose group norm has a scale for each channel.
const OPSET: i64 = 21;
/// The version of the file format that came with the operator set.
const IR_VERSION: i64 = 10;
/// The names of the network's input and output.
const TENSOR_NAMES: [&str; 2] = ["image", "logits"];

/// Returns the bytes of an `.onnx` file. Batch and size are open. The runtime refuses a size that
/// does not fit the file's property `size`, at the first `Reshape`.
///
/// # Shapes
/// - `image`: `[batch, channel, k, j, i]` in f32
/// - `logits`: `[batch, output, k, j, i]` in f32
///
/// # Errors
/// Errors if the weights are not those of the card's network, or if the file would exceed 2 GiB.
pub fn bytes(bundle: &Bundle, options: OnnxOptions) -> Result<Vec<u8>> {
    let model = model(bundle, options)?;
    let (found, most) = (model.encoded_len() as u64, MAX_BYTES);
    ensure!(found <= most, "expected at most {most} bytes in an ONNX file, found {found}");
    Ok(model.encode_to_vec())
}

/// Reads an ONNX file.
///
/// # Errors
/// Errors if the bytes are not an ONNX file.
pub fn read(bytes: &[u8]) -> Result<ModelProto> {
    Ok(ModelProto::decode(bytes)?)
}

/// Returns a random input and the logits that burn's CPU kernels compute for it. The input has the
/// smallest size that the network accepts, with one longer axis, so that swapped axes are noticed.
///
/// # Errors
/// Errors if the weights are not those of the card's network.
pub fn sample(bundle: &Bundle) -> Result<[TensorProto; 2]> {
    let network = &bundle.card.network;
    let least = network.min_size();
    let dims = [least + network.size_multiple(), least, least];
    let num_values = network.in_channels() * dims.iter().product::<usize>();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    // Uniform with mean 0 and standard deviation 1, as normalized intensities.
    let limit = 3_f32.sqrt();
    let values = (0..num_values).map(|_| random.random_range(-limit..limit)).collect();
    let input = Input { channels: network.in_channels(), dims, values };
    let device = Device::flex();
    let logits = model::logits(&model::build(network, &bundle.weights, &device)?, &input, &device);
    let [i, j, k] = dims;
    let shapes = [network.in_channels(), network.out_channels()].map(|c| [1, c, k, j, i]);
    let tensor =
        |n: usize, values: &[f32]| TensorProto::floats(TENSOR_NAMES[n], &shapes[n], values);
    Ok([tensor(0, &input.values), tensor(1, &logits)])
}

fn model(bundle: &Bundle, options: OnnxOptions) -> Result<ModelProto> {
    let (card, weights) = (&bundle.card, &bundle.weights);
    model_core::check_weights(&card.network, weights)?;
    // The program gives the order of the nodes and their channels. The size stays open.
    let program = Program::new(&card.network, [card.network.min_size(); 3])?;
    let mut graph = Graph::new(&program, weights, options);
    let size = SizeRule { multiple_of: card.network.size_multiple(), min: card.network.min_size() };
    graph.add_program(&program, TENSOR_NAMES, size)?;
    let info = |n: usize, channels: usize, doc_string: String| ValueInfoProto {
        name: TENSOR_NAMES[n].into(),
        r#type: Some(open_size(channels)),
        doc_string,
    };
    let (inputs, outputs) = (card.task.channels.join(", "), outputs(&card.task).join(", "));
    let graph = GraphProto {
        name: card.name.clone(),
        node: graph.nodes,
        initializer: graph.constants,
        input: vec![info(0, card.network.in_channels(), inputs)],
        output: vec![info(1, card.network.out_channels(), outputs)],
    };
    let doc_string = [&card.name, &card.warning, DISCLAIMER].map(String::from);
    let doc_string = doc_string.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>();
    Ok(ModelProto {
        ir_version: IR_VERSION,
        producer_name: "rewind".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: doc_string.join("\n"),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: properties(bundle),
    })
}

/// Returns the type of a tensor `[batch, channels, k, j, i]` with open batch and size.
fn open_size(channels: usize) -> TypeProto {
    let open = |name: &str| DimensionProto { dim_value: None, dim_param: Some(name.into()) };
    let fixed = DimensionProto { dim_value: Some(channels as i64), dim_param: None };
    let dim = vec![open("batch"), fixed, open("k"), open("j"), open("i")];
    let shape = Some(TensorShapeProto { dim });
    TypeProto { tensor_type: Some(TensorTypeProto { elem_type: FLOAT, shape }) }
}

/// Returns the name of each channel of the logits.
fn outputs(task: &Task) -> Vec<&str> {
    let labels = task.labels.iter().map(|label| &*label.name);
    match task.head {
        Head::Sigmoid => task.regions.iter().map(|region| &*region.name).collect(),
        Head::Softmax => ["background"].into_iter().chain(labels).collect(),
    }
}

/// Returns the properties of a file: texts, or JSON.
fn properties(bundle: &Bundle) -> Vec<StringStringEntryProto> {
    let card = &bundle.card;
    let (task, network) = (&card.task, &card.network);
    let size = json!({ "multiple_of": network.size_multiple(), "at_least": network.min_size() });
    let decision = match task.head {
        Head::Sigmoid => {
            "a region is present where its logit is positive; of those present the \
             last writes its code"
        }
        Head::Softmax => "the label of the largest logit",
    };
    let axes = "[batch, channel, k, j, i]; i runs to the right, j to the front, k to the top";
    let list = [
        ("disclaimer", Value::from(DISCLAIMER)),
        ("name", card.name.clone().into()),
        ("warning", card.warning.clone().into()),
        ("task", task.name.clone().into()),
        ("axes", axes.into()),
        ("channels", json!(task.channels)),
        ("outputs", json!(outputs(task))),
        ("decision", decision.into()),
        ("labels", json!(task.labels)),
        ("regions", json!(task.regions)),
        ("size", size),
        ("preprocess", json!(card.preprocess)),
        ("network", json!(network)),
        ("provenance", json!(card.provenance)),
        ("sha256", bundle.hash().into()),
    ];
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), String::from);
    let entry = |(key, value): (&str, Value)| StringStringEntryProto {
        key: key.into(),
        value: text(value),
    };
    list.into_iter().map(entry).collect()
}
