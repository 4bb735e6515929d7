//! Connected components of a mask.

/// Which voxels touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connectivity {
    /// Those that share a face: 6 neighbors.
    Face,
    /// Those that share a face or an edge: 18 neighbors.
    Edge,
    /// Those that share a face, an edge or a corner: 26 neighbors.
    Corner,
}

impl Connectivity {
    /// In how many axes two neighbors may differ, by one voxel each.
    fn order(self) -> usize {
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
    /// For each voxel its component; 0 outside the mask.
    pub labels: Vec<u32>,
    /// For each component its number of voxels; component n stands at n − 1.
    pub sizes: Vec<usize>,
}

impl Components {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.sizes.len()
    }

    /// The number of the component with the most voxels, the first of several; none of an empty
    /// mask.
    pub fn largest(&self) -> Option<u32> {
        let most = self.sizes.iter().max()?;
        self.sizes.iter().position(|size| size == most).map(|place| place as u32 + 1)
    }
}

/// Neighboring voxels of a row (along i) that are in the mask.
#[derive(Clone, Copy)]
struct Run {
    start: usize,
    /// Behind the last voxel.
    end: usize,
}

/// The connected components of a mask of `dims` voxels (i fastest).
///
/// Runs of voxels along i are joined with those that they touch in the rows before: time grows
/// with the number of voxels, and hardly with how many of them are in the mask.
///
/// # Panics
/// When the mask has not as many voxels, or more than `u32::MAX` runs.
pub fn components(mask: &[bool], dims: [usize; 3], connectivity: Connectivity) -> Components {
    let [ni, nj, nk] = dims;
    assert_eq!(mask.len(), ni * nj * nk, "a mask of {dims:?} voxels");
    if mask.is_empty() {
        return Components { labels: Vec::new(), sizes: Vec::new() };
    }
    let mut runs: Vec<Run> = Vec::new();
    // Behind each row, how many runs there are so far; row 0's begin at 0.
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
            if axes > connectivity.order() || j >= nj {
                continue;
            }
            let other = j + nj * k;
            let begin = if other == 0 { 0 } else { ends[other - 1] };
            let reach = usize::from(connectivity.order() > axes);
            join(&runs, begin..ends[other], first..runs.len(), reach, &mut parents);
        }
        ends.push(runs.len());
    }
    number(&runs, &ends, &mut parents, ni, mask.len())
}

fn push_runs(voxels: &[bool], runs: &mut Vec<Run>) {
    let mut i = 0;
    while let Some(ahead) = voxels[i..].iter().position(|&inside| inside) {
        let start = i + ahead;
        let length = voxels[start..].iter().position(|&inside| !inside);
        i = length.map_or(voxels.len(), |length| start + length);
        runs.push(Run { start, end: i });
    }
}

/// Joins the runs of two rows that touch; runs `reach` voxels apart touch too.
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

fn root(parents: &mut [u32], mut run: usize) -> usize {
    while parents[run] as usize != run {
        parents[run] = parents[parents[run] as usize];
        run = parents[run] as usize;
    }
    run
}

/// Numbers the components, and writes them into the voxels of their runs.
fn number(
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
    fn voxels_touch_by_face_edge_or_corner() {
        use Connectivity::{Corner, Edge, Face};
        let center = [1, 1, 1];
        for neighbor in (0..27).map(|n| [n % 3, n / 3 % 3, n / 9]) {
            let axes = (0..3).filter(|&axis| neighbor[axis] != 1).count();
            let counts = [Face, Edge, Corner].map(|c| count(&[center, neighbor], c));
            let apart = |order: usize| if axes <= order { 1 } else { 2 };
            assert_eq!(counts, [apart(1), apart(2), apart(3)], "{neighbor:?}");
        }
        assert_eq!(count(&[[0, 0, 0], [2, 0, 0], [0, 2, 2]], Corner), 3);
    }

    #[test]
    fn arms_that_meet_late_are_one_component() {
        // A U in the plane, and a voxel between its arms.
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
