//! The unique identifiers of a written segmentation.

/// Segmentation Storage.
pub const CLASS: &str = "1.2.840.10008.5.1.4.1.1.66.4";

/// Explicit VR Little Endian.
pub const TRANSFER_SYNTAX: &str = "1.2.840.10008.1.2.1";

/// The program's own identifier, made once from a random UUID.
pub const IMPLEMENTATION: &str = "2.25.207660748763638969758954336109846065523";

/// The identifiers that are made for a file.
pub struct NewIdentifiers {
    pub series: String,
    pub instance: String,
    pub dimensions: String,
    pub frame_of_reference: String,
}

impl NewIdentifiers {
    /// Returns the identifiers of random numbers.
    pub fn new(random_bits: [u128; 4]) -> NewIdentifiers {
        let [series, instance, dimensions, frame_of_reference] = random_bits.map(uid);
        NewIdentifiers { series, instance, dimensions, frame_of_reference }
    }
}

/// Returns the identifier of a random UUID (PS3.5, section B.2; version 4 of RFC 9562).
fn uid(random_bits: u128) -> String {
    let version = random_bits & !(0xf << 76) | 0x4 << 76;
    let uuid = version & !(0x3 << 62) | 0x2 << 62;
    format!("2.25.{uuid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_a_random_uuid() {
        // uuid.UUID(int=0, version=4).int and uuid.UUID(int=2**128-1, version=4).int in Python.
        assert_eq!(uid(0), "2.25.302240678275694148452352");
        assert_eq!(uid(u128::MAX), "2.25.340282366920937632322261936355783213055");
    }
}
