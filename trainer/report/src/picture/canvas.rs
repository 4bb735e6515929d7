//! Pixels, letters and the PNG file that they become.
//!
//! A PNG of one form is a header, deflated rows and three checksums (W3C, PNG third edition), all
//! of which `flate2` has; a crate of its own would bring every other form too.

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use crate::color::{Color, mix};

/// Rows of a line of text.
pub(super) const TEXT_HEIGHT: usize = 16;

/// A picture being drawn.
pub(super) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Color>,
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize, color: Color) -> Canvas {
        Canvas { width, height, pixels: vec![color; width * height] }
    }

    /// Sets a pixel that lies on the canvas.
    pub(super) fn set(&mut self, x: usize, y: usize, color: Color) {
        if x < self.width && y < self.height {
            self.pixels[x + self.width * y] = color;
        }
    }

    /// Mixes a part of a color into a pixel that lies on the canvas.
    pub(super) fn blend(&mut self, x: usize, y: usize, color: Color, part: f64) {
        if x < self.width && y < self.height {
            let pixel = &mut self.pixels[x + self.width * y];
            *pixel = mix(*pixel, color, part);
        }
    }

    /// Writes a line of text from its upper left corner; what is not ASCII becomes `?`.
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

    /// The PNG file, of 64 shades a channel: the eye sees no more on a scan, and the file is half
    /// as large.
    pub(super) fn to_png(&self) -> Vec<u8> {
        let shade = |value: u8| value & 0xfc | value >> 6;
        let bytes: Vec<u8> = self.pixels.as_flattened().iter().copied().map(shade).collect();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        let stride = 3 * self.width;
        let above_first = vec![0; stride];
        for (y, row) in bytes.chunks_exact(stride).enumerate() {
            let above = if y == 0 { &above_first } else { &bytes[(y - 1) * stride..][..stride] };
            // Each byte as its difference from the one above: filter type 2, "Up".
            let differences: Vec<u8> =
                row.iter().zip(above).map(|(a, b)| a.wrapping_sub(*b)).collect();
            let written = zlib.write_all(&[2]).and_then(|()| zlib.write_all(&differences));
            written.expect("memory takes every byte");
        }
        let data = zlib.finish().expect("memory takes every byte");
        let size = [self.width, self.height].map(|n| (n as u32).to_be_bytes()).concat();
        // 8 bits a channel, RGB, and the one way of compression, filters and order.
        let header = [&size[..], &[8, 2, 0, 0, 0]].concat();
        let mut file = SIGNATURE.to_vec();
        chunk(&mut file, b"IHDR", &header);
        chunk(&mut file, b"IDAT", &data);
        chunk(&mut file, b"IEND", &[]);
        file
    }
}

/// What every PNG starts with.
const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";

/// A part of a PNG: length, name, bytes, CRC-32 over name and bytes.
fn chunk(file: &mut Vec<u8>, name: &[u8; 4], bytes: &[u8]) {
    let mut crc = Crc::new();
    crc.update(name);
    crc.update(bytes);
    file.extend((bytes.len() as u32).to_be_bytes());
    file.extend(name);
    file.extend(bytes);
    file.extend(crc.sum().to_be_bytes());
}

/// The width of a line of text.
pub(super) fn text_width(text: &str) -> usize {
    get_raster_width(FontWeight::Regular, RasterHeight::Size16) * text.chars().count()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// The header and checksums of the smallest picture are those that Pillow 13.0.0 writes:
    /// `Image.new("RGB", (2, 1), (255, 0, 4)).save(out, "png")`.
    #[test]
    fn a_png_has_the_form_that_others_read() {
        let png = Canvas::new(2, 1, [255, 0, 4]).to_png();
        let header =
            b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x02\0\0\0\x01\x08\x02\0\0\0\x7b\x40\xe8\xdd";
        assert_eq!(&png[..33], header);
        assert_eq!(&png[png.len() - 12..], b"\0\0\0\0IEND\xae\x42\x60\x82");
        let mut row = Vec::new();
        flate2::read::ZlibDecoder::new(&png[41..]).read_to_end(&mut row).unwrap();
        assert_eq!(row, [2, 255, 0, 4, 255, 0, 4]);
    }

    #[test]
    fn what_lies_outside_of_the_canvas_is_not_drawn() {
        let mut canvas = Canvas::new(12, 16, [0; 3]);
        canvas.text(4, 4, "Rµ", [255; 3]);
        canvas.set(12, 0, [255; 3]);
        assert!(canvas.pixels.iter().any(|pixel| pixel[0] > 128));
        assert!(canvas.pixels[..4 * 12].iter().all(|pixel| *pixel == [0; 3]));
    }
}
