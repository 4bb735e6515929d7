//! The 3-D view of the result's regions.

use std::time::Duration;

use leptos::html::Canvas;
use leptos::prelude::*;
use web_sys::{KeyboardEvent, PointerEvent, WheelEvent};

use super::pointers::Pointers;
use super::shapes_canvas::{self, Detail};
use super::state::Page;
use surfaces::scene::{Camera, Renderer};

/// A pointer that moves by this number of CSS pixels turns the regions by one radian.
const PIXELS_PER_RADIAN: f32 = 160.0;
/// The turn of a key, in radians: 24 make a whole turn.
const KEY_TURN: f32 = std::f32::consts::TAU / 24.0;
/// The magnification of a key.
const KEY_ZOOM: f32 = 1.25;
/// The wheel's pixels that magnify by e. Lines and pages of other devices count as 40 pixels.
const PIXELS_PER_E: f64 = 400.0;
const PIXELS_PER_LINE: f64 = 40.0;
/// The longest time of a draft. A computer that takes longer draws the next one with half the pixels
/// along each axis, until it takes less than a third of this time.
const LONGEST_DRAFT_MS: f64 = 35.0;
/// The time after the last change until the picture is drawn with smooth edges.
const SMOOTH_AFTER: Duration = Duration::from_millis(140);

