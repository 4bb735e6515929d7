//! The prepared channels, and the user's choices for them.

use std::sync::Arc;

use model_core::prepare::{
    BrainChoice, BrainStep, ChannelRecord, ChannelStep, PlacementChoice, PlacementSettings,
    PreparationRecord,
};
use model_core::{LabelMap, Volume};

use super::client::ResourceHandle;
use crate::protocol::ChannelId;
use crate::slice::Window;

/// The choices of the user for a preparation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PreparationChoices {
    /// The placement of the channels.
    pub placement: PlacementSettings,
    /// The treatment of the skull.
    pub brain: BrainChoice,
    /// Whether the run may go without the missing channels.
    pub accepts_missing: bool,
}

/// The prepared channels.
#[derive(Debug, Clone)]
pub struct Preparation {
    /// The worker's copies of the placed channels.
    pub placed: Arc<ResourceHandle>,
    /// The index of the channel whose grid the others lie on.
    pub reference: usize,
    /// The placed channels.
    pub channels: Vec<PlacedChannel>,
    /// The steps for each channel.
    pub records: Vec<ChannelRecord>,
    /// The treatment of the skull.
    pub brain: BrainStep,
    /// The brain's mask, with label 1, and the worker's copies of the masked channels.
    pub mask: Option<(Arc<LabelMap>, Arc<ResourceHandle>)>,
}

/// A channel on the reference's grid.
#[derive(Debug, Clone)]
pub struct PlacedChannel {
    /// The voxels.
    pub volume: Arc<Volume>,
    /// The window that is shown first.
    pub default_window: Window,
}

impl Preparation {
    /// Returns the channels that the network gets.
    pub fn run_channels(&self) -> Vec<ChannelId> {
        let resource = match &self.mask {
            Some((_, masked)) => masked.id(),
            None => self.placed.id(),
        };
        (0..self.channels.len()).map(|channel| ChannelId { resource, channel }).collect()
    }

    /// Returns the placed channels' ids.
    pub fn placed_ids(&self) -> Vec<ChannelId> {
        let resource = self.placed.id();
        (0..self.channels.len()).map(|channel| ChannelId { resource, channel }).collect()
    }

    /// Returns the record for a result.
    pub fn record(&self) -> PreparationRecord {
        PreparationRecord {
            reference: self.records[self.reference].channel.clone(),
            channels: self.records.clone(),
            brain: self.brain,
        }
    }

    /// Returns whether the channel `n` is there.
    pub fn is_present(&self, n: usize) -> bool {
        self.records[n].step != ChannelStep::Missing
    }
}

/// The masks before and during a stroke.
#[derive(Clone, Default)]
pub struct MaskPainting {
    /// The masks before each stroke, the last one at the end.
    pub earlier: Vec<Arc<LabelMap>>,
    /// The mask while it is painted.
    pub painted: Option<LabelMap>,
}

/// Returns the placement choice of the channel `n`.
pub fn placement_choice(choices: &PreparationChoices, n: usize) -> PlacementChoice {
    let all = &choices.placement.choices;
    all.get(n).or(all.last()).copied().unwrap_or_default()
}
