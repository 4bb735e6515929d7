//! The nodes and constants of an ONNX graph, while they are made.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, ensure};
use half::f16;
use model_core::{Array, Program, View, Weights};

use super::norm::Norms;
use super::proto::{AttributeProto, FLOAT, FLOAT16, INT64, NodeProto, TensorProto};
use super::values::{Part, Values};
use super::{Form, MAX_BYTES};
use crate::bundle::Storage;

/// Fewer numbers stay in f32: the node that widens them takes as much as their halves save.
const LEAST_HALVES: usize = 128;

/// What has been made so far, and what the program's buffers hold.
pub(super) struct Graph<'a> {
    pub weights: &'a Weights,
    pub norms: Norms,
    storage: Storage,
    values: Values,
    pub nodes: Vec<NodeProto>,
    pub constants: Vec<TensorProto>,
    /// Names of the constants that several nodes share.
    shared: HashSet<String>,
    /// The names of values that were cut out of others.
    cut: HashMap<Part, String>,
    bytes: u64,
}

impl<'a> Graph<'a> {
    /// The graph of a program from the value `input` to the value `output`. It refuses images with an
    /// axis that is no multiple of `multiple_of` or shorter than `at_least`: pooling would cut such
    /// an axis, and a sum with it would broadcast.
    ///
    /// # Errors
    /// When the constants take more than a file can hold, or the program ends with labels.
    pub fn new(
        program: &Program,
        weights: &'a Weights,
        Form { storage, norms }: Form,
        [input, output]: [&str; 2],
        [multiple_of, at_least]: [usize; 2],
    ) -> Result<Graph<'a>> {
        let mut graph = Graph {
            weights,
            norms,
            storage,
            values: Values::new(program.buffers.len()),
            nodes: Vec::new(),
            constants: Vec::new(),
            shared: HashSet::new(),
            cut: HashMap::new(),
            bytes: 0,
        };
        let image = graph.with_checked_size(input, multiple_of, at_least);
        graph.write(&program.input, &image);
        for op in &program.ops {
            graph.op(op)?;
        }
        let last = graph.read(&program.output);
        let names =
            (graph.nodes.iter_mut()).flat_map(|node| node.input.iter_mut().chain(&mut node.output));
        names.filter(|name| **name == last).for_each(|name| *name = output.into());
        Ok(graph)
    }

    /// The value that a view holds: joined from several, or cut out of one, where it must be.
    pub fn read(&mut self, view: &View) -> String {
        let parts = self.values.read(view);
        let mut names: Vec<String> = parts.into_iter().map(|part| self.part(part)).collect();
        if names.len() == 1 {
            return names.remove(0);
        }
        let joined = self.numbered("Concat", names, [AttributeProto::int("axis", 1)]);
        self.write(view, &joined);
        joined
    }

    fn part(&mut self, part: Part) -> String {
        if part.is_whole() {
            return part.value;
        }
        if let Some(name) = self.cut.get(&part) {
            return name.clone();
        }
        let bounds = [part.channels.start, part.channels.end, 1].map(|at| self.integers(&[at]));
        let inputs = [part.value.clone()].into_iter().chain(bounds);
        let name = self.numbered("Slice", inputs, []);
        self.cut.insert(part, name.clone());
        name
    }

    /// The view holds this value from now on.
    pub fn write(&mut self, view: &View, value: &str) {
        self.values.write(view, value);
    }

    /// Adds a node whose one output has its name; gives that name.
    pub fn node(
        &mut self,
        name: &str,
        op_type: &str,
        inputs: impl IntoIterator<Item = String>,
        attributes: impl IntoIterator<Item = AttributeProto>,
    ) -> String {
        self.nodes.push(NodeProto {
            input: inputs.into_iter().collect(),
            output: vec![name.into()],
            name: name.into(),
            op_type: op_type.into(),
            attribute: attributes.into_iter().collect(),
        });
        name.into()
    }

    /// The same for a node that no parameter names: its place does.
    pub fn numbered(
        &mut self,
        op_type: &str,
        inputs: impl IntoIterator<Item = String>,
        attributes: impl IntoIterator<Item = AttributeProto>,
    ) -> String {
        let name = format!("{}.{}", op_type.to_lowercase(), self.nodes.len());
        self.node(&name, op_type, inputs, attributes)
    }

    /// A parameter as a constant of a shape with as many numbers as its own; its name.
    ///
    /// # Errors
    /// As [`Graph::constant`].
    pub fn weight(&mut self, name: &str, shape: &[usize]) -> Result<String> {
        let weights = self.weights;
        let Array { values, .. } = &weights[name];
        if self.storage == Storage::F32 || values.len() < LEAST_HALVES {
            return self.constant(name, shape, values);
        }
        self.count(2 * values.len() as u64)?;
        let stored = format!("{name}.f16");
        let raw_data = values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
        let dims = shape.iter().map(|&extent| extent as i64).collect();
        let tensor = TensorProto {
            dims,
            data_type: FLOAT16,
            name: stored.clone(),
            raw_data,
            ..TensorProto::default()
        };
        self.constants.push(tensor);
        // Widened where it is used, which a runtime does once, when it opens the file.
        let to = AttributeProto::int("to", FLOAT as usize);
        Ok(self.node(name, "Cast", [stored], [to]))
    }

    /// A constant in f32; its name.
    ///
    /// # Errors
    /// When all constants together take more than a file can hold; before this one is made.
    pub fn constant(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Result<String> {
        self.count(4 * values.len() as u64)?;
        self.constants.push(TensorProto::floats(name, shape, values));
        Ok(name.into())
    }

    fn count(&mut self, bytes: u64) -> Result<()> {
        self.bytes += bytes;
        let (found, most) = (self.bytes, MAX_BYTES);
        ensure!(found <= most, "expected at most {most} bytes in an ONNX file, found {found}");
        Ok(())
    }

    /// A list of whole numbers as a constant, made once; its name.
    pub fn integers(&mut self, values: &[usize]) -> String {
        let texts: Vec<String> = values.iter().map(usize::to_string).collect();
        let name = format!("integers.{}", texts.join("_"));
        let tensor = || TensorProto {
            dims: vec![values.len() as i64],
            data_type: INT64,
            name: name.clone(),
            raw_data: values.iter().flat_map(|&value| (value as i64).to_le_bytes()).collect(),
            ..TensorProto::default()
        };
        self.share(&name, tensor);
        name
    }

    /// A constant that is made once.
    pub fn share(&mut self, name: &str, tensor: impl FnOnce() -> TensorProto) {
        if self.shared.insert(name.into()) {
            self.constants.push(tensor());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_beyond_what_a_file_holds_are_refused_before_they_are_made() {
        let weights = Weights::new();
        let program = Program {
            buffers: vec![model_core::Buffer { channels: 1, dims: [2; 3] }],
            ops: Vec::new(),
            input: View { buffer: 0, channels: 0..1 },
            output: View { buffer: 0, channels: 0..1 },
        };
        let mut graph =
            Graph::new(&program, &weights, Form::default(), ["x", "y"], [1, 1]).unwrap();
        graph.count(MAX_BYTES - 11).unwrap();
        assert!(graph.constant("small", &[2], &[1.0; 2]).is_ok());
        let error = graph.constant("large", &[1], &[1.0]).unwrap_err().to_string();
        assert!(
            error.contains("at most 2147483647 bytes in an ONNX file, found 2147483648"),
            "{error}"
        );
        assert_eq!(graph.constants.len(), 1);
    }
}
