//! The frames of a binary segmentation: one bit for a voxel (PS3.5, section 8.1.1).

use crate::formats::segment::Segment;
use crate::{Error, LabelMap, Result};

/// The most bytes of the frames, whose length has four bytes.
const MAX_BYTES: u64 = u32::MAX as u64 - 1;

/// The frames of all segments.
#[derive(Debug)]
pub struct Frames {
    /// The frames by segment, then by slice.
    pub places: Vec<FramePlace>,
    /// The voxels without gaps between the frames; the first one is the lowest bit of a byte.
    pub bits: Vec<u8>,
}

/// What a frame shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramePlace {
    /// The index of the segment.
    pub segment: usize,
    /// The index of the slice along the map's third axis.
    pub slice: usize,
}

impl Frames {
    /// Packs the slices of a map in which a segment has voxels; or all slices if no segment has
    /// any, because a segmentation has at least one frame.
    ///
    /// # Errors
    /// [`Error::TooLarge`] before memory is allocated.
    pub fn pack(map: &LabelMap, segments: &[Segment]) -> Result<Frames> {
        let [ni, nj, nk] = map.grid().dims;
        let slice_voxels = ni * nj;
        let slices: Vec<&[u8]> = map.labels().chunks_exact(slice_voxels).collect();
        let codes: Vec<[bool; 256]> = segments.iter().map(Segment::contains_code).collect();
        let all = (0..segments.len())
            .flat_map(|segment| (0..nk).map(move |slice| FramePlace { segment, slice }));
        let has_voxels = |place: &FramePlace| {
            slices[place.slice].iter().any(|label| codes[place.segment][usize::from(*label)])
        };
        let mut places: Vec<FramePlace> = all.clone().filter(has_voxels).collect();
        if places.is_empty() {
            places = all.collect();
        }
        let num_bits = places.len() as u64 * slice_voxels as u64;
        // The length of the pixels is even.
        let found_bytes = num_bits.div_ceil(16) * 2;
        if found_bytes > MAX_BYTES {
            let limit_bytes = MAX_BYTES;
            return Err(Error::TooLarge { what: "the segmentation", limit_bytes, found_bytes });
        }
        let mut bits = vec![0; found_bytes as usize];
        for (frame, place) in places.iter().enumerate() {
            for (n, label) in slices[place.slice].iter().enumerate() {
                if codes[place.segment][usize::from(*label)] {
                    let bit = frame * slice_voxels + n;
                    bits[bit / 8] |= 1 << (bit % 8);
                }
            }
        }
        Ok(Frames { places, bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Affine, Grid};

    fn segment(codes: &[u8]) -> Segment {
        Segment { name: "a".to_string(), color: [0; 3], codes: codes.to_vec() }
    }

    #[test]
    fn frames_follow_each_other_without_gaps() {
        // Slices of 3 voxels; the second one is empty.
        let map =
            LabelMap::new(Grid::new([3, 1, 3], Affine::IDENTITY), vec![1, 0, 2, 0, 0, 0, 2, 2, 0]);
        let frames = Frames::pack(&map.unwrap(), &[segment(&[1, 2]), segment(&[2])]).unwrap();
        let places: Vec<[usize; 2]> =
            frames.places.iter().map(|place| [place.segment, place.slice]).collect();
        assert_eq!(places, [[0, 0], [0, 2], [1, 0], [1, 2]]);
        // 101 110 001 110, the first voxel in the lowest bit.
        assert_eq!(frames.bits, [0b0001_1101, 0b0000_0111]);
    }

    #[test]
    fn an_empty_segmentation_has_every_frame() {
        let map = LabelMap::background(Grid::new([3, 1, 2], Affine::IDENTITY));
        let frames = Frames::pack(&map, &[segment(&[1]), segment(&[2])]).unwrap();
        assert_eq!((frames.places.len(), frames.bits), (4, vec![0, 0]));
    }
}
