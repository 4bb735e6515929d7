//! Pixels, letters and the PNG file that they become.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use crate::report::color::{Color, mix};

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
            for (dy, row) in raster.raster().iter().enumerate() {
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
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header().expect("a picture has pixels");
        writer.write_image_data(&bytes).expect("memory takes every byte");
        writer.finish().expect("memory takes every byte");
        file
    }
}

/// The width of a line of text.
pub(super) fn text_width(text: &str) -> usize {
    get_raster_width(FontWeight::Regular, RasterHeight::Size16) * text.chars().count()
}
