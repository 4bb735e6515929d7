//! The start and the ends of a graph of libtorch.

use tch::Tensor;

/// Runs the backward pass of a graph from its ends and their gradients.
///
/// tch cannot start from a gradient. The backward pass of the dot product with it is the same, at the
/// cost of reading both tensors once and of a copy.
pub fn backward_from(ends: impl IntoIterator<Item = (Tensor, Tensor)>) {
    let products = ends.into_iter().map(|(end, gradient)| {
        let gradient = gradient.to_kind(end.kind()).reshape([-1]);
        end.reshape([-1]).dot(&gradient)
    });
    let sum = products.reduce(|sum, product| sum + product);
    sum.expect("a graph has an end").backward();
}

/// Returns the same values as the start of another graph.
pub fn leaf(x: &Tensor) -> Tensor {
    x.detach().set_requires_grad(true)
}
