//! Units of a stage between maps of two sizes.

use model_core::View;
use model_core::network::stages::Source;

use super::builder::PlanBuilder;
use super::unit::{Bound, Unit};
use crate::kernels::{InputSlab, OutputPlanes, quads};

impl PlanBuilder<'_> {
    /// Adds a stage from a map of another size. `center` returns the input plane of an output
    /// plane; the kernel reads `reach` planes before and after it. `own` is set if the output is
    /// added to.
    pub(super) fn resampled(
        &mut self,
        from: &Source,
        to: &View,
        center: impl Fn(usize) -> usize,
        (before, after): (usize, usize),
        own: Option<usize>,
        dispatch: impl Fn(InputSlab, OutputPlanes, &mut Unit, &[(u32, Bound)]),
    ) {
        let (input, output) = (self.level(from.view.buffer), self.level(to.buffer));
        let voxels = |planes: usize| (output.dims[0] * output.dims[1] * planes) as u64;
        let work = if before == 1 { 8 * to.channels.len() as u64 } else { 0 };
        for slab in 0..output.num_slabs() {
            let planes = output.planes(slab);
            let slab_of = |k: usize| center(k) / input.height;
            let all: Vec<usize> = planes.clone().collect();
            for (n, some) in all.chunk_by(|&a, &b| slab_of(a) == slab_of(b)).enumerate() {
                let source = slab_of(some[0]);
                let (mut bound, mut reads) = self.around(from, source, [before > 0, after > 0]);
                bound.push((5, Bound::Slab(to.buffer, slab)));
                let writes = vec![self.touch(to, slab)];
                if own.is_some() || n > 0 {
                    // Existing values are kept, also those of a part that another slab wrote.
                    reads.extend(writes.iter().cloned());
                }
                let share = some.len() as u64;
                let part = self.bytes(to, slab) * share / all.len() as u64;
                let ratio = input.dims.iter().product::<usize>() as f64
                    / output.dims.iter().product::<usize>() as f64;
                let channels = from.view.channels.len() as f64 / to.channels.len() as f64;
                let moved =
                    part * (1 + u64::from(own.is_some())) + (part as f64 * ratio * channels) as u64;
                let mut unit = Unit::new(reads, writes, work * voxels(some.len()), moved);
                let planes = OutputPlanes {
                    dims: [output.dims[0] as u32, output.dims[1] as u32, planes.len() as u32],
                    row_quads: quads(output.dims[0]) as u32,
                    first_channel: to.channels.start as u32,
                    first_plane: planes.start as u32,
                    start_plane: some[0] as u32,
                    end_plane: some[some.len() - 1] as u32 + 1,
                };
                dispatch(self.input_slab(from, source), planes, &mut unit, &bound);
                self.units.push(unit);
            }
        }
    }
}
