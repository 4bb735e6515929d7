//! The three slice views with their common crosshair.

use leptos::html::Canvas;
use leptos::prelude::*;
use web_sys::{HtmlCanvasElement, KeyboardEvent, MouseEvent, PointerEvent, WheelEvent};

use super::canvas;
use super::display_panel::DisplayPanel;
use super::pointers::Pointers;
use super::shapes_view::ShapesView;
use super::state::Page;
use super::status::Phase;
use crate::slice::{FittedSlice, Plane, RasFrame, Window, Zoom};

/// The wheel's pixels that move by one slice, so that one notch does, as in radiological viewers.
const PIXELS_PER_SLICE: f64 = 40.0;
/// The wheel's pixels that magnify by e.
const PIXELS_PER_E: f64 = 300.0;
/// The magnification of a key.
const KEY_ZOOM: f64 = 1.25;
/// Dragging across the whole canvas multiplies the window's width by e to this power. Dragging down it
/// lowers the level by half this number of default widths.
const DRAG_STRENGTH: f64 = 4.0;

#[component]
pub fn Views(page: Page) -> impl IntoView {
    let resized = RwSignal::new(0u32);
    let listener = window_event_listener(leptos::ev::resize, move |_| *resized.write() += 1);
    on_cleanup(move || listener.remove());
    let frame =
        Memo::new(move |_| page.shown_channel().map(|shown| RasFrame::new(shown.volume.grid())));
    let is_empty = move || frame.with(Option::is_none);
    // On a narrow screen the first scan changes the layout, and so does a slice that is enlarged. The
    // sizes are known one frame later.
    Effect::new(move |_| {
        is_empty();
        page.enlarged.track();
        page.shapes.is_enlarged.track();
        page.shows_shapes();
        request_animation_frame(move || *resized.write() += 1);
    });
    page.keep_surfaces();
    let is_enlarged = move || page.enlarged.get().is_some() || page.shows_shapes_alone();
    view! {
        <section
            class="views"
            class:empty=is_empty
            class:shapes=move || page.shows_shapes()
            class:enlarged=is_enlarged
        >
            {Plane::ALL.map(|plane| view! { <SliceView page plane frame resized /> })}
            <Show when=move || page.shows_shapes()>
                <ShapesView page resized />
            </Show>
            <DisplayPanel page frame />
            <Show when=is_empty>
                <Welcome page />
            </Show>
        </section>
    }
}

#[component]
fn Welcome(page: Page) -> impl IntoView {
    let title = move || match page.is_from_link.get() {
        true => "Drop the scan of this result here",
        false => "Drop scans here",
    };
    let text = move || match page.is_from_link.get() {
        true => "The link holds the result, not the scan. It is checked against the result's \
             dimensions and position, and stays on this computer."
            .to_string(),
        false => page.model.with(|model| match model {
            Some(model) => {
                let channels = model.card.task.channels.join(", ");
                format!(
                    "{channels}: the DICOM folder or ZIP of an examination, or files (NIfTI, NRRD, \
                     MGZ, Analyze)."
                )
            }
            None => "First a model bundle (.safetensors), then the scans it needs.".to_string(),
        }),
    };
    let is_loading = move || page.status.with(|status| status.phase == Phase::Loading);
    view! {
        <div class="welcome">
            <h2>{title}</h2>
            <p>{text}</p>
            <Show when=is_loading>
                <p class="hint">{move || page.status.get().text}</p>
            </Show>
        </div>
    }
}

