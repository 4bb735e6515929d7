//! How the scan is shown: channel, window, overlay, convention.

use leptos::prelude::*;

use super::state::Page;
use crate::slice::{Convention, Frame, Window};

#[component]
pub fn DisplayPanel(page: Page, frame: Memo<Option<Frame>>) -> impl IntoView {
    let slots =
        move || page.slots.get().into_iter().enumerate().filter(|(_, s)| s.filled.is_some());
    let channel = move |(n, slot): (usize, super::state::Slot)| {
        view! {
            <button
                class="choice"
                class:chosen=move || page.channel.get() == n
                on:click=move |_| page.channel.set(n)
            >
                {slot.name}
            </button>
        }
    };
    let convention = move |which: Convention, name: &'static str, title: &'static str| {
        view! {
            <button
                class="choice"
                class:chosen=move || page.convention.get() == which
                title=title
                on:click=move |_| page.convention.set(which)
            >
                {name}
            </button>
        }
    };
    view! {
        <section class="panel display" class:hidden=move || frame.with(Option::is_none)>
            <h2>"Display"</h2>
            <div class="field">
                <span>"Channel"</span>
                <div class="choices">{move || slots().map(channel).collect_view()}</div>
            </div>
            <WindowSliders page />
            <label class="field">
                <span>"Overlay"</span>
                <input
                    type="range"
                    min="0"
                    max="100"
                    prop:value=move || (page.opacity.get() * 100.0).round()
                    on:input=move |event| page.opacity.set(number(&event) / 100.0)
                />
                <output>{move || format!("{:.0} %", page.opacity.get() * 100.0)}</output>
            </label>
            <div class="field">
                <span>"Left side"</span>
                <div class="choices">
                    {convention(Convention::Radiological, "Radiological", "The patient's right is on the left")}
                    {convention(Convention::Neurological, "Neurological", "The patient's left is on the left")}
                </div>
            </div>
            <p class="hint">
                "Drag: crosshair. Wheel: slices. Right drag: window. Arrow and page keys work too."
            </p>
            <Intensity page frame />
        </section>
    }
}

/// Sliders that reach from half a window below the robust one to twice its width.
#[component]
fn WindowSliders(page: Page) -> impl IntoView {
    let robust =
        move || page.shown().map(|shown| shown.robust).unwrap_or(Window { level: 0.5, width: 1.0 });
    let window = move || page.window().unwrap_or_else(robust);
    let level = move || f64::from((window().level - robust().level) / robust().width * 100.0);
    let width = move || f64::from(window().width / robust().width * 100.0);
    let set_level = move |percent: f32| {
        let level = robust().level + robust().width * percent / 100.0;
        page.set_window(Window { level, ..window() });
    };
    let set_width = move |percent: f32| {
        page.set_window(Window { width: robust().width * percent.max(1.0) / 100.0, ..window() });
    };
    view! {
        <label class="field">
            <span>"Level"</span>
            <input
                type="range"
                min="-75"
                max="75"
                prop:value=level
                on:input=move |event| untrack(|| set_level(number(&event)))
            />
            <output>{move || short(window().level)}</output>
        </label>
        <label class="field">
            <span>"Width"</span>
            <input
                type="range"
                min="1"
                max="200"
                prop:value=width
                on:input=move |event| untrack(|| set_width(number(&event)))
            />
            <output>{move || short(window().width)}</output>
        </label>
        <div class="field">
            <span></span>
            <button class="quiet" on:click=move |_| untrack(|| page.set_window(robust()))>
                "Reset window"
            </button>
        </div>
    }
}

/// What lies under the crosshair.
#[component]
fn Intensity(page: Page, frame: Memo<Option<Frame>>) -> impl IntoView {
    let text = move || {
        let (frame, shown) = (frame.get()?, page.shown()?);
        let cursor = page.cursor.get();
        let at = std::array::from_fn(|w| cursor[w].min(frame.dims[w] - 1));
        let voxel = frame.source_voxel(at).map(|x| x as f64);
        let [x, y, z] = shown.volume.grid().world_from_voxel.apply(voxel);
        let value = short(*shown.volume.values().get(frame.index(at))?);
        let side = |mm: f64, [positive, negative]: [char; 2]| {
            format!("{} {:.0}", if mm < 0.0 { negative } else { positive }, mm.abs())
        };
        let place = [side(x, ['R', 'L']), side(y, ['A', 'P']), side(z, ['S', 'I'])].join("  ");
        Some(format!("{place} mm   value {value}"))
    };
    view! { <p class="probe">{text}</p> }
}

/// A number in a few characters, whatever its size.
fn short(value: f32) -> String {
    match value.abs() {
        x if x >= 1e5 => format!("{value:.2e}"),
        x if x >= 100.0 || x == 0.0 => format!("{value:.0}"),
        x if x >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

fn number(event: &leptos::ev::Event) -> f32 {
    event_target_value(event).parse().unwrap_or_default()
}
