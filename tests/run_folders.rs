//! A run's folder is written by one training at a time, which ends at a checkpoint when it is told
//! to, whoever tells it, and loses nothing to a full disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use promises::skipped;
use trainer_run::files::lock::{FolderLock, LOCK};
use trainer_run::run_folder::{Run, SETTINGS};
use trainer_train::train::{TrainJob, train};

use crate::commands::{ended, left, rewind, scripted, send, wait_for};
use crate::parallel::saved_steps;
use crate::training_path::{column, short};

/// Phantoms, and where a run goes.
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
        trainer_data::phantom::write(&data, 3, 7, 32).unwrap();
        Folders { folder, data, out, cache: format!("cache={:?}", cache.to_str().unwrap()) }
    }

    /// A training that goes on for longer than any test.
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
fn a_second_training_in_one_folder_is_refused_with_who_holds_it() {
    let folders = Folders::new();
    let out = &folders.out;
    let mut first = rewind(&folders.words(out, &[])).spawn().unwrap();
    wait_for(&mut first, || steps(out) >= 2.0);
    let held = format!("in use by process {} on ", first.id());
    let (code, said) = ended(rewind(&folders.words(out, &[])));
    assert!(code == Some(1) && said.contains(&held), "{said}");
    assert!(said.contains("another --out") && said.contains(out.to_str().unwrap()), "{said}");
    // In another folder there is no reason to wait.
    let other = folders.folder.path().join("other");
    let (code, said) = ended(rewind(&folders.words(&other, &["steps=1"])));
    assert_eq!(code, Some(0), "{said}");
    assert!(!other.join(LOCK).exists());

    // A killed one leaves its file, and nothing is locked by that.
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(fs::read_to_string(out.join(LOCK)).unwrap().contains(&first.id().to_string()));
    let mut next = rewind(&folders.words(out, &[])).spawn().unwrap();
    let holder = format!("process {} on ", next.id());
    wait_for(&mut next, || fs::read_to_string(out.join(LOCK)).is_ok_and(|s| s.contains(&holder)));
    send("TERM", &next);
    assert_eq!(left(next).status.code(), Some(143));
    assert!(!out.join(LOCK).exists());
}

#[test]
fn all_folds_are_held_together_and_each_by_itself() {
    let folders = Folders::new();
    let out = &folders.out;
    let words = folders.words(out, &["folds=3"]);
    let mut all = rewind(&words).spawn().unwrap();
    let first = trainer_run::cross_validation::folder(out, 0);
    wait_for(&mut all, || steps(&first) >= 1.0);
    let held = format!("in use by process {} on ", all.id());
    let one = folders.words(&first, &["folds=3", "fold=0"]);
    for words in [&words, &one] {
        let (code, said) = ended(rewind(words));
        assert!(code == Some(1) && said.contains(&held), "{said}");
    }
    // Another fold is another run.
    let second = trainer_run::cross_validation::folder(out, 1);
    let fold = ["folds=3", "fold=1", "steps=1"];
    let (code, said) = ended(rewind(&folders.words(&second, &fold)));
    assert_eq!(code, Some(0), "{said}");
    send("TERM", &all);
    assert_eq!(left(all).status.code(), Some(143));
}

#[test]
fn several_ranks_hold_their_folder_once() {
    let folders = Folders::new();
    let (data, out) = (&folders.data, &folders.out);
    let ranks = trainer_train::parallel::Ranks::named(None, Some("cpu,cpu")).unwrap();
    let go_on = AtomicBool::new(false);
    let run = || trainer_train::train::train_on(TrainJob::new(data, out), &short(), &ranks, &go_on);
    let held = FolderLock::alone(out).unwrap();
    assert!(format!("{:#}", run().unwrap_err()).contains("in use by process"));
    drop(held);
    let two =
        trainer_run::config::TrainConfig { steps: 2.into(), validate_every: 2.into(), ..short() };
    let done =
        trainer_train::train::train_on(TrainJob::new(data, out), &two, &ranks, &go_on).unwrap();
    assert!(done.finished);
}

#[test]
fn whoever_asks_for_a_stop_gets_a_checkpoint_and_the_status_of_the_signal() {
    let folders = Folders::new();
    let out = &folders.out;
    let mut signals = vec![("TERM", 143), ("INT", 130)];
    match hangup_is_ignored() {
        true => skipped("HUP: whoever started these tests has it ignored, as nohup does"),
        false => signals.push(("HUP", 129)),
    }
    if cfg!(target_os = "linux") {
        signals.extend([("USR1", 138), ("USR2", 140)]);
    }
    for (n, (signal, code)) in signals.into_iter().enumerate() {
        let mut child = rewind(&folders.words(out, &[])).spawn().unwrap();
        let before = saved(out);
        wait_for(&mut child, || steps(out) >= before as f64 + 3.0);
        send(signal, &child);
        if n == 0 {
            // Batch systems send it more than once.
            let _ = Command::new("kill").args(["-s", signal, &child.id().to_string()]).output();
        }
        let output = left(child);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{signal}: {said}");
        assert!(said.contains("stopping after this step"), "{signal}: {said}");
        assert!(saved(out) >= before + 3, "{signal}: {} after {before}", saved(out));
    }
}

/// A process begins with the signals ignored that the one before it ignored.
fn hangup_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

fn saved(out: &Path) -> usize {
    if Run::find(out).unwrap().is_some() { saved_steps(out) } else { 0 }
}

