//! The report of a result: one page that prints on a sheet.

use html_escape::{encode_double_quoted_attribute, encode_safe};
use model_core::Card;

use crate::messages::{self, DISCLAIMER};
use crate::numbers::ResultNumbers;

const STYLE: &str = include_str!("report.css");

/// A picture as a data URL.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// The title under it.
    pub title: String,
    /// The picture, as `data:image/png;base64,…`.
    pub url: String,
}

/// What a report holds.
pub struct Content<'a> {
    /// The numbers.
    pub numbers: &'a ResultNumbers,
    /// The color of each region, sRGB.
    pub colors: &'a [[u8; 3]],
    /// The pictures.
    pub pictures: &'a [Picture],
    /// The card of the model, if it is at hand.
    pub card: Option<&'a Card>,
    /// Sentences about the result; empty ones are left out.
    pub sentences: &'a [String],
    /// The version of the program.
    pub code_version: &'a str,
}

/// Returns the report as an HTML page. It loads nothing and has no script.
pub fn html(content: &Content<'_>) -> String {
    let Content { numbers, colors, pictures, card, sentences, code_version } = content;
    let mut body = String::new();
    let figures = pictures.iter().filter(|picture| picture.url.starts_with("data:image/"));
    let figures = figures.map(|picture| {
        let title = encode_safe(&picture.title);
        let url = encode_double_quoted_attribute(&picture.url);
        format!("<figure><img src=\"{url}\" alt=\"{title} slice with the regions\"><figcaption>{title}</figcaption></figure>\n")
    });
    body += &format!("<div class=\"pictures\">\n{}</div>\n", figures.collect::<String>());

    let rows = numbers.regions.iter().enumerate().map(|(n, region)| {
        let [r, g, b] = colors.get(n).copied().unwrap_or_default();
        let surface = region.surface_cm2.map(|cm2| format!("{cm2:.1} cm²")).unwrap_or_default();
        format!(
            "<tr><td><span class=\"swatch\" style=\"background: rgb({r}, {g}, {b})\"></span>{}</td>\
             <td>{}</td><td>{}</td><td>{surface}</td></tr>\n",
            encode_safe(&region.name),
            messages::milliliters(region.volume_ml),
            region.num_parts,
        )
    });
    body += &format!(
        "<h2>Volumes</h2>\n<table><thead><tr><th>Region</th><th>Volume</th><th>Parts</th>\
         <th>Surface</th></tr></thead><tbody>\n{}</tbody></table>\n",
        rows.collect::<String>()
    );
    if !numbers.measurements.is_empty() {
        let rows = numbers.measurements.iter().map(|measurement| {
            let values = measurement.values.iter().map(|value| {
                let unit = match value.unit {
                    "degrees" => "°",
                    "mm2" => " mm²",
                    _ => " mm",
                };
                format!("{} {:.1}{unit}", value.quantity, value.value)
            });
            let values = values.collect::<Vec<_>>().join(", ");
            format!("<tr><td>{}</td><td>{values}</td></tr>\n", encode_safe(&measurement.name))
        });
        body += &format!(
            "<h2>Measurements</h2>\n<table><tbody>\n{}</tbody></table>\n",
            rows.collect::<String>()
        );
    }
    let notes = sentences.iter().chain(&numbers.preparation).filter(|text| !text.is_empty());
    let notes = notes.map(|text| format!("<p>{}</p>\n", encode_safe(text)));
    body += &format!("<h2>How it was made</h2>\n{}", notes.collect::<String>());
    body += &model(numbers, *card);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
         style-src 'unsafe-inline'\">\n<title>Segmentation, research use only</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<header><h1>Segmentation</h1>\
         <p class=\"notice\">{DISCLAIMER}</p></header>\n{body}\
         <footer><p class=\"notice\">{DISCLAIMER}. Made with Rewind {}.</p></footer>\n</body>\n</html>\n",
        encode_safe(code_version),
    )
}

/// Returns the section about the model.
fn model(numbers: &ResultNumbers, card: Option<&Card>) -> String {
    let Some(model) = &numbers.model else { return String::new() };
    let mut lines = vec![("Model", model.name.clone()), ("SHA-256", model.hash.clone())];
    if let Some(card) = card {
        let provenance = &card.provenance;
        lines.push((
            "Trained on",
            format!("{} ({} training cases)", provenance.data, provenance.training_cases),
        ));
        if !card.known_failures.is_empty() {
            lines.push(("Known failures", card.known_failures.join(" ")));
        }
    }
    let rows = lines.iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| {
        format!("<tr><th scope=\"row\">{name}</th><td>{}</td></tr>\n", encode_safe(text))
    });
    format!(
        "<h2>Model</h2>\n<table class=\"model\"><tbody>\n{}</tbody></table>\n",
        rows.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::tests::{measurements, result};

    #[test]
    fn a_report_has_the_numbers_and_no_script() {
        let numbers = ResultNumbers::new(&result(), &measurements(), &[None]);
        let pictures = [
            Picture { title: "Axial".into(), url: "data:image/png;base64,AAAA".into() },
            Picture { title: "Bad".into(), url: "https://example.com/x.png".into() },
        ];
        let hostile = "<script>alert(1)</script>".to_string();
        let html = html(&Content {
            numbers: &numbers,
            colors: &[[255, 0, 0]],
            pictures: &pictures,
            card: None,
            sentences: &[hostile, String::new()],
            code_version: "0",
        });
        for expected in [
            "0.024 ml",
            "longest diameter 12.0 mm, perpendicular diameter 10.0 mm, product 120.0 mm²",
            "M&lt;1&gt;",
            "data:image/png;base64,AAAA",
            DISCLAIMER,
        ] {
            assert!(html.contains(expected), "{expected}");
        }
        assert!(!html.contains("<script"), "texts are escaped");
        assert!(!html.contains("example.com"), "nothing is loaded from elsewhere");
    }
}
