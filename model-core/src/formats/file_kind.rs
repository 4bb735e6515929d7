//! Recognizes an unexpected file by its first bytes, so that an error can name it: for example a
//! Git LFS pointer, a login page that was saved under a scan's name, or a scan in DICOM where only
//! NIfTI is read.

/// File signatures and the kinds of file that start with them.
const SIGNATURES: [(&[u8], &str); 27] = [
    (b"PK\x03\x04", "a ZIP archive (as .xlsx and .pt files are)"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"%PDF-", "a PDF"),
    (b"\x89PNG\r\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"\x89HDF\r\n", "an HDF5 file (MINC, MATLAB 7.3)"),
    (b"CDF\x01", "a NetCDF file (MINC)"),
    (b"MATLAB 5.0", "a MATLAB file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"NRRD000", "an NRRD scan"),
    (b"ObjectType", "a MetaImage scan (.mha, .mhd)"),
    (b"NDims", "a MetaImage scan (.mha, .mhd)"),
    (b"\0\0\0\x01\0\0", "a FreeSurfer scan (.mgz, .mgh)"),
    (b"\0\x05\x16\x07", "the resource file of another (its name begins with ._), made by macOS"),
    (b"\0\x05\x16\0", "the resource file of another, made by macOS"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Microsoft Office file"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
];

/// Beginnings of text files, in lower case. White space before them is skipped.
const TEXTS: [(&str, &str); 8] = [
    ("version https://git-lfs", LFS),
    ("version https://hawser", LFS),
    ("/annex/objects/", ANNEX),
    ("<!doctype html", HTML),
    ("<html", HTML),
    ("<head", HTML),
    ("<?xml", "XML, such as a server's message of an error"),
    ("<error", "XML, such as a server's message of an error"),
];

const LFS: &str = "a pointer of Git LFS in place of the file (`git lfs pull` gets it)";
const ANNEX: &str = "a pointer of git-annex in place of the file (`git annex get` gets it)";
const ANNEX_LINK_TARGET: &[u8] = b".git/annex/objects/";
const HTML: &str = "a web page (HTML), such as a login page that was saved in place of the file";

/// The bytes at the start of a file that are searched.
const NUM_SEARCHED: usize = 1 << 12;

/// Returns the kind of a file as a noun, such as "a PDF": an empty file, a web page, a pointer, an
/// archive, a picture, a scan in another format, JSON or text.
///
/// Returns `None` for an unknown file, for NIfTI and Analyze, and for a bundle. Also returns `None`
/// for a gzip stream: pass its decompressed contents instead.
pub fn file_kind(bytes: &[u8]) -> Option<&'static str> {
    let start = &bytes[..bytes.len().min(NUM_SEARCHED)];
    if start.is_empty() {
        return Some("an empty file");
    }
    if let Some((_, kind)) = SIGNATURES.iter().find(|(signature, _)| start.starts_with(signature)) {
        return Some(kind);
    }
    if start.get(128..132) == Some(b"DICM") {
        return Some("a DICOM file");
    }
    if start.get(257..262) == Some(b"ustar") {
        return Some("a tar archive");
    }
    if bytes.len() >= 348 && bytes.iter().all(|&byte| byte == 0) {
        return Some("a file of zeros alone, such as a download that was not finished");
    }
    text_kind(start)
}

/// Returns the kind of a text file by its first words.
fn text_kind(start: &[u8]) -> Option<&'static str> {
    let text = match start {
        [0xef, 0xbb, 0xbf, rest @ ..] => rest,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Some("text in UTF-16"),
        other => other,
    };
    let start = text.trim_ascii_start();
    let begins = |text: &str| {
        start.get(..text.len()).is_some_and(|found| found.eq_ignore_ascii_case(text.as_bytes()))
    };
    if let Some((_, kind)) = TEXTS.iter().find(|(text, _)| begins(text)) {
        return Some(kind);
    }
    // A symbolic link of git-annex becomes a text file where links cannot be made.
    if start.starts_with(b".")
        && start.windows(ANNEX_LINK_TARGET.len()).any(|bytes| bytes == ANNEX_LINK_TARGET)
    {
        return Some(ANNEX);
    }
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..);
    let is_json = matches!(start.first(), Some(b'{' | b'['));
    match text.iter().all(is_text) {
        true if is_json => Some("JSON, such as a server's message of an error"),
        // A truncated scan header contains zeros, so it is not text.
        true if std::str::from_utf8(text).is_ok() => Some("text"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(bytes: &[u8]) -> &'static str {
        file_kind(bytes).unwrap_or("unknown")
    }

    #[test]
    fn unexpected_files_are_named() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
        for (bytes, part) in [
            (&b""[..], "empty"),
            (pointer, "Git LFS"),
            (b"/annex/objects/MD5E-s12--ab.nii.gz\n", "git-annex"),
            (b"../../.git/annex/objects/x", "git-annex"),
            (b"\xef\xbb\xbf\r\n<!DOCTYPE HTML><html>", "web page"),
            (b"<HTML lang=\"en\">", "web page"),
            (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>", "XML"),
            (b"{\"message\": \"Unauthorized\"}", "JSON"),
            (b"PK\x03\x04\x14\0", "ZIP"),
            (b"Rar!\x1a\x07\x01\0", "RAR"),
            (b"404: Not Found", "text"),
            (b"\xff\xfea\0", "UTF-16"),
            (b"NRRD0004\n", "NRRD"),
            (b"\0\0\0\x01\0\0\0\x05", "FreeSurfer"),
            (b"ObjectType = Image\n", "MetaImage"),
            (&[0; 400], "zeros"),
        ] {
            assert!(kind(bytes).contains(part), "{part}: {}", kind(bytes));
        }
        let mut dicom = vec![0; 140];
        dicom[128..132].copy_from_slice(b"DICM");
        assert_eq!(kind(&dicom), "a DICOM file");
        let mut tar = vec![b'a'; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(kind(&tar), "a tar archive");
    }

    #[test]
    fn scans_bundles_and_gzip_streams_are_not_named() {
        let mut header = vec![0; 348];
        header[..4].copy_from_slice(&348i32.to_le_bytes());
        for bytes in [&header[..], b"\x1f\x8b\x08\0", b"\x40\0\0\0\0\0\0\0{\"a\":1}", &[0; 20]] {
            assert_eq!(file_kind(bytes), None, "{bytes:?}");
        }
    }
}
