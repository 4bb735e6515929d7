//! A head made of shapes in the cube [−1, 1]³: x to the right, y to the front, z to the top.

use super::noise::{Random, SmoothNoise};

/// The tissue of a voxel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tissue {
    Outside,
    White,
    Gray,
    Fluid,
    Vessel,
    Lesion,
    Necrosis,
    Edema,
    Enhancing,
}

impl Tissue {
    pub const COUNT: usize = 9;

    /// Returns the label's code in BraTS 2023; 0 for tissues without a label.
    pub fn label(self) -> u8 {
        match self {
            Tissue::Necrosis => 1,
            Tissue::Edema => 2,
            Tissue::Enhancing => 3,
            _ => 0,
        }
    }
}

/// Returns the center of a voxel in the cube. Voxels are stored left, back, top.
pub(super) fn point(voxel: [usize; 3], size: usize) -> [f32; 3] {
    let [x, y, z] = voxel.map(|n| (2 * n + 1) as f32 / size as f32 - 1.0);
    [-x, -y, z]
}

/// An axis-aligned ellipsoid.
#[derive(Clone, Copy)]
struct Ellipsoid {
    center: [f32; 3],
    radii: [f32; 3],
}

impl Ellipsoid {
    /// Returns the distance from the center as a share of the radius: 1 on the surface.
    fn distance(&self, point: [f32; 3]) -> f32 {
        let share = |a: usize| (point[a] - self.center[a]) / self.radii[a];
        let [x, y, z] = [share(0), share(1), share(2)];
        (x * x + y * y + z * z).sqrt()
    }
}

/// The largest distance of a tumor's voxel from its center, as a share of its radius.
const MAX_REACH: f32 = 1.7;

/// A tumor: three nested shapes around one center, with independently rough surfaces.
struct Tumor {
    whole: Ellipsoid,
    /// The radius of the core as a share of the whole tumor's.
    core: f32,
    /// The radius of the necrosis as a share of the whole tumor's.
    necrosis: f32,
    roughness: f32,
    shape: SmoothNoise,
    fine_shape: SmoothNoise,
    core_shape: SmoothNoise,
}

impl Tumor {
    /// Draws a tumor inside the brain. Its surface deviates from an ellipsoid by about `roughness`.
    fn draw(brain: &Ellipsoid, roughness: f32, random: &mut Random) -> Self {
        let offset = loop {
            let offset: [f32; 3] = std::array::from_fn(|_| random.between(-0.6, 0.6));
            let [x, y, z] = offset;
            let square = x * x + y * y + z * z;
            // Avoids the ventricles in the middle and the brain's surface.
            if (0.04..0.36).contains(&square) {
                break offset;
            }
        };
        let radius = random.between(0.24, 0.4);
        let whole = Ellipsoid {
            center: std::array::from_fn(|a| brain.center[a] + brain.radii[a] * offset[a]),
            radii: std::array::from_fn(|_| radius * random.between(0.85, 1.2)),
        };
        let core = random.between(0.58, 0.74);
        let necrosis = core * random.between(0.5, 0.66);
        let [shape, core_shape, fine_shape] =
            [7, 10, 16].map(|cells| SmoothNoise::draw(cells, random));
        Tumor { whole, core, necrosis, roughness, shape, fine_shape, core_shape }
    }

    /// Returns the tumor's tissue at a point; `None` outside the tumor.
    fn tissue(&self, point: [f32; 3]) -> Option<Tissue> {
        let distance = self.whole.distance(point);
        if distance > MAX_REACH {
            return None;
        }
        let uneven = 0.8 * self.shape.at(point) + 0.4 * self.fine_shape.at(point);
        let rough = distance * (1.0 + self.roughness * uneven);
        let core = distance * (1.0 + self.roughness * self.core_shape.at(point));
        if rough > 1.0 {
            None
        } else if core > self.core {
            Some(Tissue::Edema)
        } else if core > self.necrosis {
            Some(Tissue::Enhancing)
        } else {
            Some(Tissue::Necrosis)
        }
    }
}

