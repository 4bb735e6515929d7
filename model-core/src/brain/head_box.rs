//! First step of brain extraction: the head in a box of fixed size and resolution, whatever the scan.

use crate::geometry::resample;
use crate::{Affine, Error, Grid, LabelMap, Orientation, Result, Volume};

/// The voxels of the box along right, front, top. It holds a whole head down to the mouth: the top of
/// the head is at the top of the box.
const DIMS: [usize; 3] = [96, 108, 96];

/// The spacing of the box along each axis.
const SPACING_MM: f64 = 2.0;

/// The empty voxels above the head.
const MARGIN: usize = 4;

/// The most voxels of a scan at the box's spacing.
const MAX_VOXELS: usize = 1 << 27;

/// The position of a box in a scan.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadBox {
    source: Grid,
    orientation: Orientation,
    /// The scan's voxels along right, front, top, and the same at the box's spacing.
    canonical: [usize; 3],
    scaled: [usize; 3],
    /// The scan's voxel, at the box's spacing, that is the first of the box. It may be before the scan.
    start: [isize; 3],
}

impl HeadBox {
    /// Finds the head in a scan.
    ///
    /// # Errors
    /// [`Error::Scan`] if the scan is empty or constant; [`Error::Geometry`]; [`Error::TooLarge`].
    pub fn find(volume: &Volume) -> Result<HeadBox> {
        let source = volume.grid().clone();
        source.world_from_voxel.check()?;
        let orientation = source.orientation();
        let canonical = orientation.canonical_dims(source.dims);
        let spacing_mm = source.world_from_voxel.spacing_mm();
        let scaled: [usize; 3] = std::array::from_fn(|a| {
            let extent_mm = canonical[a] as f64 * spacing_mm[orientation.axes[a]];
            (extent_mm / SPACING_MM).round().max(1.0) as usize
        });
        let num_voxels = scaled.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if source.num_voxels() == 0 || num_voxels.is_none_or(|n| n > MAX_VOXELS) {
            let found_bytes = 4 * num_voxels.unwrap_or(usize::MAX / 4) as u64;
            let limit_bytes = 4 * MAX_VOXELS as u64;
            return Err(Error::TooLarge { what: "the scan at 2 mm", limit_bytes, found_bytes });
        }
        let mut head_box = HeadBox { source, orientation, canonical, scaled, start: [0; 3] };
        let values = head_box.scale(volume);
        let levels = Levels::measure(&values)?;
        head_box.start = start(&values, scaled, levels.tissue);
        Ok(head_box)
    }

    /// Returns a scan in the box: 0 is background, 1 a bright tissue.
    ///
    /// # Errors
    /// [`Error::Scan`] if the scan is constant or not of the size of the box's.
    pub fn place(&self, volume: &Volume) -> Result<Volume> {
        if volume.grid().dims != self.source.dims {
            let expected = format!("channels of {:?} voxels", self.source.dims);
            return Err(Error::scan(expected, format!("{:?}", volume.grid().dims)));
        }
        let mut values = self.scale(volume);
        let levels = Levels::measure(&values)?;
        let scale = 1.0 / (levels.bright - levels.background);
        values.iter_mut().for_each(|v| *v = ((*v - levels.background) * scale).clamp(0.0, 1.5));
        Volume::new(self.grid(), self.cut(&values))
    }

    /// Returns a scan's values along right, front, top at the box's spacing.
    fn scale(&self, volume: &Volume) -> Vec<f32> {
        let mut values = self.orientation.to_canonical(self.source.dims, volume.values());
        values.iter_mut().filter(|v| !v.is_finite()).for_each(|v| *v = 0.0);
        match self.scaled == self.canonical {
            true => values,
            false => resample::image(&values, self.canonical, self.scaled),
        }
    }

    /// Returns the box's grid: its own millimeters, along right, front, top.
    pub fn grid(&self) -> Grid {
        Grid::new(DIMS, Affine::from_spacing([SPACING_MM; 3]))
    }

    /// Returns a label map of the scan in the box; each voxel takes the label with the largest share.
    ///
    /// # Panics
    /// If the labels are not on the scan's grid.
    pub fn place_labels(&self, map: &LabelMap) -> LabelMap {
        assert_eq!(map.grid().dims, self.source.dims, "labels on the scan's grid");
        let labels = self.orientation.to_canonical(self.source.dims, map.labels());
        let labels = resample::labels(&labels, self.canonical, self.scaled);
        LabelMap::new(self.grid(), self.cut(&labels)).expect("a label for each voxel of the box")
    }

    /// Returns values of the box on the scan's grid, interpolated linearly; `outside` where the scan is
    /// larger than the box.
    ///
    /// # Panics
    /// If there is not one value for each voxel of the box.
    pub fn restore(&self, values: &[f32], outside: f32) -> Vec<f32> {
        assert_eq!(values.len(), DIMS.iter().product::<usize>(), "one value for each voxel");
        let mut scaled = vec![outside; self.scaled.iter().product()];
        self.for_each_row(|from, to, length| {
            scaled[from..from + length].copy_from_slice(&values[to..to + length]);
        });
        if self.scaled != self.canonical {
            scaled = resample::image(&scaled, self.scaled, self.canonical);
        }
        self.orientation.from_canonical(self.source.dims, &scaled)
    }

