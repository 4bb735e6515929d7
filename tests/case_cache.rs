//! The case cache preprocesses each case once, survives damage and interruption, and keeps within
//! its memory limit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use integration_tests::{held_bytes, in_child_process, take_peak_bytes};
use model_core::{Foreground, PreprocessConfig, UNetConfig};
use trainer_data::cases::Cases;
use trainer_data::data_set::DataSet;
use trainer_data::patches::{Batch, batch, batches, num_workers};
use trainer_run::config::TrainConfig;
use trainer_run::reporter::Silent;

/// The environment variable with the data set's folder, for a process that fills the cache.
const DATA: &str = "REWIND_CACHE_TEST_DATA";
const SIZE: usize = 40;

fn network() -> UNetConfig {
    let demo = UNetConfig::preset("demo", 4, 3).unwrap();
    demo.with(|demo| (demo.widths, demo.groups) = (vec![8, 16], Some(4))).unwrap()
}

fn config(data: &Path) -> TrainConfig {
    TrainConfig {
        cache: Some(data.with_file_name("cache")),
        batch: 3,
        patch: [16, 24, 16],
        preprocess: PreprocessConfig {
            foreground: Foreground::Nonzero,
            ..PreprocessConfig::default()
        },
        ..TrainConfig::default()
    }
}

fn open(data: &Path, config: &TrainConfig) -> anyhow::Result<Cases> {
    let data_set = DataSet::open(data, None, &Silent)?;
    Ok(Cases::open(data_set, config, &network(), &AtomicBool::new(false), Arc::new(Silent))?
        .expect("not stopped"))
}

fn phantoms(count: usize) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    trainer_data::phantom::write(&data, count, 1, SIZE, &Silent).unwrap();
    (folder, data)
}

/// Returns the cache's files with their modification times.
fn cached(data: &Path) -> Vec<(PathBuf, SystemTime)> {
    let entries = fs::read_dir(data.with_file_name("cache/cases")).into_iter().flatten().flatten();
    let complete = entries.filter(|entry| entry.path().extension().is_some());
    let mut files: Vec<_> =
        complete.map(|e| (e.path(), e.metadata().unwrap().modified().unwrap())).collect();
    files.sort();
    files
}

fn are_equal(a: &Batch, b: &Batch) -> bool {
    (a.number, &a.values, &a.labels, &a.cases) == (b.number, &b.values, &b.labels, &b.cases)
}

#[test]
fn a_case_is_preprocessed_once_and_is_the_same_from_the_cache() {
    let (_folder, data) = phantoms(3);
    let config = config(&data);
    let first = open(&data, &config).unwrap();
    let before = cached(&data);
    assert_eq!(before.len(), 3);
    let second = open(&data, &config).unwrap();
    assert_eq!(cached(&data), before);
    assert_eq!(second.fingerprint, first.fingerprint);
    for number in 0..3 {
        assert!(*first.load(number).unwrap() == *second.load(number).unwrap());
        let case = DataSet::open(&data, None, &Silent).unwrap().read(number).unwrap().case;
        assert!(second.reference(number).unwrap() == *case.labels().unwrap());
    }
    // The same scans in another folder are the same cases. With other settings they are other
    // cases.
    let moved = data.with_file_name("moved");
    fs::rename(&data, &moved).unwrap();
    assert_eq!(open(&moved, &config).unwrap().fingerprint, first.fingerprint);
    assert_eq!(cached(&data), before);
    let preprocess = PreprocessConfig { crop: true, ..config.preprocess.clone() };
    open(&moved, &TrainConfig { preprocess, ..config.clone() }).unwrap();
    assert_eq!(cached(&data).len(), 6);
    // Another scan under the same name is another case.
    fs::copy(
        moved.join("imagesTr/phantom_00002.nii.gz"),
        moved.join("imagesTr/phantom_00001.nii.gz"),
    )
    .unwrap();
    assert_ne!(open(&moved, &config).unwrap().fingerprint, first.fingerprint);
    assert_eq!(cached(&data).len(), 7);
}

