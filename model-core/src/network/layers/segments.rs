//! Divides a network's layers by how the backward pass gets their activations.

use super::{ConvNorm, Kernel, Layer, Step, steps, units};
use crate::network::config::{BackwardMode, UNetConfig};

/// The activations that a segment keeps for its backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backward {
    /// All activations, as plain autodiff does.
    Stored,
    /// Only the output; the backward pass rewinds.
    Rewound,
    /// Only the input; the backward pass recomputes.
    Recomputed,
}

/// A run of layers that are treated alike. A segment that is not `Stored` takes one tensor and
/// returns one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The activations that are kept.
    pub backward: Backward,
    /// Its layers.
    pub steps: Vec<Step>,
    /// Whether the output is a skip connection that the backward pass can recover: it is added to an
    /// up-sampled map, and the sum is the input of a sequence that is rewound.
    pub is_recovered: bool,
}

/// Divides a network's layers into segments.
///
/// Reversible: every longest run of invertible layers is one segment, so that a sequence of blocks,
/// or the whole path between pixel shuffles, keeps only its end. A pointwise convolution that
/// widens, as at the entry of every encoder level, is recomputed from its narrow input at almost no
/// cost. Checkpointed: every run of n layers between skips is divided into about √n segments (Chen
/// et al. 2016, section 4.1). The last segment is the head.
pub fn segments(config: &UNetConfig) -> Vec<Segment> {
    let mut steps = steps(config);
    let head = steps.split_off(steps.len() - 1);
    let kind = |step: &Step| match config.backward {
        BackwardMode::Reversible if step.layer.is_invertible() => Backward::Rewound,
        BackwardMode::Reversible if widens(&step.layer) => Backward::Recomputed,
        BackwardMode::Checkpointed if is_between_skips(&step.layer) => Backward::Recomputed,
        _ => Backward::Stored,
    };
    let mut list = Vec::new();
    for run in steps.chunk_by(|a, b| kind(a) == kind(b)) {
        let has = |steps: &[Step], any: fn(&Layer) -> bool| steps.iter().any(|s| any(&s.layer));
        let mut push = |backward, steps: &[Step]| {
            list.push(Segment { backward, steps: steps.to_vec(), is_recovered: false });
        };
        match kind(&run[0]) {
            Backward::Rewound if has(run, |layer| matches!(layer, Layer::Block { .. })) => {
                push(Backward::Rewound, run);
            }
            Backward::Recomputed => {
                let count = (run.len() as f64).sqrt().round() as usize;
                for steps in run.chunks(run.len().div_ceil(count)) {
                    // A lone convolution keeps only its input anyway.
                    let saves = has(steps, |layer| units(layer).iter().any(|u| u.norm.is_some()));
                    push(if saves { Backward::Recomputed } else { Backward::Stored }, steps);
                }
            }
            _ => push(Backward::Stored, run),
        }
    }
    list.push(Segment { backward: Backward::Stored, steps: head, is_recovered: false });
    for n in recovered(&list) {
        list[n].is_recovered = true;
    }
    list
}

/// Returns the segments whose output the decoder recovers.
fn recovered(segments: &[Segment]) -> Vec<usize> {
    let is_rewound = |n: Option<usize>| {
        n.and_then(|n| segments.get(n)).is_some_and(|s| s.backward == Backward::Rewound)
    };
    let (mut open, mut found) = (Vec::new(), Vec::new());
    for (n, segment) in segments.iter().enumerate() {
        for (at, step) in segment.steps.iter().enumerate() {
            match step.layer {
                Layer::PushSkip => {
                    let before = n.checked_sub(1);
                    open.push(before.filter(|_| at == 0 && is_rewound(before)));
                }
                Layer::AddSkip | Layer::ConcatSkip => {
                    let from = open.pop().flatten();
                    let is_sum = step.layer == Layer::AddSkip && at + 1 == segment.steps.len();
                    found.extend(from.filter(|_| is_sum && is_rewound(Some(n + 1))));
                }
                _ => {}
            }
        }
    }
    found
}

