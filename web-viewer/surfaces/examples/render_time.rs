//! Measures the time of a picture of 100,000 triangles at 600 × 600 pixels: a ball within a shell.
//! Prints the median of 50 pictures while the scene turns.

use std::time::Instant;

use model_core::{Affine, Grid, LabelMap};
use surfaces::scene::{Camera, Frame, Quality, Renderer, Shape};
use surfaces::surface::region_mesh;

const SIDE: usize = 96;

fn main() {
    let mut labels = LabelMap::background(Grid::new([SIDE; 3], Affine::from_spacing([1.0; 3])));
    for (n, label) in labels.labels_mut().iter_mut().enumerate() {
        let voxel = [n % SIDE, n / SIDE % SIDE, n / SIDE / SIDE];
        let squares = voxel.map(|x| (x as f64 - 47.5).powi(2)).iter().sum::<f64>();
        *label = if squares < 900.0 { 2 } else { u8::from(squares < 1764.0) };
    }
    let [outer, inner] = [&[1, 2][..], &[2]].map(|codes| region_mesh(&labels, codes));
    let normals = [outer.normals(), inner.normals()];
    let shapes = [
        Shape { mesh: &outer, normals: &normals[0], color: [242, 196, 109], is_shell: true },
        Shape { mesh: &inner, normals: &normals[1], color: [226, 85, 75], is_shell: false },
    ];
    let frame = Frame::around([&outer].into_iter()).expect("a surface");
    let num_triangles = outer.triangles.len() + inner.triangles.len();
    let mut renderer = Renderer::default();
    for quality in [Quality::Draft, Quality::Smooth] {
        let mut camera = Camera::default();
        let mut times_ms: Vec<f64> = (0..50)
            .map(|_| {
                camera = camera.turned(0.1, 0.01);
                let start = Instant::now();
                renderer.draw(&shapes, camera, &frame, [600; 2], quality);
                start.elapsed().as_secs_f64() * 1000.0
            })
            .collect();
        times_ms.sort_by(f64::total_cmp);
        println!("{num_triangles} triangles, {quality:?}: {:.1} ms", times_ms[25]);
    }
}
