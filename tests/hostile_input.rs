//! Whatever the bytes, reading answers: with what they hold, or with an error. Never a panic, and
//! never more memory than the bytes justify.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};
use integration_tests::{data, held_bytes, in_child_process, take_peak_bytes};
use model_core::task::dataset::Manifest;
use model_core::{Affine, Bundle, Error, Grid, LabelMap, Placement, Volume, formats::nifti};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::bundle::small_bundle;

/// Returns the peak memory of `work` in bytes. It must run alone in a process.
fn peak_bytes_of(work: impl FnOnce()) -> usize {
    let before = held_bytes();
    take_peak_bytes();
    work();
    take_peak_bytes() - before
}

/// Returns a label map of 5 × 4 × 3 voxels as `.nii.gz` and as `.nii`.
fn small_file() -> (Vec<u8>, Vec<u8>) {
    let grid = Grid::new([5, 4, 3], Affine::from_spacing([1.0, 2.0, 3.0]));
    let labels = (0..60).map(|n| n % 4).collect();
    let compressed = nifti::write_labels(&LabelMap::new(grid, labels).unwrap());
    let mut plain = Vec::new();
    std::io::copy(&mut flate2::read::GzDecoder::new(&compressed[..]), &mut plain).unwrap();
    (compressed, plain)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, field: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&field);
}

#[test]
fn every_truncation_of_a_scan_is_an_error() {
    let (compressed, plain) = small_file();
    for file in [compressed, plain] {
        assert!(nifti::read(&file).is_ok() && nifti::read_labels(&file).is_ok());
        for length in 0..file.len() {
            assert!(nifti::read(&file[..length]).is_err(), "{length} of {}", file.len());
            assert!(nifti::read_labels(&file[..length]).is_err(), "{length} of {}", file.len());
        }
    }
}

#[test]
fn every_truncation_of_a_bundle_or_a_description_is_an_error() {
    let bundle = small_bundle().to_bytes().unwrap();
    for length in 0..bundle.len() {
        assert!(Bundle::from_bytes(&bundle[..length]).is_err(), "{length} of {}", bundle.len());
    }
    let json = Manifest {
        name: "x".to_string(),
        license: Some("CC0".to_string()),
        task: model_core::phantom::task(),
        num_training: Some(0),
        training: Vec::new(),
        validation: Vec::new(),
        test: Vec::new(),
        nnunet_cases: None,
    }
    .to_json();
    for length in 0..json.len() {
        assert!(Manifest::parse(&json.as_bytes()[..length]).is_err(), "{length}");
    }
}

/// Changes one to four bytes of `bytes` within `range`.
fn mutate(bytes: &mut [u8], range: std::ops::Range<usize>, random: &mut ChaCha8Rng) {
    for _ in 0..1 + random.next_u32() % 4 {
        let place = range.start + random.next_u32() as usize % range.len();
        // Half of the changes are to the extreme values of number types.
        bytes[place] = match random.next_u32() % 8 {
            0 => 0x00,
            1 => 0xff,
            2 => 0x7f,
            3 => 0x80,
            _ => random.next_u32() as u8,
        };
    }
}

#[test]
fn mutated_headers_neither_panic_nor_allocate_much_memory() {
    let name = "hostile_input::mutated_headers_neither_panic_nor_allocate_much_memory";
    let outcome = in_child_process(name, "", |_| {
        let (_, plain) = small_file();
        let mut random = ChaCha8Rng::seed_from_u64(20_000);
        let (mut num_read, mut max_peak_bytes) = (0, 0);
        for n in 0..20_000 {
            let mut file = plain.clone();
            mutate(&mut file, 0..352, &mut random);
            if n % 4 == 0 {
                file = gzip(&file);
            }
            let peak_bytes = peak_bytes_of(|| {
                let result = nifti::read(&file);
                num_read += usize::from(result.is_ok());
                // Every scan that was read can be written and read again.
                if let Ok(volumes) = result {
                    let written = nifti::write_volumes(&volumes).unwrap();
                    assert_eq!(
                        nifti::read(&written).unwrap()[0].grid().dims,
                        volumes[0].grid().dims
                    );
                }
                let _ = nifti::read_labels(&file);
            });
            max_peak_bytes = max_peak_bytes.max(peak_bytes);
        }
        // Includes the tables of the compressor and the decompressor.
        assert!(max_peak_bytes < 1 << 20, "{max_peak_bytes} bytes");
        num_read.to_string()
    });
    let num_read: usize = outcome.answer.unwrap().parse().unwrap();
    assert!((1_000..20_000).contains(&num_read), "{num_read} mutated headers were read");
}

