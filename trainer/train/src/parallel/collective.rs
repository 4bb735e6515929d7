//! Ranks that are threads of one process with a CUDA device each add up tensors by burn's collective,
//! which is NCCL.

use std::sync::Arc;

use anyhow::Result;
use burn::tensor::distributed::{ReduceOperation, all_reduce};
use burn::tensor::{Device, Tensor};

use super::Reducer;

/// One rank; numbers are summed as `host` does.
pub(super) struct Collective {
    pub host: Arc<dyn Reducer>,
    /// All ranks' devices, in the order of the ranks.
    pub devices: Vec<Device>,
}

impl Reducer for Collective {
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
        // NCCL waits on the device for every rank, and knows nothing of one that has ended: so all
        // meet first.
        self.host.sum_numbers(&mut [])?;
        Ok(all_reduce(values, ReduceOperation::Sum, self.devices.clone()).resolve())
    }
}
