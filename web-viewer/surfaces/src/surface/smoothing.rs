//! Relaxes a surface net within its cells.

use glam::{Vec3, Vec4};

/// The vertices of a surface and the quads between them.
#[derive(Debug, Default)]
pub struct Net {
    /// The vertices, in voxels.
    pub vertices: Vec<Vec3>,
    /// The corner of each vertex's cell with the lowest coordinates. A cell has the side 1.
    pub cells: Vec<Vec3>,
    /// Four vertices around an edge between two voxels, counterclockwise seen from outside.
    pub quads: Vec<[u32; 4]>,
}

/// The steps of smoothing: how far a vertex moves toward the mean of its neighbors, and then away from
/// it. The two together keep the volume: Taubin, "Curve and surface smoothing without shrinkage", ICCV
/// 1995, with a pass-band frequency of about 0.1.
const STEPS: [f32; 2] = [0.5, -0.526];

/// The number of pairs of steps, after which a ball's stairs are no longer visible.
const NUM_PAIRS: usize = 12;

/// Smooths a net. Each vertex stays within its cell, so a voxel never changes its side.
pub fn smooth(mut net: Net) -> Net {
    // With 1 as the fourth coordinate, a sum of vertices also counts them.
    let mut vertices: Vec<Vec4> = net.vertices.iter().map(|vertex| vertex.extend(1.0)).collect();
    let mut sums = vec![Vec4::ZERO; vertices.len()];
    for step in STEPS.repeat(NUM_PAIRS) {
        sums.fill(Vec4::ZERO);
        // Every edge belongs to two quads, so each neighbor counts twice.
        for quad in &net.quads {
            let [a, b, c, d] = quad.map(|n| n as usize);
            let (neighbors_of_a, neighbors_of_b) =
                (vertices[b] + vertices[d], vertices[a] + vertices[c]);
            sums[a] += neighbors_of_a;
            sums[c] += neighbors_of_a;
            sums[b] += neighbors_of_b;
            sums[d] += neighbors_of_b;
        }
        for ((vertex, cell), sum) in vertices.iter_mut().zip(&net.cells).zip(&sums) {
            let moved = *vertex + step * (*sum / sum.w - *vertex);
            let low = cell.extend(1.0);
            *vertex = moved.clamp(low, low + Vec3::ONE.extend(0.0));
        }
    }
    net.vertices = vertices.into_iter().map(Vec4::truncate).collect();
    net
}
