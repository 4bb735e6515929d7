//! Which cases are trained on and which are held out: a function of the seed.

use std::cmp::Reverse;
use std::collections::HashMap;

use anyhow::{Result, bail, ensure};

use trainer_run::config::TrainConfig;
use trainer_run::rng::{RngStream, generator, permutation};

/// The numbers of the cases to train on and of those held out, of so many, each in order.
///
/// # Errors
/// When nothing would remain to train on, or nothing to measure in a fold.
pub fn split(config: &TrainConfig, count: usize) -> Result<(Vec<usize>, Vec<usize>)> {
    split_by_patient(config, &(0..count).collect::<Vec<_>>())
}

/// The same with the number of each case's patient, whose cases stay together; as many are held
/// out as that allows.
///
/// # Errors
/// As [`split`].
pub fn split_by_patient(
    config: &TrainConfig,
    patients: &[usize],
) -> Result<(Vec<usize>, Vec<usize>)> {
    let count = patients.len();
    ensure!(count > 0, "expected at least one case with labels, found none");
    let order = permutation(&mut generator(config.seed, RngStream::Split, 0), count);
    let groups = together(&order, patients);
    let mut held_out = match config.fold {
        Some(fold) => {
            let whose = if groups.len() < count { "patients" } else { "cases" };
            ensure!(
                config.folds <= groups.len(),
                "expected at least as many {whose} as folds, {}, found {}",
                config.folds,
                groups.len()
            );
            of_fold(groups, config.folds, fold)
        }
        None => {
            let number = num_held_out(config, count)?;
            ensure!(
                number == 0 || groups.len() > 1,
                "expected cases of more than one patient, of whom some are held out, found \
                 {count} cases of one; set held_out = 0 to measure on the training cases, or \
                 group_by to tell the patients apart"
            );
            about(groups, number, count)
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
            "expected more cases than are held out, {number}, found {count}; add cases, or set \
             held_out = 0 to measure on the training cases"
        );
    }
    Ok(number)
}

/// Cases by patient, in the order of the first of each.
fn together(order: &[usize], patients: &[usize]) -> Vec<Vec<usize>> {
    let mut places: HashMap<usize, usize> = HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for &case in order {
        let place = *places.entry(patients[case]).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(case);
    }
    groups
}

/// The cases of a fold: every patient goes to the fold that has the fewest cases yet, those with the
/// most cases first. Of single cases every fifth is in the same one of five folds.
fn of_fold(mut groups: Vec<Vec<usize>>, folds: usize, fold: usize) -> Vec<usize> {
    groups.sort_by_key(|group| Reverse(group.len()));
    let mut parts: Vec<Vec<usize>> = vec![Vec::new(); folds];
    for group in groups {
        let smallest = parts.iter_mut().min_by_key(|part| part.len()).expect("there are folds");
        smallest.extend(group);
    }
    parts.swap_remove(fold)
}

/// The patients, the first ones if they will do, whose cases together are nearest to `number`, and
/// neither none nor all of `count`.
fn about(groups: Vec<Vec<usize>>, number: usize, count: usize) -> Vec<usize> {
    if number == 0 {
        return Vec::new();
    }
    // For each sum the first group by which it is reached: what is left of the sum was reached
    // without it.
    let mut last: Vec<Option<usize>> = vec![None; count];
    let mut most = 0;
    for (n, group) in groups.iter().enumerate() {
        most += group.len();
        for sum in (group.len()..=most.min(count - 1)).rev() {
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
    fn the_split_is_fixed_and_parts_the_cases() {
        let (training, held_out) = split(&config("held_out = 0.2"), 20).unwrap();
        assert_eq!((training.len(), held_out.len()), (16, 4));
        assert!(held_out.iter().all(|number| !training.contains(number)));
        assert_eq!(split(&config("held_out = 4"), 20).unwrap().1, held_out);
        assert_ne!(split(&config("seed = 1"), 20).unwrap().1, held_out);
        let paper = split(&config("recipe = \"pendse\""), 370).unwrap();
        assert_eq!((paper.0.len(), paper.1.len()), (330, 40));
    }

    #[test]
    fn a_split_leaves_something_to_train_on() {
        assert!(split(&config("held_out = 0.2"), 1).is_err());
        assert!(split(&config("held_out = 3"), 3).is_err());
        assert_eq!(split(&config("held_out = 0"), 1).unwrap(), (vec![0], vec![]));
        assert_eq!(split(&config("held_out = 0.1"), 3).unwrap().1.len(), 1);
        assert!(split(&config("folds = 5\nfold = 0"), 4).is_err());
    }

    #[test]
    fn a_patients_cases_stay_together_and_the_fraction_is_kept() {
        // 30 cases of 10 patients, and 20 single ones.
        let patients: Vec<usize> = (0..30).map(|n| n / 3 * 3).chain(30..50).collect();
        let whole = |cases: &[usize]| {
            let is_split = |n: usize| cases.iter().any(|&case| patients[case] == patients[n]);
            (0..50).all(|n| cases.contains(&n) || !is_split(n))
        };
        for seed in 0..20 {
            let (training, held_out) =
                split_by_patient(&config(&format!("held_out = 0.2\nseed = {seed}")), &patients)
                    .unwrap();
            assert_eq!((training.len(), held_out.len()), (40, 10));
            assert!(whole(&held_out) && whole(&training));
        }
        let fold = |fold: usize| {
            split_by_patient(&config(&format!("folds = 4\nfold = {fold}")), &patients).unwrap().1
        };
        let mut all: Vec<usize> = (0..4).flat_map(fold).collect();
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
        assert!((0..4).all(|n| whole(&fold(n)) && (12..=13).contains(&fold(n).len())));
    }

    #[test]
    fn as_many_are_held_out_as_patients_allow() {
        let of = |sizes: &[usize], held_out: usize| {
            let numbered = sizes.iter().enumerate();
            let patients: Vec<usize> =
                numbered.flat_map(|(n, &size)| std::iter::repeat_n(n, size)).collect();
            let split = split_by_patient(&config(&format!("held_out = {held_out}")), &patients);
            split.map(|(_, held_out)| held_out.len()).ok()
        };
        assert_eq!(of(&[2, 2, 2, 2, 2], 4), Some(4));
        assert_eq!(of(&[2, 2, 2], 3), Some(2));
        assert_eq!(of(&[3, 3, 2, 2], 4), Some(4));
        assert_eq!(of(&[5, 5], 1), Some(5), "never none");
        assert_eq!(of(&[4], 1), None);
        assert!(split_by_patient(&config("folds = 3\nfold = 0"), &[0, 0, 1, 1]).is_err());
    }

    #[test]
    fn every_case_is_held_out_in_one_fold() {
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
