//! Ranks as processes, one for each GPU, on one machine or several.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;
use sha2::{Digest, Sha256};
use sysinfo::System;
use trainer_data::cases::Cases;
use trainer_run::config::TrainConfig;

use super::session::{RANKS, START_TIMEOUT, Session};
use super::{Reducer, World, nccl};
use crate::checkpoint::Checkpoint;
use crate::device;

/// This process among the others.
pub struct Processes {
    pub(super) reducer: Arc<dyn Reducer>,
    pub(super) device: Device,
    local_rank: usize,
    session: Session,
}

impl Processes {
    /// Meets the other processes in the folder `ranks` of `out`, the run's folder. `name` is a device
    /// such as `cuda:1`. Without it, the device is the GPU with the number that this process has on
    /// its machine, or the only GPU that the process sees.
    ///
    /// # Errors
    /// If the GPU, NCCL or another process is missing.
    pub fn connect(world: World, name: Option<&str>, out: &Path) -> Result<Processes> {
        nccl::check(world.size)?;
        // A launcher may show each process its own GPU alone.
        let sees_one = device::device(Some("cuda:1")).is_err();
        let number = match name.map(|name| name.split_once(':').unwrap_or((name, "0"))) {
            None if sees_one => 0,
            None => world.local_rank,
            Some(("cuda", number)) => number.parse().context("--device: a number after cuda:")?,
            Some(_) => bail!("--device: expected cuda:N with WORLD_SIZE, found {name:?}"),
        };
        let name = format!("cuda:{number}");
        let device = device::device(Some(&name))?;
        let host = System::host_name().unwrap_or_else(|| "an unnamed machine".into());
        let name = format!("{name} of {host}");
        let folder = out.join(RANKS);
        let (session, id) = Session::connect(&folder, &world, &name, START_TIMEOUT, nccl::new_id)?;
        let failure = session.failure.clone();
        let reducer = session.run(|| nccl::join(&world, number, &id, failure))?;
        Ok(Processes { reducer, device, local_rank: world.local_rank, session })
    }

    /// Runs this rank. Its error reaches all other ranks.
    ///
    /// # Errors
    /// The error of the rank that failed first. If this rank does not end then, its process does.
    pub(crate) fn run<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        self.session.run(run)
    }

    /// The reducer of this rank.
    pub(crate) fn reducer(&self) -> Arc<dyn Reducer> {
        self.reducer.clone()
    }

    /// Opens the cases. Of several processes on a machine, the first one opens them before the
    /// others, and so fills the cache.
    ///
    /// # Errors
    /// As `open`, or if another rank has ended.
    pub(super) fn open_cases(
        &self,
        open: impl FnOnce() -> Result<Option<Cases>>,
    ) -> Result<Option<Cases>> {
        let (mut open, mut cases) = (Some(open), None);
        for is_turn in [self.local_rank == 0, self.local_rank != 0] {
            let mut num_stopped = [0.0];
            if let Some(open) = open.take_if(|_| is_turn) {
                cases = open()?;
                num_stopped[0] = f64::from(u8::from(cases.is_none()));
            }
            self.reducer.sum_numbers(&mut num_stopped)?;
            if num_stopped[0] > 0.0 {
                return Ok(None);
            }
        }
        Ok(cases)
    }

    /// Checks that all processes start from the same settings, cases, checkpoint and version.
    ///
    /// # Errors
    /// With the ranks that differ from rank 0, or if another rank has ended.
    pub(super) fn check_alike(
        &self,
        config: &TrainConfig,
        cases: &Cases,
        checkpoint: &Checkpoint,
    ) -> Result<()> {
        let settings = toml::to_string(&TrainConfig { cache: None, ..config.clone() })?;
        let version = env!("CARGO_PKG_VERSION");
        let checkpoint = Sha256::digest(checkpoint.to_bytes()?);
        let text = format!("{version} {settings} {} {checkpoint:x?}", cases.fingerprint);
        check_alike(&*self.reducer, &text)
    }
}

