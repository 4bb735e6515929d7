//! Checks programs: consistent views and sizes, and no size too large to run.

use model_core::{Op, Program, View};

use crate::Error;
use crate::kernels::MAX_WORKGROUPS;

/// Upper bound of an axis, so that counts do not overflow.
const MOST_VOXELS: usize = 1 << 14;

pub fn check(program: &Program) -> Result<(), Error> {
    for view in [&program.input, &program.output] {
        check_view(program, view)?;
    }
    for op in &program.ops {
        let (from, to) = op.views();
        check_view(program, from)?;
        check_view(program, to)?;
    }
    check_sizes(program)?;
    for (index, op) in program.ops.iter().enumerate() {
        check_op(program, index, op)?;
    }
    Ok(())
}

fn check_view(program: &Program, view: &View) -> Result<(), Error> {
    let Some(buffer) = program.buffers.get(view.buffer) else {
        let expected = format!("views of {} buffers", program.buffers.len());
        return Err(Error::program(expected, format!("one of buffer {}", view.buffer)));
    };
    if view.channels.is_empty() || view.channels.end > buffer.channels {
        let expected =
            format!("some of the {} channels of buffer {}", buffer.channels, view.buffer);
        return Err(Error::program(expected, format!("channels {:?}", view.channels)));
    }
    if buffer.dims.contains(&0) {
        return Err(Error::program(
            "at least one voxel on each axis",
            format!("{:?}", buffer.dims),
        ));
    }
    Ok(())
}

fn check_sizes(program: &Program) -> Result<(), Error> {
    for buffer in &program.buffers {
        if buffer.channels > MAX_WORKGROUPS as usize {
            let expected = format!("at most {MAX_WORKGROUPS} channels");
            return Err(Error::program(expected, buffer.channels));
        }
        if buffer.dims.iter().any(|&d| d > MOST_VOXELS) {
            let expected = format!("at most {MOST_VOXELS} voxels along an axis");
            return Err(Error::program(expected, format!("{:?}", buffer.dims)));
        }
    }
    Ok(())
}

