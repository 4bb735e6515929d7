//! The panel of the measurements.

use leptos::prelude::*;

use super::correct_panel::UndoButtons;
use super::state::Page;
use super::tools::Tool;
use crate::measure::Measurement;

#[component]
pub fn MeasurePanel(page: Page) -> impl IntoView {
    let has_scan = Memo::new(move |_| page.shown_channel().is_some());
    let is_shown = move || has_scan.get() || !page.measurements.with(Vec::is_empty);
    let button = move |tool: Tool, id: &'static str, name: &'static str, title: &'static str| {
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
    let hint = move || match (page.tool.get(), page.sketch.with(Vec::len)) {
        (Tool::Ruler, 0) => {
            "Drag from one point to the other, or click both. They may lie in different slices."
        }
        (Tool::Ruler, _) => "Click the other point.",
        (Tool::Angle, 0) => "Click a point on the first leg.",
        (Tool::Angle, 1) => "Click the corner.",
        (Tool::Angle, _) => "Click a point on the second leg.",
        _ if page.measurements.with(Vec::is_empty) => "",
        _ => "Drag a point to move it.",
    };
    view! {
        <Show when=is_shown>
            <section class="panel measure">
                <h2>"Measure"</h2>
                <Show when=move || has_scan.get()>
                    <div class="choices">
                        {button(Tool::Ruler, "ruler", "Ruler", "A distance in mm (L)")}
                        {button(Tool::Angle, "angle", "Angle", "An angle in degrees (A)")}
                    </div>
                </Show>
                <DiametersChoice page />
                <p class="hint" role="status">{hint}</p>
                <MeasurementList page />
                <Show when=move || !page.can_correct() && page.corrections.with(|c| c.history.can_undo() || c.history.can_redo())>
                    <UndoButtons page />
                </Show>
            </section>
        </Show>
    }
}

/// Measures the diameters of a region's lesions.
#[component]
fn DiametersChoice(page: Page) -> impl IntoView {
    let names = Memo::new(move |_| page.region_names());
    let region = RwSignal::new(0usize);
    // Response is measured on the enhancing part, which is the innermost region.
    Effect::new(move |_| region.set(names.with(Vec::len).saturating_sub(1)));
    let options = move || {
        let names = names.get().into_iter().enumerate();
        names
            .map(|(n, name)| {
                view! { <option value=n.to_string() selected=move || region.get() == n>{name}</option> }
            })
            .collect_view()
    };
    let choose = move |event| region.set(event_target_value(&event).parse().unwrap_or_default());
    view! {
        <Show when=move || !names.with(Vec::is_empty)>
            <div class="operation">
                <button
                    class="choice"
                    id="diameters"
                    title="The longest diameter of each lesion on its largest axial slice, and the one perpendicular to it (RANO)"
                    on:click=move |_| page.measure_lesions(region.get_untracked())
                >
                    "Diameters of"
                </button>
                <select id="diameters-region" aria-label="The region whose lesions are measured" on:change=choose>
                    {options}
                </select>
            </div>
        </Show>
    }
}

#[component]
fn MeasurementList(page: Page) -> impl IntoView {
    let row = move |(n, measurement): (usize, Measurement)| {
        let note = measurement.shape.note();
        let delete = format!("Delete {}", measurement.name);
        view! {
            <li>
                <button class="quiet go" title="Show it" on:click=move |_| page.go_to_measurement(n)>
                    {measurement.name}
                </button>
                <button class="quiet" aria-label=delete title="Delete" on:click=move |_| page.delete_measurement(n)>
                    "×"
                </button>
                <output>{measurement.shape.text()}</output>
                {(!note.is_empty()).then(|| view! { <span class="hint">{note}</span> })}
            </li>
        }
    };
    let rows = move || page.measurements.get().into_iter().enumerate().map(row).collect_view();
    view! { <ul id="measurements">{rows}</ul> }
}
