//! One series of any format: its description first, its voxels on request.

use super::contents::{ScanFile, ScanKind};
use super::thumbnail::{Thumbnail, draw_slice};
use crate::formats::dicom::{DicomSegmentation, DicomSeries};
use crate::formats::nifti::{self, Format};
use crate::formats::summary::{AcquisitionHints, Plane, ScanFormat, SeriesSummary, slice_axis};
use crate::formats::{mgh, nrrd};
use crate::task::scan_stem;
use crate::{Affine, Error, Grid, LabelMap, Result, Volume};

/// A series whose voxels are not decoded yet.
#[derive(Debug)]
pub struct Series {
    summary: SeriesSummary,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Dicom(Box<DicomSeries>),
    Scan(ScanFile),
}

/// The voxels of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesScan {
    /// One volume for each channel, all on one grid.
    pub volumes: Vec<Volume>,
    /// Sentences for the user.
    pub warnings: Vec<String>,
}

impl Series {
    pub(super) fn from_dicom(series: DicomSeries) -> Series {
        Series { summary: series.summary.clone(), source: Source::Dicom(Box::new(series)) }
    }

    /// Reads the header of a scan.
    pub(super) fn from_scan(scan: ScanFile) -> Result<Series> {
        let (grid, num_channels, format, warnings) = match scan.kind {
            ScanKind::Nrrd => {
                let (grid, num_channels, warnings) = nrrd::read_grid(&scan.bytes)?;
                (grid, num_channels, ScanFormat::Nrrd, warnings)
            }
            ScanKind::Mgh => {
                let (grid, num_channels, warnings) = mgh::read_grid(&scan.bytes)?;
                (grid, num_channels, ScanFormat::Mgh, warnings)
            }
            ScanKind::Nifti | ScanKind::Unknown => {
                let reader = nifti_reader(&scan)?;
                let format = match reader.format() {
                    Format::Analyze => ScanFormat::Analyze,
                    Format::Nifti1 | Format::Nifti2 => ScanFormat::Nifti,
                };
                (reader.grid().clone(), reader.num_channels(), format, reader.warnings())
            }
        };
        let file_name = scan.path.rsplit(['/', '\\']).next().unwrap_or_default();
        let voxel_bytes = scan.voxels.as_ref().map(Vec::len);
        let summary = SeriesSummary {
            name: scan_stem(file_name).unwrap_or(file_name).to_string(),
            format,
            path: scan.path.clone(),
            dims: grid.dims,
            spacing_mm: grid.world_from_voxel.spacing_mm(),
            world_from_voxel: grid.world_from_voxel,
            num_channels,
            plane: Plane::from_affine(&grid.world_from_voxel),
            hints: AcquisitionHints::default(),
            study: 1,
            frame_of_reference: None,
            num_files: 1 + usize::from(voxel_bytes.is_some()),
            bytes: (scan.bytes.len() + voxel_bytes.unwrap_or(0)) as u64,
            problem: None,
            warnings,
        };
        Ok(Series { summary, source: Source::Scan(scan) })
    }

    /// Returns the description.
    pub fn summary(&self) -> &SeriesSummary {
        &self.summary
    }

    /// Decodes the voxels: NaN and infinity become 0.
    ///
    /// # Errors
    /// [`Error::Scan`](crate::Error::Scan) if slices are missing, or the error of the format, with
    /// the file's path.
    pub fn read(&self) -> Result<SeriesScan> {
        let mut warnings = self.summary.warnings.clone();
        let volumes = match &self.source {
            Source::Dicom(series) => series.read()?,
            Source::Scan(scan) => {
                let read = read_scan(scan).map_err(|error| error.in_file(&scan.path));
                let nifti::Scan { volumes, num_non_finite } = read?;
                let count: u64 = num_non_finite.iter().sum();
                if count > 0 {
                    warnings.push(format!("{count} voxels are not numbers, and taken as 0."));
                }
                volumes
            }
        };
        Ok(SeriesScan { volumes, warnings })
    }

    /// Writes a segmentation of one of the series' volumes as a DICOM file, which repeats the names,
    /// identifiers and dates of the series' patient and study.
    ///
    /// # Errors
    /// [`Error::Segmentation`](crate::Error::Segmentation) if the series is not DICOM or lacks an
    /// identifier or positions, if there is no such volume, or if a segment cannot be written;
    /// [`Error::Geometry`](crate::Error::Geometry) if the map is on another grid than the series;
    /// [`Error::TooLarge`](crate::Error::TooLarge).
    pub fn write_segmentation(
        &self,
        channel: usize,
        map: &LabelMap,
        segmentation: &DicomSegmentation,
    ) -> Result<Vec<u8>> {
        match &self.source {
            Source::Dicom(series) => series.write_segmentation(channel, map, segmentation),
            Source::Scan(_) => {
                let found = format!("a scan in {}", self.summary.format.name());
                Err(Error::segmentation("a series in DICOM", found))
            }
        }
    }

    /// Draws the middle slice of the first channel, at most `max_size` pixels wide and high, as a
    /// radiologist expects it: the patient's right on the left, the front or the head up.
    ///
    /// Only this slice is decoded from DICOM files. Other formats are read as a whole.
    ///
    /// # Errors
    /// As [`Series::read`].
    pub fn thumbnail(&self, max_size: usize) -> Result<Thumbnail> {
        let SeriesSummary { dims, world_from_voxel, .. } = self.summary;
        match &self.source {
            Source::Dicom(series) => {
                let values = series.middle_slice()?;
                Ok(draw_slice(
                    &values,
                    [dims[0], dims[1]],
                    axes(&world_from_voxel, [0, 1]),
                    max_size,
                ))
            }
            Source::Scan(_) => {
                let scan = self.read()?;
                let volume = &scan.volumes[0];
                let across = slice_axis(&world_from_voxel);
                let [a, b] = [[1, 2], [0, 2], [0, 1]][across];
                let values = middle_slice(volume.grid(), volume.values(), across);
                Ok(draw_slice(
                    &values,
                    [dims[a], dims[b]],
                    axes(&world_from_voxel, [a, b]),
                    max_size,
                ))
            }
        }
    }
}

/// Returns the steps of two grid axes in RAS+ millimeters.
fn axes(world_from_voxel: &Affine, axes: [usize; 2]) -> [[f64; 3]; 2] {
    axes.map(|axis| world_from_voxel.0.matrix3.col(axis).to_array())
}

/// Returns the voxels of the middle slice across an axis, the lower of the other axes fastest.
fn middle_slice(grid: &Grid, values: &[f32], across: usize) -> Vec<f32> {
    let strides = [1, grid.dims[0], grid.dims[0] * grid.dims[1]];
    let [a, b] = [[1, 2], [0, 2], [0, 1]][across];
    let start = grid.dims[across] / 2 * strides[across];
    let row = |y: usize| (0..grid.dims[a]).map(move |x| start + x * strides[a] + y * strides[b]);
    (0..grid.dims[b]).flat_map(row).map(|index| values[index]).collect()
}

fn nifti_reader(scan: &ScanFile) -> Result<nifti::Reader<'_>> {
    match &scan.voxels {
        Some(voxels) => nifti::Reader::open_pair(&scan.bytes, voxels),
        None => nifti::Reader::open(&scan.bytes),
    }
}

fn read_scan(scan: &ScanFile) -> Result<nifti::Scan> {
    match scan.kind {
        ScanKind::Nrrd => nrrd::read(&scan.bytes),
        ScanKind::Mgh => mgh::read(&scan.bytes),
        ScanKind::Nifti | ScanKind::Unknown => nifti_reader(scan)?.scan(),
    }
}
