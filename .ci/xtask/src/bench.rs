//! `cargo xtask bench`: benchmarks that take more than one command.

pub mod browser;
pub mod engine;

/// Voxels along i, j, k.
#[derive(Clone, Copy)]
pub struct Size(pub [usize; 3]);

/// Parses a size such as 48x48x32.
///
/// # Errors
/// If the text is not three numbers with `x` between them.
fn parse_size(text: &str) -> Result<Size, String> {
    let numbers: Option<Vec<usize>> = text.split('x').map(|number| number.parse().ok()).collect();
    let size = numbers.and_then(|numbers| numbers.try_into().ok());
    size.map(Size).ok_or_else(|| format!("expected a size such as 48x48x32, found {text:?}"))
}
