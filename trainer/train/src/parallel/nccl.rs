//! Ranks that are processes with one GPU each sum by NCCL itself. Burn's collective makes its
//! communicators for the devices of one process, from an id that it does not share.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use burn::backend::Cube;
use burn::tensor::{DType, Tensor};
use burn_cubecl::kernel::into_contiguous;
use cubecl::cuda::CudaRuntime;
use cubecl_runtime::runtime::Runtime;
use cudarc::driver::{CudaContext, CudaStream, DevicePtrMut};
use cudarc::nccl::result as nccl;
use cudarc::nccl::sys::{
    ncclComm_t, ncclCommGetAsyncError, ncclDataType_t, ncclRedOp_t, ncclResult_t, ncclUniqueId,
};

use super::failure::FirstFailure;
use super::session::Id;
use super::{Reducer, World};

/// Time between two looks at whether the device is done.
const POLL_INTERVAL: Duration = Duration::from_micros(50);
/// Time that an error of NCCL waits for the name of the rank that it comes from. NCCL notices a rank
/// that was killed at once, its heartbeat is missed after 30 s.
const NAME_TIMEOUT: Duration = Duration::from_secs(40);

/// The reducer of one rank.
pub(super) struct NcclReducer {
    rank: usize,
    num_ranks: usize,
    /// `None` after an abort.
    communicator: Mutex<Option<Communicator>>,
    /// A stream of its own on the device's primary context, which burn uses too.
    stream: Arc<CudaStream>,
    failure: Arc<FirstFailure>,
}

struct Communicator(ncclComm_t);

// SAFETY: any thread may use NCCL's communicator, one at a time; it is behind a lock.
unsafe impl Send for Communicator {}

/// Checks that NCCL is installed.
///
/// # Errors
/// Names the library if it is missing.
pub(super) fn check(num_ranks: usize) -> Result<()> {
    // SAFETY: the call only tries to open the library.
    let is_there = unsafe { cudarc::nccl::sys::is_culib_present() };
    ensure!(is_there, "expected NCCL (libnccl.so) for {num_ranks} GPUs, found none");
    Ok(())
}

/// Returns a new id, which the first rank sends to the others.
///
/// # Errors
/// If NCCL refuses.
pub(super) fn new_id() -> Result<Id> {
    let id = nccl::get_uniqueid().map_err(|error| refused("an id", error))?;
    Ok(id.internal.iter().map(|byte| *byte as u8).collect())
}

/// Waits for all ranks to join. `device` is the number of this process's GPU.
///
/// # Errors
/// If the device or NCCL refuses.
pub(super) fn join(
    world: &World,
    device: usize,
    id: &Id,
    failure: Arc<FirstFailure>,
) -> Result<Arc<dyn Reducer>> {
    let stream = CudaContext::new(device)?.new_stream()?;
    let id = <[u8; 128]>::try_from(&id[..]).context("expected an NCCL id of 128 bytes")?;
    let id = ncclUniqueId { internal: id.map(|byte| byte as _) };
    let mut communicator = MaybeUninit::uninit();
    // SAFETY: the pointer is valid, and the value is read only after NCCL has written it. All ranks
    // have the first rank's id, and each has its own number.
    let communicator = unsafe {
        let (size, rank) = (world.size as i32, world.rank as i32);
        nccl::comm_init_rank(communicator.as_mut_ptr(), size, id, rank)
            .map_err(|error| refused("a communicator", error))?;
        Communicator(communicator.assume_init())
    };
    Ok(Arc::new(NcclReducer {
        rank: world.rank,
        num_ranks: world.size,
        communicator: Mutex::new(Some(communicator)),
        stream,
        failure,
    }))
}