#[test]
fn damaged_and_missing_cache_files_are_replaced() {
    let (_folder, data) = phantoms(3);
    let config = TrainConfig { memory_gib: 0.02, ..config(&data) };
    let cases = open(&data, &config).unwrap();
    let expected: Vec<_> = (0..3).map(|number| cases.load(number).unwrap().clone()).collect();
    let references: Vec<_> = (0..3).map(|number| cases.reference(number).unwrap()).collect();
    let files: Vec<PathBuf> = cached(&data).into_iter().map(|(file, _)| file).collect();
    let contents: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let damage_all = || {
        let mut damaged = contents[0].clone();
        let last = damaged.len() - 9;
        damaged[last] ^= 1;
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        fs::write(&files[0], damaged).unwrap();
        fs::write(&files[1], &contents[1][..1000]).unwrap();
        fs::remove_file(&files[2]).unwrap();
    };
    let check = |cases: &Cases| {
        for (number, expected) in expected.iter().enumerate() {
            assert!(*cases.load(number).unwrap() == *expected);
        }
        assert!(
            files.iter().zip(&contents).all(|(file, content)| fs::read(file).unwrap() == *content)
        );
    };
    damage_all();
    let cases = open(&data, &config).unwrap();
    check(&cases);
    // The damage happens during a run, before the cases are in memory.
    let cases = open(&data, &config).unwrap();
    damage_all();
    check(&cases);
    let cases = open(&data, &config).unwrap();
    damage_all();
    let again = (0..3).map(|number| cases.reference(number).unwrap());
    assert!(again.eq(references));
}

#[test]
fn changed_scans_are_never_cached_under_the_digest_of_the_old_scans() {
    let (_folder, data) = phantoms(3);
    let config = config(&data);
    let cases = open(&data, &config).unwrap();
    let before = cached(&data);
    fs::remove_dir_all(data.with_file_name("cache/cases")).unwrap();
    fs::create_dir(data.with_file_name("cache/cases")).unwrap();
    let scan = |number: usize| data.join(format!("imagesTr/phantom_0000{number}.nii.gz"));
    let name = cases.name(0).to_string();
    let other = if scan(1).to_string_lossy().contains(&name) { scan(2) } else { scan(1) };
    fs::copy(other, data.join(format!("imagesTr/{name}.nii.gz"))).unwrap();
    for error in [cases.load(0).err().unwrap(), cases.reference(0).unwrap_err()] {
        let error = format!("{error:#}");
        assert!(error.contains("files that stay as they are") && error.contains(&name), "{error}");
    }
    assert_eq!(cached(&data), [], "the new files are not cached under the digest of the old files");
    assert!(cases.load(1).is_ok());
    // In a new run, the new files are other cases.
    open(&data, &config).unwrap();
    assert_eq!(
        cached(&data).iter().filter(|(file, _)| before.iter().any(|b| b.0 == *file)).count(),
        2
    );
}

/// The cache can be removed at any time, also during a run, and where it cannot be created again.
#[test]
fn a_run_continues_after_its_cache_was_removed() {
    let (_folder, data) = phantoms(3);
    let config = TrainConfig { memory_gib: 0.007, ..config(&data) };
    let cases = open(&data, &config).unwrap();
    let before = cached(&data);
    let expected: Vec<_> = (0..3).map(|number| cases.load(number).unwrap().clone()).collect();
    let cache = data.with_file_name("cache");
    // In a new run, no case is in memory.
    let cases = open(&data, &config).unwrap();
    fs::remove_dir_all(&cache).unwrap();
    for (number, expected) in expected.iter().enumerate() {
        assert!(*cases.load(number).unwrap() == *expected);
    }
    let names = |cached: Vec<(PathBuf, SystemTime)>| cached.into_iter().map(|(f, _)| f);
    assert!(names(cached(&data)).eq(names(before)), "the cache was created again");
    // The next run uses this cache.
    let again = open(&data, &config).unwrap();
    fs::remove_dir_all(&cache).unwrap();
    fs::write(&cache, "a file with the name of the cache").unwrap();
    for _ in 0..2 {
        for (number, expected) in expected.iter().enumerate() {
            assert!(*again.load(number).unwrap() == *expected);
            again.reference(number).unwrap();
        }
    }
    let error = format!("{:#}", open(&data, &config).err().unwrap());
    assert!(error.contains("--set cache=FOLDER") && error.contains("cache)"), "{error}");
}

