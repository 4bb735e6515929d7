//! Layouts of data sets.

/// The layout of a data set's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A `dataset.json` that lists images and labels.
    Decathlon,
    /// A `dataset.json` that lists `CASE.nii.gz` for the files `CASE_0000.nii.gz`, one a channel.
    NnunetV1,
    /// A `dataset.json` without a list. The names of the files tell the cases.
    NnunetV2,
    /// `ID_t1ce.nii.gz` and similar names, as until 2022.
    BratsUntil2022,
    /// `ID-t1c.nii.gz` and similar names, as since 2023.
    BratsSince2023,
    /// `subject-N-T1.hdr` and similar names.
    Iseg,
    /// A CSV with a row for each case.
    Table,
}

impl Layout {
    /// Returns the layout's name.
    pub fn name(self) -> &'static str {
        match self {
            Layout::Decathlon => "Medical Segmentation Decathlon",
            Layout::NnunetV1 => "nnU-Net raw (version 1)",
            Layout::NnunetV2 => "nnU-Net raw (version 2)",
            Layout::BratsUntil2022 => "BraTS, files named as until 2022",
            Layout::BratsSince2023 => "BraTS, files named as since 2023",
            Layout::Iseg => "iSeg",
            Layout::Table => "CSV of paths",
        }
    }
}
