//! One training at a time writes a run's folder. A signal ends it at a checkpoint, and a full disk
//! loses nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use integration_tests::skipped;
use trainer_run::files::lock::{FolderLock, LOCK};
use trainer_run::reporter::Silent;
use trainer_run::run_folder::{Run, SETTINGS};
use trainer_train::train::{TrainJob, train};

use crate::commands::{output, rewind, rewind_in_script, send_signal, status_and_stderr, wait_for};
use crate::parallel::saved_steps;
use crate::training_to_prediction::{column, short};

/// A data set of phantoms, and the folders of a run and its cache.
struct Folders {
    folder: tempfile::TempDir,
    data: PathBuf,
    out: PathBuf,
    cache: String,
}

impl Folders {
    fn new() -> Folders {
        let folder = tempfile::tempdir().unwrap();
        let [data, out, cache] = ["data", "run", "cache"].map(|name| folder.path().join(name));
        trainer_data::phantom::write(&data, 3, 7, 32, &Silent).unwrap();
        Folders { folder, data, out, cache: format!("cache={:?}", cache.to_str().unwrap()) }
    }

    /// Returns the arguments of a training that takes longer than any test.
    fn words<'a>(&'a self, out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
        let mut words = vec!["train", "--device", "cpu", "--preset", "demo", "--patch", "16"];
        words.extend(["--data", self.data.to_str().unwrap(), "--out", out.to_str().unwrap()]);
        let settings = ["held_out=0.4", "steps=10000", "validate_every=10000", "log_every=1"];
        let settings = settings.into_iter().chain(["checkpoint_every=10000", &self.cache]);
        words.extend(settings.chain(more.iter().copied()).flat_map(|setting| ["--set", setting]));
        words
    }
}

fn steps(out: &Path) -> f64 {
    column(out, 0).last().copied().unwrap_or(0.0)
}

#[test]
fn a_second_training_in_the_same_folder_is_refused_with_the_process_id() {
    let folders = Folders::new();
    let out = &folders.out;
    let mut first = rewind(&folders.words(out, &[])).spawn().unwrap();
    wait_for(&mut first, || steps(out) >= 2.0);
    let held = format!("in use by process {} on ", first.id());
    let (code, stderr) = status_and_stderr(rewind(&folders.words(out, &[])));
    assert!(code == Some(1) && stderr.contains(&held), "{stderr}");
    assert!(stderr.contains("another --out") && stderr.contains(out.to_str().unwrap()), "{stderr}");
    // Another folder is not locked.
    let other = folders.folder.path().join("other");
    let (code, stderr) = status_and_stderr(rewind(&folders.words(&other, &["steps=1"])));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(!other.join(LOCK).exists());

    // A killed process leaves its lock file, which locks nothing.
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(fs::read_to_string(out.join(LOCK)).unwrap().contains(&first.id().to_string()));
    let mut next = rewind(&folders.words(out, &[])).spawn().unwrap();
    let holder = format!("process {} on ", next.id());
    wait_for(&mut next, || fs::read_to_string(out.join(LOCK)).is_ok_and(|s| s.contains(&holder)));
    send_signal("TERM", &next);
    assert_eq!(output(next).status.code(), Some(143));
    assert!(!out.join(LOCK).exists());
}

#[test]
fn a_cross_validation_locks_its_folder_and_its_current_fold() {
    let folders = Folders::new();
    let out = &folders.out;
    let words = folders.words(out, &["folds=3"]);
    let mut all = rewind(&words).spawn().unwrap();
    let first = trainer_run::cross_validation::folder(out, 0);
    wait_for(&mut all, || steps(&first) >= 1.0);
    let held = format!("in use by process {} on ", all.id());
    let one = folders.words(&first, &["folds=3", "fold=0"]);
    for words in [&words, &one] {
        let (code, stderr) = status_and_stderr(rewind(words));
        assert!(code == Some(1) && stderr.contains(&held), "{stderr}");
    }
    // Another fold is not locked.
    let second = trainer_run::cross_validation::folder(out, 1);
    let fold = ["folds=3", "fold=1", "steps=1"];
    let (code, stderr) = status_and_stderr(rewind(&folders.words(&second, &fold)));
    assert_eq!(code, Some(0), "{stderr}");
    send_signal("TERM", &all);
    assert_eq!(output(all).status.code(), Some(143));
}

