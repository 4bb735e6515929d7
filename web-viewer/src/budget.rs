//! How much graphics memory the page may use: a few choices, of which the browser remembers one.

/// The choices in MiB, rising.
pub const CHOICES_MIB: [u64; 4] = [512, 1024, 2048, 4096];

/// The largest of them.
pub const MOST_MIB: u64 = CHOICES_MIB[CHOICES_MIB.len() - 1];

/// A case cropped to the brain runs within it in 32 bit, and iOS ends a page that takes much more.
pub const DEFAULT_MIB: u64 = 1024;

/// The choice that was remembered as text; the default for whatever else stands there.
pub fn remembered(text: Option<&str>) -> u64 {
    let mib = text.and_then(|text| text.parse().ok());
    mib.filter(|mib| CHOICES_MIB.contains(mib)).unwrap_or(DEFAULT_MIB)
}

/// The smallest choice that holds so many bytes.
pub fn holding(bytes: u64) -> Option<u64> {
    CHOICES_MIB.into_iter().find(|mib| mib << 20 >= bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_choice_is_remembered() {
        assert_eq!(remembered(Some("4096")), 4096);
        for text in [None, Some(""), Some("-1"), Some("3000"), Some("99999999999999999999")] {
            assert_eq!(remembered(text), DEFAULT_MIB, "{text:?}");
        }
    }

    #[test]
    fn what_is_offered_holds_what_is_needed() {
        assert_eq!(holding(1), Some(512));
        assert_eq!(holding(512 << 20), Some(512));
        assert_eq!(holding((512 << 20) + 1), Some(1024));
        assert_eq!(holding(4 << 30), Some(4096));
        assert_eq!(holding((4 << 30) + 1), None);
    }
}
