//! What other software opens: bundles and ONNX files of trained networks.

pub mod bundle;
pub mod onnx;
