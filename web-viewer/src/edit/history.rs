//! The steps that can be undone and done again.

use super::Change;

/// The most steps that can be undone.
const MAX_STEPS: usize = 50;
/// The memory of all steps together. The latest step is kept whatever it takes.
const MAX_BYTES: usize = 64 << 20;

/// A step: a change of labels, or a list before and after it.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<T> {
    /// Labels changed.
    Labels(Change),
    /// A list was replaced.
    List {
        /// The list before.
        before: Vec<T>,
        /// The list after.
        after: Vec<T>,
    },
}

impl<T> Step<T> {
    /// Returns the bytes that the step takes.
    fn num_bytes(&self) -> usize {
        match self {
            Step::Labels(change) => change.num_bytes(),
            Step::List { before, after } => (before.len() + after.len()) * size_of::<T>(),
        }
    }

    fn reversed(&self) -> Step<T>
    where
        T: Clone,
    {
        match self {
            Step::Labels(change) => Step::Labels(change.reversed()),
            Step::List { before, after } => {
                Step::List { before: after.clone(), after: before.clone() }
            }
        }
    }
}

/// The steps done and undone.
#[derive(Debug, Clone, PartialEq)]
pub struct History<T> {
    done: Vec<Step<T>>,
    undone: Vec<Step<T>>,
}

impl<T> Default for History<T> {
    fn default() -> History<T> {
        History { done: Vec::new(), undone: Vec::new() }
    }
}

impl<T: Clone> History<T> {
    /// Adds a step that was just done. What was undone before can no longer be done again.
    pub fn push(&mut self, step: Step<T>) {
        self.undone.clear();
        self.done.push(step);
        while self.done.len() > 1 && (self.done.len() > MAX_STEPS || self.num_bytes() > MAX_BYTES) {
            self.done.remove(0);
        }
    }

    /// Returns the step that takes the last one back, and marks it as undone.
    pub fn undo(&mut self) -> Option<Step<T>> {
        let step = self.done.pop()?;
        let reversed = step.reversed();
        self.undone.push(step);
        Some(reversed)
    }

    /// Returns the step that was undone last, and marks it as done.
    pub fn redo(&mut self) -> Option<Step<T>> {
        let step = self.undone.pop()?;
        self.done.push(step.clone());
        Some(step)
    }

    /// Returns whether a step can be undone.
    pub fn can_undo(&self) -> bool {
        !self.done.is_empty()
    }

    /// Returns whether a step can be done again.
    pub fn can_redo(&self) -> bool {
        !self.undone.is_empty()
    }

    /// Returns the bytes that all steps take.
    pub fn num_bytes(&self) -> usize {
        self.done.iter().chain(&self.undone).map(Step::num_bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(number: u8) -> Step<u8> {
        Step::List { before: vec![number], after: vec![number + 1] }
    }

    #[test]
    fn fifty_steps_are_undone_and_done_again() {
        let mut history = History::default();
        (0..60).for_each(|n| history.push(step(n)));
        for n in (10..60).rev() {
            let expected = Step::List { before: vec![n + 1], after: vec![n] };
            assert_eq!(history.undo(), Some(expected));
        }
        assert_eq!((history.undo(), history.can_undo()), (None, false));
        for n in 10..60 {
            assert_eq!(history.redo(), Some(step(n)));
        }
        assert_eq!(history.redo(), None);
    }

    #[test]
    fn a_new_step_ends_what_was_undone() {
        let mut history = History::default();
        (0..3).for_each(|n| history.push(step(n)));
        history.undo();
        assert!(history.can_redo());
        history.push(step(9));
        assert!(!history.can_redo());
        assert_eq!(history.undo(), Some(Step::List { before: vec![10], after: vec![9] }));
    }

    #[test]
    fn the_memory_is_bounded_and_the_latest_step_kept() {
        let mut history: History<u8> = History::default();
        for n in 0..4 {
            // Every second voxel: a run for each, the worst case.
            let mut labels = vec![0; 6 << 20];
            let every_second = (0..labels.len()).step_by(2);
            let change = Change::make(&mut labels, every_second, |_, _| 1 + n);
            history.push(Step::Labels(change));
            assert!(n == 0 || history.num_bytes() <= MAX_BYTES || history.done.len() == 1);
        }
        assert!(history.can_undo());
    }
}
