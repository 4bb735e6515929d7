//! The HTML page with the report's sections.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::color::{BACKGROUNDS, css, legible};
use super::report::Report;
use super::sections;
use trainer_run::DISCLAIMER;
use trainer_run::files::outputs::REPORT_MARK;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("sort.js");

/// Returns the style of the regions: their colors in the light and the dark mode, and their dashes.
impl Report {
    /// Returns the HTML page. Equal reports give equal bytes.
    pub fn to_html(&self) -> String {
        page(self)
    }
}

/// Returns the page. Its security policy forbids loading anything, and any script except its own.
fn page(report: &Report) -> String {
    let hash = BASE64_STANDARD.encode(Sha256::digest(SCRIPT));
    let policy = format!(
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{hash}'"
    );
    let sections: Vec<(&str, &str, String)> = [
        ("result", "Result", Some(sections::result(report))),
        ("curves", "Curves", Some(sections::curves(report))),
        ("cases", "Cases", sections::cases(report)),
        ("calibration", "Calibration", sections::calibration(report)),
        ("worst", "Worst cases", sections::worst(report)),
        ("seen", "A training case", sections::training_case(report)),
        ("training", "What was trained", Some(sections::training(report))),
        ("data", "Data", Some(sections::data(report))),
        ("machine", "Time and machine", Some(sections::machine(report))),
    ]
    .into_iter()
    .filter_map(|(id, title, body)| Some((id, title, body?)))
    .collect();
    let links = sections.iter().map(|(id, title, _)| format!("<a href=\"#{id}\">{title}</a>"));
    let links = links.collect::<String>();
    let bodies = sections.iter().map(|(id, title, body)| {
        format!("<section id=\"{id}\">\n<h2>{title}</h2>\n{body}</section>\n")
    });
    let bodies = bodies.collect::<String>();
    let (title, subtitle) = sections::title(report);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title} · Rewind</title>\n\
         <style>\n{colors}{STYLE}</style>\n</head>\n<body>\n<main>\n<header>\n\
         <p class=\"eyebrow\">{REPORT_MARK}</p>\n<h1>{title}</h1>\n\
         <p class=\"subtitle\">{subtitle}</p>\n<p class=\"notice\">{DISCLAIMER}</p>\n\
         <nav aria-label=\"Sections\">{links}</nav>\n</header>\n{bodies}\
         <footer><p class=\"notice\">{DISCLAIMER}</p></footer>\n</main>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>\n",
        colors = colors(report),
    )
}

fn colors(report: &Report) -> String {
    let regions = &report.run.task.regions;
    let css_colors = |background| -> String {
        let color = |n: usize| css(legible(regions[n].color, background));
        (0..regions.len()).map(|n| format!("--r{n}: {}; ", color(n))).collect()
    };
    let [light, dark] = BACKGROUNDS.map(css_colors);
    // Prints always have the light mode.
    let mut out = format!(
        ":root {{ {light}}}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark}}} }}\n"
    );
    for n in 0..regions.len() {
        out += &format!(".r{n} {{ --ink: var(--r{n}); --dash: {}; }}\n", DASHES[n % DASHES.len()]);
    }
    out
}

/// Dash patterns, which distinguish curves in addition to their colors.
const DASHES: [&str; 4] = ["none", "7 3", "2 3", "9 3 2 3"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_and_the_script_refer_to_nothing_outside_the_page() {
        for text in [STYLE, SCRIPT] {
            let found = ["http", "url(", "import", "src", "</"].iter().find(|w| text.contains(**w));
            assert_eq!(found, None);
        }
    }
}
