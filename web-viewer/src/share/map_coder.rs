//! Compresses a label map with an adaptive binary arithmetic coder whose contexts are the labels of
//! preceding voxels.
//!
//! The method is JBIG's (ITU-T T.82), extended by a third axis, more than two labels and hashed
//! contexts. The interval coder is that of Mahoney's lpaq1. All arithmetic is on integers, so a link
//! decodes to the same labels on every machine.

/// Offsets (di, dj, dk) of the near preceding neighbors. The first three are guessed in turn.
const NEAR: [[isize; 3]; 7] =
    [[-1, 0, 0], [0, -1, 0], [0, 0, -1], [-1, -1, 0], [1, -1, 0], [1, 0, -1], [0, 1, -1]];
/// Offsets of further preceding neighbors. Together with the near ones they form the far context,
/// which is used once it has been observed often enough.
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
/// The largest offset of a neighbor: the width of the background margin around the padded copy.
const MARGIN: usize = 2;
/// The most voxels that a coded byte can hold. A voxel takes at least one decision. No decision is
/// coded as certain, so each leaves at most 65536 / 65537 of the interval. A byte is written when the
/// interval has shrunk to 1 / 256: after 8 ln 2 / ln(65537 / 65536) = 363411.6 decisions.
const MAX_VOXELS_PER_BYTE: usize = 363_412;
/// The number of the interval's bytes that may remain unwritten at the end.
const INTERVAL_BYTES: usize = 4;
/// log2 of the number of stored estimates. A hash collision costs bits, not correctness.
const TABLE_BITS: u32 = 20;
/// The number of observations after which the far context's estimate replaces the near one's.
const MIN_FAR_OBSERVATIONS: u32 = 4;
/// The number of observations after which an estimate's learning rate no longer falls.
const MAX_OBSERVATIONS: u32 = 1000;

/// Encodes the labels of a box of `dims` voxels (i fastest), each an index below `num_labels`.
///
/// # Panics
/// If `indices` does not have the box's number of voxels.
pub fn encode(indices: &[u8], dims: [usize; 3], num_labels: usize) -> Vec<u8> {
    assert_eq!(indices.len(), dims.iter().product::<usize>());
    let mut writer = Writer { low: 0, high: u32::MAX, bytes: Vec::new() };
    code_voxels(dims, num_labels, &mut writer, |n| indices[n]);
    writer.finish()
}

/// Decodes the labels that [`encode`] was given, or `None` if `encode` writes another number of bytes.
///
/// Any bytes of the right number decode to some labels; the caller must check them by a checksum.
pub fn decode(bytes: &[u8], dims: [usize; 3], num_labels: usize) -> Option<Vec<u8>> {
    if bytes.len() < min_bytes(dims.iter().product()) {
        return None;
    }
    let mut reader = Reader::new(bytes);
    let labels = code_voxels(dims, num_labels, &mut reader, |_| 0);
    // The reader is ahead by the interval's bytes; the writer appends at most one of them.
    let is_complete = reader.num_missing + 1 >= INTERVAL_BYTES && !reader.is_exhausted();
    is_complete.then_some(labels)
}

/// Returns a lower bound of the number of bytes that [`encode`] writes for `num_voxels` voxels.
pub fn min_bytes(num_voxels: usize) -> usize {
    (num_voxels / MAX_VOXELS_PER_BYTE).saturating_sub(INTERVAL_BYTES)
}

/// Returns the number of voxels of a box's padded copy, or `None` if it overflows a `usize`.
pub fn padded_voxels(dims: [usize; 3]) -> Option<usize> {
    let padded = dims.map(|d| d.checked_add(2 * MARGIN));
    padded.into_iter().try_fold(1usize, |product, d| product.checked_mul(d?))
}

