//! Last step of viewing: writes regions as a segmentation of 3D Slicer (`.seg.nrrd`).
//!
//! The format: <https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html>,
//! and `vtkMRMLSegmentationStorageNode` in Slicer's sources.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::formats::lps::lps_from_ras;
use crate::formats::segment::{self, Code, Segment, terminology};
use crate::texts::DISCLAIMER;
use crate::{Error, Grid, LabelMap, Result};

/// The category of organs in Slicer's list, which keeps SNOMED CT's term "Body structure".
const SLICER_ANATOMICAL: &str = "SCT^123037004^Anatomical Structure";

/// Writes the segments of a label map as `.seg.nrrd`: uint8, compressed with gzip, in LPS+. A
/// segment's value is its number, from 1. Segments that share no label are in one layer of three
/// axes; otherwise a first axis holds the layers.
///
/// # Errors
/// [`Error::Segmentation`] if there is no segment, a segment contains the background, or a name cannot be
/// written; [`Error::Geometry`] if the grid's affine cannot be inverted.
pub fn write_segmentation(map: &LabelMap, segments: &[Segment]) -> Result<Vec<u8>> {
    segment::check(segments)?;
    map.grid().world_from_voxel.check()?;
    let layers = segment::layers(segments);
    let num_layers = layers.iter().max().map_or(0, |last| last + 1);
    let mut header = geometry(map.grid(), num_layers);
    for (n, (segment, layer)) in segments.iter().zip(&layers).enumerate() {
        // Slicer takes the extent of a layer from its first segment.
        let mut in_layer = [false; 256];
        let same_layer = segments.iter().zip(&layers).filter(|(_, other)| *other == layer);
        for code in same_layer.flat_map(|(other, _)| &other.codes) {
            in_layer[usize::from(*code)] = true;
        }
        let extent = segment::extent(map, &in_layer);
        header += &segment_fields(n, segment, *layer, extent);
    }
    header += &segmentation_fields(map.grid());
    header.push('\n');

    let values: Vec<[u8; 256]> = (0..num_layers)
        .map(|layer| {
            let mut values = [0; 256];
            for (n, segment) in segments.iter().enumerate().filter(|(n, _)| layers[*n] == layer) {
                for code in &segment.codes {
                    values[usize::from(*code)] = n as u8 + 1;
                }
            }
            values
        })
        .collect();
    let mut encoder = GzEncoder::new(header.into_bytes(), Compression::default());
    // Slice by slice: the layers together may be much larger than the map.
    let [ni, nj, _] = map.grid().dims;
    for slice in map.labels().chunks(ni * nj) {
        let mut bytes = Vec::with_capacity(slice.len() * num_layers);
        for label in slice {
            bytes.extend(values.iter().map(|layer| layer[usize::from(*label)]));
        }
        encoder.write_all(&bytes).map_err(memory)?;
    }
    encoder.finish().map_err(memory)
}

fn memory(error: std::io::Error) -> Error {
    Error::segmentation("memory for its voxels", error)
}

/// Returns the first lines of the header.
fn geometry(grid: &Grid, num_layers: usize) -> String {
    let is_layered = num_layers > 1;
    let [ni, nj, nk] = grid.dims;
    let vector = |v: glam::DVec3| format!("({},{},{})", v.x, v.y, v.z);
    let affine = &grid.world_from_voxel.0;
    let directions: Vec<String> =
        (0..3).map(|axis| vector(lps_from_ras(affine.matrix3.col(axis)))).collect();
    let origin = vector(lps_from_ras(affine.translation));
    let (sizes, none, list) = match is_layered {
        true => (format!("{num_layers} "), "none ", "list "),
        false => (String::new(), "", ""),
    };
    format!(
        "NRRD0004\n\
         # {DISCLAIMER}\n\
         # Complete NRRD file format specification at:\n\
         # http://teem.sourceforge.net/nrrd/format.html\n\
         type: unsigned char\n\
         dimension: {}\n\
         space: left-posterior-superior\n\
         sizes: {sizes}{ni} {nj} {nk}\n\
         space directions: {none}{}\n\
         kinds: {list}domain domain domain\n\
         encoding: gzip\n\
         space origin: {origin}\n",
        3 + usize::from(is_layered),
        directions.join(" "),
    )
}

