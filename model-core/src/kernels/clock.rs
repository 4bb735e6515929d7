//! Which kernels a step's time goes to: a recorder for the whole process, off until it is started.
//!
//! On, it waits for the device before and after every operation and every recorded backward rule, so
//! that what they take is theirs; a step then takes longer than it would. Off, it costs one relaxed
//! load an operation.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use burn::tensor::Device;

/// Kernels of one kind, forward and backward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
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
    /// Squeeze and unsqueeze.
    Squeeze,
    /// The loss.
    Loss,
    /// The optimizer.
    Optimizer,
}

impl Class {
    /// All.
    pub const ALL: [Class; 9] = [
        Class::Depthwise,
        Class::Pointwise,
        Class::Conv3,
        Class::GroupNorm,
        Class::Pool,
        Class::Upsample,
        Class::Squeeze,
        Class::Loss,
        Class::Optimizer,
    ];

    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Class::Depthwise => "depthwise 3³",
            Class::Pointwise => "pointwise",
            Class::Conv3 => "dense 3³",
            Class::GroupNorm => "group norm",
            Class::Pool => "max pool",
            Class::Upsample => "upsample",
            Class::Squeeze => "squeeze",
            Class::Loss => "loss",
            Class::Optimizer => "optimizer",
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
    /// Whether this thread is inside of an operation, which may be made of others.
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

fn record() -> std::sync::MutexGuard<'static, Record> {
    RECORD.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Starts to record, from nothing; `now` tells seconds since some moment.
pub fn start(now: fn() -> f64) {
    *record() = Record { now, seconds: [0.0; 9] };
    IS_ON.store(true, Relaxed);
}

/// Ends it: the seconds of every class.
pub fn stop() -> Vec<(Class, f64)> {
    IS_ON.store(false, Relaxed);
    Class::ALL.into_iter().zip(record().seconds).collect()
}

/// Runs an operation on a device, and counts what it takes while the recorder is on. Of operations
/// inside of operations, only the outermost counts.
pub fn timed<T>(class: Class, device: &Device, operation: impl FnOnce() -> T) -> T {
    if !IS_ON.load(Relaxed) || IS_INSIDE.replace(true) {
        return operation();
    }
    let now = record().now;
    // A device that failed says so where its results are read.
    let _ = device.sync();
    let started = now();
    let result = operation();
    let _ = device.sync();
    record().seconds[class as usize] += now() - started;
    IS_INSIDE.set(false);
    result
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
        let device = Device::flex();
        let run = || {
            timed(Class::Loss, &device, || timed(Class::Optimizer, &device, || 1))
                + timed(Class::Optimizer, &device, || 1)
        };
        let of = |seconds: &[(Class, f64)]| {
            let of = |class| seconds.iter().find(|(c, _)| *c == class).map(|(_, s)| *s);
            [Class::Loss, Class::Optimizer].map(of)
        };
        assert_eq!(run(), 2);
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
