use super::*;
use crate::Foreground;
use crate::{Affine, Grid, LabelMap, phantom};

fn network(in_channels: usize) -> UNetConfig {
    UNetConfig::preset("demo", in_channels, 3).unwrap()
}

fn config(foreground: Foreground, crop: bool) -> PreprocessConfig {
    PreprocessConfig { foreground, crop, ..PreprocessConfig::default() }
}

/// Returns a volume of zeros with a few voxels set.
fn volume(dims: [usize; 3], set: &[([usize; 3], f32)]) -> Volume {
    let grid = Grid::new(dims, Affine::IDENTITY);
    let mut voxels = vec![0.0; grid.num_voxels()];
    set.iter().for_each(|(voxel, value)| voxels[grid.index(*voxel)] = *value);
    Volume::new(grid, voxels).unwrap()
}

#[test]
fn the_foregrounds_bounding_box_is_in_the_middle_of_the_input() {
    let channel = volume([20, 6, 7], &[([3, 1, 2], 1.0), ([5, 4, 2], 3.0)]);
    let (input, placement) =
        preprocess(&[channel], &config(Foreground::Nonzero, true), &network(1)).unwrap();
    assert_eq!(placement.crop(), VoxelBox::new([3, 1, 2], [3, 4, 1]));
    assert_eq!(input.dims, [16; 3]);
    let at = |i: usize, j: usize, k: usize| input.values[i + 16 * (j + 16 * k)];
    // (16 − 3) / 2, (16 − 4) / 2 and (16 − 1) / 2 voxels of padding come first.
    assert_eq!([at(6, 6, 7), at(8, 9, 7), at(7, 7, 7)], [-1.0, 1.0, 0.0]);
    assert_eq!(input.values.iter().filter(|v| **v != 0.0).count(), 2);
}

#[test]
fn channels_in_another_axis_order_make_the_same_input() {
    let case = phantom::phantom(3, 32);
    let config = config(Foreground::Nonzero, true);
    let expected = preprocess(case.channels(), &config, &network(4)).unwrap();
    let mut channels = case.channels().to_vec();
    let order = crate::Orientation { axes: [2, 0, 1], flips: [true, false, true] };
    let grid = case.channels()[2].grid();
    let old_from_new = order.source_from_canonical(grid.dims);
    let other_grid =
        Grid::new(order.canonical_dims(grid.dims), grid.world_from_voxel.compose(&old_from_new));
    let values = order.to_canonical(grid.dims, case.channels()[2].values());
    channels[2] = Volume::new(other_grid, values).unwrap();
    assert!(preprocess(&channels, &config, &network(4)).unwrap() == expected);
}

#[test]
fn statistics_come_from_the_foreground_alone() {
    let [a, b, c] = [[0, 0, 0], [1, 0, 0], [2, 0, 0]];
    let first = volume([16; 3], &[(a, 2.0), (b, 4.0)]);
    let second = volume([16; 3], &[(a, 5.0), (b, 5.0), (c, 5.0)]);
    let channels = [first, second];
    let (input, _) =
        preprocess(&channels, &config(Foreground::Nonzero, false), &network(2)).unwrap();
    // Foreground is a, b and c: 2, 4, 0 with mean 2; a constant channel becomes 0.
    let deviation = (8.0f64 / 3.0).sqrt();
    let z = (2.0 / deviation) as f32;
    assert_eq!(input.values[..4], [0.0, z, -z, 0.0]);
    assert!(input.values[16 * 16 * 16..].iter().all(|v| *v == 0.0));

    // Each channel by its own: 2 and 4 have mean 3.
    let (input, _) =
        preprocess(&channels, &config(Foreground::EachNonzero, false), &network(2)).unwrap();
    assert_eq!(input.values[..4], [-1.0, 1.0, 0.0, 0.0]);
    // The box contains c, which only the second has.
    let (_, placement) =
        preprocess(&channels, &config(Foreground::EachNonzero, true), &network(2)).unwrap();
    assert_eq!(placement.crop().dims(), [3, 1, 1]);

    let (input, _) =
        preprocess(&channels[..1], &config(Foreground::Whole, false), &network(1)).unwrap();
    let mean: f64 = input.values.iter().map(|v| f64::from(*v)).sum::<f64>() / 4096.0;
    assert!(mean.abs() < 1e-6 && input.values[100] < 0.0, "the background is normalized too");
}

#[test]
fn a_scan_without_foreground_is_refused() {
    let zeros = [volume([16; 3], &[])];
    for foreground in [Foreground::Nonzero, Foreground::Otsu] {
        let error = preprocess(&zeros, &config(foreground, true), &network(1)).unwrap_err();
        assert!(matches!(error, Error::Scan { .. }), "{error}");
    }
    // A constant scan is refused even if every voxel is foreground.
    let error = preprocess(&zeros, &config(Foreground::Whole, true), &network(1)).unwrap_err();
    assert!(error.to_string().contains("one value in all voxels"), "{error}");
}