fn check_op(program: &Program, index: usize, op: &Op) -> Result<(), Error> {
    let (from, to) = op.views();
    let dims = |view: &View| program.buffers[view.buffer].dims;
    let (in_channels, out_channels) = (from.channels.len(), to.channels.len());
    let fail =
        |expected: &str| Err(Error::program(expected, format!("{op:?} (operation {index})")));
    let is_in_place = matches!(op, Op::GroupNorm { .. }) && from == to;
    if from.buffer == to.buffer && !is_in_place {
        return fail("an operation between two buffers");
    }
    let doubled = |view: &View| dims(view).map(|d| d * 2);
    let (fits, expected) = match op {
        Op::MaxPool { .. } | Op::SpaceToDepth { .. } => {
            (dims(from) == doubled(to), "an output of half the size")
        }
        Op::Upsample { .. } | Op::AddUpsampled { .. } | Op::DepthToSpace { .. } => {
            (doubled(from) == dims(to), "an output of twice the size")
        }
        _ => (dims(from) == dims(to), "an output of the input's size"),
    };
    if !fits {
        return fail(expected);
    }
    match op {
        Op::Pointwise { .. } | Op::Conv3 { .. } => Ok(()),
        Op::SpaceToDepth { .. } if out_channels != 8 * in_channels => {
            fail("eight channels for each")
        }
        Op::DepthToSpace { .. } if in_channels != 8 * out_channels => {
            fail("a channel for each eight")
        }
        Op::SpaceToDepth { .. } | Op::DepthToSpace { .. } => Ok(()),
        Op::GroupNorm { groups, .. } if out_channels.checked_rem(*groups) != Some(0) => {
            fail("groups that divide the channels")
        }
        Op::Decide { codes, .. } => {
            let is_last = index + 1 == program.ops.len() && program.output == *to;
            // Label codes take one byte per voxel, so no other operation can use their buffer.
            let others = &program.ops[..index];
            let is_shared = program.input.buffer == to.buffer
                || others
                    .iter()
                    .any(|o| o.views().0.buffer == to.buffer || o.views().1.buffer == to.buffer);
            if codes.len() != in_channels {
                return fail("a code for each channel");
            }
            if !is_last || is_shared || program.buffers[to.buffer].channels != 1 {
                return fail("label codes at the end, in one channel of their own");
            }
            Ok(())
        }
        _ if in_channels == out_channels => Ok(()),
        _ => fail("as many channels out as in"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_core::UNetConfig;

    fn demo(size: usize) -> Program {
        let config = UNetConfig::preset("demo", 4, 3).unwrap();
        Program::new(&config, [size; 3]).unwrap()
    }

    #[test]
    fn contradictory_programs_are_refused() {
        let refused = |change: fn(&mut Program)| {
            let mut program = demo(16);
            change(&mut program);
            assert!(matches!(check(&program), Err(Error::Program { .. })), "{:?}", program.ops[0]);
        };
        refused(|p| p.input.buffer = 1000);
        refused(|p| p.output.channels = 2..7);
        refused(|p| p.buffers[0].dims[1] = 0);
        refused(|p| p.buffers[0].dims[1] = 8);
        refused(|p| {
            for op in &mut p.ops {
                if let Op::GroupNorm { groups, .. } = op {
                    *groups = 0;
                }
            }
        });
        refused(|p| {
            for op in &mut p.ops {
                if let Op::GroupNorm { to, .. } = op {
                    to.channels = 0..1;
                }
            }
        });
        let mut huge = demo(16);
        huge.buffers[0].dims = [usize::MAX; 3];
        assert!(matches!(check(&huge), Err(Error::Program { .. })));
        assert_eq!(check(&demo(192)), Ok(()));
    }

    /// Returns a program of one operation between whole buffers of these channels and axes.
    fn program(
        from: (usize, [usize; 3]),
        to: (usize, [usize; 3]),
        op: fn(View, View) -> Op,
    ) -> Program {
        let buffers = [from, to].map(|(channels, dims)| model_core::Buffer { channels, dims });
        let [from, to] = [0, 1].map(|b| View { buffer: b, channels: 0..buffers[b].channels });
        let ops = vec![op(from.clone(), to.clone())];
        Program { buffers: buffers.into(), ops, input: from, output: to }
    }

    fn norm(from: View, to: View) -> Op {
        let (gamma, beta) = ("norm.gamma".into(), "norm.beta".into());
        Op::GroupNorm { from, to, groups: 2, gamma, beta, activation: Default::default() }
    }

    fn reflect(from: View, to: View) -> Op {
        Op::Reflect { from, to, vectors: "mix.vectors".into(), transposed: false }
    }

    #[test]
    fn maps_that_do_not_fit_an_operation_are_refused() {
        let [down, up, norm, reflect]: [fn(View, View) -> Op; 4] = [
            |from, to| Op::SpaceToDepth { from, to },
            |from, to| Op::DepthToSpace { from, to },
            norm,
            reflect,
        ];
        let (wide, narrow) = ((2, [4, 2, 6]), (16, [2, 1, 3]));
        for fits in [
            program(wide, narrow, down),
            program(narrow, wide, up),
            program(wide, wide, norm),
            program(wide, wide, reflect),
        ] {
            assert_eq!(check(&fits), Ok(()));
        }
        for (from, to, op) in [
            (narrow, wide, down),
            (wide, (2, [2, 1, 3]), down),
            (wide, (15, [2, 1, 3]), down),
            (wide, (16, [4, 2, 6]), down),
            ((2, [5, 2, 6]), narrow, down),
            (wide, narrow, up),
            (narrow, (1, [4, 2, 6]), up),
            (narrow, (16, [4, 2, 6]), up),
            (narrow, (2, [4, 2, 7]), up),
            (wide, (4, [4, 2, 6]), norm),
            (wide, (2, [4, 2, 5]), norm),
            ((3, [4, 2, 6]), (3, [4, 2, 6]), norm),
            (wide, (3, [4, 2, 6]), reflect),
            (wide, (2, [4, 2, 5]), reflect),
        ] {
            let refused = check(&program(from, to, op));
            assert!(matches!(refused, Err(Error::Program { .. })), "{from:?} {to:?} {refused:?}");
        }
    }

    /// WebGPU cannot bind a buffer for reading and for writing at once, even with different
    /// channels.
    #[test]
    fn only_a_norm_of_one_view_is_done_in_place() {
        let apart = program((4, [3; 3]), (4, [3; 3]), norm);
        let with = |from: usize, to: usize, channels: std::ops::Range<usize>| {
            let from = View { buffer: from, channels: 0..2 };
            Program { ops: vec![norm(from, View { buffer: to, channels })], ..apart.clone() }
        };
        assert_eq!(check(&with(0, 0, 0..2)), Ok(()));
        assert_eq!(check(&with(0, 1, 2..4)), Ok(()));
        for channels in [2..4, 1..3] {
            assert!(matches!(check(&with(0, 0, channels)), Err(Error::Program { .. })));
        }
        let view = View { buffer: 0, channels: 0..4 };
        let in_place = Program { ops: vec![reflect(view.clone(), view)], ..apart };
        assert!(matches!(check(&in_place), Err(Error::Program { .. })));
    }
}
