//! Draws one slice: the scan smooth, the labels crisp, the crosshair and the letters over both.

use leptos::prelude::*;
use wasm_bindgen::{Clamped, JsCast, JsValue};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, ImageData};

use super::state::Page;
use crate::slice::{Frame, Placed, Plane, SliceView, draw_gray, draw_overlay};

/// The gap in the crosshair, so that it does not hide what it points at; CSS pixels.
const GAP: f64 = 9.0;

/// Draws the slice through the crosshair; nothing but black without a scan.
pub fn draw(page: Page, plane: Plane, frame: Option<&Frame>, canvas: &HtmlCanvasElement) {
    let ratio = window().device_pixel_ratio().clamp(1.0, 3.0);
    let size = [canvas.client_width(), canvas.client_height()].map(|x| f64::from(x) * ratio);
    canvas.set_width(size[0] as u32);
    canvas.set_height(size[1] as u32);
    let (convention, at) = (page.convention.get(), page.cursor.get());
    let Some(frame) = frame else { return };
    let view = frame.view(plane, convention, at);
    // A canvas without a context is one without memory: there is nothing to draw on.
    let _ = paint(page, &view, canvas, size, ratio);
}

fn paint(
    page: Page,
    view: &SliceView<'_>,
    canvas: &HtmlCanvasElement,
    size: [f64; 2],
    ratio: f64,
) -> Result<(), JsValue> {
    let context = context(canvas)?;
    let placed = view.placed(size);
    let (Some(shown), Some(window)) = (page.shown(), page.window()) else { return Ok(()) };
    let gray = draw_gray(shown.volume.values(), view.indices(), window);
    context.set_image_smoothing_enabled(true);
    lay(&context, view, &placed, &gray)?;
    if let Some(result) = page.result.get()
        && result.labels.grid().check_same(shown.volume.grid()).is_ok()
    {
        let (colors, opacity) = (page.colors(), page.opacity.get());
        let labels = result.labels.labels();
        let pixels = draw_overlay(labels, view.indices(), view.size()[0], &colors, opacity);
        context.set_image_smoothing_enabled(false);
        lay(&context, view, &placed, &pixels)?;
    }
    crosshair(&context, &placed, placed.middle_of(view.crosshair()), ratio);
    letters(&context, view, size, ratio)
}

fn context(canvas: &HtmlCanvasElement) -> Result<CanvasRenderingContext2d, JsValue> {
    let context = canvas.get_context("2d")?.ok_or(JsValue::NULL)?;
    Ok(context.unchecked_into())
}

/// Lays a slice's pixels over the canvas, scaled; `put_image_data` alone cannot scale or blend.
fn lay(
    context: &CanvasRenderingContext2d,
    view: &SliceView<'_>,
    placed: &Placed,
    rgba: &[u8],
) -> Result<(), JsValue> {
    let [width, height] = view.size().map(|x| x as u32);
    let image = ImageData::new_with_u8_clamped_array_and_sh(Clamped(rgba), width, height)?;
    let slice: HtmlCanvasElement = document().create_element("canvas")?.unchecked_into();
    slice.set_width(width);
    slice.set_height(height);
    self::context(&slice)?.put_image_data(&image, 0.0, 0.0)?;
    let ([left, top], [w, h]) = (placed.left_top, placed.size);
    context.draw_image_with_html_canvas_element_and_dw_and_dh(&slice, left, top, w, h)
}

fn crosshair(context: &CanvasRenderingContext2d, placed: &Placed, at: [f64; 2], ratio: f64) {
    let ([left, top], [width, height]) = (placed.left_top, placed.size);
    let gap = GAP * ratio;
    context.set_stroke_style_str("rgba(94, 203, 222, 0.75)");
    context.set_line_width(ratio);
    context.begin_path();
    for (from, to) in [(left, at[0] - gap), (at[0] + gap, left + width)] {
        if from < to {
            context.move_to(from, at[1]);
            context.line_to(to, at[1]);
        }
    }
    for (from, to) in [(top, at[1] - gap), (at[1] + gap, top + height)] {
        if from < to {
            context.move_to(at[0], from);
            context.line_to(at[0], to);
        }
    }
    context.stroke();
}

/// The patient's directions at the canvas's edges.
fn letters(
    context: &CanvasRenderingContext2d,
    view: &SliceView<'_>,
    [width, height]: [f64; 2],
    ratio: f64,
) -> Result<(), JsValue> {
    let margin = 14.0 * ratio;
    let places = [
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
    for (letter, [x, y]) in view.letters().into_iter().zip(places) {
        context.stroke_text(&letter.to_string(), x, y)?;
        context.fill_text(&letter.to_string(), x, y)?;
    }
    Ok(())
}
