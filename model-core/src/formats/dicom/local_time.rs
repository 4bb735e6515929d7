//! A date and a time of day, as DICOM states them.

use crate::{Error, Result};

/// A date and a time of day on the user's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
}

impl LocalTime {
    /// Returns the time of year, month and day (from 1), hour, minute and second.
    ///
    /// # Errors
    /// [`Error::Segmentation`] if a number is out of its range.
    pub fn new([year, month, day, hour, minute, second]: [u16; 6]) -> Result<LocalTime> {
        let numbers = [year, month, day, hour, minute, second];
        let ranges = [1..=9999, 1..=12, 1..=31, 0..=23, 0..=59, 0..=59];
        if !numbers.iter().zip(&ranges).all(|(number, range)| range.contains(number)) {
            let expected = "a year, month, day, hour, minute and second";
            return Err(Error::segmentation(expected, format!("{numbers:?}")));
        }
        let [month, day, hour, minute, second] =
            [month, day, hour, minute, second].map(|number| number as u8);
        Ok(LocalTime { year, month, day, hour, minute, second })
    }

    /// Returns the date as `YYYYMMDD`.
    pub(super) fn date(&self) -> String {
        format!("{:04}{:02}{:02}", self.year, self.month, self.day)
    }

    /// Returns the time of day as `HHMMSS`.
    pub(super) fn time(&self) -> String {
        format!("{:02}{:02}{:02}", self.hour, self.minute, self.second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_digits() {
        let time = LocalTime::new([2026, 3, 7, 8, 5, 0]).unwrap();
        assert_eq!((time.date(), time.time()), ("20260307".to_string(), "080500".to_string()));
        assert!(LocalTime::new([2026, 13, 7, 8, 5, 0]).is_err());
        assert!(LocalTime::new([2026, 1, 7, 24, 5, 0]).is_err());
    }
}
