//! What happens to a voxel's label when a region is added to it or taken from it.

/// The new label code of each label code.
#[derive(Clone, PartialEq, Eq)]
pub struct Recoding([u8; 256]);

impl Recoding {
    /// Returns the recoding that adds a voxel to the region `n`. `regions` are the label codes of each
    /// region; they may nest or overlap.
    ///
    /// Of the region's codes a voxel gets the one that leaves the most other regions as they are. So
    /// nested regions stay nested: what is added to an inner one is added to those around it, and what
    /// is added to an outer one lies in no inner one.
    pub fn adding(regions: &[&[u8]], n: usize) -> Recoding {
        Recoding::choosing(regions, n, true)
    }

    /// Returns the recoding that takes a voxel out of the region `n`, and out of those inside it.
    pub fn erasing(regions: &[&[u8]], n: usize) -> Recoding {
        Recoding::choosing(regions, n, false)
    }

    fn choosing(regions: &[&[u8]], n: usize, is_inside: bool) -> Recoding {
        let is_in = |region: usize, code: u8| code != 0 && regions[region].contains(&code);
        let known = |code: &u8| *code == 0 || regions.iter().any(|codes| codes.contains(code));
        let candidates: Vec<u8> =
            (0..=255).filter(known).filter(|&code| is_in(n, code) == is_inside).collect();
        Recoding(std::array::from_fn(|old| {
            let old = old as u8;
            if is_in(n, old) == is_inside {
                return old;
            }
            let num_changed = |new: &u8| {
                (0..regions.len()).filter(|&other| is_in(other, old) != is_in(other, *new)).count()
            };
            // Of equal ones the lowest code, so that background is preferred.
            candidates.iter().copied().min_by_key(num_changed).unwrap_or(old)
        }))
    }

    /// Keeps the labels that are not among `codes`.
    pub fn only_within(mut self, codes: &[u8]) -> Recoding {
        for (old, new) in self.0.iter_mut().enumerate() {
            if !codes.contains(&(old as u8)) {
                *new = old as u8;
            }
        }
        self
    }

    /// Returns the new code of a voxel.
    pub fn code(&self, old: u8) -> u8 {
        self.0[usize::from(old)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BraTS: whole tumor, tumor core, enhancing tumor.
    const BRATS: [&[u8]; 3] = [&[1, 2, 4], &[1, 4], &[4]];

    fn codes(recoding: &Recoding) -> [u8; 4] {
        [0, 1, 2, 4].map(|code| recoding.code(code))
    }

    #[test]
    fn nested_regions_stay_nested() {
        assert_eq!(codes(&Recoding::adding(&BRATS, 0)), [2, 1, 2, 4]);
        assert_eq!(codes(&Recoding::adding(&BRATS, 1)), [1, 1, 1, 4]);
        assert_eq!(codes(&Recoding::adding(&BRATS, 2)), [4, 4, 4, 4]);
        assert_eq!(codes(&Recoding::erasing(&BRATS, 0)), [0, 0, 0, 0]);
        assert_eq!(codes(&Recoding::erasing(&BRATS, 1)), [0, 2, 2, 2]);
        assert_eq!(codes(&Recoding::erasing(&BRATS, 2)), [0, 1, 2, 1]);
    }

    #[test]
    fn exclusive_regions_replace_each_other() {
        let regions: [&[u8]; 2] = [&[1], &[2]];
        assert_eq!([0, 1, 2].map(|code| Recoding::adding(&regions, 0).code(code)), [1, 1, 1]);
        assert_eq!([0, 1, 2].map(|code| Recoding::erasing(&regions, 0).code(code)), [0, 0, 2]);
    }

    #[test]
    fn other_codes_are_kept_outside_the_allowed_ones() {
        // The enhancing tumor only where the core is already.
        let recoding = Recoding::adding(&BRATS, 2).only_within(BRATS[1]);
        assert_eq!(codes(&recoding), [0, 4, 2, 4]);
    }

    #[test]
    fn a_region_that_others_fill_gets_one_of_their_codes() {
        // Code 9 belongs to no region.
        let regions: [&[u8]; 3] = [&[1, 2], &[1], &[2]];
        assert_eq!(Recoding::adding(&regions, 0).code(0), 1);
        assert_eq!(Recoding::erasing(&regions, 0).code(2), 0);
        assert_eq!(Recoding::adding(&regions, 0).code(9), 1);
        assert_eq!(Recoding::erasing(&regions, 0).code(9), 9);
    }
}
