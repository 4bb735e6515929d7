//! The face of a synthetic head: eyes, nose, sinuses, mouth and ears, and the pituitary behind them.

use super::tissue::Tissue;
use crate::phantom::noise::Random;

/// An axis-aligned ellipsoid.
pub(super) struct Ellipsoid {
    center: [f32; 3],
    radii: [f32; 3],
}

impl Ellipsoid {
    pub fn new(center: [f32; 3], radii: [f32; 3]) -> Ellipsoid {
        Ellipsoid { center, radii }
    }

    /// Returns the approximate depth of a point in mm: positive inside.
    pub fn depth(&self, p: [f32; 3]) -> f32 {
        let share = |a: usize| (p[a] - self.center[a]) / self.radii[a];
        let [x, y, z] = [share(0), share(1), share(2)];
        let least = self.radii[0].min(self.radii[1]).min(self.radii[2]);
        (1.0 - (x * x + y * y + z * z).sqrt()) * least
    }
}

/// An eye with its orbit: a cone from the globe back to the apex.
struct Eye {
    globe: [f32; 3],
    radius: f32,
    apex: [f32; 3],
    /// The direction of the pupil.
    gaze: [f32; 3],
}

fn length([x, y, z]: [f32; 3]) -> f32 {
    (x * x + y * y + z * z).sqrt()
}

fn minus(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    std::array::from_fn(|n| a[n] - b[n])
}

impl Eye {
    /// Draws the right and the left eye of a head whose brain has this half extent.
    fn draw_both([_, hy, hz]: [f32; 3], random: &mut Random) -> [Eye; 2] {
        let mut near = |at: f32, by: f32| random.between(at - by, at + by);
        let [eye_x, eye_y, eye_z] = [near(31.0, 3.0), near(hy - 6.0, 6.0), near(27.0 - hz, 6.0)];
        let (radius, gaze) = (near(12.2, 0.8), [near(0.0, 0.3), 1.0, near(0.0, 0.3)]);
        [-1.0f32, 1.0].map(|side| Eye {
            globe: [side * eye_x, eye_y, eye_z],
            radius,
            apex: [side * near(13.0, 3.0), eye_y - near(42.0, 4.0), eye_z + near(5.0, 2.0)],
            gaze: gaze.map(|x| x / length(gaze)),
        })
    }

    /// Returns the tissue of the globe, or of the fat, muscles and nerve behind it.
    fn tissue(&self, p: [f32; 3]) -> Option<Tissue> {
        let from_globe = minus(p, self.globe);
        let r = length(from_globe);
        if r > 60.0 {
            return None;
        }
        if r < self.radius {
            let lens = self.gaze.map(|x| x * (self.radius - 4.0));
            return Some(match (r < self.radius - 1.2, length(minus(from_globe, lens)) < 4.0) {
                (_, true) => Tissue::Lens,
                (true, false) => Tissue::Vitreous,
                (false, false) => Tissue::Dura,
            });
        }
        let axis = minus(self.apex, self.globe);
        let long = length(axis);
        let along = (0..3).map(|a| from_globe[a] * axis[a]).sum::<f32>() / long;
        let share = along / long;
        if !(-0.25..=1.0).contains(&share) {
            return None;
        }
        let aside = (r * r - along * along).max(0.0).sqrt();
        let cone = (self.radius + 6.5) * (1.0 - share.max(0.0)) + 3.5 * share.max(0.0);
        if aside > cone + 1.5 {
            return None;
        }
        if aside > cone {
            return Some(Tissue::Cortex);
        }
        if aside < 2.3 && share > 0.0 {
            return Some(Tissue::Nerve);
        }
        // Four straight muscles.
        let is_ring = (0.62..0.86).contains(&(aside / cone));
        let (x, z) = (from_globe[0].abs(), from_globe[2].abs());
        let is_muscle = is_ring && (x > 2.2 * z || z > 2.2 * x) && share > 0.1;
        Some(if is_muscle { Tissue::Muscle } else { Tissue::Fat })
    }
}

/// A number that varies between heads: its mean, and the largest deviation. Without a deviation it is
/// not drawn.
type Varied = [f32; 2];

/// Draws an ellipsoid from its center and its radii.
fn ellipsoid(center: [Varied; 3], radii: [Varied; 3], random: &mut Random) -> Ellipsoid {
    let mut draw = |[at, by]: Varied| match by > 0.0 {
        true => random.between(at - by, at + by),
        false => at,
    };
    Ellipsoid::new(center.map(&mut draw), radii.map(&mut draw))
}

/// The shapes of one face.
pub(super) struct Face {
    eyes: [Eye; 2],
    outline: [Ellipsoid; 4],
    nasal_cavity: [Ellipsoid; 2],
    sinuses: [Ellipsoid; 4],
    tongue: Ellipsoid,
    pituitary: Ellipsoid,
}

