//! The anatomy around a brain: skull, scalp, face, eyes, neck. All positions are in mm from the center
//! of the brain's bounding box: x to the right, y to the front, z to the top. They are read from the
//! MNI152 template, relative to its brain.

use super::face::{Ellipsoid, Face};
use super::real_brain::RealBrain;
use super::tissue::Tissue;
use crate::phantom::noise::{Random, SmoothNoise};

/// Half of the extent over which the random fields of a head are drawn.
pub(super) const FIELD_MM: f32 = 150.0;

/// A position in the fields' cube.
pub(super) fn in_field(point_mm: [f32; 3]) -> [f32; 3] {
    point_mm.map(|x| x / FIELD_MM)
}

/// The shapes of one head.
pub(super) struct Head<'a> {
    brain: &'a RealBrain,
    face: Face,
    neck: [f32; 3],
    cord_slope: [f32; 2],
    cord_mm: f32,
    canal_mm: f32,
    fluid_mm: f32,
    dura_mm: f32,
    skull_mm: f32,
    scalp_mm: f32,
    fat_share: f32,
    vein_mm: f32,
    /// A cavity full of fluid in the brain, as after a resection or beside a cyst.
    cavity: Option<Ellipsoid>,
    has_vessels: bool,
    transverse_z: f32,
    are_sinuses_filled: bool,
    thickness: [SmoothNoise; 3],
    mixture: [SmoothNoise; 2],
}

