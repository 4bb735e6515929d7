//! The numbered steps of a command, with their titles and times.

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

    /// Prints a step's title, runs the step and prints its time. Prints the summary before an
    /// error.
    ///
    /// # Errors
    /// If the step fails.
    pub fn run<T>(&mut self, title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("\n[{}] {title}", self.done.len() + 1);
        let start = Instant::now();
        let result = work();
        let elapsed = start.elapsed();
        match &result {
            Ok(_) => println!("    done in {}", format_time(elapsed)),
            Err(_) => {
                self.print_summary();
                println!("{:>9}  {title}: FAILED", format_time(elapsed));
            }
        }
        self.done.push((title.to_string(), elapsed));
        result
    }

    /// Prints the steps done so far with their times.
    pub fn print_summary(&self) {
        println!();
        for (title, elapsed) in &self.done {
            println!("{:>9}  {title}", format_time(*elapsed));
        }
        println!("{:>9}  total", format_time(self.start.elapsed()));
    }
}

/// Returns a time in minutes and seconds.
fn format_time(time: Duration) -> String {
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
    fn times_are_in_minutes_and_seconds() {
        assert_eq!(format_time(Duration::from_millis(59_400)), "59 s");
        assert_eq!(format_time(Duration::from_millis(59_600)), "1 min 00 s");
        assert_eq!(format_time(Duration::from_secs(754)), "12 min 34 s");
    }
}
