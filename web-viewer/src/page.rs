//! The page. Its components hold no state of their own: they show [`state::Page`] and call
//! [`actions`].

mod actions;
mod browser;
mod canvas;
mod client;
mod compare_panel;
mod correct_panel;
mod correcting;
mod corrections;
mod diagnostics;
mod dicom_file;
mod display_panel;
mod keys;
mod marks;
mod mask_painting;
mod measure_panel;
mod measuring;
mod model_cache;
mod model_panel;
mod mosaic_view;
mod offered;
mod opened;
mod other_map;
mod pointers;
mod preparation;
mod preparation_actions;
mod preparation_panel;
mod prepared;
mod probabilities;
mod recovery;
mod result_panel;
mod run_panel;
mod save_panel;
mod saved_result;
mod saving;
mod scan_panel;
mod scans;
mod series;
mod series_panel;
mod shapes;
mod shapes_canvas;
mod shapes_update;
mod shapes_view;
mod share_panel;
mod shown;
mod slice_pointer;
mod slice_view;
mod state;
mod status;
mod status_line;
mod surface_files;
mod tool_choice;
mod tools;
mod views;
mod window_controls;

use leptos::prelude::*;
use web_sys::DragEvent;

use crate::share;
use state::Page;
use status::Phase;

/// Mounts the page in the document, starts its worker, and opens the shared result in the address or the
/// server's model.
pub fn start() {
    let page = Page::new();
    let root = browser::element("app");
    root.set_inner_html("");
    mount_to(root, move || view! { <App page /> }).forget();
    actions::check_gpu(page);
    match recovery::start_worker(page) {
        Ok(()) => {
            recovery::watch_worker(page);
            actions::open_address(page);
        }
        Err(error) => page.show_error(error),
    }
    // A link entered into the address of an open page changes only the fragment.
    window_event_listener_untyped("hashchange", |_| {
        if share::is_share_fragment(&browser::address().1) {
            let _ = window().location().reload();
        }
    });
}

#[component]
fn App(page: Page) -> impl IntoView {
    let is_dragging = RwSignal::new(false);
    let on_drop = move |event: DragEvent| {
        event.prevent_default();
        is_dragging.set(false);
        actions::open_drop(page, event.data_transfer(), None);
    };
    keys::listen(page);
    view! {
        <div
            class="page"
            class:dragging=is_dragging
            on:dragover=move |event| {
                event.prevent_default();
                is_dragging.set(true);
            }
            on:dragleave=move |_| is_dragging.set(false)
            on:drop=on_drop
        >
            <Header page />
            <main>
                <aside class="left" aria-label="Scans, model and segmentation">
                    <div class="scrolling">
                        <scan_panel::ScanPanel page />
                        <series_panel::SeriesPanel page />
                        <model_panel::ModelPanel page />
                    </div>
                    <run_panel::RunPanel page />
                </aside>
                <views::Views page />
                <aside class="right" aria-label="Preparation and result">
                    <div class="scrolling">
                        <preparation_panel::PreparationPanel page />
                        <result_panel::ResultPanel page />
                        <correct_panel::CorrectPanel page />
                        <measure_panel::MeasurePanel page />
                        <compare_panel::ComparePanel page />
                        <save_panel::SavePanel page />
                        <share_panel::SharePanel page />
                    </div>
                </aside>
            </main>
            <keys::KeyList page />
        </div>
    }
}

#[component]
fn Header(page: Page) -> impl IntoView {
    let status = page.status;
    view! {
        <header>
            <div class="brand">
                <span class="mark"></span>
                <h1>"Rewind"</h1>
                <span class="tagline">"Segmentation in your browser"</span>
            </div>
            <p
                id="status"
                role="status"
                aria-live="polite"
                data-state=move || status.get().phase.name()
                title=move || status.get().text
            >
                {move || status.get().text}
            </p>
            <p class="private" title="Nothing is uploaded. The network runs on this computer.">
                "Scans stay on this computer"
            </p>
        </header>
        <Show when=move || page.notice.with(|text| !text.is_empty())>
            <div class="notice" role="status">
                <p>{move || page.notice.get()}</p>
                <button class="quiet" on:click=move |_| page.notice.set(String::new())>
                    "Close"
                </button>
            </div>
        </Show>
        <Show when=move || status.get().phase == Phase::Error>
            <div class="error" role="alert">
                <p>{move || status.get().text}</p>
                <button class="quiet" on:click=move |_| page.update_status()>"Close"</button>
            </div>
        </Show>
    }
}
