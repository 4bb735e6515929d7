//! stub
use crate::{Error, Grid, Result, formats::nifti::Scan};
pub fn is_mgh(_start: &[u8]) -> bool {
    false
}
pub fn read(_b: &[u8]) -> Result<Scan> {
    Err(Error::format("", "", ""))
}
pub fn read_grid(_b: &[u8]) -> Result<(Grid, usize, Vec<String>)> {
    Err(Error::format("", "", ""))
}
