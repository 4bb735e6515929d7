//! A data set: its task, and the files of each case.

use std::collections::BTreeMap;

use model_core::{DEFAULT_TOLERANCE_VOXELS, Task};

use super::case_files::CaseFiles;
use super::fault::Fault;
use super::layout::Layout;
use super::unused_files::UnusedFiles;

/// A data set: its task, and the files of each case.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSet {
    /// The data set's name.
    pub name: String,
    /// The data set's license, if it states one.
    pub license: Option<String>,
    /// The channels, labels and regions.
    pub task: Task,
    /// The layout of the files.
    pub layout: Layout,
    /// The cases with labels.
    pub cases: Vec<CaseFiles>,
    /// The cases without labels.
    pub unlabeled: Vec<CaseFiles>,
    /// Faults of further cases, found while the files were listed.
    pub faults: Vec<Fault>,
    /// Notes for the user.
    pub notes: Vec<String>,
    /// The patient of each case, by the case's name, as far as the data set states it.
    pub patients: BTreeMap<String, String>,
    /// Files beside the cases that are not used.
    pub unused_files: UnusedFiles,
    /// The largest distance between the files of one case, in voxels.
    pub tolerance_voxels: f64,
}

impl DataSet {
    /// Creates a data set from a list of cases.
    pub fn new(name: &str, task: Task, cases: Vec<CaseFiles>) -> DataSet {
        DataSet {
            name: name.to_string(),
            license: None,
            task,
            layout: Layout::Table,
            cases,
            unlabeled: Vec::new(),
            faults: Vec::new(),
            notes: Vec::new(),
            patients: BTreeMap::new(),
            unused_files: UnusedFiles::default(),
            tolerance_voxels: DEFAULT_TOLERANCE_VOXELS,
        }
    }
}
