//! The coded terms of segments: DICOM's context groups CID 7150 (categories), CID 7159 (lesions) and
//! CID 7192 (organs) in PS3.16, which 3D Slicer uses too.

/// A code of a terminology.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The terminology: SNOMED CT (`SCT`) or the NCI Thesaurus (`NCIt`).
    pub scheme: &'static str,
    pub value: &'static str,
    pub meaning: &'static str,
}

/// The category of a segment, and its type within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminology {
    pub category: Code,
    pub property: Code,
}

const fn snomed(value: &'static str, meaning: &'static str) -> Code {
    Code { scheme: "SCT", value, meaning }
}

const fn nci(value: &'static str, meaning: &'static str) -> Code {
    Code { scheme: "NCIt", value, meaning }
}

const ABNORMAL: Code = snomed("49755003", "Morphologically Abnormal Structure");
const ANATOMICAL: Code = snomed("91723000", "Anatomical Structure");

/// The general term for a name that is not in the tables, as in 3D Slicer.
const TISSUE: Code = snomed("85756007", "Tissue");

const ENHANCING: Code = nci("C113842", "Enhancing Lesion");
const NON_ENHANCING: Code = nci("C81175", "Non-Enhancing Lesion");
const EDEMA: Code = snomed("79654002", "Edema");
const LESION: Code = snomed("52988006", "Lesion");
const MASS: Code = snomed("4147007", "Mass");
const METASTASIS: Code = snomed("14799000", "Neoplasm, Secondary");
const NEOPLASM: Code = snomed("108369006", "Neoplasm");

/// Parts of the names of abnormal structures. The first one that a name contains decides: edema and
/// necrosis are parts of tumors, and a core is the tumor's mass without its edema.
const ABNORMAL_WORDS: [(&str, Code); 19] = [
    ("non-enhancing", NON_ENHANCING),
    ("nonenhancing", NON_ENHANCING),
    ("enhancing", ENHANCING),
    ("necro", snomed("6574001", "Necrosis")),
    ("edema", EDEMA),
    ("flair hyperintensity", EDEMA),
    ("tumor core", MASS),
    ("tumour core", MASS),
    ("mass", MASS),
    ("metasta", METASTASIS),
    ("tumor", NEOPLASM),
    ("tumour", NEOPLASM),
    ("neoplasm", NEOPLASM),
    ("cancer", NEOPLASM),
    ("glioma", NEOPLASM),
    ("carcinoma", NEOPLASM),
    ("cyst", snomed("367643001", "Cyst")),
    ("lesion", LESION),
    ("resection cavity", LESION),
];

/// The whole names of organs.
const ORGANS: [Code; 15] = [
    snomed("12738006", "Brain"),
    snomed("65216001", "Cerebrospinal Fluid"),
    snomed("71854001", "Colon"),
    snomed("389081007", "Gray Matter"),
    snomed("80891009", "Heart"),
    snomed("5366008", "Hippocampus"),
    snomed("64033007", "Kidney"),
    snomed("82471001", "Left atrium"),
    snomed("10200004", "Liver"),
    snomed("39607008", "Lung"),
    snomed("15776009", "Pancreas"),
    snomed("41216001", "Prostate"),
    snomed("89546000", "Skull"),
    snomed("78961009", "Spleen"),
    snomed("389080008", "White Matter"),
];

/// Returns the terms for a region's name.
pub fn terminology(name: &str) -> Terminology {
    let name = name.trim().to_lowercase();
    if let Some(&(_, property)) = ABNORMAL_WORDS.iter().find(|(word, _)| name.contains(word)) {
        return Terminology { category: ABNORMAL, property };
    }
    match ORGANS.iter().find(|organ| organ.meaning.to_lowercase() == name) {
        Some(&property) => Terminology { category: ANATOMICAL, property },
        None => Terminology { category: TISSUE, property: TISSUE },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_regions_of_tumors_have_their_terms() {
        for (name, property) in [
            ("Whole tumor", "108369006"),
            ("tumor core", "4147007"),
            ("enhancing tumor", "C113842"),
            ("non-enhancing tumor core", "C81175"),
            ("necrotic core", "6574001"),
            ("edema", "79654002"),
            ("FLAIR hyperintensity", "79654002"),
        ] {
            let terms = terminology(name);
            assert_eq!((terms.category, terms.property.value), (ABNORMAL, property), "{name}");
        }
    }

    #[test]
    fn other_names_are_organs_or_tissue() {
        assert_eq!(terminology("hippocampus").property.value, "5366008");
        assert_eq!(terminology("brain").category, ANATOMICAL);
        // A vessel of the liver is not the liver.
        for name in ["Anterior", "liver vessel", ""] {
            let terms = terminology(name);
            assert_eq!((terms.category, terms.property), (TISSUE, TISSUE), "{name}");
        }
    }
}
