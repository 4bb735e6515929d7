//! Checks configurations.

use super::{EncoderBlock, Resampling, Skip, UNetConfig};
use crate::network::layers::{Layer, steps, units};
use crate::{Error, Result};

impl UNetConfig {
    /// Checks that the network can be built. The bounds are far above any network of the field;
    /// they keep a hostile bundle from asking for absurd sizes.
    ///
    /// # Errors
    /// [`Error::Network`] with the name of the setting.
    pub(super) fn check(&self) -> Result<()> {
        let within = |name: &str, value: usize, most: usize| {
            if (1..=most).contains(&value) {
                return Ok(());
            }
            Err(Error::network(format!("{name} from 1 to {most}"), value))
        };
        within("in_channels", self.in_channels(), 64)?;
        within("out_channels", self.out_channels(), 256)?;
        within("the number of widths", self.widths.len(), 8)?;
        within("expand_ratio", self.expand_ratio, 16)?;
        within("blocks", self.blocks, 64)?;
        within("decoder_blocks", self.decoder_blocks.unwrap_or(1), 64)?;
        within("groups", self.groups.unwrap_or(1), 1024)?;
        within("reflections", self.reflections.max(1), 64)?;
        for &width in &self.widths {
            within("each width", width, 4096)?;
        }
        if self.deep_supervision > 0 {
            within("deep_supervision", self.deep_supervision, self.num_levels() - 1)?;
            if self.resampling == Resampling::PixelShuffle {
                let expected =
                    "no deep_supervision beside pixel_shuffle, whose path is one sequence";
                return Err(Error::network(expected, self.deep_supervision));
            }
        }
        if let Some(vae) = &self.vae {
            within("vae.units", vae.units, 4096)?;
            within("vae.channels", vae.channels, 256)?;
            let (groups, power) = (vae.groups, vae.groups.is_power_of_two());
            if !power || groups > 256 {
                return Err(Error::network("vae.groups a power of two up to 256", groups));
            }
            let multiple = 2 * self.size_multiple();
            let Some(patch) = vae.patch else {
                return Err(Error::network("vae.patch", "a branch without it"));
            };
            if patch.iter().any(|&d| d % multiple != 0 || !(multiple..=1 << 12).contains(&d)) {
                let expected = format!("a vae.patch of multiples of {multiple}, at most 4096");
                return Err(Error::network(expected, format!("{patch:?}")));
            }
        }
        self.check_widths()
    }

    fn check_widths(&self) -> Result<()> {
        let widths = format!("{:?}", self.widths);
        let halved = self.body == EncoderBlock::Reversible || self.decoder.half().is_some();
        if halved && self.widths.iter().any(|width| width % 2 != 0) {
            return Err(Error::network("even widths", widths));
        }
        if self.resampling == Resampling::PixelShuffle {
            if self.widths.iter().any(|width| width % 2 != 0)
                || self.widths.windows(2).any(|pair| pair[1] != 4 * pair[0])
            {
                return Err(Error::network("widths of which each is 4 times the last", widths));
            }
            if self.body != EncoderBlock::Reversible || self.decoder.half().is_none() {
                return Err(Error::network(
                    "a reversible body and decoder beside pixel_shuffle",
                    format!("{:?} and {:?}", self.body, self.decoder),
                ));
            }
        } else if self.skip == Skip::Concat && self.decoder.half().is_some() {
            let found = format!("{:?}", self.decoder);
            return Err(Error::network("conv1 or conv2 as decoder beside concat", found));
        }
        for step in steps(self) {
            for unit in units(&step.layer) {
                let Some(norm) = unit.norm else { continue };
                let channels = if norm.first { unit.from } else { unit.to };
                if channels % norm.groups != 0 {
                    let halves =
                        if matches!(step.layer, Layer::Block { .. }) { " halves" } else { "" };
                    let expected = format!("widths whose{halves} are multiples of {}", norm.groups);
                    return Err(Error::network(expected, widths));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{NetworkSettings, Vae};
    use super::*;

    #[test]
    fn what_cannot_be_built_is_refused() {
        let base = UNetConfig::preset("demo", 4, 3).unwrap();
        let refused = |change: fn(&mut NetworkSettings), word: &str| {
            let error = base.with(change).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        };
        refused(|demo| demo.widths = vec![16, 36], "multiples of 8");
        refused(|demo| demo.widths = vec![16, 33], "even");
        refused(|demo| demo.resampling = Resampling::PixelShuffle, "4 times");
        refused(|demo| demo.skip = Skip::Concat, "conv1 or conv2");
        refused(|demo| demo.vae = Some(Vae::default()), "vae.patch");
        refused(
            |demo| demo.vae = Some(Vae { patch: Some([24; 3]), ..Vae::default() }),
            "multiples of 16",
        );
        refused(|demo| demo.in_channels = None, "in_channels");
        assert!(UNetConfig::preset("mbconv", 4, 3).is_err());
        assert!(UNetConfig::preset("demo", 0, 3).is_err());
    }
}
