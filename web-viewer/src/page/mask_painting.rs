//! Painting of the brain's mask. A stroke is one step that can be undone.

use std::sync::Arc;

use leptos::prelude::*;
use model_core::LabelMap;
use model_core::prepare::BRAIN;

use super::preparation_actions::use_painted_mask;
use super::state::Page;
use super::tools::Tool;
use crate::edit::{Brush, BrushShape, Dab, Recoding, paint};
use crate::slice::RasFrame;

/// The most strokes that can be undone. A mask of a whole head takes 9 MB.
const MAX_STROKES: usize = 10;

impl Page {
    /// Calls `draw` with the mask of the brain, if it is shown.
    pub fn with_shown_mask<T>(self, draw: impl FnOnce(&LabelMap) -> T) -> Option<T> {
        if !self.shows_mask.get() {
            return None;
        }
        self.painting.with(|painting| match &painting.painted {
            Some(painted) => Some(draw(painted)),
            None => self.preparation.with(|preparation| {
                preparation.as_ref()?.mask.as_ref().map(|(mask, _)| draw(mask))
            }),
        })
    }

    /// Begins a stroke. Returns whether the brush is chosen and there is a mask.
    pub fn begin_stroke(self) -> bool {
        let mask = self.preparation.with_untracked(|preparation| {
            preparation.as_ref()?.mask.as_ref().map(|(mask, _)| mask.clone())
        });
        let (Some(mask), Tool::Brain { .. }) = (mask, self.tool.get_untracked()) else {
            return false;
        };
        self.painting.update(|painting| {
            painting.painted = Some(LabelMap::clone(&mask));
            painting.earlier.push(mask);
            if painting.earlier.len() > MAX_STROKES {
                painting.earlier.remove(0);
            }
        });
        true
    }

    /// Paints around a RAS voxel of the shown frame, during a stroke.
    pub fn paint_at(self, frame: &RasFrame, ras_voxel: [usize; 3]) {
        let Tool::Brain { adds } = self.tool.get_untracked() else { return };
        let center = frame.source_from_ras(ras_voxel);
        let (dab, brain) = (Dab { from: center, to: center }, [&[BRAIN][..]]);
        let brush = Brush { shape: BrushShape::Ball, radius_mm: self.radius_mm.get_untracked() };
        let recoding = match adds {
            true => Recoding::adding(&brain, 0),
            false => Recoding::erasing(&brain, 0),
        };
        self.painting.update(|painting| {
            if let Some(painted) = &mut painting.painted {
                paint(painted, dab, brush, &recoding, |_| true);
            }
        });
    }

    /// Ends a stroke, and uses the painted mask.
    pub fn end_stroke(self) {
        let painted = self.painting.try_update(|painting| painting.painted.take()).flatten();
        if let Some(painted) = painted {
            use_painted_mask(self, painted);
        }
    }

    /// Returns whether a stroke can be undone.
    pub fn can_undo_mask(self) -> bool {
        self.painting.with(|painting| !painting.earlier.is_empty())
    }

    /// Undoes the last stroke.
    pub fn undo_stroke(self) {
        let earlier = self.painting.try_update(|painting| painting.earlier.pop()).flatten();
        if let Some(earlier) = earlier {
            use_painted_mask(self, Arc::unwrap_or_clone(earlier));
        }
    }
}
