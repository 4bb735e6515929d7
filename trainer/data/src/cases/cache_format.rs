//! The cache file of a preprocessed case.
//!
//! A safetensors file with the input, its labels, the voxels to center patches on, and the labels
//! on the scan's grid. Checksums are verified whenever it is read.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytemuck::Pod;
use flate2::Crc;
use model_core::{Input, LabelMap, Placement};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::{Deserialize, Serialize};

use super::prepared_case::PreparedCase;
use trainer_run::files;

/// The metadata key of the description. Its value is the CRC-32 of the JSON, a space, and the JSON.
const DESCRIPTION: &str = "rewind-case";
/// The largest header that is read.
const MAX_HEADER_BYTES: u64 = 1 << 20;

const INPUT: &str = "input";
const LABELS: &str = "labels";
const CENTERS: &str = "centers";
const REFERENCE: &str = "reference";

#[derive(Serialize, Deserialize)]
struct Description {
    placement: Placement,
    /// The number of patch centers of each label that is present.
    centers: Vec<usize>,
    /// CRC-32 of each tensor.
    crc32: BTreeMap<String, u32>,
}

/// Writes a case under a temporary name, then renames the file, so that no partial file is left.
///
/// The file has default permissions, so that users who share the folder can read it.
pub(super) fn write(file: &Path, prepared: &PreparedCase, reference: &LabelMap) -> io::Result<()> {
    let mut part = files::part(files::folder_of(file))?;
    write_to(part.as_file_mut(), prepared, reference)?;
    part.persist(file)?;
    Ok(())
}

/// Streams the tensors to the file: a serialized copy would double the memory.
fn write_to(out: &mut File, prepared: &PreparedCase, reference: &LabelMap) -> io::Result<()> {
    let PreparedCase { input, labels, centers_by_label, placement } = prepared;
    let [ni, nj, nk] = input.dims;
    let [si, sj, sk] = reference.grid().dims;
    let centers = centers_by_label.concat();
    // The widest values first, so that each tensor is aligned.
    let tensors: [(&str, Dtype, Vec<usize>, &[u8]); 4] = [
        (INPUT, Dtype::F32, vec![input.channels, nk, nj, ni], bytemuck::cast_slice(&input.values)),
        (CENTERS, Dtype::U32, vec![centers.len()], bytemuck::cast_slice(&centers)),
        (LABELS, Dtype::U8, vec![nk, nj, ni], labels),
        (REFERENCE, Dtype::U8, vec![sk, sj, si], reference.labels()),
    ];
    let description = Description {
        placement: placement.clone(),
        centers: centers_by_label.iter().map(Vec::len).collect(),
        crc32: tensors.iter().map(|(name, _, _, bytes)| (name.to_string(), crc32(bytes))).collect(),
    };
    let description = serde_json::to_string(&description)?;
    let description = format!("{:08x} {description}", crc32(description.as_bytes()));
    let mut end = 0;
    let infos = tensors.iter().map(|(name, dtype, shape, bytes)| {
        let start = end;
        end += bytes.len();
        let (dtype, shape) = (*dtype, shape.clone());
        (name.to_string(), TensorInfo { dtype, shape, data_offsets: (start, end) })
    });
    let texts = HashMap::from([(DESCRIPTION.to_string(), description)]);
    let metadata = Metadata::new(Some(texts), infos.collect()).map_err(io::Error::other)?;
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for (_, _, _, bytes) in tensors {
        out.write_all(bytes)?;
    }
    Ok(())
}

/// Reads a case.
///
/// # Errors
/// Errors if the file is missing, incomplete or damaged.
pub(super) fn read(file: &Path) -> Result<PreparedCase> {
    let mut file = CacheFile::open(file)?;
    let values: Vec<f32> = file.tensor(INPUT)?;
    let labels: Vec<u8> = file.tensor(LABELS)?;
    let centers: Vec<u32> = file.tensor(CENTERS)?;
    let CacheFile { description: Description { placement, centers: counts, .. }, .. } = file;
    let dims = placement.dims();
    let is_whole = dims.iter().product::<usize>() == labels.len()
        && values.len().is_multiple_of(labels.len())
        && counts.iter().sum::<usize>() == centers.len()
        && centers.iter().all(|&place| (place as usize) < labels.len());
    ensure!(is_whole, "expected tensors of matching sizes");
    let mut centers = &centers[..];
    let centers_by_label = counts.iter().map(|&count| {
        let (label, rest) = centers.split_at(count);
        centers = rest;
        label.to_vec()
    });
    let centers_by_label = centers_by_label.collect();
    let input = Input { channels: values.len() / labels.len(), dims, values };
    Ok(PreparedCase { input, labels, centers_by_label, placement })
}

