//! What the page shows in its slices: a channel with its window, and a result.

use std::sync::Arc;

use leptos::prelude::*;

use super::opened::LoadedChannel;
use super::prepared::{PlacedChannel, Preparation};
use super::state::Page;
use crate::share::SharedResult;
use crate::slice::{LabelColors, RasFrame, RelativeWindow, Window};

impl Page {
    /// Returns the index of the shown slot: the chosen one, or the first that has a scan.
    pub fn shown_index(self) -> Option<usize> {
        let slot = self.shown_slot.get();
        self.slots.with(|slots| {
            let is_loaded = |n: &usize| slots.get(*n).is_some_and(|slot| slot.loaded.is_some());
            Some(slot).filter(is_loaded).or_else(|| (0..slots.len()).find(is_loaded))
        })
    }

    /// Returns the shown channel: as it was placed, or before that as its file stores it.
    pub fn shown_channel(self) -> Option<PlacedChannel> {
        let index = self.shown_index()?;
        let placed = self.preparation.with(|preparation| {
            preparation.as_ref().and_then(|preparation| preparation.channels.get(index).cloned())
        });
        placed.or_else(|| {
            self.slots.with(|slots| {
                let LoadedChannel { volume, default_window, .. } = slots[index].loaded.clone()?;
                Some(PlacedChannel { volume, default_window })
            })
        })
    }

    /// Returns the window of the shown channel.
    pub fn shown_window(self) -> Option<Window> {
        let shown = self.shown_channel()?;
        let slot = self.shown_slot.get();
        let changed = self.windows.with(|windows| windows.get(slot).copied().flatten());
        let remembered = || {
            let name = self.shown_name()?;
            let windows = self.remembered_windows.read();
            windows.get(&name)?.beside(shown.default_window)
        };
        Some(changed.or_else(remembered).unwrap_or(shown.default_window))
    }

    /// Returns the name of the shown channel.
    fn shown_name(self) -> Option<String> {
        let index = self.shown_index()?;
        self.slots.with(|slots| slots.get(index).map(|slot| slot.name.clone()))
    }

    /// Shows the first window again, and remembers no other.
    pub fn reset_shown_window(self) {
        let (Some(shown), Some(name)) = (self.shown_channel(), self.shown_name()) else { return };
        self.set_shown_window(shown.default_window);
        self.remember_window(&name, None);
    }

    /// Sets the window of the shown channel, and remembers it for the next scan.
    pub fn set_shown_window(self, window: Window) {
        let shown = untrack(|| Some((self.shown_channel()?.default_window, self.shown_name()?)));
        if let Some((first, name)) = shown {
            self.remember_window(&name, Some(RelativeWindow::new(window, first)));
        }
        let slot = self.shown_slot.get_untracked();
        self.windows.update(|windows| {
            windows.resize(windows.len().max(slot + 1), None);
            windows[slot] = Some(window);
        });
    }

    /// Shows prepared channels. A new grid centers the crosshair.
    pub fn show_preparation(self, preparation: Preparation) {
        let frame = RasFrame::new(preparation.channels[0].volume.grid());
        let shown = untrack(|| self.shown_channel());
        if shown.is_none_or(|shown| RasFrame::new(shown.volume.grid()) != frame) {
            self.crosshair.set(frame.center());
        }
        self.preparation.set(Some(preparation));
    }

    /// Shows a result with all of its regions, and moves the crosshair to the central voxel.
    pub fn show_result(self, result: SharedResult, central_voxel: Option<[usize; 3]>) {
        if let Some(voxel) = central_voxel {
            self.crosshair.set(RasFrame::new(result.labels.grid()).ras_from_source(voxel));
        }
        self.visible_regions.set(vec![true; result.regions.len()]);
        self.probabilities.set(None);
        if !result.measurements.is_empty() {
            self.measurements.set(result.measurements.clone());
        }
        self.result.set(Some(Arc::new(result)));
        self.reset_corrections();
    }

    /// Returns the names of the result's regions.
    pub fn region_names(self) -> Vec<String> {
        self.result.with(|result| {
            let regions = result.iter().flat_map(|result| &result.regions);
            regions.map(|region| region.name.clone()).collect()
        })
    }

    /// Returns the colors of the visible regions' labels.
    pub fn label_colors(self) -> LabelColors {
        let visible = self.visible_regions.get();
        self.result.with(|result| {
            let regions = result.iter().flat_map(|result| result.regions.iter());
            let shown = regions.zip(visible).filter(|(_, is_visible)| *is_visible);
            LabelColors::new(shown.map(|(region, _)| (&region.codes[..], region.color)))
        })
    }
}
