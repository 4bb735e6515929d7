//! Finds the connected components of a mask.

/// The neighborhood in which voxels are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connectivity {
    /// Voxels that share a face: 6 neighbors.
    Face,
    /// Voxels that share a face or an edge: 18 neighbors.
    Edge,
    /// Voxels that share a face, an edge or a corner: 26 neighbors.
    Corner,
}

impl Connectivity {
    /// Returns the number of axes along which two neighbors may differ by one voxel.
    fn max_axes(self) -> usize {
        match self {
            Connectivity::Face => 1,
            Connectivity::Edge => 2,
            Connectivity::Corner => 3,
        }
    }
}

/// The connected components of a mask, numbered from 1 in the order of their first voxels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Components {
    /// The component of each voxel; 0 outside the mask.
    pub labels: Vec<u32>,
    /// The number of voxels of each component; component n is at index n − 1.
    pub sizes: Vec<usize>,
}

impl Components {
    /// Returns the number of components.
    pub fn count(&self) -> usize {
        self.sizes.len()
    }

    /// Returns the component with the most voxels, or the first of several; `None` if the mask is
    /// empty.
    pub fn largest(&self) -> Option<u32> {
        let most = self.sizes.iter().max()?;
        self.sizes.iter().position(|size| size == most).map(|index| index as u32 + 1)
    }
}

/// Consecutive voxels of a row (along i) that are in the mask.
#[derive(Clone, Copy)]
struct Run {
    start: usize,
    /// The voxel after the last.
    end: usize,
}

/// Finds the connected components of a mask of `dims` voxels (i fastest).
///
/// Each run of voxels along i is joined with the connected runs of the previous rows. The time grows
/// with the number of voxels, and depends little on the number of voxels in the mask.
///
/// # Panics
/// If the mask has another size, or more than `u32::MAX` runs.
pub fn components(mask: &[bool], dims: [usize; 3], connectivity: Connectivity) -> Components {
    let [ni, nj, nk] = dims;
    assert_eq!(mask.len(), ni * nj * nk, "a mask of {dims:?} voxels");
    if mask.is_empty() {
        return Components { labels: Vec::new(), sizes: Vec::new() };
    }
    let mut runs: Vec<Run> = Vec::new();
    // The number of runs up to and including each row.
    let mut ends = Vec::with_capacity(nj * nk);
    let mut parents: Vec<u32> = Vec::new();
    for (row, voxels) in mask.chunks_exact(ni).enumerate() {
        let first = runs.len();
        push_runs(voxels, &mut runs);
        parents.extend(first as u32..u32::try_from(runs.len()).expect("runs are fewer than 2³²"));
        let (j, k) = (row % nj, row / nj);
        for (dj, dk) in [(-1, 0), (-1, -1), (0, -1), (1, -1)] {
            let axes = usize::from(dj != 0) + usize::from(dk != 0);
            let (Some(j), Some(k)) = (j.checked_add_signed(dj), k.checked_add_signed(dk)) else {
                continue;
            };
            if axes > connectivity.max_axes() || j >= nj {
                continue;
            }
            let other = j + nj * k;
            let begin = if other == 0 { 0 } else { ends[other - 1] };
            let reach = usize::from(connectivity.max_axes() > axes);
            join(&runs, begin..ends[other], first..runs.len(), reach, &mut parents);
        }
        ends.push(runs.len());
    }
    number_components(&runs, &ends, &mut parents, ni, mask.len())
}

/// Appends the runs of a row.
fn push_runs(voxels: &[bool], runs: &mut Vec<Run>) {
    let mut i = 0;
    while let Some(ahead) = voxels[i..].iter().position(|&inside| inside) {
        let start = i + ahead;
        let length = voxels[start..].iter().position(|&inside| !inside);
        i = length.map_or(voxels.len(), |length| start + length);
        runs.push(Run { start, end: i });
    }
}

/// Joins the connected runs of two rows. Runs that are `reach` voxels apart are connected too.
fn join(
    runs: &[Run],
    mut a: std::ops::Range<usize>,
    mut b: std::ops::Range<usize>,
    reach: usize,
    parents: &mut [u32],
) {
    while !a.is_empty() && !b.is_empty() {
        let (x, y) = (runs[a.start], runs[b.start]);
        if x.start < y.end + reach && y.start < x.end + reach {
            let (x, y) = (root(parents, a.start), root(parents, b.start));
            // The first run of a component is its root.
            parents[x.max(y)] = x.min(y) as u32;
        }
        if x.end < y.end { a.start += 1 } else { b.start += 1 }
    }
}

/// Returns the first run of a run's component, and shortens the path to it.
fn root(parents: &mut [u32], mut run: usize) -> usize {
    while parents[run] as usize != run {
        parents[run] = parents[parents[run] as usize];
        run = parents[run] as usize;
    }
    run
}

/// Numbers the components and writes the numbers to the voxels of their runs.
fn number_components(
    runs: &[Run],
    ends: &[usize],
    parents: &mut [u32],
    ni: usize,
    num_voxels: usize,
) -> Components {
    let mut labels = vec![0; num_voxels];
    let mut sizes: Vec<usize> = Vec::new();
    let mut numbers = vec![0u32; runs.len()];
    let mut begin = 0;
    for (row, &end) in ends.iter().enumerate() {
        for run in begin..end {
            let first = root(parents, run);
            if first == run {
                sizes.push(0);
                numbers[run] = sizes.len() as u32;
            }
            numbers[run] = numbers[first];
            let Run { start, end } = runs[run];
            sizes[numbers[run] as usize - 1] += end - start;
            labels[row * ni + start..row * ni + end].fill(numbers[run]);
        }
        begin = end;
    }
    Components { labels, sizes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(voxels: &[[usize; 3]], connectivity: Connectivity) -> usize {
        let mut mask = vec![false; 27];
        voxels.iter().for_each(|[i, j, k]| mask[i + 3 * (j + 3 * k)] = true);
        components(&mask, [3; 3], connectivity).count()
    }

    #[test]
    fn voxels_are_connected_by_face_edge_or_corner() {
        use Connectivity::{Corner, Edge, Face};
        let center = [1, 1, 1];
        for neighbor in (0..27).map(|n| [n % 3, n / 3 % 3, n / 9]) {
            let axes = (0..3).filter(|&axis| neighbor[axis] != 1).count();
            let counts = [Face, Edge, Corner].map(|c| count(&[center, neighbor], c));
            let expected = |max_axes: usize| if axes <= max_axes { 1 } else { 2 };
            assert_eq!(counts, [expected(1), expected(2), expected(3)], "{neighbor:?}");
        }
        assert_eq!(count(&[[0, 0, 0], [2, 0, 0], [0, 2, 2]], Corner), 3);
    }

    #[test]
    fn branches_that_join_in_a_later_row_are_one_component() {
        // A U in a plane, and a separate voxel.
        let u = [[0, 0, 0], [2, 0, 0], [0, 1, 0], [2, 1, 0], [0, 2, 0], [1, 2, 0], [2, 2, 0]];
        let mut mask = vec![false; 27];
        u.iter().for_each(|[i, j, k]| mask[i + 3 * (j + 3 * k)] = true);
        mask[1] = false;
        mask[18] = true;
        let found = components(&mask, [3; 3], Connectivity::Face);
        assert_eq!((found.sizes.clone(), found.largest()), (vec![7, 1], Some(1)));
        assert_eq!((found.labels[2], found.labels[18], found.labels[1]), (1, 2, 0));
        assert_eq!(components(&[false; 8], [2; 3], Connectivity::Face).largest(), None);
    }
}