/// Reads the labels on the scan's grid.
///
/// # Errors
/// See [`read`].
pub(super) fn read_reference(file: &Path) -> Result<LabelMap> {
    let mut file = CacheFile::open(file)?;
    let labels: Vec<u8> = file.tensor(REFERENCE)?;
    let grid = file.description.placement.source().clone();
    Ok(LabelMap::new(grid, labels)?)
}

/// Checks that a file is complete. Returns the memory that its case takes.
///
/// The checksums of the tensors are verified only when the tensors are read.
///
/// # Errors
/// Errors if the file is not a case in this format, or is incomplete.
pub(super) fn check(file: &Path) -> Result<u64> {
    let file = CacheFile::open(file)?;
    let sizes =
        [INPUT, LABELS, CENTERS].map(|name| file.range(name).map(|(start, end)| end - start));
    sizes.into_iter().sum()
}

/// An open file whose header was read.
struct CacheFile {
    file: File,
    metadata: Metadata,
    description: Description,
    /// Offset of the first tensor in the file.
    start: u64,
}

impl CacheFile {
    fn open(path: &Path) -> Result<CacheFile> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut header = [0; 8];
        file.read_exact(&mut header)?;
        let header_bytes = u64::from_le_bytes(header);
        ensure!(header_bytes <= MAX_HEADER_BYTES.min(length), "expected a safetensors file");
        let mut header = vec![0; header_bytes as usize];
        file.read_exact(&mut header)?;
        let metadata: Metadata = serde_json::from_slice(&header).context("damaged header")?;
        let start = 8 + header_bytes;
        let expected = start + metadata.data_len() as u64;
        ensure!(length == expected, "expected {expected} bytes, found {length}");
        let text = metadata.metadata().as_ref().and_then(|texts| texts.get(DESCRIPTION));
        let (check, description) =
            text.and_then(|text| text.split_once(' ')).context("expected a preprocessed case")?;
        let is_whole = check == format!("{:08x}", crc32(description.as_bytes()));
        ensure!(is_whole, "damaged description");
        let description = serde_json::from_str(description).context("damaged description")?;
        Ok(CacheFile { file, metadata, description, start })
    }

    /// Returns the first byte of a tensor and the byte after its last, relative to `start`.
    fn range(&self, name: &str) -> Result<(u64, u64)> {
        let info = self.metadata.info(name).with_context(|| format!("expected {name}"))?;
        let (start, end) = info.data_offsets;
        Ok((start as u64, end as u64))
    }

    /// Reads a tensor's values and verifies their checksum.
    fn tensor<T: Pod>(&mut self, name: &str) -> Result<Vec<T>> {
        let (start, end) = self.range(name)?;
        let count = (end - start) as usize / size_of::<T>();
        let mut values = vec![T::zeroed(); count];
        self.file.seek(SeekFrom::Start(self.start + start))?;
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut values);
        self.file.read_exact(bytes)?;
        let is_whole = self.description.crc32.get(name) == Some(&crc32(bytes));
        ensure!(is_whole, "damaged {name}");
        Ok(values)
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use safetensors::SafeTensors;

    use crate::patches::tests::case;

    #[test]
    fn a_case_is_read_back_and_damage_anywhere_is_detected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("case");
        let prepared = case();
        let grid = prepared.placement.source().clone();
        let labels = (0..grid.num_voxels()).map(|n| (n % 3) as u8).collect();
        let reference = LabelMap::new(grid, labels).unwrap();
        write(&path, &prepared, &reference).unwrap();
        assert!(read(&path).unwrap() == prepared && read_reference(&path).unwrap() == reference);
        assert_eq!(check(&path).unwrap(), prepared.bytes());
        // The file has default permissions, and no temporary file is left beside it.
        let other = folder.path().join("other");
        fs::write(&other, b"").unwrap();
        let [found, usual] = [&path, &other].map(|p| fs::metadata(p).unwrap().permissions());
        assert_eq!(found, usual);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        assert!(SafeTensors::deserialize(&fs::read(&path).unwrap()).is_ok());

        let whole = fs::read(&path).unwrap();
        for place in (0..whole.len()).step_by(83) {
            let mut damaged = whole.clone();
            damaged[place] ^= 4;
            fs::write(&path, damaged).unwrap();
            let is_detected = [read(&path).is_err(), read_reference(&path).is_err()];
            assert!(is_detected.contains(&true), "at byte {place} of {}", whole.len());
        }
        for length in (0..whole.len()).step_by(977) {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(check(&path).is_err(), "cut to {length} bytes");
        }
    }
}
