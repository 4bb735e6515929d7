//! Smaller maps from larger ones and back: pooling and up-sampling.

use model_core::{Buffer, Op, Weights};

use super::{SIZES, check, engine};

#[test]
fn pooling_and_upsampling_are_their_references() {
    let Some(engine) = engine() else { return };
    for dims in SIZES {
        for channels in [1, 3, 40] {
            let small = Buffer { channels, dims };
            let large = Buffer { channels, dims: dims.map(|d| 2 * d) };
            let none = Weights::new();
            check(&engine, large.clone(), small.clone(), &none, |from, to| Op::MaxPool {
                from,
                to,
            });
            check(&engine, small, large, &none, |from, to| Op::Upsample { from, to });
        }
    }
}
