//! The Dice of each model of an ensemble on known cases, and the selection of a model for a new
//! scan (Pendse et al. 2020, "Ensemble").
//!
//! d_i is the distance of the scan's histograms to those of profiled case i ([`chi_square`]), and
//! Dice_m(i) is the mean Dice of model m on that case. The paper selects the model with the lowest
//! Σ d_i · Dice_m(i). That sum is lowest for a model that is bad on every case. So `similarity`
//! selects the model with the highest mean of Dice_m(i) weighted by 1 / (ε + d_i), which is the
//! best model on similar cases.

use anyhow::{Context, Result, bail, ensure};
use model_core::{Foreground, NUM_BINS, chi_square};
use serde::{Deserialize, Serialize};

use super::made_by::MadeBy;
use super::members::ModelId;
use super::settings::Ensemble;
use trainer_run::DISCLAIMER;

/// ε: a profiled case equal to the scan weighs as much as a thousand cases that share no intensity
/// with it.
const EPSILON: f64 = 1e-3;

/// The version that this code writes and reads.
const VERSION: u32 = 2;

/// The largest profile that is read: thousands of cases of four channels.
pub const MAX_BYTES: u64 = 256 << 20;

/// The Dice of each model on known cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The statement that this is for research only.
    pub disclaimer: String,
    /// The version of the file format.
    pub version: u32,
    /// The foreground whose voxels the histograms count.
    pub foreground: Foreground,
    /// The models, in the order of each case's `dice`, and their settings.
    pub made_by: MadeBy,
    /// The cases.
    pub cases: Vec<ProfiledCase>,
    /// Whether all requested cases are in the profile. False if it was interrupted.
    pub is_complete: bool,
}

/// A known case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfiledCase {
    /// The case's name.
    pub name: String,
    /// SHA-256 over its files, in hexadecimal.
    pub sha256: String,
    /// The mean Dice of each model over the task's regions.
    pub dice: Vec<f64>,
    /// The histogram of each channel.
    pub histograms: Vec<Vec<f64>>,
}

/// The model that was selected for a scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// The model's index.
    pub chosen: usize,
    /// The score of each model. `similarity` selects the highest, `literal` the lowest.
    pub scores: Vec<f64>,
}

impl Profile {
    /// Returns a profile without cases.
    pub fn new(foreground: Foreground, made_by: MadeBy) -> Profile {
        let (version, disclaimer) = (VERSION, DISCLAIMER.to_string());
        let (cases, is_complete) = (Vec::new(), false);
        Profile { disclaimer, version, foreground, made_by, cases, is_complete }
    }

    /// Reads and checks a profile.
    ///
    /// # Errors
    /// Errors if the text is not a profile of this version, or if a number is missing or out of
    /// range.
    pub fn parse(json: &[u8]) -> Result<Profile> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let about = "expected a file that `rewind profile` wrote";
        let found = serde_json::from_slice::<Version>(json).context(about)?.version;
        ensure!(
            found == VERSION,
            "expected a profile of version {VERSION}, found {found}; `rewind profile` makes a new one"
        );
        let profile: Profile = serde_json::from_slice(json).context(about)?;
        ensure!(!profile.made_by.models.is_empty(), "expected at least one model, found none");
        let num_channels = profile.cases.first().map_or(0, |case| case.histograms.len());
        for case in &profile.cases {
            let shares = case.histograms.iter().flatten();
            let is_share = |x: &f64| (0.0..=1.0).contains(x);
            ensure!(
                case.dice.len() == profile.made_by.models.len()
                    && case.histograms.len() == num_channels
                    && case.histograms.iter().all(|bins| bins.len() == NUM_BINS)
                    && case.dice.iter().chain(shares).all(is_share),
                "expected {num_channels} histograms of {NUM_BINS} shares and a Dice for each model, \
                 found others in the case {}",
                case.name
            );
        }
        Ok(profile)
    }

    /// Returns the profile as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a profile is plain data")
    }

    /// Returns the profile restricted to these models, in their order.
    ///
    /// # Errors
    /// Errors if the profile was interrupted, lacks a model, or has another foreground.
    pub fn for_models(mut self, ids: &[ModelId], foreground: Foreground) -> Result<Profile> {
        ensure!(
            self.is_complete && !self.cases.is_empty(),
            "expected a complete profile, found {} cases of an interrupted one; `rewind profile` \
             continues it",
            self.cases.len()
        );
        ensure!(
            self.foreground == foreground,
            "expected histograms over the models' foreground ({foreground:?}), found {:?}",
            self.foreground
        );
        let models = &self.made_by.models;
        let index_of = |id: &ModelId| models.iter().position(|m| m.sha256 == id.sha256);
        let mut indices = Vec::new();
        for id in ids {
            match index_of(id) {
                Some(index) => indices.push(index),
                None => bail!(
                    "expected a profile of all models, found none of {} (SHA-256 {})",
                    id.name,
                    id.sha256
                ),
            }
        }
        for case in &mut self.cases {
            case.dice = indices.iter().map(|&index| case.dice[index]).collect();
        }
        self.made_by.models = ids.to_vec();
        Ok(self)
    }

    /// Selects the model for a scan with these histograms.
    ///
    /// # Errors
    /// Errors if the number of channels differs from the profile's.
    pub fn select(&self, histograms: &[Vec<f64>], rule: Ensemble) -> Result<Selection> {
        let expected = self.cases.first().map_or(0, |case| case.histograms.len());
        let found = histograms.len();
        ensure!(found == expected, "expected {expected} channels as in the profile, found {found}");
        let distances: Vec<f64> =
            self.cases.iter().map(|case| chi_square(histograms, &case.histograms)).collect();
        let dice = |model: usize| self.cases.iter().map(move |case| case.dice[model]);
        let score = |model| score(rule, &distances, dice(model));
        Ok(select_best(rule, (0..self.made_by.models.len()).map(score).collect()))
    }
}

