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

    #[test]
    fn a_result_tells_what_went_wrong_on_the_way() {
        let events = ["the GPU had no 900 MiB".to_string(), "the GPU had no 700 MiB".to_string()];
        let told = "The GPU had no 900 MiB. The GPU had no 700 MiB. Ran within 620 MiB.";
        assert_eq!(setbacks(&events, "Ran", 620 << 20), told);
        assert_eq!(setbacks(&[], "Ran", 1), "");
    }
}
