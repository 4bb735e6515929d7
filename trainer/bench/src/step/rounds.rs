//! The order of measurements, and what becomes of those that fail.

use anyhow::Result;
use serde::Serialize;

use super::measured::{Measured, Row};

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Answer {
    /// Of each library and mode that could be measured at least once.
    pub rows: Vec<Row>,
    /// What could not, in words.
    pub failures: Vec<String>,
}

/// Measures each kind, a library and whether the network rewinds, once a round; then, of ours, where
/// the time goes. `measure` is given a kind's number and whether to split the time. One that does not
/// fit in memory says something too, and what was measured before it stays: a kind that fails is
/// not tried again.
///
/// # Errors
/// When no kind could be measured: that of the first.
pub(super) fn rounds(
    kinds: &[(&str, bool)],
    count: usize,
    mut measure: impl FnMut(usize, bool) -> Result<Measured>,
) -> Result<Answer> {
    let mut rows: Vec<Option<Row>> = kinds.iter().map(|_| None).collect();
    let mut failed: Vec<Option<anyhow::Error>> = kinds.iter().map(|_| None).collect();
    let mut failures = Vec::new();
    // Rounds, and the split of the time after them.
    for round in 0..=count {
        let is_split = round == count;
        for (number, &(library, reversible)) in kinds.iter().enumerate() {
            if failed[number].is_some() || (is_split && library != "rewind") {
                continue;
            }
            match (measure(number, is_split), &mut rows[number]) {
                (Ok(found), Some(row)) if is_split => row.split = found.split,
                (Ok(found), Some(row)) => row.add(found),
                (Ok(found), row) => *row = Some(Row::new(library, reversible, found)),
                (Err(error), _) => {
                    let how = if reversible { "reversible" } else { "plain" };
                    let when = match round {
                        0 => String::new(),
                        _ if is_split => ", split by kernel".into(),
                        _ => format!(", from round {} on", round + 1),
                    };
                    failures.push(format!("{how} in {library}{when}: {error:#}"));
                    failed[number] = Some(error);
                }
            }
        }
    }
    let rows: Vec<Row> = rows.into_iter().flatten().collect();
    match failed.into_iter().flatten().next() {
        Some(error) if rows.is_empty() => Err(error),
        _ => Ok(Answer { rows, failures }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    fn measured(secs: f64) -> Measured {
        Measured {
            device: "cpu".into(),
            seconds: vec![secs],
            processor_secs: Vec::new(),
            peak_bytes: None,
            memory: String::new(),
            split: None,
        }
    }

    const KINDS: [(&str, bool); 3] = [("rewind", true), ("libtorch", true), ("rewind", false)];

    #[test]
    fn what_was_measured_before_a_failure_stays() {
        let mut asked = Vec::new();
        let answer = rounds(&KINDS, 3, |number, split| {
            asked.push((number, split));
            match (number, asked.len()) {
                (1, _) => bail!("no such device"),
                (2, 5..) => bail!("out of memory"),
                _ => Ok(measured(1.0)),
            }
        });
        let Answer { rows, failures } = answer.unwrap();
        let whole = |number, split| (number, split);
        // The third fails in the second round, the second at once: neither is asked again.
        let expected = [(0, false), (1, false), (2, false), (0, false), (2, false), (0, false)];
        let expected: Vec<_> = expected.into_iter().chain([whole(0, true)]).collect();
        assert_eq!(asked, expected);
        let counts: Vec<usize> = rows.iter().map(|row| row.measured.seconds.len()).collect();
        assert_eq!(counts, [3, 1]);
        let told = ["reversible in libtorch: no such", "plain in rewind, from round 2 on: out of"];
        assert_eq!(failures.len(), 2);
        assert!(failures.iter().zip(told).all(|(a, b)| a.starts_with(b)), "{failures:?}");
    }

    #[test]
    fn nothing_measured_is_an_error_and_a_lost_split_is_not() {
        let error = rounds(&KINDS, 2, |number, _| bail!("failure {number}")).unwrap_err();
        assert_eq!(error.to_string(), "failure 0");
        let answer = rounds(&KINDS, 1, |_, split| match split {
            true => bail!("the clock stopped"),
            false => Ok(measured(1.0)),
        });
        let Answer { rows, failures } = answer.unwrap();
        assert_eq!((rows.len(), failures.len()), (3, 2));
    }
}