#[test]
fn mutated_compressed_bytes_bundles_and_descriptions_never_panic() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let (compressed, _) = small_file();
    for _ in 0..5_000 {
        let mut file = compressed.clone();
        mutate(&mut file, 0..compressed.len(), &mut random);
        let _ = nifti::read(&file);
    }
    let bundle = small_bundle();
    let bytes = bundle.to_bytes().unwrap();
    for _ in 0..5_000 {
        let mut file = bytes.clone();
        mutate(&mut file, 0..bytes.len(), &mut random);
        // A mutation may change the model's name, but not its weights.
        if let Ok(read) = Bundle::from_bytes(&file) {
            assert_eq!(read.weights, bundle.weights);
            read.card.check().unwrap();
        }
    }
    let task = model_core::phantom::task();
    let manifest = Manifest {
        name: "x".into(),
        license: None,
        task,
        num_training: Some(0),
        training: Vec::new(),
        validation: Vec::new(),
        test: Vec::new(),
        nnunet_cases: None,
    };
    let json = manifest.to_json();
    for _ in 0..5_000 {
        let mut file = json.clone().into_bytes();
        mutate(&mut file, 0..json.len(), &mut random);
        let _ = Manifest::parse(&file);
    }
}

/// The headers state large sizes in files of few bytes.
#[test]
fn huge_sizes_are_refused_without_large_allocations() {
    let name = "hostile_input::huge_sizes_are_refused_without_large_allocations";
    let outcome = in_child_process(name, "", |_| {
        let (_, plain) = small_file();
        let dims: [[i16; 8]; 7] = [
            [3, 32767, 32767, 32767, 1, 1, 1, 1],
            [7, 32767, 32767, 32767, 32767, 32767, 32767, 32767],
            [3, 800, 800, 800, 1, 1, 1, 1],
            [4, 1, 1, 1, 32767, 1, 1, 1],
            [4, 64, 64, 64, 1024, 1, 1, 1],
            [3, -1, 4, 3, 1, 1, 1, 1],
            [-3, 5, 4, 3, 1, 1, 1, 1],
        ];
        let mut max_peak_bytes = 0;
        for dim in dims {
            let mut file = plain.clone();
            dim.iter().enumerate().for_each(|(n, d)| put(&mut file, 40 + 2 * n, d.to_le_bytes()));
            // Two million zeros compress to two kilobytes, so such a file may use two megabytes.
            let mut long = file.clone();
            long.resize(2 << 20, 0);
            for bytes in [file.clone(), gzip(&file), gzip(&long)] {
                let peak_bytes = peak_bytes_of(|| {
                    assert!(nifti::read(&bytes).is_err(), "{dim:?}");
                    assert!(nifti::read_labels(&bytes).is_err(), "{dim:?}");
                });
                max_peak_bytes = max_peak_bytes.max(peak_bytes);
            }
        }
        // Two million voxels as f32 while a buffer doubles, and the decompressor's buffer.
        let limit_bytes = (2 << 20) * 4 * 2 + (1 << 20);
        assert!(max_peak_bytes < limit_bytes, "{max_peak_bytes} bytes");
        max_peak_bytes.to_string()
    });
    outcome.answer.unwrap();
}

