//! The lines of an NRRD header.

use glam::DVec3;

/// The longest header that is read.
const MAX_HEADER_BYTES: usize = 1 << 16;

/// The fields of a header, by their names in lower case.
pub struct Fields<'a>(Vec<(String, &'a str)>);

impl<'a> Fields<'a> {
    /// Reads the fields up to the first empty line, and returns the bytes behind it; or the end of
    /// the file, where a header of another file's voxels ends. `None` if there is no text.
    pub fn read(bytes: &'a [u8]) -> Option<(Fields<'a>, &'a [u8])> {
        let (mut fields, mut at) = (Vec::new(), 0);
        loop {
            let rest = bytes.get(at..)?;
            let line_end = rest.iter().take(MAX_HEADER_BYTES).position(|&byte| byte == b'\n');
            let length = line_end.or((rest.len() < MAX_HEADER_BYTES).then_some(rest.len()))?;
            let line = std::str::from_utf8(&rest[..length]).ok()?.trim_end_matches('\r');
            at = (at + length + 1).min(bytes.len());
            if line.is_empty() {
                return Some((Fields(fields), &bytes[at..]));
            }
            if at > MAX_HEADER_BYTES {
                return None;
            }
            // `key:=value` is a note of the writer.
            if let Some((name, value)) = line.split_once(": ")
                && !line.starts_with('#')
            {
                fields.push((name.trim().to_lowercase(), value.trim()));
            }
        }
    }

    /// Returns the text of a field.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, text)| *text)
    }

    /// Returns the numbers of a field; NaN is one of them.
    pub fn numbers(&self, name: &str) -> Vec<f64> {
        let words = self.text(name).unwrap_or_default().split_whitespace();
        words.map_while(|word| word.parse().ok()).collect()
    }
}

/// Reads vectors such as `(1,0,0)`; `none` is an axis that is not in space. `None` if there is
/// another word.
pub fn vectors(text: &str) -> Option<Vec<Option<DVec3>>> {
    let (mut vectors, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("none") {
            vectors.push(None);
            rest = after.trim_start();
            continue;
        }
        let (inside, after) = rest.strip_prefix('(')?.split_once(')')?;
        let numbers: Vec<f64> =
            inside.split(',').map(|number| number.trim().parse().ok()).collect::<Option<_>>()?;
        let &[x, y, z] = numbers.as_slice() else { return None };
        vectors.push(Some(DVec3::new(x, y, z)));
        rest = after.trim_start();
    }
    Some(vectors)
}
