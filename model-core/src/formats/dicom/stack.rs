//! Arranges slices of one kind to volumes: sorts them along their normal, and checks their
//! distances.

use std::fmt::Write;

use glam::{DAffine3, DMat3, DVec3};

use super::frame::Frame;
use super::tags;
use crate::Affine;
use crate::formats::lps::ras_from_lps;

/// Positions along the normal that differ by less are the same.
const SAME_HEIGHT_MM: f64 = 0.01;

/// The largest difference of a distance of slices from their mean that is rounding.
const EVEN_TOLERANCE: f64 = 0.01;

/// The largest one that is accepted with a warning.
const UNEVEN_TOLERANCE: f64 = 0.1;

/// The largest shift of a slice in its plane from a straight line, in pixels, that is accepted.
const MAX_SHIFT_PIXELS: f64 = 0.5;

/// The largest angle between the normal and the line of slices without a warning, in degrees.
const MAX_TILT_DEGREES: f64 = 0.5;

/// Slices in their order, with their grid.
#[derive(Debug, Clone)]
pub struct Stack {
    /// The slices of each volume, along the normal.
    pub channels: Vec<Vec<Frame>>,
    pub world_from_voxel: Affine,
    /// The reason why the slices are not a volume; it completes "expected …, found …".
    pub problem: Option<[String; 2]>,
    pub warnings: Vec<String>,
}