#[component]
fn SliceView(
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
    let last_pointer = StoredValue::new([0.0f64; 2]);
    let pointers = StoredValue::new(Pointers::default());

    let is_painting = StoredValue::new(false);
    // The whole slice on the canvas, in CSS pixels.
    let fitted = move || -> Option<FittedSlice> {
        let canvas = canvas_ref.get_untracked()?;
        let size = [canvas.client_width(), canvas.client_height()].map(f64::from);
        frame.with_untracked(|frame| {
            let crosshair = page.crosshair.get_untracked();
            let frame = frame.as_ref()?;
            Some(frame.view(plane, page.convention.get_untracked(), crosshair).fit(size))
        })
    };
    let zoom = move |change: &dyn Fn(Zoom, FittedSlice) -> Zoom| {
        if let Some(fitted) = fitted() {
            page.zooms.update(|zooms| {
                let zoom = &mut zooms[plane as usize];
                *zoom = change(*zoom, fitted);
            });
        }
    };
    let voxel_at = move |event: &MouseEvent| {
        let point = [event.offset_x(), event.offset_y()].map(f64::from);
        let pixel = page.zooms.get_untracked()[plane as usize].apply(fitted()?).pixel_at(point);
        frame.with_untracked(|frame| {
            let crosshair = page.crosshair.get_untracked();
            let view = frame.as_ref()?.view(plane, page.convention.get_untracked(), crosshair);
            Some(view.voxel_at(pixel))
        })
    };
    let point_at = move |event: &MouseEvent| {
        let Some(voxel) = voxel_at(event) else { return };
        match is_painting.get_value() {
            true => frame.with_untracked(|frame| {
                frame.iter().for_each(|frame| page.paint_at(frame, voxel));
            }),
            false => page.crosshair.set(voxel),
        }
    };
    let change_window = move |event: &MouseEvent| {
        let Some(canvas) = canvas_ref.get_untracked() else { return };
        let windows = || Some((page.shown_window()?, page.shown_channel()?.default_window));
        let Some((window, default)) = untrack(windows) else { return };
        let [across, down] =
            drag_distance(&last_pointer, event, &canvas).map(|d| (d * DRAG_STRENGTH) as f32);
        let width = (window.width * across.exp()).max(default.width * 1e-3);
        let level = window.level - down * default.width / 2.0;
        page.set_shown_window(Window { level, width });
    };
    let scroll = move |num_slices: i64| {
        let scroll_in = |frame: &RasFrame| {
            let axis = plane.normal();
            page.crosshair.update(|voxel| {
                let slice = voxel[axis] as i64 + num_slices;
                voxel[axis] = slice.clamp(0, frame.dims[axis] as i64 - 1) as usize;
            });
        };
        frame.with_untracked(|frame| frame.iter().for_each(scroll_in));
    };

    let on_down = move |event: PointerEvent| {
        pointers.update_value(|pointers| pointers.set(&event));
        last_pointer.set_value([event.client_x(), event.client_y()].map(f64::from));
        if let Some(canvas) = canvas_ref.get_untracked() {
            let _ = canvas.set_pointer_capture(event.pointer_id());
        }
        if pointers.with_value(Pointers::are_two) || event.shift_key() {
            return;
        }
        if event.button() == 0 {
            is_painting.set_value(page.begin_stroke());
            point_at(&event);
        }
    };
    let on_up = move |event: PointerEvent| {
        pointers.update_value(|pointers| pointers.remove(&event));
        if is_painting.get_value() {
            is_painting.set_value(false);
            page.end_stroke();
        }
    };
    let on_move = move |event: PointerEvent| {
        let before = pointers.with_value(Pointers::spread);
        pointers.update_value(|pointers| pointers.set(&event));
        let after = pointers.with_value(Pointers::spread);
        if let (Some(before), Some(after)) = (before, after) {
            let times = after.distance / before.distance.max(1.0);
            let by = [0, 1].map(|n| after.middle[n] - before.middle[n]);
            zoom(&|zoom, fitted| zoom.about(fitted, after.middle, times).shifted(fitted, by));
            return;
        }
        match event.buttons() {
            0 => page.pointed.set(voxel_at(&event)),
            1 if !event.shift_key() || is_painting.get_value() => point_at(&event),
            1 | 4 => {
                let pointer = [event.client_x(), event.client_y()].map(f64::from);
                let last = last_pointer.get_value();
                last_pointer.set_value(pointer);
                zoom(&|zoom, fitted| zoom.shifted(fitted, [0, 1].map(|n| pointer[n] - last[n])));
            }
            2 => change_window(&event),
            _ => {}
        }
    };
    let enlarge = move || {
        page.enlarged.update(|enlarged| {
            *enlarged = if enlarged.is_some() { None } else { Some(plane) };
        });
    };
    let fractional_slices = StoredValue::new(0.0f64);
    let on_wheel = move |event: WheelEvent| {
        event.prevent_default();
        // Browsers report a touch pad's pinch as a wheel with Ctrl.
        if event.ctrl_key() {
            let times = (-event.delta_y().clamp(-200.0, 200.0) / PIXELS_PER_E).exp();
            let point = [event.offset_x(), event.offset_y()].map(f64::from);
            zoom(&|zoom, fitted| zoom.about(fitted, point, times));
            return;
        }
        // In the modes "line" and "page" a unit is a slice; touch pads send many small pixel deltas.
        let delta = match event.delta_mode() {
            0 => event.delta_y() / PIXELS_PER_SLICE,
            _ => event.delta_y(),
        };
        let slices = fractional_slices.get_value() + delta.clamp(-3.0, 3.0);
        fractional_slices.set_value(slices.fract());
        scroll(-slices.trunc() as i64);
    };
    let zoom_at_crosshair = move |times: f64| {
        frame.with_untracked(|frame| {
            let Some(frame) = frame else { return };
            let crosshair = page.crosshair.get_untracked();
            let pixel =
                frame.view(plane, page.convention.get_untracked(), crosshair).crosshair_pixel();
            zoom(&|zoom, fitted| zoom.about(fitted, zoom.apply(fitted).pixel_center(pixel), times));
        });
    };
    let on_key = move |event: KeyboardEvent| {
        if event.ctrl_key() || event.alt_key() || event.meta_key() {
            return;
        }
        let pixels = match event.key().as_str() {
            "+" | "=" => {
                zoom_at_crosshair(KEY_ZOOM);
                Some([0, 0])
            }
            "-" => {
                zoom_at_crosshair(1.0 / KEY_ZOOM);
                Some([0, 0])
            }
            "Enter" => {
                enlarge();
                Some([0, 0])
            }
            "ArrowLeft" => Some([-1, 0]),
            "ArrowRight" => Some([1, 0]),
            "ArrowUp" => Some([0, -1]),
            "ArrowDown" => Some([0, 1]),
            "PageUp" => {
                scroll(1);
                Some([0, 0])
            }
            "PageDown" => {
                scroll(-1);
                Some([0, 0])
            }
            _ => None,
        };
        let Some(pixels) = pixels else { return };
        event.prevent_default();
        frame.with_untracked(|frame| {
            let Some(frame) = frame else { return };
            let crosshair = page.crosshair.get_untracked();
            let view = frame.view(plane, page.convention.get_untracked(), crosshair);
            let pixel = view.crosshair_pixel();
            let moved = [0, 1].map(|n| pixel[n].saturating_add_signed(pixels[n]));
            page.crosshair.set(view.voxel_at(moved));
        });
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
                aria-label=format!(
                    "{} slice: arrow keys move the crosshair, page keys the slice, plus and minus magnify, Enter enlarges",
                    plane.name(),
                )
                on:pointerdown=on_down
                on:pointermove=on_move
                on:pointerup=on_up
                on:pointercancel=on_up
                on:pointerleave=move |_| page.pointed.set(None)
                on:dblclick=move |_| enlarge()
                on:wheel=on_wheel
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

/// Returns the pointer's movement since `last_pointer` as a fraction of the canvas, and updates
/// `last_pointer`.
fn drag_distance(
    last_pointer: &StoredValue<[f64; 2]>,
    event: &MouseEvent,
    canvas: &HtmlCanvasElement,
) -> [f64; 2] {
    let pointer = [event.client_x(), event.client_y()].map(f64::from);
    let last = last_pointer.get_value();
    last_pointer.set_value(pointer);
    let size = [canvas.client_width(), canvas.client_height()].map(|x| f64::from(x.max(1)));
    [0, 1].map(|n| (pointer[n] - last[n]) / size[n])
}
