//! Draws the regions' surfaces on a canvas, with the patient's directions and a scale bar over them.

use leptos::prelude::*;
use model_core::texts::DISCLAIMER;
use wasm_bindgen::{Clamped, JsCast, JsValue};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, ImageData};

use super::canvas::{context, draw_scale_bar};
use super::shapes::Surfaces;
use super::state::Page;
use surfaces::scene::{Camera, Frame, Quality, Renderer, Shape, orientation_cube, outer_regions};

/// The most pixels for each CSS pixel. More are not seen, and take time.
const MOST_RATIO: f64 = 2.0;
/// From this number of pixels for each CSS pixel on, edges are smooth without more samples.
const FINE_RATIO: f64 = 1.5;

/// The half edge of the cube with the directions, in CSS pixels.
const CUBE_SIZE: f64 = 15.0;

/// The pixels of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Detail {
    /// This number of pixels for each CSS pixel, along each axis.
    Draft(f64),
    /// All pixels of the screen, with smooth edges.
    Full,
}

/// Draws the visible regions.
pub fn draw(page: Page, canvas: &HtmlCanvasElement, renderer: &mut Renderer, detail: Detail) {
    let ratio = window().device_pixel_ratio().clamp(1.0, 3.0);
    let size = [canvas.client_width(), canvas.client_height()].map(|x| f64::from(x) * ratio);
    canvas.set_width(size[0] as u32);
    canvas.set_height(size[1] as u32);
    let Some(surfaces) = page.shapes.surfaces.get_untracked() else { return };
    let Some(frame) = surfaces.frame else { return };
    let pixels_per_point = match detail {
        Detail::Draft(pixels) => pixels.min(ratio),
        Detail::Full => ratio.min(MOST_RATIO),
    };
    let quality = match detail {
        Detail::Full if pixels_per_point < FINE_RATIO => Quality::Smooth,
        _ => Quality::Draft,
    };
    let scale = pixels_per_point / ratio;
    let picture = size.map(|length| (length * scale) as usize);
    let camera = page.shapes.camera.get_untracked();
    let visible = page.visible_regions.get_untracked();
    let pixels = renderer.draw(&shapes(&surfaces, &visible), camera, &frame, picture, quality);
    // Without memory the browser gives the canvas no context, and nothing can be drawn.
    let _ = put_pixels(canvas, size, pixels, picture)
        .and_then(|context| draw_marks(&context, camera, &frame, size, ratio));
}

/// Returns the visible regions as shapes. A region around another visible one is a shell.
fn shapes<'a>(surfaces: &'a Surfaces, visible: &[bool]) -> Vec<Shape<'a>> {
    let is_visible = |n: usize| visible.get(n).copied().unwrap_or(true);
    let shown: Vec<usize> = (0..surfaces.regions.len()).filter(|&n| is_visible(n)).collect();
    let boxes: Vec<_> = shown.iter().map(|&n| surfaces.regions[n].bounds_mm).collect();
    let shape = |(&n, is_shell): (&usize, bool)| Shape {
        mesh: &surfaces.regions[n].mesh,
        normals: &surfaces.regions[n].normals,
        color: surfaces.result.regions[n].color,
        is_shell,
    };
    shown.iter().zip(outer_regions(&boxes)).map(shape).collect()
}

/// Puts a picture on the whole canvas.
fn put_pixels(
    canvas: &HtmlCanvasElement,
    [width, height]: [f64; 2],
    pixels: &[u8],
    picture: [usize; 2],
) -> Result<CanvasRenderingContext2d, JsValue> {
    let [columns, rows] = picture.map(|x| x as u32);
    let image = ImageData::new_with_u8_clamped_array_and_sh(Clamped(pixels), columns, rows)?;
    let context = context(canvas)?;
    if [columns, rows] == [canvas.width(), canvas.height()] {
        context.put_image_data(&image, 0.0, 0.0)?;
        return Ok(context);
    }
    let small: HtmlCanvasElement = document().create_element("canvas")?.unchecked_into();
    small.set_width(columns);
    small.set_height(rows);
    self::context(&small)?.put_image_data(&image, 0.0, 0.0)?;
    context.draw_image_with_html_canvas_element_and_dw_and_dh(&small, 0.0, 0.0, width, height)?;
    Ok(context)
}

fn draw_marks(
    context: &CanvasRenderingContext2d,
    camera: Camera,
    frame: &Frame,
    size: [f64; 2],
    ratio: f64,
) -> Result<(), JsValue> {
    let projection = camera.project(frame, size.map(|x| x as f32));
    draw_scale_bar(context, f64::from(projection.points_per_mm), size, ratio)?;
    draw_cube(context, camera, size, ratio)?;
    context.set_font(&format!("{}px system-ui, sans-serif", 11.0 * ratio));
    context.set_text_align("right");
    context.set_text_baseline("top");
    context.set_fill_style_str("#93a4b3");
    context.fill_text(DISCLAIMER, size[0] - 12.0 * ratio, 10.0 * ratio)
}

/// Draws the cube with the patient's directions at the lower left.
fn draw_cube(
    context: &CanvasRenderingContext2d,
    camera: Camera,
    [_, height]: [f64; 2],
    ratio: f64,
) -> Result<(), JsValue> {
    let edge = CUBE_SIZE * ratio;
    let middle = [12.0 * ratio + 1.7 * edge, height - 12.0 * ratio - 1.7 * edge];
    let at = |point: [f32; 2]| [0, 1].map(|n| middle[n] + edge * f64::from(point[n]));
    context.set_text_align("center");
    context.set_text_baseline("middle");
    context.set_line_width(ratio);
    context.set_font(&format!("600 {}px system-ui, sans-serif", 14.0 * ratio));
    for face in orientation_cube(camera) {
        let gray = |from: f32, to: f32| from + (to - from) * face.facing;
        context.begin_path();
        for [x, y] in face.corners.map(at) {
            context.line_to(x, y);
        }
        context.close_path();
        let [r, g, b] = [gray(20.0, 50.0), gray(28.0, 66.0), gray(36.0, 80.0)];
        context.set_fill_style_str(&format!("rgb({r:.0}, {g:.0}, {b:.0})"));
        context.fill();
        context.set_stroke_style_str("#5b6b79");
        context.stroke();
        let [x, y] = at(face.middle);
        context.set_fill_style_str(&format!("rgba(242, 196, 109, {:.2})", gray(0.2, 1.3).min(1.0)));
        context.fill_text(&face.letter.to_string(), x, y)?;
    }
    Ok(())
}