/// Returns a model's score from the distances of the profiled cases and its Dice on these.
fn score(rule: Ensemble, distances: &[f64], dice: impl Iterator<Item = f64>) -> f64 {
    let pairs = distances.iter().zip(dice);
    match rule {
        Ensemble::Literal => pairs.map(|(d, dice)| d * dice).sum(),
        _ => {
            let weight = |d: &f64| 1.0 / (EPSILON + d);
            let total: f64 = distances.iter().map(weight).sum();
            pairs.map(|(d, dice)| weight(d) * dice).sum::<f64>() / total
        }
    }
}

/// Selects the first of the best scores.
fn select_best(rule: Ensemble, scores: Vec<f64>) -> Selection {
    let is_better = |a: f64, b: f64| if rule == Ensemble::Literal { a < b } else { a > b };
    let better = |best, n| if is_better(scores[n], scores[best]) { n } else { best };
    Selection { chosen: (1..scores.len()).fold(0, better), scores }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    /// Two cases whose intensities lie in different bins, with the Dice of two models on each.
    fn profile(dice: [[f64; 2]; 2]) -> Profile {
        let id = |n: usize| ModelId { name: format!("m{n}"), sha256: format!("{n}") };
        let made_by = MadeBy::new(vec![id(0), id(1)], &Settings::default(), None);
        let mut profile = Profile::new(Foreground::Whole, made_by);
        for (n, dice) in dice.into_iter().enumerate() {
            profile.cases.push(ProfiledCase {
                name: format!("c{n}"),
                sha256: String::new(),
                dice: dice.to_vec(),
                histograms: vec![histogram(1.0 - n as f64)],
            });
        }
        profile.is_complete = true;
        profile
    }

    /// A histogram with the share `first` in the first bin and the rest in the second.
    fn histogram(first: f64) -> Vec<f64> {
        let mut bins = vec![0.0; NUM_BINS];
        (bins[0], bins[1]) = (first, 1.0 - first);
        bins
    }

    #[test]
    fn similarity_selects_the_model_that_is_good_on_similar_scans() {
        let profile = profile([[0.9, 0.5], [0.5, 0.8]]);
        let select = |first| profile.select(&[histogram(first)], Ensemble::Similarity).unwrap();
        assert_eq!(select(1.0).chosen, 0);
        assert_eq!(select(0.0).chosen, 1);
        // d = (0, 1): weights 1000 and 1/1.001, sum 1000.999001.
        let score = (1000.0 * 0.9 + 0.5 / 1.001) / (1000.0 + 1.0 / 1.001);
        assert!((select(1.0).scores[0] - score).abs() < 1e-12);
    }

    #[test]
    fn literal_selects_the_lowest_printed_sum() {
        let profile = profile([[0.9, 0.5], [0.5, 0.8]]);
        // d = (0, 1): scores 0.5 and 0.8.
        let found = profile.select(&[histogram(1.0)], Ensemble::Literal).unwrap();
        assert_eq!((found.chosen, found.scores), (0, vec![0.5, 0.8]));
        // d of (½, ½) to either is ⅓.
        let found = profile.select(&[histogram(0.5)], Ensemble::Literal).unwrap();
        let expected = [1.4 / 3.0, 1.3 / 3.0];
        assert!(found.scores.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        assert_eq!(found.chosen, 1);
    }

    /// On every scan the printed rule prefers the model that is worse on every case.
    #[test]
    fn literal_prefers_a_uniformly_worse_model() {
        let profile = profile([[0.9, 0.1], [0.8, 0.2]]);
        for first in [0.0, 0.3, 0.5, 0.9, 1.0] {
            let select = |rule| profile.select(&[histogram(first)], rule).unwrap().chosen;
            assert_eq!((select(Ensemble::Literal), select(Ensemble::Similarity)), (1, 0));
        }
    }

    #[test]
    fn a_profile_is_read_back_and_reordered_for_the_models() {
        let written = profile([[0.9, 0.5], [0.5, 0.8]]);
        let read = Profile::parse(written.to_json().as_bytes()).unwrap();
        assert_eq!(read, written);
        let swapped: Vec<ModelId> = written.made_by.models.iter().rev().cloned().collect();
        let found = read.clone().for_models(&swapped, Foreground::Whole).unwrap();
        assert_eq!(found.cases[0].dice, [0.5, 0.9]);
        let other = ModelId { name: "other".into(), sha256: "x".into() };
        let error = read.clone().for_models(&[other], Foreground::Whole).unwrap_err().to_string();
        assert!(error.contains("found none of other"), "{error}");
        assert!(read.clone().for_models(&swapped, Foreground::Otsu).is_err());
        let interrupted = Profile { is_complete: false, ..read };
        assert!(interrupted.for_models(&swapped, Foreground::Whole).is_err());
    }

    #[test]
    fn a_profile_with_numbers_out_of_range_is_refused() {
        let good = profile([[0.9, 0.5], [0.5, 0.8]]).to_json();
        for (from, to) in [
            ("\"version\":2", "\"version\":1"),
            ("[0.9,0.5]", "[0.9]"),
            ("[0.9,0.5]", "[0.9,1.5]"),
            ("[[1.0,0.0,", "[[1.0,"),
            ("[[1.0,0.0,", "[[-1.0,0.0,"),
        ] {
            assert!(good.contains(from), "{good}");
            assert!(Profile::parse(good.replacen(from, to, 1).as_bytes()).is_err(), "{to}");
        }
        assert!(Profile::parse(b"[]").is_err());
    }
}
