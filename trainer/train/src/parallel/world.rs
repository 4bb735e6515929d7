//! The number of this process among several, as launchers set it in the environment: `torchrun` sets
//! RANK, WORLD_SIZE and LOCAL_RANK; SLURM's `srun` sets SLURM_PROCID, SLURM_NTASKS and SLURM_LOCALID.

use anyhow::{Context, Result, ensure};

/// A process among others with one device each.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// Number of this process.
    pub rank: usize,
    /// Number of processes, at least two.
    pub size: usize,
    /// Number of this process among those of its machine, which is the number of its GPU.
    pub local_rank: usize,
}

/// More than any cluster has.
const MAX_RANKS: usize = 1 << 16;

impl World {
    /// Reads the environment; `None` if it names no other process.
    ///
    /// # Errors
    /// If a variable is missing or out of range.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Option<World>> {
        // SLURM sets its variables also for a command that is alone in a job. MASTER_ADDR, which a
        // job's script sets for several processes, makes the difference.
        let is_slurm = variable("MASTER_ADDR").is_some() && variable("WORLD_SIZE").is_none();
        let [size_name, rank_name, local_name] = match is_slurm {
            false => ["WORLD_SIZE", "RANK", "LOCAL_RANK"],
            true => ["SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID"],
        };
        let number = |name: &str| {
            let Some(text) = variable(name) else { return Ok(None) };
            let number = text.trim().parse::<usize>();
            number.ok().filter(|number| *number < MAX_RANKS).map(Some).with_context(|| {
                format!("expected a number below {MAX_RANKS} in {name}, found {text:?}")
            })
        };
        let Some(size) = number(size_name)?.filter(|size| *size != 1) else { return Ok(None) };
        let required = |name: &str| {
            number(name)?
                .with_context(|| format!("expected {name} beside {size_name}={size}, found none"))
        };
        let (rank, local_rank) = (required(rank_name)?, required(local_name)?);
        ensure!(rank < size, "expected {rank_name} below {size_name}={size}, found {rank}");
        Ok(Some(World { rank, size, local_rank }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(text: &str) -> Result<Option<World>> {
        World::from_env(|name| {
            let mut pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_string())
        })
    }

    const TORCHRUN: &str = "WORLD_SIZE=8 RANK=5 LOCAL_RANK=1";

    #[test]
    fn the_variables_of_torchrun_and_of_slurm_are_read() {
        let expected = Some(World { rank: 5, size: 8, local_rank: 1 });
        assert_eq!(world(TORCHRUN).unwrap(), expected);
        let slurm = "SLURM_NTASKS=8 SLURM_PROCID=5 SLURM_LOCALID=1";
        assert_eq!(world(&format!("{slurm} MASTER_ADDR=node-0")).unwrap(), expected);
        for alone in ["", slurm, "WORLD_SIZE=1 RANK=0", "MASTER_ADDR=node-0"] {
            assert_eq!(world(alone).unwrap(), None, "{alone}");
        }
    }

    #[test]
    fn a_missing_or_wrong_variable_is_named() {
        for (from, to, error) in [
            (" RANK=5", "", "expected RANK beside WORLD_SIZE=8"),
            (" LOCAL_RANK=1", "", "expected LOCAL_RANK beside WORLD_SIZE=8"),
            (" RANK=5", " RANK=8", "below WORLD_SIZE=8, found 8"),
            (" RANK=5", " RANK=-1", "in RANK, found \"-1\""),
            ("=8", "=many", "in WORLD_SIZE, found \"many\""),
            ("=8", "=0", "below WORLD_SIZE=0"),
        ] {
            let found = world(&TORCHRUN.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(found.contains(error), "{found}");
        }
    }
}
