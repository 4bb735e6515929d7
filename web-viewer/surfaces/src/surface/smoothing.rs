//! Relaxes a surface net within its cells.

/// The vertices of a surface and the quads between them.
#[derive(Debug, Default)]
pub struct Net {
    /// The vertices, in voxels.
    pub vertices: Vec<[f32; 3]>,
    /// The corner of each vertex's cell with the lowest coordinates. A cell has the side 1.
    pub cells: Vec<[f32; 3]>,
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
    let mut sums = vec![[0.0f32; 4]; net.vertices.len()];
    for step in STEPS.repeat(NUM_PAIRS) {
        sums.fill([0.0; 4]);
        // Every edge belongs to two quads, so each neighbor counts twice.
        for quad in &net.quads {
            for n in 0..4 {
                let [from, to] = [quad[n] as usize, quad[(n + 1) % 4] as usize];
                let [a, b] = [net.vertices[from], net.vertices[to]];
                for axis in 0..3 {
                    sums[from][axis] += b[axis];
                    sums[to][axis] += a[axis];
                }
                sums[from][3] += 1.0;
                sums[to][3] += 1.0;
            }
        }
        for ((vertex, cell), sum) in net.vertices.iter_mut().zip(&net.cells).zip(&sums) {
            for axis in 0..3 {
                let moved = vertex[axis] + step * (sum[axis] / sum[3] - vertex[axis]);
                vertex[axis] = moved.clamp(cell[axis], cell[axis] + 1.0);
            }
        }
    }
    net
}
