//! Draws a slice on its canvas: the scan smoothed, the labels not smoothed, the crosshair and the letters
//! over both.

use leptos::prelude::*;
use wasm_bindgen::{Clamped, JsCast, JsValue};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, ImageData};

use super::marks::{Placed, draw_marks};
use super::prepared::PlacedChannel;
use super::state::{Comparison, Page};
use crate::slice::{
    FittedSlice, Plane, RasFrame, SliceView, bar_length_mm, draw_checkerboard, draw_gray,
    draw_overlay, draw_soft_outlines, mask_edges,
};

/// The color of the brain's outline.
const MASK_COLOR: &str = "#5ecbde";

/// The color of the outline in another label map, and of voxels where the maps disagree.
const OTHER_COLOR: &str = "#ffffff";
const DISAGREEMENT: [u8; 4] = [255, 0, 200, 150];

/// The gap in the middle of the crosshair, in CSS pixels. It keeps the voxel visible.
const CROSSHAIR_GAP: f64 = 9.0;

/// Draws the slice through the crosshair. Without a frame the canvas stays black.
pub fn draw(page: Page, plane: Plane, frame: Option<&RasFrame>, canvas: &HtmlCanvasElement) {
    let ratio = window().device_pixel_ratio().clamp(1.0, 3.0);
    let size = [canvas.client_width(), canvas.client_height()].map(|x| f64::from(x) * ratio);
    canvas.set_width(size[0] as u32);
    canvas.set_height(size[1] as u32);
    let (convention, crosshair) = (page.convention.get(), page.crosshair.get());
    let Some(frame) = frame else { return };
    let view = frame.view(plane, convention, crosshair);
    // Without memory the browser gives the canvas no context, and nothing can be drawn.
    let _ = draw_view(page, plane, frame, &view, canvas, size, ratio);
}

fn draw_view(
    page: Page,
    plane: Plane,
    frame: &RasFrame,
    view: &SliceView<'_>,
    canvas: &HtmlCanvasElement,
    size: [f64; 2],
    ratio: f64,
) -> Result<(), JsValue> {
    let context = context(canvas)?;
    let zoom = page.zooms.get()[plane as usize];
    let fitted = zoom.apply(view.fit(size));
    let (Some(shown), Some(window)) = (page.shown_channel(), page.shown_window()) else {
        return Ok(());
    };
    let gray = draw_gray(shown.volume.values(), view.indices(), window);
    let mut gray = compared(page, view, gray);
    page.colormap.get().apply(&mut gray);
    context.set_image_smoothing_enabled(!page.shows_voxels.get());
    draw_pixels(&context, view, &fitted, &gray)?;
    if !page.hides_overlay.get()
        && let Some(result) = page.result.get()
        && result.labels.grid().check_same(shown.volume.grid()).is_ok()
    {
        let opacity = page.opacity.get();
        let outlined = page.probabilities.get().filter(|_| page.is_outlined.get());
        let overlay = match &outlined {
            Some(probabilities) => {
                let visible = page.visible_regions.get();
                let regions = probabilities.regions.iter().zip(&result.regions).zip(visible);
                let shown = regions.filter(|(_, is_visible)| *is_visible);
                let shown: Vec<(&[u8], [u8; 3])> =
                    shown.map(|((bytes, region), _)| (&bytes[..], region.color)).collect();
                // Lines need more than a filled region of the same opacity.
                draw_soft_outlines(&shown, view.indices(), (2.0 * opacity).min(1.0))
            }
            None => {
                let (colors, labels) = (page.label_colors(), result.labels.labels());
                draw_overlay(labels, view.indices(), view.size()[0], &colors, opacity)
            }
        };
        context.set_image_smoothing_enabled(outlined.is_some());
        draw_pixels(&context, view, &fitted, &overlay)?;
    }
    if !page.hides_overlay.get() {
        draw_other(page, view, &context, &fitted, ratio)?;
    }
    let edges = page.with_shown_mask(|mask| {
        let is_same = mask.labels().len() == shown.volume.values().len();
        is_same.then(|| mask_edges(mask.labels(), view.indices(), view.size()[0]))
    });
    if let Some(edges) = edges.flatten() {
        draw_edges(&context, &fitted, &edges, MASK_COLOR, ratio);
    }
    draw_marks(page, plane, &Placed { frame, view, fitted }, &context, ratio)?;
    draw_crosshair(&context, &fitted, fitted.pixel_center(view.crosshair_pixel()), ratio);
    draw_scale_bar(&context, fitted.size[0] / view.size_mm()[0], size, ratio)?;
    draw_letters(&context, view, size, ratio)
}

