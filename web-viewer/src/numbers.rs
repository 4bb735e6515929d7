//! The numbers of a result, for tables, reports and other programs.

use model_core::metrics::{Connectivity, components};
use model_core::{Grid, LabelMap};
use serde::Serialize;

use crate::compare::RegionComparison;
use crate::edit::RegionMask;
use crate::measure::{Measurement, Shape, angle_deg, distance_mm};
use crate::messages::DISCLAIMER;
use crate::share::{SharedModel, SharedResult};

/// The numbers of a result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResultNumbers {
    /// "Research use only, not a medical device".
    pub notice: &'static str,
    /// The regions.
    pub regions: Vec<RegionNumbers>,
    /// The measurements.
    pub measurements: Vec<MeasurementNumbers>,
    /// The comparison with another label map; empty if there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub comparison: Vec<RegionComparison>,
    /// The voxels whose label was edited by hand.
    pub num_edited_voxels: u64,
    /// The volume of those voxels.
    pub edited_ml: f64,
    /// The spacing of the voxels along i, j, k.
    pub spacing_mm: [f64; 3],
    /// The model that made the result; `None` if there is none, only measurements.
    pub model: Option<SharedModel>,
    /// What was prepared, in sentences.
    pub preparation: Vec<String>,
}

/// The numbers of a region.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegionNumbers {
    /// The region's name.
    pub name: String,
    /// The volume of its voxels.
    pub volume_ml: f64,
    /// The number of its connected parts; voxels that share a corner are connected.
    pub num_parts: usize,
    /// The area of its surface, if it was computed.
    pub surface_cm2: Option<f64>,
}

/// The values of a measurement with its points in RAS+ millimeters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeasurementNumbers {
    /// What was measured.
    pub name: String,
    /// Each quantity with its value and its unit.
    pub values: Vec<Value>,
    /// The points.
    pub points_mm: Vec<[f64; 3]>,
}

/// A value with its unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Value {
    /// What the value is.
    pub quantity: &'static str,
    /// The value.
    pub value: f64,
    /// The unit.
    pub unit: &'static str,
}

impl ResultNumbers {
    /// Collects the numbers of a result. `surfaces_cm2` are the regions' surfaces, where they are known.
    pub fn new(
        result: &SharedResult,
        measurements: &[Measurement],
        surfaces_cm2: &[Option<f64>],
    ) -> ResultNumbers {
        let affine = &result.labels.grid().world_from_voxel;
        let regions = result.regions.iter().enumerate().map(|(n, region)| RegionNumbers {
            name: region.name.clone(),
            volume_ml: region.volume_ml,
            num_parts: num_parts(&result.labels, &region.codes),
            surface_cm2: surfaces_cm2.get(n).copied().flatten(),
        });
        ResultNumbers {
            notice: DISCLAIMER,
            regions: regions.collect(),
            measurements: measurements.iter().map(MeasurementNumbers::new).collect(),
            comparison: Vec::new(),
            num_edited_voxels: result.num_edited,
            edited_ml: result.num_edited as f64 * affine.voxel_volume_mm3() / 1000.0,
            spacing_mm: affine.spacing_mm(),
            model: Some(result.model.clone()),
            preparation: result.preparation.iter().flat_map(|record| record.sentences()).collect(),
        }
    }

    /// Collects measurements alone, in a scan of a grid.
    pub fn of_measurements(grid: &Grid, measurements: &[Measurement]) -> ResultNumbers {
        ResultNumbers {
            notice: DISCLAIMER,
            regions: Vec::new(),
            measurements: measurements.iter().map(MeasurementNumbers::new).collect(),
            comparison: Vec::new(),
            num_edited_voxels: 0,
            edited_ml: 0.0,
            spacing_mm: grid.world_from_voxel.spacing_mm(),
            model: None,
            preparation: Vec::new(),
        }
    }

    /// Returns the numbers as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers are plain data")
    }

    /// Returns the numbers as CSV: one value a row, with the columns item, name, quantity, value, unit.
    pub fn to_csv(&self) -> String {
        let mut rows: Vec<[String; 5]> = Vec::new();
        let mut push = |item: &str, name: &str, quantity: &str, value: String, unit: &str| {
            rows.push([item, &plain_text(name), quantity, &value, unit].map(String::from));
        };
        push("notice", self.notice, "", String::new(), "");
        for region in &self.regions {
            push("region", &region.name, "volume", format!("{:.4}", region.volume_ml), "ml");
            push("region", &region.name, "parts", region.num_parts.to_string(), "");
            if let Some(cm2) = region.surface_cm2 {
                push("region", &region.name, "surface", format!("{cm2:.2}"), "cm2");
            }
        }
        for measurement in &self.measurements {
            for Value { quantity, value, unit } in &measurement.values {
                push("measurement", &measurement.name, quantity, format!("{value:.2}"), unit);
            }
        }
        for region in &self.comparison {
            let optional =
                |value: Option<f64>| value.map(|x| format!("{x:.4}")).unwrap_or_default();
            push(
                "comparison",
                &region.name,
                "other volume",
                format!("{:.4}", region.other_ml),
                "ml",
            );
            push("comparison", &region.name, "Dice", optional(region.dice), "");
            push(
                "comparison",
                &region.name,
                "disagreement",
                optional(region.disagreement_ml),
                "ml",
            );
        }
        push("result", "", "edited voxels", self.num_edited_voxels.to_string(), "");
        if let Some(model) = &self.model {
            push("model", &model.name, "SHA-256", model.hash.clone(), "");
        }
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header = ["item", "name", "quantity", "value", "unit"];
        writer.write_record(header).expect("writing to memory");
        rows.iter().for_each(|row| writer.write_record(row).expect("writing to memory"));
        let bytes = writer.into_inner().expect("writing to memory");
        String::from_utf8(bytes).expect("texts are UTF-8")
    }
}

