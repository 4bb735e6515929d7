//! Many slices side by side.

/// The most slices in a mosaic.
const MAX_TILES: usize = 42;

/// The arrangement of slices on a canvas.
#[derive(Debug, Clone, PartialEq)]
pub struct Mosaic {
    /// The number of tiles across and down.
    pub num_tiles: [usize; 2],
    /// The size of a tile on the canvas.
    pub tile_size: [f64; 2],
    /// The slices, row by row from the top left: evenly spaced, the first and the last left out.
    pub slices: Vec<usize>,
}

impl Mosaic {
    /// Arranges slices of a size in mm on a canvas, as large as they can be.
    pub fn new(num_slices: usize, size_mm: [f64; 2], canvas: [f64; 2]) -> Mosaic {
        let most = num_slices.clamp(1, MAX_TILES);
        // The number of columns with which the tiles are largest.
        let scale = |columns: usize| {
            let rows = most.div_ceil(columns);
            let tile = [canvas[0] / columns as f64, canvas[1] / rows as f64];
            (tile[0] / size_mm[0]).min(tile[1] / size_mm[1])
        };
        let columns = (1..=most).max_by(|a, b| scale(*a).total_cmp(&scale(*b))).unwrap_or(1);
        let rows = most.div_ceil(columns);
        let count = (columns * rows).min(num_slices);
        let slice = |n: usize| ((n as f64 + 0.5) / count as f64 * num_slices as f64) as usize;
        Mosaic {
            num_tiles: [columns, rows],
            tile_size: [canvas[0] / columns as f64, canvas[1] / rows as f64],
            slices: (0..count).map(slice).collect(),
        }
    }

    /// Returns the point of a tile's upper left corner.
    pub fn corner(&self, tile: usize) -> [f64; 2] {
        let at = [tile % self.num_tiles[0], tile / self.num_tiles[0]];
        [0, 1].map(|n| at[n] as f64 * self.tile_size[n])
    }

    /// Returns the slice at a point of the canvas.
    pub fn slice_at(&self, point: [f64; 2]) -> Option<usize> {
        let [across, down] = [0, 1].map(|n| (point[n] / self.tile_size[n]).floor());
        let columns = self.num_tiles[0];
        let is_inside = across >= 0.0 && down >= 0.0 && (across as usize) < columns;
        is_inside.then(|| self.slices.get(across as usize + columns * down as usize).copied())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_spread_over_the_volume() {
        let mosaic = Mosaic::new(155, [240.0, 240.0], [900.0, 600.0]);
        let [columns, rows] = mosaic.num_tiles;
        assert!(columns > rows, "a wide canvas has more columns: {columns} × {rows}");
        assert_eq!(mosaic.slices.len(), columns * rows);
        assert!(mosaic.slices.is_sorted_by(|a, b| a < b));
        assert!(mosaic.slices[0] < 4 && *mosaic.slices.last().unwrap() > 150);
        let last = mosaic.slices.len() - 1;
        let corner = mosaic.corner(last);
        assert_eq!(
            mosaic.slice_at([corner[0] + 1.0, corner[1] + 1.0]),
            mosaic.slices.last().copied()
        );
        assert_eq!(mosaic.slice_at([-1.0, 0.0]), None);
        assert_eq!(mosaic.slice_at([900.5, 0.0]), None);
    }

    #[test]
    fn a_scan_of_few_slices_shows_each() {
        for num_slices in 1..=12 {
            let mosaic = Mosaic::new(num_slices, [200.0, 100.0], [500.0, 500.0]);
            assert_eq!(mosaic.slices, (0..num_slices).collect::<Vec<_>>());
        }
    }
}
