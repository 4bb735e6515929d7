//! The picture of an examination: all channels side by side in three planes, with the outline of a
//! mask.

use anyhow::{Result, ensure};
use model_core::{LabelMap, Volume};

use super::canvas::{Canvas, TEXT_HEIGHT, text_width};
use super::slice::{Slice, slices};
use super::{BACKGROUND, GAP, GrayImage, Panel, TEXT, panel_sizes};
use crate::color::Color;
use trainer_run::DISCLAIMER;

/// The color of the mask's outline.
const OUTLINE: Color = [94, 203, 222];

/// Returns a PNG of channels, each with its name, in the planes where the mask is largest. The rows are
/// planes.
///
/// # Errors
/// Errors if the channels and the mask are not on one grid, or if there is no channel.
pub fn montage(channels: &[(&str, &Volume)], mask: &LabelMap) -> Result<Vec<u8>> {
    ensure!(!channels.is_empty(), "expected at least one channel, found none");
    let mut columns: Vec<(&str, [Slice; 3])> = Vec::new();
    for (name, volume) in channels {
        volume.grid().check_same(mask.grid())?;
        let (slices, _) = slices(&GrayImage::from_volume(volume), mask, mask);
        columns.push((name, slices));
    }
    let sizes = panel_sizes(&columns[0].1);
    let names = columns.iter().map(|(name, _)| text_width(name)).max().unwrap_or(0);
    let column = sizes.iter().map(|size| size[0]).max().unwrap_or(0).max(names);
    let heading_height = TEXT_HEIGHT + GAP;
    let rows: usize = sizes.iter().map(|size| size[1] + GAP).sum();
    let width = (columns.len() * (column + GAP) + GAP).max(text_width(DISCLAIMER) + 2 * GAP);
    let height = GAP + heading_height + rows + heading_height;
    let mut canvas = Canvas::new(width, height, BACKGROUND);
    for (n, (name, slices)) in columns.iter().enumerate() {
        let left = GAP + n * (column + GAP);
        canvas.text(left, GAP, name, TEXT);
        let mut top = GAP + heading_height;
        for (slice, [width, height]) in slices.iter().zip(sizes) {
            let panel = Panel { slice, left: left + (column - width) / 2, top, width, height };
            panel.draw_scan(&mut canvas);
            panel.outline(&mut canvas, &[1], OUTLINE);
            top += height + GAP;
        }
    }
    canvas.text(GAP, height - heading_height, DISCLAIMER, TEXT);
    Ok(canvas.to_png()?)
}
