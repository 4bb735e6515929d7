//! A hook around every operation and every backward pass of one. The profiler behind the hook belongs
//! to the caller: this crate reads no clock. Without a hook, an operation costs one relaxed load.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use burn::tensor::{Device, Tensor};

/// The kind of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpKind {
    /// Depthwise 3³ convolution.
    Depthwise,
    /// Pointwise convolution.
    Pointwise,
    /// Dense 3³ convolution.
    Conv3,
    /// Group norm with its activation.
    GroupNorm,
    /// Max pooling.
    MaxPool,
    /// Trilinear up-sampling.
    Upsample,
    /// Space to depth and depth to space.
    SpaceToDepth,
    /// The loss.
    Loss,
    /// The optimizer.
    Optimizer,
}

impl OpKind {
    /// Returns the name for tables.
    pub fn name(self) -> &'static str {
        match self {
            OpKind::Depthwise => "depthwise 3³",
            OpKind::Pointwise => "pointwise",
            OpKind::Conv3 => "dense 3³",
            OpKind::GroupNorm => "group norm",
            OpKind::MaxPool => "max pool",
            OpKind::Upsample => "upsample",
            OpKind::SpaceToDepth => "space to depth",
            OpKind::Loss => "loss",
            OpKind::Optimizer => "optimizer",
        }
    }
}

/// An operation, or the backward pass of one, as a hook sees it.
#[derive(Debug, Clone)]
pub struct ProfiledOp {
    /// The kind of the operation.
    pub kind: OpKind,
    /// Whether the backward pass runs.
    pub is_backward: bool,
    /// The shape of the input; in a backward pass, of the output and its gradient.
    pub shape: Vec<usize>,
    /// The device that computes.
    pub device: Device,
}

/// Observes operations. Only the outermost of nested operations is reported.
///
/// A device may still compute when a method is called: a profiler waits for it.
pub trait ProfilerHook: Send + Sync {
    /// Called before an operation.
    fn begin(&self, op: &ProfiledOp);

    /// Called after an operation, on the same thread.
    fn end(&self, op: &ProfiledOp);
}

static IS_SET: AtomicBool = AtomicBool::new(false);
static HOOK: RwLock<Option<Arc<dyn ProfilerHook>>> = RwLock::new(None);

thread_local! {
    /// The reported operation that runs on this thread.
    static CURRENT: Cell<Option<OpKind>> = const { Cell::new(None) };
}

/// Sets the hook of the process, or removes it. An operation that already runs keeps its hook.
pub fn set_hook(hook: Option<Arc<dyn ProfilerHook>>) {
    let is_set = hook.is_some();
    *HOOK.write().unwrap_or_else(PoisonError::into_inner) = hook;
    IS_SET.store(is_set, Relaxed);
}

/// Reports the end of an operation to the hook when it is dropped.
#[must_use = "the operation ends where this is dropped"]
pub struct ProfiledScope(Option<(Arc<dyn ProfilerHook>, ProfiledOp)>);

impl Drop for ProfiledScope {
    fn drop(&mut self) {
        if let Some((hook, op)) = self.0.take() {
            hook.end(&op);
            CURRENT.set(None);
        }
    }
}

/// Reports an operation on `x` until the result is dropped. The backward pass that the operation
/// records in the meantime is reported when it runs.
pub fn forward_scope<const D: usize>(kind: OpKind, x: &Tensor<D>) -> ProfiledScope {
    scope(|| ProfiledOp::new(kind, false, x))
}

/// Reports the backward pass of an operation until the result is dropped.
pub(crate) fn backward_scope<const D: usize>(kind: OpKind, gradient: &Tensor<D>) -> ProfiledScope {
    scope(|| ProfiledOp::new(kind, true, gradient))
}

/// The backward pass of the reported operation that runs on this thread and returns `output`.
pub(crate) fn backward_of_current<const D: usize>(output: &Tensor<D>) -> Option<ProfiledOp> {
    CURRENT.get().map(|kind| ProfiledOp::new(kind, true, output))
}

/// Reports `op` until the result is dropped.
pub(crate) fn scope(op: impl FnOnce() -> ProfiledOp) -> ProfiledScope {
    if !IS_SET.load(Relaxed) || CURRENT.get().is_some() {
        return ProfiledScope(None);
    }
    let hook = HOOK.read().unwrap_or_else(PoisonError::into_inner).clone();
    ProfiledScope(hook.map(|hook| {
        let op = op();
        CURRENT.set(Some(op.kind));
        hook.begin(&op);
        (hook, op)
    }))
}

impl ProfiledOp {
    fn new<const D: usize>(kind: OpKind, is_backward: bool, x: &Tensor<D>) -> ProfiledOp {
        ProfiledOp { kind, is_backward, shape: x.dims().to_vec(), device: x.device() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::thread::{self, ThreadId};

    use super::*;
    use crate::kernels::max_pool2;

    /// The hook that was called, the operation's kind, whether it is of the backward pass, and its
    /// shape.
    type HookCall = (&'static str, OpKind, bool, Vec<usize>);

    /// Lists the calls of one thread: other tests run operations meanwhile.
    struct Recorder {
        thread: ThreadId,
        calls: Mutex<Vec<HookCall>>,
    }

    impl Recorder {
        fn push(&self, name: &'static str, op: &ProfiledOp) {
            if thread::current().id() == self.thread {
                let call = (name, op.kind, op.is_backward, op.shape.clone());
                self.calls.lock().unwrap().push(call);
            }
        }
    }

    impl ProfilerHook for Recorder {
        fn begin(&self, op: &ProfiledOp) {
            self.push("begin", op);
        }

        fn end(&self, op: &ProfiledOp) {
            self.push("end", op);
        }
    }

    /// One test, since the hook belongs to the process.
    #[test]
    fn the_hook_sees_the_outermost_operation_and_its_backward_pass_while_it_is_set() {
        let recorder =
            Arc::new(Recorder { thread: thread::current().id(), calls: Mutex::default() });
        let step = || {
            let x = Tensor::<5>::ones([1, 1, 2, 4, 4], &Device::flex().autodiff()).require_grad();
            let outer = forward_scope(OpKind::Loss, &x);
            drop(forward_scope(OpKind::Optimizer, &x));
            drop(outer);
            max_pool2(x).sum().backward();
        };
        step();
        set_hook(Some(recorder.clone()));
        step();
        set_hook(None);
        step();
        let [input, output] = [vec![1, 1, 2, 4, 4], vec![1, 1, 1, 2, 2]];
        let expected = [
            (OpKind::Loss, false, input.clone()),
            (OpKind::MaxPool, false, input),
            (OpKind::MaxPool, true, output),
        ];
        let expected: Vec<_> = expected
            .into_iter()
            .flat_map(|(kind, is_backward, shape)| {
                ["begin", "end"].map(|name| (name, kind, is_backward, shape.clone()))
            })
            .collect();
        assert_eq!(*recorder.calls.lock().unwrap(), expected);
    }
}
