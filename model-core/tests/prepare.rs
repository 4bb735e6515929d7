//! Channels on different grids, in different positions and with missing scans are placed on one grid.
//! Builds without burn, so that it runs in seconds.

use std::ops::ControlFlow;

use model_core::prepare::{
    Brain, BrainChoice, BrainNeed, ChannelStep, PlacementChoice, PlacementSettings, brain_need,
    place,
};
use model_core::{Affine, Foreground, Grid, PreprocessConfig, Volume, phantom, resample_onto};

const NAMES: [&str; 3] = ["T1", "T1Gd", "T2"];

fn names() -> Vec<String> {
    NAMES.map(String::from).to_vec()
}

/// Returns T1, T1Gd and T2 of a synthetic head of 3 mm voxels.
fn channels() -> Vec<Volume> {
    let case = phantom::phantom(3, 64);
    case.channels()[..3].to_vec()
}

/// Returns a volume whose header places it elsewhere.
fn moved(volume: &Volume, offset_mm: [f64; 3]) -> Volume {
    let mut rows = volume.grid().world_from_voxel.rows();
    rows.iter_mut().zip(offset_mm).for_each(|(row, offset)| row[3] += offset);
    let grid = Grid::new(volume.grid().dims, Affine::from_rows(rows));
    Volume::new(grid, volume.values().to_vec()).unwrap()
}

fn proceed(_: f32) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn a_channel_on_another_grid_is_resampled() {
    let mut volumes = channels();
    let grid = volumes[0].grid().clone();
    // Slices of twice the thickness, at the same position.
    let [i, j, k] = grid.dims;
    let rows = grid.world_from_voxel.compose(&Affine::from_rows([
        [1., 0., 0., 0.],
        [0., 1., 0., 0.],
        [0., 0., 2., 0.5],
    ]));
    let thick = Grid::new([i, j, k / 2], rows);
    volumes[2] = resample_onto(&volumes[2], &thick, &Affine::IDENTITY).unwrap().volume;
    let inputs: Vec<Option<&Volume>> = volumes.iter().map(Some).collect();
    let placed = place(&inputs, &names(), &PlacementSettings::default(), &mut proceed);
    let placed = placed.unwrap().unwrap();
    assert_eq!(placed.reference, 0, "the smallest voxels, the first of two");
    assert_eq!(placed.records[1].step, ChannelStep::Unchanged);
    assert!(
        matches!(placed.records[2].step, ChannelStep::Resampled { coverage } if coverage > 0.95)
    );
    assert!(placed.volumes.iter().all(|volume| *volume.grid() == grid));
    // The thick slices may be the reference too.
    let settings = PlacementSettings { reference: Some(2), ..PlacementSettings::default() };
    let placed = place(&inputs, &names(), &settings, &mut proceed).unwrap().unwrap();
    assert!(placed.volumes.iter().all(|volume| *volume.grid() == thick));
}

#[test]
fn a_channel_in_another_position_is_registered_and_can_be_taken_back() {
    let mut volumes = channels();
    let truth = volumes[2].clone();
    volumes[2] = moved(&truth, [12.0, -9.0, 6.0]);
    let inputs: Vec<Option<&Volume>> = volumes.iter().map(Some).collect();
    let placed = place(&inputs, &names(), &PlacementSettings::default(), &mut proceed);
    let placed = placed.unwrap().unwrap();
    let ChannelStep::Registered { moving_from_reference, coverage, .. } = &placed.records[2].step
    else {
        panic!("expected a registration, found {:?}", placed.records[2]);
    };
    assert!(*coverage > 0.7);
    let at = moving_from_reference.apply([0.0; 3]);
    let error = [0, 1, 2].map(|axis| at[axis] - [12.0, -9.0, 6.0][axis]);
    let error_mm = error.iter().map(|x| x * x).sum::<f64>().sqrt();
    println!("the registration errs by {error_mm:.2} mm");
    assert!(error_mm < 1.5, "{at:?}");
    // The record states the map that was applied.
    let again = resample_onto(&volumes[2], volumes[0].grid(), moving_from_reference).unwrap();
    assert_eq!(*placed.volumes[2], again.volume);

    let settings = PlacementSettings {
        choices: vec![PlacementChoice::AsStored],
        ..PlacementSettings::default()
    };
    let placed = place(&inputs, &names(), &settings, &mut proceed).unwrap().unwrap();
    assert!(matches!(placed.records[2].step, ChannelStep::Resampled { .. }));
}

#[test]
fn a_missing_channel_is_zeros_and_a_canceled_placement_has_no_result() {
    let volumes = channels();
    let inputs = [Some(&volumes[0]), None, Some(&volumes[2])];
    let placed = place(&inputs, &names(), &PlacementSettings::default(), &mut proceed);
    let placed = placed.unwrap().unwrap();
    assert_eq!(placed.records[1].step, ChannelStep::Missing);
    assert!(placed.volumes[1].values().iter().all(|&value| value == 0.0));
    let none: [Option<&Volume>; 3] = [None; 3];
    assert!(place(&none, &names(), &PlacementSettings::default(), &mut proceed).is_err());
    let settings = PlacementSettings { reference: Some(1), ..PlacementSettings::default() };
    assert!(place(&inputs, &names(), &settings, &mut proceed).is_err(), "a missing reference");
    let stop = &mut |_: f32| ControlFlow::Break(());
    assert!(place(&inputs, &names(), &PlacementSettings::default(), stop).unwrap().is_none());
}

#[test]
fn a_model_states_whether_it_expects_scans_without_skull() {
    let volumes = channels();
    let stripped: Vec<&Volume> = volumes.iter().collect();
    let known = |choice, config: &PreprocessConfig| match brain_need(&stripped, choice, config) {
        BrainNeed::Known(brain) => Some(brain),
        BrainNeed::Extraction(_) => None,
    };
    let nonzero = PreprocessConfig { foreground: Foreground::Nonzero, ..Default::default() };
    let with_skull = PreprocessConfig { skull_stripped: Some(false), ..nonzero.clone() };
    assert_eq!(known(BrainChoice::Automatic, &nonzero), Some(Brain::AlreadyStripped));
    assert_eq!(known(BrainChoice::Automatic, &with_skull), Some(Brain::NotNeeded));
    assert_eq!(known(BrainChoice::Extract, &with_skull), None);
}