#[test]
fn channels_that_do_not_fit_the_network_or_each_other_are_refused() {
    let scan = |dims| volume(dims, &[([0; 3], 1.0)]);
    let config = config(Foreground::Nonzero, false);
    assert!(preprocess::<Volume>(&[], &config, &network(1)).is_err());
    assert!(preprocess(&[scan([4; 3])], &config, &network(2)).is_err());
    let result = preprocess(&[scan([4; 3]), scan([4, 4, 5])], &config, &network(2));
    assert!(matches!(result, Err(Error::Geometry { .. })));
    let empty = Volume::new(Grid::new([0; 3], Affine::IDENTITY), Vec::new()).unwrap();
    assert!(matches!(preprocess(&[empty], &config, &network(1)), Err(Error::Scan { .. })));
}

#[test]
fn a_huge_input_is_refused_before_it_is_allocated() {
    let values = volume([8; 3], &[([0; 3], 1.0)]).into_values();
    for spacing in [500.0, 1e30] {
        let grid = Grid::new([8; 3], Affine::from_spacing([spacing; 3]));
        let channel = Volume::new(grid, values.clone()).unwrap();
        let config = PreprocessConfig {
            spacing_mm: Some([0.05; 3].try_into().unwrap()),
            ..config(Foreground::Nonzero, false)
        };
        let result = preprocess(std::slice::from_ref(&channel), &config, &network(1));
        assert!(matches!(result, Err(Error::TooLarge { .. })), "{spacing}");
    }
}

#[test]
fn resampling_uses_the_configured_spacing() {
    let case = phantom::phantom(1, 32); // 6 mm
    let config = PreprocessConfig {
        spacing_mm: Some([3.0, 6.0, 12.0].try_into().unwrap()),
        ..config(Foreground::Whole, false)
    };
    let (input, placement) = preprocess(case.channels(), &config, &network(4)).unwrap();
    assert_eq!(placement.scaled_dims(), [64, 32, 16]);
    assert_eq!(input.dims, [64, 32, 16]);
    let same =
        PreprocessConfig { spacing_mm: Some([6.001, 6.0, 5.999].try_into().unwrap()), ..config };
    let (_, placement) = preprocess(case.channels(), &same, &network(4)).unwrap();
    assert!(!placement.is_resampled(), "a difference by rounding is ignored");
}

#[test]
fn labels_go_to_the_network_and_back() {
    let case = phantom::phantom(2, 40);
    let labels = case.labels().unwrap();
    for crop in [false, true] {
        let config = config(Foreground::Nonzero, crop);
        let (_, placement) = preprocess(case.channels(), &config, &network(4)).unwrap();
        let restored: LabelMap = placement.restore(&placement.place_labels(labels));
        assert!(restored == *labels);
    }
}

/// The middle of a box that is too long on one axis, and zeros around it where it is too short.
#[test]
fn an_input_of_a_given_size_is_cut_and_padded_around_its_center() {
    let set: Vec<_> = (2..18).map(|i| ([i, 5, 7], i as f32)).collect();
    let channel = volume([20, 12, 12], &set);
    let config = PreprocessConfig {
        size: Some([9, 3, 5].try_into().unwrap()),
        ..config(Foreground::Nonzero, true)
    };
    let network = network(1).with(|network| network.widths.truncate(1)).unwrap();
    let (input, placement) = preprocess(std::slice::from_ref(&channel), &config, &network).unwrap();
    // The box is 16 × 1 × 1 from voxel 2 on; (16 − 9) / 2 voxels are cut off before.
    assert_eq!(placement.crop(), VoxelBox::new([5, 5, 7], [9, 1, 1]));
    assert_eq!(input.dims, network.padded([9, 3, 5]));
    let nonzero = input.values.iter().filter(|value| **value != 0.0).count();
    assert_eq!(nonzero, 9);
    // Half the spacing: four and a half voxels of the scan are nine of the input.
    let config =
        PreprocessConfig { spacing_mm: Some([0.5, 1.0, 1.0].try_into().unwrap()), ..config };
    let (_, placement) = preprocess(&[channel], &config, &network).unwrap();
    assert_eq!((placement.crop().dims(), placement.scaled_dims()), ([4, 1, 1], [8, 1, 1]));
    assert_eq!(placement.spacing_mm(), [0.5, 1.0, 1.0]);
}

#[test]
fn settings_without_a_size_are_read() {
    let json = r#"{"foreground":"nonzero","crop":true}"#;
    let read: PreprocessConfig = serde_json::from_str(json).unwrap();
    assert_eq!((read.size, serde_json::to_string(&read).unwrap().as_str()), (None, json));
    for size in [[0, 1, 1], [1, 1, 5000]] {
        assert!(TargetSize::try_from(size).is_err());
    }
}
