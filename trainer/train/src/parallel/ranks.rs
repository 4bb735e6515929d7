//! The ranks of a training, as the command line names them.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;

use super::collective::BurnCollective;
use super::failure::FirstFailure;
use super::host::{Barrier, HostReducer};
use super::{Processes, Reducer, SingleRank, World, nccl};
use crate::checkpoint::Checkpoint;
use crate::device;
use trainer_data::cases::Cases;
use trainer_run::config::TrainConfig;

/// The ranks of a training.
#[derive(Clone)]
pub enum Ranks {
    /// Threads of this process, each with the name of its device and the device.
    Threads(Vec<(String, Device)>, Option<Wrap>),
    /// Processes, one of which is this one.
    Processes(Arc<Processes>),
}

/// Wraps the reducer of each rank, for tests.
pub type Wrap = Arc<dyn Fn(Arc<dyn Reducer>) -> Arc<dyn Reducer> + Send + Sync>;

impl Ranks {
    /// Trains on one device.
    pub fn one(device: &Device) -> Ranks {
        Ranks::Threads(vec![(device::describe(device), device.clone())], None)
    }

    /// Trains on the devices of `--device` or `--devices`. If RANK and WORLD_SIZE are set, meets the
    /// other processes in `out`, the run's folder.
    ///
    /// # Errors
    /// If devices are unknown, missing or of different kinds, or another process is missing.
    pub fn named(device: Option<&str>, devices: Option<&str>, out: &Path) -> Result<Ranks> {
        let world = World::from_env(|name| std::env::var(name).ok())?;
        match (world, devices) {
            (Some(_), Some(_)) => bail!(
                "--devices: expected it without WORLD_SIZE, which stands for a process for each \
                 device; found both"
            ),
            (Some(world), None) => {
                Ok(Ranks::Processes(Arc::new(Processes::connect(world, device, out)?)))
            }
            (None, Some(names)) => Ok(Ranks::Threads(named_devices(names)?, None)),
            (None, None) => Ok(Ranks::one(&device::device(device)?)),
        }
    }

    /// Whether this process has the main rank, which alone writes the run's folder.
    pub fn is_main_rank(&self) -> bool {
        !matches!(self, Ranks::Processes(processes) if processes.reducer.rank() > 0)
    }

    /// The devices of this process.
    pub fn devices(&self) -> Vec<&Device> {
        match self {
            Ranks::Threads(devices, _) => devices.iter().map(|(_, device)| device).collect(),
            Ranks::Processes(processes) => vec![&processes.device],
        }
    }

    /// Number of ranks.
    pub fn count(&self) -> usize {
        match self {
            Ranks::Threads(devices, _) => devices.len(),
            Ranks::Processes(processes) => processes.reducer.num_ranks(),
        }
    }

    /// Opens the cases. Of several processes on a machine, the first one opens them before the
    /// others, and so fills the cache.
    ///
    /// # Errors
    /// As `open`, or if another rank has ended.
    pub(crate) fn open_cases(
        &self,
        open: impl FnOnce() -> Result<Option<Cases>>,
    ) -> Result<Option<Cases>> {
        match self {
            Ranks::Threads(..) => open(),
            Ranks::Processes(processes) => processes.open_cases(open),
        }
    }

    /// Checks that all processes start from the same settings, cases, checkpoint and version.
    ///
    /// # Errors
    /// With the ranks that differ from rank 0, or if another rank has ended.
    pub(crate) fn check_alike(
        &self,
        config: &TrainConfig,
        cases: &Cases,
        checkpoint: &Checkpoint,
    ) -> Result<()> {
        match self {
            Ranks::Threads(..) => Ok(()),
            Ranks::Processes(processes) => processes.check_alike(config, cases, checkpoint),
        }
    }

    /// Describes the ranks in a few words.
    pub(crate) fn describe(&self) -> String {
        match self {
            Ranks::Threads(devices, _) => {
                let names: Vec<&str> = devices.iter().map(|(name, _)| &name[..]).collect();
                format!("{} ranks: {}", names.len(), names.join(", "))
            }
            Ranks::Processes(_) => format!("{} ranks, a process each", self.count()),
        }
    }

