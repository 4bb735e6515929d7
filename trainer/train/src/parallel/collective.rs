//! Ranks that are threads of one process with a CUDA device each sum tensors by burn's collective,
//! which is NCCL.

use std::sync::Arc;

use anyhow::Result;
use burn::tensor::distributed::{ReduceOperation, all_reduce};
use burn::tensor::{Device, Tensor};

use super::Reducer;

/// The reducer of one rank.
pub(super) struct BurnCollective {
    /// Sums numbers.
    pub host: Arc<dyn Reducer>,
    /// The devices of all ranks, in the order of the ranks.
    pub devices: Vec<Device>,
}

impl Reducer for BurnCollective {
    fn rank(&self) -> usize {
        self.host.rank()
    }

    fn num_ranks(&self) -> usize {
        self.host.num_ranks()
    }

    fn sum_numbers(&self, numbers: &mut [f64]) -> Result<()> {
        self.host.sum_numbers(numbers)
    }

    fn sum(&self, values: Tensor<1>) -> Result<Tensor<1>> {
        // NCCL would wait on the device for a rank that has ended, so all ranks meet first.
        self.host.sum_numbers(&mut [])?;
        Ok(all_reduce(values, ReduceOperation::Sum, self.devices.clone()).resolve())
    }
}
