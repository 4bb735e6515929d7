//! Runs that fail as scripted, without a GPU.

use std::cell::RefCell;
use std::collections::VecDeque;

use model_core::{Program, UNetConfig};

use super::*;

/// The results of successive attempts; later attempts succeed.
struct Script {
    failures: RefCell<VecDeque<Error>>,
    /// Bytes of every plan that was tried.
    tried: RefCell<Vec<u64>>,
    num_opened: RefCell<usize>,
}

struct Fake<'a> {
    script: &'a Script,
    is_lost: RefCell<bool>,
}

impl Gpu for Fake<'_> {
    fn is_lost(&self) -> bool {
        *self.is_lost.borrow()
    }

    async fn run(
        &self,
        plan: &Plan,
        _: &Weights,
        _: &[f32],
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Output, Error> {
        assert!(!self.is_lost(), "nothing is asked of a GPU that is lost");
        self.script.tried.borrow_mut().push(plan.footprint.total_bytes);
        let total = plan.multiply_adds();
        let progress = Progress {
            done_steps: 1,
            total_steps: plan.steps.len(),
            done_multiply_adds: total / 2,
            total_multiply_adds: total,
        };
        if on_progress(progress).is_break() {
            return Err(Error::Canceled);
        }
        let failure = self.script.failures.borrow_mut().pop_front();
        match failure {
            Some(error) => {
                *self.is_lost.borrow_mut() = matches!(error, Error::DeviceLost(_));
                Err(error)
            }
            None => Ok(Output::Labels(Vec::new())),
        }
    }
}

impl Script {
    fn new(failures: impl IntoIterator<Item = Error>) -> Script {
        let failures = RefCell::new(failures.into_iter().collect());
        Script { failures, tried: RefCell::default(), num_opened: RefCell::default() }
    }

    fn run<'a>(
        &'a self,
        session: &mut Session<Fake<'a>>,
        tell: &mut dyn FnMut(SessionEvent) -> ControlFlow<()>,
    ) -> Result<RunOutcome, Error> {
        let open = async || {
            *self.num_opened.borrow_mut() += 1;
            Ok(Fake { script: self, is_lost: RefCell::new(false) })
        };
        pollster::block_on(session.run(open, plan(), &Weights::new(), &[], tell))
    }

    fn sizes(&self) -> Vec<u64> {
        self.tried.borrow().clone()
    }
}

fn plan() -> Plan {
    let program = Program::new(&UNetConfig::preset("demo", 1, 2).unwrap(), [32; 3]).unwrap();
    Plan::within(&program, u64::MAX).unwrap()
}

fn no_memory() -> Error {
    Error::OutOfMemory { needed_bytes: 900 << 20, message: "no".into() }
}

fn lost() -> Error {
    Error::DeviceLost("reset".into())
}

fn go(_: SessionEvent) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn is_falling(sizes: &[u64]) -> bool {
    sizes.is_sorted_by(|a, b| a > b)
}

#[test]
fn without_memory_the_next_smaller_plan_runs_on_the_same_gpu_and_is_told() {
    let script = Script::new([no_memory(), no_memory()]);
    let mut told = Vec::new();
    let ran = script.run(&mut Session::default(), &mut |news| {
        if let SessionEvent::Fallback { fallback, next } = news {
            told.push((fallback.to_string(), next.footprint.total_bytes));
        }
        ControlFlow::Continue(())
    });
    let (ran, sizes) = (ran.unwrap(), script.sizes());
    assert_eq!(sizes.len(), 3);
    assert!(is_falling(&sizes), "{sizes:?}");
    assert_eq!(ran.plan.footprint.total_bytes, sizes[2]);
    assert_eq!(ran.fallbacks, vec![Fallback::OutOfMemory { needed_bytes: 900 << 20 }; 2]);
    let words = "the GPU had no 900 MiB".to_string();
    assert_eq!(told, [(words.clone(), sizes[1]), (words, sizes[2])]);
    assert_eq!(*script.num_opened.borrow(), 1);
}

#[test]
fn without_memory_for_the_smallest_plan_the_failure_says_so() {
    let script = Script::new(std::iter::repeat_n(no_memory(), 100));
    let failed = script.run(&mut Session::default(), &mut go);
    assert_eq!(failed, Err(no_memory()));
    let sizes = script.sizes();
    let smallest = *sizes.last().unwrap();
    assert!(is_falling(&sizes) && sizes.len() > 3, "{sizes:?}");
    assert!(Plan::within(&plan().program, smallest - 1).is_err());
}

#[test]
fn a_lost_gpu_is_opened_anew_once_with_a_smaller_plan() {
    let script = Script::new([lost()]);
    let mut session = Session::default();
    let ran = script.run(&mut session, &mut go).unwrap();
    assert_eq!(ran.fallbacks, [Fallback::DeviceLost { reason: "reset".into() }]);
    assert_eq!(*script.num_opened.borrow(), 2);
    let sizes = script.sizes();
    assert!(sizes.len() == 2 && is_falling(&sizes), "{sizes:?}");

    let script = Script::new([lost(), no_memory(), lost()]);
    let mut session = Session::default();
    assert_eq!(script.run(&mut session, &mut go), Err(lost()));
    assert_eq!(script.sizes().len(), 3);
    // The next run starts without fallbacks.
    assert!(script.run(&mut session, &mut go).unwrap().fallbacks.is_empty());
    assert_eq!(*script.num_opened.borrow(), 3);
}

#[test]
fn the_gpu_is_kept_for_the_next_run_unless_it_was_lost_meanwhile() {
    let script = Script::new([]);
    let mut session: Session<Fake> = Session::default();
    for (is_lost, num_opened) in [(false, 1), (false, 1), (true, 2)] {
        if let Some(gpu) = session.gpu() {
            *gpu.is_lost.borrow_mut() = is_lost;
        }
        let ran = script.run(&mut session, &mut go).unwrap();
        assert_eq!(*script.num_opened.borrow(), num_opened);
        // The plan is not changed by a loss between runs.
        assert_eq!((ran.plan, ran.fallbacks.len()), (plan(), 0));
    }
}

#[test]
fn a_person_who_cancels_waits_for_no_retry() {
    for stop_at in 0..3 {
        let script = Script::new([no_memory(), lost()]);
        let mut session = Session::default();
        let mut num_told = 0;
        let stopped = script.run(&mut session, &mut |_| {
            num_told += 1;
            if num_told > stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!((stopped, num_told), (Err(Error::Canceled), stop_at + 1));
        assert_eq!(session.gpu().is_some(), stop_at > 0, "what is open stays open");
    }
}

#[test]
fn other_failures_are_passed_on_at_once() {
    let refused = Error::Device("refused".into());
    let script = Script::new([refused.clone()]);
    assert_eq!(script.run(&mut Session::default(), &mut go), Err(refused));
    assert_eq!(script.sizes().len(), 1);
}
