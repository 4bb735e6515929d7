//! What a data set's properties mean for the settings of a training.

use super::Inspection;
use super::numbers::{max, median, product, short};
use crate::data_set::CaseReport;

/// Every preset takes patches whose sizes are multiples of this.
const PATCH_MULTIPLE: usize = 16;

/// Patches beyond this are seldom worth their memory where a case is larger.
const MAX_PATCH: usize = 128;

/// Cases with voxels so much longer one way than another are resampled with care.
const ANISOTROPIC: f64 = 2.0;

/// Outer faces that are dark on more than this share show air, noise and all; the first and last
/// slices of a scan often cut the subject.
const AIR_SHARE: f64 = 0.5;

/// Spacings that differ by less than this share are one.
const SAME_SPACING: f64 = 0.01;

/// Sentences for a person.
pub(super) fn advice(inspection: &Inspection) -> Vec<String> {
    let facts = inspection.facts();
    if facts.is_empty() {
        return Vec::new();
    }
    let mut advice = vec![foreground(inspection, &facts)];
    advice.extend(spacing(&facts));
    advice.push(patch(&facts));
    advice.extend(absent(inspection, &facts));
    advice
}

/// The value around the subject in a channel, where every case has the same.
pub(super) fn background(facts: &[&CaseReport], channel: usize) -> Option<f32> {
    let first = facts.first()?.channels[channel].background?;
    facts.iter().all(|f| f.channels[channel].background == Some(first)).then_some(first)
}

fn foreground(inspection: &Inspection, facts: &[&CaseReport]) -> String {
    let channels = 0..inspection.data_set.task.channels.len();
    let backgrounds: Vec<Option<f32>> = channels.map(|n| background(facts, n)).collect();
    let all = |test: &dyn Fn(f32) -> bool| backgrounds.iter().all(|b| b.is_some_and(test));
    let constant = |facts: &&CaseReport| facts.channels.iter().all(|c| c.background.is_some());
    if all(&|value| value == 0.0) {
        "--foreground nonzero: around the subject all channels are exactly 0, as after skull \
         stripping"
            .into()
    } else if facts.iter().all(constant) {
        "--foreground otsu: around the subject all voxels are the same, but not 0".into()
    } else if facts.iter().filter(|facts| is_in_air(facts)).count() * 2 > facts.len() {
        "--foreground otsu: around the subject is air, dark but not one value".into()
    } else {
        "--foreground whole: the subject reaches to the borders".into()
    }
}

/// Whether every channel is dark around the subject.
fn is_in_air(facts: &CaseReport) -> bool {
    facts.channels.iter().all(|channel| channel.dark_border_share > AIR_SHARE)
}

fn along(facts: &[&CaseReport], axis: usize) -> Vec<f64> {
    facts.iter().map(|facts| facts.spacing_mm[axis]).collect()
}

fn spacing(facts: &[&CaseReport]) -> Option<String> {
    let medians: [f64; 3] = std::array::from_fn(|axis| median(along(facts, axis)));
    let differs = |axis: usize| {
        along(facts, axis).iter().any(|s| (s / medians[axis] - 1.0).abs() > SAME_SPACING)
    };
    let ratio = max(&medians) / super::numbers::min(&medians);
    let long = match ratio >= ANISOTROPIC {
        true => format!("voxels are {} times as long one way as another", short(ratio)),
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
        format!("{long} ({} mm): a patch with fewer voxels that way sees as far", product(medians))
    })
}

fn patch(facts: &[&CaseReport]) -> String {
    let sizes = |axis: usize| facts.iter().map(|f| f.dims[axis] as f64).collect::<Vec<f64>>();
    let up = |size: f64| (size as usize).next_multiple_of(PATCH_MULTIPLE);
    let largest: [usize; 3] = std::array::from_fn(|axis| up(max(&sizes(axis))));
    let text = |patch: [usize; 3]| patch.map(|n| n.to_string()).join(",");
    if largest.iter().all(|&n| n <= MAX_PATCH) {
        let patch = text(largest);
        return format!("--patch {patch} holds every case whole (multiples of {PATCH_MULTIPLE})");
    }
    let typical = std::array::from_fn(|axis| up(median(sizes(axis))).min(MAX_PATCH));
    format!(
        "--patch {} is a part of the median case, {} holds the largest whole (multiples of \
         {PATCH_MULTIPLE}); `rewind plan` tells the memory",
        text(typical),
        text(largest)
    )
}

/// Labels that no case has: another scheme than the task's, or a set without them.
fn absent(inspection: &Inspection, facts: &[&CaseReport]) -> Vec<String> {
    let known: Vec<&Vec<f64>> = facts.iter().filter_map(|f| f.volumes_ml.as_ref()).collect();
    let never = |n: usize| !known.is_empty() && known.iter().all(|volumes| volumes[n] == 0.0);
    let labels = inspection.data_set.task.labels.iter().enumerate();
    let absent = labels.filter(|(n, _)| never(*n)).map(|(_, label)| {
        format!("label {} {} stands in no case: is the task the right one?", label.code, label.name)
    });
    absent.collect()
}