/// A cache is safe to remove, so a folder with other files must not become a cache.
#[test]
fn a_folder_with_other_files_is_refused_as_a_cache() {
    let (_folder, data) = phantoms(1);
    let cache = data.with_file_name("cache");
    fs::create_dir_all(cache.join("cases")).unwrap();
    let scan = cache.join("cases/.first-scan.nii.gz");
    let file = fs::File::create(&scan).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(100 * 3600)).unwrap();
    let error = format!("{:#}", open(&data, &config(&data)).err().unwrap());
    for part in ["found cases in it", "--set cache=FOLDER", "cache)"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert!(scan.exists() && fs::read_dir(&cache).unwrap().count() == 1);
    fs::remove_dir_all(cache.join("cases")).unwrap();
    open(&data, &config(&data)).unwrap();
}

#[test]
fn several_runs_can_fill_a_new_cache_at_the_same_time() {
    let (_folder, data) = phantoms(4);
    let config = config(&data);
    for _ in 0..5 {
        let _ = fs::remove_dir_all(data.with_file_name("cache"));
        std::thread::scope(|scope| {
            let runs = [(); 4].map(|()| scope.spawn(|| open(&data, &config).unwrap().fingerprint));
            let fingerprints = runs.map(|thread| thread.join().unwrap());
            assert!(fingerprints.iter().all(|fingerprint| *fingerprint == fingerprints[0]));
        });
        assert_eq!(cached(&data).len(), 4);
    }
}

/// Starts a process that fills the cache.
fn start_filling(data: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "case_cache::killed_preprocessing_continues_where_it_stopped"]);
    command.args(["--nocapture", "--test-threads=1"]).env(DATA, data);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn killed_preprocessing_continues_where_it_stopped() {
    if let Some(data) = std::env::var_os(DATA) {
        let data = PathBuf::from(data);
        open(&data, &config(&data)).unwrap();
        return;
    }
    let (_folder, data) = phantoms(12);
    let mut before = Vec::new();
    for count in [2, 6] {
        let mut process = start_filling(&data);
        let started = Instant::now();
        while cached(&data).len() < count {
            assert!(started.elapsed() < Duration::from_secs(60), "{} cases", cached(&data).len());
            std::thread::sleep(Duration::from_micros(200));
        }
        process.kill().unwrap(); // SIGKILL on Unix
        process.wait().unwrap();
        let now = cached(&data);
        assert!(
            before.iter().all(|file| now.contains(file)),
            "a cached case was preprocessed again"
        );
        before = now;
    }
    let cases = open(&data, &config(&data)).unwrap();
    assert!(before.iter().all(|file| cached(&data).contains(file)));
    assert_eq!(cached(&data).len(), 12);
    (0..12).for_each(|number| drop(cases.load(number).unwrap()));

    // A request to stop ends the preprocessing with `None`.
    fs::remove_dir_all(data.with_file_name("cache")).unwrap();
    let stop = AtomicBool::new(false);
    let data_set = DataSet::open(&data, None, &Silent).unwrap();
    std::thread::scope(|scope| {
        let opened = scope
            .spawn(|| Cases::open(data_set, &config(&data), &network(), &stop, Arc::new(Silent)));
        while cached(&data).is_empty() {
            std::thread::sleep(Duration::from_micros(200));
        }
        stop.store(true, Ordering::Relaxed);
        assert!(opened.join().unwrap().unwrap().is_none());
    });
    assert!(cached(&data).len() < 12);
}

#[test]
fn all_bad_cases_are_in_one_error() {
    let (_folder, data) = phantoms(4);
    fs::write(data.join("imagesTr/phantom_00001.nii.gz"), b"no scan").unwrap();
    fs::remove_file(data.join("labelsTr/phantom_00003.nii.gz")).unwrap();
    // The same error names the cases that exceed the memory limit.
    let tight = TrainConfig { memory_gib: 0.001, ..config(&data) };
    let error = format!("{:#}", open(&data, &tight).err().unwrap());
    for part in ["4 of 4 cases", "memory_gib of at least", "phantom_00002", "phantom_00003"] {
        assert!(error.contains(part), "{error}");
    }
    let error = format!("{:#}", open(&data, &config(&data)).err().unwrap());
    for part in ["2 of 4 cases", "imagesTr/phantom_00001.nii.gz", "labelsTr/phantom_00003.nii.gz"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!error.contains("phantom_00002"), "{error}");
    // The good cases are in the cache.
    assert_eq!(cached(&data).len(), 2);
}

