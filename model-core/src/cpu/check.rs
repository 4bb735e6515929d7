//! Checks that weights and input are those of a plan.

use super::error::CpuError;
use super::plan::CpuPlan;
use crate::network::{Op, Weights};

impl CpuPlan {
    /// Checks the parameters by name and the numbers of all values.
    pub(super) fn check(&self, weights: &Weights, input: &[f32]) -> Result<(), CpuError> {
        let program = |expected: String, found: String| Err(CpuError::Program { expected, found });
        let view = &self.program.input;
        let values = view.channels.len() * self.slabs[view.buffer].own_voxels().len();
        if input.len() != values {
            return program(format!("an input of {values} values"), input.len().to_string());
        }
        for op in &self.program.ops {
            let (from, to) = op.views();
            let (input, output) = (from.channels.len(), to.channels.len());
            let wanted: Vec<(&str, Option<usize>)> = match op {
                Op::Pointwise { weight, bias, .. } => {
                    let bias = bias.iter().map(|bias| (&**bias, Some(output)));
                    std::iter::once((&**weight, Some(input * output))).chain(bias).collect()
                }
                Op::Conv3 { weight, .. } => vec![(weight, Some(27 * input * output))],
                Op::Depthwise3 { weight, .. } => vec![(weight, Some(27 * output))],
                Op::GroupNorm { gamma, beta, .. } => {
                    vec![(gamma, Some(output)), (beta, Some(output))]
                }
                Op::Reflect { vectors, .. } => vec![(vectors, None)],
                _ => Vec::new(),
            };
            for (name, values) in wanted {
                let found = weights.get(name).map(|array| array.values.len());
                let fits = values.map_or(found.is_some(), |values| found == Some(values));
                if !fits {
                    let expected = match values {
                        Some(values) => format!("a parameter {name} of {values} values"),
                        None => format!("a parameter {name}"),
                    };
                    let found = found.map_or("none".into(), |found| format!("{found} values"));
                    return program(expected, found);
                }
            }
        }
        Ok(())
    }
}
