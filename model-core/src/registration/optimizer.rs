//! The maximum of mutual information over rigid or affine maps, by BFGS (Nocedal and Wright 2006,
//! algorithm 6.1). Every iteration starts anew at the map reached so far, so that rotations need no
//! global parameters.

use std::ops::ControlFlow;

use glam::{DAffine3, DMat3, DQuat, DVec3};

use super::mutual_information::{MutualInformation, Similarity};

/// The maps that registration may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
    /// Rotation and translation: six parameters. One head in two scans.
    Rigid,
    /// Also scaling and shear: twelve parameters. Scanners whose gradients differ, or two heads.
    Affine,
}

/// The largest number of parameters: translation and a whole matrix.
const MAX_PARAMETERS: usize = 12;

/// A change of the map. All parameters are in millimeters: a rotation moves the head by about as
/// much as its value, which makes the parameters comparable.
type Change = [f64; MAX_PARAMETERS];

/// The bounds of an optimization.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The largest change in one iteration.
    pub max_step_mm: f64,
    /// The change at which the optimization ends.
    pub tolerance_mm: f64,
    pub max_iterations: usize,
}

/// Climbs from `start`, a map from offsets from the center of the reference's head to the moving
/// world. `control` cancels by breaking.
pub(super) fn maximize(
    information: &MutualInformation,
    start: DAffine3,
    motion: Motion,
    bounds: Bounds,
    control: &mut dyn FnMut() -> ControlFlow<()>,
) -> ControlFlow<(), (DAffine3, Similarity)> {
    let radius_mm = information.samples.radius_mm;
    let (mut map, mut at) = (start, information.evaluate(&start));
    let min_overlap = 0.5 * at.overlap;
    let mut gradient = gradient(&at, &map, motion, radius_mm);
    let mut hessian = InverseHessian::new(motion);
    for _ in 0..bounds.max_iterations {
        control()?;
        let mut direction = hessian.apply(&gradient);
        if dot(&direction, &gradient) <= 0.0 {
            hessian = InverseHessian::new(motion);
            direction = hessian.apply(&gradient);
        }
        let length = dot(&direction, &direction).sqrt();
        // The first direction has no scale: half of the largest step.
        let longest = if hessian.is_scaled { bounds.max_step_mm } else { 0.5 * bounds.max_step_mm };
        let factor = if hessian.is_scaled { (longest / length).min(1.0) } else { longest / length };
        if !factor.is_finite() {
            break;
        }
        direction.iter_mut().for_each(|x| *x *= factor);
        let slope = dot(&direction, &gradient);
        let tried = (0..8).find_map(|halvings| {
            let scale = 0.5f64.powi(halvings);
            let step = direction.map(|x| x * scale);
            let next_map = changed(&map, &step, motion, radius_mm);
            let next = information.evaluate(&next_map);
            let is_better = next.information > at.information + 1e-4 * scale * slope;
            (is_better && next.overlap >= min_overlap).then_some((step, next_map, next))
        });
        let Some((step, next_map, next)) = tried else {
            if !hessian.is_scaled {
                break;
            }
            hessian = InverseHessian::new(motion);
            continue;
        };
        let next_gradient = self::gradient(&next, &next_map, motion, radius_mm);
        // Of the negative information, which is minimized.
        let bend = std::array::from_fn(|n| gradient[n] - next_gradient[n]);
        hessian.update(&step, &bend);
        (map, at, gradient) = (next_map, next, next_gradient);
        if dot(&step, &step).sqrt() < bounds.tolerance_mm {
            break;
        }
    }
    ControlFlow::Continue((map, at))
}

/// Returns the map after a change: translation, then rotation or a matrix about the head's center.
fn changed(map: &DAffine3, change: &Change, motion: Motion, radius_mm: f64) -> DAffine3 {
    let vector = |n: usize| DVec3::new(change[n], change[n + 1], change[n + 2]);
    let turn = match motion {
        Motion::Rigid => DMat3::from_quat(DQuat::from_scaled_axis(vector(3) / radius_mm)),
        Motion::Affine => {
            let columns = [vector(3), vector(6), vector(9)].map(|column| column / radius_mm);
            DMat3::IDENTITY + DMat3::from_cols(columns[0], columns[1], columns[2])
        }
    };
    DAffine3 { matrix3: turn * map.matrix3, translation: map.translation + vector(0) }
}

/// Returns the derivatives of the information by the parameters of [`changed`].
fn gradient(at: &Similarity, map: &DAffine3, motion: Motion, radius_mm: f64) -> Change {
    let mut change = [0.0; MAX_PARAMETERS];
    at.force.write_to_slice(&mut change);
    // Offsets after the map.
    let moment = at.moment * map.matrix3.transpose() * (1.0 / radius_mm);
    match motion {
        Motion::Rigid => {
            let m = moment.to_cols_array_2d();
            change[3] = m[1][2] - m[2][1];
            change[4] = m[2][0] - m[0][2];
            change[5] = m[0][1] - m[1][0];
        }
        Motion::Affine => moment.write_cols_to_slice(&mut change[3..]),
    }
    change
}

fn dot(a: &Change, b: &Change) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The estimate of the inverse Hessian.
struct InverseHessian {
    rows: [Change; MAX_PARAMETERS],
    /// Whether a step has set the scale.
    is_scaled: bool,
}

impl InverseHessian {
    fn new(motion: Motion) -> Self {
        let num_parameters = match motion {
            Motion::Rigid => 6,
            Motion::Affine => 12,
        };
        let mut rows = [[0.0; MAX_PARAMETERS]; MAX_PARAMETERS];
        (0..num_parameters).for_each(|n| rows[n][n] = 1.0);
        InverseHessian { rows, is_scaled: false }
    }

    fn apply(&self, vector: &Change) -> Change {
        self.rows.map(|row| dot(&row, vector))
    }

    /// Learns from the change of the gradient over a step.
    fn update(&mut self, step: &Change, bend: &Change) {
        let curvature = dot(step, bend);
        if curvature <= 1e-12 * dot(step, step) {
            return; // Not concave along the step: nothing to learn.
        }
        if !self.is_scaled {
            let scale = curvature / dot(bend, bend);
            self.rows.iter_mut().flatten().for_each(|x| *x *= scale);
            self.is_scaled = true;
        }
        let bent = self.apply(bend);
        let factor = (1.0 + dot(bend, &bent) / curvature) / curvature;
        for (n, row) in self.rows.iter_mut().enumerate() {
            for (m, x) in row.iter_mut().enumerate() {
                *x += factor * step[n] * step[m]
                    - (bent[n] * step[m] + step[n] * bent[m]) / curvature;
            }
        }
    }
}
