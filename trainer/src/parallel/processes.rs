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
use crate::cases::Cases;
use crate::device;

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
