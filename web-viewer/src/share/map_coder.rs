//! A label map in as few bytes as possible: an adaptive binary arithmetic coder whose contexts are
//! the labels of the voxels before. The method is JBIG's (ITU-T T.82) with a third axis, more than
//! two labels and hashed contexts; the interval coder is that of Mahoney's lpaq1.
//!
//! Everything is integer arithmetic, so that a link reads the same on every machine.

/// Near neighbors that come before a voxel (di, dj, dk); the first three are guessed in turn.
const NEAR: [[isize; 3]; 7] =
    [[-1, 0, 0], [0, -1, 0], [0, 0, -1], [-1, -1, 0], [1, -1, 0], [1, 0, -1], [0, 1, -1]];
/// Further neighbors: with the near ones, the context of a voxel where that was seen before.
const FAR: [[isize; 3]; 8] = [
    [-2, 0, 0],
    [0, -2, 0],
    [0, 0, -2],
    [-1, 0, -1],
    [0, -1, -1],
    [1, 1, -1],
    [2, -1, 0],
    [-1, 1, -1],
];
/// How far neighbors reach: the working copy has this margin of background around it.
const MARGIN: usize = 2;
/// Voxels that a coded byte holds at most. A voxel takes one decision or more. Since none is held for
/// certain, a decision leaves at most 65536 of 65537 parts of the interval, and a byte is written
/// when the interval has shrunk to a 256th: 8 ln 2 / ln(65537 / 65536) = 363411.6 decisions later.
const MAX_VOXELS_PER_BYTE: usize = 363_412;
/// Bytes of the interval that may remain unwritten at the end.
const INTERVAL_BYTES: usize = 4;
/// log2 of the number of estimates kept; a collision costs bits, not correctness.
const TABLE_BITS: u32 = 20;
/// How often a far context must have been seen before it is trusted more than the near one.
const TRUSTED: u32 = 4;
/// Observations after which an estimate adapts no slower.
const MOST_SEEN: u32 = 1000;

/// The bytes for the labels of a box of `dims` (i fastest), each an index below `num_labels`.
///
/// # Panics
/// When `indices` is not as long as the box is large.
pub fn encode(indices: &[u8], dims: [usize; 3], num_labels: usize) -> Vec<u8> {
    assert_eq!(indices.len(), dims.iter().product::<usize>());
    let mut writer = Writer { low: 0, high: u32::MAX, bytes: Vec::new() };
    walk(dims, num_labels, &mut writer, |n| indices[n]);
    writer.finish()
}

/// The labels that [`encode`] was given; nothing for bytes of another number than it writes. Any
/// bytes of that number decode to some labels: whether they are the right ones, a checksum must tell.
pub fn decode(bytes: &[u8], dims: [usize; 3], num_labels: usize) -> Option<Vec<u8>> {
    if bytes.len() < least_bytes(dims.iter().product()) {
        return None;
    }
    let mut reader = Reader::new(bytes);
    let labels = walk(dims, num_labels, &mut reader, |_| 0);
    // Read ahead are as many bytes as the interval has; the writer adds one of them, or none.
    let is_whole = reader.num_missing + 1 >= INTERVAL_BYTES && !reader.is_spent();
    is_whole.then_some(labels)
}

/// The fewest bytes that [`encode`] writes for so many voxels.
pub fn least_bytes(num_voxels: usize) -> usize {
    (num_voxels / MAX_VOXELS_PER_BYTE).saturating_sub(INTERVAL_BYTES)
}

/// Voxels of the working copy of a box; nothing where a `usize` cannot say it.
pub fn working_voxels(dims: [usize; 3]) -> Option<usize> {
    let padded = dims.map(|d| d.checked_add(2 * MARGIN));
    padded.into_iter().try_fold(1usize, |product, d| product.checked_mul(d?))
}

/// Codes one voxel after the other, and returns their labels: fewer where the coder is spent before.
/// `wanted` is asked only when writing.
fn walk(
    dims: [usize; 3],
    num_labels: usize,
    coder: &mut impl Coder,
    wanted: impl Fn(usize) -> u8,
) -> Vec<u8> {
    let padded = dims.map(|d| d + 2 * MARGIN);
    let [row, plane] = [padded[0] as isize, (padded[0] * padded[1]) as isize];
    let offset = |[di, dj, dk]: [isize; 3]| di + dj * row + dk * plane;
    let (near, far) = (NEAR.map(offset), FAR.map(offset));
    let mut seen = vec![0u8; padded.iter().product()];
    let mut labels = Vec::with_capacity(dims.iter().product());
    let mut estimates = vec![Estimate::default(); 1 << TABLE_BITS];
    for k in 0..dims[2] {
        for j in 0..dims[1] {
            if coder.is_spent() {
                return labels;
            }
            for i in 0..dims[0] {
                let place = (i + MARGIN) + padded[0] * ((j + MARGIN) + padded[1] * (k + MARGIN));
                let at = |offset: isize| seen[place.wrapping_add_signed(offset)];
                let near_labels = near.map(at);
                let near_context = near_labels.iter().fold(1, |hash, &x| mix(hash, x.into()));
                let far_context =
                    far.iter().fold(near_context ^ 1, |hash, &o| mix(hash, at(o).into()));
                let mut decide = |step: u32, bit: bool| {
                    let slots = [near_context, far_context].map(|context| slot(context, step));
                    coded(&mut estimates, slots, coder, bit)
                };
                let label = label_of(wanted(labels.len()), num_labels, &near_labels, &mut decide);
                labels.push(label);
                seen[place] = label;
            }
        }
    }
    labels
}

