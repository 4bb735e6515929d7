//! Texts for the user: numbers, warnings and errors of a run in words.

use model_core::cpu::CpuError;
use model_core::texts::bytes_rounded_up;

use crate::protocol::PlannedEngine;

/// Formats a large number with two to four digits and its magnitude's word.
pub fn count(n: u64) -> String {
    let x = n as f64;
    match x {
        x if x >= 1e12 => format!("{:.2} trillion", x / 1e12),
        x if x >= 1e9 => format!("{:.1} billion", x / 1e9),
        x if x >= 1e6 => format!("{:.1} million", x / 1e6),
        x if x >= 1e3 => format!("{:.1} thousand", x / 1e3),
        _ => format!("{n}"),
    }
}

/// Formats the duration of a run.
pub fn duration(secs: f64) -> String {
    if secs < 0.95 { format!("{:.0} ms", 1000.0 * secs) } else { format!("{secs:.1} s") }
}

/// Returns the first characters of a hash, enough to compare by eye.
pub fn short_hash(hash: &str) -> String {
    hash.chars().take(12).collect()
}

/// Names the engine of a run.
pub fn engine(engine: &PlannedEngine) -> String {
    match engine {
        // Some browsers hide the GPU's name.
        PlannedEngine::Gpu(name) if name.is_empty() || name.starts_with("unnamed") => {
            "your graphics card".into()
        }
        PlannedEngine::Gpu(name) => name.clone(),
        PlannedEngine::Processor(1) => "this computer's processor".into(),
        PlannedEngine::Processor(count) => format!("this computer's processor ({count} workers)"),
    }
}

/// Names the storage of the network's feature maps.
pub fn precision(bits: u32) -> String {
    format!("{bits}-bit feature maps")
}

/// Explains the effect of storing feature maps in `bits` bits.
pub fn precision_note(bits: u32) -> &'static str {
    match bits {
        16 => {
            "Values between layers are rounded to half the memory. Single voxels may differ from \
             those of a 32-bit run. More memory allows 32 bits."
        }
        _ => "Values between layers are stored in full precision.",
    }
}

/// Accompanies the offer to run in tiles, and every result of such a run.
pub const TILES_NOTE: &str = "The result differs from that of the whole scan at once, because the \
     network normalizes each tile by the tile's own statistics.";

/// Names the number and the size of tiles.
pub fn tiles(num_tiles: usize, [i, j, k]: [usize; 3]) -> String {
    format!("{num_tiles} overlapping tiles of {i} × {j} × {k} voxels")
}

/// Two saved results were opened at once.
pub const SEVERAL_RESULTS: &str = "expected one saved result at a time, found several";

/// The sentence that stands on every screen, file and link.
pub const DISCLAIMER: &str = "Research use only, not a medical device";

/// Returns the description of a saved label map. The field of the NIfTI header holds 79 bytes.
///
/// `tiles` is the text of [`tiles`], or empty; `num_edited` the number of voxels that were edited by hand.
pub fn description(tiles: &str, num_edited: u64) -> String {
    let edited = match num_edited {
        0 => String::new(),
        n => format!("; {n} voxels edited"),
    };
    match tiles {
        "" => format!("Rewind; research use only{edited}"),
        // Where all does not fit, the file's comment states the edited voxels.
        tiles => format!("Rewind; {}; research use only{edited}", tiles.replace('×', "x")),
    }
}

/// Formats a volume with three significant digits. The error of a segmentation is larger.
pub fn milliliters(volume_ml: f64) -> String {
    match volume_ml {
        v if v >= 100.0 => format!("{v:.0} ml"),
        v if v >= 10.0 => format!("{v:.1} ml"),
        v if v >= 1.0 || v == 0.0 => format!("{v:.2} ml"),
        v => format!("{v:.3} ml"),
    }
}

/// Lists a run's fallbacks, one sentence each, and the memory of the plan that followed. `doing` is
/// "Ran" or "Running". Empty without fallbacks.
pub fn fallbacks(events: &[String], doing: &str, plan_bytes: u64) -> String {
    if events.is_empty() {
        return String::new();
    }
    let sentences = events.iter().map(|event| format!("{}. ", capitalized(event)));
    format!("{}{doing} within {}.", sentences.collect::<String>(), bytes_rounded_up(plan_bytes))
}

/// Shown if the graphics card is chosen and the browser has no WebGPU.
pub const NO_WEBGPU: &str = "This browser has no WebGPU, through which a graphics card computes: \
     choose the processor. Chrome and Edge have WebGPU on Windows, macOS, Android, ChromeOS and \
     recent Linux; Safari has it from version 26; Firefox has it on Windows and on Apple silicon.";

/// Shown if the graphics card is chosen and the browser offers no WebGPU at this address.
pub const NOT_SECURE: &str = "Browsers offer the graphics card only to https pages and to this \
     computer itself. Choose the processor, or open the page at https://… or at http://localhost.";

/// Shown if the graphics card is chosen and the browser has WebGPU but no graphics card for it.
pub const NO_GPU: &str = "This browser found no graphics card that it may use: choose the processor. \
     For the graphics card, check that graphics acceleration is on: in Chrome and Edge under Settings, System, \
     \u{201c}Use graphics acceleration when available\u{201d}; in Firefox under Settings, General, \
     Performance. Then restart the browser. Chrome on Linux may also need the flag \
     chrome://flags/#enable-unsafe-webgpu, and an old graphics driver an update. A remote desktop or \
     a virtual machine often has no graphics card.";