    /// Returns the values of the box, with the default outside the scan.
    fn cut<T: Copy + Default>(&self, values: &[T]) -> Vec<T> {
        let mut out = vec![T::default(); DIMS.iter().product()];
        self.for_each_row(|from, to, length| {
            out[to..to + length].copy_from_slice(&values[from..from + length]);
        });
        out
    }

    /// Calls `visit` for each row along i that scan and box share: its first voxel in the scan, its
    /// first voxel in the box, and its length.
    fn for_each_row(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let shared: [[usize; 2]; 3] = std::array::from_fn(|a| {
            let first = (-self.start[a]).max(0) as usize;
            let end = (self.scaled[a] as isize - self.start[a]).clamp(0, DIMS[a] as isize);
            [first, end as usize]
        });
        let in_scan = |n: usize, a: usize| (n as isize + self.start[a]) as usize;
        let [[i0, i1], [j0, j1], [k0, k1]] = shared;
        if i0 >= i1 {
            return;
        }
        for k in k0..k1 {
            for j in j0..j1 {
                let row = in_scan(j, 1) + self.scaled[1] * in_scan(k, 2);
                let from = in_scan(i0, 0) + self.scaled[0] * row;
                visit(from, i0 + DIMS[0] * (j + DIMS[1] * k), i1 - i0);
            }
        }
    }
}

/// Intensities that divide a scan.
struct Levels {
    background: f32,
    /// Below it a voxel is probably background.
    tissue: f32,
    /// An intensity that one in a hundred voxels of tissue exceeds.
    bright: f32,
}

impl Levels {
    fn measure(values: &[f32]) -> Result<Levels> {
        let mut sorted = values.to_vec();
        let percentile = |values: &mut [f32], percent: usize| {
            let Some(last) = values.len().checked_sub(1) else {
                return Err(Error::scan("intensities that differ", "a constant scan"));
            };
            Ok(*values.select_nth_unstable_by(last * percent / 100, f32::total_cmp).1)
        };
        let background = percentile(&mut sorted, 1)?;
        let mean = |values: &mut dyn Iterator<Item = f32>| {
            let (sum, count) = values.fold((0.0, 0u64), |(sum, n), v| (sum + f64::from(v), n + 1));
            (sum / count.max(1) as f64) as f32
        };
        // The threshold between the means of both sides, found by iteration (Ridler and Calvard 1978).
        let mut threshold = mean(&mut sorted.iter().copied());
        for _ in 0..20 {
            let low = mean(&mut sorted.iter().copied().filter(|v| *v <= threshold));
            let high = mean(&mut sorted.iter().copied().filter(|v| *v > threshold));
            threshold = 0.5 * (low + high);
        }
        let mut above: Vec<f32> = sorted.into_iter().filter(|v| *v > threshold).collect();
        let tissue = background + 0.2 * (percentile(&mut above, 50)? - background);
        let mut tissues: Vec<f32> = values.iter().copied().filter(|v| *v > tissue).collect();
        let bright = percentile(&mut tissues, 99)?;
        if bright <= background {
            return Err(Error::scan("intensities that differ", "a constant scan"));
        }
        Ok(Levels { background, tissue, bright })
    }
}

/// Returns the first voxel of the box: it is centered on the head, or has the top of the head at its
/// top if the scan reaches further down than the box.
fn start(values: &[f32], dims: [usize; 3], threshold: f32) -> [isize; 3] {
    let planes = |axis: usize, from_k: usize| {
        let mut counts = vec![0usize; dims[axis]];
        let first = from_k * dims[0] * dims[1];
        for (n, _) in values.iter().enumerate().skip(first).filter(|(_, v)| **v > threshold) {
            let voxel = [n % dims[0], n / dims[0] % dims[1], n / (dims[0] * dims[1])];
            counts[voxel[axis]] += 1;
        }
        extent(&counts)
    };
    let [low, top] = planes(2, 0);
    let height = DIMS[2] - 2 * MARGIN;
    let from_k = low.max(top.saturating_sub(height));
    let centered =
        |[low, end]: [usize; 2], axis: usize| (low + end) as isize / 2 - DIMS[axis] as isize / 2;
    let above = (top + MARGIN) as isize - DIMS[2] as isize;
    let k = if top - low > height { above } else { centered([low, top], 2) };
    [centered(planes(0, from_k), 0), centered(planes(1, from_k), 1), k]
}

/// Returns the first plane of the head, and the plane after the last: those with more than a
/// fiftieth of the fullest plane's voxels.
fn extent(counts: &[usize]) -> [usize; 2] {
    let most = counts.iter().copied().max().unwrap_or(0);
    let is_head = |count: &usize| *count * 50 > most;
    let first = counts.iter().position(is_head).unwrap_or(0);
    [first, counts.iter().rposition(is_head).map_or(counts.len(), |last| last + 1)]
}
