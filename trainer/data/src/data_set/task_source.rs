//! The source of a data set's task.

use model_core::Task;

/// The source of a data set's task.
pub(super) enum TaskSource {
    /// No task was given: the data set must state it.
    Unnamed,
    /// The user named a task: a data set that states a task must agree with it.
    Named(Task),
    /// The task of a model: used if the data set states none. A data set that states a task must
    /// have the model's channels.
    Model(Task),
}