/// The limit is a quarter of the memory of all cases.
#[test]
fn memory_stays_within_its_limit_for_any_number_of_cases() {
    let limit = 8 << 20;
    let outcome = in_child_process(
        "case_cache::memory_stays_within_its_limit_for_any_number_of_cases",
        "",
        |_| {
            let (_folder, data) = phantoms(30);
            let config = TrainConfig {
                memory_gib: limit as f64 / (1u64 << 30) as f64,
                batch: 1,
                patch: [16; 3],
                ..config(&data)
            };
            let before = held_bytes();
            take_peak_bytes();
            let cases = open(&data, &config).unwrap();
            let filling = take_peak_bytes() - before;
            let training: Vec<usize> = (0..30).collect();
            for batch in batches(&config, &cases, &training, 0..60, 3) {
                batch.unwrap();
            }
            let training = take_peak_bytes() - before;
            (0..30).for_each(|number| drop(cases.load(number).unwrap()));
            format!("{filling} {training} {}", cases.bytes())
        },
    );
    let answer = outcome.answer.unwrap();
    let numbers: Vec<usize> = answer.split(' ').map(|n| n.parse().unwrap()).collect();
    let [filling, training, all] = numbers[..] else { panic!("{answer}") };
    assert!(10 * all > 35 * limit, "expected more bytes than the limit, found {all}");
    // Additional memory: chunks of files, patches, and the decoder's buffers.
    let max_bytes = limit + (2 << 20);
    assert!(filling < max_bytes && training < max_bytes, "{filling}, {training}, limit {limit}");
    // The cache uses the memory that it may use.
    assert!(training > limit / 2, "{training}");
}

#[test]
fn a_memory_limit_below_every_case_is_an_error_with_the_needed_limit() {
    let (_folder, data) = phantoms(2);
    let tight = TrainConfig { memory_gib: 0.001, ..config(&data) };
    let error = format!("{:#}", open(&data, &tight).err().unwrap());
    assert!(
        error.contains("memory_gib of at least 0.0") && error.contains("phantom_0000"),
        "{error}"
    );
    let needed = error.split("at least ").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    let enough = TrainConfig { memory_gib: needed.parse().unwrap(), ..tight };
    open(&data, &enough).unwrap();
}

#[test]
fn batches_are_the_same_for_any_number_of_threads_and_any_memory_limit() {
    let (_folder, data) = phantoms(4);
    let plain = config(&data);
    let training = [0, 2, 3];
    let expected: Vec<Batch> = {
        let cases = open(&data, &plain).unwrap();
        (2..7).map(|number| batch(&plain, &cases, &training, number).unwrap()).collect()
    };
    fs::remove_dir_all(data.with_file_name("cache")).unwrap();
    for (workers, memory_gib) in [(1, 8.0), (3, 0.007), (8, 0.02)] {
        let config = TrainConfig { memory_gib, ..plain.clone() };
        let cases = open(&data, &config).unwrap();
        let mut pool = batches(&config, &cases, &training, 2..7, workers);
        for expected in &expected {
            assert!(are_equal(&pool.next().unwrap().unwrap(), expected), "{workers} threads");
        }
        assert!(pool.next().is_none());
        assert!(pool.wait_time() > Duration::ZERO);
    }
}

#[test]
fn dropping_the_batches_ends_their_threads_and_an_error_names_its_case() {
    let (_folder, data) = phantoms(3);
    let config = TrainConfig { batch: 1, ..config(&data) };
    let cases = open(&data, &config).unwrap();
    let mut pool = batches(&config, &cases, &[1], 0..1_000_000, 4);
    pool.next().unwrap().unwrap();
    drop(pool);
    // The cases of a new run are not in memory, and then they are removed from the disk.
    let cases = open(&data, &config).unwrap();
    fs::remove_dir_all(data.with_file_name("cache")).unwrap();
    fs::remove_file(data.join("imagesTr/phantom_00002.nii.gz")).unwrap();
    let mut pool = batches(&config, &cases, &[1], 0..10, 2);
    let error = format!("{:#}", pool.next().unwrap().err().unwrap());
    assert!(error.contains("phantom_00002"), "{error}");
    assert!(pool.next().is_none());
}

#[test]
fn at_most_four_threads_prepare_patches_for_training_on_the_cpu() {
    assert_eq!(num_workers(5, true), 5);
    let workers = num_workers(0, true);
    assert!((1..=4).contains(&workers), "{workers}");
}
