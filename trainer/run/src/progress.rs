//! Progress for a person: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::panic::catch_unwind;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Whether a bar can be drawn.
pub fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// A bar of so many items; invisible where there is no terminal.
pub fn bar(what: &str, count: u64) -> ProgressBar {
    let target =
        if is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = "{prefix} {bar:24} {pos}/{len} {msg}";
    let style = ProgressStyle::with_template(style).expect("the template is fixed");
    ProgressBar::with_draw_target(Some(count), target)
        .with_style(style.progress_chars("█▉▊▋▌▍▎▏ "))
        .with_prefix(what.to_string())
}

/// Prints a line above a bar, or just prints it; to stderr, since stdout is for results.
pub fn line(bar: &ProgressBar, text: impl AsRef<str>) {
    if is_terminal() {
        bar.suspend(|| say(text));
    } else {
        say(text);
    }
}

/// Prints a line to stderr if anybody still reads that. So it does not end a training that its
/// reader has gone: Ctrl-C ends `rewind train … 2>&1 | tee log` at a checkpoint, but `tee` at once.
pub fn say(text: impl AsRef<str>) {
    let text = text.as_ref();
    // Written in another way than this, which may panic, tests that pass would show it.
    let _ = catch_unwind(|| eprintln!("{text}"));
}

/// Prints a line to stdout if anybody still reads that.
pub fn result(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stdout(), "{}", text.as_ref());
}

/// A duration as a person reads it: "45 s", "3 min 20 s", "2 h 05 min".
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
