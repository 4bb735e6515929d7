//! The schema of a run's metrics.
//!
//! metrics.csv, TensorBoard's event files, the progress line and the report all read this one
//! table. A new scalar is one line in it, and a value in the [`Scalars`] of a step.

use std::collections::VecDeque;

/// Defines [`Metric`], one line a metric.
macro_rules! metrics {
    ($($(#[$doc:meta])+ $metric:ident => $spec:expr;)+) => {
        /// A scalar of a run, in the order of the columns of metrics.csv.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Metric {
            $($(#[$doc])+ $metric,)+
        }

        const SPECS: &[MetricSpec] = &[$($spec),+];

        impl Metric {
            /// All metrics, in the order of the columns of metrics.csv.
            pub const ALL: [Metric; SPECS.len()] = [$(Metric::$metric),+];
        }
    };
}

metrics! {
    /// Learning rate.
    LearningRate => training("learning_rate", Scientific(6)).last()
        .chart(5, "Learning rate", YAxis::Linear, Curve::Smooth);
    /// Loss, a variational branch's terms included.
    Loss => training("loss", Fixed(6)).progress("loss", 1)
        .chart(1, "Loss", YAxis::Log, Curve::Noisy);
    /// Cross-entropy, also of a run with another loss.
    CrossEntropy => training("cross_entropy", Fixed(6))
        .chart(3, "Cross-entropy of the training patches", YAxis::Log, Curve::Noisy);
    /// Dice of the training patches.
    PatchDice => training("patch_dice", Fixed(6)).progress("patch Dice", 50)
        .chart(2, "Dice of the training patches", YAxis::Fraction, Curve::Noisy);
    /// Norm of the gradient before it is clipped.
    GradientNorm => training("gradient_norm", Fixed(6)).last()
        .chart(4, "Gradient norm", YAxis::Log, Curve::Noisy);
    /// Mean over the regions of the held-out Dice; the regions' columns follow this one.
    HeldOutDice => validation("held_out_dice", Fixed(6));
    /// Seconds that the processes of the run have trained and validated.
    ElapsedSecs => clock("elapsed_secs", Fixed(1));
    /// Mean squared error of the variational branch's reconstruction, unweighted.
    VaeL2 => training("vae_l2", Scientific(6)).optional()
        .chart(6, "Variational branch: L2", YAxis::Log, Curve::Noisy);
    /// Divergence of the variational branch's latent, unweighted.
    VaeKl => training("vae_kl", Scientific(6)).optional()
        .chart(7, "Variational branch: KL", YAxis::Log, Curve::Noisy);
    /// Seconds of [`Metric::ElapsedSecs`] that the device waited for patches.
    WaitedSecs => clock("waited_secs", Fixed(1));
    /// Factor of the loss in f16.
    LossScale => training("loss_scale", Shortest).last().optional()
        .chart(8, "Loss scale", YAxis::Log, Curve::Smooth);
    /// Steps of the run that changed nothing, since their scaled gradient was not finite.
    SkippedSteps => training("skipped_steps", Shortest).last().optional();
    /// Largest relative error of a rewound sequence's input.
    Drift => training("drift", Scientific(6)).last().optional();
}

use NumberFormat::{Fixed, Scientific, Shortest};

/// A line of the table.
#[derive(Debug, Clone, Copy)]
struct MetricSpec {
    column: &'static str,
    rows: RowKind,
    format: NumberFormat,
    over_steps: OverSteps,
    is_optional: bool,
    progress: Option<ProgressText>,
    chart: Option<Chart>,
}

/// The rows that hold a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowKind {
    Training,
    Validation,
    All,
}

/// The text of a number in metrics.csv.
#[derive(Debug, Clone, Copy)]
enum NumberFormat {
    /// A number of decimals.
    Fixed(usize),
    /// A number of decimals before the exponent.
    Scientific(usize),
    /// As many digits as identify the number.
    Shortest,
}

/// The value in a row that covers several steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OverSteps {
    /// The mean of the finite values.
    Mean,
    /// The last value.
    Last,
}

/// A metric in the progress line.
#[derive(Debug, Clone, Copy)]
struct ProgressText {
    label: &'static str,
    /// Steps that the progress bar averages.
    window: usize,
}

/// A metric's chart in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chart {
    /// Position among the charts, from 1.
    pub position: usize,
    /// Title.
    pub title: &'static str,
    /// Vertical axis.
    pub y_axis: YAxis,
    /// Shape of the curve.
    pub curve: Curve,
}

