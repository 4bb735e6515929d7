//! Which of several processes this is, as the launchers of such processes say in the environment:
//! `torchrun` sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT; SLURM's `srun` sets
//! SLURM_PROCID, SLURM_NTASKS and SLURM_LOCALID, and the job's script the last two.

use anyhow::{Context, Result, bail, ensure};

/// A process among others, one for each device.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// This process's number.
    pub rank: usize,
    /// How many processes there are; at least two.
    pub size: usize,
    /// This process's number among those of its machine: the number of its GPU.
    pub local_rank: usize,
    /// Where the first process is found, as host and port.
    pub master: (String, u16),
}

/// More than any cluster has.
const MOST_RANKS: usize = 1 << 16;

impl World {
    /// As the environment says; none where it names no other process.
    ///
    /// # Errors
    /// When a variable is missing or is no number that it can be.
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Option<World>> {
        // Within SLURM's jobs its own variables are always set, so that alone they mean nothing.
        let by_slurm = variable("MASTER_ADDR").is_some() && variable("WORLD_SIZE").is_none();
        let names = match by_slurm {
            false => ["WORLD_SIZE", "RANK", "LOCAL_RANK"],
            true => ["SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID"],
        };
        let number = |name: &str| {
            let Some(text) = variable(name) else { return Ok(None) };
            let number = text.trim().parse::<usize>();
            number.ok().filter(|number| *number < MOST_RANKS).map(Some).with_context(|| {
                format!("expected a number below {MOST_RANKS} in {name}, found {text:?}")
            })
        };
        let [size, rank, local_rank] = names;
        let Some(size) = number(size)?.filter(|size| *size != 1) else { return Ok(None) };
        let missing =
            |name: &str| format!("expected {name} beside {}={size}, found none", names[0]);
        let rank = number(rank)?.with_context(|| missing(rank))?;
        ensure!(rank < size, "expected {} below {}={size}, found {rank}", names[1], names[0]);
        let local_rank = number(local_rank)?.with_context(|| missing(local_rank))?;
        let host = variable("MASTER_ADDR").with_context(|| missing("MASTER_ADDR"))?;
        ensure!(!host.trim().is_empty(), "expected a host in MASTER_ADDR, found none");
        let port = variable("MASTER_PORT").with_context(|| missing("MASTER_PORT"))?;
        let Ok(port) = port.trim().parse::<u16>() else {
            bail!("expected a port in MASTER_PORT, found {port:?}");
        };
        // torchrun itself may listen there, and says so: then the next port is ours.
        let is_taken = variable("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|is| is == "True");
        let port = if is_taken { port.checked_add(1) } else { Some(port) };
        let port = port.context("expected a MASTER_PORT below 65535, found that")?;
        Ok(Some(World { rank, size, local_rank, master: (host.trim().to_string(), port) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(text: &str) -> Result<Option<World>> {
        World::of_environment(|name| {
            let mut pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_string())
        })
    }

    const TORCHRUN: &str = "WORLD_SIZE=8 RANK=5 LOCAL_RANK=1 MASTER_ADDR=node-0 MASTER_PORT=29500";

    #[test]
    fn the_environment_of_torchrun_and_of_slurm_is_understood() {
        let expected =
            World { rank: 5, size: 8, local_rank: 1, master: ("node-0".to_string(), 29500) };
        assert_eq!(world(TORCHRUN).unwrap().unwrap(), expected);
        let slurm = "SLURM_NTASKS=8 SLURM_PROCID=5 SLURM_LOCALID=1";
        let master = "MASTER_ADDR=node-0 MASTER_PORT=29500";
        assert_eq!(world(&format!("{slurm} {master}")).unwrap().unwrap(), expected);
        let shared = world(&format!("{TORCHRUN} TORCHELASTIC_USE_AGENT_STORE=True"));
        assert_eq!(shared.unwrap().unwrap().master.1, 29501);
        for alone in ["", slurm, "WORLD_SIZE=1 RANK=0", "MASTER_ADDR=node-0"] {
            assert_eq!(world(alone).unwrap(), None, "{alone}");
        }
    }

    #[test]
    fn half_an_environment_is_refused_with_what_is_missing() {
        for (from, to, error) in [
            ("RANK=5 ", "", "expected RANK beside WORLD_SIZE=8"),
            ("RANK=5 ", "RANK=8 ", "below WORLD_SIZE=8, found 8"),
            ("RANK=5 ", "RANK=-1 ", "in RANK, found \"-1\""),
            ("=8", "=many", "in WORLD_SIZE, found \"many\""),
            ("=8", "=0", "below WORLD_SIZE=0"),
            (" MASTER_PORT=29500", "", "expected MASTER_PORT beside"),
            ("29500", "99999", "a port in MASTER_PORT"),
            ("node-0", "", "a host in MASTER_ADDR"),
        ] {
            let found = world(&TORCHRUN.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(found.contains(error), "{found}");
        }
    }
}
