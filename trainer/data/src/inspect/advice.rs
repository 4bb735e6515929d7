//! Derives training settings from the properties of a data set.

use super::inspection::Inspection;
use super::numbers::{max, median, product, short};
use crate::data_set::CaseReport;

/// Every preset accepts patch sizes that are multiples of this.
const PATCH_MULTIPLE: usize = 16;

/// Larger patches are rarely worth their memory, unless they hold the whole case.
const MAX_PATCH: usize = 128;

/// Voxels with this ratio of their longest to their shortest edge are called anisotropic.
const ANISOTROPIC: f64 = 2.0;

/// Outer faces with more than this share of dark voxels show air. The share is low because the
/// first and last slices of a scan often cut the subject.
const AIR_SHARE: f64 = 0.5;

/// Spacings that differ by less than this fraction count as equal.
const SAME_SPACING: f64 = 0.01;

/// Returns the advice as sentences.
pub(super) fn advice(inspection: &Inspection) -> Vec<String> {
    let cases = inspection.usable_cases();
    if cases.is_empty() {
        return Vec::new();
    }
    let mut advice = vec![foreground(inspection, &cases)];
    advice.extend(spacing(&cases));
    advice.push(patch(&cases));
    advice.extend(absent_labels(inspection, &cases));
    advice
}

/// Returns the background value of a channel if all cases have the same.
pub(super) fn background(cases: &[&CaseReport], channel: usize) -> Option<f32> {
    let first = cases.first()?.channels[channel].background?;
    cases.iter().all(|case| case.channels[channel].background == Some(first)).then_some(first)
}

fn foreground(inspection: &Inspection, cases: &[&CaseReport]) -> String {
    let channels = 0..inspection.data_set.task.channels.len();
    let backgrounds: Vec<Option<f32>> = channels.map(|n| background(cases, n)).collect();
    let all = |test: &dyn Fn(f32) -> bool| backgrounds.iter().all(|b| b.is_some_and(test));
    let constant = |case: &&CaseReport| case.channels.iter().all(|c| c.background.is_some());
    if all(&|value| value == 0.0) {
        "--foreground nonzero: around the subject all channels are exactly 0, as after skull \
         stripping"
            .into()
    } else if cases.iter().all(constant) {
        "--foreground otsu: around the subject all voxels are the same, but not 0".into()
    } else if cases.iter().filter(|case| is_in_air(case)).count() * 2 > cases.len() {
        "--foreground otsu: around the subject is air, dark but not constant".into()
    } else {
        "--foreground whole: the subject reaches to the borders".into()
    }
}

/// Returns whether every channel is dark around the subject.
fn is_in_air(case: &CaseReport) -> bool {
    case.channels.iter().all(|channel| channel.dark_border_share > AIR_SHARE)
}

fn spacings_along(cases: &[&CaseReport], axis: usize) -> Vec<f64> {
    cases.iter().map(|case| case.spacing_mm[axis]).collect()
}

fn spacing(cases: &[&CaseReport]) -> Option<String> {
    let medians: [f64; 3] = std::array::from_fn(|axis| median(spacings_along(cases, axis)));
    let differs = |axis: usize| {
        spacings_along(cases, axis).iter().any(|s| (s / medians[axis] - 1.0).abs() > SAME_SPACING)
    };
    let ratio = max(&medians) / super::numbers::min(&medians);
    let long = match ratio >= ANISOTROPIC {
        true => format!("voxels are {} times as long along one axis as another", short(ratio)),
        false => String::new(),
    };
    if (0..3).any(differs) {
        let set = medians.map(short).join(", ");
        let and = if long.is_empty() { String::new() } else { format!("; {long}") };
        return Some(format!(
            "[preprocess] spacing_mm = [{set}], the median: spacings differ between cases{and}"
        ));
    }
    (!long.is_empty()).then(|| {
        format!("{long} ({} mm): a patch needs fewer voxels along the long axis", product(medians))
    })
}

fn patch(cases: &[&CaseReport]) -> String {
    let sizes = |axis: usize| cases.iter().map(|case| case.dims[axis] as f64).collect::<Vec<f64>>();
    let up = |size: f64| (size as usize).next_multiple_of(PATCH_MULTIPLE);
    let largest: [usize; 3] = std::array::from_fn(|axis| up(max(&sizes(axis))));
    let text = |patch: [usize; 3]| patch.map(|n| n.to_string()).join(",");
    if largest.iter().all(|&n| n <= MAX_PATCH) {
        let patch = text(largest);
        return format!("--patch {patch} holds every whole case (multiples of {PATCH_MULTIPLE})");
    }
    let typical = std::array::from_fn(|axis| up(median(sizes(axis))).min(MAX_PATCH));
    format!(
        "--patch {} is a part of the median case, {} holds the largest case (multiples of \
         {PATCH_MULTIPLE}); `rewind plan` estimates the memory",
        text(typical),
        text(largest)
    )
}

/// Returns a hint for each label that no case has: the task may be the wrong one.
fn absent_labels(inspection: &Inspection, cases: &[&CaseReport]) -> Vec<String> {
    let known: Vec<&Vec<f64>> = cases.iter().filter_map(|case| case.volumes_ml.as_ref()).collect();
    let never = |n: usize| !known.is_empty() && known.iter().all(|volumes| volumes[n] == 0.0);
    let labels = inspection.data_set.task.labels.iter().enumerate();
    let absent = labels.filter(|(n, _)| never(*n)).map(|(_, label)| {
        format!("label {} {} is in no case: is the task the right one?", label.code, label.name)
    });
    absent.collect()
}
