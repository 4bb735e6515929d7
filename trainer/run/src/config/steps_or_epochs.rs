//! Lengths of training, in steps or in epochs.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A length of training: a number of optimizer steps (`5000`), or of epochs (`"250 epochs"`), each
/// of which passes once through the training cases.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Span {
    /// Optimizer steps.
    Steps(usize),
    /// Passes through the training cases.
    Epochs(f64),
}

/// The longest span: beyond every training, and far from the end of a `usize`.
const MOST: f64 = 1e12;

impl Span {
    /// As a number of steps, where an epoch has so many.
    pub fn steps(self, epoch_steps: usize) -> usize {
        match self {
            Span::Steps(steps) => steps,
            Span::Epochs(epochs) => (epochs * epoch_steps as f64).round() as usize,
        }
    }

    /// Whether it is nothing at all.
    pub fn is_zero(self) -> bool {
        matches!(self, Span::Steps(0)) || self == Span::Epochs(0.0)
    }
}

impl From<usize> for Span {
    fn from(steps: usize) -> Span {
        Span::Steps(steps)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Span::Steps(1) => write!(f, "1 step"),
            Span::Steps(steps) => write!(f, "{steps} steps"),
            Span::Epochs(1.0) => write!(f, "1 epoch"),
            Span::Epochs(epochs) => write!(f, "{epochs} epochs"),
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let found = || format!("expected a number of steps, or as \"250 epochs\", found {text:?}");
        let mut words = text.split_whitespace();
        let number = words.next().ok_or_else(found)?;
        let unit = words.next().unwrap_or("steps");
        let span = match unit {
            "step" | "steps" => Span::Steps(number.parse().map_err(|_| found())?),
            "epoch" | "epochs" => Span::Epochs(number.parse().map_err(|_| found())?),
            _ => return Err(found()),
        };
        let size = match span {
            Span::Steps(steps) => steps as f64,
            Span::Epochs(epochs) => epochs,
        };
        match (0.0..=MOST).contains(&size) && words.next().is_none() {
            true => Ok(span),
            false => Err(found()),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Span::Steps(steps) => serializer.serialize_u64(*steps as u64),
            Span::Epochs(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        struct NumberOrText;
        impl Visitor<'_> for NumberOrText {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number of steps, or text such as \"250 epochs\"")
            }

            fn visit_i64<E: de::Error>(self, steps: i64) -> Result<Span, E> {
                self.visit_str(&steps.to_string())
            }

            fn visit_u64<E: de::Error>(self, steps: u64) -> Result<Span, E> {
                self.visit_str(&steps.to_string())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
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
        let read = |text: &str| text.parse::<Span>();
        assert_eq!(read("500"), Ok(Span::Steps(500)));
        assert_eq!(read("500 steps"), Ok(Span::Steps(500)));
        assert_eq!(read("1 epoch"), Ok(Span::Epochs(1.0)));
        assert_eq!(read("2.5 epochs"), Ok(Span::Epochs(2.5)));
        for text in ["", "-1", "x", "5 hours", "5 epochs more", "nan epochs", "1e30 epochs", "1.5"]
        {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(Span::Epochs(2.5).steps(330), 825);
        assert_eq!(Span::Steps(7).steps(330), 7);
    }
}
