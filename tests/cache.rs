//! The cases of a data set: preprocessed once, whatever happens, within a bound on memory, and
//! always the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use model_core::{Foreground, PreprocessConfig, UNetConfig};
use promises::{alone, held_bytes, take_peak_bytes};
use trainer_data::cases::Cases;
use trainer_data::data_set::DataSet;
use trainer_data::patches::{Batch, batch, batches, num_workers};
use trainer_run::config::TrainConfig;

/// The data set's folder, for a process that is to fill the cache.
const DATA: &str = "REWIND_CACHE_TEST_DATA";
const SIZE: usize = 40;

fn network() -> UNetConfig {
    UNetConfig { widths: vec![8, 16], groups: 4, ..UNetConfig::preset("demo", 4, 3).unwrap() }
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
    let data_set = DataSet::open(data, None)?;
    Ok(Cases::open(data_set, config, &network(), &AtomicBool::new(false))?.expect("not stopped"))
}

fn phantoms(count: usize) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    trainer_data::phantom::write(&data, count, 1, SIZE).unwrap();
    (folder, data)
}

/// The cases in the cache, with the time of their making.
fn cached(data: &Path) -> Vec<(PathBuf, SystemTime)> {
    let entries = fs::read_dir(data.with_file_name("cache/cases")).into_iter().flatten().flatten();
    let whole = entries.filter(|entry| entry.path().extension().is_some());
    let mut found: Vec<_> =
        whole.map(|e| (e.path(), e.metadata().unwrap().modified().unwrap())).collect();
    found.sort();
    found
}

fn same(a: &Batch, b: &Batch) -> bool {
    (a.number, &a.values, &a.labels, &a.cases) == (b.number, &b.values, &b.labels, &b.cases)
}

#[test]
fn what_was_preprocessed_once_is_not_again_and_is_the_same() {
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
        let case = DataSet::open(&data, None).unwrap().read(number).unwrap().case;
        assert!(second.reference(number).unwrap() == case.labels.unwrap());
    }
    // Elsewhere the same scans are the same cases; other settings are others.
    let moved = data.with_file_name("moved");
    fs::rename(&data, &moved).unwrap();
    assert_eq!(open(&moved, &config).unwrap().fingerprint, first.fingerprint);
    assert_eq!(cached(&data), before);
    let preprocess = PreprocessConfig { crop: true, ..config.preprocess.clone() };
    open(&moved, &TrainConfig { preprocess, ..config.clone() }).unwrap();
    assert_eq!(cached(&data).len(), 6);
    // Another scan in the same place is another case.
    fs::copy(
        moved.join("imagesTr/phantom_00002.nii.gz"),
        moved.join("imagesTr/phantom_00001.nii.gz"),
    )
    .unwrap();
    assert_ne!(open(&moved, &config).unwrap().fingerprint, first.fingerprint);
    assert_eq!(cached(&data).len(), 7);
}

#[test]
fn damaged_and_missing_cache_files_are_made_again() {
    let (_folder, data) = phantoms(3);
    let config = TrainConfig { memory_gib: 0.02, ..config(&data) };
    let cases = open(&data, &config).unwrap();
    let wanted: Vec<_> = (0..3).map(|number| cases.load(number).unwrap().clone()).collect();
    let references: Vec<_> = (0..3).map(|number| cases.reference(number).unwrap()).collect();
    let files: Vec<PathBuf> = cached(&data).into_iter().map(|(file, _)| file).collect();
    let whole: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let break_all = || {
        let mut damaged = whole[0].clone();
        let last = damaged.len() - 9;
        damaged[last] ^= 1;
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        fs::write(&files[0], damaged).unwrap();
        fs::write(&files[1], &whole[1][..1000]).unwrap();
        fs::remove_file(&files[2]).unwrap();
    };
    let check = |cases: &Cases| {
        for (number, wanted) in wanted.iter().enumerate() {
            assert!(*cases.load(number).unwrap() == *wanted);
        }
        assert!(files.iter().zip(&whole).all(|(file, whole)| fs::read(file).unwrap() == *whole));
    };
    break_all();
    let cases = open(&data, &config).unwrap();
    check(&cases);
    // Under a run's feet, before anything is in memory.
    let cases = open(&data, &config).unwrap();
    break_all();
    check(&cases);
    let cases = open(&data, &config).unwrap();
    break_all();
    let again = (0..3).map(|number| cases.reference(number).unwrap());
    assert!(again.eq(references));
}