/// Reports that a scan needs more memory on the processor than is allowed.
pub fn exceeds_budget(smallest_bytes: u64, budget_bytes: u64) -> String {
    format!(
        "this scan needs at least {} of memory with this network, and {} are allowed",
        bytes_rounded_up(smallest_bytes),
        bytes_rounded_up(budget_bytes)
    )
}

/// Describes an error of a run on the processor, with a remedy.
pub fn processor_error(error: &CpuError) -> String {
    match error {
        CpuError::OutOfMemory { .. } => {
            format!("{error}. Close other programs and tabs, then try again.")
        }
        error => error.to_string(),
    }
}

/// Describes an error of a run on the GPU, with a remedy.
pub fn run_error(error: &shaders::Error) -> String {
    match error {
        shaders::Error::NoAdapter(_) => NO_GPU.into(),
        shaders::Error::DeviceLost(_) => format!(
            "{error}. Close other programs that use the graphics card or allow less memory, then \
             try again."
        ),
        shaders::Error::OutOfMemory { .. } => {
            format!(
                "{error}. Close other programs and tabs that use the graphics card, then try again."
            )
        }
        error => error.to_string(),
    }
}

/// Follows the reason why the computation stopped for good.
pub const TRY_AGAIN: &str = "The most likely cause is too little memory: close other tabs and \
     programs, load this page again, and allow less memory or use a smaller scan.";

/// Reports that the worker ended and was restarted.
pub fn worker_restarted(reason: &str) -> String {
    format!(
        "The computation stopped ({reason}) and was started again with the same model and scans. \
         If it stops again, close other tabs and programs, or allow less memory."
    )
}

/// Reports that a response came from another model than the one requested.
pub fn wrong_model(expected: &str, found: &str) -> String {
    format!(
        "the result is from another model and was discarded: expected the model with SHA-256 \
         {expected}, found {found}. Open the model again."
    )
}

/// Merges the warnings of several files: each warning once, followed by the files' names unless it
/// applies to every file.
pub fn merged_warnings(files: &[(String, Vec<String>)]) -> Vec<String> {
    let mut merged: Vec<(&str, Vec<&str>)> = Vec::new();
    for (file, warnings) in files {
        for warning in warnings {
            match merged.iter_mut().find(|(text, _)| text == warning) {
                Some((_, names)) if names.contains(&&**file) => {}
                Some((_, names)) => names.push(file),
                None => merged.push((warning, vec![file])),
            }
        }
    }
    let mut all_names: Vec<&str> = files.iter().map(|(file, _)| &**file).collect();
    all_names.sort_unstable();
    all_names.dedup();
    let with_names = merged.into_iter().map(|(text, names)| match names.len() == all_names.len() {
        true => text.to_string(),
        false => format!("{text} (in {})", names.join(", ")),
    });
    with_names.collect()
}

/// Capitalizes the first letter of a text.
pub fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase()).into_iter();
    first.chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(count(950), "950");
        assert_eq!(count(18_432), "18.4 thousand");
        assert_eq!(count(3_649_536), "3.6 million");
        assert_eq!(count(1_234_000_000_000), "1.23 trillion");
    }

    #[test]
    fn the_description_of_a_tiled_result_fits_the_header() {
        assert_eq!(description("", 0), "Rewind; research use only");
        assert_eq!(description("", 7), "Rewind; research use only; 7 voxels edited");
        let text = description(&tiles(1000, [128, 128, 128]), 0);
        assert!(text.contains("overlapping tiles of 128 x 128 x 128") && text.len() < 80, "{text}");
    }

    /// The message lists no graphics interfaces, but the settings to check.
    #[test]
    fn without_a_gpu_the_message_names_the_settings() {
        let detail = "No suitable graphics adapter found; vulkan not requested".to_string();
        let text = run_error(&shaders::Error::NoAdapter(detail));
        assert!(text.contains("Use graphics acceleration when available"), "{text}");
        assert!(text.contains("choose the processor"), "{text}");
        assert!(!text.contains("vulkan"), "{text}");
        assert!(run_error(&shaders::Error::DeviceLost("reset".into())).contains("try again"));
    }

    #[test]
    fn a_warning_names_its_files_unless_it_applies_to_all() {
        let file = |name: &str, warnings: &[&str]| {
            (name.to_string(), warnings.iter().map(|w| w.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(merged_warnings(&[file("a", &["X."]), file("b", &["X."])]), ["X."]);
        let files = [file("a", &["X."]), file("b", &["X.", "Y."]), file("c", &[]), file("c", &[])];
        assert_eq!(merged_warnings(&files), ["X. (in a, b)", "Y. (in b)"]);
        assert_eq!(merged_warnings(&[file("a", &["X."]), file("a", &["X."])]), ["X."]);
        assert_eq!(merged_warnings(&[]), [""; 0]);
    }

    #[test]
    fn fallbacks_are_listed_in_order() {
        let events = ["the GPU had no 900 MiB".to_string(), "the GPU had no 700 MiB".to_string()];
        let expected = "The GPU had no 900 MiB. The GPU had no 700 MiB. Ran within 620 MiB.";
        assert_eq!(fallbacks(&events, "Ran", 620 << 20), expected);
        assert_eq!(fallbacks(&[], "Ran", 1), "");
    }
}