/// Returns the lines of a segment.
fn segment_fields(
    n: usize,
    segment: &Segment,
    layer: usize,
    extent: Option<[[usize; 2]; 3]>,
) -> String {
    let color = segment.color.map(|part| format!("{:.6}", f64::from(part) / 255.0)).join(" ");
    let extent = match extent {
        Some(extent) => extent.map(|[first, last]| format!("{first} {last}")).join(" "),
        None => "0 -1 0 -1 0 -1".to_string(),
    };
    let terms = terminology(&segment.name);
    let text = |code: Code| format!("{}^{}^{}", code.scheme, code.value, code.meaning);
    let category = match terms.category.meaning {
        "Anatomical Structure" => SLICER_ANATOMICAL.to_string(),
        _ => text(terms.category),
    };
    let number = n + 1;
    let fields = [
        ("Color", color),
        ("ColorAutoGenerated", "0".to_string()),
        ("Extent", extent),
        ("ID", format!("Segment_{number}")),
        ("LabelValue", number.to_string()),
        ("Layer", layer.to_string()),
        ("Name", value(&segment.name)),
        ("NameAutoGenerated", "0".to_string()),
        (
            "Tags",
            format!(
                "Segmentation.Status:completed|TerminologyEntry:Segmentation category and type - 3D \
                 Slicer General Anatomy list~{category}~{}~^^~Anatomic codes - DICOM master \
                 list~^^~^^|",
                text(terms.property)
            ),
        ),
    ];
    fields.iter().fold(String::new(), |mut lines, (name, text)| {
        let _ = writeln!(lines, "Segment{n}_{name}:={text}");
        lines
    })
}

/// Returns the lines of the whole segmentation.
fn segmentation_fields(grid: &Grid) -> String {
    // Slicer states the reference geometry in RAS+, by rows.
    let rows = grid.world_from_voxel.rows();
    let mut geometry: String =
        rows.as_flattened().iter().map(|number| format!("{number};")).collect();
    geometry += "0;0;0;1;";
    for size in grid.dims {
        let _ = write!(geometry, "0;{};", size - 1);
    }
    format!(
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|\n\
         Segmentation_ConversionParameters:=Reference image geometry|{geometry}|Image geometry \
         description string determining the geometry of the labelmap that is created in course of \
         conversion. Can be copied from a volume, using the button.&\n\
         Segmentation_MasterRepresentation:=Binary labelmap\n\
         Segmentation_ReferenceImageExtentOffset:=0 0 0\n\
         Disclaimer:={DISCLAIMER}\n"
    )
}

/// Returns a text as the value of a key: on one line, with the format's escapes.
fn value(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('\\', "\\\\")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Affine;
    use crate::formats::nrrd::read;

    fn segment(name: &str, codes: &[u8]) -> Segment {
        Segment { name: name.to_string(), color: [255, 0, 51], codes: codes.to_vec() }
    }

    fn map() -> LabelMap {
        let rows = [[0.0, -1.5, 0.1, 4.0], [2.0, 0.0, 0.0, -3.5], [0.0, 0.2, 3.0, 11.0]];
        let grid = Grid::new([3, 2, 2], Affine::from_rows(rows));
        LabelMap::new(grid, vec![0, 1, 2, 4, 0, 0, 0, 0, 1, 0, 0, 9]).unwrap()
    }

    fn header(bytes: &[u8]) -> String {
        let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap();
        String::from_utf8(bytes[..end].to_vec()).unwrap()
    }

    #[test]
    fn separate_segments_are_one_map_of_their_numbers() {
        let segments = [segment("edema", &[2]), segment("core\n a\\b", &[1, 4])];
        let bytes = write_segmentation(&map(), &segments).unwrap();
        let scan = read(&bytes).unwrap();
        assert_eq!(scan.volumes.len(), 1);
        let volume = &scan.volumes[0];
        assert_eq!(volume.grid().world_from_voxel, map().grid().world_from_voxel);
        assert_eq!(volume.values(), [0., 2., 1., 2., 0., 0., 0., 0., 2., 0., 0., 0.]);
        let header = header(&bytes);
        assert!(header.contains("# Research use only, not a medical device"));
        assert!(header.contains("space: left-posterior-superior\nsizes: 3 2 2\n"), "{header}");
        assert!(header.contains("Segment0_Color:=1.000000 0.000000 0.200000"), "{header}");
        assert!(header.contains("Segment1_Name:=core a\\\\b\n"), "{header}");
        assert!(header.contains("Segment0_Extent:=0 2 0 1 0 1"), "{header}");
    }

    #[test]
    fn nested_segments_are_layers_on_a_first_axis() {
        let segments = [segment("whole tumor", &[1, 2, 4]), segment("core", &[1, 4])];
        let bytes = write_segmentation(&map(), &segments).unwrap();
        let scan = read(&bytes).unwrap();
        let values: Vec<&[f32]> = scan.volumes.iter().map(|volume| volume.values()).collect();
        assert_eq!(values[0], [0., 1., 1., 1., 0., 0., 0., 0., 1., 0., 0., 0.]);
        assert_eq!(values[1], [0., 2., 0., 2., 0., 0., 0., 0., 2., 0., 0., 0.]);
        let header = header(&bytes);
        assert!(header.contains("kinds: list domain domain domain"), "{header}");
        assert!(header.contains("space directions: none (0,"), "{header}");
    }

    #[test]
    fn an_empty_segment_has_an_empty_extent() {
        let bytes = write_segmentation(&map(), &[segment("necrosis", &[77])]).unwrap();
        assert!(header(&bytes).contains("Segment0_Extent:=0 -1 0 -1 0 -1\n"));
    }
}
