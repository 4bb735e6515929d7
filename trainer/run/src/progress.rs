//! Progress for a person: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::panic::catch_unwind;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Returns whether a bar can be drawn.
pub fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Returns a bar of a number of items; invisible without a terminal.
pub fn bar(name: &str, count: u64) -> ProgressBar {
    let target =
        if is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = "{prefix} {bar:24} {pos}/{len} {msg}";
    let style = ProgressStyle::with_template(style).expect("the template is fixed");
    ProgressBar::with_draw_target(Some(count), target)
        .with_style(style.progress_chars("█▉▊▋▌▍▎▏ "))
        .with_prefix(name.to_string())
}

/// Prints a line to stderr, above a bar if there is one. Results go to stdout.
pub fn line(bar: &ProgressBar, text: impl AsRef<str>) {
    if is_terminal() {
        bar.suspend(|| say(text));
    } else {
        say(text);
    }
}

/// Prints a line to stderr, and ignores that the reader has gone: Ctrl-C ends
/// `rewind train … 2>&1 | tee log` at a checkpoint, but `tee` at once.
pub fn say(text: impl AsRef<str>) {
    let text = text.as_ref();
    // Only `eprintln!`, which may panic, is captured by passing tests.
    let _ = catch_unwind(|| eprintln!("{text}"));
}

/// Prints a line to stdout, and ignores that the reader has gone.
pub fn result(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stdout(), "{}", text.as_ref());
}

/// Formats a duration in words: "45 s", "3 min 20 s", "2 h 05 min".
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_readable() {
        assert_eq!(duration(Duration::from_secs(45)), "45 s");
        assert_eq!(duration(Duration::from_secs(200)), "3 min 20 s");
        assert_eq!(duration(Duration::from_secs(7500)), "2 h 05 min");
    }
}
