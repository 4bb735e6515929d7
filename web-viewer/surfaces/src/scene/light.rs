//! The brightness and the opacity of a surface by its direction to the viewer.

use glam::Vec3;

/// The direction to the light: over the viewer's left shoulder. A unit vector.
const TO_LIGHT: Vec3 = Vec3::new(-0.329, 0.438, 0.836);
/// The direction halfway between the light and the viewer, for highlights (Blinn, 1977).
const HALFWAY: Vec3 = Vec3::new(-0.172, 0.229, 0.958);

/// The brightness without light.
const AMBIENT: f32 = 0.28;
/// The exponent and the strength of the highlight.
const SHININESS: i32 = 24;
const HIGHLIGHT: f32 = 0.3;

/// The opacity of a shell that faces the viewer, and at its rim.
const SHELL_OPACITY: f32 = 0.3;
const RIM_OPACITY: f32 = 0.95;

/// Returns the brightness of a unit normal that is given as right, up and toward the viewer. 1 is the
/// surface's color, 2 is white.
pub fn brightness(normal: Vec3) -> f32 {
    let diffuse = normal.dot(TO_LIGHT).max(0.0);
    let highlight = normal.dot(HALFWAY).max(0.0).powi(SHININESS);
    AMBIENT + (1.0 - AMBIENT) * diffuse + HIGHLIGHT * highlight
}

/// Returns the opacity of a shell: more at its rim, as the sight passes along it.
pub fn shell_opacity(normal: Vec3) -> f32 {
    let away = 1.0 - normal.z.clamp(0.0, 1.0);
    SHELL_OPACITY + (RIM_OPACITY - SHELL_OPACITY) * away * away
}

/// Returns a color in a brightness.
pub fn lit(color: [u8; 3], brightness: f32) -> [f32; 3] {
    let (shade, white) = (brightness.clamp(0.0, 1.0), (brightness - 1.0).clamp(0.0, 1.0));
    color.map(|value| {
        let value = f32::from(value) * shade;
        value + (255.0 - value) * white
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn light_comes_from_the_viewers_upper_left() {
        assert!((TO_LIGHT.length() - 1.0).abs() < 1e-2 && (HALFWAY.length() - 1.0).abs() < 1e-2);
        assert!(brightness(TO_LIGHT) > brightness(Vec3::Z));
        assert!(brightness(-Vec3::X) > brightness(Vec3::X));
        assert_eq!(lit([100, 200, 0], 1.0), [100.0, 200.0, 0.0]);
        assert_eq!(lit([100, 200, 0], 2.0), [255.0; 3]);
    }

    #[test]
    fn a_shell_is_more_opaque_at_its_rim() {
        assert_eq!(shell_opacity(Vec3::Z), SHELL_OPACITY);
        assert!((shell_opacity(Vec3::X) - RIM_OPACITY).abs() < 1e-6);
    }
}