/// Codes the voxels in order and returns their labels. Stops after a row in which the coder is
/// exhausted. `label_to_write` is used only when writing.
fn code_voxels(
    dims: [usize; 3],
    num_labels: usize,
    coder: &mut impl Coder,
    label_to_write: impl Fn(usize) -> u8,
) -> Vec<u8> {
    let padded = dims.map(|d| d + 2 * MARGIN);
    let [row, plane] = [padded[0] as isize, (padded[0] * padded[1]) as isize];
    let offset = |[di, dj, dk]: [isize; 3]| di + dj * row + dk * plane;
    let (near, far) = (NEAR.map(offset), FAR.map(offset));
    let mut padded_labels = vec![0u8; padded.iter().product()];
    let mut labels = Vec::with_capacity(dims.iter().product());
    let mut estimates = vec![Estimate::default(); 1 << TABLE_BITS];
    for k in 0..dims[2] {
        for j in 0..dims[1] {
            if coder.is_exhausted() {
                return labels;
            }
            for i in 0..dims[0] {
                let voxel = (i + MARGIN) + padded[0] * ((j + MARGIN) + padded[1] * (k + MARGIN));
                let neighbor = |offset: isize| padded_labels[voxel.wrapping_add_signed(offset)];
                let near_labels = near.map(neighbor);
                let near_context = near_labels.iter().fold(1, |hash, &x| mix(hash, x.into()));
                let far_context =
                    far.iter().fold(near_context ^ 1, |hash, &o| mix(hash, neighbor(o).into()));
                let mut decide = |step: u32, bit: bool| {
                    let entries =
                        [near_context, far_context].map(|context| table_index(context, step));
                    code_decision(&mut estimates, entries, coder, bit)
                };
                let label = label_to_write(labels.len());
                let label = code_label(label, num_labels, &near_labels, &mut decide);
                labels.push(label);
                padded_labels[voxel] = label;
            }
        }
    }
    labels
}

/// Codes a label as decisions: whether it equals the first, the second or the third neighbor's label,
/// else its bits. Returns the label.
fn code_label(
    label_to_write: u8,
    num_labels: usize,
    near: &[u8; 7],
    decide: &mut impl FnMut(u32, bool) -> bool,
) -> u8 {
    for (n, guess) in near[..3].iter().enumerate() {
        if !near[..n].contains(guess) && decide(n as u32, label_to_write == *guess) {
            return *guess;
        }
    }
    let num_bits = usize::BITS - (num_labels - 1).leading_zeros();
    let mut label = 0u32;
    for bit in (0..num_bits).rev() {
        // Each node of the label tree, given by the higher bits and the bit's position, is one step.
        let step = 8 + (label << 4 | bit);
        label = label << 1 | u32::from(decide(step, label_to_write >> bit & 1 == 1));
    }
    // Only bytes that `encode` did not write reach an index without a label.
    (label as usize).min(num_labels - 1) as u8
}

fn mix(hash: u32, value: u32) -> u32 {
    (hash ^ value).wrapping_mul(0x9E37_79B1).rotate_left(13)
}

fn table_index(context: u32, step: u32) -> usize {
    (mix(context, step).wrapping_mul(0x85EB_CA6B) >> (32 - TABLE_BITS)) as usize
}

/// The probability that a decision is yes, learned from previous decisions in the same context.
#[derive(Clone, Copy)]
struct Estimate {
    /// In units of 2⁻³².
    probability: u32,
    num_observations: u32,
}

impl Default for Estimate {
    fn default() -> Self {
        Estimate { probability: 1 << 31, num_observations: 0 }
    }
}

impl Estimate {
    fn learn(&mut self, bit: bool) {
        let target = if bit { i64::from(u32::MAX) } else { 0 };
        let error = target - i64::from(self.probability);
        let step = 2 * error / i64::from(2 * self.num_observations + 3);
        self.probability = (i64::from(self.probability) + step) as u32;
        self.num_observations = (self.num_observations + 1).min(MAX_OBSERVATIONS);
    }
}

/// Codes one decision with the better of two estimates, from which both then learn.
fn code_decision(
    estimates: &mut [Estimate],
    [near, far]: [usize; 2],
    coder: &mut impl Coder,
    bit: bool,
) -> bool {
    let is_far_reliable = estimates[far].num_observations >= MIN_FAR_OBSERVATIONS;
    let better = if is_far_reliable { far } else { near };
    // Never certain: a certain coder could not write the other decision.
    let probability = (estimates[better].probability >> 16).clamp(1, (1 << 16) - 1);
    let bit = coder.code(bit, probability);
    estimates[near].learn(bit);
    estimates[far].learn(bit);
    bit
}

/// Writes or reads decisions.
trait Coder {
    /// Codes a decision and returns it. A reader ignores `bit`.
    ///
    /// `probability` is that of a yes in units of 2⁻¹⁶, neither 0 nor 2¹⁶.
    fn code(&mut self, bit: bool, probability: u32) -> bool;

    /// Returns whether more has been read than was written.
    fn is_exhausted(&self) -> bool;
}

