//! Builds the nodes and constants of an ONNX graph.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, ensure};
use half::f16;
use model_core::{Array, Program, View, Weights};

use super::options::{MAX_BYTES, Norms, OnnxOptions};
use super::proto::{AttributeProto, FLOAT, FLOAT16, INT64, NodeProto, TensorProto};
use super::values::{BufferValues, ValueChannels};
use crate::storage::Storage;

/// A parameter with fewer numbers stays in f32: the node that widens it would be larger than the
/// saving.
const MIN_F16_VALUES: usize = 128;

/// The sizes that a network accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SizeRule {
    /// Each axis is a multiple of this.
    pub multiple_of: usize,
    /// The shortest axis.
    pub min: usize,
}

/// The nodes and constants so far, and the values in the program's buffers.
pub(super) struct Graph<'a> {
    pub weights: &'a Weights,
    pub norms: Norms,
    storage: Storage,
    values: BufferValues,
    pub nodes: Vec<NodeProto>,
    pub constants: Vec<TensorProto>,
    /// The names of the constants that several nodes share.
    shared: HashSet<String>,
    /// The names of the slices of values.
    slices: HashMap<ValueChannels, String>,
    bytes: u64,
}

impl<'a> Graph<'a> {
    /// Returns a graph without nodes for a program.
    pub fn new(program: &Program, weights: &'a Weights, options: OnnxOptions) -> Graph<'a> {
        Graph {
            weights,
            norms: options.norms,
            storage: options.storage,
            values: BufferValues::new(program.buffers.len()),
            nodes: Vec::new(),
            constants: Vec::new(),
            shared: HashSet::new(),
            slices: HashMap::new(),
            bytes: 0,
        }
    }

    /// Adds the nodes of a program, from the value `input` to the value `output`.
    ///
    /// The runtime refuses images of another size than `size` states: pooling would cut an odd
    /// axis, and a sum with it would broadcast.
    ///
    /// # Errors
    /// Errors if the constants exceed the size of a file, or if the program ends with labels.
    pub fn add_program(
        &mut self,
        program: &Program,
        [input, output]: [&str; 2],
        size: SizeRule,
    ) -> Result<()> {
        let image = self.add_size_check(input, size);
        self.write(&program.input, &image);
        for op in &program.ops {
            self.add_op(op)?;
        }
        let last = self.read(&program.output);
        let names =
            (self.nodes.iter_mut()).flat_map(|node| node.input.iter_mut().chain(&mut node.output));
        names.filter(|name| **name == last).for_each(|name| *name = output.into());
        Ok(())
    }

    /// Returns the value that a view holds. Adds nodes that slice and concatenate values if needed.
    pub fn read(&mut self, view: &View) -> String {
        let held = self.values.read(view);
        let mut names: Vec<String> = held.into_iter().map(|slice| self.slice(slice)).collect();
        if names.len() == 1 {
            return names.remove(0);
        }
        let joined = self.numbered("Concat", names, [AttributeProto::int("axis", 1)]);
        self.write(view, &joined);
        joined
    }

    /// Returns the name of channels of a value. Adds a node if these are not all channels.
    fn slice(&mut self, slice: ValueChannels) -> String {
        if slice.is_whole() {
            return slice.value;
        }
        if let Some(name) = self.slices.get(&slice) {
            return name.clone();
        }
        let bounds = [slice.channels.start, slice.channels.end, 1].map(|n| self.integers(&[n]));
        let inputs = [slice.value.clone()].into_iter().chain(bounds);
        let name = self.numbered("Slice", inputs, []);
        self.slices.insert(slice, name.clone());
        name
    }

    /// Records that a view holds a value.
    pub fn write(&mut self, view: &View, value: &str) {
        self.values.write(view, value);
    }

    /// Adds a node with one output. Returns the node's name, which is also the output's.
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

    /// Adds a node without a parameter, named by its number. Returns its name.
    pub fn numbered(
        &mut self,
        op_type: &str,
        inputs: impl IntoIterator<Item = String>,
        attributes: impl IntoIterator<Item = AttributeProto>,
    ) -> String {
        let name = format!("{}.{}", op_type.to_lowercase(), self.nodes.len());
        self.node(&name, op_type, inputs, attributes)
    }

    /// Adds a parameter as a constant of a shape with the same number of values. Returns its name.
    ///
    /// # Errors
    /// See [`Graph::constant`].
    pub fn weight(&mut self, name: &str, shape: &[usize]) -> Result<String> {
        let weights = self.weights;
        let Array { values, .. } = &weights[name];
        if self.storage == Storage::F32 || values.len() < MIN_F16_VALUES {
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
        // A runtime widens constants once, when it opens the file.
        let to = AttributeProto::int("to", FLOAT as usize);
        Ok(self.node(name, "Cast", [stored], [to]))
    }

    /// Adds a constant in f32. Returns its name.
    ///
    /// # Errors
    /// Errors, before the constant is made, if all constants exceed the size of a file.
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

    /// Adds a list of integers as a constant, unless it exists. Returns its name.
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

    /// Adds a constant, unless it exists.
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
    fn constants_that_exceed_the_size_of_a_file_are_refused() {
        let weights = Weights::new();
        let program = Program {
            buffers: vec![model_core::Buffer { channels: 1, dims: [2; 3] }],
            ops: Vec::new(),
            input: View { buffer: 0, channels: 0..1 },
            output: View { buffer: 0, channels: 0..1 },
        };
        let mut graph = Graph::new(&program, &weights, OnnxOptions::default());
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
