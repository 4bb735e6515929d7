//! Axial slices side by side. A click shows a slice in the three planes.

use leptos::html::Canvas;
use leptos::prelude::*;
use wasm_bindgen::JsValue;
use web_sys::{HtmlCanvasElement, MouseEvent};

use super::canvas::{context, draw_pixels};
use super::state::Page;
use crate::slice::{Mosaic, Plane, RasFrame, draw_gray, draw_overlay};

#[component]
pub fn MosaicView(
    page: Page,
    frame: Memo<Option<RasFrame>>,
    resized: RwSignal<u32>,
) -> impl IntoView {
    let canvas_ref = NodeRef::<Canvas>::new();
    Effect::new(move |_| {
        resized.track();
        if let (Some(canvas), Some(frame)) = (canvas_ref.get(), frame.get()) {
            // Without memory the browser gives the canvas no context, and nothing can be drawn.
            let _ = draw(page, &frame, &canvas);
        }
    });
    let on_click = move |event: MouseEvent| {
        let (Some(canvas), Some(frame)) = (canvas_ref.get_untracked(), frame.get_untracked())
        else {
            return;
        };
        let size = [canvas.client_width(), canvas.client_height()].map(f64::from);
        let point = [event.offset_x(), event.offset_y()].map(f64::from);
        let axis = Plane::Axial.normal();
        if let Some(slice) = arrange(page, &frame, size).slice_at(point) {
            // Slices count from the feet, the mosaic from the head.
            page.crosshair.update(|voxel| voxel[axis] = frame.dims[axis] - 1 - slice);
            page.shows_mosaic.set(false);
        }
    };
    view! {
        <figure class="mosaic">
            <canvas
                node_ref=canvas_ref
                role="img"
                aria-label="Axial slices from the head to the feet; a click shows one in the three planes"
                on:click=on_click
            ></canvas>
            <figcaption>
                <strong>"Axial, from the head"</strong>
                <button class="choice" id="close-mosaic" on:click=move |_| page.shows_mosaic.set(false)>
                    "Close"
                </button>
            </figcaption>
        </figure>
    }
}

fn arrange(page: Page, frame: &RasFrame, canvas: [f64; 2]) -> Mosaic {
    let view = frame.view(Plane::Axial, page.convention.get_untracked(), [0; 3]);
    Mosaic::new(frame.dims[Plane::Axial.normal()], view.size_mm(), canvas)
}

fn draw(page: Page, frame: &RasFrame, canvas: &HtmlCanvasElement) -> Result<(), JsValue> {
    let ratio = window().device_pixel_ratio().clamp(1.0, 3.0);
    let size = [canvas.client_width(), canvas.client_height()].map(|x| f64::from(x) * ratio);
    canvas.set_width(size[0] as u32);
    canvas.set_height(size[1] as u32);
    let context = context(canvas)?;
    let (convention, hides) = (page.convention.get(), page.hides_overlay.get());
    let (Some(shown), Some(window)) = (page.shown_channel(), page.shown_window()) else {
        return Ok(());
    };
    let (colors, opacity, map) = (page.label_colors(), page.opacity.get(), page.colormap.get());
    let result = page
        .result
        .get()
        .filter(|result| !hides && result.labels.grid().check_same(shown.volume.grid()).is_ok());
    let mosaic = arrange(page, frame, size);
    let num_slices = frame.dims[Plane::Axial.normal()];
    for (tile, &from_head) in mosaic.slices.iter().enumerate() {
        let slice = num_slices - 1 - from_head;
        let view = frame.view(Plane::Axial, convention, [0, 0, slice]);
        let mut fitted = view.fit(mosaic.tile_size);
        let corner = mosaic.corner(tile);
        fitted.left_top = [0, 1].map(|n| fitted.left_top[n] + corner[n]);
        let mut gray = draw_gray(shown.volume.values(), view.indices(), window);
        map.apply(&mut gray);
        context.set_image_smoothing_enabled(true);
        draw_pixels(&context, &view, &fitted, &gray)?;
        if let Some(result) = &result {
            let labels = result.labels.labels();
            let overlay = draw_overlay(labels, view.indices(), view.size()[0], &colors, opacity);
            context.set_image_smoothing_enabled(false);
            draw_pixels(&context, &view, &fitted, &overlay)?;
        }
        context.set_font(&format!("{}px system-ui, sans-serif", 11.0 * ratio));
        context.set_fill_style_str("#cbd6df");
        context.set_text_baseline("bottom");
        let bottom = corner[1] + mosaic.tile_size[1] - 3.0 * ratio;
        context.fill_text(&(slice + 1).to_string(), corner[0] + 5.0 * ratio, bottom)?;
    }
    Ok(())
}