/// Returns a name that a spreadsheet does not take for a formula. Names come from bundles and links.
fn plain_text(name: &str) -> String {
    match name.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{name}"),
        false => name.to_string(),
    }
}

impl MeasurementNumbers {
    fn new(measurement: &Measurement) -> MeasurementNumbers {
        let mm = |quantity, a, b| Value { quantity, value: distance_mm(a, b), unit: "mm" };
        let values = match measurement.shape {
            Shape::Length([a, b]) => vec![mm("length", a, b)],
            Shape::Angle([a, b, c]) => {
                vec![Value { quantity: "angle", value: angle_deg(a, b, c), unit: "degrees" }]
            }
            Shape::Diameters([a, b, c, d]) => {
                let product = distance_mm(a, b) * distance_mm(c, d);
                vec![
                    mm("longest diameter", a, b),
                    mm("perpendicular diameter", c, d),
                    Value { quantity: "product", value: product, unit: "mm2" },
                ]
            }
        };
        MeasurementNumbers {
            name: measurement.name.clone(),
            values,
            points_mm: measurement.shape.points().to_vec(),
        }
    }
}

/// Returns the number of a region's connected parts.
pub fn num_parts(labels: &LabelMap, codes: &[u8]) -> usize {
    RegionMask::new(labels, codes, 0)
        .map_or(0, |mask| components(mask.inside(), mask.dims(), Connectivity::Corner).count())
}

#[cfg(test)]
pub(crate) mod tests {
    use model_core::Affine;

    use super::*;
    use crate::share::SharedRegion;

    /// Two parts of region "core", named so that a spreadsheet would take it for a formula.
    pub(crate) fn result() -> SharedResult {
        let grid = Grid::new([8, 4, 4], Affine::from_spacing([2.0; 3]));
        let mut labels = LabelMap::background(grid);
        for index in [0, 1, 6] {
            labels.labels_mut()[index] = 1;
        }
        let region = SharedRegion {
            name: "=core, \"A\"".into(),
            color: [255, 0, 0],
            codes: vec![1],
            volume_ml: 0.024,
        };
        let model = SharedModel {
            name: "M<1>".into(),
            warning: String::new(),
            hash: "a".repeat(64),
            tiles: String::new(),
        };
        SharedResult {
            convention: Default::default(),
            labels,
            regions: vec![region],
            model,
            preparation: None,
            num_edited: 2,
            measurements: Vec::new(),
        }
    }

    pub(crate) fn measurements() -> Vec<Measurement> {
        let cross = [[0.0; 3], [12.0, 0.0, 0.0], [6.0, -5.0, 0.0], [6.0, 5.0, 0.0]];
        vec![
            Measurement {
                name: "Length 1".into(),
                shape: Shape::Length([[0.0; 3], [3.0, 4.0, 0.0]]),
            },
            Measurement { name: "core, lesion 1".into(), shape: Shape::Diameters(cross) },
        ]
    }

    #[test]
    fn numbers_are_written_as_csv_and_json() {
        let numbers = ResultNumbers::new(&result(), &measurements(), &[Some(1.5)]);
        assert_eq!(numbers.regions[0].num_parts, 2);
        let csv = numbers.to_csv();
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let rows: Vec<Vec<String>> =
            reader.records().map(|row| row.unwrap().iter().map(String::from).collect()).collect();
        assert_eq!(rows[0][..2], ["notice", DISCLAIMER]);
        let expected = [
            ["region", "'=core, \"A\"", "volume", "0.0240", "ml"],
            ["region", "'=core, \"A\"", "parts", "2", ""],
            ["region", "'=core, \"A\"", "surface", "1.50", "cm2"],
            ["measurement", "Length 1", "length", "5.00", "mm"],
            ["measurement", "core, lesion 1", "longest diameter", "12.00", "mm"],
            ["measurement", "core, lesion 1", "perpendicular diameter", "10.00", "mm"],
            ["measurement", "core, lesion 1", "product", "120.00", "mm2"],
            ["result", "", "edited voxels", "2", ""],
        ];
        for (row, expected) in rows[1..].iter().zip(expected) {
            assert_eq!(row[..], expected);
        }
        let json: serde_json::Value = serde_json::from_str(&numbers.to_json()).unwrap();
        assert_eq!(json["regions"][0]["volume_ml"], 0.024);
        assert_eq!(json["edited_ml"], 0.016);
        assert_eq!(json["measurements"][1]["values"][2]["value"], 120.0);
    }
}
