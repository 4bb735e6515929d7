//! Lengths of training, in steps or in epochs.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A length of training: a number of optimizer steps (`5000`), or of epochs (`"250 epochs"`), each
/// of which passes once through the training cases.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StepsOrEpochs {
    /// Optimizer steps.
    Steps(usize),
    /// Passes through the training cases.
    Epochs(f64),
}

/// The largest length, longer than any training and far below the maximum of `usize`.
const MOST: f64 = 1e12;

impl StepsOrEpochs {
    /// Returns the number of steps, given the steps of an epoch.
    pub fn steps(self, epoch_steps: usize) -> usize {
        match self {
            StepsOrEpochs::Steps(steps) => steps,
            StepsOrEpochs::Epochs(epochs) => (epochs * epoch_steps as f64).round() as usize,
        }
    }

    /// Returns whether the length is zero.
    pub fn is_zero(self) -> bool {
        matches!(self, StepsOrEpochs::Steps(0)) || self == StepsOrEpochs::Epochs(0.0)
    }
}

impl From<usize> for StepsOrEpochs {
    fn from(steps: usize) -> StepsOrEpochs {
        StepsOrEpochs::Steps(steps)
    }
}

impl fmt::Display for StepsOrEpochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepsOrEpochs::Steps(1) => write!(f, "1 step"),
            StepsOrEpochs::Steps(steps) => write!(f, "{steps} steps"),
            StepsOrEpochs::Epochs(1.0) => write!(f, "1 epoch"),
            StepsOrEpochs::Epochs(epochs) => write!(f, "{epochs} epochs"),
        }
    }
}

impl FromStr for StepsOrEpochs {
    type Err = String;

    fn from_str(text: &str) -> Result<StepsOrEpochs, String> {
        let found = || format!("expected a number of steps, or as \"250 epochs\", found {text:?}");
        let mut words = text.split_whitespace();
        let number = words.next().ok_or_else(found)?;
        let unit = words.next().unwrap_or("steps");
        let span = match unit {
            "step" | "steps" => StepsOrEpochs::Steps(number.parse().map_err(|_| found())?),
            "epoch" | "epochs" => StepsOrEpochs::Epochs(number.parse().map_err(|_| found())?),
            _ => return Err(found()),
        };
        let size = match span {
            StepsOrEpochs::Steps(steps) => steps as f64,
            StepsOrEpochs::Epochs(epochs) => epochs,
        };
        match (0.0..=MOST).contains(&size) && words.next().is_none() {
            true => Ok(span),
            false => Err(found()),
        }
    }
}

impl Serialize for StepsOrEpochs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            StepsOrEpochs::Steps(steps) => serializer.serialize_u64(*steps as u64),
            StepsOrEpochs::Epochs(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for StepsOrEpochs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StepsOrEpochs, D::Error> {
        struct NumberOrText;
        impl Visitor<'_> for NumberOrText {
            type Value = StepsOrEpochs;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number of steps, or text such as \"250 epochs\"")
            }

            fn visit_i64<E: de::Error>(self, steps: i64) -> Result<StepsOrEpochs, E> {
                self.visit_str(&steps.to_string())
            }

            fn visit_u64<E: de::Error>(self, steps: u64) -> Result<StepsOrEpochs, E> {
                self.visit_str(&steps.to_string())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<StepsOrEpochs, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(NumberOrText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_steps_or_epochs_and_nothing_else() {
        let read = |text: &str| text.parse::<StepsOrEpochs>();
        assert_eq!(read("500"), Ok(StepsOrEpochs::Steps(500)));
        assert_eq!(read("500 steps"), Ok(StepsOrEpochs::Steps(500)));
        assert_eq!(read("1 epoch"), Ok(StepsOrEpochs::Epochs(1.0)));
        assert_eq!(read("2.5 epochs"), Ok(StepsOrEpochs::Epochs(2.5)));
        for text in ["", "-1", "x", "5 hours", "5 epochs more", "nan epochs", "1e30 epochs", "1.5"]
        {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(StepsOrEpochs::Epochs(2.5).steps(330), 825);
        assert_eq!(StepsOrEpochs::Steps(7).steps(330), 7);
    }
}
