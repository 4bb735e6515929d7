//! Adds the missing cases to the cache on disk.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use anyhow::{Result, bail};

use super::cache_format;
use super::folder::CacheError;
use super::shared::{Cached, MemoryLimitTooSmall, Shared};
use trainer_run::reporter::TaskProgress;

/// Finds every case in the cache, preprocessing the missing ones. Returns `None` if stopped.
pub(super) fn fill_cache(shared: &Shared, stop: &AtomicBool) -> Result<Option<Vec<Cached>>> {
    let count = shared.data_set.num_cases();
    let work = Work {
        shared,
        stop,
        next: AtomicUsize::new(0),
        made: AtomicUsize::new(0),
        progress: shared.reporter.start_task("preparing cases", Some(count as u64)),
        is_unwritable: AtomicBool::new(false),
        results: Mutex::new((0..count).map(|_| None).collect()),
    };
    // Separate threads: a thread that waits for memory must not block one of rayon's.
    let threads = rayon::current_num_threads().clamp(1, count.max(1));
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(|| work.run()))));
    let Work { results, made, progress, .. } = work;
    drop(progress);
    let results = results.into_inner().expect("no thread panics while it holds this");
    if stop.load(Relaxed) {
        return Ok(None);
    }
    let cached = collect_cases(results.into_iter().flatten().collect())?;
    let (made, [files, bytes]) = (made.into_inner(), shared.folder.size());
    let folder = shared.folder.path().display();
    shared.warnings.lines().iter().for_each(|line| shared.reporter.message(line));
    shared.reporter.message(&format!(
        "cases: {count}, {made} of them preprocessed now; the cache holds {files} in {:.1} GiB \
         (safe to remove: {folder})",
        bytes as f64 / (1u64 << 30) as f64,
    ));
    Ok(Some(cached))
}

struct Work<'a> {
    shared: &'a Shared,
    stop: &'a AtomicBool,
    next: AtomicUsize,
    /// The number of cases that were preprocessed.
    made: AtomicUsize,
    progress: Box<dyn TaskProgress>,
    /// Whether the cache cannot be written.
    is_unwritable: AtomicBool,
    results: Mutex<Vec<Option<Result<Cached>>>>,
}

impl Work<'_> {
    /// Takes one case after the other until all are done.
    fn run(&self) {
        let count = self.shared.data_set.num_cases();
        while !self.stop.load(Relaxed) && !self.is_unwritable.load(Relaxed) {
            let number = self.next.fetch_add(1, Relaxed);
            if number >= count {
                return;
            }
            let result = self.case(number);
            if result.as_ref().is_err_and(|error| error.is::<CacheError>()) {
                // The next case would fail in the same way.
                self.is_unwritable.store(true, Relaxed);
            }
            self.results.lock().expect("no thread panics while it holds this")[number] =
                Some(result);
            self.progress.advance();
        }
    }

    fn case(&self, number: usize) -> Result<Cached> {
        let Shared { folder, data_set, preprocess, network, case_cache, .. } = self.shared;
        let case = &data_set.cases[number];
        let digest = folder.digest(case)?;
        let file = folder.case_file(&digest, &data_set.task, preprocess, network);
        let found = match file.exists() {
            false => None,
            true => cache_format::check(&file)
                .map_err(|error| {
                    let text = format!(
                        "{}: preprocessing it again, its cache file is unusable",
                        case.name
                    );
                    self.shared.reporter.message(&format!("{text}: {error:#}"));
                })
                .ok(),
        };
        let bytes = match found {
            Some(bytes) => bytes,
            None => {
                let _room = case_cache.reserve(self.shared.working_bytes(number)?);
                // The wait for memory may have been long.
                if self.stop.load(Relaxed) {
                    bail!("stopped");
                }
                self.made.fetch_add(1, Relaxed);
                let (prepared, reference) = self.shared.make(number, &digest)?;
                folder.write(&file, &prepared, &reference)?;
                prepared.bytes()
            }
        };
        self.shared.check_memory_limit(number, bytes)?;
        Ok(Cached { digest, file, bytes })
    }
}

/// Returns all cases, or one error that lists every bad case.
fn collect_cases(results: Vec<Result<Cached>>) -> Result<Vec<Cached>> {
    let count = results.len();
    let mut cached = Vec::with_capacity(count);
    let (mut bad, mut too_large) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(case) => cached.push(case),
            // No case is at fault, and the finished cases stay in the cache.
            Err(error) if error.is::<CacheError>() => return Err(error),
            Err(error) => match error.downcast::<MemoryLimitTooSmall>() {
                Ok(small) => too_large.push(small),
                Err(error) => bad.push(format!("  {error:#}")),
            },
        }
    }
    if !bad.is_empty() {
        bad.extend(too_large.iter().map(|small| format!("  {small}")));
        bail!("{} of {count} cases cannot be used:\n{}", bad.len(), bad.join("\n"));
    }
    match too_large.into_iter().max_by_key(|small| small.needed_bytes) {
        Some(largest) => Err(largest.into()),
        None => Ok(cached),
    }
}
