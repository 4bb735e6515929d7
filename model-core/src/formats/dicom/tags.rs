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
    CHARACTER_SET = 0x0008_0005,
    FRAME_TYPE = 0x0008_9007,
    IMAGE_TYPE = 0x0008_0008,
    SOP_CLASS = 0x0008_0016,
    SOP_INSTANCE = 0x0008_0018,
    STUDY_DATE = 0x0008_0020,
    STUDY_TIME = 0x0008_0030,
    ACCESSION_NUMBER = 0x0008_0050,
    MODALITY = 0x0008_0060,
    REFERRING_PHYSICIAN = 0x0008_0090,
    STUDY_DESCRIPTION = 0x0008_1030,
    SERIES_DESCRIPTION = 0x0008_103e,
    PATIENT_NAME = 0x0010_0010,
    PATIENT_ID = 0x0010_0020,
    PATIENT_ID_ISSUER = 0x0010_0021,
    PATIENT_BIRTH_DATE = 0x0010_0030,
    PATIENT_SEX = 0x0010_0040,
    IDENTITY_REMOVED = 0x0012_0062,
    DEIDENTIFICATION_METHOD = 0x0012_0063,
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
    STUDY_ID = 0x0020_0010,
    SERIES_NUMBER = 0x0020_0011,
    ACQUISITION_NUMBER = 0x0020_0012,
    INSTANCE_NUMBER = 0x0020_0013,
    IMAGE_POSITION = 0x0020_0032,
    IMAGE_ORIENTATION = 0x0020_0037,
    FRAME_OF_REFERENCE = 0x0020_0052,
    TEMPORAL_POSITION = 0x0020_0100,
    POSITION_REFERENCE = 0x0020_1040,
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
    LOSSY_COMPRESSION = 0x0028_2110,
    LOSSY_COMPRESSION_RATIO = 0x0028_2112,
    LOSSY_COMPRESSION_METHOD = 0x0028_2114,
    PIXEL_MEASURES_SEQUENCE = 0x0028_9110,
    VALUE_TRANSFORMATION_SEQUENCE = 0x0028_9145,
    SHARED_GROUPS = 0x5200_9229,
    PER_FRAME_GROUPS = 0x5200_9230,
    EXTENDED_OFFSETS = 0x7fe0_0001,
    FLOAT_PIXELS = 0x7fe0_0008,
    DOUBLE_PIXELS = 0x7fe0_0009,
    PIXELS = 0x7fe0_0010,
}

/// Attributes that are written, and not read.
pub mod written {
    use super::Tag;

    pub const META_VERSION: Tag = 0x0002_0001;
    pub const META_LENGTH: Tag = 0x0002_0000;
    pub const MEDIA_INSTANCE: Tag = 0x0002_0003;
    pub const IMPLEMENTATION_CLASS: Tag = 0x0002_0012;
    pub const IMPLEMENTATION_VERSION: Tag = 0x0002_0013;
    pub const CREATION_DATE: Tag = 0x0008_0012;
    pub const CREATION_TIME: Tag = 0x0008_0013;
    pub const SERIES_DATE: Tag = 0x0008_0021;
    pub const CONTENT_DATE: Tag = 0x0008_0023;
    pub const SERIES_TIME: Tag = 0x0008_0031;
    pub const CONTENT_TIME: Tag = 0x0008_0033;
    pub const MANUFACTURER: Tag = 0x0008_0070;
    pub const CODE_VALUE: Tag = 0x0008_0100;
    pub const CODE_SCHEME: Tag = 0x0008_0102;
    pub const CODE_MEANING: Tag = 0x0008_0104;
    pub const MODEL_NAME: Tag = 0x0008_1090;
    pub const REFERENCED_SERIES: Tag = 0x0008_1115;
    pub const REFERENCED_INSTANCES: Tag = 0x0008_114a;
    pub const REFERENCED_CLASS: Tag = 0x0008_1150;
    pub const REFERENCED_INSTANCE: Tag = 0x0008_1155;
    pub const REFERENCED_FRAME: Tag = 0x0008_1160;
    pub const SOURCE_IMAGES: Tag = 0x0008_2112;
    pub const DERIVATION_IMAGES: Tag = 0x0008_9124;
    pub const DERIVATION_CODES: Tag = 0x0008_9215;
    pub const DEVICE_SERIAL: Tag = 0x0018_1000;
    pub const SOFTWARE_VERSIONS: Tag = 0x0018_1020;
    pub const DIMENSION_VALUES: Tag = 0x0020_9157;
    pub const DIMENSION_ORGANIZATION: Tag = 0x0020_9164;
    pub const DIMENSION_POINTER: Tag = 0x0020_9165;
    pub const DIMENSION_GROUP: Tag = 0x0020_9167;
    pub const DIMENSION_ORGANIZATIONS: Tag = 0x0020_9221;
    pub const DIMENSIONS: Tag = 0x0020_9222;
    pub const DIMENSION_LABEL: Tag = 0x0020_9421;
    pub const SPATIAL_LOCATIONS_PRESERVED: Tag = 0x0028_135a;
    pub const PURPOSE_CODES: Tag = 0x0040_a170;
    pub const SEGMENTATION_TYPE: Tag = 0x0062_0001;
    pub const SEGMENTS: Tag = 0x0062_0002;
    pub const CATEGORY_CODES: Tag = 0x0062_0003;
    pub const SEGMENT_NUMBER: Tag = 0x0062_0004;
    pub const SEGMENT_LABEL: Tag = 0x0062_0005;
    pub const SEGMENT_DESCRIPTION: Tag = 0x0062_0006;
    pub const ALGORITHM_TYPE: Tag = 0x0062_0008;
    pub const ALGORITHM_NAME: Tag = 0x0062_0009;
    pub const SEGMENT_IDENTIFICATION: Tag = 0x0062_000a;
    pub const REFERENCED_SEGMENT: Tag = 0x0062_000b;
    pub const DISPLAY_COLOR: Tag = 0x0062_000d;
    pub const PROPERTY_CODES: Tag = 0x0062_000f;
    pub const SEGMENTS_OVERLAP: Tag = 0x0062_0013;
    pub const CONTENT_LABEL: Tag = 0x0070_0080;
    pub const CONTENT_DESCRIPTION: Tag = 0x0070_0081;
    pub const CONTENT_CREATOR: Tag = 0x0070_0084;
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
