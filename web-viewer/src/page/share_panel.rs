//! The panel that makes a share link.

use leptos::prelude::*;
use web_sys::HtmlInputElement;

use super::actions;
use super::state::Page;

#[component]
pub fn SharePanel(page: Page) -> impl IntoView {
    let select = |event: web_sys::FocusEvent| {
        let input: HtmlInputElement = event_target(&event);
        input.select();
    };
    let has_link = move || !page.share_link.with(String::is_empty);
    view! {
        <Show when=move || page.result.with(Option::is_some)>
        <section class="panel share">
            <h2>"Share"</h2>
            <button id="copy-link" on:click=move |_| actions::copy_link(page)>
                "Copy link"
            </button>
            <Show when=has_link>
                <input
                    id="share-link"
                    type="text"
                    readonly
                    aria-label="Link to this result"
                    prop:value=move || page.share_link.get()
                    on:focus=select
                />
            </Show>
            <p class="hint">
                <strong>"Anyone who has this link can read the result."</strong>
                " The link holds the label map, its position, the volumes and the measurements, but no scan and \
                 no name of a person or a file. Nothing is uploaded: the result is in the link itself."
            </p>
        </section>
        </Show>
    }
}
