//! Assigns the patches of a step to ranks. The patches of a step are the same for any number of
//! ranks.

use std::ops::Range;

/// A rank's share of every step. A step is `accumulate` batches of `batch` patches.
///
/// The ranks are divided into equal groups, as many as divide both the batches and the ranks. Each
/// group works on its own batch and shares that batch's patches. With 4 batches a step, 4 ranks
/// take one batch each, and 2 ranks take two each, one after the other. With one batch a step, all
/// ranks share it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchShard {
    /// Patches of a batch.
    batch: usize,
    /// The number of groups: batches that are worked on at once.
    pub at_once: usize,
    /// The number of ranks in a group.
    members: usize,
    /// The number of this rank's group.
    group: usize,
    /// The number of this rank in its group.
    member: usize,
}

impl BatchShard {
    /// Returns the shard of one of `num_ranks` ranks.
    pub fn new(batch: usize, accumulate: usize, rank: usize, num_ranks: usize) -> BatchShard {
        let at_once = greatest_common_divisor(accumulate, num_ranks);
        let members = num_ranks / at_once;
        BatchShard { batch, at_once, members, group: rank / members, member: rank % members }
    }

    /// Returns the shard of a single rank: all patches.
    pub fn whole(batch: usize) -> BatchShard {
        BatchShard::new(batch, 1, 0, 1)
    }

    /// Converts a range of global batch numbers, covering whole steps, to this rank's local
    /// numbers.
    pub fn own(&self, batches: Range<usize>) -> Range<usize> {
        batches.start / self.at_once..batches.end / self.at_once
    }

    /// Returns the global number of one of this rank's batches.
    pub fn number(&self, own: usize) -> usize {
        own * self.at_once + self.group
    }

    /// Returns this rank's patches of each of its batches. The range may be empty, but never for
    /// rank 0.
    pub fn patches(&self) -> Range<usize> {
        let part = |member: usize| (member * self.batch).div_ceil(self.members);
        part(self.member)..part(self.member + 1)
    }

    /// Returns whether a batch has fewer patches than ranks that share it.
    pub fn leaves_ranks_idle(&self) -> bool {
        self.batch < self.members
    }

    /// Returns whether this rank reports for its group the values that all its ranks share.
    pub fn is_main_rank(&self) -> bool {
        self.member == 0
    }

    /// Returns this group's numbers at their place among those of all groups. The others are 0, so
    /// that a sum over ranks collects all of them.
    pub fn spread(&self, numbers: &[f64]) -> Vec<f64> {
        let mut all = vec![0.0; self.at_once * numbers.len()];
        all[self.places(numbers.len())].copy_from_slice(numbers);
        all
    }

    /// Returns the range of this group's `count` numbers among those of all groups.
    pub fn places(&self, count: usize) -> Range<usize> {
        self.group * count..(self.group + 1) * count
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_patch_of_a_step_belongs_to_exactly_one_rank() {
        for (batch, accumulate) in [(1, 1), (2, 1), (4, 1), (5, 1), (1, 4), (2, 3), (3, 6)] {
            let step = 7 * accumulate..8 * accumulate;
            for num_ranks in 1..=8 {
                let mut owners = BTreeMap::new();
                for rank in 0..num_ranks {
                    let share = BatchShard::new(batch, accumulate, rank, num_ranks);
                    for own in share.own(step.clone()) {
                        for patch in share.patches() {
                            let patch = share.number(own) * batch + patch;
                            assert_eq!(owners.insert(patch, rank), None, "{patch}");
                        }
                    }
                }
                let patches: Vec<usize> = owners.into_keys().collect();
                let expected: Vec<usize> = (step.start * batch..step.end * batch).collect();
                assert_eq!(patches, expected, "{batch} · {accumulate} on {num_ranks}");
            }
        }
    }

    #[test]
    fn ranks_share_the_patches_of_a_step_evenly() {
        let largest = |batch, accumulate, num_ranks: usize| {
            let counts = (0..num_ranks).map(|rank| {
                let share = BatchShard::new(batch, accumulate, rank, num_ranks);
                share.own(0..accumulate).len() * share.patches().len()
            });
            counts.max().unwrap()
        };
        assert_eq!((largest(1, 4, 4), largest(1, 4, 2), largest(8, 1, 4)), (1, 2, 2));
        assert_eq!((largest(2, 4, 8), largest(5, 1, 3)), (1, 2));
        let first = BatchShard::new(1, 1, 0, 3);
        assert!(first.leaves_ranks_idle() && first.patches() == (0..1));
    }
}
