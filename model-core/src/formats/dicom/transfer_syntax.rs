//! The encodings of DICOM files (PS3.5, annex A).

/// The compression of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    Uncompressed,
    Rle,
    Jpeg,
    JpegLs,
    Jpeg2000,
    HighThroughput,
    /// Known by name, and not readable.
    Unsupported,
}

/// The encoding of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferSyntax {
    pub name: &'static str,
    pub explicit: bool,
    pub big_endian: bool,
    pub deflated: bool,
    pub codec: Codec,
}

const EXPLICIT: TransferSyntax = TransferSyntax {
    name: "Explicit VR Little Endian",
    explicit: true,
    big_endian: false,
    deflated: false,
    codec: Codec::Uncompressed,
};

pub const IMPLICIT: TransferSyntax =
    TransferSyntax { name: "Implicit VR Little Endian", explicit: false, ..EXPLICIT };

/// The compressed encodings: the UID's number after `1.2.840.10008.1.2.`, the name, the codec.
const COMPRESSED: [(&str, &str, Codec); 24] = [
    ("4.50", "JPEG Baseline", Codec::Jpeg),
    ("4.51", "JPEG Extended, 12 bits", Codec::Jpeg),
    ("4.57", "JPEG Lossless", Codec::Jpeg),
    ("4.70", "JPEG Lossless, first-order prediction", Codec::Jpeg),
    ("4.80", "JPEG-LS Lossless", Codec::JpegLs),
    ("4.81", "JPEG-LS Near-Lossless", Codec::JpegLs),
    ("4.90", "JPEG 2000 Lossless", Codec::Jpeg2000),
    ("4.91", "JPEG 2000", Codec::Jpeg2000),
    ("4.92", "JPEG 2000 Part 2 Lossless", Codec::Unsupported),
    ("4.93", "JPEG 2000 Part 2", Codec::Unsupported),
    ("4.94", "JPIP Referenced", Codec::Unsupported),
    ("4.95", "JPIP Referenced Deflate", Codec::Unsupported),
    ("4.100", "MPEG-2 video", Codec::Unsupported),
    ("4.101", "MPEG-2 video", Codec::Unsupported),
    ("4.102", "MPEG-4 video", Codec::Unsupported),
    ("4.103", "MPEG-4 video", Codec::Unsupported),
    ("4.110", "JPEG XL Lossless", Codec::Unsupported),
    ("4.111", "JPEG XL Recompression", Codec::Unsupported),
    ("4.112", "JPEG XL", Codec::Unsupported),
    ("4.201", "High-Throughput JPEG 2000 Lossless", Codec::HighThroughput),
    ("4.202", "High-Throughput JPEG 2000 Lossless, RPCL", Codec::HighThroughput),
    ("4.203", "High-Throughput JPEG 2000", Codec::HighThroughput),
    ("5", "RLE Lossless", Codec::Rle),
    ("8.1", "Deflated Image Frame Compression", Codec::Unsupported),
];

/// Returns the encoding of a UID; `None` if it is unknown.
pub fn transfer_syntax(uid: &str) -> Option<TransferSyntax> {
    let number = uid.strip_prefix("1.2.840.10008.1.2")?;
    Some(match number {
        "" => IMPLICIT,
        ".1" => EXPLICIT,
        ".1.99" => TransferSyntax {
            name: "Deflated Explicit VR Little Endian",
            deflated: true,
            ..EXPLICIT
        },
        ".2" => TransferSyntax { name: "Explicit VR Big Endian", big_endian: true, ..EXPLICIT },
        number => {
            let number = number.strip_prefix('.')?;
            let &(_, name, codec) = COMPRESSED.iter().find(|(known, ..)| *known == number)?;
            TransferSyntax { name, codec, ..EXPLICIT }
        }
    })
}

/// Returns the encoding that a file without meta information seems to have.
pub fn guess(first_bytes: &[u8]) -> TransferSyntax {
    let vr = first_bytes.get(4..6).unwrap_or_default();
    match vr.iter().all(u8::is_ascii_uppercase) && !vr.is_empty() {
        true => EXPLICIT,
        false => IMPLICIT,
    }
}
