//! Small pictures of series.

/// A gray picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    /// The pixels of a row.
    pub width: usize,
    /// The number of rows.
    pub height: usize,
    /// The gray values, row by row from the top.
    pub pixels: Vec<u8>,
}

/// The shares of pixels below black and above white.
const BLACK_WHITE: [f64; 2] = [0.02, 0.995];

/// Draws a slice of `dims` pixels, the first axis fastest. `steps_mm` are the steps of its axes in
/// RAS+ millimeters.
pub fn draw_slice(
    values: &[f32],
    dims: [usize; 2],
    steps_mm: [[f64; 3]; 2],
    max_size: usize,
) -> Thumbnail {
    if values.is_empty() || values.len() != dims[0] * dims[1] || max_size == 0 {
        return Thumbnail { width: 0, height: 0, pixels: Vec::new() };
    }
    let view = View::new(steps_mm);
    let sizes_mm = view.axes.map(|axis| dims[axis] as f64 * length(steps_mm[axis]));
    let scale = max_size as f64 / sizes_mm[0].max(sizes_mm[1]);
    // A thin slice keeps one pixel.
    let [width, height] = sizes_mm.map(|size| ((size * scale).round() as usize).clamp(1, max_size));
    let [low, high] = window(values);
    let gray = |value: f32| (255.0 * (value - low) / (high - low)).clamp(0.0, 255.0) as u8;
    // Returns the source pixels of a picture's pixel along one of its axes.
    let sources = |side: usize, at: usize, num: usize| {
        let count = dims[view.axes[side]];
        let at = if view.flips[side] { num - 1 - at } else { at };
        let first = at * count / num;
        first..((at + 1) * count / num).max(first + 1)
    };
    let mut pixels = Vec::with_capacity(width * height);
    for y in 0..height {
        for x in 0..width {
            let (mut sum, mut count) = (0.0, 0);
            for v in sources(1, y, height) {
                for u in sources(0, x, width) {
                    let [i, j] = if view.axes[0] == 0 { [u, v] } else { [v, u] };
                    sum += values[i + dims[0] * j];
                    count += 1;
                }
            }
            pixels.push(gray(sum / count as f32));
        }
    }
    Thumbnail { width, height, pixels }
}

fn length(v: [f64; 3]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The axes of a slice that lead to the right and down in its picture.
struct View {
    axes: [usize; 2],
    /// Whether the axis leads the other way.
    flips: [bool; 2],
}

impl View {
    /// Arranges a slice radiologically: in axial and coronal pictures the patient's left is on the
    /// right, in sagittal ones the back; down is the back in axial ones, and else the feet.
    fn new(steps: [[f64; 3]; 2]) -> View {
        let [a, b] = steps;
        let normal: [f64; 3] = std::array::from_fn(|n| {
            (a[(n + 1) % 3] * b[(n + 2) % 3] - a[(n + 2) % 3] * b[(n + 1) % 3]).abs()
        });
        let is_largest = |n: usize| normal.iter().all(|other| normal[n] >= *other);
        // World axes that point against the picture's right and down.
        let (right, down) = match () {
            _ if is_largest(2) => (0, 1),
            _ if is_largest(0) => (1, 2),
            _ => (0, 2),
        };
        let cosine =
            |axis: usize, world: usize| steps[axis][world] / length(steps[axis]).max(1e-12);
        let straight = cosine(0, right).abs() + cosine(1, down).abs();
        let swapped = cosine(1, right).abs() + cosine(0, down).abs();
        let axes = if straight >= swapped { [0, 1] } else { [1, 0] };
        View { axes, flips: [cosine(axes[0], right) > 0.0, cosine(axes[1], down) > 0.0] }
    }
}

/// Returns the values of black and of white.
fn window(values: &[f32]) -> [f32; 2] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let [low, high] = BLACK_WHITE.map(|share| sorted[(share * (sorted.len() - 1) as f64) as usize]);
    [low, if high > low { high } else { low + 1.0 }]
}
