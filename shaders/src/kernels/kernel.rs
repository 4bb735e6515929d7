//! A kernel: its WGSL source, and a dispatch of it.

/// A WGSL source and its entry points.
#[derive(Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The file's name.
    pub name: &'static str,
    /// The WGSL source without the common sources that [`Kernel::source`] prepends.
    pub body: &'static str,
    /// Its compute entry points.
    pub entries: &'static [&'static str],
    /// Bytes of its `Params`.
    pub params_bytes: usize,
    /// Common sources that it needs beside those of all kernels.
    pub includes: &'static [&'static str],
}

/// Storage type of feature maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Storage {
    /// 32 bits.
    F32,
    /// 16 bits, summed in 32 bits.
    F16,
}

impl Storage {
    /// Bytes of four voxels.
    pub fn quad_bytes(self) -> u64 {
        match self {
            Storage::F32 => 16,
            Storage::F16 => 8,
        }
    }
}

/// Optional GPU features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hardware {
    /// Native f16.
    pub has_f16: bool,
    /// Subgroup operations. (In browsers wgpu does not request them.)
    pub has_subgroups: bool,
}

impl Kernel {
    /// Returns the complete source for a storage type.
    pub fn source(&self, storage: Storage, hardware: Hardware) -> String {
        let storage = match (storage, hardware.has_f16) {
            (Storage::F32, _) => include_str!("common/f32.wgsl"),
            (Storage::F16, true) => include_str!("common/f16.wgsl"),
            (Storage::F16, false) => include_str!("common/f16_packed.wgsl"),
        };
        let reduce = match hardware.has_subgroups {
            true => include_str!("common/reduce_subgroups.wgsl"),
            false => include_str!("common/reduce_workgroup.wgsl"),
        };
        let mut sources = vec![storage, include_str!("common/norm.wgsl")];
        sources.extend(self.includes);
        if self.includes.contains(&MOMENTS) {
            sources.push(reduce);
        }
        sources.push(self.body);
        sources.join("\n")
    }
}

/// Values of a kernel's `override` constants. A kernel is compiled for each set.
pub type Constants = &'static [(&'static str, u32)];

/// One dispatch of an entry point.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch<P> {
    /// The kernel's `params`.
    pub params: P,
    /// Constants that the kernel is compiled with.
    pub constants: Constants,
    /// Workgroups along x, y, z.
    pub workgroups: [u32; 3],
}

/// Common source: a slab with its neighbors.
pub(super) const INPUT_SLAB: &str = include_str!("common/input_slab.wgsl");

/// Common source: outputs of resampling operations.
pub(super) const OUTPUT_PLANES: &str = include_str!("common/output_planes.wgsl");

/// Common source: moments.
pub(super) const MOMENTS: &str = include_str!("common/moments.wgsl");

/// Common source: reduction of the moments of eight channels over a workgroup.
pub(super) const REDUCE_EIGHT: &str = include_str!("common/reduce_eight.wgsl");

/// Common source: moments of eight channels in one invocation.
pub(super) const SHIFTED_SUMS: &str = include_str!("common/shifted_sums.wgsl");

/// Common source: sums of three output planes.
pub(super) const PLANE_SUMS: &str = include_str!("common/plane_sums.wgsl");

/// Common source: statistics of two blocks of channels.
pub(super) const BLOCK_PAIR: &str = include_str!("common/block_pair.wgsl");

/// Common source: eight output channels.
pub(super) const EIGHT_CHANNELS: &str = include_str!("common/eight_channels.wgsl");
