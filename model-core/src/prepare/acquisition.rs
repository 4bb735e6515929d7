//! Recognizes the contrast of a DICOM series by its description and its acquisition parameters.
//!
//! Descriptions are free text of the hospital or the manufacturer, such as "B Ax T1 +C" or "t2_tirm_tra_dark-fluid".
//! The times of the acquisition decide if the description states no contrast.

use crate::formats::study::AcquisitionHints;

/// A recognized contrast: a name that [`is_same_channel`](crate::is_same_channel) understands, such as
/// "T1Gd" or "ADC", and the reason in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contrast {
    pub name: &'static str,
    pub reason: String,
}

/// Words that exclude the four anatomical contrasts, with the name of what they state. A description is
/// searched in this order.
const OTHERS: &[(&str, &[&str])] = &[
    ("localizer", &["localizer", "localiser", "loc", "scout", "survey", "plan", "calibration"]),
    ("ADC", &["adc"]),
    (
        "DWI",
        &["dwi", "diff", "diffusion", "trace", "tracew", "b1000", "resolve", "dti", "fa", "colfa"],
    ),
    (
        "SWI",
        &[
            "swi", "swan", "venbold", "mip", "minip", "phase", "pha", "t2star", "hemo", "t2gre",
            "gre",
        ],
    ),
    (
        "perfusion",
        &["perf", "perfusion", "dsc", "dce", "asl", "pcasl", "cbv", "cbf", "mtt", "ttp", "ktrans"],
    ),
    ("MRA", &["tof", "mra", "mrv", "angio", "pc3d"]),
    ("subtraction", &["sub", "subtraction"]),
    ("map", &["t1map", "t2map", "qsm", "mtr"]),
    ("PD", &["pd", "pdw"]),
    ("other", &["ciss", "fiesta", "stir", "dir", "bold", "fmri", "mrs", "csi", "fieldmap"]),
];

const FLAIR: &[&str] = &["flair", "tirm", "darkfluid", "darkfl", "t2flair", "t2f"];
const T1: &[&str] = &[
    "t1", "t1w", "mprage", "mpr", "mp2rage", "spgr", "fspgr", "bravo", "irfspgr", "tfl", "tfe",
    "vibe", "t1n", "t1c", "t1ce", "t1gd", "t1post", "t1pre", "t1se", "t1tse",
];
const T2: &[&str] = &["t2", "t2w", "t2tse", "t2fse"];
const ENHANCED: &[&str] = &[
    "post",
    "postcontrast",
    "postgd",
    "gd",
    "gad",
    "gado",
    "gadolinium",
    "ce",
    "contrast",
    "enhanced",
    "km",
    "mitkm",
    "kmgabe",
    "t1c",
    "t1ce",
    "t1gd",
    "t1post",
    "gadovist",
    "dotarem",
    "multihance",
    "magnevist",
    "prohance",
    "cplus",
];
const NATIVE: &[&str] = &[
    "pre",
    "precontrast",
    "native",
    "nativ",
    "noncontrast",
    "nocontrast",
    "plain",
    "without",
    "ohne",
    "t1pre",
    "t1n",
    "unenhanced",
];

/// Echo times up to this are short, in milliseconds: T1 and proton density.
const SHORT_ECHO_MS: f64 = 40.0;
/// Echo times from this on are long, in milliseconds: T2 and FLAIR.
const LONG_ECHO_MS: f64 = 60.0;
/// Repetition times up to this weight a spin echo by T1, in milliseconds.
const SHORT_REPETITION_MS: f64 = 1200.0;
/// Inversion times from this on null the fluid, in milliseconds.
const FLUID_INVERSION_MS: f64 = 1500.0;

/// Returns the contrast of a series; `None` if nothing states it.
pub(super) fn contrast(hints: &AcquisitionHints) -> Option<Contrast> {
    if let Some(modality) = hints.modality.as_deref().filter(|modality| *modality != "MR") {
        return Some(Contrast { name: "other", reason: format!("it is of modality {modality}") });
    }
    let texts = [&hints.series_description, &hints.protocol_name, &hints.sequence_name];
    let stated = texts.into_iter().flatten().find_map(|text| Some((text, by_text(text)?)));
    let (name, reason) = match stated {
        Some((text, name)) => (name, format!("its description is \u{201c}{text}\u{201d}")),
        None => by_times(hints)?,
    };
    // The description may state the agent, in another field too.
    let is_t1 = matches!(name, "T1" | "T1Gd");
    let enhancement = texts.into_iter().flatten().find_map(|text| enhancement(text));
    let (is_enhanced, agent) = match (enhancement, hints.contrast_agent) {
        (Some(is_enhanced), _) => (is_enhanced, ""),
        (None, Some(true)) => (true, " with a contrast agent"),
        (None, _) => (false, ""),
    };
    match is_t1 {
        true => Some(Contrast {
            name: if is_enhanced { "T1Gd" } else { "T1" },
            reason: format!("{reason}{agent}"),
        }),
        false => Some(Contrast { name, reason }),
    }
}