fn check_alike(reducer: &dyn Reducer, text: &str) -> Result<()> {
    let own = Sha256::digest(text).iter().map(|byte| f64::from(*byte)).collect::<Vec<_>>();
    // The other ranks add zeros to the numbers of rank 0.
    let is_leader = reducer.rank() == 0;
    let mut expected = if is_leader { own.clone() } else { vec![0.0; own.len()] };
    reducer.sum_numbers(&mut expected)?;
    let mut differs = vec![0.0; reducer.num_ranks()];
    differs[reducer.rank()] = f64::from(u8::from(own != expected));
    reducer.sum_numbers(&mut differs)?;
    let others = (0..).zip(differs).filter(|(_, differs)| *differs > 0.0);
    let others: Vec<String> = others.map(|(rank, _)| rank.to_string()).collect();
    ensure!(
        others.is_empty(),
        "expected the same settings, data set, checkpoint and version of Rewind on all ranks, found \
         others than on rank 0 on the ranks {}",
        others.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Ranks;
    use super::super::host::tests::on_ranks;
    use super::super::host::{Barrier, HostReducer};
    use super::super::session::tests::sessions;
    use super::*;
    use crate::train::{Outcome, TrainJob, train_on};
    use model_core::{Foreground, NetworkSettings, PreprocessConfig};
    use std::sync::atomic::AtomicBool;
    use std::thread;

    /// Trains with three processes in one run folder. Each is given a data set, settings and whether
    /// to stop. Threads stand for the processes: they sum in memory, but meet and fail by files.
    fn trained(
        folder: &Path,
        given: [(&str, TrainConfig, bool); 3],
    ) -> Vec<Result<Outcome, String>> {
        let (out, barrier) = (folder.join("run"), Barrier::new(3));
        let run = |(rank, (session, (data, config, stop))): (usize, (Session, (&str, _, _)))| {
            let (failure, barrier) = (session.failure.clone(), barrier.clone());
            let reducer = Arc::new(HostReducer { barrier, failure, rank });
            let (device, local_rank) = (Device::flex(), rank % 2);
            let processes = Processes { reducer, device, local_rank, session };
            let ranks = Ranks::Processes(Arc::new(processes));
            let data = folder.join(data);
            let job = TrainJob::new(&data, &out);
            train_on(job, &config, &ranks, &AtomicBool::new(stop))
                .map_err(|error| error.to_string())
        };
        let sessions = sessions(&out.join(RANKS));
        thread::scope(|scope| {
            let ranks = sessions.into_iter().zip(given).enumerate();
            let ranks: Vec<_> = ranks.map(|rank| scope.spawn(|| run(rank))).collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    }

    #[test]
    fn processes_train_together_and_only_the_first_writes() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        trainer_data::phantom::write(
            &folder.join("data"),
            3,
            7,
            32,
            &trainer_run::reporter::Silent,
        )
        .unwrap();
        let mut config = TrainConfig {
            network: Some(NetworkSettings {
                widths: vec![8, 16],
                groups: Some(4),
                ..NetworkSettings::preset("demo").unwrap()
            }),
            held_out: 0.4,
            steps: 3.into(),
            patch: [16; 3],
            cache: Some(folder.join("cache")),
            preprocess: PreprocessConfig {
                foreground: Foreground::Nonzero,
                ..PreprocessConfig::default()
            },
            ..TrainConfig::default()
        };
        let given = |data, stop| (data, config.clone(), stop);
        // A rank that is asked to stop stops all; a rank that cannot read its data ends all.
        let stopped = trained(
            folder,
            [("data", false), ("data", true), ("data", false)]
                .map(|(data, stop)| given(data, stop)),
        );
        assert!(stopped.iter().all(|outcome| outcome.as_ref().is_ok_and(|o| !o.finished)));
        let failed = trained(folder, ["data", "data", "none"].map(|data| given(data, false)));
        for error in failed {
            let error = error.unwrap_err();
            assert!(error.starts_with("rank 2 (gpu 2): ") && error.contains("none"), "{error}");
        }
        let done = trained(folder, ["data"; 3].map(|data| given(data, false)));
        for outcome in done {
            let Outcome { steps, finished, .. } = outcome.unwrap();
            assert!(steps == 3 && finished);
        }
        // A second writer would have been refused by the folder's lock.
        assert!(folder.join("run/last.safetensors").exists());
        assert!(!folder.join("run/.rewind.lock").exists());

        let same = config.clone();
        config.batch = 1;
        let other = [("data", same.clone(), false), ("data", config, false), ("data", same, false)];
        for error in trained(folder, other) {
            let error = error.unwrap_err();
            assert!(error.contains("expected the same settings"), "{error}");
            assert!(error.ends_with("on the ranks 1"), "{error}");
        }
    }

    #[test]
    fn ranks_with_other_settings_are_refused_by_their_numbers() {
        let check = |texts: [&str; 3]| {
            on_ranks(3, |reducer| {
                let error = check_alike(reducer, texts[reducer.rank]).err();
                error.map(|error| error.to_string().split_once("the ranks ").unwrap().1.to_string())
            })
        };
        let refused = |ranks: &str| vec![Some(ranks.to_string()); 3];
        assert_eq!(check(["a", "a", "a"]), [None, None, None]);
        assert_eq!(check(["a", "a", "b"]), refused("2"));
        assert_eq!(check(["a", "b", "c"]), refused("1, 2"));
    }
}
