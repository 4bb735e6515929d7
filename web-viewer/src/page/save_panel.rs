//! The panel that saves the result.

use leptos::prelude::*;

use super::dicom_file;
use super::saving::{self, Form};
use super::state::Page;

#[component]
pub fn SavePanel(page: Page) -> impl IntoView {
    let has_result = move || page.result.with(Option::is_some);
    let has_numbers = move || has_result() || !page.measurements.with(Vec::is_empty);
    let has_slices = move || page.shown_channel().is_some();
    let has_preparation =
        move || page.result.with(|r| r.as_ref().is_some_and(|r| r.preparation.is_some()));
    let has_dicom = move || has_result() && dicom_file::source_series(page).is_some();
    let names = Memo::new(move |_| page.region_names());
    let options = move || {
        let names = names.get().into_iter().enumerate();
        names.map(|(n, name)| view! { <option value=n.to_string()>{name}</option> }).collect_view()
    };
    let choose = move |event| {
        page.saved_region.set(event_target_value(&event).parse().unwrap_or_default());
    };
    let button = move |form: Form| {
        view! {
            <button id=form.id() class="choice" title=form.title() on:click=move |_| saving::save(page, form)>
                {form.name()}
            </button>
        }
    };
    view! {
        <Show when=move || has_numbers() || has_result()>
            <section class="panel save">
                <h2>"Save"</h2>
                <Show when=has_result>
                    <button id="save" on:click=move |_| saving::save(page, Form::Nifti)>
                        "Save label map"
                    </button>
                    <p class="hint">"NIfTI (.nii.gz) on the scan's grid, with the regions and measurements."</p>
                </Show>
                <div class="choices" id="save-as">
                    <Show when=has_result>
                        {button(Form::Report)}
                        {button(Form::Slicer)}
                        {button(Form::Glb)}
                    </Show>
                    <Show when=has_dicom>{button(Form::Dicom)}</Show>
                    {button(Form::Csv)}
                    {button(Form::Json)}
                    <Show when=has_slices>{button(Form::Picture)}</Show>
                    <Show when=has_preparation>{button(Form::Preparation)}</Show>
                </div>
                <Show when=has_result>
                    <div class="operation">
                        {button(Form::Stl)}
                        <select id="saved-region" aria-label="The region whose surface is saved" on:change=choose>
                            {options}
                        </select>
                    </div>
                </Show>
                <Show when=has_dicom>
                    <p class="hint">"DICOM SEG names the patient, as its study does. The other files name nobody."</p>
                </Show>
                <p class="hint">"Research use only, not a medical device."</p>
            </section>
        </Show>
    }
}
