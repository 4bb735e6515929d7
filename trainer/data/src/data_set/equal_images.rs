//! Cases with the same images under several names, without reading all of a data set: by sizes, then
//! by the checksum that a gzip stream ends with or by samples, and only then by what they hold.

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

/// Places of a file that are looked at before all of it is, and their size.
const NUM_SAMPLES: u64 = 16;
const SAMPLE_BYTES: u64 = 4096;

/// Cases whose images are equal, each list with the SHA-256 over them; their labels may differ. A
/// file that cannot be read is equal to none: what is wrong with it is said elsewhere.
pub(super) fn find(cases: &[CaseFiles]) -> Vec<(Vec<usize>, [u8; 32])> {
    let files: Vec<Vec<PathBuf>> = cases
        .iter()
        .map(|case| CaseFiles { label: None, ..case.clone() }.files().collect())
        .collect();
    let all: Vec<usize> = (0..cases.len()).collect();
    let by_size = alike(&all, &files, |file| Some(stream(file).ok()?.size));
    let by_part = by_size.into_iter().flat_map(|numbers| {
        // A checksum that is in the file costs nothing; else some of it has to do at first.
        let is_packed = |file: &PathBuf| stream(file).is_ok_and(|stream| stream.checksum.is_some());
        let is_mixed = numbers.iter().any(|&n| files[n].iter().any(is_packed));
        alike(&numbers, &files, |file| match stream(file).ok()?.checksum {
            Some(checksum) => Some(checksum),
            None if is_mixed => {
                whole(file, Crc::new(), |crc, bytes| crc.update(bytes)).ok().map(|crc| crc.sum())
            }
            None => samples(file).ok(),
        })
    });
    let digest = |&number: &usize| {
        let mut all = Sha256::new();
        for file in &files[number] {
            all = whole(file, all, |all, bytes| all.update(bytes)).ok()?;
        }
        Some((number, all.finalize().into()))
    };
    let mut equal = Vec::new();
    for numbers in by_part {
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

/// Of these cases the lists of those whose files have the same keys.
fn alike<K: Ord + Send>(
    numbers: &[usize],
    files: &[Vec<PathBuf>],
    key: impl Fn(&PathBuf) -> Option<K> + Sync,
) -> Vec<Vec<usize>> {
    let keyed = |&number: &usize| {
        let keys: Option<Vec<K>> = files[number].iter().map(&key).collect();
        Some((keys?, number))
    };
    let mut found: BTreeMap<Vec<K>, Vec<usize>> = BTreeMap::new();
    for (keys, number) in numbers.par_iter().filter_map(keyed).collect::<Vec<_>>() {
        found.entry(keys).or_default().push(number);
    }
    found.into_values().filter(|numbers| numbers.len() > 1).collect()
}

/// What is known of a file from its ends.
struct Stream {
    /// Bytes of its contents, modulo 2³².
    size: u32,
    /// Of the contents, where the file is a gzip stream (RFC 1952, section 2.3.1).
    checksum: Option<u32>,
}

fn stream(file: &Path) -> io::Result<Stream> {
    let mut source = File::open(file)?;
    let length = source.metadata()?.len();
    let mut start = [0; 2];
    if length < 18 || {
        source.read_exact(&mut start)?;
        start != [0x1f, 0x8b]
    } {
        return Ok(Stream { size: length as u32, checksum: None });
    }
    let mut end = [0; 8];
    source.seek(SeekFrom::End(-8))?;
    source.read_exact(&mut end)?;
    let number = |at: usize| u32::from_le_bytes(end[at..at + 4].try_into().expect("four bytes"));
    Ok(Stream { size: number(4), checksum: Some(number(0)) })
}

/// The checksum of some of a file.
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

/// Adds all that a file holds to a sum.
fn whole<S>(file: &Path, mut sum: S, add: impl Fn(&mut S, &[u8])) -> io::Result<S> {
    let is_packed = stream(file)?.checksum.is_some();
    let source = io::BufReader::new(File::open(file)?);
    let mut source: Box<dyn Read> =
        if is_packed { Box::new(MultiGzDecoder::new(source)) } else { Box::new(source) };
    let mut chunk = vec![0; 1 << 16];
    let mut left = MAX_SCAN_BYTES;
    loop {
        match source.read(&mut chunk)? {
            0 => return Ok(sum),
            count if count as u64 > left => return Err(io::ErrorKind::FileTooLarge.into()),
            count => {
                left -= count as u64;
                add(&mut sum, &chunk[..count]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn copies_are_found_packed_or_not_whatever_their_labels() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        };
        let pack = |bytes: &[u8], level: u32| {
            let level = flate2::Compression::new(level);
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), level);
            packed.write_all(bytes).unwrap();
            packed.finish().unwrap()
        };
        let scan: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(n) >> 5) as u8).collect();
        let mut other = scan.clone();
        other[150_001] ^= 1;
        write("a.nii.gz", &pack(&scan, 1));
        write("b.nii", &scan);
        write("c.nii.gz", &pack(&scan, 9));
        write("d.nii", &other);
        write("e.nii.gz", &pack(&other, 6));
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
        // Of plain files alone, the one that differs behind the samples is another.
        let plain: Vec<CaseFiles> = [1, 3].map(|n: usize| cases[n].clone()).to_vec();
        assert!(find(&plain).is_empty());
    }
}
