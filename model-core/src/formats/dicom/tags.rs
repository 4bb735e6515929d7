//! The attributes that are read, by their numbers in PS3.6. The parser skips every other one.

/// A group and an element number, as `0xgggg_eeee`.
pub type Tag = u32;

/// Defines constants and the list of all of them.
macro_rules! tags {
    ($($name:ident = $number:literal,)*) => {
        $(pub const $name: Tag = $number;)*
        const WANTED: &[Tag] = &[$($number),*];
    };
}

tags! {
    MEDIA_CLASS = 0x0002_0002,
    TRANSFER_SYNTAX = 0x0002_0010,
    FRAME_TYPE = 0x0008_9007,
    IMAGE_TYPE = 0x0008_0008,
    SOP_CLASS = 0x0008_0016,
    SOP_INSTANCE = 0x0008_0018,
    STUDY_DATE = 0x0008_0020,
    STUDY_TIME = 0x0008_0030,
    MODALITY = 0x0008_0060,
    SERIES_DESCRIPTION = 0x0008_103e,
    PATIENT_NAME = 0x0010_0010,
    PATIENT_ID = 0x0010_0020,
    PATIENT_BIRTH_DATE = 0x0010_0030,
    CONTRAST_AGENT = 0x0018_0010,
    SCANNING_SEQUENCE = 0x0018_0020,
    SEQUENCE_NAME = 0x0018_0024,
    SLICE_THICKNESS = 0x0018_0050,
    REPETITION_TIME = 0x0018_0080,
    ECHO_TIME = 0x0018_0081,
    INVERSION_TIME = 0x0018_0082,
    SPACING_BETWEEN_SLICES = 0x0018_0088,
    PROTOCOL_NAME = 0x0018_1030,
    FLIP_ANGLE = 0x0018_1314,
    PULSE_SEQUENCE_NAME = 0x0018_9005,
    INVERSION_TIMES = 0x0018_9079,
    EFFECTIVE_ECHO_TIME = 0x0018_9082,
    DIFFUSION_B_VALUE = 0x0018_9087,
    TIMING_SEQUENCE = 0x0018_9112,
    ECHO_SEQUENCE = 0x0018_9114,
    MODIFIERS_SEQUENCE = 0x0018_9115,
    DIFFUSION_SEQUENCE = 0x0018_9117,
    FRAME_TYPE_SEQUENCE = 0x0018_9226,
    STUDY_UID = 0x0020_000d,
    SERIES_UID = 0x0020_000e,
    SERIES_NUMBER = 0x0020_0011,
    ACQUISITION_NUMBER = 0x0020_0012,
    INSTANCE_NUMBER = 0x0020_0013,
    IMAGE_POSITION = 0x0020_0032,
    IMAGE_ORIENTATION = 0x0020_0037,
    FRAME_OF_REFERENCE = 0x0020_0052,
    TEMPORAL_POSITION = 0x0020_0100,
    STACK_ID = 0x0020_9056,
    FRAME_CONTENT_SEQUENCE = 0x0020_9111,
    POSITION_SEQUENCE = 0x0020_9113,
    ORIENTATION_SEQUENCE = 0x0020_9116,
    TEMPORAL_POSITION_INDEX = 0x0020_9128,
    SAMPLES_PER_PIXEL = 0x0028_0002,
    PHOTOMETRIC_INTERPRETATION = 0x0028_0004,
    NUMBER_OF_FRAMES = 0x0028_0008,
    ROWS = 0x0028_0010,
    COLUMNS = 0x0028_0011,
    PIXEL_SPACING = 0x0028_0030,
    BITS_ALLOCATED = 0x0028_0100,
    BITS_STORED = 0x0028_0101,
    HIGH_BIT = 0x0028_0102,
    PIXEL_REPRESENTATION = 0x0028_0103,
    RESCALE_INTERCEPT = 0x0028_1052,
    RESCALE_SLOPE = 0x0028_1053,
    PIXEL_MEASURES_SEQUENCE = 0x0028_9110,
    VALUE_TRANSFORMATION_SEQUENCE = 0x0028_9145,
    SHARED_GROUPS = 0x5200_9229,
    PER_FRAME_GROUPS = 0x5200_9230,
    EXTENDED_OFFSETS = 0x7fe0_0001,
    FLOAT_PIXELS = 0x7fe0_0008,
    DOUBLE_PIXELS = 0x7fe0_0009,
    PIXELS = 0x7fe0_0010,
}

pub const ITEM: Tag = 0xfffe_e000;
pub const ITEM_END: Tag = 0xfffe_e00d;
pub const SEQUENCE_END: Tag = 0xfffe_e0dd;

/// Returns whether the parser keeps an attribute.
pub fn is_wanted(tag: Tag) -> bool {
    WANTED.contains(&tag)
}

/// Returns whether an attribute is a sequence, for data whose encoding does not state it.
pub fn is_sequence(tag: Tag) -> bool {
    matches!(
        tag,
        TIMING_SEQUENCE
            | ECHO_SEQUENCE
            | MODIFIERS_SEQUENCE
            | DIFFUSION_SEQUENCE
            | FRAME_TYPE_SEQUENCE
            | FRAME_CONTENT_SEQUENCE
            | POSITION_SEQUENCE
            | ORIENTATION_SEQUENCE
            | PIXEL_MEASURES_SEQUENCE
            | VALUE_TRANSFORMATION_SEQUENCE
            | SHARED_GROUPS
            | PER_FRAME_GROUPS
    )
}
