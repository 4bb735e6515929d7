//! Which kernels a step's time goes to: a recorder for the whole process, off until it is started.
//!
//! On, it waits for the device before and after every operation and every recorded backward rule, so
//! that what they take is theirs; a step then takes longer than it would. Off, it costs one relaxed
//! load an operation.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::{Device, Tensor};

/// Kernels of one kind, forward and backward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpKind {
    /// Depthwise 3³ convolution.
    Depthwise,
    /// Pointwise convolution.
    Pointwise,
    /// Dense 3³ convolution.
    Conv3,
    /// Group norm with its activation.
    GroupNorm,
    /// Max pool.
    Pool,
    /// Trilinear up-sampling.
    Upsample,
    /// SpaceToDepth and unsqueeze.
    SpaceToDepth,
    /// The loss.
    Loss,
    /// The optimizer.
    Optimizer,
}

impl OpKind {
    /// All.
    pub const ALL: [OpKind; 9] = [
        OpKind::Depthwise,
        OpKind::Pointwise,
        OpKind::Conv3,
        OpKind::GroupNorm,
        OpKind::Pool,
        OpKind::Upsample,
        OpKind::SpaceToDepth,
        OpKind::Loss,
        OpKind::Optimizer,
    ];

    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            OpKind::Depthwise => "depthwise 3³",
            OpKind::Pointwise => "pointwise",
            OpKind::Conv3 => "dense 3³",
            OpKind::GroupNorm => "group norm",
            OpKind::Pool => "max pool",
            OpKind::Upsample => "upsample",
            OpKind::SpaceToDepth => "squeeze",
            OpKind::Loss => "loss",
            OpKind::Optimizer => "optimizer",
        }
    }
}

static IS_ON: AtomicBool = AtomicBool::new(false);
static RECORD: Mutex<Record> = Mutex::new(Record { now: || 0.0, seconds: [0.0; 9] });

struct Record {
    /// Seconds since some moment: this crate reads no clock of its own.
    now: fn() -> f64,
    /// By class.
    seconds: [f64; 9],
}

thread_local! {
    /// The operation that this thread is in. It may be made of others.
    static CURRENT: Cell<Option<OpKind>> = const { Cell::new(None) };
}

fn record() -> MutexGuard<'static, Record> {
    RECORD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts to record, from nothing; `now` tells seconds since some moment.
pub fn start(now: fn() -> f64) {
    *record() = Record { now, seconds: [0.0; 9] };
    IS_ON.store(true, Relaxed);
}

/// Ends it: the seconds of every class.
pub fn stop() -> Vec<(OpKind, f64)> {
    IS_ON.store(false, Relaxed);
    OpKind::ALL.into_iter().zip(record().seconds).collect()
}

/// An operation that is timed until this is dropped.
#[must_use = "what it times ends where it is dropped"]
pub struct Timer(Option<Running>);

struct Running {
    class: OpKind,
    device: Device,
    now: fn() -> f64,
    started: f64,
}

/// Times an operation on a tensor's device while the recorder is on; its backward rule too, where it
/// records one. Of operations inside of operations, only the outermost counts.
pub fn op<const D: usize>(class: OpKind, x: &Tensor<D>) -> Timer {
    if IS_ON.load(Relaxed) { Timer::start(class, x.device()) } else { Timer(None) }
}

/// The operation that this thread is in, if it is timed.
pub(crate) fn current() -> Option<OpKind> {
    CURRENT.get()
}

/// Times the backward rule of an operation that was timed.
pub(crate) fn rule(class: OpKind, device: Device) -> Timer {
    if IS_ON.load(Relaxed) { Timer::start(class, device) } else { Timer(None) }
}

impl Timer {
    fn start(class: OpKind, device: Device) -> Timer {
        if CURRENT.get().is_some() {
            return Timer(None);
        }
        CURRENT.set(Some(class));
        let now = record().now;
        // A device that failed says so where its results are read.
        let _ = device.sync();
        Timer(Some(Running { class, device, now, started: now() }))
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let Some(Running { class, device, now, started }) = self.0.take() else { return };
        let _ = device.sync();
        record().seconds[class as usize] += now() - started;
        CURRENT.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        /// Of this test's thread alone: other tests run operations of their own meanwhile.
        static TICKS: Cell<f64> = const { Cell::new(0.0) };
    }

    /// Every look at the clock is a second later. In one test, since the recorder is the process's.
    #[test]
    fn seconds_go_to_the_outermost_operation_and_only_while_it_is_on() {
        let x = Tensor::<1>::zeros([1], &Device::flex());
        let run = || {
            let outer = op(OpKind::Loss, &x);
            drop(op(OpKind::Optimizer, &x));
            drop(outer);
            drop(op(OpKind::Optimizer, &x));
        };
        let of = |seconds: &[(OpKind, f64)]| {
            let of = |class| seconds.iter().find(|(c, _)| *c == class).map(|(_, s)| *s);
            [OpKind::Loss, OpKind::Optimizer].map(of)
        };
        run();
        assert_eq!(TICKS.get(), 0.0);
        start(|| TICKS.replace(TICKS.get() + 1.0));
        run();
        run();
        let seconds = stop();
        run();
        assert_eq!(of(&seconds), [Some(2.0), Some(2.0)]);
        assert_eq!(of(&stop()), of(&seconds));
    }
}