#[test]
fn hostile_bundles_are_refused_without_large_allocations() {
    let name = "hostile_input::hostile_bundles_are_refused_without_large_allocations";
    let outcome = in_child_process(name, "", |_| {
        let bytes = small_bundle().to_bytes().unwrap();
        let header_length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header = std::str::from_utf8(&bytes[8..8 + header_length]).unwrap().to_string();
        let with = |from: &str, to: &str| {
            assert!(header.contains(from), "{from}");
            let header = header.replacen(from, to, 1);
            let mut file = (header.len() as u64).to_le_bytes().to_vec();
            file.extend(header.bytes());
            file.extend(&bytes[8 + header_length..]);
            file
        };
        let mut hostile = vec![
            with(r#"\"widths\":[2]"#, r#"\"widths\":[4096,4096,4096,4096,4096,4096,4096,4096]"#),
            with(r#"\"widths\":[2]"#, r#"\"widths\":[18446744073709551615]"#),
            with(r#"\"blocks\":1"#, r#"\"blocks\":18446744073709551615"#),
            with(r#"\"groups\":1"#, r#"\"groups\":3"#),
            with(r#"\"groups\":1"#, r#"\"groups\":18446744073709551615"#),
            with(r#"\"reflections\":16"#, r#"\"reflections\":18446744073709551615"#),
            with(r#"\"expand_ratio\":1"#, r#"\"expand_ratio\":0"#),
            with(
                r#"\"groups\":1"#,
                r#"\"vae\":{\"units\":4096,\"patch\":[4096,4096,4096]},\"groups\":1"#,
            ),
            with(r#"\"groups\":1"#, r#"\"checkpointed\":true,\"groups\":1"#),
            with(r#""shape":[2]"#, r#""shape":[4611686018427387904,4]"#),
            with(r#""data_offsets":[0,"#, r#""data_offsets":[18446744073709551615,"#),
            bytes[..4].to_vec(),
        ];
        for length in [0, 1, u64::from(u32::MAX), 1 << 62, u64::MAX] {
            let mut file = bytes.clone();
            put(&mut file, 0, length.to_le_bytes());
            hostile.push(file);
        }
        let mut max_peak_bytes = 0;
        for (n, file) in hostile.iter().enumerate() {
            max_peak_bytes = max_peak_bytes.max(peak_bytes_of(|| {
                assert!(Bundle::from_bytes(file).is_err(), "hostile bundle {n}");
            }));
        }
        assert!(max_peak_bytes < 2 << 20, "{max_peak_bytes} bytes");
        max_peak_bytes.to_string()
    });
    outcome.answer.unwrap();
}

#[test]
fn invalid_header_fields_are_refused_with_their_values() {
    let (_, plain) = small_file();
    let refused = |what: &str, change: &dyn Fn(&mut Vec<u8>), part: &str| {
        let mut file = plain.clone();
        change(&mut file);
        let message = nifti::read(&file).expect_err(what).to_string();
        assert!(message.contains(part), "{what}: {message}");
    };
    let float =
        |at: usize, value: f32| move |file: &mut Vec<u8>| put(file, at, value.to_le_bytes());
    let short =
        |at: usize, value: i16| move |file: &mut Vec<u8>| put(file, at, value.to_le_bytes());
    refused("sform", &float(280, f32::NAN), "finite");
    refused("sform", &float(280, 0.0), "inverted");
    refused("sform", &float(280, 1e-30), "0.0001");
    refused("voxel offset", &float(108, -1.0), "byte");
    refused("voxel offset", &float(108, f32::NAN), "byte");
    refused("voxel offset", &float(108, 1e9), "bytes");
    let unstated = |spacing: f32| {
        move |file: &mut Vec<u8>| {
            put(file, 254, [0; 2]);
            put(file, 84, spacing.to_le_bytes());
        }
    };
    refused("the only spacing", &unstated(f32::NAN), "finite");
    refused("the only spacing", &unstated(1e-30), "0.0001");
    refused("type", &short(70, 128), "RGB");
    refused("type", &short(70, 1536), "128-bit");
    refused("type", &short(70, 12345), "12345");
    let pair = |file: &mut Vec<u8>| {
        put(file, 344, *b"ni1\0");
        put(file, 108, 0f32.to_le_bytes());
    };
    refused("signature", &pair, ".hdr/.img");
    refused("size", &|file| put(file, 0, [0; 4]), "348 or 540");
    let mut unscaled = plain.clone();
    put(&mut unscaled, 112, 0f32.to_le_bytes());
    put(&mut unscaled, 116, f32::NAN.to_le_bytes());
    assert_eq!(nifti::read(&unscaled).unwrap()[0].values()[3], 3.0, "slope 0 means no scale");
}

#[test]
fn values_that_are_not_labels_are_listed() {
    let grid = Grid::new([3, 2, 1], Affine::IDENTITY);
    let read = |voxels: [f32; 6]| {
        let volume = Volume::new(grid.clone(), voxels.to_vec()).unwrap();
        nifti::read_labels(&nifti::write_volumes(&[volume]).unwrap())
    };
    let almost_one = 0.999_999_9;
    assert_eq!(read([0., 1., 255., 3., 4., almost_one]).unwrap().labels(), [0, 1, 255, 3, 4, 1]);
    let error = read([0., 0.5, -1., 256., 0.5, f32::NAN]).unwrap_err();
    assert!(matches!(error, Error::Labels { .. }));
    assert!(error.to_string().contains("[0.5, -1.0, 256.0, NaN]"), "{error}");
}

#[test]
fn a_stored_placement_is_checked() {
    let grid = Grid::new([4; 3], Affine::IDENTITY);
    let source = serde_json::to_string(&grid).unwrap();
    let with = |numbers: &str| {
        serde_json::from_str::<Placement>(&format!(r#"{{"source":{source},{numbers}}}"#))
    };
    let plain = r#""crop_start":[0,0,0],"crop_dims":[4,4,4],"scaled_dims":[4,4,4],
        "pad_before":[0,0,0],"dims":[4,4,4]"#;
    assert!(with(plain).is_ok());
    let huge = "18446744073709551615";
    for (from, to) in [("[0,0,0]", "[1,0,0]"), ("[4,4,4]", "[0,4,4]"), ("[4,4,4]", "[4,4,5]")] {
        assert!(with(&plain.replacen(from, to, 1)).is_err(), "{from} {to}");
    }
    for axis in ["[0,", "[4,"] {
        assert!(with(&plain.replace(axis, &format!("[{huge},"))).is_err(), "{axis}");
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false => files.push(path),
        }
    }
    files.sort();
    files
}

/// The valid files of the folder, with their dimensions and channels.
const READABLE: [(&str, [usize; 3], usize); 10] = [
    ("dmri_oeslle.nii.gz", [33, 33, 19], 4),
    ("f32.nii.gz", [11, 11, 11], 1),
    ("minimal.nii", [64, 64, 10], 1),
    ("minimal.nii.gz", [64, 64, 10], 1),
    ("minimal_extended_hdr.nii", [8, 8, 1], 1),
    ("rii_5D_small.nii", [1, 2, 3], 3),
    ("rii_5D_zeros.nii.gz", [256, 256, 170], 3),
    ("rii_avg152T1_LR_nifti2.nii.gz", [91, 109, 91], 1),
    ("rii_with_extension.nii.gz", [161, 191, 151], 1),
    ("zstat1.nii.gz", [64, 64, 21], 1),
];

#[test]
fn unusual_files_are_read_or_refused_as_expected() {
    let Some(folder) = data("edge") else { return };
    for path in files_below(&folder) {
        let name = path.strip_prefix(&folder).unwrap().to_str().unwrap();
        let last = path.file_name().unwrap().to_str().unwrap();
        let result = nifti::read(&fs::read(&path).unwrap());
        let expected = READABLE.into_iter().find(|(file, ..)| *file == last);
        let expected = expected.map(|(_, dims, channels)| (dims, channels)).or(match name {
            "rii_big.nii.gz" | "rii_little.nii.gz" => Some(([64, 64, 21], 1)),
            _ => name.starts_with("nifti-rs/27/").then_some(([3, 3, 3], 1)),
        });
        let message = match name.split(['/', '.']).collect::<Vec<_>>().as_slice() {
            ["nifti-rs", "complex", ..] => "complex",
            ["nifti-rs", "rgb", ..] => "RGB",
            ["nifti-rs", "rgba", ..] => "RGBA",
            [.., "hdr"] | [.., "hdr", "gz"] => ".hdr/.img",
            _ => "expected",
        };
        match (result, expected) {
            (Ok(volumes), Some(expected)) => {
                assert_eq!((volumes[0].grid().dims, volumes.len()), expected, "{name}");
            }
            (Err(error), None) => assert!(error.to_string().contains(message), "{name}: {error}"),
            (result, _) => panic!("{name}: {:?}", result.map(|volumes| volumes.len())),
        }
    }
}