/// A head, with the shapes that vary between cases.
pub(super) struct Head {
    brain: Ellipsoid,
    surface: SmoothNoise,
    folds: SmoothNoise,
    ventricles: [Ellipsoid; 2],
    vessels: Vec<Ellipsoid>,
    lesions: Vec<Ellipsoid>,
    tumor: Tumor,
}

impl Head {
    /// Draws a head.
    pub fn draw(random: &mut Random) -> Self {
        let brain = Ellipsoid {
            center: std::array::from_fn(|_| random.between(-0.05, 0.05)),
            radii: [0.7, 0.86, 0.68].map(|r| r * random.between(0.94, 1.06)),
        };
        let (surface, folds) = (SmoothNoise::draw(5, random), SmoothNoise::draw(20, random));
        let width = random.between(0.06, 0.11);
        let length = random.between(0.24, 0.36);
        let ventricles = [-1.0f32, 1.0].map(|side| {
            let [x, y, z] = brain.center;
            let away = side * (width + 0.03);
            Ellipsoid {
                center: [x + away, y + random.between(-0.04, 0.04), z + 0.06],
                radii: [width * random.between(0.85, 1.15), length, width * 1.3],
            }
        });
        let within = |reach: f32, random: &mut Random| -> [f32; 3] {
            std::array::from_fn(|a| {
                brain.center[a] + brain.radii[a] * random.between(-reach, reach)
            })
        };
        let vessels = (0..6 + random.below(5))
            .map(|_| {
                let center = within(0.55, random);
                let along = random.below(3) as usize;
                let radii = std::array::from_fn(|a| match a == along {
                    true => random.between(0.15, 0.35),
                    false => random.between(0.035, 0.06),
                });
                Ellipsoid { center, radii }
            })
            .collect();
        let lesions = (0..2 + random.below(4))
            .map(|_| {
                let center = within(0.45, random);
                Ellipsoid { center, radii: std::array::from_fn(|_| random.between(0.05, 0.1)) }
            })
            .collect();
        let tumor = Tumor::draw(&brain, 0.32, random);
        Head { brain, surface, folds, ventricles, vessels, lesions, tumor }
    }

    /// Replaces the tumor by a rounder one. After enough calls it is an ellipsoid, all of whose tissues
    /// have voxels.
    pub fn redraw_tumor(&mut self, random: &mut Random) {
        self.tumor = Tumor::draw(&self.brain, 0.7 * self.tumor.roughness, random);
    }

    /// Returns the tissue of every voxel of a grid of `size`³.
    pub fn tissues(&self, size: usize) -> Vec<Tissue> {
        let mut tissues = Vec::with_capacity(size * size * size);
        for k in 0..size {
            for j in 0..size {
                tissues.extend((0..size).map(|i| self.tissue(point([i, j, k], size))));
            }
        }
        tissues
    }

    /// Returns the tissue at a point.
    fn tissue(&self, point: [f32; 3]) -> Tissue {
        let depth = self.brain.distance(point);
        if depth > 1.1 {
            return Tissue::Outside;
        }
        let depth = depth * (1.0 + 0.06 * self.surface.at(point));
        if depth > 1.0 {
            return Tissue::Outside;
        }
        if let Some(tissue) = self.tumor.tissue(point) {
            return tissue;
        }
        let in_any = |shapes: &[Ellipsoid]| shapes.iter().any(|s| s.distance(point) < 1.0);
        let folded = depth + 0.13 * self.folds.at(point);
        if in_any(&self.ventricles) {
            Tissue::Fluid
        } else if in_any(&self.vessels) {
            Tissue::Vessel
        } else if in_any(&self.lesions) {
            Tissue::Lesion
        } else if folded > 0.96 {
            Tissue::Fluid
        } else if folded > 0.78 || (folded < 0.3 && point[2] < self.brain.center[2]) {
            Tissue::Gray
        } else {
            Tissue::White
        }
    }
}