/// Joins a slice of the shown channel with the reference's as a checkerboard, if the user compares them.
fn compared(page: Page, view: &SliceView<'_>, gray: Vec<u8>) -> Vec<u8> {
    let comparison = page.comparison.get();
    let Some(index) = page.shown_index().filter(|_| comparison != Comparison::Off) else {
        return gray;
    };
    let reference = page.preparation.with(|preparation| {
        let preparation = preparation.as_ref().filter(|p| p.reference != index)?;
        preparation.channels.get(preparation.reference).cloned()
    });
    let Some(PlacedChannel { volume, default_window }) = reference else { return gray };
    let moving = match comparison {
        Comparison::Before => page.before.with(|before| {
            let (_, volume) = before.as_ref().filter(|(n, _)| *n == index)?;
            let window = page.shown_window()?;
            Some(draw_gray(volume.values(), view.indices(), window))
        }),
        _ => Some(gray.clone()),
    };
    let reference = draw_gray(volume.values(), view.indices(), default_window);
    match moving {
        Some(moving) => draw_checkerboard(moving, &reference, view.size()[0]),
        None => gray,
    }
}

/// Returns the canvas's context for drawing in two dimensions.
pub(super) fn context(canvas: &HtmlCanvasElement) -> Result<CanvasRenderingContext2d, JsValue> {
    let context = canvas.get_context("2d")?.ok_or(JsValue::NULL)?;
    Ok(context.unchecked_into())
}

/// Draws a slice's pixels on the canvas, scaled and blended. They pass through a second canvas, because
/// `put_image_data` can neither scale nor blend.
pub(super) fn draw_pixels(
    context: &CanvasRenderingContext2d,
    view: &SliceView<'_>,
    fitted: &FittedSlice,
    rgba: &[u8],
) -> Result<(), JsValue> {
    let [width, height] = view.size().map(|x| x as u32);
    let image = ImageData::new_with_u8_clamped_array_and_sh(Clamped(rgba), width, height)?;
    let slice: HtmlCanvasElement = document().create_element("canvas")?.unchecked_into();
    slice.set_width(width);
    slice.set_height(height);
    self::context(&slice)?.put_image_data(&image, 0.0, 0.0)?;
    let ([left, top], [w, h]) = (fitted.left_top, fitted.size);
    context.draw_image_with_html_canvas_element_and_dw_and_dh(&slice, left, top, w, h)
}

/// Draws a region's outline in the other label map, and where the result disagrees.
fn draw_other(
    page: Page,
    view: &SliceView<'_>,
    context: &CanvasRenderingContext2d,
    fitted: &FittedSlice,
    ratio: f64,
) -> Result<(), JsValue> {
    let (Some(shown), Some(result)) = (page.other.get(), page.result.get()) else { return Ok(()) };
    let region = shown.map.regions.get(shown.region).and_then(Option::as_ref);
    let (Some(other), Some(region), Some(here)) =
        (&shown.map.labels, region, result.regions.get(shown.region))
    else {
        return Ok(());
    };
    let there = |n: usize| region.codes.contains(&other.labels()[n]);
    if shown.marks {
        let is_marked = |n: usize| here.codes.contains(&result.labels.labels()[n]) != there(n);
        let pixel = |n: usize| if is_marked(n) { DISAGREEMENT } else { [0; 4] };
        let pixels: Vec<u8> = view.indices().flat_map(pixel).collect();
        context.set_image_smoothing_enabled(false);
        draw_pixels(context, view, fitted, &pixels)?;
    }
    let mask: Vec<u8> = view.indices().map(|n| u8::from(there(n))).collect();
    let edges = mask_edges(&mask, 0..mask.len(), view.size()[0]);
    draw_edges(context, fitted, &edges, OTHER_COLOR, ratio);
    Ok(())
}