/// The vertical axis of a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum YAxis {
    /// Linear, over the range of the values.
    Linear,
    /// Logarithmic where the values are positive and span a wide range, else linear.
    Log,
    /// Linear from 0 to 1.
    Fraction,
}

/// The shape of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// Drawn faint, under a running mean.
    Noisy,
    /// Drawn as it is.
    Smooth,
}

const fn training(column: &'static str, format: NumberFormat) -> MetricSpec {
    MetricSpec {
        column,
        rows: RowKind::Training,
        format,
        over_steps: OverSteps::Mean,
        is_optional: false,
        progress: None,
        chart: None,
    }
}

const fn validation(column: &'static str, format: NumberFormat) -> MetricSpec {
    MetricSpec { rows: RowKind::Validation, ..training(column, format) }
}

const fn clock(column: &'static str, format: NumberFormat) -> MetricSpec {
    MetricSpec { rows: RowKind::All, is_optional: true, ..training(column, format) }
}

impl MetricSpec {
    const fn last(self) -> MetricSpec {
        MetricSpec { over_steps: OverSteps::Last, ..self }
    }

    const fn optional(self) -> MetricSpec {
        MetricSpec { is_optional: true, ..self }
    }

    const fn progress(self, label: &'static str, window: usize) -> MetricSpec {
        MetricSpec { progress: Some(ProgressText { label, window }), ..self }
    }

    const fn chart(
        self,
        position: usize,
        title: &'static str,
        y_axis: YAxis,
        curve: Curve,
    ) -> MetricSpec {
        MetricSpec { chart: Some(Chart { position, title, y_axis, curve }), ..self }
    }
}

impl Metric {
    fn spec(self) -> &'static MetricSpec {
        &SPECS[self as usize]
    }

    /// Returns the name of the column in metrics.csv.
    pub fn column(self) -> &'static str {
        self.spec().column
    }

    /// Returns the text of a value in metrics.csv.
    pub fn format(self, value: f64) -> String {
        match self.spec().format {
            Fixed(decimals) => format!("{value:.decimals$}"),
            Scientific(decimals) => format!("{value:.decimals$e}"),
            Shortest => value.to_string(),
        }
    }

    /// Returns TensorBoard's tag; `None` for a metric that is not in the event files.
    pub fn tag(self) -> Option<String> {
        match self.spec().rows {
            RowKind::Training => Some(format!("training/{}", self.column())),
            RowKind::Validation => Some(format!("{}/mean", self.column())),
            RowKind::All => None,
        }
    }

    /// Returns whether every training row holds the metric.
    pub fn is_in_every_training_row(self) -> bool {
        self.spec().rows == RowKind::Training && !self.spec().is_optional
    }

    /// Returns the metrics with a chart in the report, in the order of the charts.
    pub fn charts() -> Vec<(Metric, Chart)> {
        let charts =
            Metric::ALL.into_iter().filter_map(|metric| Some((metric, metric.spec().chart?)));
        let mut charts: Vec<(Metric, Chart)> = charts.collect();
        charts.sort_by_key(|(_, chart)| chart.position);
        charts
    }
}

/// Values of some metrics, of a step or of a row.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scalars {
    values: [Option<f64>; Metric::ALL.len()],
}

impl Scalars {
    /// Returns the value of a metric.
    pub fn get(&self, metric: Metric) -> Option<f64> {
        self.values[metric as usize]
    }

    /// Returns the text of the progress line, such as "loss 0.512, patch Dice 0.430".
    pub fn progress_text(&self) -> String {
        progress_text(|metric, _| self.get(metric))
    }
}

impl Extend<(Metric, f64)> for Scalars {
    fn extend<I: IntoIterator<Item = (Metric, f64)>>(&mut self, values: I) {
        values.into_iter().for_each(|(metric, value)| self.values[metric as usize] = Some(value));
    }
}

