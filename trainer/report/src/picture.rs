//! The picture of a case: scan, reference and prediction side by side, in three planes.

use std::io::Cursor;

use anyhow::{Result, ensure};
use model_core::{LabelMap, Task};

use super::color::Color;
use trainer_run::DISCLAIMER;

mod canvas;
mod gray;
mod montage;
mod slice;

use canvas::{Canvas, TEXT_HEIGHT, text_width};
pub use gray::GrayImage;
pub use montage::montage;
use slice::{Slice, slices};

/// The largest width of a panel in pixels.
const MAX_PANEL_WIDTH: f64 = 264.0;
/// The largest height of the three planes together, in pixels.
const MAX_HEIGHT: f64 = 640.0;
/// The least width and height of a panel in pixels, even for a thin scan.
const MIN_PANEL_SIZE: f64 = 16.0;
/// The pixels between panels.
const GAP: usize = 6;
const BACKGROUND: Color = [16, 16, 20];
const TEXT: Color = [216, 216, 220];
/// The opacity of the regions of the reference.
const REFERENCE_OPACITY: f64 = 0.25;
/// The opacity of the regions of the prediction.
const PREDICTION_OPACITY: f64 = 0.45;

/// The content of a panel. Reference and prediction are drawn over the scan.
#[derive(Clone, Copy, PartialEq)]
enum PanelContent {
    Scan,
    Reference,
    Prediction,
}

/// Returns a caption and a PNG. The rows are planes; the columns are the scan alone, the reference,
/// and the prediction with the reference's outline in white. `channel` is the scan's name.
///
/// # Errors
/// Errors if the scan and the two label maps are not on one grid.
pub fn picture(
    scan: &GrayImage,
    channel: &str,
    reference: &LabelMap,
    predicted: &LabelMap,
    task: &Task,
) -> Result<(String, Vec<u8>)> {
    scan.grid.check_same(reference.grid())?;
    scan.grid.check_same(predicted.grid())?;
    let num_voxels = scan.grid.num_voxels();
    let lens = [scan.voxels.len(), reference.labels().len(), predicted.labels().len()];
    ensure!(
        num_voxels > 0 && lens.iter().all(|&len| len == num_voxels),
        "expected {num_voxels} voxels, at least 1, found {lens:?}"
    );
    let (slices, choice) = slices(scan, reference, predicted);
    Ok((caption(channel, &slices, choice), draw(&slices, task)?))
}

/// Formats the caption. `choice` describes the choice of the slices.
fn caption(channel: &str, slices: &[Slice; 3], choice: &str) -> String {
    let number =
        |Slice { name, index, count, .. }: &Slice| format!("{name} {} of {count}", index + 1);
    let numbers: Vec<String> = slices.iter().map(number).collect();
    let [[i, j], [_, k], _] = slices.each_ref().map(|slice| slice.spacing_mm);
    format!(
        "{channel}: the scan alone, the reference, and the prediction with the reference's outline \
         in white. Slices {choice}: {}. Radiological: the patient's right is on the left. Voxels of \
         {} × {} × {} mm.",
        numbers.join(", "),
        format_mm(i),
        format_mm(j),
        format_mm(k)
    )
}

