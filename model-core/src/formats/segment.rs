//! The segments of a written segmentation, which are the regions of a label map.

mod terminology;

use serde::{Deserialize, Serialize};

pub(super) use terminology::{Code, terminology};

use crate::texts::name_fault;
use crate::{Error, LabelMap, Result};

/// The most segments of a file: each has a value of one byte in it, and 0 is the background.
const MAX_SEGMENTS: usize = 255;

/// A named set of labels. Segments may overlap or nest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The name, such as "tumor core".
    pub name: String,
    /// The sRGB color on screen.
    pub color: [u8; 3],
    /// The codes of the segment's labels; 0 is not one of them.
    pub codes: Vec<u8>,
}

impl Segment {
    /// Returns whether a label is one of the segment's, for each label code.
    pub(super) fn contains_code(&self) -> [bool; 256] {
        std::array::from_fn(|code| self.codes.contains(&(code as u8)))
    }

    /// Returns whether a label belongs to both segments.
    pub(super) fn overlaps(&self, other: &Segment) -> bool {
        self.codes.iter().any(|code| other.codes.contains(code))
    }
}

/// Errors if the segments cannot be written.
///
/// # Errors
/// [`Error::Segmentation`] if there is none or more than 255, if a name is empty, too long or has control
/// characters, or if a segment contains the background.
pub(super) fn check(segments: &[Segment]) -> Result<()> {
    if segments.is_empty() || segments.len() > MAX_SEGMENTS {
        return Err(Error::segmentation(format!("1 to {MAX_SEGMENTS} regions"), segments.len()));
    }
    for segment in segments {
        if segment.name.trim().is_empty() {
            return Err(Error::segmentation("a region's name", "an empty one"));
        }
        if let Some((expected, found)) = name_fault("a region's name", &segment.name) {
            return Err(Error::segmentation(expected, found));
        }
        if segment.codes.contains(&0) {
            return Err(Error::segmentation("regions without the background", "the label 0"));
        }
    }
    Ok(())
}

/// Returns the layer of each segment: the first one in which it overlaps no earlier segment.
pub(super) fn layers(segments: &[Segment]) -> Vec<usize> {
    let mut layers: Vec<usize> = Vec::new();
    for (n, segment) in segments.iter().enumerate() {
        let is_free = |layer: &usize| {
            let mut earlier = segments[..n].iter().zip(&layers);
            !earlier.any(|(other, of_other)| of_other == layer && segment.overlaps(other))
        };
        layers.push((0..n).find(is_free).unwrap_or(n));
    }
    layers
}

/// Returns the first and the last index along i, j and k of the voxels that have one of some codes.
pub(super) fn extent(map: &LabelMap, contains_code: &[bool; 256]) -> Option<[[usize; 2]; 3]> {
    let [ni, nj, _] = map.grid().dims;
    let mut extent: Option<[[usize; 2]; 3]> = None;
    for (row, labels) in map.labels().chunks_exact(ni).enumerate() {
        let is_inside = |label: &u8| contains_code[usize::from(*label)];
        let Some(first) = labels.iter().position(is_inside) else { continue };
        let last = labels.iter().rposition(is_inside).unwrap_or(first);
        let found = [[first, last], [row % nj; 2], [row / nj; 2]];
        let joined = |[[a, b], [c, d]]: [[usize; 2]; 2]| [a.min(c), b.max(d)];
        extent = Some(match extent {
            None => found,
            Some(known) => std::array::from_fn(|axis| joined([known[axis], found[axis]])),
        });
    }
    extent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Affine, Grid};

    fn segment(name: &str, codes: &[u8]) -> Segment {
        Segment { name: name.to_string(), color: [0; 3], codes: codes.to_vec() }
    }

    #[test]
    fn nested_segments_get_layers_and_separate_ones_share_one() {
        let nested = [&[1, 2, 4][..], &[1, 4], &[4], &[3]].map(|codes| segment("a", codes));
        assert_eq!(layers(&nested), [0, 1, 2, 0]);
        let separate = [1, 2, 4].map(|code| segment("a", &[code]));
        assert_eq!(layers(&separate), [0, 0, 0]);
    }

    #[test]
    fn an_extent_reaches_from_the_first_to_the_last_voxel() {
        let mut map = LabelMap::background(Grid::new([4, 3, 2], Affine::IDENTITY));
        let codes = segment("a", &[7]).contains_code();
        assert_eq!(extent(&map, &codes), None);
        for voxel in [[2, 1, 0], [1, 2, 1]] {
            let index = map.grid().index(voxel);
            map.labels_mut()[index] = 7;
        }
        assert_eq!(extent(&map, &codes), Some([[1, 2], [1, 2], [0, 1]]));
    }

    #[test]
    fn segments_that_cannot_be_written_are_refused() {
        assert!(check(&[segment("a", &[1])]).is_ok());
        let long = "x".repeat(201);
        let refused = [
            (vec![], "expected 1 to 255 regions, found 0"),
            (vec![segment("a", &[1]); 256], "expected 1 to 255 regions, found 256"),
            (vec![segment(" ", &[1])], "expected a region's name, found an empty one"),
            (vec![segment(&long, &[1])], "of at most 200 characters, found 201"),
            (vec![segment("a", &[0, 1])], "without the background, found the label 0"),
        ];
        for (segments, message) in refused {
            let error = check(&segments).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
