//! Ranks as processes, one for each GPU, on one machine or several.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use burn::tensor::Device;
use sysinfo::System;

use super::link::Link;
use super::threads::{panic_message, watch};
use super::{Reducer, World, nccl};
use crate::device;
use trainer_data::cases::Cases;

/// This process among the others.
pub struct Processes {
    pub(super) reducer: Arc<dyn Reducer>,
    pub(super) device: Device,
    local_rank: usize,
    link: Arc<Link>,
}

impl Processes {
    /// Meets the other processes; the device is the GPU of this one's number on its machine, or the
    /// only one that it sees, unless another is named.
    ///
    /// # Errors
    /// When the GPU or the other processes cannot be had.
    pub fn connect(world: World, name: Option<&str>) -> Result<Processes> {
        nccl::check(world.size)?;
        // A launcher may show each process its own GPU alone.
        let sees_one = device::device(Some("cuda:1")).is_err();
        let number = if sees_one { 0 } else { world.local_rank };
        let number = match name.map(|name| name.split_once(':').unwrap_or((name, "0"))) {
            None => number,
            Some(("cuda", number)) => number.parse().context("--device: a number after cuda:")?,
            Some(_) => bail!("--device: expected cuda:N with WORLD_SIZE, found {name:?}"),
        };
        let name = format!("cuda:{number}");
        let device = device::device(Some(&name))?;
        let host = System::host_name().unwrap_or_else(|| "an unnamed machine".into());
        let about = format!("{name} of {host}");
        let (link, id) = Link::connect(&world, &about, PATIENCE, nccl::new_id)?;
        let link = Arc::new(link);
        let reducer = watched(&link, || nccl::join(&world, number, id, link.clone()))?;
        Ok(Processes { reducer, device, local_rank: world.local_rank, link })
    }

    /// Runs this rank. What it fails with, all others are told.
    ///
    /// # Errors
    /// That of the rank that failed first. Where this one does not end then, its process does.
    pub(crate) fn run<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        watched(&self.link, run)
    }

    /// How this rank adds up with the others.
    pub(crate) fn reducer(&self) -> Arc<dyn Reducer> {
        self.reducer.clone()
    }

    /// Opens the cases in the first process of each machine, which fills the cache, then in the
    /// others.
    ///
    /// # Errors
    /// As `open`; when another rank has ended.
    pub(crate) fn open_cases(
        &self,
        open: impl FnOnce() -> Result<Option<Cases>>,
    ) -> Result<Option<Cases>> {
        let (mut open, mut cases) = (Some(open), None);
        for is_turn in [self.local_rank == 0, self.local_rank != 0] {
            let mut stopped = [0.0];
            if let Some(open) = open.take_if(|_| is_turn) {
                cases = open()?;
                stopped[0] = f64::from(u8::from(cases.is_none()));
            }
            self.reducer.sum_numbers(&mut stopped)?;
            if stopped[0] > 0.0 {
                return Ok(None);
            }
        }
        Ok(cases)
    }
}

/// How long processes are waited for: a cluster starts them one after the other.
const PATIENCE: Duration = Duration::from_secs(600);

fn watched<T>(link: &Link, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let over = &AtomicBool::new(false);
    let outcome = thread::scope(|scope| {
        scope.spawn(|| watch(|| link.failure(), over));
        let outcome = catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|panic| Err(anyhow!(panic_message(&*panic))));
        over.store(true, Ordering::Relaxed);
        outcome
    });
    outcome.map_err(|error| {
        link.fail(format!("{error:#}"));
        link.failure().map_or(error, anyhow::Error::from)
    })
}

#[cfg(test)]
mod tests {
    use super::super::host::{Barrier, Host};
    use super::super::link::tests::links;
    use super::super::{RankFailed, Ranks};
    use super::*;
    use crate::train::{Outcome, TrainJob, train_on};
    use model_core::{Foreground, NetworkSettings, PreprocessConfig};
    use std::path::Path;
    use trainer_run::config::TrainConfig;

    /// What three processes come to that are given a data set, settings and whether to stop each.
    /// Threads stand for them, which add up in memory; their connections are those of processes.
    fn trained(
        folder: &Path,
        given: [(&str, TrainConfig, bool); 3],
    ) -> Vec<Result<Outcome, String>> {
        let meeting = Barrier::of(vec!["cpu".into(); 3]);
        let process = |(rank, (link, (data, config, stop)))| {
            let (link, meeting): (Arc<Link>, _) = (Arc::new(link), meeting.clone());
            let (data, out) = (folder.join(data), folder.join(format!("run-{rank}")));
            thread::spawn(move || {
                let device = Device::flex();
                let reducer = Arc::new(Host { meeting: meeting.clone(), rank });
                let (news, over) = (link.clone(), Arc::new(AtomicBool::new(false)));
                let is_over = over.clone();
                // NCCL's ranks look at their connections while they wait for each other.
                let listens = thread::spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        if let Some(RankFailed { rank, message, .. }) = news.failure() {
                            return meeting.fail(rank, message);
                        }
                        thread::sleep(Duration::from_millis(2));
                    }
                });
                let local_rank = rank % 2;
                let processes = Processes { reducer, device, local_rank, link };
                let ranks = Ranks::Processes(Arc::new(processes));
                let stop = AtomicBool::new(stop);
                let outcome = train_on(TrainJob::new(&data, &out), &config, &ranks, &stop);
                over.store(true, Ordering::Relaxed);
                listens.join().unwrap();
                outcome.map_err(|error| error.to_string())
            })
        };
        let processes: Vec<_> = links().into_iter().zip(given).enumerate().map(process).collect();
        processes.into_iter().map(|process| process.join().unwrap()).collect()
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
        // One that was asked to stop stops all; one that cannot read its data ends all.
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
        let wrote = [0, 1, 2].map(|rank| folder.join(format!("run-{rank}")).exists());
        assert_eq!(wrote, [true, false, false]);

        let same = config.clone();
        config.batch = 1;
        let other = [("data", same.clone(), false), ("data", config, false), ("data", same, false)];
        for error in trained(folder, other) {
            let error = error.unwrap_err();
            assert!(error.contains("expected the same settings"), "{error}");
        }
    }
}