fn format_mm(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// Draws the picture as a PNG.
fn draw(slices: &[Slice; 3], task: &Task) -> Result<Vec<u8>> {
    let sizes = panel_sizes(slices);
    let column = sizes.iter().map(|size| size[0]).max().unwrap_or(0).max(text_width("prediction"));
    let heading_height = TEXT_HEIGHT + GAP;
    let rows: usize = sizes.iter().map(|size| size[1] + GAP).sum();
    let width = (3 * column + 4 * GAP).max(text_width(DISCLAIMER) + 2 * GAP);
    let height = GAP + heading_height + rows + heading_height;
    let mut canvas = Canvas::new(width, height, BACKGROUND);
    let columns = [
        ("scan", PanelContent::Scan),
        ("reference", PanelContent::Reference),
        ("prediction", PanelContent::Prediction),
    ];
    for (n, (title, content)) in columns.into_iter().enumerate() {
        let left = GAP + n * (column + GAP);
        canvas.text(left, GAP, title, TEXT);
        let mut top = GAP + heading_height;
        for (slice, [width, height]) in slices.iter().zip(sizes) {
            let panel = Panel { slice, left: left + (column - width) / 2, top, width, height };
            panel.draw(&mut canvas, task, content);
            top += height + GAP;
        }
    }
    canvas.text(GAP, height - heading_height, DISCLAIMER, TEXT);
    Ok(canvas.to_png()?)
}

/// Returns the size of each plane in pixels. All planes have the same scale.
fn panel_sizes(slices: &[Slice; 3]) -> [[usize; 2]; 3] {
    let extents = slices.each_ref().map(|slice| {
        let [across, down] = slice.spacing_mm;
        [across * slice.width as f64, down * slice.height as f64]
    });
    let widest = extents.iter().map(|extent| extent[0]).fold(0.0, f64::max);
    let height: f64 = extents.iter().map(|extent| extent[1]).sum();
    let scale = (MAX_PANEL_WIDTH / widest).min(MAX_HEIGHT / height);
    // A cast of NaN is 0.
    let pixels = |mm: f64| (mm * scale).round().clamp(MIN_PANEL_SIZE, MAX_HEIGHT) as usize;
    extents.map(|extent| extent.map(pixels))
}

/// A plane on the canvas.
struct Panel<'a> {
    slice: &'a Slice,
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Panel<'_> {
    /// Draws the scan with the letters of the directions.
    fn draw_scan(&self, canvas: &mut Canvas) {
        self.draw_shades(canvas);
        self.draw_letters(canvas);
    }

    fn draw_shades(&self, canvas: &mut Canvas) {
        for y in 0..self.height {
            for x in 0..self.width {
                canvas.set(self.left + x, self.top + y, [self.shade(x, y); 3]);
            }
        }
    }

    fn draw(&self, canvas: &mut Canvas, task: &Task, content: PanelContent) {
        let Slice { reference, predicted, .. } = self.slice;
        self.draw_shades(canvas);
        match content {
            PanelContent::Scan => self.draw_letters(canvas),
            PanelContent::Reference => {
                self.fill(canvas, task, reference, REFERENCE_OPACITY);
                for region in &task.regions {
                    self.outline(canvas, &region.labels, region.color);
                }
            }
            PanelContent::Prediction => {
                self.fill(canvas, task, predicted, PREDICTION_OPACITY);
                for region in &task.regions {
                    self.outline(canvas, &region.labels, [255; 3]);
                }
            }
        }
    }

    /// Returns the index of the voxel under a pixel.
    fn voxel(&self, x: usize, y: usize) -> usize {
        let Slice { width, height, .. } = *self.slice;
        x * width / self.width + width * (y * height / self.height)
    }

    /// Returns the shade at a pixel's center, interpolated between four voxels.
    fn shade(&self, x: usize, y: usize) -> u8 {
        let Slice { width, height, shades, .. } = self.slice;
        // The voxels on both sides, and the position between them.
        let between = |pixel: usize, num_pixels: usize, num_voxels: usize| {
            let position = (pixel as f64 + 0.5) * num_voxels as f64 / num_pixels as f64 - 0.5;
            let position = position.clamp(0.0, (num_voxels - 1) as f64);
            let voxel = position as usize;
            (voxel, (voxel + 1).min(num_voxels - 1), position.fract())
        };
        let (left, right, across) = between(x, self.width, *width);
        let (above, below, down) = between(y, self.height, *height);
        let row = |y: usize| {
            let [a, b] = [left, right].map(|x| f64::from(shades[x + width * y]));
            a + (b - a) * across
        };
        let (a, b) = (row(above), row(below));
        (a + (b - a) * down).round() as u8
    }

    /// Colors each voxel in the color of its last region.
    fn fill(&self, canvas: &mut Canvas, task: &Task, labels: &[u8], opacity: f64) {
        let region = |label: u8| task.regions.iter().rfind(|region| region.labels.contains(&label));
        let colors: Vec<Option<Color>> =
            (0..=255).map(|label| region(label).map(|region| region.color)).collect();
        for y in 0..self.height {
            for x in 0..self.width {
                if let Some(color) = colors[usize::from(labels[self.voxel(x, y)])] {
                    canvas.blend(self.left + x, self.top + y, color, opacity);
                }
            }
        }
    }

    /// Draws the border of a region of the reference, inside the region.
    fn outline(&self, canvas: &mut Canvas, codes: &[u8], color: Color) {
        let reference = &self.slice.reference;
        let is_in = |x: usize, y: usize| codes.contains(&reference[self.voxel(x, y)]);
        for y in 0..self.height {
            for x in 0..self.width {
                let (right, below) = ((x + 1).min(self.width - 1), (y + 1).min(self.height - 1));
                let around =
                    [(x.saturating_sub(1), y), (right, y), (x, y.saturating_sub(1)), (x, below)];
                if is_in(x, y) && !around.iter().all(|&(x, y)| is_in(x, y)) {
                    canvas.set(self.left + x, self.top + y, color);
                }
            }
        }
    }

    /// Draws the letters of the directions.
    fn draw_letters(&self, canvas: &mut Canvas) {
        let [left, right, above, below] = self.slice.letters;
        let (letter, inset) = (text_width("R"), 2);
        let middle = [(self.width - letter) / 2, self.height.saturating_sub(TEXT_HEIGHT) / 2];
        let positions = [
            (left, inset, middle[1]),
            (right, self.width.saturating_sub(letter + inset), middle[1]),
            (above, middle[0], 0),
            (below, middle[0], self.height.saturating_sub(TEXT_HEIGHT)),
        ];
        for (letter, x, y) in positions {
            // A dark background, because the scan may have any shade.
            for dy in 0..TEXT_HEIGHT.min(self.height) {
                for dx in 0..text_width("R") {
                    canvas.blend(self.left + x + dx, self.top + y + dy, BACKGROUND, 0.55);
                }
            }
            canvas.text(self.left + x, self.top + y, &letter.to_string(), TEXT);
        }
    }
}

/// Returns the width and height of a PNG, or `None` if the bytes are not a PNG of a plausible size.
pub(super) fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    let (width, height) = decoder.read_header_info().ok()?.size();
    ((1..=8192).contains(&width) && (1..=8192).contains(&height)).then_some((width, height))
}

#[cfg(test)]
mod tests;
