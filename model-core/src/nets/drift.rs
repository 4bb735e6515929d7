//! Measures the drift: the error of rewound activations.

use burn::module::Module;
use burn::tensor::{FloatDType, Tensor};

use super::{FeatureMap, Segment, Skips, UNet3d, cast};
use crate::kernels::upsample2_add;
use crate::network::layers::Backward;

impl UNet3d {
    /// Returns the drift of every rewound sequence, first to last.
    ///
    /// The drift is the RMS of the difference between a sequence's input and the input that the
    /// backward pass recovers from its output, divided by the RMS of the input. It is NaN if a
    /// value left the range of the type. If the output is a skip connection that is recovered from
    /// the decoder, the rewinding begins there. The list is empty if no sequence is rewound. Runs
    /// without autodiff.
    ///
    /// # Shapes
    /// - x: `[b, in, k, j, i]`; each axis must pass
    ///   [`NetworkSettings::check_size`](crate::NetworkSettings::check_size)
    pub fn drift(&self, x: Tensor<5>) -> Vec<f64> {
        let network = self.valid();
        let x = if x.device().is_autodiff() { x.inner() } else { x };
        let mut x = FeatureMap::Whole(cast(x, self.precision.compute));
        let mut skips = Skips::default();
        // The map that was up-sampled and added to a skip, before the sequence that reads the sum.
        let mut added = None;
        // Sequences whose output is recovered further on: their place in the list, and their input.
        let mut open: Vec<(usize, &Segment, Tensor<5>)> = Vec::new();
        let mut found = Vec::new();
        for segment in &network.segments {
            if segment.backward != Backward::Rewound {
                for layer in &segment.layers {
                    if let FeatureMap::Smaller(smaller) = &x {
                        added = Some(smaller.clone());
                    }
                    x = layer.forward(x, &mut skips, None);
                }
                continue;
            }
            let ends_skip = skips.has_place();
            let before = x.whole();
            let y = segment.forward(FeatureMap::Whole(before.clone()), &mut skips, None).whole();
            let recovered = segment.inverse(y.clone());
            x = FeatureMap::Whole(y);
            if ends_skip && let Some(((n, encoder, input), added)) = open.pop().zip(added.take()) {
                let skip = upsample2_add(added.neg(), recovered.clone());
                found[n] = relative_rms(encoder.inverse(skip), input);
            }
            found.push(relative_rms(recovered, before.clone()));
            if segment.is_recovered {
                open.push((found.len() - 1, segment, before));
            }
        }
        found
    }
}

/// Returns the RMS of the difference divided by the RMS of `expected`.
fn relative_rms(found: Tensor<5>, expected: Tensor<5>) -> f64 {
    let (found, expected) = (cast(found, FloatDType::F32), cast(expected, FloatDType::F32));
    let apart = squares(found - expected.clone());
    if apart == 0.0 { 0.0 } else { (apart / squares(expected)).sqrt() }
}

/// Sums the squares: rows on the device, then in f64 in a fixed order, independent of the number of
/// threads.
fn squares(x: Tensor<5>) -> f64 {
    let rows = x.square().sum_dim(4).into_data().convert::<f32>();
    let rows = rows.try_into_vec::<f32>().expect("converted to f32 in this function");
    rows.into_iter().map(f64::from).sum()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;
    use crate::nets::Precision;
    use crate::network::layers::segments;
    use crate::{BackwardMode, UNetConfig};

    fn drift(config: &UNetConfig, precision: Precision) -> Vec<f64> {
        let device = Device::flex();
        let network = UNet3d::in_precision(config, precision, &device.clone().autodiff());
        let size = config.min_size();
        let shape = [1, config.in_channels(), size, size, size];
        network.drift(Tensor::random(shape, Distribution::Normal(0.0, 1.0), &device))
    }

    /// Covers split halves, joins, shuffles and reflections.
    #[test]
    fn every_rewound_sequence_finds_its_input_again_in_f32() {
        let presets = [("demo", [8, 16]), ("partially-invres", [8, 16]), ("fully-invres", [8, 32])];
        for (preset, widths) in presets {
            let config = UNetConfig::preset(preset, 1, 2).unwrap();
            let small = config.with(|small| {
                small.widths = widths.to_vec();
                small.groups = small.groups.map(|groups| groups.min(2));
                (small.blocks, small.reflections) = (2, 2);
            });
            let config = small.unwrap();
            let found = drift(&config, Precision::F32);
            let rewound = |s: &&crate::network::layers::Segment| s.backward == Backward::Rewound;
            assert_eq!(found.len(), segments(&config).iter().filter(rewound).count());
            assert!(found.iter().all(|drift| (0.0..1e-4).contains(drift)), "{preset}: {found:?}");
            assert!(found.iter().any(|drift| *drift > 0.0), "{preset}: nothing was measured");
        }
    }

    #[test]
    fn what_stores_everything_does_not_drift() {
        let config = UNetConfig::preset("demo", 1, 2).unwrap();
        assert!(drift(&config.in_mode(BackwardMode::NonReversible), Precision::F32).is_empty());
    }
}