/// Returns the number of blocks of the longest sequence that is rewound; 0 without reversible blocks.
pub fn longest_rewound_sequence(config: &UNetConfig) -> usize {
    let segments = segments(config);
    let rewound = segments.iter().filter(|segment| segment.backward == Backward::Rewound);
    let num_blocks = |segment: &Segment| {
        segment.steps.iter().filter(|step| matches!(step.layer, Layer::Block { .. })).count()
    };
    rewound.map(num_blocks).max().unwrap_or(0)
}

/// Returns whether a layer is a pointwise convolution, with its norm, to more channels.
fn widens(layer: &Layer) -> bool {
    let is_widening =
        |u: &ConvNorm| u.kernel == Kernel::Pointwise && u.from < u.to && u.norm.is_some();
    matches!(layer, Layer::ConvNorm(unit) if is_widening(unit))
}

/// Returns whether a layer takes one tensor and returns one without using the skip stack.
fn is_between_skips(layer: &Layer) -> bool {
    use Layer::*;
    let is_hook = matches!(layer, BottleneckHook | DecoderHook);
    !is_hook && !matches!(layer, PushSkip | AddSkip | ConcatSkip | PushHalf | ConcatHalf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::config::PRESETS;

    fn count(config: &UNetConfig, backward: Backward) -> usize {
        segments(config).iter().filter(|segment| segment.backward == backward).count()
    }

    #[test]
    fn segments_are_the_layers_in_order() {
        for preset in PRESETS {
            let base = UNetConfig::preset(preset, 4, 3).unwrap();
            for mode in BackwardMode::ALL {
                let config = base.in_mode(mode);
                let all: Vec<Step> = segments(&config).into_iter().flat_map(|s| s.steps).collect();
                assert_eq!(all, steps(&config), "{preset}");
            }
        }
    }

    /// All skips of a network whose decoder is reversible too and adds its skips; none is recovered
    /// from a decoder that is not rewound or that concatenates.
    #[test]
    fn skips_between_rewound_sequences_are_recovered() {
        let found = |name: &str| {
            let config = UNetConfig::preset(name, 4, 3).unwrap();
            let recovered = |config: &UNetConfig| {
                let segments = segments(config).into_iter();
                segments.filter(|segment| segment.is_recovered).count()
            };
            let others = [BackwardMode::NonReversible, BackwardMode::Checkpointed];
            assert!(others.iter().all(|&mode| recovered(&config.in_mode(mode)) == 0), "{name}");
            (recovered(&config), config.num_levels() - 1)
        };
        for name in ["brugger-1-1", "brugger-4-1", "mbconv-slim", "demo"] {
            let (recovered, skips) = found(name);
            assert_eq!(recovered, skips, "{name}");
        }
        for name in ["mbconv-base", "pendse-baseline", "unet3d", "fully-invres"] {
            assert_eq!(found(name).0, 0, "{name}");
        }
    }

    /// Brügger: five sequences down and five up, two of which meet at the bottom and are one. A
    /// fully invertible network: one sequence from the first convolution to the head.
    #[test]
    fn a_sequence_is_one_segment_and_so_is_an_invertible_path() {
        let preset = |name| UNetConfig::preset(name, 4, 3).unwrap();
        assert_eq!(count(&preset("brugger-3-1"), Backward::Rewound), 9);
        let fully = preset("fully-invres");
        assert_eq!(count(&fully, Backward::Rewound), 1);
        let lengths = ["brugger-4-1", "mbconv-base", "unet3d", "fully-invres"];
        let lengths = lengths.map(|name| longest_rewound_sequence(&preset(name)));
        assert_eq!(lengths, [5, 1, 0, 8]);
        assert_eq!(segments(&fully).len(), 3);
        let plain = fully.in_mode(BackwardMode::NonReversible);
        assert_eq!(segments(&plain).len(), 2);
    }
}