/// Returns the contrast that a description states.
fn by_text(text: &str) -> Option<&'static str> {
    let words = words(text);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let is_t1 = has(T1);
    let (is_fluid, is_t2) = (has(FLAIR), has(T2));
    // "T1 FLAIR" is a T1 with an inversion. "t2_tirm" and "T2 FLAIR" suppress the fluid.
    let anatomical = match (is_t1, is_fluid, is_t2) {
        (true, _, false) => Some("T1"),
        (_, true, _) => Some("FLAIR"),
        (false, _, true) => Some("T2"),
        _ => None,
    };
    let other = OTHERS.iter().find(|(_, list)| has(list)).map(|(name, _)| *name);
    // A scout is also named after its sequence.
    other.or(anatomical)
}

/// Returns the contrast that the times of an acquisition state.
fn by_times(hints: &AcquisitionHints) -> Option<(&'static str, String)> {
    let (echo, repetition) = (hints.echo_time_ms?, hints.repetition_time_ms?);
    let inversion = hints.inversion_time_ms.filter(|time| *time > 0.0);
    let name = match inversion {
        Some(time) if time >= FLUID_INVERSION_MS && echo >= LONG_ECHO_MS => "FLAIR",
        Some(time) if time < FLUID_INVERSION_MS && echo <= SHORT_ECHO_MS => "T1",
        Some(_) => return None,
        None if echo >= LONG_ECHO_MS && repetition > SHORT_REPETITION_MS => "T2",
        None if echo <= SHORT_ECHO_MS && repetition <= SHORT_REPETITION_MS => "T1",
        None => return None,
    };
    let inversion = inversion.map_or(String::new(), |time| format!(", inversion {time:.0} ms"));
    Some((name, format!("echo time {echo:.0} ms, repetition {repetition:.0} ms{inversion}")))
}

/// Returns whether a description states that a contrast agent was given, or that none was.
fn enhancement(text: &str) -> Option<bool> {
    let words = words(text);
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    match (has(NATIVE), has(ENHANCED)) {
        (true, _) => Some(false),
        (false, true) => Some(true),
        (false, false) => None,
    }
}

/// Returns the words of a description in lower case: letters and digits, "+c" and "c+" as "cplus", and
/// neighbors joined in pairs, such as "dark fluid" as "darkfluid".
fn words(text: &str) -> Vec<String> {
    let text = text
        .to_lowercase()
        .replace("+c", " cplus ")
        .replace("c+", " cplus ")
        .replace("t2*", " t2star ");
    let plain: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(String::from)
        .collect();
    let pairs: Vec<String> = plain.windows(2).map(|pair| pair.concat()).collect();
    plain.into_iter().chain(pairs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(text: &str) -> AcquisitionHints {
        AcquisitionHints { series_description: Some(text.into()), ..AcquisitionHints::default() }
    }

    fn name(hints: &AcquisitionHints) -> &'static str {
        contrast(hints).map_or("", |contrast| contrast.name)
    }

    #[test]
    fn descriptions_of_scanners_state_the_contrast() {
        for (text, expected) in [
            ("B Ax T1 +C", "T1Gd"),
            ("T1pre_reg", "T1"),
            ("t1_mprage_sag_p2_iso KM", "T1Gd"),
            ("SAG MPRAGE", "T1"),
            ("AX T1 FLAIR PRE", "T1"),
            ("AX T2 FLAIR", "FLAIR"),
            ("t2_tirm_tra_dark-fluid", "FLAIR"),
            ("3D Dark Fluid", "FLAIR"),
            ("t2_tse_tra_512", "T2"),
            ("T2_reg", "T2"),
            ("Ax T2* GRE", "SWI"),
            ("ep2d_diff_b1000_ADC", "ADC"),
            ("T1 post gad", "T1Gd"),
            ("T1 without contrast", "T1"),
            ("AX T1 SUB", "subtraction"),
            ("3-Plane Loc", "localizer"),
            ("AAHead_Scout T1", "localizer"),
            ("Brain routine", ""),
        ] {
            assert_eq!(name(&described(text)), expected, "{text}");
        }
    }

    #[test]
    fn times_decide_where_the_description_is_silent() {
        let times = |echo, repetition, inversion| AcquisitionHints {
            series_description: Some("AX BRAIN".into()),
            echo_time_ms: Some(echo),
            repetition_time_ms: Some(repetition),
            inversion_time_ms: inversion,
            ..AcquisitionHints::default()
        };
        assert_eq!(name(&times(9.5, 500.0, None)), "T1");
        assert_eq!(name(&times(92.0, 4000.0, None)), "T2");
        assert_eq!(name(&times(90.0, 10_000.0, Some(2600.0))), "FLAIR");
        assert_eq!(name(&times(3.0, 2300.0, Some(900.0))), "T1");
        assert_eq!(name(&times(15.0, 3000.0, None)), "", "proton density");
        let enhanced = AcquisitionHints { contrast_agent: Some(true), ..times(9.5, 500.0, None) };
        let found = contrast(&enhanced).unwrap();
        assert_eq!(found.name, "T1Gd");
        assert_eq!(found.reason, "echo time 10 ms, repetition 500 ms with a contrast agent");
    }

    #[test]
    fn the_description_outweighs_the_tag_of_the_agent() {
        let hints = AcquisitionHints { contrast_agent: Some(true), ..described("T1 pre") };
        assert_eq!(name(&hints), "T1");
        let hints = AcquisitionHints { contrast_agent: Some(true), ..described("AX T2") };
        assert_eq!(name(&hints), "T2");
        let hints = AcquisitionHints { modality: Some("CT".into()), ..described("T1") };
        assert_eq!(name(&hints), "other");
    }
}
