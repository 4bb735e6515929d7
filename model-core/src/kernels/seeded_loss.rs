//! The end of a local graph.

use burn::Tensor;
use burn::backend::{Autodiff, DispatchKindConversion, DispatchTensor};

use super::autodiff::{Parent, primitive, record};
use super::group_norm::{GroupNormKernels, PreparedGroupNorm};
use super::{ConvInput, KernelInput};
use crate::nets::like;

/// Ends a local graph.
///
/// Returns a scalar whose backward pass seeds `output` with the gradient `seed`, without computing
/// the product of the two; and the output without autodiff. A deferred norm at the output is
/// returned unapplied; only its gradient is recorded.
///
/// # Shapes
/// - output, seed: `[b, c, k, j, i]`
pub(crate) fn seeded_loss<B: GroupNormKernels>(
    output: ConvInput,
    seed: Tensor<5>,
) -> (Tensor<1>, KernelInput)
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    let zero = || Tensor::<1>::zeros([1], &seed.device());
    match output {
        output @ (ConvInput::Whole(_) | ConvInput::Stream(_)) => {
            let output = output.whole();
            let Parent { value, guard, .. } = Parent::<B, 5>::new(output);
            let (loss, seed) = (zero(), like(seed, &value));
            let loss =
                record::<B, 1, 1>([guard], loss, move |_, _, _| [Some(primitive::<B, 5>(seed))]);
            (loss, value.into())
        }
        ConvInput::DeferredGroupNorm(norm) => {
            let (parents, norm) = PreparedGroupNorm::<B>::new(norm);
            let (loss, output) = (zero(), norm.source());
            let loss = record::<B, 3, 1>(parents, loss, move |_, _, _| norm.gradients(seed));
            (loss, output)
        }
    }
}
