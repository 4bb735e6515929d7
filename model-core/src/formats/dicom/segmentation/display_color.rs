//! The color of a segment in CIELab, as DICOM states it (PS3.3, section C.10.7.1.1).

/// The white of sRGB, D65. DICOM's profile connection space has D50, but DCMTK, highdicom and the
/// viewers that use them convert with D65, and a color should be the same in all of them.
const WHITE: [f64; 3] = [0.95047, 1.0, 1.08883];

/// XYZ from linear sRGB (IEC 61966-2-1).
const XYZ_FROM_RGB: [[f64; 3]; 3] = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
];

/// Returns L* from 0 to 100, and a* and b* from −128 to 127, each scaled to 0 to 65535.
pub fn cielab([r, g, b]: [u8; 3]) -> [u16; 3] {
    let rgb = [r, g, b].map(linear);
    let xyz: [f64; 3] = std::array::from_fn(|n| {
        let sum: f64 = XYZ_FROM_RGB[n].iter().zip(rgb).map(|(weight, part)| weight * part).sum();
        compressed(sum / WHITE[n])
    });
    let [x, y, z] = xyz;
    let [l, a, b] = [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)];
    // The conversion saturates.
    [l / 100.0, (a + 128.0) / 255.0, (b + 128.0) / 255.0]
        .map(|part| (part * 65535.0).round() as u16)
}

/// Returns the linear intensity of an sRGB value (IEC 61966-2-1).
fn linear(value: u8) -> f64 {
    let value = f64::from(value) / 255.0;
    if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
}

/// Returns CIELab's function of a ratio to white (ISO/CIE 11664-4).
fn compressed(ratio: f64) -> f64 {
    const DELTA: f64 = 6.0 / 29.0;
    match ratio > DELTA * DELTA * DELTA {
        true => ratio.cbrt(),
        false => ratio / (3.0 * DELTA * DELTA) + 4.0 / 29.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `[highdicom.color.CIELabColor.from_rgb(*rgb).value for rgb in …]`, of highdicom 0.28.2.
    const GOLDEN: [([u8; 3], [u16; 3]); 6] = [
        ([0, 0, 0], [0, 32896, 32896]),
        ([255, 255, 255], [65535, 32897, 32893]),
        ([230, 159, 0], [46273, 37131, 52089]),
        ([86, 180, 233], [45761, 29808, 23959]),
        ([255, 0, 0], [34886, 53484, 50172]),
        ([0, 0, 255], [21170, 53250, 5175]),
    ];

    #[test]
    fn colors_are_those_of_another_implementation() {
        for (rgb, expected) in GOLDEN {
            let found = cielab(rgb);
            let differences = found.iter().zip(expected).map(|(a, b)| a.abs_diff(b));
            // The constants have other numbers of digits.
            assert!(differences.max() <= Some(5), "{rgb:?}: {found:?}, {expected:?}");
        }
    }
}
