//! Correction of the result by hand. A stroke of the brush is one step that can be undone, as is every
//! other change.

use std::sync::Arc;

use leptos::prelude::*;
use model_core::LabelMap;

use super::corrections::{CorrectionSettings, Corrections, Operation};
use super::state::Page;
use super::tools::Tool;
use crate::edit::{
    Brush, BrushShape, Change, Dab, Edits, Recoding, RegionMask, Step, fill_between_slices,
    fill_holes, keep_island, keep_largest, paint, remove_small, smooth,
};
use crate::measure::Measurement;
use crate::share::SharedResult;
use crate::slice::{Plane, RasFrame};

impl Page {
    /// Forgets all steps, since another result is shown.
    pub fn reset_corrections(self) {
        let num_edited_before =
            self.result.with_untracked(|r| r.as_ref().map_or(0, |result| result.num_edited));
        let fresh = Corrections { num_edited_before, ..Corrections::default() };
        self.corrections.set(fresh);
        let num_regions =
            self.result.with_untracked(|r| r.as_ref().map_or(0, |result| result.regions.len()));
        self.correction_settings.update(|settings| {
            settings.region = settings.region.min(num_regions.saturating_sub(1));
            settings.within = settings.within.filter(|&n| n < num_regions);
        });
        if matches!(self.tool.get_untracked(), Tool::Correct { .. }) {
            self.choose_tool(Tool::Crosshair);
        }
    }

    /// Returns whether there is a result on the grid of the shown channel, which can be painted.
    pub fn can_correct(self) -> bool {
        let shown = untrack(|| self.shown_channel());
        self.result.with(|result| {
            let grid = result.as_ref().map(|result| result.labels.grid());
            grid.zip(shown)
                .is_some_and(|(grid, shown)| grid.check_same(shown.volume.grid()).is_ok())
        })
    }

    /// Begins a stroke. Returns whether the brush is chosen and there is a result.
    pub fn begin_correction(self) -> bool {
        let begins = matches!(self.tool.get_untracked(), Tool::Correct { .. })
            && untrack(|| self.can_correct());
        if begins {
            self.corrections.update_untracked(|c| c.stroke = Some(Change::default()));
        }
        begins
    }

    /// Paints from a RAS voxel to another, during a stroke.
    pub fn correct_along(self, frame: &RasFrame, plane: Plane, from: [usize; 3], to: [usize; 3]) {
        let Tool::Correct { adds } = self.tool.get_untracked() else { return };
        let settings = self.correction_settings.get_untracked();
        let shape = match settings.is_ball {
            true => BrushShape::Ball,
            false => BrushShape::Disc(frame.source_axis(plane.normal())),
        };
        let brush = Brush { shape, radius_mm: self.radius_mm.get_untracked() };
        let dab = Dab { from: frame.source_from_ras(from), to: frame.source_from_ras(to) };
        let shown = untrack(|| self.shown_channel());
        let values = shown.as_ref().map(|shown| shown.volume.values());
        let allowed = |index: usize| match (settings.range, values) {
            (Some([low, high]), Some(values)) => (low..=high).contains(&values[index]),
            _ => true,
        };
        self.change_labels(|result| {
            let recoding = recoding(result, &settings, adds)?;
            Some(paint(&mut result.labels, dab, brush, &recoding, allowed))
        });
    }

    /// Ends a stroke: it becomes a step.
    pub fn end_correction(self) {
        let stroke = self.corrections.try_update_untracked(|c| c.stroke.take()).flatten();
        if let Some(stroke) = stroke {
            self.push_change(stroke);
        }
    }

    /// Corrects the whole region. Returns whether a voxel changed.
    pub fn correct_region(self, operation: Operation) -> bool {
        let settings = self.correction_settings.get_untracked();
        let crosshair = self.crosshair.get_untracked();
        let change = self.change_labels(|result| {
            let adding = recoding(result, &settings, true)?;
            let erasing = recoding(result, &settings, false)?;
            let grid = result.labels.grid().clone();
            let frame = RasFrame::new(&grid);
            let spacing_mm = grid.world_from_voxel.spacing_mm();
            let reach = spacing_mm.map(|mm| (settings.smoothing_mm / mm).round() as usize);
            let margin = match operation {
                Operation::Smooth => reach.into_iter().max().unwrap_or(0),
                _ => 1,
            };
            let codes = &result.regions[settings.region].codes;
            let mask = RegionMask::new(&result.labels, codes, margin)?;
            let voxel =
                frame.source_from_ras([0, 1, 2].map(|n| crosshair[n].min(frame.dims[n] - 1)));
            let new = match operation {
                Operation::FillSlices => {
                    let axis = frame.source_axis(settings.fill_plane.normal());
                    fill_between_slices(&mask, axis, spacing_mm)
                }
                Operation::FillHoles => fill_holes(&mask),
                Operation::Smooth => smooth(&mask, reach),
                Operation::RemoveSmall => {
                    let voxel_ml = grid.world_from_voxel.voxel_volume_mm3() / 1000.0;
                    remove_small(&mask, (settings.island_ml / voxel_ml).ceil() as usize)
                }
                Operation::KeepLargest => keep_largest(&mask),
                Operation::KeepIsland => keep_island(&mask, voxel, true)?,
                Operation::RemoveIsland => keep_island(&mask, voxel, false)?,
                Operation::Clear => vec![false; mask.inside().len()],
            };
            Some(mask.apply(&new, &mut result.labels, &adding, &erasing))
        });
        change.is_some_and(|change| self.push_change(change))
    }