impl NcclReducer {
    /// Sums numbers in device memory in place, and waits until it is done.
    ///
    /// # Safety
    /// `pointer` points to `count` numbers of that type, which nothing else uses meanwhile.
    unsafe fn sum_in_place(&self, pointer: u64, count: usize, kind: ncclDataType_t) -> Result<()> {
        let mut communicator = self.communicator.lock().expect("no panic while it is held");
        let Some(Communicator(used)) = *communicator else {
            bail!("expected NCCL's communicator, found it aborted")
        };
        self.stream.context().bind_to_thread()?;
        let stream = self.stream.cu_stream();
        let waited = (|| {
            let (send, receive) = (pointer as *const c_void, pointer as *mut c_void);
            let sum = ncclRedOp_t::ncclSum;
            // SAFETY: as the caller promises; the communicator and the stream live on.
            unsafe { nccl::all_reduce(send, receive, count, kind, sum, used, stream as _) }
                .map_err(|error| self.named(refused("a sum", error)))?;
            self.wait(used)
        })();
        if waited.is_err()
            && let Some(Communicator(broken)) = communicator.take()
        {
            // The device waits for ranks that never come. SAFETY: nothing uses the communicator again.
            let _ = unsafe { nccl::comm_abort(broken) };
        }
        waited
    }

    /// Returns the failure of the rank that ended NCCL's connections, if it becomes known in time.
    fn named(&self, error: anyhow::Error) -> anyhow::Error {
        let deadline = Instant::now() + NAME_TIMEOUT;
        while Instant::now() < deadline {
            if let Err(failure) = self.failure.check() {
                return failure;
            }
            thread::sleep(POLL_INTERVAL);
        }
        error
    }

    /// Waits for the stream until a rank fails.
    fn wait(&self, communicator: ncclComm_t) -> Result<()> {
        let done = self.stream.record_event(None)?;
        while !done.try_is_complete()? {
            self.failure.check()?;
            let mut state = ncclResult_t::ncclSuccess;
            // SAFETY: the communicator and the value behind the pointer are alive.
            let asked = unsafe { ncclCommGetAsyncError(communicator, &mut state) };
            for answer in [asked, state] {
                answer.result().map_err(|error| self.named(refused("to go on", error)))?;
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }
}

fn refused(what: &str, error: nccl::NcclError) -> anyhow::Error {
    anyhow!("NCCL refused {what}: {:?} (NCCL_DEBUG=INFO shows more)", error.0)
}

impl Reducer for NcclReducer {
    fn rank(&self) -> usize {
        self.rank
    }

    fn num_ranks(&self) -> usize {
        self.num_ranks
    }

    fn sum_numbers(&self, numbers: &mut [f64]) -> Result<()> {
        // NCCL waits for other ranks only if there is something to sum.
        let own = if numbers.is_empty() { &[0.0][..] } else { &*numbers };
        let mut on_device = self.stream.clone_htod(own)?;
        {
            let (pointer, _used) = on_device.device_ptr_mut(&self.stream);
            // SAFETY: the numbers were just copied there, on this stream.
            unsafe { self.sum_in_place(pointer, own.len(), ncclDataType_t::ncclFloat64)? };
        }
        let sums = self.stream.clone_dtoh(&on_device)?;
        self.stream.synchronize()?;
        numbers.copy_from_slice(&sums[..numbers.len()]);
        Ok(())
    }

    fn sum(&self, values: Tensor<1>) -> Result<Tensor<1>> {
        let (device, count) = (values.device(), values.shape().num_elements());
        // A buffer of its own, since the sum is in place.
        let values = values.add_scalar(0.0);
        let values = values.try_into_primitive::<Cube>().map_err(|error| anyhow!("{error:?}"))?;
        let values = into_contiguous(values);
        type Server = <CudaRuntime as Runtime>::Server;
        let buffer = values.client.get_resource::<Server>(values.handle.clone());
        let buffer = buffer.map_err(|error| anyhow!("a tensor's buffer: {error:?}"))?;
        // After this, burn has no work left on the buffer, and adds none until this returns.
        device.sync().map_err(|error| anyhow!("waiting for the device: {error:?}"))?;
        ensure!(values.dtype == DType::F32, "expected gradients in f32, found {:?}", values.dtype);
        let pointer = buffer.resource().ptr;
        // SAFETY: the buffer holds `count` f32 and stays in place until it is dropped.
        unsafe { self.sum_in_place(pointer, count, ncclDataType_t::ncclFloat32)? };
        drop(buffer);
        Ok(Tensor::from_primitive::<Cube>(values))
    }
}

impl Drop for NcclReducer {
    fn drop(&mut self) {
        if let Ok(mut communicator) = self.communicator.lock()
            && let Some(Communicator(used)) = communicator.take()
        {
            // SAFETY: nothing uses the communicator again. An error at the end of a run is harmless.
            let _ = unsafe { nccl::comm_destroy(used) };
        }
    }
}
