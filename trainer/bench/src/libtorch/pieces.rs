//! A forward pass in pieces, which the backward pass takes one by one from the last: libtorch's own
//! graph where everything is stored, and no graph at all where the network rewinds.

use model_core::network::layers::{Backward, Segment, Step};
use tch::{Tensor, no_grad};

use super::layers::{Kept, Parameters, Parts};
use super::rewind::rewind;

/// Layers in a row, and what is kept of them.
pub(super) enum Piece<'a> {
    /// A graph of libtorch's.
    Stored {
        /// The leaf that it starts from.
        input: Tensor,
        /// Its end.
        output: Tensor,
        /// What it kept aside for later pieces, as its own graph has it and as they do: that leaf is
        /// where they leave the gradient.
        aside: Vec<(Tensor, Tensor)>,
    },
    /// No graph, and the output alone.
    Rewound {
        /// The layers.
        steps: Vec<&'a Step>,
        /// The output.
        output: Tensor,
    },
}

/// The forward pass; the last piece's output are the logits.
pub(super) fn forward<'a>(
    parameters: &Parameters,
    segments: &'a [Segment],
    x: Tensor,
) -> Vec<Piece<'a>> {
    let mut kept = Kept::default();
    let mut x = x;
    let mut pieces = Vec::new();
    // Neighbors that are stored are one graph: a plain network is one from end to end.
    for run in segments.chunk_by(|a, b| is_stored(a) && is_stored(b)) {
        let steps: Vec<&Step> = run.iter().flat_map(|segment| &segment.steps).collect();
        let mut run_all = |x: &Tensor| {
            let x = Parts::Whole(x.shallow_clone());
            steps.iter().fold(x, |x, step| parameters.layer(&step.layer, x, &mut kept)).whole()
        };
        if !is_stored(&run[0]) {
            x = no_grad(|| run_all(&x));
            pieces.push(Piece::Rewound { steps, output: x.shallow_clone() });
            continue;
        }
        let input = if pieces.is_empty() { x } else { leaf(&x) };
        let output = run_all(&input);
        x = output.detach();
        let pushed = kept.tensors.iter_mut().skip(kept.untouched);
        let aside = pushed.map(|tensor| {
            let later = leaf(tensor);
            (std::mem::replace(tensor, later.shallow_clone()), later)
        });
        let aside = aside.collect();
        kept.untouched = kept.tensors.len();
        pieces.push(Piece::Stored { input, output, aside });
    }
    pieces
}

/// The backward pass: adds every parameter's gradient to its `grad`.
pub(super) fn backward(parameters: &Parameters, pieces: Vec<Piece>, gradient: Tensor) {
    let mut gradient = gradient;
    for piece in pieces.into_iter().rev() {
        gradient = match piece {
            Piece::Stored { input, output, aside } => {
                let aside = aside.into_iter().map(|(tensor, later)| (tensor, later.grad()));
                back_from([(output, gradient)].into_iter().chain(aside));
                input.grad()
            }
            Piece::Rewound { steps, output } => rewind(parameters, &steps, output, gradient),
        };
    }
}

/// The ends of a graph with their gradients: walks it back. tch has no way to give a graph's end a
/// gradient; that of the dot product with it is the same, at the cost of reading both once and of a
/// copy.
pub(super) fn back_from(ends: impl IntoIterator<Item = (Tensor, Tensor)>) {
    let products = ends.into_iter().map(|(end, gradient)| {
        let gradient = gradient.to_kind(end.kind()).reshape([-1]);
        end.reshape([-1]).dot(&gradient)
    });
    let sum = products.reduce(|sum, product| sum + product);
    sum.expect("a graph has an end").backward();
}

/// The same numbers as the start of another graph.
pub(super) fn leaf(x: &Tensor) -> Tensor {
    x.detach().set_requires_grad(true)
}

/// In RevTorch's manner, as in plain PyTorch, what is not rewound is stored: nothing is computed again.
fn is_stored(segment: &Segment) -> bool {
    segment.backward != Backward::Rewound
}
