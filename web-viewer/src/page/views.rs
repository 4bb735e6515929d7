//! The three slices, with one crosshair.

use leptos::html::Canvas;
use leptos::prelude::*;
use web_sys::{HtmlCanvasElement, KeyboardEvent, MouseEvent, PointerEvent, WheelEvent};

use super::canvas;
use super::display_panel::DisplayPanel;
use super::state::{Page, Phase};
use crate::slice::{Frame, Plane, Window};

/// Radiological viewers turn one notch of the wheel into one slice.
const WHEEL_NOTCH: f64 = 40.0;
/// Dragging over the whole canvas changes the window by this many of its widths.
const DRAG_WIDTHS: f64 = 4.0;

#[component]
pub fn Views(page: Page) -> impl IntoView {
    let resized = RwSignal::new(0u32);
    let listener = window_event_listener(leptos::ev::resize, move |_| *resized.write() += 1);
    on_cleanup(move || listener.remove());
    let frame = Memo::new(move |_| page.shown().map(|shown| Frame::new(shown.volume.grid())));
    let is_empty = move || frame.with(Option::is_none);
    // A layout is known only after its first frame; the first scan changes it on a narrow screen.
    Effect::new(move |_| {
        is_empty();
        request_animation_frame(move || *resized.write() += 1);
    });
    view! {
        <section class="views" class:empty=is_empty>
            {Plane::ALL.map(|plane| view! { <SliceView page plane frame resized /> })}
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
                format!("NIfTI files (.nii or .nii.gz): {channels}, or one file with all of them.")
            }
            None => "First a model bundle (.safetensors), then the scans it asks for.".to_string(),
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
    frame: Memo<Option<Frame>>,
    resized: RwSignal<u32>,
) -> impl IntoView {
    let node = NodeRef::<Canvas>::new();
    Effect::new(move |_| {
        resized.track();
        let Some(canvas) = node.get() else { return };
        canvas::draw(page, plane, frame.get().as_ref(), &canvas);
    });
    let last = StoredValue::new([0.0f64; 2]);

    let point_to = move |event: &MouseEvent| {
        let Some(canvas) = node.get_untracked() else { return };
        frame.with_untracked(|frame| {
            let Some(frame) = frame else { return };
            let convention = page.convention.get_untracked();
            let view = frame.view(plane, convention, page.cursor.get_untracked());
            let size = [canvas.client_width(), canvas.client_height()].map(f64::from);
            let point = [event.offset_x(), event.offset_y()].map(f64::from);
            page.cursor.set(view.voxel_at(view.placed(size).pixel_at(point)));
        });
    };
    let change_window = move |event: &MouseEvent| {
        let Some(canvas) = node.get_untracked() else { return };
        let Some((window, range)) = untrack(|| Some((page.window()?, page.shown()?.robust))) else {
            return;
        };
        let moved = drag(&last, event, &canvas).map(|share| share * DRAG_WIDTHS);
        let width = window.width * (moved[0] as f32).exp();
        let level = window.level - moved[1] as f32 * range.width / 2.0;
        page.set_window(Window { level, width: width.max(range.width * 1e-3) });
    };
    let scroll = move |slices: i64| {
        let step = |frame: &Frame| {
            let axis = plane.normal();
            page.cursor.update(|at| {
                let to = at[axis] as i64 + slices;
                at[axis] = to.clamp(0, frame.dims[axis] as i64 - 1) as usize;
            });
        };
        frame.with_untracked(|frame| frame.iter().for_each(step));
    };

    let on_down = move |event: PointerEvent| {
        last.set_value([event.client_x(), event.client_y()].map(f64::from));
        if let Some(canvas) = node.get_untracked() {
            let _ = canvas.set_pointer_capture(event.pointer_id());
        }
        if event.button() == 0 {
            point_to(&event);
        }
    };
    let on_move = move |event: PointerEvent| match event.buttons() {
        1 => point_to(&event),
        2 => change_window(&event),
        _ => {}
    };
    let wheel = StoredValue::new(0.0f64);
    let on_wheel = move |event: WheelEvent| {
        event.prevent_default();
        // Lines and pages count as notches; touch pads send many small pixels.
        let notch =
            if event.delta_mode() == 0 { event.delta_y() / WHEEL_NOTCH } else { event.delta_y() };
        let turned = wheel.get_value() + notch.clamp(-3.0, 3.0);
        let slices = turned.trunc();
        wheel.set_value(turned - slices);
        scroll(-slices as i64);
    };
    let on_key = move |event: KeyboardEvent| {
        let moved = match event.key().as_str() {
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
        let Some(moved) = moved else { return };
        event.prevent_default();
        frame.with_untracked(|frame| {
            let Some(frame) = frame else { return };
            let at = page.cursor.get_untracked();
            let view = frame.view(plane, page.convention.get_untracked(), at);
            let pixel = view.crosshair();
            page.cursor
                .set(view.voxel_at([0, 1].map(|n| pixel[n].saturating_add_signed(moved[n]))));
        });
    };
    let place = move || {
        frame.get().map(|frame| {
            let axis = plane.normal();
            format!(
                "{} / {}",
                page.cursor.get()[axis].min(frame.dims[axis] - 1) + 1,
                frame.dims[axis]
            )
        })
    };
    view! {
        <figure class="view">
            <canvas
                node_ref=node
                tabindex="0"
                aria-label=format!("{} slice: arrow keys move the crosshair, page keys the slice", plane.name())
                on:pointerdown=on_down
                on:pointermove=on_move
                on:wheel=on_wheel
                on:keydown=on_key
                on:contextmenu=|event| event.prevent_default()
            ></canvas>
            <figcaption>
                <strong>{plane.name()}</strong>
                <span>{place}</span>
            </figcaption>
        </figure>
    }
}

/// How far the pointer moved since `last`, as a share of the canvas.
fn drag(last: &StoredValue<[f64; 2]>, event: &MouseEvent, canvas: &HtmlCanvasElement) -> [f64; 2] {
    let now = [event.client_x(), event.client_y()].map(f64::from);
    let before = last.get_value();
    last.set_value(now);
    let size = [canvas.client_width(), canvas.client_height()].map(|x| f64::from(x.max(1)));
    [0, 1].map(|n| (now[n] - before[n]) / size[n])
}