    /// Runs the first rank of this process on this thread, and its other ranks on threads of their
    /// own, until all have ended.
    ///
    /// # Errors
    /// The error of the rank that failed or panicked first. If ranks do not end then, the process
    /// does.
    pub fn run<T>(
        &self,
        first: impl FnOnce(Arc<dyn Reducer>) -> Result<T>,
        other: impl Fn(Arc<dyn Reducer>, &Device) -> Result<()> + Sync,
    ) -> Result<T> {
        let (ranks, wrap) = match self {
            Ranks::Processes(processes) => return first(processes.reducer.clone()),
            Ranks::Threads(ranks, _) if ranks.len() == 1 => return first(Arc::new(SingleRank)),
            Ranks::Threads(ranks, wrap) => (ranks, wrap),
        };
        let is_cuda = ranks.iter().all(|(name, _)| name.starts_with("cuda"));
        let (barrier, failure) = (Barrier::new(ranks.len()), Arc::<FirstFailure>::default());
        let reducer = |rank| {
            let (barrier, failure) = (barrier.clone(), failure.clone());
            let mut reducer: Arc<dyn Reducer> = Arc::new(HostReducer { barrier, failure, rank });
            if is_cuda {
                let devices = ranks.iter().map(|(_, device)| device.clone()).collect();
                reducer = Arc::new(BurnCollective { host: reducer, devices });
            }
            wrap.as_ref().map_or(reducer.clone(), |wrap| wrap(reducer))
        };
        let run_all = || {
            thread::scope(|scope| {
                for (rank, (name, device)) in ranks.iter().enumerate().skip(1) {
                    let (reducer, failure, other) = (reducer(rank), &failure, &other);
                    scope.spawn(move || failure.run_rank(rank, name, || other(reducer, device)));
                }
                failure.run_rank(0, &ranks[0].0, || first(reducer(0)))
            })
        };
        let outcome = failure.watched(|| (), run_all);
        failure.check().and(outcome)
    }
}

/// Returns the devices of a list such as `0,1,2,3`, `cuda:0,cuda:2` or `cpu,cpu`, with their names.
fn named_devices(names: &str) -> Result<Vec<(String, Device)>> {
    let named = |name: String| {
        let device = device::device(Some(&name)).context("--devices")?;
        Ok((name, device))
    };
    let names = full_names(names)?.into_iter();
    let devices = names.map(named).collect::<Result<Vec<_>>>()?;
    if devices.len() > 1 && devices[0].0.starts_with("cuda") {
        nccl::check(devices.len())?;
    }
    Ok(devices)
}

/// Returns the names of such a list with kind and number.
///
/// # Errors
/// If they are of different kinds, or a GPU is there twice.
fn full_names(names: &str) -> Result<Vec<String>> {
    let full = |name: &str| match name.trim() {
        number if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
            format!("cuda:{number}")
        }
        kind @ ("cuda" | "wgpu") => format!("{kind}:0"),
        name => name.to_string(),
    };
    let names: Vec<String> = names.split(',').map(full).collect();
    let kind = |name: &str| name.split(':').next().unwrap_or_default().to_string();
    for (n, name) in names.iter().enumerate() {
        ensure!(
            kind(name) == kind(&names[0]),
            "--devices: expected devices of one kind, found {} and {name}",
            names[0]
        );
        ensure!(
            name == "cpu" || !names[..n].contains(name),
            "--devices: expected each GPU once, found {name} twice"
        );
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_by_their_numbers_or_in_full() {
        assert_eq!(full_names("0,1, 3").unwrap(), ["cuda:0", "cuda:1", "cuda:3"]);
        assert_eq!(full_names("cuda,cuda:1").unwrap(), ["cuda:0", "cuda:1"]);
        let Ranks::Threads(devices, _) =
            Ranks::named(None, Some("cpu,cpu,cpu"), Path::new("run")).unwrap()
        else {
            panic!("expected threads")
        };
        assert_eq!(devices.len(), 3);
        for (names, error) in [
            ("0,0", "cuda:0 twice"),
            ("cuda,0", "cuda:0 twice"),
            ("cpu,0", "one kind, found cpu and cuda:0"),
            ("cpu,", "one kind, found cpu and "),
        ] {
            let found = full_names(names).unwrap_err().to_string();
            assert!(found.contains(error), "{names}: {found}");
        }
        for names in ["", "cpu:3", "gpu", "-1", "0x1"] {
            let error = devices_error(names);
            assert!(error.starts_with("--devices"), "{names}: {error}");
        }
    }

    fn devices_error(names: &str) -> String {
        format!("{:#}", named_devices(names).expect_err("refused"))
    }
}
