//! A picture of a case: its scan, the reference and the prediction side by side, in three planes.

use anyhow::{Result, ensure};
use model_core::{LabelMap, Task};

use super::color::Color;
use trainer_run::DISCLAIMER;

mod canvas;
mod gray;
mod slice;

use canvas::{Canvas, TEXT_HEIGHT, text_width};
pub use gray::Gray;
use slice::{Slice, slices};

/// The widest panel, in pixels, and the most that the three planes may measure from top to bottom.
const PANEL: f64 = 264.0;
const MOST_HEIGHT: f64 = 640.0;
/// The least that a panel measures, however thin the scan is.
const LEAST: f64 = 16.0;
/// Between panels.
const GAP: usize = 6;
const BACKGROUND: Color = [16, 16, 20];
const TEXT: Color = [216, 216, 220];
/// The parts of a region's color that fill the reference and the prediction.
const FILLS: [f64; 2] = [0.25, 0.45];

/// What a panel shows over the scan.
#[derive(Clone, Copy, PartialEq)]
enum Shows {
    Scan,
    Reference,
    Prediction,
}

/// A caption and a PNG: rows are planes; columns are the scan alone, the reference, and the
/// prediction with the reference's outline in white. `channel` names what the scan shows.
///
/// # Errors
/// When the three do not lie on one grid.
pub fn picture(
    gray: &Gray,
    channel: &str,
    reference: &LabelMap,
    predicted: &LabelMap,
    task: &Task,
) -> Result<(String, Vec<u8>)> {
    gray.grid.check_same(reference.grid())?;
    gray.grid.check_same(predicted.grid())?;
    let num_voxels = gray.grid.num_voxels();
    let lens = [gray.voxels.len(), reference.labels().len(), predicted.labels().len()];
    ensure!(
        num_voxels > 0 && lens.iter().all(|&len| len == num_voxels),
        "expected {num_voxels} voxels, at least 1, found {lens:?}"
    );
    let (slices, why) = slices(gray, reference, predicted);
    Ok((caption(channel, &slices, why), draw(&slices, task)))
}

fn caption(channel: &str, slices: &[Slice; 3], why: &str) -> String {
    let place =
        |Slice { name, place: (at, count), .. }: &Slice| format!("{name} {} of {count}", at + 1);
    let places: Vec<String> = slices.iter().map(place).collect();
    let [[i, j], [_, k], _] = slices.each_ref().map(|slice| slice.spacing_mm);
    format!(
        "{channel}: the scan alone, the reference, and the prediction with the reference's outline \
         in white. Slices {why}: {}. Radiological: the patient's right is on the left. Voxels of \
         {} × {} × {} mm.",
        places.join(", "),
        mm(i),
        mm(j),
        mm(k)
    )
}

