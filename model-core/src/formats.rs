//! File formats: bytes in, values out, and back.

mod file_kind;
pub mod nifti;
mod text;

pub use file_kind::file_kind;
pub use text::text;
