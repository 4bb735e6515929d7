//! Which cases are trained on and which are held out: a function of the seed.

use anyhow::{Result, bail, ensure};

use crate::config::TrainConfig;
use crate::draws::{Purpose, generator, permutation};

impl TrainConfig {
    /// The numbers of the cases to train on and of those held out, of so many, each in order.
    ///
    /// # Errors
    /// When nothing would remain to train on, or nothing to measure in a fold.
    pub fn split(&self, count: usize) -> Result<(Vec<usize>, Vec<usize>)> {
        ensure!(count > 0, "expected at least one case with labels, found none");
        let mut order = permutation(&mut generator(self.seed, Purpose::Split, 0), count);
        let (mut training, mut held_out) = match self.fold {
            Some(fold) => {
                ensure!(
                    self.folds <= count,
                    "expected at least as many cases as folds, {}, found {count}",
                    self.folds
                );
                // Of the shuffled cases, every fifth is in the same one of five folds.
                let (held_out, training): (Vec<_>, Vec<_>) =
                    order.iter().enumerate().partition(|(n, _)| n % self.folds == fold);
                let cases =
                    |part: Vec<(usize, &usize)>| part.into_iter().map(|(_, &n)| n).collect();
                (cases(training), cases(held_out))
            }
            None => {
                let num_held_out = self.num_held_out(count)?;
                let training = order.split_off(num_held_out);
                (training, order)
            }
        };
        training.sort_unstable();
        held_out.sort_unstable();
        Ok((training, held_out))
    }

    fn num_held_out(&self, count: usize) -> Result<usize> {
        let held_out = self.held_out;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> TrainConfig {
        TrainConfig::parse(text).unwrap()
    }

    #[test]
    fn the_split_is_fixed_and_parts_the_cases() {
        let (training, held_out) = config("held_out = 0.2").split(20).unwrap();
        assert_eq!((training.len(), held_out.len()), (16, 4));
        assert!(held_out.iter().all(|number| !training.contains(number)));
        assert_eq!(config("held_out = 4").split(20).unwrap().1, held_out);
        assert_ne!(config("seed = 1").split(20).unwrap().1, held_out);
        let paper = config("recipe = \"pendse\"").split(370).unwrap();
        assert_eq!((paper.0.len(), paper.1.len()), (330, 40));
    }

    #[test]
    fn a_split_leaves_something_to_train_on() {
        assert!(config("held_out = 0.2").split(1).is_err());
        assert!(config("held_out = 3").split(3).is_err());
        assert_eq!(config("held_out = 0").split(1).unwrap(), (vec![0], vec![]));
        assert_eq!(config("held_out = 0.1").split(3).unwrap().1.len(), 1);
        assert!(config("folds = 5\nfold = 0").split(4).is_err());
    }

    #[test]
    fn every_case_is_held_out_in_one_fold() {
        let fold = |fold: usize| {
            let (training, held_out) =
                config(&format!("folds = 5\nfold = {fold}")).split(23).unwrap();
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