/// A label as decisions: is it the first neighbor's, the second's, the third's; else its bits.
fn label_of(
    wanted: u8,
    num_labels: usize,
    near: &[u8; 7],
    decide: &mut impl FnMut(u32, bool) -> bool,
) -> u8 {
    for (n, guess) in near[..3].iter().enumerate() {
        if !near[..n].contains(guess) && decide(n as u32, wanted == *guess) {
            return *guess;
        }
    }
    let num_bits = usize::BITS - (num_labels - 1).leading_zeros();
    let mut label = 0u32;
    for bit in (0..num_bits).rev() {
        // A step of its own for each node of the tree of labels: the bits above and the place.
        let step = 8 + (label << 4 | bit);
        label = label << 1 | u32::from(decide(step, wanted >> bit & 1 == 1));
    }
    // Only foreign bytes reach an index that the palette lacks.
    (label as usize).min(num_labels - 1) as u8
}

fn mix(hash: u32, value: u32) -> u32 {
    (hash ^ value).wrapping_mul(0x9E37_79B1).rotate_left(13)
}

fn slot(context: u32, step: u32) -> usize {
    (mix(context, step).wrapping_mul(0x85EB_CA6B) >> (32 - TABLE_BITS)) as usize
}

/// How likely a decision is yes, learned from the decisions so far in the same context.
#[derive(Clone, Copy)]
struct Estimate {
    /// Of 2³².
    yes: u32,
    seen: u32,
}

impl Default for Estimate {
    fn default() -> Self {
        Estimate { yes: 1 << 31, seen: 0 }
    }
}

impl Estimate {
    fn learn(&mut self, bit: bool) {
        let target = if bit { i64::from(u32::MAX) } else { 0 };
        let step = 2 * (target - i64::from(self.yes)) / i64::from(2 * self.seen + 3);
        self.yes = (i64::from(self.yes) + step) as u32;
        self.seen = (self.seen + 1).min(MOST_SEEN);
    }
}

/// One decision, coded with the better of two estimates; both learn from it.
fn coded(
    estimates: &mut [Estimate],
    [near, far]: [usize; 2],
    coder: &mut impl Coder,
    bit: bool,
) -> bool {
    let trusted = if estimates[far].seen >= TRUSTED { far } else { near };
    // Of 2¹⁶, and never certain: a certain coder could not write the other answer.
    let yes = (estimates[trusted].yes >> 16).clamp(1, (1 << 16) - 1);
    let bit = coder.code(bit, yes);
    estimates[near].learn(bit);
    estimates[far].learn(bit);
    bit
}

/// Writes decisions or reads them: both return the decision, a reader ignores the one given.
trait Coder {
    /// `yes` is the chance of a yes, of 2¹⁶, neither 0 nor 2¹⁶.
    fn code(&mut self, bit: bool, yes: u32) -> bool;

    /// Whether more has been read than was written.
    fn is_spent(&self) -> bool;
}

/// Where the interval from `low` to `high` is cut: below and at the cut is yes.
fn cut(low: u32, high: u32, yes: u32) -> u32 {
    low + ((u64::from(high - low) * u64::from(yes)) >> 16) as u32
}

struct Writer {
    low: u32,
    high: u32,
    bytes: Vec<u8>,
}

impl Coder for Writer {
    fn code(&mut self, bit: bool, yes: u32) -> bool {
        let cut = cut(self.low, self.high, yes);
        if bit {
            self.high = cut;
        } else {
            self.low = cut + 1;
        }
        while (self.low ^ self.high) >> 24 == 0 {
            self.bytes.push((self.high >> 24) as u8);
            self.low <<= 8;
            self.high = self.high << 8 | 255;
        }
        bit
    }

    fn is_spent(&self) -> bool {
        false
    }
}

impl Writer {
    /// The reader continues with zeros, so one byte inside the interval is enough, or none.
    fn finish(mut self) -> Vec<u8> {
        if self.low > 0 {
            self.bytes.push((self.high >> 24) as u8);
        }
        self.bytes
    }
}

