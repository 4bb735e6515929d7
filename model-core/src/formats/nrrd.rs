//! stub
use crate::{Error, Grid, Result, formats::nifti::Scan};
pub fn is_nrrd(_start: &[u8]) -> bool {
    false
}
pub fn read(_b: &[u8]) -> Result<Scan> {
    Err(Error::format("", "", ""))
}
pub fn read_grid(_b: &[u8]) -> Result<(Grid, usize)> {
    Err(Error::format("", "", ""))
}
