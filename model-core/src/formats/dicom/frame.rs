//! One slice: a frame of a DICOM file, with its position in the patient.

use std::ops::Range;
use std::sync::Arc;

use glam::DVec3;

use super::file::DicomFile;
use super::image::ImageForm;
use super::tags::{self, Tag};

/// A slice. Its pixels are still encoded in the file.
#[derive(Debug, Clone)]
pub struct Frame {
    pub file: Arc<DicomFile>,
    pub form: ImageForm,
    /// The frame's number in its file, from 0.
    pub index: usize,
    /// The center of the first pixel, in LPS+ millimeters as DICOM states it.
    pub position: Option<DVec3>,
    /// The directions of a row (growing column) and of a column (growing row), in LPS+.
    pub directions: [DVec3; 2],
    /// The distances of pixels along a row and along a column.
    pub spacing_mm: [f64; 2],
    /// `RescaleSlope` and `RescaleIntercept`.
    pub rescale: [f64; 2],
    pub kind: FrameKind,
    /// The order of frames at one position: time, acquisition, number.
    pub order: [f64; 3],
}

/// Attributes that differ between the images of one series that belong to different volumes.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameKind {
    pub echo_time_ms: Option<f64>,
    pub inversion_time_ms: Option<f64>,
    pub b_value: Option<f64>,
    /// The image type without its first word (original or derived).
    pub image_type: Vec<String>,
    pub stack: Option<String>,
}

/// Finds the attributes of one frame.
struct FrameAttributes<'a> {
    file: &'a DicomFile,
    index: usize,
}

impl FrameAttributes<'_> {
    /// Returns an attribute of the frame: in its functional groups, in those of all frames, or in
    /// the file itself.
    fn range(&self, tag: Tag) -> Option<Range<usize>> {
        let data_set = &self.file.data_set;
        let own = data_set.items(tags::PER_FRAME_GROUPS).get(self.index);
        let shared = data_set.items(tags::SHARED_GROUPS).first();
        let in_groups = [own, shared].into_iter().flatten();
        in_groups
            .filter_map(|item| item.range_in_groups(tag))
            .next()
            .or_else(|| data_set.range(tag))
    }

    fn decimals<const N: usize>(&self, tag: Tag) -> Option<[f64; N]> {
        self.file.decimals_at(self.range(tag)?).first_chunk().copied()
    }

    fn decimal(&self, tag: Tag) -> Option<f64> {
        self.decimals::<1>(tag).map(|[number]| number)
    }

    fn double(&self, tag: Tag) -> Option<f64> {
        self.file.double_at(self.range(tag)?)
    }

    fn text(&self, tag: Tag) -> Option<String> {
        self.file.text_at(self.range(tag)?)
    }

    fn directions(&self) -> Option<[DVec3; 2]> {
        let [a, b, c, d, e, f] = self.decimals(tags::IMAGE_ORIENTATION)?;
        let (row, column) = (DVec3::new(a, b, c), DVec3::new(d, e, f));
        // Rounded directions are nearly of length 1 and nearly at a right angle.
        let is_valid = (row.length() - 1.0).abs() < 1e-2
            && (column.length() - 1.0).abs() < 1e-2
            && row.dot(column).abs() < 1e-2;
        is_valid.then_some([row, column])
    }

    fn kind(&self) -> FrameKind {
        let image_type = self.text(tags::FRAME_TYPE).or_else(|| self.text(tags::IMAGE_TYPE));
        FrameKind {
            echo_time_ms: self
                .double(tags::EFFECTIVE_ECHO_TIME)
                .or_else(|| self.decimal(tags::ECHO_TIME)),
            inversion_time_ms: self
                .double(tags::INVERSION_TIMES)
                .or_else(|| self.decimal(tags::INVERSION_TIME)),
            b_value: self.double(tags::DIFFUSION_B_VALUE),
            image_type: image_type.map(|text| words(&text).skip(1).collect()).unwrap_or_default(),
            stack: self.text(tags::STACK_ID),
        }
    }
}

/// Returns the values of a text with several values.
pub fn words(text: &str) -> impl Iterator<Item = String> {
    text.split('\\').map(|word| word.trim().to_string())
}

/// Returns the slices of a file.
pub fn frames(file: &Arc<DicomFile>, form: ImageForm) -> impl Iterator<Item = Frame> {
    (0..form.num_frames).map(move |index| frame(file, form, index))
}

fn frame(file: &Arc<DicomFile>, form: ImageForm, index: usize) -> Frame {
    let attributes = FrameAttributes { file, index };
    let directions = attributes.directions();
    let position: Option<[f64; 3]> = attributes.decimals(tags::IMAGE_POSITION);
    let spacing: Option<[f64; 2]> = attributes.decimals(tags::PIXEL_SPACING);
    let is_valid = |spacing: &[f64; 2]| spacing.iter().all(|s| (1e-4..=1e4).contains(s));
    let time = attributes
        .range(tags::TEMPORAL_POSITION_INDEX)
        .and_then(|range| file.unsigned_at(range))
        .map(f64::from)
        .or_else(|| attributes.decimal(tags::TEMPORAL_POSITION));
    let number = |tag| file.decimal(tag).unwrap_or(0.0);
    Frame {
        form,
        index,
        // A position without directions has no use.
        position: position.map(DVec3::from_array).filter(|_| directions.is_some()),
        directions: directions.unwrap_or([DVec3::X, DVec3::Y]),
        // DICOM states the distance of rows first.
        spacing_mm: spacing.filter(is_valid).map_or([1.0, 1.0], |[row, column]| [column, row]),
        rescale: [
            attributes.decimal(tags::RESCALE_SLOPE).filter(|slope| *slope != 0.0).unwrap_or(1.0),
            attributes.decimal(tags::RESCALE_INTERCEPT).unwrap_or(0.0),
        ],
        kind: attributes.kind(),
        order: [
            time.unwrap_or(0.0),
            number(tags::ACQUISITION_NUMBER),
            number(tags::INSTANCE_NUMBER) + index as f64,
        ],
        file: file.clone(),
    }
}

impl Frame {
    /// Returns the direction in which slices follow each other: row × column.
    pub fn normal(&self) -> DVec3 {
        let [row, column] = self.directions;
        row.cross(column)
    }

    /// Returns the thickness of the slice, if it is stated.
    pub fn slice_thickness_mm(&self) -> Option<f64> {
        let attributes = FrameAttributes { file: &self.file, index: self.index };
        attributes.decimal(tags::SLICE_THICKNESS).filter(|mm| (1e-4..=1e4).contains(mm))
    }

    /// Returns the position along the normal.
    pub fn height_mm(&self) -> f64 {
        self.position.map_or(0.0, |position| position.dot(self.normal()))
    }
}
