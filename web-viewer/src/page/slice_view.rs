//! A slice on its canvas, with the mouse, the fingers and the keys that act on it.

use leptos::html::Canvas;
use leptos::prelude::*;
use web_sys::KeyboardEvent;

use super::canvas;
use super::slice_pointer::SlicePointer;
use super::state::Page;
use crate::slice::{Plane, RasFrame};

/// The magnification of a key.
const KEY_ZOOM: f64 = 1.25;

#[component]
pub fn SliceView(
    page: Page,
    plane: Plane,
    frame: Memo<Option<RasFrame>>,
    resized: RwSignal<u32>,
) -> impl IntoView {
    let canvas_ref = NodeRef::<Canvas>::new();
    Effect::new(move |_| {
        resized.track();
        let Some(canvas) = canvas_ref.get() else { return };
        canvas::draw(page, plane, frame.get().as_ref(), &canvas);
    });
    let pointer = SlicePointer::new(page, plane, frame, canvas_ref);
    let on_key = move |event: KeyboardEvent| {
        if event.ctrl_key() || event.alt_key() || event.meta_key() {
            return;
        }
        let pixels = match event.key().as_str() {
            "ArrowLeft" => [-1, 0],
            "ArrowRight" => [1, 0],
            "ArrowUp" => [0, -1],
            "ArrowDown" => [0, 1],
            other => {
                match other {
                    "+" | "=" => pointer.zoom_at_crosshair(KEY_ZOOM),
                    "-" => pointer.zoom_at_crosshair(1.0 / KEY_ZOOM),
                    "Enter" => pointer.enlarge(),
                    "PageUp" => pointer.scroll(1),
                    "PageDown" => pointer.scroll(-1),
                    _ => return,
                }
                return event.prevent_default();
            }
        };
        event.prevent_default();
        pointer.move_crosshair(pixels);
    };
    let slice_number = move || {
        frame.get().map(|frame| {
            let axis = plane.normal();
            let slice = page.crosshair.get()[axis].min(frame.dims[axis] - 1);
            format!("{} / {}", slice + 1, frame.dims[axis])
        })
    };
    let magnification = move || {
        let factor = page.zooms.get()[plane as usize].factor();
        (factor > 1.0).then(|| format!("× {factor:.1}"))
    };
    view! {
        <figure class="view" class:alone=move || page.enlarged.get() == Some(plane)>
            <canvas
                node_ref=canvas_ref
                tabindex="0"
                class:painting=move || page.tool.get().paints()
                aria-label=format!(
                    "{} slice: arrow keys move the crosshair, page keys the slice, plus and minus magnify, Enter enlarges",
                    plane.name(),
                )
                on:pointerdown=move |event| pointer.on_down(&event)
                on:pointermove=move |event| pointer.on_move(&event)
                on:pointerup=move |event| pointer.on_up(&event)
                on:pointercancel=move |event| pointer.on_up(&event)
                on:pointerleave=move |_| page.pointed.set(None)
                on:dblclick=move |_| pointer.on_double_click()
                on:wheel=move |event| pointer.on_wheel(&event)
                on:keydown=on_key
                on:contextmenu=|event| event.prevent_default()
            ></canvas>
            <figcaption>
                <strong>{plane.name()}</strong>
                <span>{slice_number}</span>
                <span>{magnification}</span>
            </figcaption>
        </figure>
    }
}
