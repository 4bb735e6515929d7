//! First step of a plan: turns the operations of a program into stages. A norm writes nothing,
//! since the stage that reads its output applies it. The expanded channels of a block can be
//! processed a few groups at a time, so that they never exist all at once.

use std::collections::HashMap;
use std::ops::Range;

use model_core::{Buffer, Op, Program, View};

use crate::{Error, PlanOptions};

mod block;

use block::Block;

/// The input of a stage: a view, and the affine maps of its channels.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The view.
    pub view: View,
    /// Index of the first channel's affine map.
    pub affine: usize,
}

/// One pass over a feature map. `op` is the index of the operation that owns the parameters.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Stage {
    /// 1³ convolution with the columns `cols` and the rows `rows` of the weight.
    Pointwise {
        from: Source,
        to: View,
        op: usize,
        rows: Range<usize>,
        cols: Range<usize>,
        adds_to_output: bool,
    },
    /// Affine maps of the norm after a 1³ convolution, from the statistics of its input. The
    /// convolution's output is never written.
    Expansion { from: Source, op: usize, affine: usize },
    /// A range of channels of a 1³ convolution, its norm with affine maps from `affine` on, and the
    /// depthwise convolution after it.
    ExpandDepthwise { from: Source, to: View, op: usize, channels: Range<usize>, affine: usize },
    /// Dense 3³ convolution.
    Conv3 { from: Source, to: View, op: usize },
    /// Depthwise 3³ convolution of a range of channels.
    Depthwise { from: Source, to: View, op: usize, channels: Range<usize> },
    /// Affine maps of a range of channels of a norm.
    Moments { from: View, op: usize, channels: Range<usize>, affine: usize },
    /// `to = norm(to) + norm(from)`; `own` is the index of the affine maps of `to`.
    Add { from: Source, to: View, own: usize },
    /// Applies a norm and writes another map.
    NormalizeInto { from: Source, to: View },
    /// Applies a norm in place.
    NormalizeInPlace { to: View, own: usize },
    /// Maximum over 2³ voxels.
    MaxPool { from: Source, to: View },
    /// Trilinear ×2, written to `to`, or added to it if its affine maps begin at `own`.
    Upsample { from: Source, to: View, own: Option<usize> },
    /// Space to depth.
    SpaceToDepth { from: Source, to: View },
    /// Depth to space.
    DepthToSpace { from: Source, to: View },
    /// Label codes.
    Decide { from: Source, to: View, op: usize },
}

/// A program as stages.
#[derive(Debug, Clone, PartialEq)]
pub struct Lowered {
    /// The program's buffers and the scratch of blocks.
    pub maps: Vec<Buffer>,
    /// The stages in order.
    pub stages: Vec<Stage>,
    /// Affine maps of all norms, and of maps without a norm.
    pub num_affines: usize,
}

impl Lowered {
    /// Lowers a checked program.
    ///
    /// # Errors
    /// [`Error::Program`] if a norm's input is overwritten while its output is still read.
    pub fn new(program: &Program, options: PlanOptions) -> Result<Lowered, Error> {
        let mut lowering = Lowering {
            lowered: Lowered {
                maps: program.buffers.clone(),
                stages: Vec::new(),
                num_affines: program.widest(),
            },
            contents: HashMap::new(),
        };
        let mut at = 0;
        while at < program.ops.len() {
            match Block::at(program, at).filter(|block| block.differs(options)) {
                Some(block) => {
                    lowering.block(program, &block, options)?;
                    at += Block::OPS;
                }
                None => {
                    lowering.op(&program.ops[at], at)?;
                    at += 1;
                }
            }
        }
        lowering.settle(&program.output)?;
        Ok(lowering.lowered)
    }
}

/// The value of a buffer's channel: itself or another channel, through an affine map.
#[derive(Clone, Copy, PartialEq)]
struct Content {
    buffer: usize,
    channel: usize,
    affine: usize,
}

impl Content {
    /// Returns the content of the n-th channel after this one, in the same run.
    fn after(self, n: usize) -> Content {
        Content { channel: self.channel + n, affine: self.affine + n, ..self }
    }
}

struct Lowering {
    lowered: Lowered,
    /// Contents of channels that differ from the stored values; `None` if the stored value was
    /// overwritten.
    contents: HashMap<(usize, usize), Option<Content>>,
}

impl Lowering {
    fn push(&mut self, stage: Stage) {
        self.lowered.stages.push(stage);
    }

    /// Reserves the affine maps of a norm.
    fn affines(&mut self, channels: usize) -> usize {
        self.lowered.num_affines += channels;
        self.lowered.num_affines - channels
    }

