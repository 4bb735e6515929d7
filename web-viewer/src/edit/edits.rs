//! How far a label map was edited.

use super::Change;

/// Counts the voxels of each label, and those that differ from the labels at first, without going through
/// the map again after each change.
#[derive(Debug, Clone, PartialEq)]
pub struct Edits {
    original: Vec<u8>,
    num_voxels: [u64; 256],
    num_edited: u64,
}

impl Edits {
    /// Begins with labels that are not edited.
    pub fn new(labels: &[u8]) -> Edits {
        let mut num_voxels = [0; 256];
        labels.iter().for_each(|&code| num_voxels[usize::from(code)] += 1);
        Edits { original: labels.to_vec(), num_voxels, num_edited: 0 }
    }

    /// Notes a change that was applied to the labels.
    pub fn note(&mut self, change: &Change) {
        change.for_each(|indices, before, after| {
            let count = indices.len() as u64;
            self.num_voxels[usize::from(before)] -= count;
            self.num_voxels[usize::from(after)] += count;
            for &code in &self.original[indices] {
                self.num_edited += u64::from(code != after);
                self.num_edited -= u64::from(code != before);
            }
        });
    }

    /// Returns the number of voxels whose label differs from the one at first.
    pub fn num_edited(&self) -> u64 {
        self.num_edited
    }

    /// Returns the number of voxels that have one of the codes.
    pub fn num_voxels(&self, codes: &[u8]) -> u64 {
        let is_in = |code: &u8| codes.contains(code);
        (0..=255).filter(is_in).map(|code| self.num_voxels[usize::from(code)]).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_follow_the_changes() {
        let mut labels = vec![0, 1, 1, 2, 0, 0];
        let mut edits = Edits::new(&labels);
        let change = Change::make(&mut labels, 0..4, |_, _| 2);
        edits.note(&change);
        assert_eq!(
            (edits.num_edited(), edits.num_voxels(&[2]), edits.num_voxels(&[1, 1])),
            (3, 4, 0)
        );
        // Back to the label at first, which is no edit, by another way than undoing.
        let change = Change::make(&mut labels, 1..2, |_, _| 1);
        edits.note(&change);
        assert_eq!((edits.num_edited(), edits.num_voxels(&[1])), (2, 1));
        edits.note(&change.reversed());
        assert_eq!(edits.num_edited(), 3);
    }
}
