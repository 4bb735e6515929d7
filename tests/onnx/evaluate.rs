//! Evaluates the operators of an export in plain loops and f64, after ONNX's description of the
//! operators (<https://onnx.ai/onnx/operators/>).

use std::collections::HashMap;

use trainer_export::onnx::proto::{self, AttributeProto, GraphProto, NodeProto};

/// A tensor of any type in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
    /// Whether the values are integers, whose division truncates.
    pub is_integer: bool,
}

impl Tensor {
    pub fn read(tensor: &proto::TensorProto) -> Tensor {
        let bytes = &tensor.raw_data;
        let values = match tensor.data_type {
            proto::FLOAT => {
                bytes.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()
            }
            proto::INT64 => {
                bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect()
            }
            other => panic!("expected f32 or i64, found type {other} of {}", tensor.name),
        };
        let shape = tensor.dims.iter().map(|&d| d as usize).collect();
        Tensor { shape, values, is_integer: tensor.data_type == proto::INT64 }
    }

    fn integers(&self) -> Vec<usize> {
        self.values.iter().map(|&value| value as usize).collect()
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Tensor {
        Tensor { values: self.values.iter().map(|&v| f(v)).collect(), ..self.clone() }
    }

    /// Copies the elements at the given strides.
    fn strided(&self, shape: Vec<usize>, strides: &[usize], start: usize) -> Tensor {
        let values = offsets(&shape, strides).into_iter().map(|at| self.values[start + at]);
        Tensor { values: values.collect(), shape, is_integer: self.is_integer }
    }

    /// Returns the number of values before an axis, along it and after it.
    fn extents_around(&self, axis: usize) -> [usize; 3] {
        let product = |extents: &[usize]| extents.iter().product();
        [product(&self.shape[..axis]), self.shape[axis], product(&self.shape[axis + 1..])]
    }
}

fn strides(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect()
}

/// Returns the offsets of the elements of a shape, last axis fastest.
fn offsets(shape: &[usize], strides: &[usize]) -> Vec<usize> {
    shape.iter().zip(strides).fold(vec![0], |offsets, (&extent, &stride)| {
        offsets.iter().flat_map(|at| (0..extent).map(move |n| at + n * stride)).collect()
    })
}

/// Returns the graph's output for an input.
pub fn evaluate(graph: &GraphProto, input: Tensor) -> Tensor {
    let constants = graph.initializer.iter().map(|t| (t.name.clone(), Tensor::read(t)));
    let mut values: HashMap<String, Tensor> = constants.collect();
    values.insert(graph.input[0].name.clone(), input);
    for node in &graph.node {
        let inputs: Vec<&Tensor> = node.input.iter().filter_map(|name| values.get(name)).collect();
        let output = run(node, &inputs);
        values.insert(node.output[0].clone(), output);
    }
    values.remove(&graph.output[0].name).expect("a node makes the output")
}

fn run(node: &NodeProto, inputs: &[&Tensor]) -> Tensor {
    let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
    let integer = |name: &str| attribute(name).and_then(|a| a.i).unwrap_or(0) as usize;
    let x = inputs[0];
    match &*node.op_type {
        "Conv" => convolution(inputs, attribute("pads").expect("pads").ints[0], integer("group")),
        "Add" => broadcast(x, inputs[1], |a, b| a + b),
        "Sub" => broadcast(x, inputs[1], |a, b| a - b),
        "Mul" => broadcast(x, inputs[1], |a, b| a * b),
        "Div" if x.is_integer => broadcast(x, inputs[1], |a, b| (a / b).trunc()),
        "Div" => broadcast(x, inputs[1], |a, b| a / b),
        "Max" => broadcast(x, inputs[1], f64::max),
        "Sqrt" => x.map(f64::sqrt),
        "Relu" => x.map(|v| v.max(0.0)),
        "LeakyRelu" => {
            let slope = f64::from(attribute("alpha").and_then(|a| a.f).expect("alpha"));
            x.map(|v| if v < 0.0 { slope * v } else { v })
        }
        "ReduceMean" => mean(x, inputs[1].values[0] as usize),
        "MaxPool" => {
            let is_two = |a: &AttributeProto| a.ints == [2; 3];
            assert!(
                ["kernel_shape", "strides"].iter().all(|name| attribute(name).is_some_and(is_two))
            );
            (2..5).fold(x.clone(), halve)
        }
        "Resize" => {
            let text = |name: &str| attribute(name).and_then(|a| a.s.clone()).unwrap_or_default();
            assert_eq!(text("mode"), b"linear");
            assert_eq!(text("coordinate_transformation_mode"), b"half_pixel");
            assert_eq!(inputs[1].values, [1.0, 1.0, 2.0, 2.0, 2.0]);
            (2..5).fold(x.clone(), double)
        }
        "Slice" => {
            let [start, end, axis] = [1, 2, 3].map(|n| inputs[n].values[0] as usize);
            let mut shape = x.shape.clone();
            shape[axis] = end - start;
            let strides = strides(&x.shape);
            x.strided(shape, &strides, start * strides[axis])
        }
        "Concat" => concat(inputs, integer("axis")),
        "Shape" => {
            let dims = &x.shape[integer("start")..];
            let values = dims.iter().map(|&d| d as f64).collect();
            Tensor { shape: vec![dims.len()], values, is_integer: true }
        }
        "Reshape" => {
            let resolve =
                |(axis, extent): (usize, usize)| if extent == 0 { x.shape[axis] } else { extent };
            let shape: Vec<usize> =
                inputs[1].integers().into_iter().enumerate().map(resolve).collect();
            let (new_len, old_len) = (shape.iter().product::<usize>(), x.values.len());
            assert_eq!(new_len, old_len, "Reshape to {shape:?}");
            Tensor { shape, ..x.clone() }
        }
        "Expand" => {
            let shape = inputs[1].integers();
            broadcast(x, &Tensor { shape, values: vec![], is_integer: false }, |a, _| a)
        }
        "Transpose" => {
            let (order, old) = (&attribute("perm").expect("perm").ints, strides(&x.shape));
            let permute = |all: &[usize]| order.iter().map(|&axis| all[axis as usize]).collect();
            let (shape, strides): (Vec<usize>, Vec<usize>) = (permute(&x.shape), permute(&old));
            x.strided(shape, &strides, 0)
        }
        other => panic!("expected an operator of an export, found {other}"),
    }
}

/// Applies a function to pairs of elements, with ONNX's broadcasting: shapes are aligned at their
/// ends, and an extent of 1 is repeated. If `b` has a shape without values, `a` is expanded to this
/// shape.
fn broadcast(a: &Tensor, b: &Tensor, f: impl Fn(f64, f64) -> f64) -> Tensor {
    let rank = a.shape.len().max(b.shape.len());
    let extent = |t: &Tensor, axis: usize| {
        (axis + t.shape.len()).checked_sub(rank).map_or(1, |axis| t.shape[axis])
    };
    let shape: Vec<usize> = (0..rank).map(|axis| extent(a, axis).max(extent(b, axis))).collect();
    let element_offsets = |t: &Tensor| {
        let own = strides(&t.shape);
        let stride = |axis: usize| match extent(t, axis) {
            1 => 0,
            _ => own[axis + t.shape.len() - rank],
        };
        offsets(&shape, &(0..rank).map(stride).collect::<Vec<_>>())
    };
    let pairs = element_offsets(a).into_iter().zip(element_offsets(b));
    let value = |at: usize| b.values.get(at).copied().unwrap_or(f64::NAN);
    let values = pairs.map(|(at_a, at_b)| f(a.values[at_a], value(at_b))).collect();
    Tensor { shape, values, is_integer: a.is_integer }
}

fn mean(x: &Tensor, axis: usize) -> Tensor {
    let [before, along, after] = x.extents_around(axis);
    let sum = |at: usize| {
        (0..along).map(move |n| x.values[(at / after * along + n) * after + at % after])
    };
    let values = (0..before * after).map(|at| sum(at).sum::<f64>() / along as f64).collect();
    let mut shape = x.shape.clone();
    shape[axis] = 1;
    Tensor { shape, values, is_integer: false }
}

/// Resizes an axis. Each new value is the maximum or the weighted sum of two old values, whose
/// positions and weights `sources` returns.
fn resize_axis(
    x: &Tensor,
    axis: usize,
    extent: usize,
    sources: impl Fn(usize) -> [(usize, f64); 2],
    is_max: bool,
) -> Tensor {
    let [before, length, after] = x.extents_around(axis);
    let mut shape = x.shape.clone();
    shape[axis] = extent;
    let mut values = Vec::with_capacity(before * extent * after);
    for block in 0..before {
        for n in 0..extent {
            let [(low, a), (high, b)] = sources(n);
            let start = |position: usize| (block * length + position) * after;
            for (x, y) in
                x.values[start(low)..][..after].iter().zip(&x.values[start(high)..][..after])
            {
                values.push(if is_max { x.max(*y) } else { a * x + b * y });
            }
        }
    }
    Tensor { shape, values, is_integer: false }
}

fn halve(x: Tensor, axis: usize) -> Tensor {
    resize_axis(&x, axis, x.shape[axis] / 2, |n| [(2 * n, 1.0), (2 * n + 1, 1.0)], true)
}

/// Doubles an axis by linear interpolation at half pixels: position n is at (n + 1/2) / 2 − 1/2 of
/// the input, clamped to its ends.
fn double(x: Tensor, axis: usize) -> Tensor {
    let last = x.shape[axis] - 1;
    let between = |n: usize| {
        let position = ((n as f64 + 0.5) / 2.0 - 0.5).clamp(0.0, last as f64);
        let (low, fraction) = (position as usize, position.fract());
        [(low, 1.0 - fraction), ((low + 1).min(last), fraction)]
    };
    resize_axis(&x, axis, 2 * x.shape[axis], between, false)
}

fn concat(inputs: &[&Tensor], axis: usize) -> Tensor {
    let mut shape = inputs[0].shape.clone();
    shape[axis] = inputs.iter().map(|t| t.shape[axis]).sum();
    let before: usize = shape[..axis].iter().product();
    let run = |t: &Tensor, n: usize| {
        let length = t.values.len() / before;
        t.values[n * length..][..length].to_vec()
    };
    let values = (0..before).flat_map(|n| inputs.iter().flat_map(move |t| run(t, n))).collect();
    Tensor { shape, values, is_integer: inputs[0].is_integer }
}

/// Convolves one image with weights `[out_channels, in_channels / groups, e, e, e]` and zero
/// padding.
fn convolution(inputs: &[&Tensor], pad: i64, groups: usize) -> Tensor {
    let (x, weight) = (inputs[0], inputs[1]);
    let [out_channels, group_size, extent] = [weight.shape[0], weight.shape[1], weight.shape[2]];
    let dims = [x.shape[2], x.shape[3], x.shape[4]];
    let voxels: usize = dims.iter().product();
    assert_eq!((x.shape[0], x.shape[1]), (1, group_size * groups));
    let mut values = vec![0.0; out_channels * voxels];
    for (o, out) in values.chunks_exact_mut(voxels).enumerate() {
        out.fill(inputs.get(2).map_or(0.0, |bias| bias.values[o]));
        for member in 0..group_size {
            let input =
                &x.values[(o / (out_channels / groups) * group_size + member) * voxels..][..voxels];
            let kernel = &weight.values[(o * group_size + member) * extent.pow(3)..];
            for (tap, packed) in
                offsets(&[extent; 3], &[1 << 16, 1 << 8, 1]).into_iter().enumerate()
            {
                let shift =
                    [packed >> 16, (packed >> 8) & 255, packed & 255].map(|at| at as i64 - pad);
                add_shifted(out, input, dims, shift, kernel[tap]);
            }
        }
    }
    Tensor { shape: vec![1, out_channels, dims[0], dims[1], dims[2]], values, is_integer: false }
}

/// Adds `weight · input[p + shift]` to `out[p]` for each p with p + shift inside the input.
fn add_shifted(out: &mut [f64], input: &[f64], dims: [usize; 3], shift: [i64; 3], weight: f64) {
    let inside = |axis: usize| {
        let low = (-shift[axis]).max(0) as usize;
        low..(dims[axis] as i64 - shift[axis].max(0)) as usize
    };
    let moved = |at: usize, axis: usize| (at as i64 + shift[axis]) as usize;
    for k in inside(0) {
        for j in inside(1) {
            let row = (k * dims[1] + j) * dims[2];
            let other = (moved(k, 0) * dims[1] + moved(j, 1)) * dims[2];
            for i in inside(2) {
                out[row + i] += weight * input[other + moved(i, 2)];
            }
        }
    }
}
