//! Draws the measurements and the brush on a slice.

use leptos::prelude::*;
use wasm_bindgen::JsValue;
use web_sys::CanvasRenderingContext2d;

use super::measuring::Point;
use super::state::Page;
use super::tools::{Pointed, Tool};
use crate::measure::{Measurement, Shape};
use crate::slice::{FittedSlice, Plane, RasFrame, SliceView};

/// The color of measurements, and of the brush.
const COLOR: &str = "#ffe08a";
const ERASER_COLOR: &str = "#ff8f7d";
/// The distance from a point, in CSS pixels, within which it can be taken.
const REACH: f64 = 10.0;
/// The width of a character of the values, in CSS pixels, rather too large than too small.
const CHARACTER_WIDTH: f64 = 7.5;
/// A point is shown in the slices up to half a slice away; rounding must not hide it.
const SAME_SLICE: f64 = 0.5 + 1e-6;

/// A slice on its canvas.
pub struct Placed<'a> {
    /// The frame.
    pub frame: &'a RasFrame,
    /// The slice.
    pub view: &'a SliceView<'a>,
    /// Its place on the canvas, magnified.
    pub fitted: FittedSlice,
}

impl Placed<'_> {
    /// Returns the canvas point of a position in millimeters, and how many slices it is away.
    fn point(&self, page: Page, point: Point) -> Option<([f64; 2], f64)> {
        let (position, num_slices) = self.view.project(page.ras_from_world(self.frame, point)?);
        Some((self.fitted.canvas_point(position), num_slices.abs()))
    }

    /// Returns the measurement and its point that lie at a point of the canvas.
    pub fn handle_at(&self, page: Page, at: [f64; 2]) -> Option<(usize, usize)> {
        let near = |point: &Point| {
            self.point(page, *point).is_some_and(|([x, y], num_slices)| {
                num_slices <= SAME_SLICE && (x - at[0]).hypot(y - at[1]) <= REACH
            })
        };
        page.measurements.with_untracked(|all| {
            // The last drawn lies on top.
            all.iter().enumerate().rev().find_map(|(n, measurement)| {
                let point = measurement.shape.points().iter().position(near)?;
                Some((n, point))
            })
        })
    }
}

/// Draws the measurements that lie in the slice or cross it, the one that is begun, and the brush.
pub fn draw_marks(
    page: Page,
    plane: Plane,
    placed: &Placed<'_>,
    context: &CanvasRenderingContext2d,
    ratio: f64,
) -> Result<(), JsValue> {
    let mut all = page.measurements.get();
    let sketch = page.sketch.get();
    all.extend(sketched(&sketch).map(|shape| Measurement { name: String::new(), shape }));
    for measurement in &all {
        draw_measurement(page, measurement, placed, context, ratio)?;
    }
    if let [point] = sketch[..]
        && let Some((at, num_slices)) = placed.point(page, point)
        && num_slices <= SAME_SLICE
    {
        dot(context, at, ratio)?;
    }
    if let Some(Pointed { plane: pointed, voxel }) = page.pointed.get()
        && pointed == plane
        && page.tool.get().paints()
    {
        draw_brush(page, voxel, placed, context, ratio)?;
    }
    Ok(())
}

/// Returns what the points so far would measure.
fn sketched(points: &[Point]) -> Option<Shape> {
    match *points {
        [a, b] => Some(Shape::Length([a, b])),
        _ => None,
    }
}

fn draw_measurement(
    page: Page,
    measurement: &Measurement,
    placed: &Placed<'_>,
    context: &CanvasRenderingContext2d,
    ratio: f64,
) -> Result<(), JsValue> {
    let points: Option<Vec<([f64; 2], f64)>> =
        measurement.shape.points().iter().map(|point| placed.point(page, *point)).collect();
    let Some(points) = points else { return Ok(()) };
    if !points.iter().any(|(_, num_slices)| *num_slices <= SAME_SLICE) {
        return Ok(());
    }
    for &[from, to] in measurement.shape.lines() {
        let (from, to) = (points[from], points[to]);
        // A line that leaves the slice is dashed.
        let is_flat = from.1.max(to.1) <= SAME_SLICE;
        let dashes = js_sys::Array::new();
        if !is_flat {
            dashes.push(&JsValue::from(5.0 * ratio));
            dashes.push(&JsValue::from(4.0 * ratio));
        }
        context.set_line_dash(&dashes)?;
        for (color, width) in [("rgba(0, 0, 0, 0.75)", 3.5), (COLOR, 1.5)] {
            context.set_stroke_style_str(color);
            context.set_line_width(width * ratio);
            context.begin_path();
            context.move_to(from.0[0], from.0[1]);
            context.line_to(to.0[0], to.0[1]);
            context.stroke();
        }
    }
    context.set_line_dash(&js_sys::Array::new())?;
    for (at, num_slices) in &points {
        if *num_slices <= SAME_SLICE {
            dot(context, *at, ratio)?;
        }
    }
    let [x, y] =
        points.iter().map(|(at, _)| *at).max_by(|a, b| a[0].total_cmp(&b[0])).unwrap_or([0.0; 2]);
    text(context, &measurement.shape.text(), [x + 8.0 * ratio, y], ratio)
}

fn dot(context: &CanvasRenderingContext2d, [x, y]: [f64; 2], ratio: f64) -> Result<(), JsValue> {
    context.set_fill_style_str(COLOR);
    context.set_stroke_style_str("rgba(0, 0, 0, 0.75)");
    context.set_line_width(ratio);
    context.begin_path();
    context.arc(x, y, 3.5 * ratio, 0.0, std::f64::consts::TAU)?;
    context.fill();
    context.stroke();
    Ok(())
}

fn text(
    context: &CanvasRenderingContext2d,
    text: &str,
    [x, y]: [f64; 2],
    ratio: f64,
) -> Result<(), JsValue> {
    context.set_font(&format!("600 {}px system-ui, sans-serif", 12.0 * ratio));
    // The values stay on the canvas.
    let width = context.canvas().map_or(f64::INFINITY, |canvas| canvas.width().into());
    let x = x.min(width - text.chars().count() as f64 * CHARACTER_WIDTH * ratio).max(0.0);
    context.set_text_align("left");
    context.set_text_baseline("middle");
    context.set_line_width(3.5 * ratio);
    context.set_stroke_style_str("rgba(0, 0, 0, 0.85)");
    context.set_fill_style_str(COLOR);
    context.stroke_text(text, x, y)?;
    context.fill_text(text, x, y)
}

/// Draws the outline of the brush around the voxel under the pointer.
fn draw_brush(
    page: Page,
    voxel: [usize; 3],
    placed: &Placed<'_>,
    context: &CanvasRenderingContext2d,
    ratio: f64,
) -> Result<(), JsValue> {
    let (position, _) = placed.view.project(voxel.map(|index| index as f64));
    let [x, y] = placed.fitted.canvas_point(position);
    let points_per_mm = placed.fitted.size[0] / placed.view.size_mm()[0];
    let erases =
        matches!(page.tool.get(), Tool::Correct { adds: false } | Tool::Brain { adds: false });
    // At least the voxel under the pointer is painted.
    let radius = (page.radius_mm.get() * points_per_mm).max(2.0 * ratio);
    for (color, width) in
        [("rgba(0, 0, 0, 0.7)", 3.0), (if erases { ERASER_COLOR } else { COLOR }, 1.5)]
    {
        context.set_stroke_style_str(color);
        context.set_line_width(width * ratio);
        context.begin_path();
        context.arc(x, y, radius, 0.0, std::f64::consts::TAU)?;
        context.stroke();
    }
    Ok(())
}
