//! A model as an ONNX file, for onnxruntime and what else reads ONNX: from the program that the
//! viewer runs, node by node.

use anyhow::{Result, ensure};
use burn::tensor::Device;
use model_core::{Bundle, Head, Input, Program, Task};
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::bundle::Storage;
use graph::Graph;
pub use norm::Norms;
use proto::{
    DimensionProto, FLOAT, GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use trainer_run::DISCLAIMER;
use trainer_train::model;

mod graph;
mod norm;
mod ops;
pub mod proto;
mod values;

/// The version of ONNX's operators: the first whose group norm has a scale for every channel.
const OPSET: i64 = 21;
/// The version of the file's form that came with it.
const IR_VERSION: i64 = 10;
/// Protocol buffers measure a message by an i32.
const MAX_BYTES: u64 = i32::MAX as u64;
/// The names of the network's input and of its output.
const ENDS: [&str; 2] = ["image", "logits"];

/// What a file leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// How the weights are stored.
    pub storage: Storage,
    /// How group norms are written.
    pub norms: Norms,
}

/// Full precision, in the file and in every norm.
impl Default for Form {
    fn default() -> Form {
        Form { storage: Storage::F32, norms: Norms::Means }
    }
}

/// The bytes of an `.onnx` file: from `image` `[batch, channel, k, j, i]` to `logits` of the same
/// batch and size, both in f32. Batch and size are the caller's; an axis that is no multiple as the
/// file's property `size` says is refused by the runtime, at the first `Reshape`.
///
/// # Errors
/// When the weights are not those of the card's network, or the file would be larger than 2 GiB.
pub fn bytes(bundle: &Bundle, form: Form) -> Result<Vec<u8>> {
    let model = model(bundle, form)?;
    let (found, most) = (model.encoded_len() as u64, MAX_BYTES);
    ensure!(found <= most, "expected at most {most} bytes in an ONNX file, found {found}");
    Ok(model.encode_to_vec())
}

/// Reads what [`bytes`] writes.
///
/// # Errors
/// When the bytes are no ONNX file.
pub fn read(bytes: &[u8]) -> Result<ModelProto> {
    Ok(ModelProto::decode(bytes)?)
}

/// An input and the logits that this program's own CPU kernels compute for it. The input is random, of the smallest
/// size that the network takes with one axis longer, so that axes cannot be taken for each other.
///
/// # Errors
/// When the weights are not those of the card's network.
pub fn sample(bundle: &Bundle) -> Result<[TensorProto; 2]> {
    let network = &bundle.card.network;
    let least = network.min_size();
    let dims = [least + network.size_multiple(), least, least];
    let num_values = network.in_channels() * dims.iter().product::<usize>();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    // A scan's intensities have a mean of 0 and a deviation of 1, and so have these.
    let end = 3_f32.sqrt();
    let values = (0..num_values).map(|_| random.random_range(-end..end)).collect();
    let input = Input { channels: network.in_channels(), dims, values };
    let device = Device::flex();
    let logits = model::logits(&model::build(network, &bundle.weights, &device)?, &input, &device);
    let [i, j, k] = dims;
    let shapes = [network.in_channels(), network.out_channels()].map(|c| [1, c, k, j, i]);
    let tensor = |end: usize, values: &[f32]| TensorProto::floats(ENDS[end], &shapes[end], values);
    Ok([tensor(0, &input.values), tensor(1, &logits)])
}

fn model(bundle: &Bundle, form: Form) -> Result<ModelProto> {
    let (card, weights) = (&bundle.card, &bundle.weights);
    model_core::check_weights(&card.network, weights)?;
    // Only the nodes' order and their channels come from it; its size stays open.
    let program = Program::new(&card.network, [card.network.min_size(); 3])?;
    let sizes = [card.network.size_multiple(), card.network.min_size()];
    let graph = Graph::new(&program, weights, form, ENDS, sizes)?;
    let end = |n: usize, channels: usize, doc_string: String| ValueInfoProto {
        name: ENDS[n].into(),
        r#type: Some(open_size(channels)),
        doc_string,
    };
    let (inputs, outputs) = (card.task.channels.join(", "), outputs(&card.task).join(", "));
    let graph = GraphProto {
        name: card.name.clone(),
        node: graph.nodes,
        initializer: graph.constants,
        input: vec![end(0, card.network.in_channels(), inputs)],
        output: vec![end(1, card.network.out_channels(), outputs)],
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

/// The type of `[batch, channels, k, j, i]`.
fn open_size(channels: usize) -> TypeProto {
    let open = |name: &str| DimensionProto { dim_value: None, dim_param: Some(name.into()) };
    let fixed = DimensionProto { dim_value: Some(channels as i64), dim_param: None };
    let dim = vec![open("batch"), fixed, open("k"), open("j"), open("i")];
    let shape = Some(TensorShapeProto { dim });
    TypeProto { tensor_type: Some(TensorTypeProto { elem_type: FLOAT, shape }) }
}

/// What each channel of the logits stands for.
fn outputs(task: &Task) -> Vec<&str> {
    let labels = task.labels.iter().map(|label| &*label.name);
    match task.head {
        Head::Sigmoid => task.regions.iter().map(|region| &*region.name).collect(),
        Head::Softmax => ["background"].into_iter().chain(labels).collect(),
    }
}

/// What a file says about itself: text, or JSON where it is more than a name.
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
