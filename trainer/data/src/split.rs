//! Splits the cases into training and held-out cases, as a function of the seed.

use std::cmp::Reverse;
use std::collections::HashMap;

use anyhow::{Result, bail, ensure};

use trainer_run::config::TrainConfig;
use trainer_run::rng::{RngStream, generator, permutation};

/// Splits `count` cases of different patients. Returns the numbers of the training cases and of the
/// held-out cases, each in ascending order.
///
/// # Errors
/// Errors if no case remains to train on, or if a fold would be empty.
pub fn split(config: &TrainConfig, count: usize) -> Result<(Vec<usize>, Vec<usize>)> {
    split_by_patient(config, &(0..count).collect::<Vec<_>>())
}

/// Splits cases and keeps the cases of each patient together. `patients` holds the number of each
/// case's patient. The number of held-out cases is as close to the settings as the patients allow.
///
/// # Errors
/// See [`split`].
pub fn split_by_patient(
    config: &TrainConfig,
    patients: &[usize],
) -> Result<(Vec<usize>, Vec<usize>)> {
    let count = patients.len();
    ensure!(count > 0, "expected at least one case with labels, found none");
    let seed = config.split_seed.unwrap_or(config.seed);
    let order = permutation(&mut generator(seed, RngStream::Split, 0), count);
    let groups = group_by_patient(&order, patients);
    let mut held_out = match config.fold {
        Some(fold) => {
            let units = if groups.len() < count { "patients" } else { "cases" };
            ensure!(
                config.folds <= groups.len(),
                "expected at least as many {units} as folds, {}, found {}",
                config.folds,
                groups.len()
            );
            fold_cases(groups, config.folds, fold)
        }
        None => {
            let number = num_held_out(config, count)?;
            ensure!(
                number == 0 || groups.len() > 1,
                "expected cases of more than one patient, so that some can be held out, found \
                 {count} cases of one; set held_out = 0 to validate on the training cases, or \
                 group_by to tell the patients apart"
            );
            closest_cases(groups, number, count)
        }
    };
    held_out.sort_unstable();
    let training = (0..count).filter(|number| held_out.binary_search(number).is_err()).collect();
    Ok((training, held_out))
}

fn num_held_out(config: &TrainConfig, count: usize) -> Result<usize> {
    let held_out = config.held_out;
    let number = match held_out {
        0.0 => 0,
        below if below < 1.0 => ((below * count as f64).round() as usize).max(1),
        number => number as usize,
    };
    if number >= count {
        bail!(
            "expected more cases than the {number} that are held out, found {count}; add cases, or \
             set held_out = 0 to validate on the training cases"
        );
    }
    Ok(number)
}

/// Groups cases by patient, in the order of each patient's first case.
fn group_by_patient(order: &[usize], patients: &[usize]) -> Vec<Vec<usize>> {
    let mut group_of_patient: HashMap<usize, usize> = HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for &case in order {
        let group = *group_of_patient.entry(patients[case]).or_insert(groups.len());
        if group == groups.len() {
            groups.push(Vec::new());
        }
        groups[group].push(case);
    }
    groups
}

/// Returns the cases of a fold. Patients with the most cases are assigned first, each to the fold
/// with the fewest cases so far.
fn fold_cases(mut groups: Vec<Vec<usize>>, folds: usize, fold: usize) -> Vec<usize> {
    groups.sort_by_key(|group| Reverse(group.len()));
    let mut all: Vec<Vec<usize>> = vec![Vec::new(); folds];
    for group in groups {
        let smallest = all.iter_mut().min_by_key(|cases| cases.len()).expect("there are folds");
        smallest.extend(group);
    }
    all.swap_remove(fold)
}

