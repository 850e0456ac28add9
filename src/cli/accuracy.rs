//! `floe accuracy`: what plans said beside what jobs took, over all jobs that are done.
//!
//! Only whole jobs count: one that failed or was cancelled took less than it would have, and a native copy used
//! nothing that was measured here. Every figure is a ratio of measured to predicted, so that small and large jobs weigh
//! the same.

use serde::Serialize;

use super::args::Format;
use super::resolve::Resolved;
use super::table::{self, Side};
use super::{Code, say};
use crate::engine;
use crate::engine::protocol::{JobState, JobStatus};
use crate::error::Result;

/// Below this a prediction of money says nothing: a cent's rounding would decide.
const CENT: f64 = 0.01;

/// What is to be known of figures that were measured beside the embedded AWS.
const EMBEDDED: &str = "\nWith --sandbox the embedded AWS is in the process that is measured: its memory, and its time on \
the cores, are none that was said.";

/// One figure of the estimate, over all jobs.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    /// `memory`, `cost`, `requests`, `time`.
    figure: &'static str,
    /// Jobs that it was measured in.
    jobs: usize,
    /// Of these, how many took no more than was said (time: within the range that was said).
    within: usize,
    /// Measured by predicted: the lowest, the middle, the highest; none without a job. Of time, by the nearer end.
    lowest: Option<f64>,
    median: Option<f64>,
    highest: Option<f64>,
}

/// Prints them.
///
/// # Errors
/// The state directory cannot be read.
pub async fn run(resolved: &Resolved) -> Result<Code> {
    let world = resolved.open().await?;
    let rows = rows(&engine::jobs(&world.state)?);
    match resolved.output {
        Format::Json => table::json(&rows)?,
        Format::Csv => table::csv(
            &["figure", "jobs", "within", "lowest", "median", "highest"],
            rows.iter().map(|row| {
                let ratio = |ratio: Option<f64>| ratio.map(|ratio| format!("{ratio:.3}")).unwrap_or_default();
                let (lowest, median, highest) = (ratio(row.lowest), ratio(row.median), ratio(row.highest));
                vec![row.figure.to_owned(), row.jobs.to_string(), row.within.to_string(), lowest, median, highest]
            }),
        )?,
        Format::Table | Format::Ids | Format::Html => {
            let beside = resolved.sandbox.is_some() && rows.iter().any(|row| row.jobs > 0);
            let embedded = if beside { EMBEDDED } else { "" };
            say::page(&format!("{}{embedded}", text(&rows)))?;
        }
    }
    Ok(0)
}

fn text(rows: &[Row]) -> String {
    if rows.iter().all(|row| row.jobs == 0) {
        return "No job is done yet, so there is nothing to compare predictions with.".to_owned();
    }
    let columns = [
        ("figure", Side::Left),
        ("jobs", Side::Right),
        ("as said", Side::Right),
        ("lowest", Side::Right),
        ("median", Side::Right),
        ("highest", Side::Right),
    ];
    let percent = |ratio: Option<f64>| ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{:.0} %", ratio * 100.0));
    let lines = rows.iter().map(|row| {
        let (lowest, median, highest) = (percent(row.lowest), percent(row.median), percent(row.highest));
        vec![row.figure.to_owned(), row.jobs.to_string(), row.within.to_string(), lowest, median, highest]
    });
    format!(
        "{}\nMeasured, of what the plan said. As said: memory, cost and requests at most that, time within its range. Jobs of \
         less than a cent say nothing of cost.",
        table::render(&columns, lines)
    )
}

fn rows(jobs: &[JobStatus]) -> Vec<Row> {
    let done: Vec<&JobStatus> = jobs.iter().filter(|job| job.state == JobState::Done).collect();
    let of = |pairs: &mut dyn Iterator<Item = (f64, f64)>| -> Vec<(f64, bool)> {
        pairs.filter(|(said, _)| *said > 0.0).map(|(said, was)| (was / said, was <= said)).collect()
    };
    let bytes = |bytes: crate::units::Bytes| bytes.as_mib();
    let memory = of(&mut done.iter().map(|job| (bytes(job.said_of_peak()), bytes(job.peak_rss))));
    let cost = of(&mut done
        .iter()
        .map(|job| (job.predicted.cost.0, job.spent.0))
        .filter(|(said, _)| *said >= CENT)
        // What is shown is whole cents: less than half of one is no difference.
        .map(|(said, was)| (said, if (was - said).abs() < CENT / 2.0 { said } else { was })));
    let time = done
        .iter()
        .filter(|job| job.predicted.seconds_high > 0.0)
        .map(|job| {
            let (was, low, high) = (job.elapsed_seconds, job.predicted.seconds_low, job.predicted.seconds_high);
            let nearer = was.clamp(low, high);
            (if nearer > 0.0 { was / nearer } else { 1.0 }, job.predicted.beside(was).is_eq())
        })
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
    let requests = of(&mut done.iter().map(|job| (job.predicted.requests as f64, job.requests.all() as f64)));
    vec![row("memory", memory), row("cost", cost), row("requests", requests), row("time", time)]
}

fn row(figure: &'static str, mut ratios: Vec<(f64, bool)>) -> Row {
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let nth = |at: usize| ratios.get(at).map(|(ratio, _)| *ratio);
    Row {
        figure,
        jobs: ratios.len(),
        within: ratios.iter().filter(|(_, within)| *within).count(),
        lowest: nth(0),
        median: nth(ratios.len() / 2),
        highest: nth(ratios.len().wrapping_sub(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_sorted_and_counted_and_nothing_is_made_of_nothing() {
        let found = row("memory", vec![(1.5, false), (0.5, true), (0.9, true)]);
        assert_eq!((found.jobs, found.within), (3, 2));
        assert_eq!((found.lowest, found.median, found.highest), (Some(0.5), Some(0.9), Some(1.5)));
        let none = row("cost", Vec::new());
        assert_eq!((none.jobs, none.lowest, none.highest), (0, None, None));
        assert!(text(&[none]).starts_with("No job is done yet"));
    }
}