/// Returns the last value of the interval from `low` to `high` that means yes.
fn split(low: u32, high: u32, probability: u32) -> u32 {
    low + ((u64::from(high - low) * u64::from(probability)) >> 16) as u32
}

struct Writer {
    low: u32,
    high: u32,
    bytes: Vec<u8>,
}

impl Coder for Writer {
    fn code(&mut self, bit: bool, probability: u32) -> bool {
        let split = split(self.low, self.high, probability);
        if bit {
            self.high = split;
        } else {
            self.low = split + 1;
        }
        while (self.low ^ self.high) >> 24 == 0 {
            self.bytes.push((self.high >> 24) as u8);
            self.low <<= 8;
            self.high = self.high << 8 | 255;
        }
        bit
    }

    fn is_exhausted(&self) -> bool {
        false
    }
}

impl Writer {
    /// Writes the end: at most one byte inside the interval, because the reader continues with zeros.
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
    /// The number of zeros read after the end.
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
    fn code(&mut self, _: bool, probability: u32) -> bool {
        let split = split(self.low, self.high, probability);
        let bit = self.code <= split;
        if bit {
            self.high = split;
        } else {
            self.low = split + 1;
        }
        while (self.low ^ self.high) >> 24 == 0 {
            self.low <<= 8;
            self.high = self.high << 8 | 255;
            self.shift();
        }
        bit
    }

    fn is_exhausted(&self) -> bool {
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
    fn decoding_recovers_the_labels() {
        for (dims, num_labels) in
            [([1, 1, 1], 1), ([7, 5, 3], 2), ([16, 9, 11], 4), ([5, 20, 9], 256), ([30, 1, 2], 17)]
        {
            for run in [1, 9, 1000] {
                let map = labels(dims.iter().product(), num_labels, run);
                let bytes = encode(&map, dims, num_labels);
                let decoded = decode(&bytes, dims, num_labels);
                assert_eq!(decoded.as_ref(), Some(&map), "{dims:?} {num_labels} {run}");
                let longer = [&bytes[..], &[0, 0]].concat();
                assert_eq!(decode(&longer, dims, num_labels), None, "bytes after the labels");
                // Without the last two bytes, of which one may be a zero, decoding fails or differs.
                let Some(shorter) = bytes.len().checked_sub(2) else { continue };
                assert_ne!(decode(&bytes[..shorter], dims, num_labels), Some(map));
            }
        }
    }

    /// A map of a single label has the shortest code.
    #[test]
    fn the_shortest_code_is_near_the_lower_bound() {
        let dims = [256, 256, 64];
        let num_voxels = dims.iter().product();
        let bytes = encode(&vec![0; num_voxels], dims, 1).len();
        let min = min_bytes(num_voxels);
        assert!(min == 7 && (min..min + 8).contains(&bytes), "{bytes} bytes, bound {min}");
        assert_eq!(decode(&vec![0; min - 1], dims, 1), None);
        assert_eq!([min_bytes(0), min_bytes(1 << 20)], [0, 0]);
        assert_eq!(min_bytes(1 << 25), 88);
    }

    #[test]
    fn padded_voxels_are_counted_without_overflow() {
        assert_eq!(padded_voxels([1, 2, 3]), Some(5 * 6 * 7));
        assert_eq!(padded_voxels([usize::MAX, 1, 1]), None);
        assert_eq!(padded_voxels([1 << 40, 1 << 40, 1]), None);
    }

    #[test]
    fn noise_takes_little_more_than_its_entropy_and_uniform_maps_far_less() {
        let dims = [32, 32, 32];
        let noise = encode(&labels(32768, 4, 1), dims, 4).len();
        assert!((8192..8192 * 3 / 2).contains(&noise), "{noise} bytes for 8192 of noise");
        let uniform = encode(&[1; 32768], dims, 4).len();
        assert!(uniform < 40, "{uniform} bytes for one label");
    }

    #[test]
    fn arbitrary_bytes_decode_to_valid_labels() {
        let bytes: Vec<u8> = labels(4000, 256, 1);
        for num_labels in [1, 3, 200] {
            let mut reader = Reader::new(&bytes);
            let map = code_voxels([20, 20, 20], num_labels, &mut reader, |_| 0);
            assert!(!map.is_empty() && map.iter().all(|&x| usize::from(x) < num_labels));
        }
    }
}
