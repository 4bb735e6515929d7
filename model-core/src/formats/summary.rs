//! The description of a series for the user, and for the recognition of its channel.

use serde::{Deserialize, Serialize};

use crate::Affine;

/// The format of a series' files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScanFormat {
    /// DICOM.
    Dicom,
    /// NIfTI-1 or NIfTI-2, in one file or a pair.
    Nifti,
    /// Analyze 7.5.
    Analyze,
    /// NRRD.
    Nrrd,
    /// FreeSurfer's MGH or MGZ.
    Mgh,
}

impl ScanFormat {
    /// Returns the format's name.
    pub fn name(self) -> &'static str {
        match self {
            ScanFormat::Dicom => "DICOM",
            ScanFormat::Nifti => "NIfTI",
            ScanFormat::Analyze => "Analyze",
            ScanFormat::Nrrd => "NRRD",
            ScanFormat::Mgh => "MGH",
        }
    }
}

/// The anatomical plane of a series' slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plane {
    /// From the feet to the head.
    Axial,
    /// From left to right.
    Sagittal,
    /// From the front to the back.
    Coronal,
    /// More than 37° from all of them.
    Oblique,
}

/// The smallest cosine between the slices' normal and an axis of the patient for a plane's name.
const MIN_COSINE: f64 = 0.8;

impl Plane {
    /// Returns the plane of a grid's slices: of the axis with the largest spacing, or k if the
    /// others have nearly the same.
    pub fn from_affine(world_from_voxel: &Affine) -> Plane {
        let axis = slice_axis(world_from_voxel);
        let matrix = world_from_voxel.0.matrix3;
        let [a, b] = [(axis + 1) % 3, (axis + 2) % 3].map(|axis| matrix.col(axis));
        let normal = a.cross(b).normalize_or_zero().abs();
        match normal.to_array() {
            [x, ..] if x >= MIN_COSINE => Plane::Sagittal,
            [_, y, _] if y >= MIN_COSINE => Plane::Coronal,
            [.., z] if z >= MIN_COSINE => Plane::Axial,
            _ => Plane::Oblique,
        }
    }

    /// Returns the name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Plane::Axial => "axial",
            Plane::Sagittal => "sagittal",
            Plane::Coronal => "coronal",
            Plane::Oblique => "oblique",
        }
    }
}

/// Returns the grid axis across the slices: the one with the largest spacing, or k if the others
/// have nearly the same.
pub fn slice_axis(world_from_voxel: &Affine) -> usize {
    let spacing = world_from_voxel.spacing_mm();
    let larger = |a: usize, b: usize| if spacing[b] > 1.2 * spacing[a] { b } else { a };
    larger(larger(2, 0), 1)
}

/// The acquisition of a series, as its files state it. Nothing here names a person, a place or a
/// time, unless a description does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AcquisitionHints {
    /// `SeriesDescription`.
    pub series_description: Option<String>,
    /// `ProtocolName`.
    pub protocol_name: Option<String>,
    /// `SequenceName` or `PulseSequenceName`.
    pub sequence_name: Option<String>,
    /// Whether a contrast agent is stated; `None` if the file is silent.
    pub contrast_agent: Option<bool>,
    /// The echo time.
    pub echo_time_ms: Option<f64>,
    /// The repetition time.
    pub repetition_time_ms: Option<f64>,
    /// The inversion time.
    pub inversion_time_ms: Option<f64>,
    /// The flip angle.
    pub flip_angle_degrees: Option<f64>,
    /// The diffusion weighting in s/mm².
    pub b_value: Option<f64>,
    /// `ScanningSequence`, such as `SE` or `GR\IR`.
    pub scanning_sequence: Option<String>,
    /// `Modality`, such as `MR`.
    pub modality: Option<String>,
    /// `ImageType`, such as `ORIGINAL\PRIMARY\M`.
    pub image_type: Option<String>,
}

/// The description of a series. It is made without decoding a pixel, and can be sent between
/// threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesSummary {
    /// The series' description, or the name of its file.
    pub name: String,
    /// The format of its files.
    pub format: ScanFormat,
    /// The path of its first file, as the user gave it.
    pub path: String,
    /// The number of voxels along i, j, k.
    pub dims: [usize; 3],
    /// The distances of voxels along i, j, k.
    pub spacing_mm: [f64; 3],
    /// The map from voxel indices to RAS+ millimeters.
    pub world_from_voxel: Affine,
    /// The number of volumes on this grid.
    pub num_channels: usize,
    /// The plane of its slices.
    pub plane: Plane,
    /// The acquisition.
    pub hints: AcquisitionHints,
    /// The number of its study, from 1. All files of one examination share it.
    pub study: usize,
    /// The number of its coordinate system, from 1: series with the same number were acquired
    /// without repositioning. `None` if the files do not state it.
    pub frame_of_reference: Option<usize>,
    /// The number of its files.
    pub num_files: usize,
    /// The size of its files.
    pub bytes: u64,
    /// The error of reading it, as far as it is known in advance, such as missing slices.
    pub problem: Option<String>,
    /// Sentences for the user.
    pub warnings: Vec<String>,
}