impl<'a> Head<'a> {
    /// Draws the shapes of a head around a brain.
    pub fn draw(brain: &'a RealBrain, random: &mut Random) -> Head<'a> {
        let face = Face::draw(brain.half_mm, random);
        let mut near = |at: f32, by: f32| random.between(at - by, at + by);
        let neck = [near(58.0, 8.0), near(64.0, 8.0), near(-18.0, 8.0)];
        let cord_slope = [near(0.0, 0.1), near(0.1, 0.25)];
        let (cord_mm, canal_mm) = (near(6.5, 1.5), near(10.5, 2.5));
        let (fluid_mm, dura_mm) = (near(1.0, 1.0), near(0.8, 0.6));
        let extra_fluid = if random.uniform() < 0.25 { random.between(0.0, 5.0) } else { 0.0 };
        let cavity = (random.uniform() < 0.25).then(|| {
            let direction: [f32; 3] = std::array::from_fn(|_| random.between(-0.9, 0.9));
            let center = std::array::from_fn(|a| direction[a] * brain.half_mm[a]);
            Ellipsoid::new(center, std::array::from_fn(|_| random.between(6.0, 25.0)))
        });
        Head {
            cavity,
            brain,
            face,
            neck,
            cord_slope,
            cord_mm,
            canal_mm,
            fluid_mm: fluid_mm + extra_fluid,
            dura_mm,
            skull_mm: random.between(3.5, 9.0),
            scalp_mm: random.between(3.0, 10.0),
            fat_share: random.between(0.3, 0.85),
            vein_mm: random.between(2.0, 6.0),
            has_vessels: random.uniform() < 0.7,
            transverse_z: random.between(34.0, 50.0) - brain.half_mm[2],
            are_sinuses_filled: random.uniform() < 0.15,
            thickness: [5, 6, 7].map(|cells| SmoothNoise::draw(cells, random)),
            mixture: [19, 38].map(|cells| SmoothNoise::draw(cells, random)),
        }
    }

    /// Returns the tissue at a point outside the brain. `distance` is the point's distance from the
    /// closed brain.
    pub fn tissue(&self, p: [f32; 3], distance: f32) -> Tissue {
        let q = in_field(p);
        let [skull, scalp, fluid] = [0, 1, 2].map(|n| self.thickness[n].at(q));
        let dura_from = self.fluid_mm * (1.0 + 0.9 * fluid).max(0.0);
        let skull_from = dura_from + self.dura_mm;
        let scalp_from = skull_from + self.skull_mm * (1.0 + 0.5 * skull);
        let surface = scalp_from + self.scalp_mm * (1.0 + 0.6 * scalp);
        let depth = self.outer_depth(p, surface - distance);
        if depth <= 0.0 {
            return Tissue::Air;
        }
        if let Some(tissue) = self.spine(p) {
            return tissue;
        }
        if distance > 1.0
            && let Some(tissue) = self.face.orbits(p)
        {
            return tissue;
        }
        if let Some(tissue) = self.veins(p, distance) {
            return tissue;
        }
        if distance < dura_from {
            let is_vessel = self.has_vessels && self.mixture[1].at(q) > 0.5;
            let is_falx = p[0].abs() < 1.0 && p[2] > 0.0;
            return match (is_vessel, is_falx) {
                (true, _) => Tissue::Vessel,
                (_, true) => Tissue::Dura,
                _ => Tissue::Fluid,
            };
        }
        if distance < skull_from {
            return Tissue::Dura;
        }
        if let Some(tissue) = self.cavities(p, q) {
            return tissue;
        }
        if distance < scalp_from {
            let share = (distance - skull_from) / (scalp_from - skull_from);
            return self.bone(p, share);
        }
        self.soft(p, depth)
    }

    /// Returns whether a point of the brain is in its cavity.
    pub fn is_in_cavity(&self, p: [f32; 3]) -> bool {
        self.cavity.as_ref().is_some_and(|cavity| cavity.depth(p) > 0.0)
    }

    /// Returns the depth below the skin in mm: the largest of those in the scalp, the face and the
    /// neck; not positive outside.
    fn outer_depth(&self, p: [f32; 3], scalp: f32) -> f32 {
        let mut depth = scalp;
        if p[2] < 0.0 {
            depth = depth.max(self.face.depth(p));
            let [rx, ry, center] = self.neck;
            let (x, y) = (p[0] / rx, (p[1] - center) / ry);
            let neck = (1.0 - (x * x + y * y).sqrt()) * rx.min(ry);
            depth = depth.max(neck.min(0.6 - self.brain.half_mm[2] * 0.6 - p[2]));
        }
        depth
    }

    /// The spinal cord below the brain, its canal and the vertebrae.
    fn spine(&self, p: [f32; 3]) -> Option<Tissue> {
        let below = self.brain.stem_mm[2] - p[2];
        if below < -4.0 {
            return None;
        }
        let x = p[0] - self.brain.stem_mm[0] - self.cord_slope[0] * below;
        let y = p[1] - self.brain.stem_mm[1] + self.cord_slope[1] * below;
        let radius = (x * x + y * y).sqrt();
        // The stem narrows to the cord.
        let widening = (4.0 - 0.3 * below).max(0.0);
        if radius < self.cord_mm + widening {
            return Some(Tissue::Nerve);
        }
        if radius < self.canal_mm + widening {
            return Some(Tissue::Fluid);
        }
        if radius < self.canal_mm + widening + 1.2 {
            return Some(Tissue::Dura);
        }
        let body = (x * x + (y - 18.0) * (y - 18.0)).sqrt();
        let is_bone = below > 3.0 && (radius < self.canal_mm + 6.0 || body < 13.0);
        // Vertebrae of 18 mm with disks of 5 mm between them.
        let phase = below - 18.0 * (below / 18.0).floor();
        match (is_bone, phase < 5.0 && body < 13.0, body < 11.0) {
            (false, _, _) => None,
            (true, true, _) => Some(Tissue::Dura),
            (true, false, true) => Some(Tissue::Marrow),
            (true, false, false) => Some(Tissue::Cortex),
        }
    }

    /// The large veins outside the brain, and the pituitary with the cavernous sinus.
    fn veins(&self, p: [f32; 3], distance: f32) -> Option<Tissue> {
        let [_, hy, _] = self.brain.half_mm;
        let is_back = p[1] < -0.3 * hy;
        let sagittal = p[0].abs() < self.vein_mm
            && distance < 1.4 * self.vein_mm
            && (p[2] > 0.0 || is_back)
            && p[2] > self.transverse_z
            && distance > 0.1;
        let transverse = is_back
            && (p[2] - self.transverse_z).abs() < self.vein_mm
            && (0.1..1.6 * self.vein_mm).contains(&distance);
        if sagittal || transverse {
            return Some(Tissue::Vessel);
        }
        self.face.pituitary(p)
    }

    /// Nose, sinuses and mouth.
    fn cavities(&self, p: [f32; 3], q: [f32; 3]) -> Option<Tissue> {
        let is_face = p[2] <= -0.1 * self.brain.half_mm[2] && p[1] >= 0.0;
        if is_face {
            self.face.cavities(p, self.are_sinuses_filled, || self.mixture[1].at(q))
        } else {
            None
        }
    }

    /// Bone of the skull; `share` is the share of its thickness from inside to outside. The base is
    /// irregular, and the mastoids are full of air.
    fn bone(&self, p: [f32; 3], share: f32) -> Tissue {
        let [hx, _, hz] = self.brain.half_mm;
        if p[2] < -0.35 * hz {
            let noise = self.mixture[0].at(in_field(p));
            let is_mastoid = p[0].abs() > 0.5 * hx && p[1] < 10.0;
            return match noise {
                n if n > 0.3 => Tissue::Marrow,
                n if n < -0.25 && is_mastoid => Tissue::Air,
                _ => Tissue::Cortex,
            };
        }
        match (0.27..0.73).contains(&share) {
            true => Tissue::Marrow,
            false => Tissue::Cortex,
        }
    }

    /// Skin, fat, muscles, and the mixed tissues of the face.
    fn soft(&self, p: [f32; 3], depth: f32) -> Tissue {
        if depth < 1.6 {
            return Tissue::Skin;
        }
        let [hx, _, hz] = self.brain.half_mm;
        let is_temple = p[0].abs() > 0.72 * hx && (-0.7 * hz..0.25 * hz).contains(&p[2]);
        let fat_mm = 1.6 + self.fat_share * self.scalp_mm * if is_temple { 0.4 } else { 1.0 };
        if depth < fat_mm {
            return Tissue::Fat;
        }
        if p[2] > -0.25 * hz || is_temple {
            return Tissue::Muscle;
        }
        let q = in_field(p);
        let noise = 0.7 * self.mixture[0].at(q) + 0.3 * self.mixture[1].at(q);
        match noise {
            n if n > 0.22 => Tissue::Fat,
            n if n < -0.42 => Tissue::Cortex,
            n if n < -0.36 => Tissue::Marrow,
            n if n > 0.18 => Tissue::Vessel,
            n if n > 0.12 => Tissue::Gland,
            _ => Tissue::Muscle,
        }
    }
}
