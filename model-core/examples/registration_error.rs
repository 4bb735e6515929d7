//! Measures registration on pairs of real scans with known motions, and writes the pairs for another
//! implementation.
//!
//! ```text
//! cargo run -p model-core --example registration_error -- tumor|skull|slices|slab 40 [FOLDER]
//! python3 model-core/tests/registration/simpleitk.py FOLDER
//! ```

use std::path::Path;

use model_core::formats::nifti::write_volumes;
use model_core::{Affine, Motion, register};

#[path = "../tests/registration/pairs.rs"]
mod pairs;
use pairs::FieldOfView;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: registration_error tumor|skull|slices|slab NUM_PAIRS [FOLDER]";
    let kind = args.first().expect(usage);
    let num_pairs: u64 = args.get(1).expect(usage).parse().expect(usage);
    let (mut errors, mut seconds) = (Vec::new(), Vec::new());
    for n in 0..num_pairs {
        let pair = match &kind[..] {
            "tumor" => pairs::tumor_pair(n),
            "skull" => pairs::skull_pair(n, FieldOfView::Whole),
            "slices" => pairs::skull_pair(n, FieldOfView::ThickSlices),
            "slab" => pairs::skull_pair(n, FieldOfView::Slab),
            _ => panic!("{usage}"),
        };
        let Some(pair) = pair else { return };
        if let Some(folder) = args.get(2) {
            write(Path::new(folder), &format!("{kind}_{n:02}"), &pair);
        }
        let start = user_secs();
        let mut control = |_| std::ops::ControlFlow::Continue(());
        let found =
            register(&pair.reference, &pair.moving, Motion::Rigid, Affine::IDENTITY, &mut control);
        seconds.push(user_secs() - start);
        let found = found.expect("two scans").expect("not canceled");
        let before = pairs::mean_error_mm(&pair, &Affine::IDENTITY);
        errors.push(pairs::mean_error_mm(&pair, &found.moving_from_reference));
        println!(
            "{:<12} before {before:6.2} mm, after {:7.3} mm, {:5.2} s, information {:.3} to {:.3}",
            pair.name,
            errors[n as usize],
            seconds[n as usize],
            found.mutual_information_before,
            found.mutual_information_after,
        );
    }
    let num_good = errors.iter().filter(|&&error| error < 0.5).count();
    errors.sort_by(f64::total_cmp);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    println!(
        "{kind}: {num_good} of {num_pairs} below 0.5 mm; mean {:.3}, median {:.3}, worst {:.3} mm; {:.2} s",
        mean(&errors),
        errors[errors.len() / 2],
        errors[errors.len() - 1],
        mean(&seconds),
    );
}

/// Writes both scans, and the motion as the rows of its matrix.
fn write(folder: &Path, name: &str, pair: &pairs::Pair) {
    std::fs::create_dir_all(folder).unwrap();
    for (scan, volume) in [("reference", &pair.reference), ("moving", &pair.moving)] {
        let bytes = write_volumes(std::slice::from_ref(volume)).unwrap();
        std::fs::write(folder.join(format!("{name}_{scan}.nii.gz")), bytes).unwrap();
    }
    let rows = serde_json::to_string(&pair.moving_from_reference.rows()).unwrap();
    std::fs::write(folder.join(format!("{name}.json")), rows).unwrap();
}

/// Returns this process's time on the processor. Another program's load does not change it.
fn user_secs() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux's /proc");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().nth(11).and_then(|ticks| ticks.parse::<f64>().ok());
    ticks.expect("the user time of the process") / 100.0
}
