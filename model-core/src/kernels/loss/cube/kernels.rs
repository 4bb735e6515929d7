//! Kernels of the losses. A voxel's logits are read as often as needed: they are few and stay in
//! the cache.

use cubecl::prelude::*;

use super::super::super::cube::{UNITS, sum_units};
use super::super::passes::VoxelLoss;

/// Voxels of a unit, one after the other.
pub const STRIDES: usize = 64;

/// 32-bit words of a bit set of 256 label codes.
const WORDS: usize = 256 / 32;

/// Probabilities of one prediction: of one output, or of a voxel's label.
#[derive(CubeType, Clone, Copy)]
struct Answer {
    /// Probability of the reference class.
    right: f32,
    /// 1 − `right`, computed separately, since the difference has no digits if it is small.
    wrong: f32,
    /// −ln `right`.
    cross_entropy: f32,
    /// The largest logit, for exclusive outputs.
    most: f32,
    /// Sum of the exponentials of the logits minus the largest.
    total: f32,
}

/// Returns a voxel's label code.
#[cube]
fn code(codes: &[u32], sample: usize, voxel: usize, voxels: usize) -> usize {
    let word = codes[sample * voxels.div_ceil(4) + voxel / 4];
    ((word >> (8 * (voxel % 4) as u32)) & 255) as usize
}

/// Returns whether a code belongs to an output.
#[cube]
fn is_member(members: &[u32], output: usize, code: usize) -> bool {
    (members[output * WORDS + code / 32] >> (code % 32) as u32) & 1 == 1
}

/// Evaluates one output with a sigmoid.
#[cube]
fn of_region(logit: f32, there: bool) -> Answer {
    let margin = select(there, logit, -logit);
    let small = (-margin.abs()).exp();
    let more = 1.0 / (1.0 + small);
    let less = small / (1.0 + small);
    Answer {
        right: select(margin >= 0.0, more, less),
        wrong: select(margin >= 0.0, less, more),
        cross_entropy: select(margin >= 0.0, 0.0f32, -margin) + small.log1p(),
        most: 0.0f32,
        total: 1.0f32,
    }
}

/// Evaluates a voxel's label with a softmax. `first` is the index of the voxel's first logit.
#[cube]
fn of_label(
    logits: &[f32],
    members: &[u32],
    first: usize,
    code: usize,
    outputs: usize,
    voxels: usize,
) -> Answer {
    let mut most = logits[first];
    for output in 1..outputs {
        most = max(most, logits[first + output * voxels]);
    }
    let mut right = 0.0f32;
    let mut wrong = 0.0f32;
    let mut behind = 0.0f32;
    for output in 0..outputs {
        let logit = logits[first + output * voxels];
        let share = (logit - most).exp();
        if is_member(members, output, code) {
            right = share;
            behind = most - logit;
        } else {
            wrong += share;
        }
    }
    let total = right + wrong;
    let wrong = wrong / total;
    // Near 1 the probability has lost the digits that its logarithm needs.
    let cross_entropy = select(wrong < 0.5, -(-wrong).log1p(), behind + total.ln());
    Answer { right: right / total, wrong, cross_entropy, most, total }
}

