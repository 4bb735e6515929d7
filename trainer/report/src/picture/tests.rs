use std::io::Read;

use super::*;
use model_core::{Affine, Grid};

/// A block of label 1, which the prediction misses by a shift, in anisotropic voxels.
fn case() -> (Gray, LabelMap, LabelMap, Task) {
    let grid = Grid::new([20, 20, 8], Affine::from_spacing([1.0, 1.0, 3.0]));
    let block = |shift: usize| {
        let mut map = LabelMap::background(grid.clone());
        for at in 0..6 * 6 * 3 {
            let voxel = [5 + shift + at % 6, 5 + at / 6 % 6, 2 + at / 36];
            map.labels_mut()[grid.index(voxel)] = 1;
        }
        map
    };
    let voxels = (0..grid.num_voxels()).map(|n| (n % 20 * 12) as u8).collect();
    let task = Task::exclusive("Test", vec!["T2".into()], vec![(1, "core".to_string())]).unwrap();
    (Gray { grid: grid.clone(), voxels }, block(0), block(2), task)
}

/// The width, and the bytes of the pixels.
fn decode(png: &[u8]) -> (usize, Vec<u8>) {
    let width = size(png).unwrap().0 as usize;
    let mut rows = Vec::new();
    flate2::read::ZlibDecoder::new(&png[41..]).read_to_end(&mut rows).unwrap();
    let mut bytes: Vec<u8> = Vec::new();
    for row in rows.chunks_exact(1 + 3 * width) {
        let start = bytes.len();
        for (n, difference) in row[1..].iter().enumerate() {
            let above = if start == 0 { 0 } else { bytes[start - 3 * width + n] };
            bytes.push(above.wrapping_add(*difference));
        }
    }
    (width, bytes)
}

#[test]
fn the_three_columns_show_the_scan_the_reference_and_the_prediction() {
    let (gray, reference, predicted, task) = case();
    let (caption, png) = picture(&gray, "T2", &reference, &predicted, &task).unwrap();
    for part in ["T2", "patient's right is on the left", "1 × 1 × 3 mm", "axial 3 of 8"] {
        assert!(caption.contains(part), "{caption}");
    }
    assert!(png.len() < 300_000, "{} bytes", png.len());
    let (width, bytes) = decode(&png);
    assert_eq!(size(&png).unwrap().0 as usize, width);
    // Pixels that are not gray, by column: the scan alone has none.
    let mut colored = [0; 3];
    for (n, pixel) in bytes.chunks_exact(3).enumerate() {
        let is_gray = pixel.iter().all(|value| value.abs_diff(pixel[0]) < 12);
        colored[(n % width * 3 / width).min(2)] += usize::from(!is_gray);
    }
    assert!(colored[0] == 0 && colored[1] > 1000 && colored[2] > 1000, "{colored:?}");
    // All three planes share a scale: 20 mm across, 20, 24 and 24 mm down.
    let sizes = panel_sizes(&slices(&gray, &reference, &predicted).0);
    assert_eq!(sizes, [[188, 188], [188, 226], [188, 226]]);
}

#[test]
fn what_lies_on_another_grid_is_refused() {
    let (gray, reference, predicted, task) = case();
    let moved = Grid::new([20, 20, 8], Affine::from_spacing([1.0, 1.0, 2.0]));
    let other = LabelMap::new(moved, predicted.labels().to_vec()).unwrap();
    assert!(picture(&gray, "T2", &reference, &other, &task).is_err());
    let short = Gray { voxels: vec![0; 7], ..gray };
    assert!(picture(&short, "T2", &reference, &predicted, &task).is_err());
}

/// One voxel thick, and far longer than wide.
#[test]
fn scans_of_any_extent_have_a_picture() {
    for (dims, spacing) in [([1, 1, 1], [1.0; 3]), ([300, 1, 2], [0.05, 50.0, 1.0])] {
        let grid = Grid::new(dims, Affine::from_spacing(spacing));
        let map = LabelMap::background(grid.clone());
        let gray = Gray { grid, voxels: map.labels().to_vec() };
        let (_, _, _, task) = case();
        let (_, png) = picture(&gray, "T2", &map, &map, &task).unwrap();
        assert!(size(&png).is_some_and(|(width, height)| width < 900 && height < 900));
    }
    for png in [&b"GIF89a"[..], &[], b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\0\0\0\0\0"] {
        assert_eq!(size(png), None);
    }
}
