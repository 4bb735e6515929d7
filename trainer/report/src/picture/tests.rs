use super::*;
use model_core::{Affine, Grid};

/// A block of label 1, which the prediction misses by a shift, in anisotropic voxels.
fn case() -> (GrayImage, LabelMap, LabelMap, Task) {
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
    (GrayImage { grid: grid.clone(), voxels }, block(0), block(2), task)
}

/// Returns the width and the bytes of the pixels.
fn decode(png: &[u8]) -> (usize, Vec<u8>) {
    let mut reader = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut bytes).unwrap();
    bytes.truncate(frame.buffer_size());
    (frame.width as usize, bytes)
}

#[test]
fn the_columns_show_scan_reference_and_prediction() {
    let (scan, reference, predicted, task) = case();
    let (caption, png) = picture(&scan, "T2", &reference, &predicted, &task).unwrap();
    for part in ["T2", "patient's right is on the left", "1 × 1 × 3 mm", "axial 3 of 8"] {
        assert!(caption.contains(part), "{caption}");
    }
    assert!(png.len() < 300_000, "{} bytes", png.len());
    let (width, bytes) = decode(&png);
    assert_eq!(png_size(&png).unwrap().0 as usize, width);
    // Pixels that are not scan, by column: the scan alone has none.
    let mut colored = [0; 3];
    for (n, pixel) in bytes.chunks_exact(3).enumerate() {
        let is_gray = pixel.iter().all(|value| value.abs_diff(pixel[0]) < 12);
        colored[(n % width * 3 / width).min(2)] += usize::from(!is_gray);
    }
    assert!(colored[0] == 0 && colored[1] > 1000 && colored[2] > 1000, "{colored:?}");
    // All planes have the same scale: 20 mm across, 20, 24 and 24 mm down.
    let sizes = panel_sizes(&slices(&scan, &reference, &predicted).0);
    assert_eq!(sizes, [[188, 188], [188, 226], [188, 226]]);
}

#[test]
fn label_maps_on_another_grid_are_refused() {
    let (scan, reference, predicted, task) = case();
    let moved = Grid::new([20, 20, 8], Affine::from_spacing([1.0, 1.0, 2.0]));
    let other = LabelMap::new(moved, predicted.labels().to_vec()).unwrap();
    assert!(picture(&scan, "T2", &reference, &other, &task).is_err());
    let short = GrayImage { voxels: vec![0; 7], ..scan };
    assert!(picture(&short, "T2", &reference, &predicted, &task).is_err());
}

/// One scan is one voxel thick, one far longer than wide.
#[test]
fn scans_of_any_size_have_a_picture() {
    for (dims, spacing) in [([1, 1, 1], [1.0; 3]), ([300, 1, 2], [0.05, 50.0, 1.0])] {
        let grid = Grid::new(dims, Affine::from_spacing(spacing));
        let map = LabelMap::background(grid.clone());
        let scan = GrayImage { grid, voxels: map.labels().to_vec() };
        let (_, _, _, task) = case();
        let (_, png) = picture(&scan, "T2", &map, &map, &task).unwrap();
        assert!(png_size(&png).is_some_and(|(width, height)| width < 900 && height < 900));
    }
    for png in [&b"GIF89a"[..], &[], b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\0\0\0\0\0"] {
        assert_eq!(png_size(png), None);
    }
}