#[test]
fn what_others_files_became_is_never_kept_as_what_they_were() {
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
    assert_eq!(cached(&data), [], "nothing of the new files under the old ones' name");
    assert!(cases.load(1).is_ok());
    // Opened anew, the new files are cases of their own.
    open(&data, &config).unwrap();
    assert_eq!(
        cached(&data).iter().filter(|(file, _)| before.iter().any(|b| b.0 == *file)).count(),
        2
    );
}

/// "Safe to remove", at any time: under a run's feet too, and where it cannot be made again.
#[test]
fn a_run_outlives_its_cache() {
    let (_folder, data) = phantoms(3);
    let config = TrainConfig { memory_gib: 0.007, ..config(&data) };
    let cases = open(&data, &config).unwrap();
    let before = cached(&data);
    let wanted: Vec<_> = (0..3).map(|number| cases.load(number).unwrap().clone()).collect();
    let cache = data.with_file_name("cache");
    // Opened anew, nothing is in memory.
    let cases = open(&data, &config).unwrap();
    fs::remove_dir_all(&cache).unwrap();
    for (number, wanted) in wanted.iter().enumerate() {
        assert!(*cases.load(number).unwrap() == *wanted);
    }
    let names = |cached: Vec<(PathBuf, SystemTime)>| cached.into_iter().map(|(f, _)| f);
    assert!(names(cached(&data)).eq(names(before)), "it was made again");
    // As a cache that the next run finds and takes.
    let again = open(&data, &config).unwrap();
    fs::remove_dir_all(&cache).unwrap();
    fs::write(&cache, "a file in its place").unwrap();
    for _ in 0..2 {
        for (number, wanted) in wanted.iter().enumerate() {
            assert!(*again.load(number).unwrap() == *wanted);
            again.reference(number).unwrap();
        }
    }
    let error = format!("{:#}", open(&data, &config).err().unwrap());
    assert!(error.contains("--set cache=FOLDER") && error.contains("cache)"), "{error}");
}

/// What it is called, "safe to remove", holds of no folder that holds anything else.
#[test]
fn a_folder_in_other_use_becomes_no_cache() {
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

/// Runs that start together on a new cache.
#[test]
fn a_cache_is_made_and_filled_by_several_at_once() {
    let (_folder, data) = phantoms(4);
    let config = config(&data);
    for _ in 0..5 {
        let _ = fs::remove_dir_all(data.with_file_name("cache"));
        std::thread::scope(|scope| {
            let all = [(); 4].map(|()| scope.spawn(|| open(&data, &config).unwrap().fingerprint));
            let all = all.map(|thread| thread.join().unwrap());
            assert!(all.iter().all(|fingerprint| *fingerprint == all[0]));
        });
        assert_eq!(cached(&data).len(), 4);
    }
}

fn filling(data: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "cache::a_killed_preprocessing_goes_on_where_it_was"]);
    command.args(["--nocapture", "--test-threads=1"]).env(DATA, data);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_killed_preprocessing_goes_on_where_it_was() {
    if let Some(data) = std::env::var_os(DATA) {
        let data = PathBuf::from(data);
        open(&data, &config(&data)).unwrap();
        return;
    }
    let (_folder, data) = phantoms(12);
    let mut kept = Vec::new();
    for count in [2, 6] {
        let mut process = filling(&data);
        let started = Instant::now();
        while cached(&data).len() < count {
            assert!(started.elapsed() < Duration::from_secs(60), "{} cases", cached(&data).len());
            std::thread::sleep(Duration::from_micros(200));
        }
        process.kill().unwrap(); // SIGKILL on Unix
        process.wait().unwrap();
        let now = cached(&data);
        assert!(kept.iter().all(|done| now.contains(done)), "what was done was done again");
        kept = now;
    }
    let cases = open(&data, &config(&data)).unwrap();
    assert!(kept.iter().all(|done| cached(&data).contains(done)));
    assert_eq!(cached(&data).len(), 12);
    (0..12).for_each(|number| drop(cases.load(number).unwrap()));

    // Asked to stop, it does, and says so.
    fs::remove_dir_all(data.with_file_name("cache")).unwrap();
    let stop = AtomicBool::new(false);
    let data_set = DataSet::open(&data, None).unwrap();
    std::thread::scope(|scope| {
        let opened = scope.spawn(|| Cases::open(data_set, &config(&data), &network(), &stop));
        while cached(&data).is_empty() {
            std::thread::sleep(Duration::from_micros(200));
        }
        stop.store(true, Ordering::Relaxed);
        assert!(opened.join().unwrap().unwrap().is_none());
    });
    assert!(cached(&data).len() < 12);
}