#[test]
fn several_ranks_lock_their_folder_once() {
    let folders = Folders::new();
    let (data, out) = (&folders.data, &folders.out);
    let ranks = trainer_train::parallel::Ranks::named(None, Some("cpu,cpu"), out).unwrap();
    let go_on = AtomicBool::new(false);
    let run = || trainer_train::train::train_on(TrainJob::new(data, out), &short(), &ranks, &go_on);
    let lock = FolderLock::alone(out).unwrap();
    assert!(format!("{:#}", run().unwrap_err()).contains("in use by process"));
    drop(lock);
    let two =
        trainer_run::config::TrainConfig { steps: 2.into(), validate_every: 2.into(), ..short() };
    let outcome =
        trainer_train::train::train_on(TrainJob::new(data, out), &two, &ranks, &go_on).unwrap();
    assert!(outcome.finished);
}

#[test]
fn a_signal_stops_a_training_at_a_checkpoint_with_the_status_of_the_signal() {
    let folders = Folders::new();
    let out = &folders.out;
    let mut signals = vec![("TERM", 143), ("INT", 130)];
    match hangup_is_ignored() {
        true => skipped("HUP is ignored here, as under nohup"),
        false => signals.push(("HUP", 129)),
    }
    if cfg!(target_os = "linux") {
        signals.extend([("USR1", 138), ("USR2", 140)]);
    }
    for (n, (signal, code)) in signals.into_iter().enumerate() {
        let mut child = rewind(&folders.words(out, &[])).spawn().unwrap();
        let before = checkpoint_steps(out);
        wait_for(&mut child, || steps(out) >= before as f64 + 3.0);
        send_signal(signal, &child);
        if n == 0 {
            // Batch systems send a signal more than once.
            let _ = Command::new("kill").args(["-s", signal, &child.id().to_string()]).output();
        }
        let output = output(child);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{signal}: {stderr}");
        assert!(stderr.contains("stopping after this step"), "{signal}: {stderr}");
        let after = checkpoint_steps(out);
        assert!(after >= before + 3, "{signal}: {after} after {before}");
    }
}

/// Returns whether this process ignores SIGHUP. A child process inherits this from its parent.
fn hangup_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

/// Returns the number of steps of the last checkpoint.
fn checkpoint_steps(out: &Path) -> usize {
    if Run::find(out).unwrap().is_some() { saved_steps(out) } else { 0 }
}

#[test]
fn a_training_under_nohup_survives_a_hangup() {
    let folders = Folders::new();
    let out = &folders.out;
    let script = "trap '' HUP; exec \"$@\"";
    let mut child =
        rewind_in_script(&["sh"], script, out, &folders.words(out, &[])).spawn().unwrap();
    wait_for(&mut child, || steps(out) >= 1.0);
    send_signal("HUP", &child);
    let before = steps(out);
    wait_for(&mut child, || steps(out) >= before + 3.0);
    send_signal("TERM", &child);
    assert_eq!(output(child).status.code(), Some(143));
}

#[test]
fn settings_written_by_hand_in_the_run_folder_are_never_replaced() {
    let folders = Folders::new();
    let (data, out) = (&folders.data, &folders.out);
    let settings = "# learned the hard way: 3e-3 diverges\nlearning_rate = 1e-3\n";
    fs::create_dir(out).unwrap();
    fs::write(out.join(SETTINGS), settings).unwrap();
    let start =
        || train(TrainJob::new(data, out), &short(), &Device::flex(), &AtomicBool::new(true));
    let error = format!("{:#}", start().unwrap_err());
    assert!(error.contains("which is kept") && error.contains(SETTINGS), "{error}");
    assert_eq!(fs::read_to_string(out.join(SETTINGS)).unwrap(), settings);
    assert_eq!(fs::read_dir(out).unwrap().count(), 1, "no other file was written");
    fs::remove_file(out.join(SETTINGS)).unwrap();
    start().unwrap();
}

