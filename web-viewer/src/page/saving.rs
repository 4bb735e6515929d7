//! Saves the result and the measurements as files.

use leptos::prelude::*;
use model_core::formats::{nifti, segmentation};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};

use super::state::Page;
use super::{browser, dicom_file, surface_files};
use crate::messages::{self, DISCLAIMER};
use crate::numbers::ResultNumbers;
use crate::report::{self, Picture};
use crate::share::{self, SharedRegion, SharedResult};
use crate::slice::Plane;

/// A form in which something is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The label map.
    Nifti,
    /// A page with pictures and numbers.
    Report,
    /// The numbers as a table.
    Csv,
    /// The numbers for other programs.
    Json,
    /// The slices as they are shown.
    Picture,
    /// The label map as 3D Slicer's segmentation.
    Slicer,
    /// The label map as a segmentation object of the DICOM study.
    Dicom,
    /// The surfaces of all regions.
    Glb,
    /// The surface of the region that is corrected.
    Stl,
    /// The steps of the preparation, with their matrices.
    Preparation,
}

impl Form {
    /// Returns the id of the form's button.
    pub fn id(self) -> &'static str {
        match self {
            Form::Nifti => "save",
            Form::Report => "save-report",
            Form::Csv => "save-csv",
            Form::Json => "save-json",
            Form::Picture => "save-picture",
            Form::Slicer => "save-slicer",
            Form::Dicom => "save-dicom",
            Form::Glb => "save-glb",
            Form::Stl => "save-stl",
            Form::Preparation => "save-preparation",
        }
    }

    /// Returns the name on the form's button.
    pub fn name(self) -> &'static str {
        match self {
            Form::Nifti => "Label map",
            Form::Report => "Report",
            Form::Csv => "CSV",
            Form::Json => "JSON",
            Form::Picture => "Picture",
            Form::Slicer => "Slicer",
            Form::Dicom => "DICOM SEG",
            Form::Glb => "Surfaces (GLB)",
            Form::Stl => "STL",
            Form::Preparation => "Preparation",
        }
    }

    /// Returns what the form holds.
    pub fn title(self) -> &'static str {
        match self {
            Form::Nifti => "NIfTI on the scan's grid",
            Form::Report => {
                "One page with pictures, volumes and measurements (HTML, to print or to keep)"
            }
            Form::Csv => "Volumes and measurements as a table",
            Form::Json => "Volumes and measurements with their points, for other programs",
            Form::Picture => "The slices as they are shown (PNG)",
            Form::Slicer => "A segmentation of 3D Slicer (.seg.nrrd), with names and colors",
            Form::Dicom => {
                "A segmentation object that refers to the images of this study. It names the patient, as they do"
            }
            Form::Glb => "The surfaces of all regions with names and colors",
            Form::Stl => "The surface of the region that is chosen here, in mm",
            Form::Preparation => "The steps of the preparation with their matrices (JSON)",
        }
    }
}

/// Saves the result in a form. The page shows an error.
pub fn save(page: Page, form: Form) {
    let (name, content_type) = match form {
        Form::Dicom => return dicom_file::save(page),
        Form::Glb => return surface_files::save_glb(page),
        Form::Stl => return surface_files::save_stl(page, page.saved_region.get_untracked()),
        Form::Slicer => ("segmentation_research_use_only.seg.nrrd", "application/octet-stream"),
        Form::Nifti => ("segmentation_research_use_only.nii.gz", "application/gzip"),
        Form::Report => ("report_research_use_only.html", "text/html"),
        Form::Csv => ("numbers_research_use_only.csv", "text/csv"),
        Form::Json => ("numbers_research_use_only.json", "application/json"),
        Form::Picture => ("picture_research_use_only.png", "image/png"),
        Form::Preparation => ("preparation_research_use_only.json", "application/json"),
    };
    let bytes = match form {
        Form::Dicom | Form::Glb | Form::Stl => None,
        Form::Slicer => match slicer(page) {
            Some(Err(error)) => return page.show_error(error.to_string()),
            other => other.and_then(Result::ok),
        },
        Form::Nifti => label_map(page),
        Form::Report => report(page),
        Form::Csv => numbers(page).map(|numbers| numbers.to_csv().into_bytes()),
        Form::Json => numbers(page).map(|numbers| numbers.to_json().into_bytes()),
        Form::Picture => pictures(page),
        Form::Preparation => page.result.with_untracked(|result| {
            let record = result.as_ref()?.preparation.as_ref()?;
            Some(record.to_json().into_bytes())
        }),
    };
    let Some(bytes) = bytes else {
        return page.show_error(format!("cannot make {name}: the browser gave no memory for it"));
    };
    if let Err(error) = browser::save(name, content_type, &bytes) {
        page.show_error(format!("cannot save {name}: {}", browser::error_text(&error)));
    }
}

fn label_map(page: Page) -> Option<Vec<u8>> {
    let result = page.result.get_untracked()?;
    let description = messages::description(&result.model.tiles, result.num_edited);
    let shared = SharedResult {
        convention: page.convention.get_untracked(),
        measurements: page.measurements.get_untracked(),
        ..(*result).clone()
    };
    // Without the comment, as of a map that is too large for a link, the labels are whole all the same.
    let comment = share::file_comment(&shared).unwrap_or_default();
    Some(nifti::write_labels_with_texts(&result.labels, &description, &comment))
}

