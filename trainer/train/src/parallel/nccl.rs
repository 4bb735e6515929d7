//! Ranks that are processes, one a GPU, add up by NCCL itself: burn's collective makes its
//! communicators for the devices of one process, from an id that it keeps to itself.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
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

use super::link::{Id, Link};
use super::{Reducer, World};

/// Between two looks at whether the device is done.
const PAUSE: Duration = Duration::from_micros(50);
/// How long an error of NCCL's waits for the name of the rank that it comes from.
const GRACE: Duration = Duration::from_secs(2);

/// One rank.
pub(super) struct Nccl {
    rank: usize,
    num_ranks: usize,
    /// None after it was aborted.
    communicator: Mutex<Option<Communicator>>,
    /// A stream of its own on the device's primary context, which burn uses too.
    stream: Arc<CudaStream>,
    link: Arc<Link>,
}

struct Communicator(ncclComm_t);

// SAFETY: NCCL's communicator may be used from any thread, by one at a time: it is behind a lock.
unsafe impl Send for Communicator {}

/// Refuses where there is no NCCL.
///
/// # Errors
/// Names the library.
pub(super) fn check(num_ranks: usize) -> Result<()> {
    // SAFETY: it only tries to open the library.
    let is_there = unsafe { cudarc::nccl::sys::is_culib_present() };
    ensure!(is_there, "expected NCCL (libnccl.so) for {num_ranks} GPUs, found none");
    Ok(())
}

/// A new id, for the first rank to hand to the others.
///
/// # Errors
/// When NCCL refuses.
pub(super) fn new_id() -> Result<Id> {
    let id = nccl::get_uniqueid().map_err(|error| refused("an id", error))?;
    Ok(id.internal.map(|byte| byte as u8))
}

/// Joins the others, waiting for them; `device` is the number of this process's GPU.
///
/// # Errors
/// When the device or NCCL refuses.
pub(super) fn join(
    world: &World,
    device: usize,
    id: Id,
    link: Arc<Link>,
) -> Result<Arc<dyn Reducer>> {
    let stream = CudaContext::new(device)?.new_stream()?;
    let id = ncclUniqueId { internal: id.map(|byte| byte as _) };
    let mut communicator = MaybeUninit::uninit();
    // SAFETY: the pointer is valid; what it points to is read only after NCCL said that it wrote
    // it. All ranks come with the first one's id, each with a number of its own.
    let communicator = unsafe {
        let (size, rank) = (world.size as i32, world.rank as i32);
        nccl::comm_init_rank(communicator.as_mut_ptr(), size, id, rank)
            .map_err(|error| refused("a communicator", error))?;
        Communicator(communicator.assume_init())
    };
    Ok(Arc::new(Nccl {
        rank: world.rank,
        num_ranks: world.size,
        communicator: Mutex::new(Some(communicator)),
        stream,
        link,
    }))
}

impl Nccl {
    /// Sums numbers at a place on the device in place, and waits until it is done.
    ///
    /// # Safety
    /// There are `count` numbers of that type at the place, which nothing else uses meanwhile.
    unsafe fn sum_at(&self, place: u64, count: usize, kind: ncclDataType_t) -> Result<()> {
        let mut communicator = self.communicator.lock().expect("no panic while it is held");
        let Some(Communicator(used)) = *communicator else {
            bail!("expected NCCL's communicator, found it aborted")
        };
        self.stream.context().bind_to_thread()?;
        let stream = self.stream.cu_stream();
        let waited = (|| {
            // SAFETY: the caller's promise; the communicator and the stream live on.
            unsafe {
                let sum = ncclRedOp_t::ncclSum;
                nccl::all_reduce(
                    place as *const c_void,
                    place as *mut c_void,
                    count,
                    kind,
                    sum,
                    used,
                    stream as _,
                )
            }
            .map_err(|error| self.named(refused("a sum", error)))?;
            self.wait(used)
        })();
        if waited.is_err()
            && let Some(Communicator(broken)) = communicator.take()
        {
            // What runs on the device waits for ranks that never come. SAFETY: nobody uses it again.
            let _ = unsafe { nccl::comm_abort(broken) };
        }
        waited
    }

    /// The rank whose end made NCCL fail, where one is known by now: NCCL's own connections may close
    /// before ours.
    fn named(&self, error: anyhow::Error) -> anyhow::Error {
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            if let Some(failure) = self.link.failure() {
                return failure.into();
            }
            thread::sleep(PAUSE);
        }
        error
    }

    /// Waits for the stream, for as long as no rank has failed.
    fn wait(&self, communicator: ncclComm_t) -> Result<()> {
        let done = self.stream.record_event(None)?;
        while !done.try_is_complete()? {
            if let Some(failure) = self.link.failure() {
                return Err(failure.into());
            }
            let mut state = ncclResult_t::ncclSuccess;
            // SAFETY: the communicator is alive, and the pointer is to a value that is.
            let asked = unsafe { ncclCommGetAsyncError(communicator, &mut state) };
            for answer in [asked, state] {
                answer.result().map_err(|error| self.named(refused("to go on", error)))?;
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

fn refused(what: &str, error: nccl::NcclError) -> anyhow::Error {
    anyhow!("NCCL refused {what}: {:?} (NCCL_DEBUG=INFO tells more)", error.0)
}

impl Reducer for Nccl {
    fn rank(&self) -> usize {
        self.rank
    }

    fn num_ranks(&self) -> usize {
        self.num_ranks
    }

    fn sum_numbers(&self, numbers: &mut [f64]) -> Result<()> {
        // NCCL does not wait for others where there is nothing to sum.
        let brought = if numbers.is_empty() { &[0.0][..] } else { &*numbers };
        let mut there = self.stream.clone_htod(brought)?;
        {
            let count = brought.len();
            let (place, _used) = there.device_ptr_mut(&self.stream);
            // SAFETY: the numbers were just copied there, on this stream.
            unsafe { self.sum_at(place, count, ncclDataType_t::ncclFloat64)? };
        }
        let sums = self.stream.clone_dtoh(&there)?;
        self.stream.synchronize()?;
        numbers.copy_from_slice(&sums[..numbers.len()]);
        Ok(())
    }

    fn sum(&self, values: Tensor<1>) -> Result<Tensor<1>> {
        let (device, count) = (values.device(), values.shape().num_elements());
        // A buffer of its own, since it is changed in place.
        let values = values.add_scalar(0.0);
        let values = values.try_into_primitive::<Cube>().map_err(|error| anyhow!("{error:?}"))?;
        let values = into_contiguous(values);
        type Server = <CudaRuntime as Runtime>::Server;
        let found = values.client.get_resource::<Server>(values.handle.clone());
        let held = found.map_err(|error| anyhow!("a tensor's place on the device: {error:?}"))?;
        // Burn's own work on it is done, and none is added until this returns.
        device.sync().map_err(|error| anyhow!("waiting for the device: {error:?}"))?;
        ensure!(values.dtype == DType::F32, "expected gradients in f32, found {:?}", values.dtype);
        // SAFETY: `held` keeps the buffer in place, and it is of so many f32.
        unsafe { self.sum_at(held.resource().ptr, count, ncclDataType_t::ncclFloat32)? };
        drop(held);
        Ok(Tensor::from_primitive::<Cube>(values))
    }
}

impl Drop for Nccl {
    fn drop(&mut self) {
        if let Ok(mut communicator) = self.communicator.lock()
            && let Some(Communicator(used)) = communicator.take()
        {
            // SAFETY: nobody uses it again. That it refuses at the end of a run changes nothing.
            let _ = unsafe { nccl::comm_destroy(used) };
        }
    }
}
