//! A canvas of pixels and letters, and its PNG file.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use crate::color::{Color, mix};

/// The height of a line of text in pixels.
pub(super) const TEXT_HEIGHT: usize = 16;

/// A picture that is being drawn.
pub(super) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Color>,
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize, color: Color) -> Canvas {
        Canvas { width, height, pixels: vec![color; width * height] }
    }

    /// Sets a pixel. Pixels outside the canvas are ignored.
    pub(super) fn set(&mut self, x: usize, y: usize, color: Color) {
        if x < self.width && y < self.height {
            self.pixels[x + self.width * y] = color;
        }
    }

    /// Mixes a color into a pixel. Pixels outside the canvas are ignored.
    pub(super) fn blend(&mut self, x: usize, y: usize, color: Color, opacity: f64) {
        if x < self.width && y < self.height {
            let pixel = &mut self.pixels[x + self.width * y];
            *pixel = mix(*pixel, color, opacity);
        }
    }

    /// Writes a line of text. `x` and `y` are its upper left corner. A character that the font
    /// lacks becomes `?`.
    pub(super) fn text(&mut self, x: usize, y: usize, text: &str, color: Color) {
        for (n, character) in text.chars().enumerate() {
            let raster = |c| get_raster(c, FontWeight::Regular, RasterHeight::Size16);
            let Some(raster) = raster(character).or_else(|| raster('?')) else { continue };
            for (dy, row) in raster.rows().enumerate() {
                for (dx, &ink) in row.iter().enumerate() {
                    let x = x + n * raster.width() + dx;
                    self.blend(x, y + dy, color, f64::from(ink) / 255.0);
                }
            }
        }
    }

    /// Returns the PNG file. It has 64 shades a channel: the eye distinguishes no more on a scan,
    /// and the file is half as large.
    ///
    /// # Errors
    /// Errors if the canvas has no pixels.
    pub(super) fn to_png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let shade = |value: u8| value & 0xfc | value >> 6;
        let bytes: Vec<u8> = self.pixels.as_flattened().iter().copied().map(shade).collect();
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_deflate_compression(png::DeflateCompression::Level(9));
        // Neighboring rows of a scan are similar.
        encoder.set_filter(png::Filter::Up);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&bytes)?;
        writer.finish()?;
        Ok(file)
    }
}

/// Returns the width of a line of text in pixels.
pub(super) fn text_width(text: &str) -> usize {
    get_raster_width(FontWeight::Regular, RasterHeight::Size16) * text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header and its checksum are those that Pillow 13.0.0 writes:
    /// `Image.new("RGB", (2, 1), (255, 0, 4)).save(out, "png")`.
    #[test]
    fn a_png_has_the_header_of_8_bit_rgb() {
        let png = Canvas::new(2, 1, [255, 0, 4]).to_png().unwrap();
        let header =
            b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x02\0\0\0\x01\x08\x02\0\0\0\x7b\x40\xe8\xdd";
        assert_eq!(&png[..33], header);
        assert_eq!(&png[png.len() - 12..], b"\0\0\0\0IEND\xae\x42\x60\x82");
    }

    #[test]
    fn pixels_outside_the_canvas_are_not_drawn() {
        let mut canvas = Canvas::new(12, 16, [0; 3]);
        canvas.text(4, 4, "Rµ", [255; 3]);
        canvas.set(12, 0, [255; 3]);
        assert!(canvas.pixels.iter().any(|pixel| pixel[0] > 128));
        assert!(canvas.pixels[..4 * 12].iter().all(|pixel| *pixel == [0; 3]));
    }
}