#[test]
fn every_bad_case_is_named_at_once() {
    let (_folder, data) = phantoms(4);
    fs::write(data.join("imagesTr/phantom_00001.nii.gz"), b"no scan").unwrap();
    fs::remove_file(data.join("labelsTr/phantom_00003.nii.gz")).unwrap();
    // With bad files, those that memory is too little for are named too.
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
    // The good ones are done.
    assert_eq!(cached(&data).len(), 2);
}

/// A quarter of what the cases take together.
#[test]
fn memory_stays_within_its_bound_however_many_cases_there_are() {
    let bound = 8 << 20;
    let outcome =
        alone("cache::memory_stays_within_its_bound_however_many_cases_there_are", "", |_| {
            let (_folder, data) = phantoms(30);
            let config = TrainConfig {
                memory_gib: bound as f64 / (1u64 << 30) as f64,
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
        });
    let answer = outcome.answer.unwrap();
    let numbers: Vec<usize> = answer.split(' ').map(|n| n.parse().unwrap()).collect();
    let [filling, training, all] = numbers[..] else { panic!("{answer}") };
    assert!(10 * all > 35 * bound, "expected more than fits, found {all}");
    // Besides cases: chunks of files, patches, and what decoding holds.
    let most = bound + (2 << 20);
    assert!(filling < most && training < most, "{filling} and {training} beside {bound}");
    // The bound is made use of, too.
    assert!(training > bound / 2, "{training}");
}

#[test]
fn a_bound_that_no_case_fits_says_what_is_needed() {
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
fn batches_are_the_same_for_any_number_of_threads_and_any_memory() {
    let (_folder, data) = phantoms(4);
    let plain = config(&data);
    let training = [0, 2, 3];
    let wanted: Vec<Batch> = {
        let cases = open(&data, &plain).unwrap();
        (2..7).map(|number| batch(&plain, &cases, &training, number).unwrap()).collect()
    };
    fs::remove_dir_all(data.with_file_name("cache")).unwrap();
    for (workers, memory_gib) in [(1, 8.0), (3, 0.007), (8, 0.02)] {
        let config = TrainConfig { memory_gib, ..plain.clone() };
        let cases = open(&data, &config).unwrap();
        let mut pool = batches(&config, &cases, &training, 2..7, workers);
        for wanted in &wanted {
            assert!(same(&pool.next().unwrap().unwrap(), wanted), "{workers} threads");
        }
        assert!(pool.next().is_none());
        assert!(pool.wait_time() > Duration::ZERO);
    }
}

#[test]
fn a_pool_ends_when_it_is_dropped_and_names_the_case_that_failed() {
    let (_folder, data) = phantoms(3);
    let config = TrainConfig { batch: 1, ..config(&data) };
    let cases = open(&data, &config).unwrap();
    let mut pool = batches(&config, &cases, &[1], 0..1_000_000, 4);
    pool.next().unwrap().unwrap();
    drop(pool);
    // Opened anew, nothing is in memory, and then nothing is left on disk.
    let cases = open(&data, &config).unwrap();
    fs::remove_dir_all(data.with_file_name("cache")).unwrap();
    fs::remove_file(data.join("imagesTr/phantom_00002.nii.gz")).unwrap();
    let mut pool = batches(&config, &cases, &[1], 0..10, 2);
    let error = format!("{:#}", pool.next().unwrap().err().unwrap());
    assert!(error.contains("phantom_00002"), "{error}");
    assert!(pool.next().is_none());
}

#[test]
fn few_threads_prepare_patches_beside_a_cpu_that_trains() {
    assert_eq!(num_workers(5, true), 5);
    let workers = num_workers(0, true);
    assert!((1..=4).contains(&workers), "{workers}");
}