fn slicer(page: Page) -> Option<model_core::Result<Vec<u8>>> {
    let result = page.result.get_untracked()?;
    let segments: Vec<_> = result.regions.iter().map(SharedRegion::segment).collect();
    Some(segmentation::write_nrrd(&result.labels, &segments))
}

fn numbers(page: Page) -> Option<ResultNumbers> {
    let measurements = page.measurements.get_untracked();
    match page.result.get_untracked() {
        Some(result) => {
            let comparison = untrack(|| page.comparisons());
            let surfaces = page.update_surfaces();
            let surfaces = surfaces.iter().flat_map(|surfaces| &surfaces.regions);
            let surfaces_cm2: Vec<Option<f64>> =
                surfaces.map(|surface| Some(surface.mesh.area_mm2() / 100.0)).collect();
            let numbers = ResultNumbers::new(&result, &measurements, &surfaces_cm2);
            Some(ResultNumbers { comparison, ..numbers })
        }
        None => {
            let shown = untrack(|| page.shown_channel())?;
            Some(ResultNumbers::of_measurements(shown.volume.grid(), &measurements))
        }
    }
}

fn report(page: Page) -> Option<Vec<u8>> {
    let result = page.result.get_untracked()?;
    let numbers = numbers(page)?;
    let card = page.model.with_untracked(|model| {
        model.as_ref().map(|model| (model.hash.clone(), model.card.clone()))
    });
    // A linked result was made by a model that need not be open.
    let card = card.filter(|(hash, _)| *hash == result.model.hash).map(|(_, card)| card);
    let pictures = canvases()
        .into_iter()
        .zip(Plane::ALL)
        .filter_map(|(canvas, plane)| {
            let url = canvas.to_data_url().ok()?;
            Some(Picture { title: plane.name().to_string(), url })
        })
        .collect::<Vec<_>>();
    let edited = super::correcting::edited_text(&result.labels, result.num_edited);
    let run = page.run_summary.get_untracked();
    let html = report::html(&report::Content {
        numbers: &numbers,
        colors: &result.regions.iter().map(|region| region.color).collect::<Vec<_>>(),
        pictures: if untrack(|| page.shown_channel()).is_some() { &pictures } else { &[] },
        card: card.as_ref(),
        sentences: &[edited, result.model.warning.clone(), run],
        code_version: env!("CARGO_PKG_VERSION"),
    });
    Some(html.into_bytes())
}

/// Returns the canvases of the slices, in the order of the planes.
fn canvases() -> Vec<HtmlCanvasElement> {
    let Ok(list) = document().query_selector_all(".view canvas") else { return Vec::new() };
    (0..list.length())
        .filter_map(|n| list.get(n)?.dyn_into::<HtmlCanvasElement>().ok())
        .take(Plane::ALL.len())
        .collect()
}

/// Returns the slices side by side, as PNG.
fn pictures(page: Page) -> Option<Vec<u8>> {
    let enlarged = page.enlarged.get_untracked();
    let is_shown = |plane: &Plane| enlarged.is_none_or(|shown| shown == *plane);
    let shown: Vec<HtmlCanvasElement> = canvases()
        .into_iter()
        .zip(Plane::ALL)
        .filter(|(_, plane)| is_shown(plane))
        .map(|(canvas, _)| canvas)
        .collect();
    joined(&shown).ok()
}

/// Draws canvases side by side over the disclaimer.
fn joined(canvases: &[HtmlCanvasElement]) -> Result<Vec<u8>, JsValue> {
    const LINE: u32 = 28;
    let width = canvases.iter().map(HtmlCanvasElement::width).sum::<u32>().max(1);
    let height = canvases.iter().map(HtmlCanvasElement::height).max().unwrap_or(1);
    let canvas: HtmlCanvasElement = document().create_element("canvas")?.unchecked_into();
    canvas.set_width(width);
    canvas.set_height(height + LINE);
    let context: CanvasRenderingContext2d =
        canvas.get_context("2d")?.ok_or(JsValue::NULL)?.unchecked_into();
    context.set_fill_style_str("#000");
    context.fill_rect(0.0, 0.0, width.into(), (height + LINE).into());
    let mut left = 0.0;
    for part in canvases {
        context.draw_image_with_html_canvas_element(part, left, 0.0)?;
        left += f64::from(part.width());
    }
    context.set_fill_style_str("#f2c46d");
    context.set_font("14px system-ui, sans-serif");
    context.set_text_baseline("middle");
    context.fill_text(DISCLAIMER, 10.0, f64::from(height + LINE / 2))?;
    let url = canvas.to_data_url()?;
    let base64 = url.split_once(',').map(|(_, data)| data).ok_or(JsValue::NULL)?;
    use base64::Engine;
    let decoded = base64::prelude::BASE64_STANDARD.decode(base64);
    decoded.map_err(|error| JsValue::from_str(&error.to_string()))
}