/// As `nohup` has it.
#[test]
fn a_training_that_is_to_outlive_its_terminal_does() {
    let folders = Folders::new();
    let out = &folders.out;
    let script = "trap '' HUP; exec \"$@\"";
    let mut child = scripted(&["sh"], script, out, &folders.words(out, &[])).spawn().unwrap();
    wait_for(&mut child, || steps(out) >= 1.0);
    send("HUP", &child);
    let then = steps(out);
    wait_for(&mut child, || steps(out) >= then + 3.0);
    send("TERM", &child);
    assert_eq!(left(child).status.code(), Some(143));
}

/// A folder is prepared, and settings are written by hand where the run is to be.
#[test]
fn settings_that_rewind_did_not_write_are_kept() {
    let folders = Folders::new();
    let (data, out) = (&folders.data, &folders.out);
    let own = "# learned the hard way: 3e-3 diverges\nlearning_rate = 1e-3\n";
    fs::create_dir(out).unwrap();
    fs::write(out.join(SETTINGS), own).unwrap();
    let start =
        || train(TrainJob::new(data, out), &short(), &Device::flex(), &AtomicBool::new(true));
    let error = format!("{:#}", start().unwrap_err());
    assert!(error.contains("which is kept") && error.contains(SETTINGS), "{error}");
    assert_eq!(fs::read_to_string(out.join(SETTINGS)).unwrap(), own);
    assert_eq!(fs::read_dir(out).unwrap().count(), 1, "nothing is left beside it");
    fs::remove_file(out.join(SETTINGS)).unwrap();
    start().unwrap();
}

#[test]
fn a_folder_that_cannot_be_written_is_told_before_anything_is_preprocessed() {
    let folders = Folders::new();
    let file = folders.folder.path().join("file");
    fs::write(&file, "a file").unwrap();
    let out = file.join("run");
    let (code, said) = ended(rewind(&folders.words(&out, &[])));
    assert!(code == Some(1) && said.contains("cannot write into"), "{said}");
    assert!(!said.contains("preprocessed") && !folders.folder.path().join("cache").exists());
}

/// A shell whose file systems are its own, with a tiny one at `$FOLDER`; none where the system does
/// not let us.
fn with_small_disk(size: &str) -> Option<(Vec<&'static str>, String)> {
    let shell = vec!["unshare", "--mount", "sh"];
    let mount = format!("mount -t tmpfs -o size={size} none \"$FOLDER\" || exit 99; ");
    let folder = tempfile::tempdir().unwrap();
    let mut probe = Command::new(shell[0]);
    probe.args(&shell[1..]).args(["-c", &mount]).env("FOLDER", folder.path());
    let is_there = probe.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !is_there.is_ok_and(|status| status.success()) {
        skipped("no right to mount a small file system");
        return None;
    }
    Some((shell, mount))
}

#[test]
fn a_disk_without_room_for_the_run_is_told_before_anything_is_preprocessed() {
    let Some((shell, mount)) = with_small_disk("64k") else { return };
    let folders = Folders::new();
    let disk = folders.folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let out = disk.join("run");
    let script = mount + "\"$@\"";
    let (code, said) = ended(scripted(&shell, &script, &disk, &folders.words(&out, &[])));
    assert!(
        code == Some(1) && said.contains("free disk space for the run's checkpoints"),
        "{said}"
    );
    assert!(!said.contains("preprocessed"), "{said}");
}

#[test]
fn a_full_cache_is_no_fault_of_the_cases_and_names_the_setting_that_moves_it() {
    let Some((shell, mount)) = with_small_disk("700k") else { return };
    let folders = Folders::new();
    let disk = folders.folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let cache = format!("cache={:?}", disk.join("cache"));
    let words = folders.words(&folders.out, &[&cache]);
    let (code, said) = ended(scripted(&shell, &(mount + "\"$@\""), &disk, &words));
    assert_eq!(code, Some(1), "{said}");
    for part in ["its disk is full", "--set cache=FOLDER", disk.to_str().unwrap()] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!said.contains("cases cannot be used"), "{said}");
}

/// The disk fills up on the way, and is given room again.
#[test]
fn a_run_whose_disk_fills_up_keeps_its_checkpoint_and_goes_on_from_it() {
    let Some((shell, mount)) = with_small_disk("5m") else { return };
    let folders = Folders::new();
    let disk = folders.folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let out = disk.join("run");
    let more = ["steps=400", "checkpoint_every=5", "validate_every=400"];
    let words = folders.words(&out, &more);
    let script = mount
        + "\"$@\" 2>\"$FOLDER/../said\" & pid=$!\n\
           until [ -e \"$FOLDER/run/previous.safetensors\" ]; do kill -0 $pid || exit 98; sleep 0.02; done\n\
           cat /dev/zero >\"$FOLDER/ballast\" 2>/dev/null\n\
           wait $pid; [ $? = 1 ] || exit 97\n\
           cp \"$FOLDER\"/run/last.safetensors \"$FOLDER/../kept\"\n\
           rm \"$FOLDER/ballast\"\n\
           \"$@\" >\"$FOLDER/../went_on\" 2>&1";
    let (code, said) = ended(scripted(&shell, &script, &disk, &words));
    let read = |name: &str| {
        let bytes = fs::read(folders.folder.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let full = read("said");
    assert_eq!(code, Some(0), "{said}\n{full}\n{}", read("went_on"));
    for part in ["no room left for the run", "checkpoint after step", "the same command goes on"] {
        assert!(full.contains(part), "{part} in {full}");
    }
    assert!(read("went_on").contains("; resuming after step "), "{}", read("went_on"));
    assert!(read("went_on").contains("400 steps"), "{}", read("went_on"));
}