    fn op(&mut self, op: &Op, index: usize) -> Result<(), Error> {
        match op {
            Op::Pointwise { from, to, .. } | Op::Reflect { from, to, .. } => {
                let source = self.source(from)?;
                let (rows, cols) = (0..to.channels.len(), 0..from.channels.len());
                self.overwrite(to);
                let (from, to) = (source, to.clone());
                self.push(Stage::Pointwise {
                    from,
                    to,
                    op: index,
                    rows,
                    cols,
                    adds_to_output: false,
                });
            }
            Op::Conv3 { from, to, .. } => {
                self.unary(from, to, |from, to| Stage::Conv3 { from, to, op: index })?;
            }
            Op::Depthwise3 { from, to, .. } => {
                let channels = 0..to.channels.len();
                let stage = |from, to| Stage::Depthwise { from, to, op: index, channels };
                self.unary(from, to, stage)?;
            }
            Op::GroupNorm { from, to, .. } => {
                self.settle(from)?;
                let channels = from.channels.len();
                let affine = self.affines(channels);
                let moments =
                    Stage::Moments { from: from.clone(), op: index, channels: 0..channels, affine };
                self.push(moments);
                if from != to {
                    self.overwrite(to);
                }
                for n in 0..channels {
                    let (buffer, channel) = (from.buffer, from.channels.start + n);
                    let content = Some(Content { buffer, channel, affine: affine + n });
                    self.contents.insert((to.buffer, to.channels.start + n), content);
                }
            }
            Op::AddInPlace { from, to } => {
                let (from, own) = (self.source(from)?, self.own(to)?);
                self.overwrite(to);
                self.push(Stage::Add { from, to: to.clone(), own });
            }
            Op::AddUpsampled { from, to } => {
                let (from, own) = (self.source(from)?, self.own(to)?);
                self.overwrite(to);
                self.push(Stage::Upsample { from, to: to.clone(), own: Some(own) });
            }
            Op::MaxPool { from, to } => {
                self.unary(from, to, |from, to| Stage::MaxPool { from, to })?;
            }
            Op::Upsample { from, to } => {
                self.unary(from, to, |from, to| Stage::Upsample { from, to, own: None })?;
            }
            Op::SpaceToDepth { from, to } => {
                self.unary(from, to, |from, to| Stage::SpaceToDepth { from, to })?;
            }
            Op::DepthToSpace { from, to } => {
                self.unary(from, to, |from, to| Stage::DepthToSpace { from, to })?;
            }
            Op::Decide { from, to, .. } => {
                self.unary(from, to, |from, to| Stage::Decide { from, to, op: index })?;
            }
        }
        Ok(())
    }

    fn unary(
        &mut self,
        from: &View,
        to: &View,
        stage: impl FnOnce(Source, View) -> Stage,
    ) -> Result<(), Error> {
        let from = self.source(from)?;
        self.overwrite(to);
        self.push(stage(from, to.clone()));
        Ok(())
    }

    /// Returns how to read a view: through one run of affine maps. A view of several runs is
    /// normalized in place first.
    fn source(&mut self, view: &View) -> Result<Source, Error> {
        let contents: Vec<_> =
            view.channels.clone().map(|c| self.contents.get(&(view.buffer, c)).copied()).collect();
        if contents.iter().all(Option::is_none) {
            return Ok(Source { view: view.clone(), affine: 0 });
        }
        if let Some(Some(Some(first))) = contents.first() {
            let is_run = contents.iter().enumerate().all(|(n, c)| *c == Some(Some(first.after(n))));
            if is_run {
                let channels = first.channel..first.channel + contents.len();
                let view = View { buffer: first.buffer, channels };
                return Ok(Source { view, affine: first.affine });
            }
        }
        self.settle(view)?;
        Ok(Source { view: view.clone(), affine: 0 })
    }

    /// Returns the affine maps of a view that is changed in place.
    fn own(&mut self, view: &View) -> Result<usize, Error> {
        let source = self.source(view)?;
        if source.view == *view {
            return Ok(source.affine);
        }
        self.settle(view)?;
        Ok(0)
    }

    /// Applies pending norms to the channels of a view, run by run.
    fn settle(&mut self, view: &View) -> Result<(), Error> {
        let mut at = view.channels.start;
        while at < view.channels.end {
            let content = |channel: usize| self.contents.get(&(view.buffer, channel)).copied();
            let Some(content_here) = content(at) else {
                at += 1;
                continue;
            };
            let Some(first) = content_here else {
                let expected = "a norm's input that stays while its output is read";
                return Err(Error::program(expected, format!("buffer {} changed", view.buffer)));
            };
            let is_next = |n: &usize| content(at + n) == Some(Some(first.after(*n)));
            let len = (1..view.channels.end - at).take_while(is_next).count() + 1;
            let to = View { buffer: view.buffer, channels: at..at + len };
            let from = View { buffer: first.buffer, channels: first.channel..first.channel + len };
            self.overwrite(&to);
            self.push(match from == to {
                true => Stage::NormalizeInPlace { to, own: first.affine },
                false => {
                    Stage::NormalizeInto { from: Source { view: from, affine: first.affine }, to }
                }
            });
            at += len;
        }
        Ok(())
    }

    /// Marks the channels of a view as overwritten.
    fn overwrite(&mut self, view: &View) {
        for channel in view.channels.clone() {
            self.contents.remove(&(view.buffer, channel));
        }
        for content in self.contents.values_mut() {
            let is_lost =
                |c: Content| c.buffer == view.buffer && view.channels.contains(&c.channel);
            *content = content.filter(|content| !is_lost(*content));
        }
    }
}
