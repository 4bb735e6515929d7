//! The keys of the page, and their list.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, KeyboardEvent};

use super::state::Page;
use super::tools::Tool;

/// The keys with what they do. Those of the slices need the focus on one of them.
const KEYS: [(&str, &str); 18] = [
    ("Arrow keys", "move the crosshair by a voxel (on a slice)"),
    ("Page up, page down", "next or previous slice (on a slice)"),
    ("+ and −", "magnify, reduce (on a slice)"),
    ("Enter", "enlarge this slice, or show all three (on a slice)"),
    ("R", "reset magnification and layout"),
    ("H, held", "hide the overlay"),
    ("C, Shift + C", "next or previous channel"),
    ("1 to 9", "show or hide a region"),
    ("O", "regions filled or as soft outlines"),
    ("V", "voxels as squares or smoothed"),
    ("B, E", "paint or erase the chosen region"),
    ("[ and ]", "smaller or larger brush"),
    ("L, A", "ruler, angle"),
    ("M", "axial slices side by side"),
    ("Ctrl + Z", "undo a correction or a measurement"),
    ("Ctrl + Y, Ctrl + Shift + Z", "do it again"),
    ("?", "this list"),
    ("Esc", "end the tool, close this list"),
];

/// The factor by which a key changes the radius of the brush.
const RADIUS_STEP: f64 = 1.2;

/// The same for a mouse and for fingers.
const GESTURES: [(&str, &str); 7] = [
    ("Drag", "move the crosshair"),
    ("Wheel", "next or previous slice"),
    ("Ctrl + wheel, pinch", "magnify at the pointer"),
    ("Shift + drag, middle button, two fingers", "move the magnified slice"),
    ("Right drag", "window: level up and down, width across"),
    ("Double click, double tap", "enlarge this slice, or show all three"),
    ("Drop", "files, a folder, a ZIP archive or a model"),
];

/// Listens to the keys that work wherever the focus is, except in inputs.
pub fn listen(page: Page) {
    let pressed = window_event_listener(leptos::ev::keydown, move |event| on_key(page, &event));
    let released = window_event_listener(leptos::ev::keyup, move |event| {
        if event.key().eq_ignore_ascii_case("h") {
            page.hides_overlay.set(false);
        }
    });
    // A key that is released in another window is not reported here.
    let left = window_event_listener(leptos::ev::blur, move |_| page.hides_overlay.set(false));
    on_cleanup(move || {
        pressed.remove();
        released.remove();
        left.remove();
    });
}

fn on_key(page: Page, event: &KeyboardEvent) {
    if event.alt_key() || takes_text(event) {
        return;
    }
    if event.ctrl_key() || event.meta_key() {
        match (event.key().to_ascii_lowercase().as_str(), event.shift_key()) {
            ("z", false) => page.undo(),
            ("z", true) | ("y", false) => page.redo(),
            _ => return,
        }
        return event.prevent_default();
    }
    match event.key().as_str() {
        "?" => page.shows_keys.update(|shown| *shown = !*shown),
        "Escape" => {
            page.shows_keys.set(false);
            page.choose_tool(Tool::Crosshair);
        }
        "b" | "B" if untrack(|| page.can_correct()) => {
            page.toggle_tool(Tool::Correct { adds: true })
        }
        "e" | "E" if untrack(|| page.can_correct()) => {
            page.toggle_tool(Tool::Correct { adds: false })
        }
        "l" | "L" if untrack(|| page.shown_channel()).is_some() => page.toggle_tool(Tool::Ruler),
        "a" | "A" if untrack(|| page.shown_channel()).is_some() => page.toggle_tool(Tool::Angle),
        "m" | "M" => page.shows_mosaic.update(|shown| *shown = !*shown),
        "[" => page.set_radius(page.radius_mm.get_untracked() / RADIUS_STEP),
        "]" => page.set_radius(page.radius_mm.get_untracked() * RADIUS_STEP),
        "h" | "H" => page.hides_overlay.set(true),
        "r" | "R" => page.reset_views(),
        "c" => page.cycle_channel(1),
        "C" => page.cycle_channel(-1),
        "o" | "O" if page.probabilities.with_untracked(Option::is_some) => {
            page.is_outlined.update(|outlined| *outlined = !*outlined);
        }
        "v" | "V" => page.shows_voxels.update(|shown| *shown = !*shown),
        key => {
            let Some(number) = key.parse::<usize>().ok().and_then(|n| n.checked_sub(1)) else {
                return;
            };
            page.visible_regions.update(|visible| {
                if let Some(visible) = visible.get_mut(number) {
                    *visible = !*visible;
                }
            });
        }
    }
}

/// Returns whether the key goes to an input.
fn takes_text(event: &KeyboardEvent) -> bool {
    let target = event.target().and_then(|target| target.dyn_into::<HtmlElement>().ok());
    target.is_some_and(|target| {
        let is_text = ["text", "number", "search", "password"];
        match target.tag_name().as_str() {
            "TEXTAREA" | "SELECT" => true,
            "INPUT" => target.get_attribute("type").is_none_or(|kind| is_text.contains(&&kind[..])),
            _ => false,
        }
    })
}

impl Page {
    /// Shows all three planes without magnification.
    pub fn reset_views(self) {
        self.zooms.set(Default::default());
        self.enlarged.set(None);
        self.shows_mosaic.set(false);
        self.shapes.reset();
    }

    /// Shows the next channel that has a scan, or the previous one.
    fn cycle_channel(self, step: isize) {
        let loaded: Vec<usize> = self.slots.with_untracked(|slots| {
            (0..slots.len()).filter(|&n| slots[n].loaded.is_some()).collect()
        });
        let shown = untrack(|| self.shown_index());
        let at = shown.and_then(|shown| loaded.iter().position(|&n| n == shown));
        if let Some(at) = at {
            let next = (at as isize + step).rem_euclid(loaded.len() as isize);
            self.shown_slot.set(loaded[next as usize]);
        }
    }
}

/// The list of the keys.
#[component]
pub fn KeyList(page: Page) -> impl IntoView {
    let rows = |rows: &'static [(&'static str, &'static str)]| {
        rows.iter()
            .map(|(keys, what)| view! { <tr><th scope="row">{*keys}</th><td>{*what}</td></tr> })
            .collect_view()
    };
    let close = NodeRef::<leptos::html::Button>::new();
    Effect::new(move |_| {
        if let Some(close) = close.get() {
            let _ = close.focus();
        }
    });
    view! {
        <Show when=move || page.shows_keys.get()>
            <div class="dialog" role="dialog" aria-modal="true" aria-labelledby="keys-title">
                <div class="panel">
                    <h2 id="keys-title">"Keys and gestures"</h2>
                    <table>
                        <tbody>{rows(&KEYS)}</tbody>
                        <tbody>{rows(&GESTURES)}</tbody>
                    </table>
                    <button node_ref=close on:click=move |_| page.shows_keys.set(false)>"Close"</button>
                </div>
            </div>
        </Show>
    }
}