/// Sums one output over one part of a sample. `CUBE_POS` numbers the pairs.
#[cube(launch_unchecked, address_type = "dynamic")]
pub fn sums_kernel(
    logits: &[f32],
    codes: &[u32],
    members: &[u32],
    partials: &mut [f32],
    outputs: usize,
    voxels: usize,
    parts: usize,
    num_cubes: usize,
    weight_there: f32,
    weight_elsewhere: f32,
    #[comptime] exclusive: bool,
) {
    if CUBE_POS >= num_cubes {
        terminate!();
    }
    let output = CUBE_POS % outputs;
    let part = CUBE_POS / outputs % parts;
    let sample = CUBE_POS / outputs / parts;
    let mut predicted = 0.0f32;
    let mut overlap = 0.0f32;
    let mut reference = 0.0f32;
    let mut decided = 0.0f32;
    let mut decided_overlap = 0.0f32;
    let mut cross_entropy = 0.0f32;
    let mut focal = 0.0f32;
    let start = part * comptime![UNITS * STRIDES];
    let end = min(start + comptime![UNITS * STRIDES], voxels);
    let mut voxel = start + UNIT_POS as usize;
    while voxel < end {
        let code = code(codes, sample, voxel, voxels);
        let there = is_member(members, output, code);
        let first = sample * outputs * voxels + voxel;
        let own = logits[first + output * voxels];
        let mut is_decided = true;
        let probability = if exclusive {
            let answer = of_label(logits, members, first, code, outputs, voxels);
            let probability = (own - answer.most).exp() / answer.total;
            // The first of equal maxima wins.
            for other in 0..outputs {
                let logit = logits[first + other * voxels];
                is_decided = is_decided && (logit < own || (other >= output && logit <= own));
            }
            if output == 0 {
                cross_entropy += answer.cross_entropy;
                focal += answer.wrong * answer.wrong * answer.cross_entropy;
            }
            probability
        } else {
            let answer = of_region(own, there);
            let probability = select(there, answer.right, answer.wrong);
            is_decided = probability > 0.5;
            cross_entropy += answer.cross_entropy;
            let weight = select(there, weight_there, weight_elsewhere);
            focal += weight * answer.wrong * answer.wrong * answer.cross_entropy;
            probability
        };
        let is_there = select(there, 1.0f32, 0.0f32);
        let is_decided = select(is_decided, 1.0f32, 0.0f32);
        predicted += probability;
        // Not a product: 0 · NaN would be NaN in voxels that do not count.
        overlap += select(there, probability, 0.0f32);
        reference += is_there;
        decided += is_decided;
        decided_overlap += is_decided * is_there;
        voxel += UNITS;
    }
    let predicted = sum_units(predicted);
    let overlap = sum_units(overlap);
    let reference = sum_units(reference);
    let decided = sum_units(decided);
    let decided_overlap = sum_units(decided_overlap);
    let cross_entropy = sum_units(cross_entropy);
    let focal = sum_units(focal);
    if UNIT_POS == 0 {
        let at = 7 * CUBE_POS;
        partials[at] = predicted;
        partials[at + 1] = overlap;
        partials[at + 2] = reference;
        partials[at + 3] = decided;
        partials[at + 4] = decided_overlap;
        partials[at + 5] = cross_entropy;
        partials[at + 6] = focal;
    }
}

/// Derivative of the mean over voxels with respect to the logit of an output.
#[cube]
fn of_voxel_part(
    answer: &Answer,
    probability: f32,
    there: bool,
    weight: f32,
    #[comptime] part: Option<VoxelLoss>,
) -> f32 {
    if comptime![part == Some(VoxelLoss::CrossEntropy)] {
        probability - select(there, 1.0f32, 0.0f32)
    } else if comptime![part == Some(VoxelLoss::Focal)] {
        let of_cross_entropy = select(there, -answer.wrong, probability);
        let times = answer.wrong * (answer.wrong + 2.0 * answer.right * answer.cross_entropy);
        weight * times * of_cross_entropy
    } else {
        0.0f32.runtime()
    }
}

/// Derivative of the Dice term with respect to a probability.
#[cube]
fn slope(slopes: &[f32], output: usize, there: bool) -> f32 {
    slopes[2 * output] + select(there, slopes[2 * output + 1], 0.0f32)
}

#[cube(launch_unchecked, address_type = "dynamic")]
pub fn gradient_kernel(
    logits: &[f32],
    codes: &[u32],
    members: &[u32],
    slopes: &[f32],
    gradient: &mut [f32],
    outputs: usize,
    voxels: usize,
    units: usize,
    scale: f32,
    weight_there: f32,
    weight_elsewhere: f32,
    #[comptime] exclusive: bool,
    #[comptime] part: Option<VoxelLoss>,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (sample, voxel) = (ABSOLUTE_POS / voxels, ABSOLUTE_POS % voxels);
    let code = code(codes, sample, voxel, voxels);
    let first = sample * outputs * voxels + voxel;
    if exclusive {
        // dp_a/dx_o = p_a (δ_ao − p_o).
        let answer = of_label(logits, members, first, code, outputs, voxels);
        let mut mean = 0.0f32;
        for output in 0..outputs {
            let there = is_member(members, output, code);
            let probability = (logits[first + output * voxels] - answer.most).exp() / answer.total;
            mean += probability * slope(slopes, output, there);
        }
        for output in 0..outputs {
            let there = is_member(members, output, code);
            let probability = (logits[first + output * voxels] - answer.most).exp() / answer.total;
            let by_dice = probability * (slope(slopes, output, there) - mean);
            let by_voxel = of_voxel_part(&answer, probability, there, 1.0f32, part);
            gradient[first + output * voxels] = scale * by_voxel + by_dice;
        }
    } else {
        for output in 0..outputs {
            let there = is_member(members, output, code);
            let answer = of_region(logits[first + output * voxels], there);
            let probability = select(there, answer.right, answer.wrong);
            let by_dice = probability * (1.0 - probability) * slope(slopes, output, there);
            let weight = select(there, weight_there, weight_elsewhere);
            let by_voxel = of_voxel_part(&answer, probability, there, weight, part);
            gradient[first + output * voxels] = scale * by_voxel + by_dice;
        }
    }
}
