//! A stage between maps of two sizes as units.

use model_core::View;

use super::PlanBuilder;
use super::unit::{Bound, Unit};
use crate::kernels::{Planes, Window, quads};
use crate::lower::Source;

impl PlanBuilder<'_> {
    /// From a map of another size. `center` is the input plane that an output plane lies at, of which
    /// it reads so many more before and after; `own` is there where it is added to what is there.
    pub(super) fn resampled(
        &mut self,
        from: &Source,
        to: &View,
        center: impl Fn(usize) -> usize,
        (before, after): (usize, usize),
        own: Option<usize>,
        dispatch: impl Fn(Window, Planes, &mut Unit, &[(u32, Bound)]),
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
                    // What is there stays; so does a part that came from another slab.
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
                let planes = Planes {
                    dims: [output.dims[0] as u32, output.dims[1] as u32, planes.len() as u32],
                    quads: quads(output.dims[0]) as u32,
                    channel: to.channels.start as u32,
                    first: planes.start as u32,
                    start: some[0] as u32,
                    end: some[some.len() - 1] as u32 + 1,
                };
                dispatch(self.window(from, source), planes, &mut unit, &bound);
                self.units.push(unit);
            }
        }
    }
}