/// Draws the outline of a mask.
fn draw_edges(
    context: &CanvasRenderingContext2d,
    fitted: &FittedSlice,
    edges: &[[[usize; 2]; 2]],
    color: &str,
    ratio: f64,
) {
    context.set_stroke_style_str(color);
    context.set_line_width(1.5 * ratio);
    context.begin_path();
    for [from, to] in edges.iter().map(|edge| edge.map(|corner| fitted.pixel_corner(corner))) {
        context.move_to(from[0], from[1]);
        context.line_to(to[0], to[1]);
    }
    context.stroke();
}

fn draw_crosshair(
    context: &CanvasRenderingContext2d,
    fitted: &FittedSlice,
    [x, y]: [f64; 2],
    ratio: f64,
) {
    let ([left, top], [width, height]) = (fitted.left_top, fitted.size);
    let gap = CROSSHAIR_GAP * ratio;
    context.set_stroke_style_str("rgba(94, 203, 222, 0.75)");
    context.set_line_width(ratio);
    context.begin_path();
    for (from, to) in [(left, x - gap), (x + gap, left + width)] {
        if from < to {
            context.move_to(from, y);
            context.line_to(to, y);
        }
    }
    for (from, to) in [(top, y - gap), (y + gap, top + height)] {
        if from < to {
            context.move_to(x, from);
            context.line_to(x, to);
        }
    }
    context.stroke();
}

/// Draws a bar of a round length at the lower right.
pub(super) fn draw_scale_bar(
    context: &CanvasRenderingContext2d,
    points_per_mm: f64,
    [width, height]: [f64; 2],
    ratio: f64,
) -> Result<(), JsValue> {
    let Some(mm) = bar_length_mm(points_per_mm, (width / 4.0).min(140.0 * ratio)) else {
        return Ok(());
    };
    let (right, bottom) = (width - 14.0 * ratio, height - 12.0 * ratio);
    let (left, tick) = (right - mm * points_per_mm, 4.0 * ratio);
    for (color, line_width) in [("rgba(0, 0, 0, 0.8)", 4.0), ("#cbd6df", 1.5)] {
        context.set_stroke_style_str(color);
        context.set_line_width(line_width * ratio);
        context.begin_path();
        context.move_to(left, bottom - tick);
        context.line_to(left, bottom);
        context.line_to(right, bottom);
        context.line_to(right, bottom - tick);
        context.stroke();
    }
    let length = match mm {
        mm if mm >= 10.0 => format!("{:.0} cm", mm / 10.0),
        mm if mm >= 1.0 => format!("{mm:.0} mm"),
        mm => format!("{mm} mm"),
    };
    context.set_font(&format!("{}px system-ui, sans-serif", 11.0 * ratio));
    context.set_text_align("right");
    context.set_text_baseline("bottom");
    context.set_stroke_style_str("rgba(0, 0, 0, 0.8)");
    context.set_line_width(3.0 * ratio);
    context.set_fill_style_str("#cbd6df");
    context.stroke_text(&length, right, bottom - 6.0 * ratio)?;
    context.fill_text(&length, right, bottom - 6.0 * ratio)
}

/// Draws the letters of the patient's directions at the canvas's edges.
fn draw_letters(
    context: &CanvasRenderingContext2d,
    view: &SliceView<'_>,
    [width, height]: [f64; 2],
    ratio: f64,
) -> Result<(), JsValue> {
    let margin = 14.0 * ratio;
    let positions = [
        [margin, height / 2.0],
        [width - margin, height / 2.0],
        [width / 2.0, margin],
        [width / 2.0, height - margin],
    ];
    context.set_font(&format!("600 {}px system-ui, sans-serif", 13.0 * ratio));
    context.set_text_align("center");
    context.set_text_baseline("middle");
    context.set_line_width(3.0 * ratio);
    context.set_stroke_style_str("rgba(0, 0, 0, 0.8)");
    context.set_fill_style_str("#f2c46d");
    for (letter, [x, y]) in view.letters().into_iter().zip(positions) {
        context.stroke_text(&letter.to_string(), x, y)?;
        context.fill_text(&letter.to_string(), x, y)?;
    }
    Ok(())
}
