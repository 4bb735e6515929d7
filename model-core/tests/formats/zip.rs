//! Makes ZIP archives of stored files.

use flate2::Crc;

/// Returns an archive. `flags` and `size` override those of all files.
pub fn archive(files: &[(&str, &[u8])], flags: u16, size: Option<u32>) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let mut crc = Crc::new();
        crc.update(bytes);
        let mut fields = Vec::new();
        fields.extend([20, flags, 0, 0, 0].map(u16::to_le_bytes).concat());
        let length = bytes.len() as u32;
        let numbers = [crc.sum(), length, size.unwrap_or(length)];
        fields.extend(numbers.map(u32::to_le_bytes).concat());
        fields.extend((name.len() as u16).to_le_bytes());
        fields.extend([0, 0]);
        let offset = out.len() as u32;
        directory.extend([b"PK\x01\x02\x14\0".as_slice(), &fields, &[0; 10]].concat());
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
        out.extend([b"PK\x03\x04".as_slice(), &fields, name.as_bytes(), bytes].concat());
    }
    let (start, length) = (out.len() as u32, directory.len() as u32);
    out.extend(directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    let count = (files.len() as u16).to_le_bytes();
    out.extend([count, count].concat());
    out.extend([length, start].map(u32::to_le_bytes).concat());
    out.extend([0, 0]);
    out
}
