//! The panel that corrects the result by hand.

use leptos::prelude::*;
use web_sys::HtmlInputElement;

use super::corrections::Operation;
use super::state::Page;
use super::tools::Tool;
use crate::slice::Plane;

#[component]
pub fn CorrectPanel(page: Page) -> impl IntoView {
    let is_shown = Memo::new(move |_| page.can_correct());
    view! {
        <Show when=move || is_shown.get()>
            <section class="panel correct">
                <h2>"Correct"</h2>
                <UndoButtons page />
                <RegionChoice page />
                <BrushChoice page />
                <Operations page />
            </section>
        </Show>
    }
}

/// The buttons that take steps back, for corrections and measurements.
#[component]
pub fn UndoButtons(page: Page) -> impl IntoView {
    let can_undo = move || page.corrections.with(|c| c.history.can_undo());
    let can_redo = move || page.corrections.with(|c| c.history.can_redo());
    let memory = move || {
        let bytes = page.corrections.with(|c| c.history.num_bytes());
        format!("Takes the last step back (Ctrl + Z). The steps take {:.1} MB.", bytes as f64 / 1e6)
    };
    view! {
        <div class="choices undo">
            <button class="choice" id="undo" title=memory disabled=move || !can_undo() on:click=move |_| page.undo()>
                "Undo"
            </button>
            <button
                class="choice"
                id="redo"
                title="Does the last step again (Ctrl + Y)"
                disabled=move || !can_redo()
                on:click=move |_| page.redo()
            >
                "Redo"
            </button>
        </div>
    }
}

/// The radius of the brush.
#[component]
pub fn RadiusSlider(page: Page) -> impl IntoView {
    let on_radius = move |event| {
        if let Ok(mm) = event_target_value(&event).parse() {
            page.set_radius(mm);
        }
    };
    view! {
        <label class="field">
            <span>"Radius"</span>
            <input
                type="range"
                id="radius"
                min="0.5"
                max="25"
                step="0.5"
                title="[ and ] change it"
                prop:value=move || page.radius_mm.get()
                on:input=on_radius
            />
            <output>{move || format!("{:.1} mm", page.radius_mm.get())}</output>
        </label>
    }
}

#[component]
fn RegionChoice(page: Page) -> impl IntoView {
    let names = Memo::new(move |_| page.region_names());
    let options = move |first: &'static str| {
        let names = names.get().into_iter().enumerate();
        let names = names.map(|(n, name)| view! { <option value=n.to_string()>{name}</option> });
        let first = (!first.is_empty()).then(|| view! { <option value="">{first}</option> });
        (first, names.collect_view())
    };
    let choose = move |event| {
        let region = event_target_value(&event).parse().unwrap_or_default();
        page.correction_settings.update(|settings| settings.region = region);
    };
    let limit = move |event| {
        let within = event_target_value(&event).parse().ok();
        page.correction_settings.update(|settings| settings.within = within);
    };
    view! {
        <label class="field">
            <span>"Region"</span>
            <select
                id="correct-region"
                title="What is added to a region is added to those around it; what is taken from it is taken from those inside it"
                prop:value=move || page.correction_settings.get().region.to_string()
                on:change=choose
            >
                {move || options("")}
            </select>
        </label>
        <label class="field">
            <span>"Only in"</span>
            <select
                id="correct-within"
                title="Nothing changes outside this region"
                prop:value=move || {
                    page.correction_settings.get().within.map(|n| n.to_string()).unwrap_or_default()
                }
                on:change=limit
            >
                {move || options("anywhere")}
            </select>
        </label>
    }
}

#[component]
fn BrushChoice(page: Page) -> impl IntoView {
    let button = move |adds: bool, id: &'static str, name: &'static str, title: &'static str| {
        let tool = Tool::Correct { adds };
        view! {
            <button
                class="choice"
                id=id
                class:chosen=move || page.tool.get() == tool
                aria-pressed=move || (page.tool.get() == tool).to_string()
                title=title
                on:click=move |_| page.toggle_tool(tool)
            >
                {name}
            </button>
        }
    };
    let shape = move |is_ball: bool, name: &'static str, title: &'static str| {
        let is_chosen = move || page.correction_settings.get().is_ball == is_ball;
        view! {
            <button
                class="choice"
                class:chosen=is_chosen
                title=title
                on:click=move |_| page.correction_settings.update(|settings| settings.is_ball = is_ball)
            >
                {name}
            </button>
        }
    };
    let paints = move || matches!(page.tool.get(), Tool::Correct { .. });
    view! {
        <div class="field">
            <span>"Brush"</span>
            <div class="choices">
                {button(true, "paint", "Paint", "Adds to the region (B)")}
                {button(false, "erase", "Erase", "Takes away from the region (E)")}
            </div>
        </div>
        <Show when=paints>
            <div class="field">
                <span>"Shape"</span>
                <div class="choices">
                    {shape(false, "Disc", "In the slice alone")}
                    {shape(true, "Ball", "Through the slices")}
                </div>
            </div>
            <RadiusSlider page />
            <RangeChoice page />
        </Show>
    }
}

