//! A change of labels that can be taken back.

/// Consecutive voxels that changed from one code to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    start: u32,
    len: u32,
    before: u8,
    after: u8,
}

/// The voxels that changed, with their codes before and after. A voxel changes at most once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    runs: Vec<Run>,
}

impl Change {
    /// Notes that a voxel changed. The voxel must not have changed before.
    pub fn push(&mut self, index: usize, before: u8, after: u8) {
        let start = index as u32;
        match self.runs.last_mut() {
            Some(run)
                if run.start + run.len == start && (run.before, run.after) == (before, after) =>
            {
                run.len += 1;
            }
            _ => self.runs.push(Run { start, len: 1, before, after }),
        }
    }

    /// Sets each voxel of `indices` to the code that `recode` gives for its index and code, and returns what
    /// changed.
    pub fn make(
        labels: &mut [u8],
        indices: impl IntoIterator<Item = usize>,
        mut recode: impl FnMut(usize, u8) -> u8,
    ) -> Change {
        let mut change = Change::default();
        for index in indices {
            let before = labels[index];
            let after = recode(index, before);
            if after != before {
                labels[index] = after;
                change.push(index, before, after);
            }
        }
        change
    }

    /// Adds a later change of other voxels.
    pub fn extend(&mut self, later: Change) {
        self.runs.extend(later.runs);
    }

    /// Joins neighboring runs.
    pub fn compact(&mut self) {
        self.runs.sort_unstable_by_key(|run| run.start);
        self.runs.dedup_by(|next, run| {
            let continues = run.start + run.len == next.start
                && (run.before, run.after) == (next.before, next.after);
            if continues {
                run.len += next.len;
            }
            continues
        });
        self.runs.shrink_to_fit();
    }

    /// Returns whether no voxel changed.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Returns the bytes that the change takes.
    pub fn num_bytes(&self) -> usize {
        size_of::<Change>() + self.runs.capacity() * size_of::<Run>()
    }

    /// Returns the same change backward.
    pub fn reversed(&self) -> Change {
        let reverse = |run: &Run| Run { before: run.after, after: run.before, ..*run };
        Change { runs: self.runs.iter().map(reverse).collect() }
    }

    /// Applies the change to the labels that it was made from.
    pub fn apply(&self, labels: &mut [u8]) {
        for run in &self.runs {
            labels[run.start as usize..][..run.len as usize].fill(run.after);
        }
    }

    /// Calls `visit` with the voxels that changed, as ranges of indices, and their codes before and after.
    pub fn for_each(&self, mut visit: impl FnMut(std::ops::Range<usize>, u8, u8)) {
        for run in &self.runs {
            let start = run.start as usize;
            visit(start..start + run.len as usize, run.before, run.after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_taken_back_and_made_again() {
        let before: Vec<u8> = vec![0, 0, 0, 1, 1, 2, 0, 0];
        let mut labels = before.clone();
        let mut change = Change::make(&mut labels, [5, 1, 2, 3], |_, _| 4);
        change.extend(Change::make(&mut labels, [0, 1, 2], |_, code| code.max(3)));
        assert_eq!(labels, [3, 4, 4, 4, 1, 4, 0, 0]);
        let num_runs = change.runs.len();
        change.compact();
        assert!(change.runs.len() <= num_runs, "runs are joined");
        let after = labels.clone();
        change.reversed().apply(&mut labels);
        assert_eq!(labels, before);
        change.apply(&mut labels);
        assert_eq!(labels, after);
    }

    #[test]
    fn neighbors_of_equal_codes_are_one_run() {
        let mut labels = vec![0; 1000];
        let backward = (0..1000).rev();
        let mut change = Change::make(&mut labels, backward, |_, _| 1);
        assert_eq!(change.runs.len(), 1000);
        change.compact();
        assert_eq!(change.runs, [Run { start: 0, len: 1000, before: 0, after: 1 }]);
        assert!(change.num_bytes() < 100);
    }
}
