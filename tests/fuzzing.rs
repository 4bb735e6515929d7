//! The fuzzer finds every kind of failure, stores the input and continues.

use std::env;
use std::fs;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::time::Duration;

use integration_tests::fuzz::{Afterwards, FailureKind, Settings, Target, fuzz, replay};
use rand::Rng;

/// A reader with one failing first byte for each kind of failure.
fn read(bytes: &[u8]) -> Option<Afterwards> {
    match bytes {
        [250, ..] => panic!("as it should"),
        [251, ..] => drop(black_box(vec![1u8; 3000])),
        [252, ..] => std::thread::sleep(Duration::from_secs(600)),
        [253, ..] => std::process::abort(),
        [0..100, ..] => return Some(Box::new(|| {})),
        _ => {}
    }
    None
}

fn target(make: fn(u32) -> u8) -> Target {
    let make = Box::new(move |random: &mut rand_chacha::ChaCha8Rng| vec![make(random.next_u32())]);
    Target { name: "example", make, read, max_held_bytes: |bytes| 2000 + bytes.len() }
}

fn settings(out: &std::path::Path) -> Settings {
    Settings {
        iterations: 4000,
        seed: 1,
        duration: Duration::MAX,
        time_limit: Duration::from_millis(300),
        out: out.to_path_buf(),
    }
}

/// The environment variable with the folder of a run, for its child process.
const OUT: &str = "REWIND_FUZZING_OUT";

/// Runs the fuzzer. In the child process that the fuzzer starts, reads the inputs.
fn run(test: &str, target: &Target) -> (tempfile::TempDir, integration_tests::fuzz::Report) {
    let folder = tempfile::tempdir().unwrap();
    let out = env::var_os(OUT).map_or(folder.path().to_path_buf(), Into::into);
    let report = fuzz(target, &settings(&out), || {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", &format!("fuzzing::{test}"), "--test-threads=1"]);
        command.env(OUT, folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    });
    (folder, report.unwrap())
}

#[test]
fn every_kind_of_failure_is_found_and_can_be_replayed() {
    // One of a hundred inputs fails.
    let target = target(|number| match number % 100 {
        0 => 250 + (number / 100 % 4) as u8,
        _ => (number % 250) as u8,
    });
    let (_folder, report) = run("every_kind_of_failure_is_found_and_can_be_replayed", &target);
    let mut kinds: Vec<FailureKind> = report.failures.iter().map(|f| f.kind).collect();
    assert_eq!(kinds.len(), 16, "{report}");
    for failure in &report.failures {
        let input = fs::read(&failure.file).unwrap();
        assert_eq!(input, target.input(1, failure.number));
        let expected =
            [FailureKind::Panic, FailureKind::Memory, FailureKind::Time, FailureKind::Abort]
                [usize::from(input[0] - 250)];
        assert_eq!(failure.kind, expected, "{report}");
        if failure.kind == FailureKind::Memory {
            assert!(catch_unwind(AssertUnwindSafe(|| replay(&target, &failure.file))).is_err());
        }
    }
    kinds.sort_by_key(|kind| *kind as u8);
    kinds.dedup();
    assert_eq!(kinds.len(), 4, "{report}");
}

#[test]
fn a_run_without_failures_counts_the_inputs() {
    let target = target(|number| (number % 200) as u8);
    let (_folder, report) = run("a_run_without_failures_counts_the_inputs", &target);
    assert!(report.failures.is_empty(), "{report}");
    assert_eq!(report.num_inputs, 4000, "{report}");
    assert!((1800..2200).contains(&report.num_read), "{report}");
}