/// Returns the cases of the patients whose total is closest to `number`: at least one case, and
/// fewer than `count`. Earlier patients are preferred.
fn closest_cases(groups: Vec<Vec<usize>>, number: usize, count: usize) -> Vec<usize> {
    if number == 0 {
        return Vec::new();
    }
    // Subset sum by dynamic programming. For each sum, the first group that completes it; the rest
    // of the sum is reached by earlier groups.
    let mut last: Vec<Option<usize>> = vec![None; count];
    let mut total = 0;
    for (n, group) in groups.iter().enumerate() {
        total += group.len();
        for sum in (group.len()..=total.min(count - 1)).rev() {
            let rest = sum - group.len();
            if last[sum].is_none() && (rest == 0 || last[rest].is_some_and(|before| before < n)) {
                last[sum] = Some(n);
            }
        }
        if last[number].is_some() {
            break;
        }
    }
    let reached = (1..count).filter(|&sum| last[sum].is_some());
    let mut sum = reached.min_by_key(|sum| sum.abs_diff(number)).unwrap_or(0);
    let mut cases = Vec::new();
    while let Some(group) = last.get(sum).copied().flatten() {
        cases.extend(&groups[group]);
        sum -= groups[group].len();
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> TrainConfig {
        TrainConfig::parse(text).unwrap()
    }

    #[test]
    fn the_split_is_fixed_by_the_seed_and_covers_all_cases() {
        let (training, held_out) = split(&config("held_out = 0.2"), 20).unwrap();
        assert_eq!((training.len(), held_out.len()), (16, 4));
        assert!(held_out.iter().all(|number| !training.contains(number)));
        assert_eq!(split(&config("held_out = 4"), 20).unwrap().1, held_out);
        assert_ne!(split(&config("seed = 1"), 20).unwrap().1, held_out);
        assert_eq!(split(&config("seed = 1\nsplit_seed = 0"), 20).unwrap().1, held_out);
        let paper = split(&config("recipe = \"pendse\""), 370).unwrap();
        assert_eq!((paper.0.len(), paper.1.len()), (330, 40));
    }

    #[test]
    fn a_split_without_training_cases_is_refused() {
        assert!(split(&config("held_out = 0.2"), 1).is_err());
        assert!(split(&config("held_out = 3"), 3).is_err());
        assert_eq!(split(&config("held_out = 0"), 1).unwrap(), (vec![0], vec![]));
        assert_eq!(split(&config("held_out = 0.1"), 3).unwrap().1.len(), 1);
        assert!(split(&config("folds = 5\nfold = 0"), 4).is_err());
    }

    #[test]
    fn cases_of_a_patient_stay_together_and_the_fraction_is_kept() {
        // 30 cases of 10 patients, and 20 patients with one case.
        let patients: Vec<usize> = (0..30).map(|n| n / 3 * 3).chain(30..50).collect();
        let is_whole = |cases: &[usize]| {
            let has_patient = |n: usize| cases.iter().any(|&case| patients[case] == patients[n]);
            (0..50).all(|n| cases.contains(&n) || !has_patient(n))
        };
        for seed in 0..20 {
            let config = config(&format!("held_out = 0.2\nseed = {seed}"));
            let (training, held_out) = split_by_patient(&config, &patients).unwrap();
            assert_eq!((training.len(), held_out.len()), (40, 10));
            assert!(is_whole(&held_out) && is_whole(&training));
        }
        let fold = |fold: usize| {
            split_by_patient(&config(&format!("folds = 4\nfold = {fold}")), &patients).unwrap().1
        };
        let mut all: Vec<usize> = (0..4).flat_map(fold).collect();
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
        assert!((0..4).all(|n| is_whole(&fold(n)) && (12..=13).contains(&fold(n).len())));
    }

    #[test]
    fn the_number_held_out_is_the_closest_that_the_patients_allow() {
        let num_held_out = |sizes: &[usize], held_out: usize| {
            let numbered = sizes.iter().enumerate();
            let patients: Vec<usize> =
                numbered.flat_map(|(n, &size)| std::iter::repeat_n(n, size)).collect();
            let split = split_by_patient(&config(&format!("held_out = {held_out}")), &patients);
            split.map(|(_, held_out)| held_out.len()).ok()
        };
        assert_eq!(num_held_out(&[2, 2, 2, 2, 2], 4), Some(4));
        assert_eq!(num_held_out(&[2, 2, 2], 3), Some(2));
        assert_eq!(num_held_out(&[3, 3, 2, 2], 4), Some(4));
        assert_eq!(num_held_out(&[5, 5], 1), Some(5), "at least one is held out");
        assert_eq!(num_held_out(&[4], 1), None);
        assert!(split_by_patient(&config("folds = 3\nfold = 0"), &[0, 0, 1, 1]).is_err());
    }

    #[test]
    fn every_case_is_held_out_in_exactly_one_fold() {
        let fold = |fold: usize| {
            let (training, held_out) =
                split(&config(&format!("folds = 5\nfold = {fold}")), 23).unwrap();
            assert_eq!(training.len() + held_out.len(), 23);
            assert!(held_out.iter().all(|n| !training.contains(n)));
            held_out
        };
        let mut all: Vec<usize> = (0..5).flat_map(fold).collect();
        all.sort_unstable();
        assert_eq!(all, (0..23).collect::<Vec<_>>());
        assert!((0..5).all(|n| (4..=5).contains(&fold(n).len())));
    }
}
