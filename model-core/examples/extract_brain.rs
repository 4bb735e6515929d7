//! Extracts the brain of scans and writes its mask: `extract_brain MODEL MASK SCAN…`. Several scans are
//! channels of one examination on one grid. Also prints whether the first scan is skull-stripped.

use std::ops::ControlFlow;

use model_core::brain::{extract_brain, is_stripped};
use model_core::{Bundle, Volume, formats::nifti};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, out, scans @ ..] = &arguments[..] else {
        return Err("usage: extract_brain MODEL MASK SCAN…".into());
    };
    let model = Bundle::from_bytes(&std::fs::read(model)?)?;
    let mut channels: Vec<Volume> = Vec::new();
    for scan in scans {
        channels.extend(nifti::read(&std::fs::read(scan)?)?);
    }
    let channels: Vec<&Volume> = channels.iter().collect();
    let start = std::time::Instant::now();
    let mask = extract_brain(&model, &channels, &mut |_| ControlFlow::Continue(()))?;
    let mask = mask.ok_or("canceled")?;
    println!(
        "{out}: {:.0} ml in {:.2} s, stripped before: {}",
        mask.volume_ml(&[1]),
        start.elapsed().as_secs_f64(),
        is_stripped(channels[0])
    );
    Ok(std::fs::write(out, nifti::write_labels(&mask))?)
}
