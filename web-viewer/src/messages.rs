//! Numbers and events of a run in words for the person at the page.

/// A large number with three digits and its prefix's word.
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

/// Memory; never less than it is.
pub fn bytes(n: u64) -> String {
    match n.div_ceil(1 << 20) {
        mib if mib >= 1024 && mib % 1024 == 0 => format!("{} GiB", mib / 1024),
        mib if mib > 1024 => format!("{:.1} GiB", (mib as f64 / 102.4).ceil() / 10.0),
        mib => format!("{mib} MiB"),
    }
}

/// How the network's maps are stored.
pub fn maps(bits: u32) -> String {
    format!("{bits}-bit maps")
}

/// What storing them so means.
pub fn precision(bits: u32) -> &'static str {
    match bits {
        16 => {
            "Values between layers are rounded to half the memory. Single voxels may differ from a \
               32-bit run; allow more memory for that."
        }
        _ => "Values between layers are kept in full precision.",
    }
}

/// Stands where windows are offered, and with every result that was made in them.
pub const WINDOWS_NOTE: &str = "Overlapping windows are another function than the whole scan at \
     once, and give another result: the network's norms take their statistics from what they see.";

/// Windows by their number and size, in a few words.
pub fn windows(number: usize, [i, j, k]: [usize; 3]) -> String {
    format!("{number} overlapping windows of {i} × {j} × {k} voxels")
}

/// How a result was made, for the header of its file, which holds 79 bytes.
pub fn description(windows: &str) -> String {
    match windows {
        "" => "Rewind; research use only".into(),
        windows => format!("Rewind; {}; research use only", windows.replace('×', "x")),
    }
}

/// What went wrong before a run got through: a sentence for each event, and within what it ran.
pub fn setbacks(events: &[String], doing: &str, plan_bytes: u64) -> String {
    if events.is_empty() {
        return String::new();
    }
    let sentences = events.iter().map(|event| format!("{}. ", capitalized(event)));
    format!("{}{doing} within {}.", sentences.collect::<String>(), bytes(plan_bytes))
}

/// Where the browser has no WebGPU at all.
pub const NO_WEBGPU: &str = "This browser has no WebGPU, which the network runs on. Chrome and Edge \
     have it on Tiles, macOS, Android, ChromeOS and recent Linux; Safari from version 26; Firefox \
     on Tiles and on Apple silicon. Links to results open everywhere.";

/// Where the browser keeps WebGPU from this address.
pub const NOT_SECURE: &str = "Browsers offer WebGPU only on https pages and on this computer itself: \
     open the page at https://…, or at http://localhost.";

/// Where the browser has WebGPU, and no graphics card for it.
pub const NO_GPU: &str = "This browser found no graphics card that it may use, and the network runs \
     on one. Look whether graphics acceleration is on: in Chrome and Edge under Settings, System, \
     \u{201c}Use graphics acceleration when available\u{201d}; in Firefox under Settings, General, \
     Performance. Then restart the browser. Chrome on Linux may also need the flag \
     chrome://flags/#enable-unsafe-webgpu, and an old graphics driver an update. A remote desktop or \
     a virtual machine often has no graphics card: open the page in Chrome, Edge or Safari 26 on \
     another computer. Links to results open everywhere.";

/// What went wrong on the GPU, and what to do about it.
pub fn failure(error: &shaders::Error) -> String {
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

/// Stands after whatever ended the computation for good.
pub const TRY_AGAIN: &str = "Most likely there was not enough memory: close other tabs and programs, \
     load this page again, and allow less memory or take a smaller scan.";

/// The computation ended and was begun anew.
pub fn stopped(reason: &str) -> String {
    format!(
        "The computation stopped ({reason}) and was started again with the same model and scans. \
         Should it stop again, close other tabs and programs, or allow less memory."
    )
}

/// Who the answer is about when it is not the model that was asked.
pub fn other_model(expected: &str, found: &str) -> String {
    format!(
        "the answer is of another model and was left out: expected the model with SHA-256 \
         {expected}, found {found}. Open the model again."
    )
}

/// What is said of files, each sentence once: with their names, unless it is said of all.
pub fn of_files(files: &[(String, Vec<String>)]) -> Vec<String> {
    let mut sentences: Vec<(&str, Vec<&str>)> = Vec::new();
    for (file, said) in files {
        for sentence in said {
            match sentences.iter_mut().find(|(known, _)| known == sentence) {
                Some((_, about)) if about.contains(&&**file) => {}
                Some((_, about)) => about.push(file),
                None => sentences.push((sentence, vec![file])),
            }
        }
    }
    let mut names: Vec<&str> = files.iter().map(|(file, _)| &**file).collect();
    names.sort_unstable();
    names.dedup();
    let told = sentences.into_iter().map(|(sentence, about)| match about.len() == names.len() {
        true => sentence.to_string(),
        false => format!("{sentence} (in {})", about.join(", ")),
    });
    told.collect()
}

/// A sentence's beginning.
pub fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_memory_is_never_understated() {
        assert_eq!(count(950), "950");
        assert_eq!(count(18_432), "18.4 thousand");
        assert_eq!(count(3_649_536), "3.6 million");
        assert_eq!(count(1_234_000_000_000), "1.23 trillion");
        let mib = 1 << 20;
        for (n, words) in [
            (1, "1 MiB"),
            (431 * mib, "431 MiB"),
            (431 * mib + 1, "432 MiB"),
            (1024 * mib, "1 GiB"),
            (1025 * mib, "1.1 GiB"),
            (4096 * mib, "4 GiB"),
        ] {
            assert_eq!(bytes(n), words);
        }
    }

    #[test]
    fn a_file_tells_of_windows_within_its_header() {
        assert_eq!(description(""), "Rewind; research use only");
        let told = description(&windows(1000, [128, 128, 128]));
        assert!(
            told.contains("overlapping windows of 128 x 128 x 128") && told.len() < 80,
            "{told}"
        );
    }

    /// No list of graphics interfaces, but the settings to look at.
    #[test]
    fn without_a_gpu_the_page_says_what_to_do() {
        let detail = "No suitable graphics adapter found; vulkan not requested".to_string();
        let told = failure(&shaders::Error::NoAdapter(detail));
        assert!(told.contains("Use graphics acceleration when available"), "{told}");
        assert!(told.contains("Chrome, Edge or Safari 26"), "{told}");
        assert!(!told.contains("vulkan"), "{told}");
        assert!(failure(&shaders::Error::DeviceLost("reset".into())).contains("try again"));
    }

    #[test]
    fn a_sentence_names_its_files_unless_it_is_about_all() {
        let of = |file: &str, said: &[&str]| {
            (file.to_string(), said.iter().map(|s| s.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(of_files(&[of("a", &["X."]), of("b", &["X."])]), ["X."]);
        let files = [of("a", &["X."]), of("b", &["X.", "Y."]), of("c", &[]), of("c", &[])];
        assert_eq!(of_files(&files), ["X. (in a, b)", "Y. (in b)"]);
        assert_eq!(of_files(&[of("a", &["X."]), of("a", &["X."])]), ["X."]);
        assert_eq!(of_files(&[]), [""; 0]);
    }

    #[test]
    fn a_result_tells_what_went_wrong_on_the_way() {
        let events = ["the GPU had no 900 MiB".to_string(), "the GPU had no 700 MiB".to_string()];
        let told = "The GPU had no 900 MiB. The GPU had no 700 MiB. Ran within 620 MiB.";
        assert_eq!(setbacks(&events, "Ran", 620 << 20), told);
        assert_eq!(setbacks(&[], "Ran", 1), "");
    }
}
