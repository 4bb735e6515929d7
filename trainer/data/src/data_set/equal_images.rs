//! Finds cases with the same images under several names, without reading the whole data set.
//!
//! Candidates are compared by the size of their files, then by the checksum at the end of a gzip
//! stream or by samples, and only then by their full content.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::Crc;
use flate2::read::MultiGzDecoder;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::CaseFiles;
use trainer_run::files::MAX_SCAN_BYTES;

/// The number of samples of a file that are compared before its full content, and their size.
const NUM_SAMPLES: u64 = 16;
const SAMPLE_BYTES: u64 = 4096;

/// Returns lists of cases with equal images, each with the SHA-256 over the images. Labels may
/// differ. A file that cannot be read is equal to no other; its fault is reported elsewhere.
pub(super) fn find(cases: &[CaseFiles]) -> Vec<(Vec<usize>, [u8; 32])> {
    let files: Vec<Vec<PathBuf>> = cases
        .iter()
        .map(|case| CaseFiles { label: None, ..case.clone() }.files().collect())
        .collect();
    let all: Vec<usize> = (0..cases.len()).collect();
    let by_size = group_by_key(&all, &files, |file| Some(stream_info(file).ok()?.size));
    let by_checksum = by_size.into_iter().flat_map(|numbers| {
        // The checksum of a gzip stream costs nothing. It is compared with that of whole plain
        // files, but plain files alone are first compared by samples.
        let is_gzip =
            |file: &PathBuf| stream_info(file).is_ok_and(|stream| stream.checksum.is_some());
        let has_gzip = numbers.iter().any(|&n| files[n].iter().any(is_gzip));
        group_by_key(&numbers, &files, |file| match stream_info(file).ok()?.checksum {
            Some(checksum) => Some(checksum),
            None if has_gzip => digest_content(file, Crc::new(), |crc, bytes| crc.update(bytes))
                .ok()
                .map(|crc| crc.sum()),
            None => samples(file).ok(),
        })
    });
    let digest = |&number: &usize| {
        let mut all = Sha256::new();
        for file in &files[number] {
            all = digest_content(file, all, |all, bytes| all.update(bytes)).ok()?;
        }
        Some((number, all.finalize().into()))
    };
    let mut equal = Vec::new();
    for numbers in by_checksum {
        let mut by_digest: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
        for (number, digest) in numbers.par_iter().filter_map(digest).collect::<Vec<_>>() {
            by_digest.entry(digest).or_default().push(number);
        }
        let several = by_digest.into_iter().filter(|(_, numbers)| numbers.len() > 1);
        equal.extend(several.map(|(digest, numbers)| (numbers, digest)));
    }
    equal.sort();
    equal
}

/// Groups the cases whose files have the same keys. Groups of one case are left out.
fn group_by_key<K: Ord + Send>(
    numbers: &[usize],
    files: &[Vec<PathBuf>],
    key: impl Fn(&PathBuf) -> Option<K> + Sync,
) -> Vec<Vec<usize>> {
    let keyed = |&number: &usize| {
        let keys: Option<Vec<K>> = files[number].iter().map(&key).collect();
        Some((keys?, number))
    };
    let mut groups: BTreeMap<Vec<K>, Vec<usize>> = BTreeMap::new();
    for (keys, number) in numbers.par_iter().filter_map(keyed).collect::<Vec<_>>() {
        groups.entry(keys).or_default().push(number);
    }
    groups.into_values().filter(|numbers| numbers.len() > 1).collect()
}

/// The size and checksum of a file's uncompressed content, read from the ends of the file.
struct StreamInfo {
    /// Bytes of the content, modulo 2³².
    size: u32,
    /// CRC-32 of the content, if the file is a gzip stream (RFC 1952, section 2.3.1).
    checksum: Option<u32>,
}

fn stream_info(file: &Path) -> io::Result<StreamInfo> {
    let mut source = File::open(file)?;
    let length = source.metadata()?.len();
    let mut start = [0; 2];
    if length < 18 || {
        source.read_exact(&mut start)?;
        start != [0x1f, 0x8b]
    } {
        return Ok(StreamInfo { size: length as u32, checksum: None });
    }
    let mut end = [0; 8];
    source.seek(SeekFrom::End(-8))?;
    source.read_exact(&mut end)?;
    let number = |at: usize| u32::from_le_bytes(end[at..at + 4].try_into().expect("four bytes"));
    Ok(StreamInfo { size: number(4), checksum: Some(number(0)) })
}

/// Returns the checksum over samples of a file.
fn samples(file: &Path) -> io::Result<u32> {
    let mut source = File::open(file)?;
    let length = source.metadata()?.len();
    let mut crc = Crc::new();
    for n in 0..NUM_SAMPLES {
        source.seek(SeekFrom::Start(n * length / NUM_SAMPLES))?;
        let mut sample = Vec::new();
        (&source).take(SAMPLE_BYTES).read_to_end(&mut sample)?;
        crc.update(&sample);
    }
    Ok(crc.sum())
}

/// Adds the uncompressed content of a file to a digest.
fn digest_content<S>(file: &Path, mut digest: S, add: impl Fn(&mut S, &[u8])) -> io::Result<S> {
    let is_gzip = stream_info(file)?.checksum.is_some();
    let source = io::BufReader::new(File::open(file)?);
    let mut source: Box<dyn Read> =
        if is_gzip { Box::new(MultiGzDecoder::new(source)) } else { Box::new(source) };
    let mut chunk = vec![0; 1 << 16];
    let mut left = MAX_SCAN_BYTES;
    loop {
        match source.read(&mut chunk)? {
            0 => return Ok(digest),
            count if count as u64 > left => return Err(io::ErrorKind::FileTooLarge.into()),
            count => {
                left -= count as u64;
                add(&mut digest, &chunk[..count]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn copies_are_found_compressed_or_not_whatever_their_labels() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        };
        let compress = |bytes: &[u8], level: u32| {
            let level = flate2::Compression::new(level);
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let scan: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(n) >> 5) as u8).collect();
        let mut other = scan.clone();
        other[150_001] ^= 1;
        write("a.nii.gz", &compress(&scan, 1));
        write("b.nii", &scan);
        write("c.nii.gz", &compress(&scan, 9));
        write("d.nii", &other);
        write("e.nii.gz", &compress(&other, 6));
        write("f.nii", &scan[1..]);
        let names = ["a.nii.gz", "b.nii", "c.nii.gz", "d.nii", "e.nii.gz", "f.nii", "gone.nii"];
        let case = |name: &&str| CaseFiles {
            name: name.to_string(),
            images: vec![folder.path().join(name)],
            label: Some(folder.path().join(name).with_extension("label")),
        };
        let cases: Vec<CaseFiles> = names.iter().map(case).collect();
        let mut found: Vec<Vec<usize>> = find(&cases).into_iter().map(|(n, _)| n).collect();
        found.sort();
        assert_eq!(found, [vec![0, 1, 2], vec![3, 4]]);
        // Plain files that differ only between the samples are not equal.
        let plain: Vec<CaseFiles> = [1, 3].map(|n: usize| cases[n].clone()).to_vec();
        assert!(find(&plain).is_empty());
    }
}
