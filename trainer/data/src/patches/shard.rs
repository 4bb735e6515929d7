//! Which patches of a step are whose: a function of the rank's number and of how many there are, so
//! that a step's patches are the same whatever that number is.

use std::ops::Range;

/// A rank's share of every step, which is `accumulate` batches of `batch` patches.
///
/// As many batches are worked on at once as the ranks can be dealt out to in equal groups; each
/// group shares a batch's patches. With 4 batches a step, 4 ranks take one each, 2 ranks two one
/// after the other; with one batch a step, all ranks share it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchShard {
    /// Patches of a batch.
    batch: usize,
    /// Batches that are worked on at once.
    pub at_once: usize,
    /// Ranks that share a batch.
    members: usize,
    /// This rank's group, and its place there.
    group: usize,
    member: usize,
}

impl BatchShard {
    /// That of a rank.
    pub fn new(batch: usize, accumulate: usize, rank: usize, num_ranks: usize) -> BatchShard {
        let at_once = greatest_common_divisor(accumulate, num_ranks);
        let members = num_ranks / at_once;
        BatchShard { batch, at_once, members, group: rank / members, member: rank % members }
    }

    /// That of the only rank: everything.
    pub fn whole(batch: usize) -> BatchShard {
        BatchShard::new(batch, 1, 0, 1)
    }

    /// This rank's batches, by their own numbers, in a range of whole steps' batches.
    pub fn own(&self, batches: Range<usize>) -> Range<usize> {
        batches.start / self.at_once..batches.end / self.at_once
    }

    /// The number of a batch of this rank among all ranks'.
    pub fn number(&self, own: usize) -> usize {
        own * self.at_once + self.group
    }

    /// This rank's patches of each of its batches; may be none, but not the first rank's.
    pub fn patches(&self) -> Range<usize> {
        let part = |member: usize| (member * self.batch).div_ceil(self.members);
        part(self.member)..part(self.member + 1)
    }

    /// Whether the ranks have fewer patches than there are ranks.
    pub fn leaves_ranks_idle(&self) -> bool {
        self.batch < self.members
    }

    /// Whether this rank speaks for its group, where all of it found the same.
    pub fn is_main_rank(&self) -> bool {
        self.member == 0
    }

    /// A group's numbers among those of all groups, the others' being 0, to be summed over all ranks.
    pub fn spread(&self, numbers: &[f64]) -> Vec<f64> {
        let mut all = vec![0.0; self.at_once * numbers.len()];
        all[self.places(numbers.len())].copy_from_slice(numbers);
        all
    }

    /// Where a group's numbers, so many, are among those of all groups.
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
    fn every_patch_of_a_step_is_one_ranks() {
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
    fn ranks_work_at_once_where_a_step_has_work_for_them() {
        let most = |batch, accumulate, num_ranks: usize| {
            let counts = (0..num_ranks).map(|rank| {
                let share = BatchShard::new(batch, accumulate, rank, num_ranks);
                share.own(0..accumulate).len() * share.patches().len()
            });
            counts.max().unwrap()
        };
        assert_eq!((most(1, 4, 4), most(1, 4, 2), most(8, 1, 4)), (1, 2, 2));
        assert_eq!((most(2, 4, 8), most(5, 1, 3)), (1, 2));
        let first = BatchShard::new(1, 1, 0, 3);
        assert!(first.leaves_ranks_idle() && first.patches() == (0..1));
    }
}
