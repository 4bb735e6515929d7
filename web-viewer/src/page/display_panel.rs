//! The display settings: channel, window, overlay and convention.

use leptos::prelude::*;

use super::opened::ChannelSlot;
use super::state::Page;
use super::window_controls::{WindowControls, input_number, short_number};
use crate::slice::{Convention, RasFrame};

#[component]
pub fn DisplayPanel(page: Page, frame: Memo<Option<RasFrame>>) -> impl IntoView {
    let loaded_slots = move || {
        let slots = page.slots.get().into_iter().enumerate();
        slots.filter(|(_, slot)| slot.loaded.is_some())
    };
    let channel_button = move |(n, slot): (usize, ChannelSlot)| {
        view! {
            <button
                class="choice"
                class:chosen=move || page.shown_slot.get() == n
                on:click=move |_| page.shown_slot.set(n)
            >
                {slot.name}
            </button>
        }
    };
    let convention_button = move |convention, name: &'static str, title: &'static str| {
        view! {
            <button
                class="choice"
                class:chosen=move || page.convention.get() == convention
                title=title
                on:click=move |_| page.convention.set(convention)
            >
                {name}
            </button>
        }
    };
    let outline_button = move |is_outlined, name: &'static str, title: &'static str| {
        view! {
            <button
                class="choice"
                class:chosen=move || page.is_outlined.get() == is_outlined
                title=title
                on:click=move |_| page.is_outlined.set(is_outlined)
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
                <div class="choices">{move || loaded_slots().map(channel_button).collect_view()}</div>
            </div>
            <WindowControls page />
            <label class="field">
                <span>"Overlay"</span>
                <input
                    type="range"
                    min="0"
                    max="100"
                    prop:value=move || (page.opacity.get() * 100.0).round()
                    on:input=move |event| page.opacity.set(input_number(&event) / 100.0)
                />
                <output>{move || format!("{:.0} %", page.opacity.get() * 100.0)}</output>
            </label>
            <Show when=move || page.probabilities.with(Option::is_some)>
                <div class="field">
                    <span>"Regions"</span>
                    <div class="choices">
                        {outline_button(false, "Filled", "The labels")}
                        {outline_button(
                            true,
                            "Soft outline",
                            "The line where the network is undecided: sharp where it is sure, broad where it is not",
                        )}
                    </div>
                </div>
            </Show>
            <div class="field">
                <span>"Left side"</span>
                <div class="choices">
                    {convention_button(Convention::Radiological, "Radiological", "The patient's right is on the left")}
                    {convention_button(Convention::Neurological, "Neurological", "The patient's left is on the left")}
                </div>
            </div>
            <div class="field">
                <span>"View"</span>
                <div class="choices">
                    <button class="choice" title="Show all three planes as a whole (R)" on:click=move |_| page.reset_views()>
                        "Reset"
                    </button>
                    <button
                        class="choice"
                        class:chosen=move || page.shows_voxels.get()
                        title="Voxels as squares instead of smoothed (V)"
                        aria-pressed=move || page.shows_voxels.get().to_string()
                        on:click=move |_| page.shows_voxels.update(|shown| *shown = !*shown)
                    >
                        "Voxels"
                    </button>
                    <button
                        id="mosaic"
                        class="choice"
                        class:chosen=move || page.shows_mosaic.get()
                        title="Axial slices side by side (M)"
                        aria-pressed=move || page.shows_mosaic.get().to_string()
                        on:click=move |_| page.shows_mosaic.update(|shown| *shown = !*shown)
                    >
                        "Mosaic"
                    </button>
                    <button
                        id="show-shapes"
                        class="choice"
                        class:chosen=move || page.shapes.is_shown.get()
                        title="The surfaces of the regions, to be turned"
                        aria-pressed=move || page.shapes.is_shown.get().to_string()
                        prop:disabled=move || page.result.with(Option::is_none)
                        on:click=move |_| page.shapes.is_shown.update(|shown| *shown = !*shown)
                    >
                        "3-D"
                    </button>
                    <button id="keys" class="choice" title="Keys and gestures (?)" on:click=move |_| page.shows_keys.set(true)>
                        "Keys"
                    </button>
                </div>
            </div>
            <p class="hint">
                "Drag: crosshair. Wheel: slices. Ctrl + wheel: magnify. Right drag: window. Double click: enlarge."
            </p>
            <VoxelInfo page frame />
            <CrosshairProbabilities page frame />
        </section>
    }
}

/// Shows the position and the intensity of the voxel under the crosshair, and of that under the pointer.
#[component]
fn VoxelInfo(page: Page, frame: Memo<Option<RasFrame>>) -> impl IntoView {
    let text = move |voxel: [usize; 3]| {
        let (frame, shown) = (frame.get()?, page.shown_channel()?);
        let ras_voxel = std::array::from_fn(|axis| voxel[axis].min(frame.dims[axis] - 1));
        let voxel = frame.source_from_ras(ras_voxel).map(|i| i as f64);
        let [x, y, z] = shown.volume.grid().world_from_voxel.apply(voxel);
        let value = short_number(*shown.volume.values().get(frame.index(ras_voxel))?);
        let coordinate = |mm: f64, [positive, negative]: [char; 2]| {
            format!("{} {:.0}", if mm < 0.0 { negative } else { positive }, mm.abs())
        };
        let position =
            [coordinate(x, ['R', 'L']), coordinate(y, ['A', 'P']), coordinate(z, ['S', 'I'])];
        Some(format!("{} mm   value {value}", position.join("  ")))
    };
    let pointed = move || page.pointed.get().and_then(|pointed| text(pointed.voxel));
    view! {
        <p class="probe">{move || text(page.crosshair.get())}</p>
        <p class="probe" id="pointed" title="Under the pointer">{pointed}</p>
    }
}

/// Shows each visible region's probability under the crosshair, and what the number means.
#[component]
fn CrosshairProbabilities(page: Page, frame: Memo<Option<RasFrame>>) -> impl IntoView {
    let text = move || {
        let (frame, probabilities) = (frame.get()?, page.probabilities.get()?);
        let result = page.result.get()?;
        let crosshair = page.crosshair.get();
        let ras_voxel = std::array::from_fn(|axis| crosshair[axis].min(frame.dims[axis] - 1));
        let index = frame.index(ras_voxel);
        let visible = page.visible_regions.get();
        let regions = probabilities.regions.iter().zip(&result.regions).zip(visible);
        let shown = regions.filter(|(_, is_visible)| *is_visible);
        let values: Option<Vec<String>> = shown
            .map(|((bytes, region), _)| {
                let p = f32::from(*bytes.get(index)?) / 255.0;
                Some(match probabilities.calibration {
                    Some(_) => format!("{} {:.0} %", region.name, 100.0 * p),
                    None => format!("{} {p:.2}", region.name),
                })
            })
            .collect();
        Some((values?.join(", "), probabilities.meaning()))
    };
    view! {
        {move || text().map(|(values, meaning)| view! {
            <p class="probe" id="probabilities">{values}</p>
            <p class="hint">{meaning}</p>
        })}
    }
}
