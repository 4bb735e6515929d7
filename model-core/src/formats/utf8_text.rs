//! Text files from outside: data set descriptions, tables and settings.

use crate::{Error, Result, formats::file_kind};

/// Returns a file's text without the byte order mark that some editors and spreadsheets put first.
///
/// # Errors
/// [`Error::Text`] if the bytes are not UTF-8, or if they are another file saved under this name,
/// such as a web page or a Git LFS pointer.
pub fn utf8_text(bytes: &[u8]) -> Result<&str> {
    let plain = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // Text and JSON may be the expected file. The reader of an empty table refuses it by itself.
    let unexpected = file_kind(plain)
        .filter(|kind| !plain.is_empty() && *kind != "text" && !kind.starts_with("JSON"));
    if let Some(kind) = unexpected {
        return Err(Error::text("text in UTF-8", kind));
    }
    std::str::from_utf8(plain).map_err(|error| {
        let at = error.valid_up_to();
        let line = plain[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        let zeros = plain.iter().take(64).filter(|&&byte| byte == 0).count();
        let found = match zeros {
            0 => format!("byte {:#04x} in line {line}, as in another encoding", plain[at]),
            _ => "bytes that are not text".to_string(),
        };
        Error::text("text in UTF-8", found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_removed() {
        assert_eq!(utf8_text(b"\xef\xbb\xbf{}").unwrap(), "{}");
        assert_eq!(utf8_text("µ".as_bytes()).unwrap(), "µ");
        assert_eq!(utf8_text(b"").unwrap(), "");
    }

    #[test]
    fn other_files_are_named_in_the_error() {
        for (bytes, part) in [
            (&b"\xff\xfe{\0}\0"[..], "UTF-16"),
            (b"a\nb\xe9,c", "byte 0xe9 in line 2"),
            (b"<html>login</html>", "web page"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            (b"PK\x03\x04", "ZIP"),
            (b"\x01\0\xff", "not text"),
        ] {
            let error = utf8_text(bytes).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("UTF-8"), "{error}");
        }
    }
}
