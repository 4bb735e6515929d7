//! The operations of a program as stages, which both engines run. A norm writes nothing, since the
//! stage that reads its output applies it. The expanded channels of a block can be processed a few
//! groups at a time, so that they never exist all at once.

use std::collections::HashMap;

use super::program::{Buffer, Op, Program, View};
use crate::{Error, Result};

mod block;
mod stage;

pub use block::BlockOptions;
pub use stage::{Source, Stage};

use block::Block;

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
    /// Lowers a program.
    ///
    /// # Errors
    /// [`Error::Network`] if a norm's input is overwritten while its output is still read.
    pub fn new(program: &Program, options: BlockOptions) -> Result<Lowered> {
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

    fn op(&mut self, op: &Op, index: usize) -> Result<()> {
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

    /// Lowers a block, one range of expanded channels after the other.
    fn block(&mut self, program: &Program, block: &Block, options: BlockOptions) -> Result<()> {
        let source = self.source(&block.input)?;
        let is_fused = block.is_fused(options);
        let (all, step) = (block.num_expanded(), block.step(options.channel_splits));
        let dims = program.buffers[block.expanded.buffer].dims;
        let mut scratch = || {
            self.lowered.maps.push(Buffer { channels: step, dims });
            self.lowered.maps.len() - 1
        };
        let deep = scratch();
        let expanded = if is_fused { None } else { Some(scratch()) };
        let affines = [self.affines(all), self.affines(all)];
        if is_fused {
            let (from, op, affine) = (source.clone(), block.first_op, affines[0]);
            self.push(Stage::Expansion { from, op, affine });
        }
        for start in (0..all).step_by(step) {
            let channels = start..(start + step).min(all);
            let some = |buffer| View { buffer, channels: 0..channels.len() };
            let normed = |buffer, norm: usize| Source {
                view: some(buffer),
                affine: affines[norm] + channels.start,
            };
            let moments = |buffer, norm: usize, op| Stage::Moments {
                from: some(buffer),
                op,
                channels: channels.clone(),
                affine: affines[norm] + channels.start,
            };
            match expanded {
                None => self.push(Stage::ExpandDepthwise {
                    from: source.clone(),
                    to: some(deep),
                    op: block.first_op,
                    channels: channels.clone(),
                    affine: affines[0] + channels.start,
                }),
                Some(expanded) => {
                    self.push(Stage::Pointwise {
                        from: source.clone(),
                        to: some(expanded),
                        op: block.first_op,
                        rows: channels.clone(),
                        cols: 0..block.input.channels.len(),
                        adds_to_output: false,
                    });
                    self.push(moments(expanded, 0, block.first_op + 1));
                    self.push(Stage::Depthwise {
                        from: normed(expanded, 0),
                        to: some(deep),
                        op: block.first_op + 2,
                        channels: channels.clone(),
                    });
                }
            }
            self.push(moments(deep, 1, block.first_op + 3));
            self.push(Stage::Pointwise {
                from: normed(deep, 1),
                to: block.projected.clone(),
                op: block.first_op + 4,
                rows: 0..block.projected.channels.len(),
                cols: channels.clone(),
                adds_to_output: start > 0,
            });
        }
        for view in [&block.expanded, &block.filtered, &block.projected] {
            self.overwrite(view);
        }
        self.op(&program.ops[block.first_op + 5], block.first_op + 5)?;
        self.op(&program.ops[block.first_op + 6], block.first_op + 6)?;
        debug_assert_ne!(block.residual.buffer, block.projected.buffer);
        Ok(())
    }

    fn unary(
        &mut self,
        from: &View,
        to: &View,
        stage: impl FnOnce(Source, View) -> Stage,
    ) -> Result<()> {
        let from = self.source(from)?;
        self.overwrite(to);
        self.push(stage(from, to.clone()));
        Ok(())
    }

    /// Returns how to read a view: through one run of affine maps. A view of several runs is
    /// normalized in place first.
    fn source(&mut self, view: &View) -> Result<Source> {
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
    fn own(&mut self, view: &View) -> Result<usize> {
        let source = self.source(view)?;
        if source.view == *view {
            return Ok(source.affine);
        }
        self.settle(view)?;
        Ok(0)
    }

    /// Applies pending norms to the channels of a view, run by run.
    fn settle(&mut self, view: &View) -> Result<()> {
        let mut at = view.channels.start;
        while at < view.channels.end {
            let content = |channel: usize| self.contents.get(&(view.buffer, channel)).copied();
            let Some(content_here) = content(at) else {
                at += 1;
                continue;
            };
            let Some(first) = content_here else {
                let expected = "a norm's input that stays while its output is read";
                return Err(Error::network(expected, format!("buffer {} changed", view.buffer)));
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