/// The intensities that the brush paints.
#[component]
fn RangeChoice(page: Page) -> impl IntoView {
    // At first what the window shows as neither black nor white.
    let toggle = move |event| {
        let input: HtmlInputElement = event_target(&event);
        let window = untrack(|| page.shown_window()).filter(|_| input.checked());
        let range = window.map(|w| [w.level - w.width / 2.0, w.level + w.width / 2.0]);
        page.correction_settings.update(|settings| settings.range = range);
    };
    let range = move || page.correction_settings.get().range;
    let number = move |n: usize, id: &'static str, label: &'static str| {
        let on_input = move |event| {
            if let Ok(value) = event_target_value(&event).parse::<f32>() {
                page.correction_settings.update(|settings| {
                    settings.range.iter_mut().for_each(|range| range[n] = value);
                });
            }
        };
        let value = move || range().map(|range| format!("{:.4}", range[n])).unwrap_or_default();
        view! {
            <input type="number" id=id aria-label=label step="any" prop:value=value on:change=on_input />
        }
    };
    view! {
        <label class="region" title="The brush changes only voxels of the shown channel inside a range of intensities">
            <input type="checkbox" id="threshold" prop:checked=move || range().is_some() on:change=toggle />
            <span>"Only intensities in a range"</span>
        </label>
        <Show when=move || range().is_some()>
            <div class="field range">
                <span>"Range"</span>
                {number(0, "range-low", "Lowest intensity")}
                {number(1, "range-high", "Highest intensity")}
            </div>
        </Show>
    }
}

/// The corrections of the whole region.
#[component]
fn Operations(page: Page) -> impl IntoView {
    let unchanged = RwSignal::new(false);
    let button =
        move |operation: Operation, id: &'static str, name: &'static str, title: &'static str| {
            view! {
                <button
                    class="choice"
                    id=id
                    title=title
                    on:click=move |_| unchanged.set(!page.correct_region(operation))
                >
                    {name}
                </button>
            }
        };
    let plane_choice = move |event| {
        let name = event_target_value(&event);
        if let Some(plane) = Plane::ALL.into_iter().find(|plane| plane.name() == name) {
            page.correction_settings.update(|settings| settings.fill_plane = plane);
        }
    };
    let planes =
        Plane::ALL.map(|p| view! { <option value=p.name()>{p.name().to_lowercase()}</option> });
    let number = move |id: &'static str,
                       label: &'static str,
                       unit: &'static str,
                       step: &'static str| {
        let value = move || {
            let settings = page.correction_settings.get();
            if unit == "mm" { settings.smoothing_mm } else { settings.island_ml }
        };
        let on_change = move |event| {
            let number = event_target_value(&event).parse::<f64>().ok().filter(|x| x.is_finite());
            if let Some(number) = number {
                page.correction_settings.update(|settings| match unit {
                    "mm" => settings.smoothing_mm = number.clamp(0.0, 20.0),
                    _ => settings.island_ml = number.clamp(0.0, 1e4),
                });
            }
        };
        view! {
            <input type="number" id=id aria-label=label min="0" step=step prop:value=value on:change=on_change />
            <span>{unit}</span>
        }
    };
    view! {
        <details class="operations">
            <summary>"Whole region"</summary>
            <div class="operation">
                {button(Operation::FillSlices, "fill-slices", "Fill between slices", "Interpolates the empty slices between drawn ones")}
                <select id="fill-plane" aria-label="The slices that were drawn" on:change=plane_choice>{planes}</select>
            </div>
            <div class="operation">
                {button(Operation::Smooth, "smooth", "Smooth", "Takes the median over a box of this half width")}
                {number("smoothing", "Half width of the smoothing", "mm", "0.5")}
            </div>
            <div class="operation">
                {button(Operation::RemoveSmall, "remove-small", "Remove islands below", "Removes parts that are not connected to a larger one")}
                {number("island", "Volume of a small island", "ml", "0.05")}
            </div>
            <div class="choices">
                {button(Operation::FillHoles, "fill-holes", "Fill holes", "Fills what the region encloses")}
                {button(Operation::KeepLargest, "keep-largest", "Largest island", "Keeps the largest part alone")}
                {button(Operation::KeepIsland, "keep-island", "Keep this island", "Keeps the part under the crosshair alone")}
                {button(Operation::RemoveIsland, "remove-island", "Remove this island", "Removes the part under the crosshair")}
                {button(Operation::Clear, "clear-region", "Remove region", "Removes the whole region")}
            </div>
            <p class="hint" role="status">{move || unchanged.get().then_some("Nothing changed.")}</p>
        </details>
    }
}
