//! Steps that say what they do, how long each took, and where it stopped.

use std::time::{Duration, Instant};

use anyhow::Result;

/// The steps of one command.
pub struct Steps {
    start: Instant,
    done: Vec<(String, Duration)>,
}

impl Steps {
    /// Starts the clock.
    pub fn new() -> Steps {
        Steps { start: Instant::now(), done: Vec::new() }
    }

    /// Does one step.
    ///
    /// # Errors
    /// The step's own; it is said first which step it was and how far one had come.
    pub fn run<T>(&mut self, title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("\n[{}] {title}", self.done.len() + 1);
        let start = Instant::now();
        let result = work();
        let elapsed = start.elapsed();
        match &result {
            Ok(_) => println!("    done in {}", shown(elapsed)),
            Err(_) => {
                self.summary();
                println!("{:>9}  {title}: FAILED", shown(elapsed));
            }
        }
        self.done.push((title.to_string(), elapsed));
        result
    }

    /// Prints the steps done so far with their times.
    pub fn summary(&self) {
        println!();
        for (title, elapsed) in &self.done {
            println!("{:>9}  {title}", shown(*elapsed));
        }
        println!("{:>9}  in all", shown(self.start.elapsed()));
    }
}

/// Minutes and seconds.
fn shown(time: Duration) -> String {
    let secs = time.as_secs_f64().round() as u64;
    match secs {
        0..60 => format!("{secs} s"),
        _ => format!("{} min {:02} s", secs / 60, secs % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_minutes_and_seconds() {
        assert_eq!(shown(Duration::from_millis(59_400)), "59 s");
        assert_eq!(shown(Duration::from_millis(59_600)), "1 min 00 s");
        assert_eq!(shown(Duration::from_secs(754)), "12 min 34 s");
    }
}