/// Shows the surfaces. They turn only by the user's hand: nothing moves by itself, so there is nothing
/// to leave out for users who prefer reduced motion.
#[component]
pub fn ShapesView(page: Page, resized: RwSignal<u32>) -> impl IntoView {
    let shapes = page.shapes;
    let canvas_ref = NodeRef::<Canvas>::new();
    let renderer = StoredValue::new(Renderer::default());
    // The number of the last change; whether a draft is due with the next frame of the screen.
    let num_changes = StoredValue::new(0u32);
    let is_due = StoredValue::new(false);
    let draft_pixels = StoredValue::new(1.0f64);
    let draw = move |detail: Detail| {
        if let Some(canvas) = canvas_ref.try_get_untracked().flatten() {
            renderer.try_update_value(|renderer| {
                shapes_canvas::draw(page, &canvas, renderer, detail);
            });
        }
    };
    let draw_draft = move || {
        let Some(pixels) = draft_pixels.try_get_value() else { return };
        let start_ms = js_sys::Date::now();
        draw(Detail::Draft(pixels));
        match js_sys::Date::now() - start_ms {
            ms if ms > LONGEST_DRAFT_MS => draft_pixels.set_value(0.5),
            ms if ms < LONGEST_DRAFT_MS / 3.0 => draft_pixels.set_value(1.0),
            _ => {}
        }
    };
    Effect::new(move |_| {
        resized.track();
        shapes.camera.track();
        shapes.surfaces.track();
        page.visible_regions.track();
        if canvas_ref.get().is_none() {
            return;
        }
        num_changes.update_value(|number| *number = number.wrapping_add(1));
        let change = num_changes.get_value();
        if !is_due.get_value() {
            is_due.set_value(true);
            request_animation_frame(move || {
                is_due.try_update_value(|is_due| *is_due = false);
                draw_draft();
            });
        }
        let smooth = move || {
            if num_changes.try_get_value() == Some(change) {
                draw(Detail::Full);
            }
        };
        set_timeout(smooth, SMOOTH_AFTER);
    });

    let pointers = StoredValue::new(Pointers::default());
    let last_pointer = StoredValue::new([0.0f32; 2]);
    let size = move || {
        let canvas = canvas_ref.get_untracked();
        canvas.map_or([1.0; 2], |c| [c.client_width(), c.client_height()].map(|x| x as f32))
    };
    let change = move |change: &dyn Fn(Camera) -> Camera| {
        shapes.camera.update(|camera| *camera = change(*camera));
    };
    let has_scan = move || page.shown_channel().is_some();
    // Without a scan the view is alone in any case.
    let enlarge = move || {
        if untrack(has_scan) {
            shapes.is_enlarged.update(|enlarged| *enlarged = !*enlarged);
        }
    };
    let on_down = move |event: PointerEvent| {
        pointers.update_value(|pointers| pointers.set(&event));
        last_pointer.set_value([event.client_x(), event.client_y()].map(|x| x as f32));
        if let Some(canvas) = canvas_ref.get_untracked() {
            let _ = canvas.set_pointer_capture(event.pointer_id());
        }
    };
    let on_move = move |event: PointerEvent| {
        let before = pointers.with_value(Pointers::spread);
        pointers.update_value(|pointers| pointers.set(&event));
        let after = pointers.with_value(Pointers::spread);
        if let (Some(before), Some(after)) = (before, after) {
            let times = (after.distance / before.distance.max(1.0)) as f32;
            let [right, down] = [0, 1].map(|n| (after.middle[n] - before.middle[n]) as f32);
            return change(&|camera| camera.magnified(times).shifted(size(), right, down));
        }
        let pointer = [event.client_x(), event.client_y()].map(|x| x as f32);
        let last = last_pointer.get_value();
        last_pointer.set_value(pointer);
        let [right, down] = [0, 1].map(|n| pointer[n] - last[n]);
        match event.buttons() {
            1 if !event.shift_key() => {
                change(&|camera| camera.turned(right / PIXELS_PER_RADIAN, down / PIXELS_PER_RADIAN))
            }
            1 | 4 => change(&|camera| camera.shifted(size(), right, down)),
            _ => {}
        }
    };
    let on_up = move |event: PointerEvent| {
        pointers.update_value(|pointers| pointers.remove(&event));
        // The finger that stays continues from where it is.
        last_pointer.set_value([event.client_x(), event.client_y()].map(|x| x as f32));
    };
    let on_wheel = move |event: WheelEvent| {
        event.prevent_default();
        let pixels = match event.delta_mode() {
            0 => event.delta_y(),
            _ => event.delta_y() * PIXELS_PER_LINE,
        };
        let times = (-pixels.clamp(-200.0, 200.0) / PIXELS_PER_E).exp() as f32;
        change(&|camera| camera.magnified(times));
    };
    let on_key = move |event: KeyboardEvent| {
        if event.ctrl_key() || event.alt_key() || event.meta_key() {
            return;
        }
        match event.key().as_str() {
            "ArrowLeft" => change(&|camera| camera.turned(-KEY_TURN, 0.0)),
            "ArrowRight" => change(&|camera| camera.turned(KEY_TURN, 0.0)),
            "ArrowUp" => change(&|camera| camera.turned(0.0, -KEY_TURN)),
            "ArrowDown" => change(&|camera| camera.turned(0.0, KEY_TURN)),
            "+" | "=" => change(&|camera| camera.magnified(KEY_ZOOM)),
            "-" => change(&|camera| camera.magnified(1.0 / KEY_ZOOM)),
            "Enter" => enlarge(),
            _ => return,
        }
        event.prevent_default();
    };
    let label = move || {
        let visible = page.visible_regions.get();
        let names = page.result.with(|result| {
            let regions = result.iter().flat_map(|result| &result.regions).enumerate();
            let shown = regions.filter(|(n, _)| visible.get(*n).copied().unwrap_or(true));
            shown.map(|(_, region)| region.name.clone()).collect::<Vec<_>>()
        });
        let names = if names.is_empty() { "no region".into() } else { names.join(", ") };
        format!(
            "3-D view of {names}: arrow keys turn, plus and minus magnify, Enter enlarges. \
             Research use only, not a medical device"
        )
    };
    let magnification = move || {
        let zoom = shapes.camera.get().zoom();
        (zoom != 1.0).then(|| format!("× {zoom:.1}"))
    };
    view! {
        <figure class="view shapes" class:alone=move || shapes.is_enlarged.get()>
            <canvas
                id="shapes"
                node_ref=canvas_ref
                tabindex="0"
                aria-label=label
                on:pointerdown=on_down
                on:pointermove=on_move
                on:pointerup=on_up
                on:pointercancel=on_up
                on:dblclick=move |_| enlarge()
                on:wheel=on_wheel
                on:keydown=on_key
                on:contextmenu=|event| event.prevent_default()
            ></canvas>
            <figcaption>
                <strong>"3-D"</strong>
                <span>{magnification}</span>
            </figcaption>
            <Show when=has_scan>
                <button
                    class="choice close"
                    title="Close the 3-D view"
                    on:click=move |_| {
                        shapes.is_enlarged.set(false);
                        shapes.is_shown.set(false);
                    }
                >
                    "Close"
                </button>
            </Show>
        </figure>
    }
}
