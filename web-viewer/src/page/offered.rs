//! The models that the server offers, and their cases.

use leptos::prelude::*;

use super::browser;
use super::opened::open_server_model;
use super::scans;
use super::series::ScanFile;
use super::state::{Interruption, Page};
use super::status::Phase;
use crate::demo::Manifest;

async fn fetch_manifest() -> Result<Manifest, String> {
    Manifest::parse(&browser::fetch("demo/manifest.json").await?)
}

/// Opens the first model that the server offers, if it offers any.
///
/// # Errors
/// If the model cannot be opened.
pub async fn open_first(page: Page) -> Result<(), Interruption> {
    // A server without a demonstration is no error: the page then waits for a model.
    let Ok(Manifest { models }) = fetch_manifest().await else { return Ok(()) };
    page.offered.set(models.clone());
    let model = open_server_model(&format!("demo/{}", models[0].bundle)).await?;
    // A model or a link that the user opened meanwhile takes precedence.
    if page.model.with_untracked(Option::is_none) && !page.is_from_link.get_untracked() {
        page.show_model(model, Some(0));
    }
    Ok(())
}

/// Opens a model that the server offers.
pub fn open_offered(page: Page, index: usize) {
    let token = page.begin_action();
    page.run(token, async move {
        let offered = page.offered.with_untracked(|models| models.get(index).cloned());
        let offered = offered.ok_or_else(|| "the server does not offer this model".to_string())?;
        page.set_status(Phase::Loading, format!("Loading {}", offered.name));
        let model = open_server_model(&format!("demo/{}", offered.bundle)).await?;
        page.check_current(token)?;
        page.is_from_link.set(false);
        page.show_model(model, Some(index));
        page.update_status();
        Ok(())
    });
}

/// Opens a case of the server: that of the open model if it has one, otherwise the first, with its
/// model.
pub fn open_demo(page: Page) {
    let token = page.begin_action();
    page.run(token, async move {
        page.set_status(Phase::Loading, "Loading the demonstration");
        let missing = |error: String| {
            format!(
                "this server has no demonstration: {error}. `cargo xtask demo` makes one; \
                 `rewind-serve --demo` serves it."
            )
        };
        let Manifest { models } = fetch_manifest().await.map_err(missing)?;
        page.offered.set(models.clone());
        let open = page.chosen.get_untracked();
        let case_of = |index: usize| Some((index, models.get(index)?.case.clone()?));
        let found = open.and_then(case_of).or_else(|| (0..models.len()).find_map(case_of));
        let (index, case) = found.ok_or_else(|| missing("no model has a case".into()))?;
        let model = open_server_model(&format!("demo/{}", models[index].bundle)).await?;
        page.check_current(token)?;
        page.is_from_link.set(false);
        page.show_model(model, Some(index));
        let mut files = Vec::new();
        for name in &case.files {
            let bytes = browser::fetch(&format!("demo/{name}")).await?;
            files.push(ScanFile { path: name.clone(), bytes: browser::array_buffer(&bytes) });
        }
        scans::load(page, token, files, None).await
    });
}