impl Face {
    /// Draws the face of a head whose brain has this half extent.
    #[rustfmt::skip]
    pub fn draw(half_mm: [f32; 3], random: &mut Random) -> Face {
        let [hx, hy, hz] = half_mm;
        let base = -hz; // the lowest brain
        let eyes = Eye::draw_both(half_mm, random);
        let head = ellipsoid([[0.0, 0.0], [28.0, 6.0], [base - 10.0, 8.0]], [[70.0, 5.0], [hy, 6.0], [85.0, 10.0]], random);
        let nose = ellipsoid([[0.0, 0.0], [hy + 20.0, 4.0], [base + 4.0, 6.0]], [[15.0, 3.0], [20.0, 5.0], [24.0, 4.0]], random);
        let ears = [-1.0, 1.0].map(|side| {
            let x = side * (hx + random.between(5.0, 13.0));
            ellipsoid([[x, 0.0], [-6.0, 6.0], [base + 24.0, 8.0]], [[8.0, 3.0], [16.0, 4.0], [30.0, 4.0]], random)
        });
        let nose_inside = ellipsoid([[0.0, 0.0], [hy - 18.0, 5.0], [base + 8.0, 5.0]], [[13.0, 3.0], [30.0, 5.0], [22.0, 4.0]], random);
        let ethmoid = ellipsoid([[0.0, 0.0], [hy - 22.0, 4.0], [base + 27.0, 4.0]], [[10.0, 3.0], [20.0, 4.0], [10.0, 3.0]], random);
        let x = random.between(24.0, 30.0);
        let maxillary = [-x, x].map(|x| {
            ellipsoid([[x, 0.0], [hy - 22.0, 4.0], [base + 3.0, 4.0]], [[13.0, 4.0], [16.0, 4.0], [16.0, 4.0]], random)
        });
        let sphenoid = ellipsoid([[0.0, 3.0], [0.42 * hy, 5.0], [base + 22.0, 5.0]], [[12.0, 5.0], [12.0, 4.0], [9.0, 4.0]], random);
        let frontal = ellipsoid([[0.0, 5.0], [hy + 7.0, 3.0], [base + 47.0, 6.0]], [[16.0, 12.0], [7.0, 3.0], [11.0, 7.0]], random);
        let tongue = ellipsoid([[0.0, 0.0], [hy - 35.0, 5.0], [base - 35.0, 6.0]], [[22.0, 4.0], [30.0, 5.0], [22.0, 5.0]], random);
        let pituitary = ellipsoid([[0.0, 0.0], [0.22 * hy, 4.0], [base + 34.0, 5.0]], [[10.0, 6.0], [6.0, 2.0], [5.0, 2.0]], random);
        let ([left_ear, right_ear], [left_sinus, right_sinus]) = (ears, maxillary);
        Face {
            eyes,
            outline: [head, nose, left_ear, right_ear],
            nasal_cavity: [nose_inside, ethmoid],
            sinuses: [left_sinus, right_sinus, sphenoid, frontal],
            tongue,
            pituitary,
        }
    }

    /// Returns the depth of a point below the skin of face and ears; not positive outside.
    pub fn depth(&self, p: [f32; 3]) -> f32 {
        self.outline.iter().map(|shape| shape.depth(p)).fold(f32::NEG_INFINITY, f32::max)
    }

    /// Returns the tissue in the orbits.
    pub fn orbits(&self, p: [f32; 3]) -> Option<Tissue> {
        self.eyes.iter().find_map(|eye| eye.tissue(p))
    }

    /// Returns the tissue in nose, sinuses and mouth.
    pub fn cavities(
        &self,
        p: [f32; 3],
        are_sinuses_filled: bool,
        noise: impl Fn() -> f32,
    ) -> Option<Tissue> {
        if self.nasal_cavity.iter().any(|shape| shape.depth(p) > 0.0) {
            return Some(if noise() > 0.0 { Tissue::Air } else { Tissue::Mucosa });
        }
        let depth = self.sinuses.iter().map(|shape| shape.depth(p)).fold(-1.0, f32::max);
        if depth > 0.0 {
            let is_lining = are_sinuses_filled || depth < 1.5 + 1.5 * noise();
            return Some(if is_lining { Tissue::Mucosa } else { Tissue::Air });
        }
        let depth = self.tongue.depth(p);
        let is_palate = depth < 2.0 && p[2] > self.tongue.center[2];
        (depth > 0.0).then_some(if is_palate { Tissue::Air } else { Tissue::Muscle })
    }

    /// Returns the tissue of the pituitary, or of the cavernous sinus beside it.
    pub fn pituitary(&self, p: [f32; 3]) -> Option<Tissue> {
        let is_gland = p[0].abs() < 6.0;
        let tissue = if is_gland { Tissue::Gland } else { Tissue::Vessel };
        (self.pituitary.depth(p) > 0.0).then_some(tissue)
    }
}
