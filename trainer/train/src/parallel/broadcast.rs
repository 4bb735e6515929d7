//! What processes agree on before they start: the same settings and cases, and the first rank's
//! checkpoint, since the others need not see the run's folder.

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::{Device, Tensor, TensorData};
use model_core::UNetConfig;
use sha2::{Digest, Sha256};

use super::Reducer;
use crate::adam::numbers;
use crate::checkpoint::Checkpoint;

/// Bytes that travel in one f32, which holds whole numbers up to 2^24.
const BYTES: usize = 3;

/// Refuses ranks that were given something else than the others.
///
/// # Errors
/// Says so on every rank; when another rank has ended.
pub(crate) fn check_alike(reducer: &dyn Reducer, what: &str) -> Result<()> {
    let hash = Sha256::digest(what);
    let own: Vec<f64> = hash.iter().map(|byte| f64::from(*byte)).collect();
    // Squares too: values of one mean and one mean square are all that mean.
    let mut sums: Vec<f64> = own.iter().flat_map(|byte| [*byte, byte * byte]).collect();
    reducer.sum_numbers(&mut sums)?;
    let count = reducer.num_ranks() as f64;
    let is_alike = |sums: &[f64]| sums[0] * sums[0] == sums[1] * count;
    ensure!(
        sums.chunks_exact(2).all(is_alike),
        "expected the same settings, data set and version of Rewind on all ranks, found others on \
         some"
    );
    Ok(())
}

/// The first rank's checkpoint, on every rank.
///
/// # Errors
/// When it arrives damaged; when another rank has ended.
pub(crate) fn from_first(
    reducer: &dyn Reducer,
    own: Checkpoint,
    network: &UNetConfig,
    device: &Device,
) -> Result<Checkpoint> {
    let is_first = reducer.rank() == 0;
    let bytes = if is_first { own.to_bytes()? } else { Vec::new() };
    let mut length = [bytes.len() as f64];
    reducer.sum_numbers(&mut length)?;
    let count = (length[0] as usize).div_ceil(BYTES);
    let mut packed: Vec<f32> = bytes.chunks(BYTES).map(pack).collect();
    packed.resize(count, 0.0);
    let plain = device.clone().without_autodiff();
    let sum = reducer.sum(Tensor::from_data(TensorData::new(packed, [count]), &plain))?;
    if is_first {
        return Ok(own);
    }
    let mut bytes = Vec::with_capacity(BYTES * count);
    for value in numbers(sum) {
        let whole = value as u32;
        if whole as f32 != value || whole >= 1 << (8 * BYTES) {
            bail!("expected bytes of a checkpoint from rank 0, found {value}");
        }
        bytes.extend(&whole.to_le_bytes()[..BYTES]);
    }
    bytes.truncate(length[0] as usize);
    Checkpoint::parse(&bytes, network).context("the checkpoint that rank 0 sent cannot be used")
}

fn pack(bytes: &[u8]) -> f32 {
    let mut whole = [0; 4];
    whole[..bytes.len()].copy_from_slice(bytes);
    u32::from_le_bytes(whole) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::host::tests::meeting;
    use std::thread;

    #[test]
    fn every_rank_starts_from_the_first_ones_checkpoint() {
        let network = UNetConfig::preset("demo", 1, 2).unwrap();
        let checkpoint = |seed| Checkpoint { steps: 7, ..Checkpoint::initial(&network, seed) };
        let device = Device::flex();
        let found = thread::scope(|scope| {
            let ranks = meeting(3).into_iter().map(|reducer| {
                let (own, network, device) = (checkpoint(reducer.rank() as u64), &network, &device);
                scope.spawn(move || from_first(&reducer, own, network, device).unwrap())
            });
            let ranks: Vec<_> = ranks.collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(found.iter().all(|found| *found == checkpoint(0)));
    }

    #[test]
    fn ranks_with_other_settings_are_refused() {
        let agree = |texts: [&str; 3]| {
            thread::scope(|scope| {
                let ranks = meeting(3).into_iter().zip(texts);
                let ranks: Vec<_> = ranks
                    .map(|(reducer, text)| scope.spawn(move || check_alike(&reducer, text).is_ok()))
                    .collect();
                ranks.into_iter().map(|rank| rank.join().unwrap()).collect::<Vec<_>>()
            })
        };
        assert_eq!(agree(["a", "a", "a"]), [true; 3]);
        assert_eq!(agree(["a", "a", "b"]), [false; 3]);
        assert_eq!(agree(["a", "b", "c"]), [false; 3]);
    }
}
