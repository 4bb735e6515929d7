//! Exports trained networks as bundles and as ONNX files.

pub mod bundle;
pub mod onnx;
mod storage;
