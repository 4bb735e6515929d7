//! Writes each operation of a program as ONNX nodes.

use anyhow::{Result, bail};
use model_core::{Array, Op, View, orthogonal};

use super::graph::{Graph, SizeRule};
use super::proto::{AttributeProto, TensorProto};

impl Graph<'_> {
    /// Adds the nodes of an operation.
    ///
    /// # Errors
    /// Errors if the constants exceed the size of a file, or if the operation decides on labels.
    pub fn add_op(&mut self, op: &Op) -> Result<()> {
        match op {
            Op::Pointwise { from, to, weight, bias } => {
                let [inputs, outputs] = num_channels([from, to]);
                let weight = self.weight(weight, &[outputs, inputs, 1, 1, 1])?;
                let bias = bias.as_ref().map(|bias| self.weight(bias, &[outputs])).transpose()?;
                self.convolve([from, to], weight, bias, [1, 1]);
            }
            Op::Conv3 { from, to, weight } => {
                let [inputs, outputs] = num_channels([from, to]);
                let weight = self.weight(weight, &[outputs, inputs, 3, 3, 3])?;
                self.convolve([from, to], weight, None, [3, 1]);
            }
            Op::Depthwise3 { from, to, weight } => {
                let channels = to.channels.len();
                let weight = self.weight(weight, &[channels, 1, 3, 3, 3])?;
                self.convolve([from, to], weight, None, [3, channels]);
            }
            Op::Reflect { from, to, vectors, transposed } => {
                let channels = to.channels.len();
                let matrix = matrix(&self.weights[vectors], *transposed);
                let name = vectors.replace(".vectors", ".weight");
                // Always in f32, so that the matrix stays orthogonal.
                let weight = self.constant(&name, &[channels, channels, 1, 1, 1], &matrix)?;
                self.convolve([from, to], weight, None, [1, 1]);
            }
            Op::GroupNorm { from, to, groups, gamma, beta, activation } => {
                self.add_norm([from, to], *groups, [gamma, beta], *activation)?;
            }
            Op::AddInPlace { from, to } => {
                let inputs = [self.read(to), self.read(from)];
                let sum = self.numbered("Add", inputs, []);
                self.write(to, &sum);
            }
            Op::MaxPool { from, to } => {
                let twos = |name| AttributeProto::ints(name, &[2; 3]);
                let x = self.read(from);
                let pooled = self.numbered("MaxPool", [x], ["kernel_shape", "strides"].map(twos));
                self.write(to, &pooled);
            }
            Op::Upsample { from, to } => {
                let larger = self.upsampled(from);
                self.write(to, &larger);
            }
            Op::AddUpsampled { from, to } => {
                let inputs = [self.read(to), self.upsampled(from)];
                let sum = self.numbered("Add", inputs, []);
                self.write(to, &sum);
            }
            Op::SpaceToDepth { from, to } => self.add_space_to_depth(from, to),
            Op::DepthToSpace { from, to } => self.add_depth_to_space(from, to),
            Op::Decide { .. } => bail!("expected a program that ends with logits, found labels"),
        }
        Ok(())
    }

    /// Adds a convolution with kernels of `extent`³ voxels that keeps the size. It is named as its
    /// weight.
    fn convolve(
        &mut self,
        [from, to]: [&View; 2],
        weight: String,
        bias: Option<String>,
        [extent, groups]: [usize; 2],
    ) {
        let name = weight.trim_end_matches(".weight").to_string();
        let attributes = [
            AttributeProto::ints("kernel_shape", &[extent; 3]),
            AttributeProto::ints("pads", &[extent / 2; 6]),
            AttributeProto::int("group", groups),
        ];
        let inputs = [self.read(from), weight].into_iter().chain(bias);
        let result = self.node(&name, "Conv", inputs, attributes);
        self.write(to, &result);
    }

    /// Adds an upsampling by 2. Returns its name.
    fn upsampled(&mut self, from: &View) -> String {
        let scales = [1.0, 1.0, 2.0, 2.0, 2.0];
        self.share("scales", || TensorProto::floats("scales", &[5], &scales));
        let attributes = [
            AttributeProto::text("mode", "linear"),
            AttributeProto::text("coordinate_transformation_mode", "half_pixel"),
        ];
        // The second input, a region of interest, is unused in this mode.
        let inputs = [self.read(from), String::new(), "scales".into()];
        self.numbered("Resize", inputs, attributes)
    }

    /// Adds a space-to-depth: splits each axis into its half and a pair, and moves the pairs to the
    /// channels.
    fn add_space_to_depth(&mut self, from: &View, to: &View) {
        let [_, outputs] = num_channels([from, to]);
        let x = self.read(from);
        let dims = self.spatial_dims(&x);
        let two = self.integers(&[2]);
        let halves = self.numbered("Div", [dims, two], []);
        // [k/2, 2, j/2, 2, i/2, 2]
        let (column, twos) = (self.integers(&[3, 1]), self.integers(&[2, 2, 2]));
        let [halved, twos] =
            [halves.clone(), twos].map(|list| self.numbered("Reshape", [list, column.clone()], []));
        let pairs = self.numbered("Concat", [halved, twos], [AttributeProto::int("axis", 1)]);
        let six = self.integers(&[6]);
        let pairs = self.numbered("Reshape", [pairs, six], []);
        // A 0 keeps the axis as it is.
        let apart = self.reshape(x, &[0, 0], pairs);
        let order = AttributeProto::ints("perm", &[0, 1, 3, 5, 7, 2, 4, 6]);
        let turned = self.numbered("Transpose", [apart], [order]);
        let squeezed = self.reshape(turned, &[0, outputs], halves);
        self.write(to, &squeezed);
    }

    /// Adds a depth-to-space, the inverse of space-to-depth.
    fn add_depth_to_space(&mut self, from: &View, to: &View) {
        let [_, outputs] = num_channels([from, to]);
        let x = self.read(from);
        let dims = self.spatial_dims(&x);
        let two = self.integers(&[2]);
        let doubled = self.numbered("Mul", [dims.clone(), two], []);
        let apart = self.reshape(x, &[0, outputs, 2, 2, 2], dims);
        let order = AttributeProto::ints("perm", &[0, 1, 5, 2, 6, 3, 7, 4]);
        let turned = self.numbered("Transpose", [apart], [order]);
        let unsqueezed = self.reshape(turned, &[0, outputs], doubled);
        self.write(to, &unsqueezed);
    }

    /// Adds a reshape of the image to the nearest size that the network accepts. The runtime
    /// reports an error if that size differs from the image's, because the number of voxels
    /// differs. Returns the name of the reshaped image.
    pub fn add_size_check(&mut self, image: &str, size: SizeRule) -> String {
        let SizeRule { multiple_of, min } = size;
        let dims = self.spatial_dims(image);
        let [multiple, least] = [multiple_of, min].map(|extent| self.integers(&[extent]));
        let whole = self.numbered("Div", [dims, multiple.clone()], []);
        let cut = self.numbered("Mul", [whole, multiple], []);
        let accepted = self.numbered("Max", [cut, least], []);
        // A 0 keeps batch and channels.
        let kept = self.integers(&[0, 0]);
        let shape = self.numbered("Concat", [kept, accepted], [AttributeProto::int("axis", 0)]);
        // A runtime's error names the node.
        let name = format!("axes_are_multiples_of_{multiple_of}_and_at_least_{min}");
        self.node(&name, "Reshape", [image.to_string(), shape], [])
    }

    /// Adds a node with the size `[k, j, i]` of a value. Returns its name.
    fn spatial_dims(&mut self, x: &str) -> String {
        self.numbered("Shape", [x.into()], [AttributeProto::int("start", 2)])
    }

    /// Adds a reshape to a shape that begins with `first` and ends with the list `rest`. Returns
    /// its name.
    fn reshape(&mut self, x: String, first: &[usize], rest: String) -> String {
        let first = self.integers(first);
        let shape = self.numbered("Concat", [first, rest], [AttributeProto::int("axis", 0)]);
        self.numbered("Reshape", [x, shape], [])
    }
}

fn num_channels(views: [&View; 2]) -> [usize; 2] {
    views.map(|view| view.channels.len())
}

/// Returns the matrix `[to, from]` of reflections.
fn matrix(vectors: &Array, transposed: bool) -> Vec<f32> {
    let (matrix, channels) = (orthogonal(vectors), vectors.shape[1]);
    if !transposed {
        return matrix;
    }
    let indices = (0..channels).flat_map(|row| (0..channels).map(move |n| n * channels + row));
    indices.map(|index| matrix[index]).collect()
}