fn mm(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

fn draw(slices: &[Slice; 3], task: &Task) -> Vec<u8> {
    let sizes = panel_sizes(slices);
    let column = sizes.iter().map(|size| size[0]).max().unwrap_or(0).max(text_width("prediction"));
    let head = TEXT_HEIGHT + GAP;
    let rows: usize = sizes.iter().map(|size| size[1] + GAP).sum();
    let width = (3 * column + 4 * GAP).max(text_width(DISCLAIMER) + 2 * GAP);
    let height = GAP + head + rows + head;
    let mut canvas = Canvas::new(width, height, BACKGROUND);
    let columns =
        [("scan", Shows::Scan), ("reference", Shows::Reference), ("prediction", Shows::Prediction)];
    for (n, (title, shows)) in columns.into_iter().enumerate() {
        let left = GAP + n * (column + GAP);
        canvas.text(left, GAP, title, TEXT);
        let mut top = GAP + head;
        for (slice, [width, height]) in slices.iter().zip(sizes) {
            let panel = Panel { slice, left: left + (column - width) / 2, top, width, height };
            panel.draw(&mut canvas, task, shows);
            top += height + GAP;
        }
    }
    canvas.text(GAP, height - head, DISCLAIMER, TEXT);
    canvas.to_png()
}

/// Pixels of each plane, all in one scale.
fn panel_sizes(slices: &[Slice; 3]) -> [[usize; 2]; 3] {
    let extents = slices.each_ref().map(|slice| {
        let [across, down] = slice.spacing_mm;
        [across * slice.width as f64, down * slice.height as f64]
    });
    let widest = extents.iter().map(|extent| extent[0]).fold(0.0, f64::max);
    let height: f64 = extents.iter().map(|extent| extent[1]).sum();
    let scale = (PANEL / widest).min(MOST_HEIGHT / height);
    // A cast of what is not a number is 0.
    extents.map(|extent| extent.map(|mm| (mm * scale).round().clamp(LEAST, MOST_HEIGHT) as usize))
}

/// A plane at its place on the canvas.
struct Panel<'a> {
    slice: &'a Slice,
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Panel<'_> {
    fn draw(&self, canvas: &mut Canvas, task: &Task, shows: Shows) {
        let Slice { reference, predicted, .. } = self.slice;
        for y in 0..self.height {
            for x in 0..self.width {
                canvas.set(self.left + x, self.top + y, [self.shade(x, y); 3]);
            }
        }
        match shows {
            Shows::Scan => self.letters(canvas),
            Shows::Reference => {
                self.fill(canvas, task, reference, FILLS[0]);
                for region in &task.regions {
                    self.outline(canvas, &region.labels, region.color);
                }
            }
            Shows::Prediction => {
                self.fill(canvas, task, predicted, FILLS[1]);
                for region in &task.regions {
                    self.outline(canvas, &region.labels, [255; 3]);
                }
            }
        }
    }

    /// The voxel under a pixel.
    fn voxel(&self, x: usize, y: usize) -> usize {
        let Slice { width, height, .. } = *self.slice;
        x * width / self.width + width * (y * height / self.height)
    }

    /// The shade at a pixel's middle, between the four voxels around it.
    fn shade(&self, x: usize, y: usize) -> u8 {
        let Slice { width, height, gray, .. } = self.slice;
        let between = |pixel: usize, pixels: usize, voxels: usize| {
            let at = (pixel as f64 + 0.5) * voxels as f64 / pixels as f64 - 0.5;
            let at = at.clamp(0.0, (voxels - 1) as f64);
            (at as usize, (at as usize + 1).min(voxels - 1), at.fract())
        };
        let (left, right, across) = between(x, self.width, *width);
        let (above, below, down) = between(y, self.height, *height);
        let row = |y: usize| {
            let [a, b] = [left, right].map(|x| f64::from(gray[x + width * y]));
            a + (b - a) * across
        };
        let (a, b) = (row(above), row(below));
        (a + (b - a) * down).round() as u8
    }

    /// Colors each voxel as the last region that it belongs to.
    fn fill(&self, canvas: &mut Canvas, task: &Task, labels: &[u8], part: f64) {
        let region = |label: u8| task.regions.iter().rfind(|region| region.labels.contains(&label));
        let colors: Vec<Option<Color>> =
            (0..=255).map(|label| region(label).map(|region| region.color)).collect();
        for y in 0..self.height {
            for x in 0..self.width {
                if let Some(color) = colors[usize::from(labels[self.voxel(x, y)])] {
                    canvas.blend(self.left + x, self.top + y, color, part);
                }
            }
        }
    }

    /// Draws the reference's border of a region, inside of it.
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

    fn letters(&self, canvas: &mut Canvas) {
        let [left, right, above, below] = self.slice.letters;
        let (letter, inset) = (text_width("R"), 2);
        let middle = [(self.width - letter) / 2, self.height.saturating_sub(TEXT_HEIGHT) / 2];
        let places = [
            (left, inset, middle[1]),
            (right, self.width.saturating_sub(letter + inset), middle[1]),
            (above, middle[0], 0),
            (below, middle[0], self.height.saturating_sub(TEXT_HEIGHT)),
        ];
        for (letter, x, y) in places {
            // A dark ground, since the scan below can be of any shade.
            for dy in 0..TEXT_HEIGHT.min(self.height) {
                for dx in 0..text_width("R") {
                    canvas.blend(self.left + x + dx, self.top + y + dy, BACKGROUND, 0.55);
                }
            }
            canvas.text(self.left + x, self.top + y, &letter.to_string(), TEXT);
        }
    }
}

/// A PNG's width and height; none where it is no PNG, or none that a report would show.
pub(super) fn size(png: &[u8]) -> Option<(u32, u32)> {
    let rest = png.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR")?;
    let number = |at: usize| Some(u32::from_be_bytes(*rest.get(at..)?.first_chunk()?));
    let (width, height) = (number(0)?, number(4)?);
    ((1..=8192).contains(&width) && (1..=8192).contains(&height)).then_some((width, height))
}

#[cfg(test)]
mod tests;
