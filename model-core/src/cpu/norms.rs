//! Norms of a run: statistics, joined over all parts, become the affine maps that later stages apply.

use std::ops::Range;

use cpu_kernels::channels::{ChannelAffine, Statistics};
use cpu_kernels::covariance::Covariance;
use cpu_kernels::moments::Moments;

use super::error::CpuError;
use super::peers::Peers;
use super::run::Run;
use crate::network::Op;
use crate::network::config::NORM_EPSILON;
use crate::network::stages::Stage;

impl Run<'_> {
    /// Joins the statistics of all parts, and sets the affine maps of a norm.
    pub(super) async fn norm(
        &mut self,
        norm: &Stage,
        own: Vec<Moments>,
        peers: &mut impl Peers,
    ) -> Result<(), CpuError> {
        let Stage::Moments { op, channels, affine, .. } = norm else { unreachable!() };
        let values = own.iter().flat_map(|m| [m.count, m.mean, m.squares]).collect();
        let mut total = vec![Moments::default(); own.len()];
        for part in peers.gather(values).await? {
            for (total, &[count, mean, squares]) in total.iter_mut().zip(part.as_chunks().0) {
                *total = total.merge(Moments { count, mean, squares });
            }
        }
        let Op::GroupNorm { groups, from, .. } = self.op(*op) else { unreachable!() };
        let groups = total.chunks(from.channels.len() / groups);
        let statistics: Vec<Statistics> = groups
            .map(|group| Moments::merge_all(group.iter().copied()).statistics(NORM_EPSILON))
            .collect();
        self.set_affines(*op, channels.clone(), *affine, &statistics);
        Ok(())
    }

    /// Joins the covariances of a block's input over all parts, and sets the affine maps of the norm of
    /// the expanded channels from `affine` on. `op` is the expansion.
    pub(super) async fn expansion_norm(
        &mut self,
        own: Covariance,
        op: usize,
        affine: usize,
        peers: &mut impl Peers,
    ) -> Result<(), CpuError> {
        let channels = own.means.len();
        let mut total = Covariance::default();
        for part in peers.gather(own.to_values()).await? {
            total.merge(&Covariance::from_values(&part, channels));
        }
        let Op::Pointwise { weight, .. } = self.op(op) else { unreachable!() };
        let Op::GroupNorm { groups, from, .. } = self.op(op + 1) else {
            unreachable!("an expansion has a norm")
        };
        let statistics = total.statistics(self.parameter(weight), *groups, NORM_EPSILON);
        self.set_affines(op + 1, 0..from.channels.len(), affine, &statistics);
        Ok(())
    }

    /// Sets the affine maps of a range of channels of a norm, from `first` on. The statistics are
    /// those of the range's groups.
    fn set_affines(
        &mut self,
        op: usize,
        channels: Range<usize>,
        first: usize,
        statistics: &[Statistics],
    ) {
        let Op::GroupNorm { gamma, beta, activation, groups, from, .. } = self.op(op) else {
            unreachable!("statistics are of norms")
        };
        let (gamma, beta) = (self.parameter(gamma), self.parameter(beta));
        let (per_group, slope) = (from.channels.len() / groups, activation.negative_slope());
        for (n, channel) in channels.enumerate() {
            let parameters = [gamma[channel], beta[channel]];
            self.affines[first + n] =
                ChannelAffine::new(parameters, statistics[n / per_group], slope);
        }
    }
}
