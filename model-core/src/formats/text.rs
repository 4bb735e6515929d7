//! Text from outside: a description, a table, settings.

use crate::{Error, Result, formats::file_kind};

/// Returns the text of a file's bytes, without the mark of UTF-8 that some editors and spreadsheets
/// put in front of it.
///
/// # Errors
/// [`Error::Text`] where the bytes are no text in UTF-8, or are a text that stands in the place of
/// the file, such as a web page or a pointer of Git LFS.
pub fn text(bytes: &[u8]) -> Result<&str> {
    let plain = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // Text and JSON may be what is wanted; an empty table is what its reader has to refuse.
    let other = file_kind(plain)
        .filter(|kind| !plain.is_empty() && *kind != "text" && !kind.starts_with("JSON"));
    if let Some(kind) = other {
        return Err(Error::text("text in UTF-8", kind));
    }
    std::str::from_utf8(plain).map_err(|error| {
        let at = error.valid_up_to();
        let line = plain[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        let zeros = plain.iter().take(64).filter(|&&byte| byte == 0).count();
        let found = match zeros {
            0 => format!("byte {:#04x} in line {line}, as of another encoding", plain[at]),
            _ => "bytes that are no text".to_string(),
        };
        Error::text("text in UTF-8", found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_in_front_is_left_out() {
        assert_eq!(text(b"\xef\xbb\xbf{}").unwrap(), "{}");
        assert_eq!(text("µ".as_bytes()).unwrap(), "µ");
        assert_eq!(text(b"").unwrap(), "");
    }

    #[test]
    fn what_is_no_text_is_named() {
        for (bytes, part) in [
            (&b"\xff\xfe{\0}\0"[..], "UTF-16"),
            (b"a\nb\xe9,c", "byte 0xe9 in line 2"),
            (b"<html>login</html>", "web page"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            (b"PK\x03\x04", "ZIP"),
            (b"\x01\0\xff", "no text"),
        ] {
            let error = text(bytes).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("UTF-8"), "{error}");
        }
    }
}
