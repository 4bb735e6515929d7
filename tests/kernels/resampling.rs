//! Changes of resolution: pooling, upsampling, space-to-depth, and the orthogonal convolution that
//! follows it.

use model_core::{Array, Buffer, Op, Program, View, Weights};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use shaders::reference;

use super::{FINE, SIZES, array, assert_close, check, engine, logits, random};

#[test]
fn pooling_and_upsampling_agree_with_their_references() {
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

#[test]
fn space_to_depth_and_its_inverse_agree_with_their_references() {
    let Some(engine) = engine() else { return };
    for dims in SIZES {
        for channels in [1, 3, 17] {
            let narrow = Buffer { channels: 8 * channels, dims };
            let wide = Buffer { channels, dims: dims.map(|d| 2 * d) };
            let none = Weights::new();
            check(&engine, wide.clone(), narrow.clone(), &none, |from, to| Op::SpaceToDepth {
                from,
                to,
            });
            check(&engine, narrow, wide, &none, |from, to| Op::DepthToSpace { from, to });
        }
    }
}

fn reflect(from: View, to: View, transposed: bool) -> Op {
    Op::Reflect { from, to, vectors: "v".into(), transposed }
}

/// The reference applies one reflection after the other, the engine multiplies by their matrix.
#[test]
fn an_orthogonal_convolution_agrees_with_its_reference() {
    let Some(engine) = engine() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    for dims in SIZES {
        for (num_vectors, channels) in [(1, 1), (1, 8), (3, 15), (40, 24)] {
            let mut vectors = array(&mut rng, &[num_vectors, channels]);
            if num_vectors > 1 {
                vectors.values[..channels].fill(0.0);
            }
            let weights = Weights::from([("v".to_string(), vectors)]);
            for transposed in [false, true] {
                let buffer = Buffer { channels, dims };
                check(&engine, buffer.clone(), buffer, &weights, |from, to| {
                    reflect(from, to, transposed)
                });
            }
        }
    }
}

/// Returns a reversible level: half of the channels are unchanged, the others go through
/// space-to-depth, an orthogonal convolution, and the inverses of both.
fn round_trip(channels: usize, dims: [usize; 3]) -> Program {
    let view = |buffer: usize, channels| View { buffer, channels };
    let (all, below) = (view(0, 0..2 * channels), 0..8 * channels);
    let moved = view(0, channels..2 * channels);
    let [squeezed, mixed] = [1, 2].map(|buffer| view(buffer, below.clone()));
    let narrow = Buffer { channels: 8 * channels, dims };
    let wide = Buffer { channels: 2 * channels, dims: dims.map(|d| 2 * d) };
    Program {
        buffers: vec![wide, narrow.clone(), narrow],
        ops: vec![
            Op::SpaceToDepth { from: moved.clone(), to: squeezed.clone() },
            reflect(squeezed.clone(), mixed.clone(), false),
            reflect(mixed, squeezed.clone(), true),
            Op::DepthToSpace { from: squeezed, to: moved },
        ],
        input: all.clone(),
        output: all,
    }
}

#[test]
fn a_reversible_level_restores_its_input() {
    let Some(engine) = engine() else { return };
    let mut rng = ChaCha8Rng::seed_from_u64(14);
    let (channels, dims) = (3, [5, 3, 7]);
    let program = round_trip(channels, dims);
    let vectors = array(&mut rng, &[8, 8 * channels]);
    let values = random(&mut rng, 2 * channels * program.buffers[0].num_voxels());
    let run = |program: &Program, vectors: Array| {
        logits(&engine, program, FINE, &Weights::from([("v".into(), vectors)]), &values)
    };
    assert_close(&run(&program, vectors.clone()), &values, 1e-5, "round trip");
    let zero = Array { shape: vec![1, 8 * channels], values: vec![0.0; 8 * channels] };
    assert_eq!(run(&program, zero), values, "without mixing no value changes");

    // The first half of the operations agrees with the reference.
    let mut program = program;
    program.ops.truncate(2);
    program.output = View { buffer: 2, channels: 0..8 * channels };
    let weights = Weights::from([("v".into(), vectors.clone())]);
    let expected = reference::run(&program, &weights, &values);
    assert_close(&run(&program, vectors), &expected, 1e-5, "halfway");
}
