//! The report of a run is one file with the run's measurements. It loads nothing and runs no
//! foreign script, whatever names it contains.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use model_core::metrics::{OddsCounts, Settings};
use model_core::{Bundle, LabelMap, NetworkSettings};
use trainer_data::data_set::DataSet;
use trainer_report::{Collector, GrayImage, HeldOut, PicturedCase, REPORT, Report};
use trainer_run::config::TrainConfig;
use trainer_run::reporter::Silent;
use trainer_run::run_folder::{BEST, Run};
use trainer_train::train::{TrainJob, train};

/// Trains for a few steps on phantoms and returns the report. The predictions of the held-out
/// phantoms are their shifted references.
fn train_and_report(folder: &Path) -> Report {
    let (data, run) = (folder.join("data"), folder.join("run"));
    trainer_data::phantom::write(&data, 5, 7, 32, &Silent).unwrap();
    let config = TrainConfig {
        network: Some(NetworkSettings {
            widths: vec![8, 16],
            groups: Some(4),
            ..NetworkSettings::preset("demo").unwrap()
        }),
        held_out: 0.4,
        steps: 4.into(),
        patch: [16; 3],
        validate_every: 2.into(),
        log_every: 1.into(),
        cache: crate::training_to_prediction::cache(),
        ..TrainConfig::default()
    };
    let stop = AtomicBool::new(false);
    train(TrainJob::new(&data, &run), &config, &Device::flex(), &stop).unwrap();

    let description = Run::read(&run).unwrap();
    let bundle = Bundle::from_bytes(&fs::read(run.join(BEST)).unwrap()).unwrap();
    let data_set = DataSet::open(&data, None, &Silent).unwrap();
    let mut collector = Collector::new(&description.task, Settings::default(), 1);
    for number in 0..data_set.num_cases() {
        let case = data_set.read(number).unwrap().case;
        if description.held_out.iter().any(|name| name == case.name()) {
            let reference = case.labels().unwrap();
            let scan = &case.channels()[trainer_report::pictured_channel(&description.task)];
            let image = || Ok(GrayImage::from_volume(scan));
            collector.add(case.name(), reference, &shifted(reference), image).unwrap();
        }
    }
    let (cases, pictures) = collector.finish();
    let held_out = HeldOut {
        version: trainer_report::VERSION,
        steps: bundle.card.provenance.steps,
        are_training_cases: false,
        chose_weights: true,
        empty_rule: Settings::default().rule.name().into(),
        nsd_tolerance_mm: Some(1.0),
        device: "cpu".into(),
        peak_bytes: Some(3 << 29),
        training: Some(PicturedCase { case: cases[0].clone(), picture: pictures[0].clone() }),
        cases,
        odds: odds(description.task.regions.len()),
        pictures,
    };
    held_out.save(&run).unwrap();
    Report::read(&run).unwrap()
}

/// Returns counts of overconfident probabilities.
fn odds(num_regions: usize) -> Vec<OddsCounts> {
    let mut counts = OddsCounts::default();
    for (probability, inside) in [(0.02, 10), (0.3, 40), (0.7, 60), (0.98, 90)] {
        (0..100).for_each(|n| counts.count(probability, n < inside));
    }
    vec![counts; num_regions]
}

fn shifted(map: &LabelMap) -> LabelMap {
    let mut labels = map.labels().to_vec();
    labels.rotate_right(1);
    LabelMap::new(map.grid().clone(), labels).unwrap()
}

/// Returns the tags of a page with their attributes.
///
/// # Panics
/// If a quote or a bracket is not closed.
fn tags(html: &str) -> Vec<&str> {
    let mut rest = html;
    let mut tags = Vec::new();
    while let Some(start) = rest.find('<') {
        let mut quoted = false;
        let end = rest[start..].find(|c| {
            quoted ^= c == '"';
            c == '>' && !quoted
        });
        let end = start + end.expect("a tag ends");
        let tag = &rest[start..=end];
        tags.push(tag);
        rest = &rest[end + 1..];
        // The content of a style or a script has no tags.
        for raw in ["style", "script"] {
            if tag == format!("<{raw}>") {
                rest = &rest[rest.find(&format!("</{raw}>")).expect("it ends")..];
            }
        }
    }
    tags
}

