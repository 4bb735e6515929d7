//! DICOM in every encoding, NRRD, MGH and Analyze give the geometry and the voxels that pydicom,
//! SimpleITK and nibabel read. `formats/golden.py` makes the files and the numbers.

#[path = "formats/golden.rs"]
mod golden;
