//! Which ranks there are, as the command line says.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;

use super::collective::Collective;
use super::host::{Barrier, Host};
use super::{Processes, Reducer, SingleRank, World, check_alike, from_first, nccl, threads};
use crate::checkpoint::Checkpoint;
use crate::device;
use trainer_data::cases::Cases;

/// The ranks of a training.
#[derive(Clone)]
pub enum Ranks {
    /// Threads of this process, each with the name of its device, and the device.
    Threads(Vec<(String, Device)>, Option<Wrap>),
    /// Processes, of which this is one.
    Processes(Arc<Processes>),
}

/// Puts something between the ranks and how they add up; for tests.
pub type Wrap = Arc<dyn Fn(Arc<dyn Reducer>) -> Arc<dyn Reducer> + Send + Sync>;

impl Ranks {
    /// One device.
    pub fn one(device: &Device) -> Ranks {
        Ranks::Threads(vec![(device::describe(device), device.clone())], None)
    }

    /// As `--device` or `--devices` say; where neither does, and RANK, WORLD_SIZE, MASTER_ADDR and
    /// MASTER_PORT say that this is one of several processes, as one of these.
    ///
    /// # Errors
    /// For devices that are unknown, not there, or cannot be ranks together; when the other
    /// processes cannot be reached.
    pub fn named(device: Option<&str>, devices: Option<&str>) -> Result<Ranks> {
        let world = World::of_environment(|name| std::env::var(name).ok())?;
        match (world, devices) {
            (Some(_), Some(_)) => bail!(
                "--devices: expected it without WORLD_SIZE, which says that there is a process for \
                 each device; found both"
            ),
            (Some(world), None) => {
                Ok(Ranks::Processes(Arc::new(Processes::connect(world, device)?)))
            }
            (None, Some(names)) => Ok(Ranks::Threads(places(names)?, None)),
            (None, None) => Ok(Ranks::one(&device::device(device)?)),
        }
    }

    /// Whether this process only follows the first rank in another.
    pub fn only_follows(&self) -> bool {
        matches!(self, Ranks::Processes(processes) if processes.reducer.rank() > 0)
    }

    /// This process's devices.
    pub fn devices(&self) -> Vec<&Device> {
        match self {
            Ranks::Threads(places, _) => places.iter().map(|(_, device)| device).collect(),
            Ranks::Processes(processes) => vec![&processes.device],
        }
    }

    /// How many ranks there are.
    pub fn count(&self) -> usize {
        match self {
            Ranks::Threads(places, _) => places.len(),
            Ranks::Processes(processes) => processes.reducer.num_ranks(),
        }
    }

    /// What the ranks are, for a person.
    pub(crate) fn describe(&self) -> String {
        match self {
            Ranks::Threads(places, _) => {
                let names: Vec<&str> = places.iter().map(|(name, _)| &name[..]).collect();
                format!("{} ranks: {}", names.len(), names.join(", "))
            }
            Ranks::Processes(processes) => {
                format!("{} ranks, a process each", processes.reducer.num_ranks())
            }
        }
    }

    /// Opens the cases, of several processes on a machine in one before the others.
    ///
    /// # Errors
    /// As `open`; when another rank has ended.
    pub(crate) fn open_cases(
        &self,
        open: impl FnOnce() -> Result<Option<Cases>>,
    ) -> Result<Option<Cases>> {
        match self {
            Ranks::Threads(..) => open(),
            Ranks::Processes(processes) => processes.open_cases(open),
        }
    }

    /// The checkpoint that all ranks start from, which is the first rank's; `alike` is what has to be
    /// the same on all.
    ///
    /// # Errors
    /// When it is not; when another rank has ended.
    pub(crate) fn start(
        &self,
        alike: &str,
        checkpoint: Checkpoint,
        network: &model_core::UNetConfig,
    ) -> Result<Checkpoint> {
        let Ranks::Processes(processes) = self else { return Ok(checkpoint) };
        check_alike(&*processes.reducer, alike)?;
        from_first(&*processes.reducer, checkpoint, network, &processes.device)
    }

    /// Runs the first rank here, and those others that are of this process on threads of their own.
    ///
    /// # Errors
    /// That of the rank that failed first.
    pub fn run<T>(
        &self,
        first: impl FnOnce(Arc<dyn Reducer>) -> Result<T>,
        other: impl Fn(Arc<dyn Reducer>, &Device) -> Result<()> + Sync,
    ) -> Result<T> {
        let (places, wrap) = match self {
            Ranks::Processes(processes) => return first(processes.reducer.clone()),
            Ranks::Threads(places, _) if places.len() == 1 => return first(Arc::new(SingleRank)),
            Ranks::Threads(places, wrap) => (places, wrap),
        };
        let (names, devices): (Vec<String>, Vec<Device>) = places.iter().cloned().unzip();
        let is_cuda = names.iter().all(|name| name.starts_with("cuda"));
        let meeting = Barrier::of(names);
        let reducer = |rank| {
            let host: Arc<dyn Reducer> = Arc::new(Host { meeting: meeting.clone(), rank });
            let reducer = match is_cuda {
                false => host,
                true => Arc::new(Collective { host, devices: devices.clone() }),
            };
            wrap.as_ref().map_or(reducer.clone(), |wrap| wrap(reducer))
        };
        let reducers = (0..devices.len()).map(reducer).collect();
        threads::run(&meeting, reducers, first, |reducer| {
            let device = &devices[reducer.rank()];
            other(reducer, device)
        })
    }
}

/// The devices of a list such as `0,1,2,3`, `cuda:0,cuda:2` or `cpu,cpu`.
fn places(names: &str) -> Result<Vec<(String, Device)>> {
    let names = full_names(names)?;
    let place = |name: String| {
        let device = device::device(Some(&name)).context("--devices")?;
        Ok((name, device))
    };
    let places: Vec<(String, Device)> = names.into_iter().map(place).collect::<Result<_>>()?;
    if places.len() > 1 && places[0].0.starts_with("cuda") {
        nccl::check(places.len())?;
    }
    Ok(places)
}

/// The names of such a list with kind and number, checked: of one kind, each GPU once.
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
        let Ranks::Threads(places, _) = Ranks::named(None, Some("cpu,cpu,cpu")).unwrap() else {
            panic!("expected threads")
        };
        assert_eq!(places.len(), 3);
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
            let error = places_error(names);
            assert!(error.starts_with("--devices"), "{names}: {error}");
        }
    }

    fn places_error(names: &str) -> String {
        format!("{:#}", places(names).expect_err("refused"))
    }
}
