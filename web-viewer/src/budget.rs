//! The GPU memory budget: the choices that the page offers, one of which the browser stores.

/// The choices in MiB, in ascending order.
pub const CHOICES_MIB: [u64; 4] = [512, 1024, 2048, 4096];

/// The largest choice.
pub const MAX_MIB: u64 = CHOICES_MIB[CHOICES_MIB.len() - 1];

/// The default choice. A case cropped to the brain runs within it in 32 bit, and iOS ends a page that
/// takes much more.
pub const DEFAULT_MIB: u64 = 1024;

/// Parses a stored choice. Any other text gives the default.
pub fn parse_stored(text: Option<&str>) -> u64 {
    let mib = text.and_then(|text| text.parse().ok());
    mib.filter(|mib| CHOICES_MIB.contains(mib)).unwrap_or(DEFAULT_MIB)
}

/// Returns the smallest choice of at least `bytes` bytes, in MiB.
pub fn smallest_choice(bytes: u64) -> Option<u64> {
    CHOICES_MIB.into_iter().find(|mib| mib << 20 >= bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_offered_choice_is_restored() {
        assert_eq!(parse_stored(Some("4096")), 4096);
        for text in [None, Some(""), Some("-1"), Some("3000"), Some("99999999999999999999")] {
            assert_eq!(parse_stored(text), DEFAULT_MIB, "{text:?}");
        }
    }

    #[test]
    fn the_smallest_sufficient_choice_is_offered() {
        assert_eq!(smallest_choice(1), Some(512));
        assert_eq!(smallest_choice(512 << 20), Some(512));
        assert_eq!(smallest_choice((512 << 20) + 1), Some(1024));
        assert_eq!(smallest_choice(4 << 30), Some(4096));
        assert_eq!(smallest_choice((4 << 30) + 1), None);
    }
}