impl FromIterator<(Metric, f64)> for Scalars {
    fn from_iter<I: IntoIterator<Item = (Metric, f64)>>(values: I) -> Scalars {
        let mut scalars = Scalars::default();
        scalars.extend(values);
        scalars
    }
}

/// The scalars of the latest steps: those since the last row, and those that the progress bar
/// averages.
#[derive(Debug, Default)]
pub struct RecentSteps {
    since_row: Vec<Scalars>,
    latest: VecDeque<Scalars>,
}

impl RecentSteps {
    /// Adds a step.
    pub fn push(&mut self, scalars: Scalars) {
        self.since_row.push(scalars);
        self.latest.push_front(scalars);
        let windows = SPECS.iter().filter_map(|spec| spec.progress.map(|text| text.window));
        self.latest.truncate(windows.max().unwrap_or(0));
    }

    /// Returns whether no step was added since the last row.
    pub fn is_empty(&self) -> bool {
        self.since_row.is_empty()
    }

    /// Returns the scalars of a row over the steps since the last row, and begins the next row.
    pub fn take_row(&mut self) -> Scalars {
        let steps = std::mem::take(&mut self.since_row);
        let value = |metric: Metric| {
            let values = || steps.iter().filter_map(move |scalars| scalars.get(metric));
            match metric.spec().over_steps {
                OverSteps::Mean => finite_mean(values()),
                OverSteps::Last => values().next_back(),
            }
        };
        Metric::ALL.into_iter().filter_map(|metric| Some((metric, value(metric)?))).collect()
    }

    /// Returns the text of the progress bar, with each metric's mean over its window.
    pub fn progress_text(&self) -> String {
        progress_text(|metric, window| {
            finite_mean(self.latest.iter().take(window).filter_map(|scalars| scalars.get(metric)))
        })
    }
}

fn progress_text(value: impl Fn(Metric, usize) -> Option<f64>) -> String {
    let text = |metric: Metric| {
        let ProgressText { label, window } = metric.spec().progress?;
        Some(format!("{label} {:.3}", value(metric, window)?))
    };
    Metric::ALL.into_iter().filter_map(text).collect::<Vec<_>>().join(", ")
}

/// Returns the mean of the finite values, not a number where no value is finite; `None` without
/// values. A step that a scaled loss skipped has a loss that is not finite.
fn finite_mean(values: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    values.clone().next()?;
    let finite: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    Some(finite.iter().sum::<f64>() / finite.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(loss: f64, gradient_norm: f64) -> Scalars {
        [(Metric::Loss, loss), (Metric::GradientNorm, gradient_norm)].into_iter().collect()
    }

    #[test]
    fn a_row_holds_the_mean_or_the_last_of_its_steps() {
        let mut recent = RecentSteps::default();
        for step in [step(0.5, 1.0), step(f64::NAN, 2.0), step(0.25, 3.0)] {
            recent.push(step);
        }
        let row = recent.take_row();
        assert_eq!(row, step(0.375, 3.0));
        assert!(recent.is_empty());
        recent.push(step(f64::INFINITY, 1.0));
        assert!(recent.take_row().get(Metric::Loss).unwrap().is_nan());
        assert_eq!(RecentSteps::default().take_row(), Scalars::default());
    }

    #[test]
    fn the_progress_line_averages_dice_over_a_longer_time_than_the_loss() {
        let mut recent = RecentSteps::default();
        for n in 0..100 {
            let dice = if n < 75 { 0.5 } else { 0.75 };
            recent
                .push([(Metric::Loss, n as f64), (Metric::PatchDice, dice)].into_iter().collect());
        }
        assert_eq!(recent.progress_text(), "loss 99.000, patch Dice 0.625");
        assert_eq!(recent.take_row().progress_text(), "loss 49.500, patch Dice 0.562");
    }

    #[test]
    fn columns_and_positions_of_charts_are_distinct() {
        for (n, metric) in Metric::ALL.into_iter().enumerate() {
            assert!(Metric::ALL[..n].iter().all(|other| other.column() != metric.column()));
        }
        let positions: Vec<usize> = Metric::charts().iter().map(|c| c.1.position).collect();
        assert_eq!(positions, (1..=positions.len()).collect::<Vec<_>>());
    }
}
