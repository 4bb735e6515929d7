//! Measurements by the pointer, and those taken from the result.

use leptos::prelude::*;

use super::state::Page;
use super::tools::Tool;
use crate::measure::{LesionDiameters, Measurement, Shape, lesion_diameters};
use crate::slice::RasFrame;

/// A position in RAS+ millimeters.
pub type Point = [f64; 3];

/// A point of a measurement that is moved.
#[derive(Debug, Clone, PartialEq)]
pub struct Handle {
    /// The index of the measurement.
    pub measurement: usize,
    /// The index of the point.
    pub point: usize,
    /// The measurements before.
    pub before: Vec<Measurement>,
}

impl Page {
    /// Adds a point with the ruler or the angle. The last point completes the measurement.
    pub fn add_point(self, point: Point) {
        let tool = self.tool.get_untracked();
        let mut points = self.sketch.get_untracked();
        points.push(point);
        if points.len() < tool.num_points() {
            return self.sketch.set(points);
        }
        self.sketch.set(Vec::new());
        let shape = match (tool, &points[..]) {
            (Tool::Ruler, &[a, b]) => Shape::Length([a, b]),
            (Tool::Angle, &[a, b, c]) => Shape::Angle([a, b, c]),
            _ => return,
        };
        let kind = if tool == Tool::Ruler { "Length" } else { "Angle" };
        let mut all = self.measurements.get_untracked();
        let number = 1 + all.iter().filter(|m| m.name.starts_with(kind)).count();
        all.push(Measurement { name: format!("{kind} {number}"), shape });
        self.set_measurements(all);
    }

    /// Measures the diameters of a region's lesions. Those of an earlier time are replaced.
    pub fn measure_lesions(self, region: usize) {
        let found = self.result.with_untracked(|result| {
            let result = result.as_ref()?;
            let region = result.regions.get(region)?;
            Some((region.name.clone(), lesion_diameters(&result.labels, &region.codes)))
        });
        let Some((region, lesions)) = found else { return };
        let prefix = format!("{region}, lesion ");
        let mut all = self.measurements.get_untracked();
        all.retain(|measurement| !measurement.name.starts_with(&prefix));
        let first = lesions.first().map(|lesion| lesion.voxel);
        for (n, LesionDiameters { shape, .. }) in lesions.into_iter().enumerate() {
            all.push(Measurement { name: format!("{prefix}{}", n + 1), shape });
        }
        self.set_measurements(all);
        // The crosshair moves to the slice of the first, so that it is seen.
        if let Some(voxel) = first {
            self.result.with_untracked(|result| {
                if let Some(result) = result {
                    let frame = RasFrame::new(result.labels.grid());
                    self.crosshair.set(frame.ras_from_source(voxel));
                }
            });
        }
    }

    /// Removes a measurement.
    pub fn delete_measurement(self, n: usize) {
        let mut all = self.measurements.get_untracked();
        if n < all.len() {
            all.remove(n);
            self.set_measurements(all);
        }
    }

    /// Moves the crosshair to the middle of a measurement.
    pub fn go_to_measurement(self, n: usize) {
        let Some(shape) =
            self.measurements.with_untracked(|all| all.get(n).map(|m| m.shape.clone()))
        else {
            return;
        };
        let points = shape.points();
        let middle = [0, 1, 2]
            .map(|axis| points.iter().map(|point| point[axis]).sum::<f64>() / points.len() as f64);
        let Some(frame) = self.shown_frame() else { return };
        if let Some(ras_point) = self.ras_from_world(&frame, middle) {
            self.crosshair.set(
                [0, 1, 2].map(|axis| {
                    (ras_point[axis].round().max(0.0) as usize).min(frame.dims[axis] - 1)
                }),
            );
        }
    }

    /// Returns the frame of the shown channel.
    pub fn shown_frame(self) -> Option<RasFrame> {
        untrack(|| self.shown_channel()).map(|shown| RasFrame::new(shown.volume.grid()))
    }

    /// Returns the position in millimeters of a position between the shown channel's RAS voxels.
    pub fn world_from_ras(self, frame: &RasFrame, ras_point: [f64; 3]) -> Option<Point> {
        let shown = untrack(|| self.shown_channel())?;
        let source = frame.source_point_from_ras(ras_point);
        Some(shown.volume.grid().world_from_voxel.apply(source))
    }

    /// Returns the position between the shown channel's RAS voxels of a position in millimeters.
    pub fn ras_from_world(self, frame: &RasFrame, point: Point) -> Option<[f64; 3]> {
        let shown = untrack(|| self.shown_channel())?;
        let voxel_from_world = shown.volume.grid().world_from_voxel.inverse().ok()?;
        Some(frame.ras_point_from_source(voxel_from_world.apply(point)))
    }
}
