//! What changed between two label maps.

/// The labels that are compared at once.
const BLOCK: usize = 256;

/// Returns whether each region has other voxels in `after` than in `before`.
///
/// # Shapes
/// - before, after: the labels of the same voxels; maps of different lengths differ in every region
pub fn changed_regions(before: &[u8], after: &[u8], regions: &[&[u8]]) -> Vec<bool> {
    if before.len() != after.len() {
        return vec![true; regions.len()];
    }
    // The pairs of an earlier and a later label that occur, apart from equal ones.
    let mut pairs = vec![false; 256 * 256];
    // Most blocks are equal, which this finds for many labels at once.
    let differ =
        |(a, b): &(&[u8], &[u8])| a.iter().zip(*b).fold(0, |all, (a, b)| all | (a ^ b)) != 0;
    let blocks = before.chunks(BLOCK).zip(after.chunks(BLOCK)).filter(differ);
    for (a, b) in blocks.flat_map(|(a, b)| a.iter().zip(b)) {
        pairs[usize::from(*a) * 256 + usize::from(*b)] = true;
    }
    let changes = |codes: &&[u8]| {
        let mut is_in_region = [false; 256];
        codes.iter().for_each(|&code| is_in_region[usize::from(code)] = true);
        let occurring = (0..pairs.len()).filter(|&pair| pairs[pair]);
        occurring.into_iter().any(|pair| is_in_region[pair / 256] != is_in_region[pair % 256])
    };
    regions.iter().map(changes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_changes_if_a_voxel_enters_or_leaves_it() {
        let regions: [&[u8]; 3] = [&[1, 2, 3], &[2, 3], &[3]];
        let before = vec![0, 1, 2, 3, 0, 1];
        let changed = |n: usize, label: u8| {
            let mut after = before.clone();
            after[n] = label;
            changed_regions(&before, &after, &regions)
        };
        assert_eq!(changed(0, 0), [false; 3]);
        assert_eq!(changed(0, 1), [true, false, false]);
        // A voxel that changes its label stays in the regions that have both.
        assert_eq!(changed(1, 2), [false, true, false]);
        assert_eq!(changed(3, 2), [false, false, true]);
        assert_eq!(changed(3, 0), [true; 3]);
        assert_eq!(changed_regions(&before, &[], &regions), [true; 3]);
    }
}
