//! The controls of the radiological window and the colors.

use leptos::prelude::*;

use super::state::Page;
use crate::slice::{Colormap, Window, window_presets};

/// Sliders of the radiological window, in percent of the default window's width: the level by up to 75 %
/// from the default level, the width up to 200 %.
#[component]
pub fn WindowControls(page: Page) -> impl IntoView {
    let default = move || match page.shown_channel() {
        Some(shown) => shown.default_window,
        None => Window { level: 0.5, width: 1.0 },
    };
    let window = move || page.shown_window().unwrap_or_else(default);
    let level = move || f64::from((window().level - default().level) / default().width * 100.0);
    let width = move || f64::from(window().width / default().width * 100.0);
    let set_level = move |percent: f32| {
        let level = default().level + default().width * percent / 100.0;
        page.set_shown_window(Window { level, ..window() });
    };
    let set_width = move |percent: f32| {
        let width = default().width * percent.max(1.0) / 100.0;
        page.set_shown_window(Window { width, ..window() });
    };
    let presets = Memo::new(move |_| {
        page.shown_channel().map(|shown| window_presets(shown.volume.values())).unwrap_or_default()
    });
    let preset_options = move || {
        presets.get().into_iter().map(|(name, _)| view! { <option>{name}</option> }).collect_view()
    };
    let choose_preset = move |event| {
        let name = event_target_value(&event);
        let chosen = presets.get_untracked().into_iter().find(|(preset, _)| *preset == name);
        untrack(|| match chosen {
            Some((_, window)) => page.set_shown_window(window),
            None => page.reset_shown_window(),
        });
    };
    let maps = Colormap::ALL.map(|map| view! { <option>{map.name()}</option> });
    let choose_map = move |event| {
        let name = event_target_value(&event);
        let chosen = Colormap::ALL.into_iter().find(|map| map.name() == name);
        page.colormap.set(chosen.unwrap_or_default());
    };
    view! {
        <div class="field">
            <span>"Window"</span>
            <select id="window-preset" aria-label="Window" on:change=choose_preset>
                <option value="">"Standard"</option>
                {preset_options}
            </select>
        </div>
        <label class="field">
            <span>"Level"</span>
            <input
                type="range"
                min="-75"
                max="75"
                prop:value=level
                on:input=move |event| untrack(|| set_level(input_number(&event)))
            />
            <output>{move || short_number(window().level)}</output>
        </label>
        <label class="field">
            <span>"Width"</span>
            <input
                type="range"
                min="1"
                max="200"
                prop:value=width
                on:input=move |event| untrack(|| set_width(input_number(&event)))
            />
            <output>{move || short_number(window().width)}</output>
        </label>
        <label class="field">
            <span>"Colors"</span>
            <select id="colormap" on:change=choose_map>{maps}</select>
        </label>
    }
}

/// Formats a number of any magnitude in a few characters.
pub fn short_number(value: f32) -> String {
    match value.abs() {
        x if x >= 1e5 => format!("{value:.2e}"),
        x if x >= 100.0 || x == 0.0 => format!("{value:.0}"),
        x if x >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// Returns the number of an input.
pub fn input_number(event: &leptos::ev::Event) -> f32 {
    event_target_value(event).parse().unwrap_or_default()
}
