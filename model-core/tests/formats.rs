//! DICOM in every encoding, NRRD, MGH and Analyze give the geometry and the voxels that pydicom,
//! SimpleITK and nibabel read. `formats/golden.py` makes the files and the numbers.

#[path = "formats/arrangement.rs"]
mod arrangement;
#[path = "formats/counting.rs"]
mod counting;
#[path = "formats/dicom.rs"]
mod dicom;
#[path = "formats/faults.rs"]
mod faults;
#[path = "formats/golden.rs"]
mod golden;
#[path = "formats/mutations.rs"]
mod mutations;
#[path = "formats/privacy.rs"]
mod privacy;
#[path = "formats/real_data.rs"]
mod real_data;
#[path = "formats/segmentation.rs"]
mod segmentation;
#[path = "formats/written_dicom.rs"]
mod written_dicom;
#[path = "formats/zip.rs"]
mod zip;
