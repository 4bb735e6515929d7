//! Whether the probabilities are frequencies.

use model_core::metrics::{Calibration, MARGIN_MM, OddsCounts};

use super::{number, region_name};
use crate::Report;
use crate::chart::ReliabilityChart;
use crate::escape::escape;

/// Returns a table and a reliability diagram for every region, or `None` if nothing was counted.
pub(crate) fn calibration(report: &Report) -> Option<String> {
    let held_out = report.held_out.as_ref()?;
    let counts = &held_out.odds;
    let calibration = Calibration::fit(counts, held_out.cases.len())?;
    let regions = || calibration.regions.iter().zip(counts).enumerate();
    let row = |(n, (region, counts)): (usize, (_, &OddsCounts))| {
        let region: &model_core::metrics::RegionCalibration = region;
        format!(
            "<tr><th scope=\"row\" class=\"name\">{}</th><td>{}</td><td>{}</td><td>{}</td>\
             <td>{}</td></tr>\n",
            region_name(report, n),
            number(region.error_before, 3),
            number(region.temperature, 2),
            number(region.error, 3),
            crate::chart::grouped(counts.voxels() as f64, 0),
        )
    };
    let rows: String = regions().map(row).collect();
    let figure = |(n, (region, counts)): (usize, (_, &OddsCounts))| {
        let region: &model_core::metrics::RegionCalibration = region;
        let after = counts.reliability(region.temperature);
        let name = &report.run.task.regions[n].name;
        let chart = ReliabilityChart {
            region: name,
            class: format!("r{n}"),
            before: &counts.reliability(1.0),
            after: (region.temperature != 1.0).then_some(&after[..]),
        };
        format!("<figure><h3>{}</h3>\n{}</figure>\n", escape(name), chart.svg())
    };
    let figures: String = regions().map(figure).collect();
    Some(format!(
        "<p>Of the voxels that get the probability p, a fraction p should belong to the region. The \
         expected calibration error (ECE) is the mean distance from that, over voxels within \
         {MARGIN_MM} mm of the region's box in the reference and in the prediction. A temperature \
         divides the log-odds; it is fitted on these same cases, stored in the model, and changes no \
         label.</p>\n\
         <div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">region</th>\
         <th scope=\"col\">ECE</th><th scope=\"col\">temperature</th>\
         <th scope=\"col\">ECE with it</th><th scope=\"col\">voxels</th></tr></thead>\n\
         <tbody>\n{rows}</tbody></table></div>\n<div class=\"charts small\">\n{figures}</div>\n"
    ))
}