    /// Takes the last step back.
    pub fn undo(self) {
        let step = self.corrections.try_update(|c| c.history.undo()).flatten();
        self.apply_step(step);
    }

    /// Does the step again that was taken back last.
    pub fn redo(self) {
        let step = self.corrections.try_update(|c| c.history.redo()).flatten();
        self.apply_step(step);
    }

    /// Replaces the measurements, as a step.
    pub fn set_measurements(self, after: Vec<Measurement>) {
        let before = self.measurements.get_untracked();
        if before != after {
            self.measurements.set(after.clone());
            self.corrections.update(|c| c.history.push(Step::List { before, after }));
        }
    }

    fn apply_step(self, step: Option<Step<Measurement>>) {
        match step {
            None => {}
            Some(Step::List { after, .. }) => self.measurements.set(after),
            Some(Step::Labels(change)) => {
                self.change_labels(|result| {
                    change.apply(result.labels.labels_mut());
                    Some(change)
                });
            }
        }
    }

    fn push_change(self, mut change: Change) -> bool {
        if change.is_empty() {
            return false;
        }
        change.compact();
        self.corrections.update(|c| c.history.push(Step::Labels(change)));
        true
    }

    /// Changes the labels of the result, with its volumes and the number of its edited voxels. During a
    /// stroke the change belongs to it; otherwise it is returned.
    fn change_labels(
        self,
        make: impl FnOnce(&mut SharedResult) -> Option<Change>,
    ) -> Option<Change> {
        let mut result = self.result.get_untracked()?;
        // The signal's own copy must go, so that the labels are changed in place.
        self.result.update_untracked(|shown| *shown = None);
        let changed = Arc::make_mut(&mut result);
        let change = self.corrections.try_update_untracked(|corrections| {
            let edits =
                corrections.edits.get_or_insert_with(|| Edits::new(changed.labels.labels()));
            let change = make(changed)?;
            edits.note(&change);
            let voxel_ml = changed.labels.grid().world_from_voxel.voxel_volume_mm3() / 1000.0;
            for region in &mut changed.regions {
                region.volume_ml = edits.num_voxels(&region.codes) as f64 * voxel_ml;
            }
            let num_voxels = changed.labels.labels().len() as u64;
            let num_edited = corrections.num_edited_before + edits.num_edited();
            changed.num_edited = num_edited.min(num_voxels);
            Some(change)
        });
        let change = change.flatten();
        let is_changed = change.as_ref().is_some_and(|change| !change.is_empty());
        match is_changed {
            false => self.result.update_untracked(|shown| *shown = Some(result)),
            true => {
                self.share_link.set(String::new());
                self.is_outlined.set(false);
                self.result.set(Some(result));
            }
        }
        let mut change = change?;
        self.corrections.update_untracked(|corrections| {
            if let Some(stroke) = &mut corrections.stroke {
                stroke.extend(std::mem::take(&mut change));
            }
        });
        Some(change)
    }
}

/// Returns the recoding that adds to the chosen region or takes away from it; `None` if there is none.
fn recoding(result: &SharedResult, settings: &CorrectionSettings, adds: bool) -> Option<Recoding> {
    let regions: Vec<&[u8]> = result.regions.iter().map(|region| &region.codes[..]).collect();
    let n = Some(settings.region).filter(|&n| n < regions.len())?;
    let recoding = match adds {
        true => Recoding::adding(&regions, n),
        false => Recoding::erasing(&regions, n),
    };
    Some(match settings.within.and_then(|within| regions.get(within)) {
        Some(codes) => recoding.only_within(codes),
        None => recoding,
    })
}

/// Returns how many voxels were edited, in words; empty if none.
pub fn edited_text(labels: &LabelMap, num_edited: u64) -> String {
    let ml = num_edited as f64 * labels.grid().world_from_voxel.voxel_volume_mm3() / 1000.0;
    match num_edited {
        0 => String::new(),
        1 => format!("Edited by hand: 1 voxel ({ml:.3} ml) differs from the model's result."),
        n => format!("Edited by hand: {n} voxels ({ml:.2} ml) differ from the model's result."),
    }
}