/// Asserts that the page loads nothing and runs only its own script.
fn assert_inert(html: &str) {
    for tag in tags(html) {
        for attribute in [" src=", " href=", " action=", " data=", " srcset=", " xlink:href="] {
            if let Some((_, value)) = tag.split_once(attribute) {
                let is_inside = value.starts_with("\"#") || value.starts_with("\"data:image/png;");
                assert!(is_inside, "{attribute} leads out of the page: {:.200}", tag);
            }
        }
        // Skips every second part, which is a quoted value.
        let bare: String = tag.split('"').step_by(2).collect();
        let is_handler = bare.split_whitespace().any(|word| word.starts_with("on"));
        assert!(!is_handler, "a handler: {:.200}", tag);
        let names = ["<link", "<iframe", "<object", "<embed", "<base", "<form", "<b>", "<img/"];
        assert!(!names.iter().any(|name| tag.starts_with(name)), "{:.200}", tag);
    }
    assert_eq!(html.matches("<script").count(), 1);
    assert!(!html.contains("http://") && !html.contains("https://") && !html.contains("@import"));
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn a_report_is_one_file_with_the_measurements_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let report = train_and_report(folder.path());
    let out = trainer_report::write(&folder.path().join("run"), None).unwrap();
    assert_eq!(out, folder.path().join("run").join(REPORT));
    let html = fs::read_to_string(&out).unwrap();
    assert_eq!(html, report.to_html(), "the same report is the same bytes");
    assert_inert(&html);

    let held_out = report.held_out.as_ref().unwrap();
    assert_eq!((held_out.cases.len(), held_out.pictures.len()), (2, 1));
    for (n, region) in report.run.task.regions.iter().enumerate() {
        let mean = held_out.summary(n, |region| region.dice).mean;
        assert!(mean > 0.5 && mean < 1.0, "{mean}");
        assert!(html.contains(&format!("{} {mean:.3}", region.name)), "{}", region.name);
    }
    for case in report.run.training.iter().chain(&report.run.held_out) {
        assert!(html.contains(case.as_str()), "{case}");
    }
    let parts = [
        "on 2 held-out cases",
        "The network has seen this case.",
        "brats2023",
        "lean to the good side",
        "data:image/png;base64,iVBOR",
        "1.50 GiB",
        "best, step ",
        "patch = [16, 16, 16]",
        report.run.data_fingerprint.as_str(),
    ];
    parts.iter().for_each(|part| assert!(html.contains(part), "{part}"));
    assert!(html.matches(trainer_run::DISCLAIMER).count() >= 2 && html.len() < 1 << 20);
    let drawn = tags(&html).into_iter().filter(|tag| !tag.starts_with("<img"));
    assert!(drawn.into_iter().all(|tag| !tag.contains("NaN")) && !html.contains(">NaN"));

    let unfinished = Report { held_out: None, ..report.clone() }.to_html();
    assert_inert(&unfinished);
    assert!(unfinished.contains("has not ended") && unfinished.contains("best validation so far"));

    let hostile = hostile(report).to_html();
    assert_inert(&hostile);
    assert!(hostile.contains("&lt;script&gt;alert"), "names are escaped");
}

/// A name that tries to end its attribute or element.
const NAME: &str = "x\"'><img/src=http:evil onerror=alert(1)></style><script>alert(2)</script><b>";

/// Replaces every name that comes from a file by [`NAME`].
fn hostile(mut report: Report) -> Report {
    let run = &mut report.run;
    let name = || NAME.to_string();
    (run.data, run.license, run.data_fingerprint, run.code_version) =
        (name(), name(), name(), name());
    run.training = vec![name()];
    run.held_out = vec![name()];
    let task = run.task.with(|task| {
        (task.name, task.channels) = (name(), vec![name()]);
        task.regions.iter_mut().for_each(|region| region.name = name());
    });
    run.task = task.unwrap();
    report.history.regions.iter_mut().for_each(|region| *region = name());
    let held_out = report.held_out.as_mut().unwrap();
    (held_out.empty_rule, held_out.device) = (name(), name());
    held_out.cases.iter_mut().for_each(|case| case.name = name());
    let training = held_out.training.as_mut().unwrap();
    training.case.name = name();
    for picture in held_out.pictures.iter_mut().chain([&mut training.picture]) {
        (picture.case, picture.caption) = (name(), name());
    }
    report
}