struct Reader<'a> {
    low: u32,
    high: u32,
    code: u32,
    bytes: std::slice::Iter<'a, u8>,
    /// How many zeros were read behind the end.
    num_missing: usize,
}

impl Reader<'_> {
    fn new(bytes: &[u8]) -> Reader<'_> {
        let bytes = bytes.iter();
        let mut reader = Reader { low: 0, high: u32::MAX, code: 0, bytes, num_missing: 0 };
        (0..INTERVAL_BYTES).for_each(|_| reader.shift());
        reader
    }

    fn shift(&mut self) {
        let next = self.bytes.next().copied();
        self.num_missing += usize::from(next.is_none());
        self.code = self.code << 8 | u32::from(next.unwrap_or(0));
    }
}

impl Coder for Reader<'_> {
    fn code(&mut self, _: bool, yes: u32) -> bool {
        let cut = cut(self.low, self.high, yes);
        let bit = self.code <= cut;
        if bit {
            self.high = cut;
        } else {
            self.low = cut + 1;
        }
        while (self.low ^ self.high) >> 24 == 0 {
            self.low <<= 8;
            self.high = self.high << 8 | 255;
            self.shift();
        }
        bit
    }

    fn is_spent(&self) -> bool {
        self.num_missing > INTERVAL_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels from a fixed generator (Knuth's MMIX constants), in runs as long as `run`.
    fn labels(num_voxels: usize, num_labels: usize, run: u64) -> Vec<u8> {
        let (mut state, mut label) = (1u64, 0);
        let mut draw = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state >> 33
        };
        (0..num_voxels)
            .map(|_| {
                if draw() % run == 0 {
                    label = draw() % num_labels as u64;
                }
                label as u8
            })
            .collect()
    }

    #[test]
    fn every_map_comes_back() {
        for (dims, num_labels) in
            [([1, 1, 1], 1), ([7, 5, 3], 2), ([16, 9, 11], 4), ([5, 20, 9], 256), ([30, 1, 2], 17)]
        {
            for run in [1, 9, 1000] {
                let map = labels(dims.iter().product(), num_labels, run);
                let bytes = encode(&map, dims, num_labels);
                let decoded = decode(&bytes, dims, num_labels);
                assert_eq!(decoded.as_ref(), Some(&map), "{dims:?} {num_labels} {run}");
                let longer = [&bytes[..], &[0, 0]].concat();
                assert_eq!(decode(&longer, dims, num_labels), None, "bytes behind the labels");
                // Two bytes less, of which one may be a zero, decode to nothing or to another map.
                let Some(shorter) = bytes.len().checked_sub(2) else { continue };
                assert_ne!(decode(&bytes[..shorter], dims, num_labels), Some(map));
            }
        }
    }

    /// One label everywhere is what codes shortest: never below the bound, and near it.
    #[test]
    fn no_map_takes_fewer_bytes_than_the_bound() {
        let dims = [256, 256, 64];
        let num_voxels = dims.iter().product();
        let bytes = encode(&vec![0; num_voxels], dims, 1).len();
        let least = least_bytes(num_voxels);
        assert!(least == 7 && (least..least + 8).contains(&bytes), "{bytes} bytes, least {least}");
        assert_eq!(decode(&vec![0; least - 1], dims, 1), None);
        assert_eq!([least_bytes(0), least_bytes(1 << 20)], [0, 0]);
        assert_eq!(least_bytes(1 << 25), 88);
    }

    #[test]
    fn the_working_copy_is_counted_before_it_is_made() {
        assert_eq!(working_voxels([1, 2, 3]), Some(5 * 6 * 7));
        assert_eq!(working_voxels([usize::MAX, 1, 1]), None);
        assert_eq!(working_voxels([1 << 40, 1 << 40, 1]), None);
    }

    #[test]
    fn noise_costs_little_more_than_its_bits_and_smooth_maps_far_less() {
        let dims = [32, 32, 32];
        let noise = encode(&labels(32768, 4, 1), dims, 4).len();
        assert!((8192..8192 * 3 / 2).contains(&noise), "{noise} bytes for 8192 of noise");
        let uniform = encode(&[1; 32768], dims, 4).len();
        assert!(uniform < 40, "{uniform} bytes for one label");
    }

    #[test]
    fn foreign_bytes_give_labels_of_the_palette() {
        let bytes: Vec<u8> = labels(4000, 256, 1);
        for num_labels in [1, 3, 200] {
            let mut reader = Reader::new(&bytes);
            let map = walk([20, 20, 20], num_labels, &mut reader, |_| 0);
            assert!(!map.is_empty() && map.iter().all(|&x| usize::from(x) < num_labels));
        }
    }
}
