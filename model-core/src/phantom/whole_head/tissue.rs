//! The tissues of a head outside the brain, and their intensities.

use crate::phantom::noise::Random;

/// A tissue outside the brain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tissue {
    Air,
    Fluid,
    Dura,
    /// Dense bone.
    Cortex,
    Marrow,
    Fat,
    Muscle,
    Skin,
    /// The content of the eye.
    Vitreous,
    Lens,
    /// The optic nerves and the spinal cord.
    Nerve,
    /// Large veins and arteries.
    Vessel,
    /// The lining of nose and sinuses.
    Mucosa,
    /// The pituitary and other glands.
    Gland,
}

/// Intensities of the tissues, 1 for the mean of the brain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contrast([f32; 14]);

/// The sequences of BraTS in its order: T1, T1 after gadolinium, T2 and FLAIR. The values are read
/// from scans with skulls, relative to the brain's mean.
#[rustfmt::skip]
const SEQUENCES: [[f32; 14]; 4] = [
    // air, fluid, dura, cortex, marrow, fat, muscle, skin, vitreous, lens, nerve, vessel, mucosa, gland
    [0.02, 0.35, 0.55, 0.10, 0.95, 2.00, 0.70, 0.90, 0.35, 0.70, 1.10, 0.50, 0.75, 0.90],
    [0.02, 0.35, 1.20, 0.10, 0.90, 1.80, 0.75, 0.95, 0.35, 0.70, 1.05, 2.00, 1.60, 1.60],
    [0.02, 2.40, 0.45, 0.10, 0.75, 1.40, 0.40, 0.70, 2.60, 0.45, 0.85, 0.25, 1.90, 1.00],
    [0.02, 0.25, 0.70, 0.10, 0.60, 1.20, 0.50, 0.80, 0.30, 0.55, 0.95, 0.40, 1.40, 1.00],
];

impl Contrast {
    pub fn intensity(&self, tissue: Tissue) -> f32 {
        self.0[tissue as usize]
    }

    /// Draws the intensities of a sequence. Fat is suppressed in some scans, and marrow is fatty or
    /// not.
    pub fn of_sequence(sequence: usize, fluid: f32, random: &mut Random) -> Contrast {
        let mut values = SEQUENCES[sequence % 4];
        values.iter_mut().skip(2).for_each(|value| *value *= random.between(0.65, 1.5));
        values[Tissue::Fat as usize] *= random.between(0.8, 1.8); // near the coil
        values[Tissue::Fluid as usize] = fluid * random.between(0.8, 1.2);
        values[Tissue::Marrow as usize] *= random.between(0.3, 1.4);
        if random.uniform() < 0.3 {
            let suppressed = random.between(0.1, 0.5);
            for fat in [Tissue::Fat, Tissue::Marrow] {
                values[fat as usize] *= suppressed;
            }
        }
        if random.uniform() < 0.3 {
            values[Tissue::Vessel as usize] = random.between(0.05, 2.2);
        }
        Contrast(values)
    }

    /// Draws intensities that belong to no sequence. `fluid` is the fluid's in the brain.
    pub fn random(fluid: f32, random: &mut Random) -> Contrast {
        let mut values: [f32; 14] = std::array::from_fn(|_| random.between(0.03, 2.2));
        values[Tissue::Air as usize] = random.between(0.0, 0.06);
        if random.uniform() < 0.7 {
            values[Tissue::Fluid as usize] = fluid * random.between(0.8, 1.2);
        }
        if random.uniform() < 0.8 {
            values[Tissue::Cortex as usize] = random.between(0.0, 0.35);
        }
        if random.uniform() < 0.6 {
            values[Tissue::Vitreous as usize] = values[Tissue::Fluid as usize];
        }
        Contrast(values)
    }
}