impl Stack {
    /// Arranges slices of the same directions, size and kind.
    ///
    /// # Panics
    /// If there is none.
    pub fn new(mut frames: Vec<Frame>) -> Stack {
        if frames.iter().any(|frame| frame.position.is_none()) {
            return Stack::without_positions(frames);
        }
        let order = |a: &Frame, b: &Frame| {
            let by_order = a.order.partial_cmp(&b.order).unwrap_or(std::cmp::Ordering::Equal);
            a.height_mm().total_cmp(&b.height_mm()).then(by_order)
        };
        frames.sort_by(order);
        let mut warnings = Vec::new();
        let mut positions: Vec<Vec<Frame>> = Vec::new();
        let mut num_duplicates = 0;
        for frame in frames {
            match positions.last_mut() {
                Some(same) if frame.height_mm() - same[0].height_mm() < SAME_HEIGHT_MM => {
                    match same.iter().any(|other| is_duplicate(other, &frame)) {
                        true => num_duplicates += 1,
                        false => same.push(frame),
                    }
                }
                _ => positions.push(vec![frame]),
            }
        }
        if num_duplicates > 0 {
            warnings.push(format!(
                "{} left out.",
                counted(num_duplicates, "duplicate slice was", "duplicate slices were")
            ));
        }
        for frames in &mut positions {
            frames
                .sort_by(|a, b| a.order.partial_cmp(&b.order).unwrap_or(std::cmp::Ordering::Equal));
        }
        let counts = || positions.iter().map(Vec::len);
        let (fewest, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
        let mut problem = (fewest != most).then(|| {
            let found = format!("{fewest} at some and {most} at others");
            ["as many images at every position of the slices".to_string(), found]
        });
        let corners: Vec<DVec3> =
            positions.iter().filter_map(|frames| frames[0].position).collect();
        let spread = positions.iter().any(|same| {
            let pixel = same[0].spacing_mm[0].min(same[0].spacing_mm[1]);
            let distance = |frame: &Frame| Some(frame.position?.distance(same[0].position?));
            same.iter().filter_map(distance).any(|mm: f64| mm > MAX_SHIFT_PIXELS * pixel)
        });
        if spread && problem.is_none() {
            let found = "images at the same height and at different places in their plane";
            problem = Some(["one position for every slice".to_string(), found.to_string()]);
        }
        let (step, spacing_problem) = step(&positions[0][0], &corners, &mut warnings);
        let first = &positions[0][0];
        let world_from_voxel = world_from_voxel(first, corners[0], step);
        let channels = (0..fewest)
            .map(|channel| positions.iter().map(|frames| frames[channel].clone()).collect())
            .collect();
        Stack { channels, world_from_voxel, problem: problem.or(spacing_problem), warnings }
    }

    /// Returns slices that state no position, in their file's order.
    fn without_positions(mut frames: Vec<Frame>) -> Stack {
        frames.sort_by(|a, b| a.order.partial_cmp(&b.order).unwrap_or(std::cmp::Ordering::Equal));
        let first = &frames[0];
        let is_one_file = frames.iter().all(|frame| frame.file.path == first.file.path);
        let problem = (!is_one_file).then(|| {
            let found = format!("{} images of which some state none", frames.len());
            ["the positions of all slices".to_string(), found]
        });
        let warning = "The file does not state how the scan lies in the patient; its left and right \
                       sides are not known.";
        let world_from_voxel =
            world_from_voxel(first, DVec3::ZERO, first.normal() * thickness(first));
        Stack {
            channels: vec![frames],
            world_from_voxel,
            problem,
            warnings: vec![warning.to_string()],
        }
    }
}

/// Returns whether two frames at one position are copies of one.
fn is_duplicate(a: &Frame, b: &Frame) -> bool {
    let uid = |frame: &Frame| frame.file.text(tags::SOP_INSTANCE);
    a.index == b.index && uid(a).is_some() && uid(a) == uid(b)
}

/// Returns the distance of slices that a file states.
fn thickness(frame: &Frame) -> f64 {
    let file = &frame.file;
    let groups = |tag| {
        let shared = file.data_set.items(tags::SHARED_GROUPS).first();
        let own = file.data_set.items(tags::PER_FRAME_GROUPS).get(frame.index);
        let range = [own, shared].into_iter().flatten().find_map(|item| item.range_in_groups(tag));
        range.and_then(|range| file.decimals_at(range).first().copied())
    };
    let stated = [tags::SPACING_BETWEEN_SLICES, tags::SLICE_THICKNESS]
        .into_iter()
        .find_map(|tag| groups(tag).or_else(|| file.decimal(tag)).filter(|&t| t.abs() > 1e-4));
    stated.map_or(1.0, |stated| stated.abs().min(1e4))
}

/// Returns the map from voxels to RAS+ of slices from a corner in LPS+.
fn world_from_voxel(first: &Frame, corner: DVec3, step: DVec3) -> Affine {
    let [row, column] = first.directions;
    let [along_row, along_column] = first.spacing_mm;
    Affine(DAffine3 {
        matrix3: DMat3::from_cols(
            ras_from_lps(row * along_row),
            ras_from_lps(column * along_column),
            ras_from_lps(step),
        ),
        translation: ras_from_lps(corner),
    })
}

/// Returns the vector from one slice to the next, and the problem if they are not evenly spaced.
fn step(
    first: &Frame,
    corners: &[DVec3],
    warnings: &mut Vec<String>,
) -> (DVec3, Option<[String; 2]>) {
    let normal = first.normal();
    let &[start, .., end] = corners else {
        warnings.push("The series has a single slice.".to_string());
        return (normal * thickness(first), None);
    };
    let gaps: Vec<f64> = corners.windows(2).map(|pair| (pair[1] - pair[0]).dot(normal)).collect();
    let mut sorted = gaps.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[(sorted.len() - 1) / 2];
    let step = (end - start) / gaps.len() as f64;
    let deviation = gaps.iter().map(|gap| (gap - median).abs() / median).fold(0.0, f64::max);
    let straightness = corners.iter().enumerate().map(|(n, corner)| {
        let shift = *corner - (start + step * n as f64);
        (shift - normal * shift.dot(normal)).length()
    });
    let shift = straightness.fold(0.0, f64::max) / first.spacing_mm[0].min(first.spacing_mm[1]);
    if deviation > UNEVEN_TOLERANCE {
        return (normal * median, Some(uneven(&gaps, median)));
    }
    if shift > MAX_SHIFT_PIXELS {
        let found = format!("slices that lie up to {shift:.1} pixels beside it");
        return (step, Some(["slices on a straight line".to_string(), found]));
    }
    if deviation > EVEN_TOLERANCE {
        warnings.push(format!(
            "The distances of the slices differ: {:.2} to {:.2} mm. Their mean is used.",
            sorted[0],
            sorted[sorted.len() - 1]
        ));
    }
    let tilt = step.angle_between(normal).to_degrees();
    if tilt > MAX_TILT_DEGREES {
        warnings.push(format!(
            "The slices are stacked at an angle of {tilt:.1}° (gantry tilt). Their positions take \
             account of it."
        ));
    }
    (step, None)
}

/// Returns the problem of distances that differ: missing slices with their places, if the distances
/// are multiples of one.
fn uneven(gaps: &[f64], median: f64) -> [String; 2] {
    let expected = "slices at equal distances".to_string();
    let missing = |gap: &f64| {
        let multiple = (gap / median).round();
        let is_multiple = (gap / median - multiple).abs() < 2.0 * UNEVEN_TOLERANCE;
        (is_multiple && multiple >= 1.0).then_some(multiple as u64 - 1)
    };
    let Some(counts) = gaps.iter().map(missing).collect::<Option<Vec<_>>>() else {
        let range = gaps.iter().fold([f64::MAX, 0.0], |[a, b], gap| [gap.min(a), gap.max(b)]);
        return [expected, format!("distances of {:.2} to {:.2} mm", range[0], range[1])];
    };
    let total = counts.iter().sum::<u64>();
    let mut found = format!("{} missing", counted(total, "slice", "slices"));
    let places = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    for (n, (after, count)) in places.enumerate().take(5) {
        let separator = if n == 0 { ":" } else { "," };
        let _ =
            write!(found, "{separator} {count} after slice {} of {}", after + 1, gaps.len() + 1);
    }
    [expected, found]
}

/// Returns a number with its noun.
pub fn counted(count: u64, one: &str, several: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {several}"),
    }
}
