//! The layout of the views: the three slices and the display settings, or where to drop scans.

use leptos::prelude::*;

use super::display_panel::DisplayPanel;
use super::mosaic_view::MosaicView;
use super::shapes_view::ShapesView;
use super::slice_view::SliceView;
use super::state::Page;
use super::status::Phase;
use crate::slice::{Plane, RasFrame};

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
        page.shows_mosaic.track();
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
            class:with-mosaic=move || page.shows_mosaic.get() && !is_empty()
        >
            {Plane::ALL.map(|plane| view! { <SliceView page plane frame resized /> })}
            <Show when=move || page.shows_shapes()>
                <ShapesView page resized />
            </Show>
            <Show when=move || page.shows_mosaic.get() && !is_empty()>
                <MosaicView page frame resized />
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
