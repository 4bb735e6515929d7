//! The user's actions on series and their preparation.

use leptos::prelude::*;
use model_core::LabelMap;
use model_core::prepare::{BRAIN, BrainChoice, BrainStep, PlacementChoice, Role};

use super::preparation;
use super::prepared::PreparationChoices;
use super::state::{Comparison, Interruption, Page};
use super::status::Phase;
use super::{recovery, scans, series};

/// Gives a series the role that the user chose, then prepares the channels again.
pub fn choose_role(page: Page, n: usize, role: Role) {
    change_preparation(page, move || series::choose(page, n, role), true);
}

/// Changes a choice of the preparation, then prepares the channels again.
pub fn change_choices(page: Page, change: impl FnOnce(&mut PreparationChoices) + 'static) {
    change_preparation(page, move || page.choices.update(change), false);
}

/// Changes something before the preparation, and prepares the channels again. If the series changed,
/// they are decoded first.
fn change_preparation(page: Page, change: impl FnOnce(), is_of_series: bool) {
    if page.status.with_untracked(|status| status.phase == Phase::Running) {
        return;
    }
    let token = page.begin_action();
    page.clear_result();
    change();
    page.run(token, async move {
        match is_of_series {
            true => scans::use_series(page, token).await,
            false => scans::prepare_and_plan(page, token).await,
        }
    });
}

/// Ends a preparation that takes long, and takes the scans as they are stored, with the skull.
pub fn skip_preparation(page: Page) {
    page.choices.update(|choices| {
        choices.placement.choices = vec![PlacementChoice::AsStored];
        choices.brain = BrainChoice::Keep;
    });
    recovery::restart_worker(page);
}

/// Shows the comparison of the shown channel with the reference, after loading what it needs.
pub fn compare(page: Page, comparison: Comparison) {
    page.comparison.set(comparison);
    let Some(shown) = untrack(|| page.shown_index()) else { return };
    let is_loaded = page.before.with_untracked(|b| b.as_ref().is_some_and(|(n, _)| *n == shown));
    if comparison == Comparison::Before && !is_loaded {
        page.run(page.current_action(), async move {
            preparation::load_before(page, shown).await.map_err(Interruption::Failed)
        });
    }
}

/// Uses the painted mask of the brain: masks the channels again, and plans a run.
pub fn use_painted_mask(page: Page, mask: LabelMap) {
    let Some(mut prepared) = page.preparation.get_untracked() else { return };
    let token = page.begin_action();
    page.clear_result();
    page.plan.set(None);
    page.run(token, async move {
        prepared.brain =
            BrainStep::Extracted { volume_ml: mask.volume_ml(&[BRAIN]), is_edited: true };
        preparation::apply_mask(&mut prepared, mask.into()).await?;
        page.check_current(token)?;
        page.preparation.set(Some(prepared));
        scans::plan_run(page, token).await
    });
}