#[test]
fn an_unwritable_run_folder_is_reported_before_preprocessing() {
    let folders = Folders::new();
    let file = folders.folder.path().join("file");
    fs::write(&file, "a file").unwrap();
    let out = file.join("run");
    let (code, stderr) = status_and_stderr(rewind(&folders.words(&out, &[])));
    assert!(code == Some(1) && stderr.contains("cannot write into"), "{stderr}");
    assert!(!stderr.contains("preprocessed") && !folders.folder.path().join("cache").exists());
}

/// Returns a shell with mounts of its own, and the command that mounts a small file system at
/// `$FOLDER`.
///
/// Prints "skipped: …" and returns `None` if mounting is not permitted.
fn with_small_disk(size: &str) -> Option<(Vec<&'static str>, String)> {
    let shell = vec!["unshare", "--mount", "sh"];
    let mount = format!("mount -t tmpfs -o size={size} none \"$FOLDER\" || exit 99; ");
    let folder = tempfile::tempdir().unwrap();
    let mut probe = Command::new(shell[0]);
    probe.args(&shell[1..]).args(["-c", &mount]).env("FOLDER", folder.path());
    let status = probe.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !status.is_ok_and(|status| status.success()) {
        skipped("no permission to mount a small file system");
        return None;
    }
    Some((shell, mount))
}

#[test]
fn a_disk_that_is_too_small_for_the_run_is_reported_before_preprocessing() {
    let Some((shell, mount)) = with_small_disk("64k") else { return };
    let folders = Folders::new();
    let disk = folders.folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let out = disk.join("run");
    let script = mount + "\"$@\"";
    let (code, stderr) =
        status_and_stderr(rewind_in_script(&shell, &script, &disk, &folders.words(&out, &[])));
    assert!(
        code == Some(1) && stderr.contains("free disk space for the run's checkpoints"),
        "{stderr}"
    );
    assert!(!stderr.contains("preprocessed"), "{stderr}");
}

#[test]
fn a_full_disk_of_the_cache_is_an_error_that_names_the_setting_for_another_folder() {
    let Some((shell, mount)) = with_small_disk("700k") else { return };
    let folders = Folders::new();
    let disk = folders.folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let cache = format!("cache={:?}", disk.join("cache"));
    let words = folders.words(&folders.out, &[&cache]);
    let (code, stderr) =
        status_and_stderr(rewind_in_script(&shell, &(mount + "\"$@\""), &disk, &words));
    assert_eq!(code, Some(1), "{stderr}");
    for part in ["its disk is full", "--set cache=FOLDER", disk.to_str().unwrap()] {
        assert!(stderr.contains(part), "{part} in {stderr}");
    }
    assert!(!stderr.contains("cases cannot be used"), "{stderr}");
}

/// The disk becomes full during the run and has free space again before the second run.
#[test]
fn a_run_whose_disk_becomes_full_keeps_its_checkpoint_and_resumes_from_it() {
    let Some((shell, mount)) = with_small_disk("5m") else { return };
    let folders = Folders::new();
    let disk = folders.folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let out = disk.join("run");
    let more = ["steps=400", "checkpoint_every=5", "validate_every=400"];
    let words = folders.words(&out, &more);
    let script = mount
        + "\"$@\" 2>\"$FOLDER/../first_run\" & pid=$!\n\
           until [ -e \"$FOLDER/run/previous.safetensors\" ]; do kill -0 $pid || exit 98; sleep 0.02; done\n\
           cat /dev/zero >\"$FOLDER/ballast\" 2>/dev/null\n\
           wait $pid; [ $? = 1 ] || exit 97\n\
           cp \"$FOLDER\"/run/last.safetensors \"$FOLDER/../checkpoint\"\n\
           rm \"$FOLDER/ballast\"\n\
           \"$@\" >\"$FOLDER/../second_run\" 2>&1";
    let (code, stderr) = status_and_stderr(rewind_in_script(&shell, &script, &disk, &words));
    let read = |name: &str| {
        let bytes = fs::read(folders.folder.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let full = read("first_run");
    assert_eq!(code, Some(0), "{stderr}\n{full}\n{}", read("second_run"));
    for part in ["no room left for the run", "checkpoint after step", "the same command goes on"] {
        assert!(full.contains(part), "{part} in {full}");
    }
    assert!(read("second_run").contains("; resuming after step "), "{}", read("second_run"));
    assert!(read("second_run").contains("400 steps"), "{}", read("second_run"));
}
