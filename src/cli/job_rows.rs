//! How jobs are printed: the list, one job, and the row that scripts read.

use std::cmp::Ordering;

use serde::Serialize;

use super::args::Format;
use super::outcome::Outcome;
use super::table::Side;
use super::{say, table};
use crate::engine::protocol::{JobState, JobStatus, Predicted, Requests, Stall};
use crate::error::Result;
use crate::ids::JobId;
use crate::units::{counted, grouped};

/// One row of `jobs ls -o json`.
#[derive(Debug, Serialize)]
struct Row<'a> {
    job: JobId,
    state: JobState,
    why: &'a str,
    source: &'a str,
    destinations: Vec<&'a str>,
    blocks_done: u64,
    blocks_total: u64,
    bytes_done: u64,
    created: String,
    ended: Option<String>,
    elapsed_seconds: f64,
    spent_usd: f64,
    requests: Requests,
    peak_rss_bytes: u64,
    predicted: Predicted,
    left_overs: Vec<String>,
    rate_bytes_per_second: f64,
    lanes: u32,
    held_bytes: u64,
    /// What it waits for, with figures, while it does not get on.
    #[serde(skip_serializing_if = "Option::is_none")]
    stall: Option<&'a Stall>,
    /// When AWS gives the pending snapshot of a job at rest up.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

impl<'a> Row<'a> {
    fn of(job: &'a JobStatus) -> Self {
        Self {
            job: job.job,
            state: job.state,
            why: &job.why,
            source: &job.source,
            destinations: job.destinations.iter().map(|to| to.address.as_str()).collect(),
            blocks_done: job.blocks_done.0,
            blocks_total: job.blocks_total.value.0,
            bytes_done: job.blocks_done.bytes().0,
            created: job.created.to_string(),
            ended: job.ended.map(|at| at.to_string()),
            elapsed_seconds: job.elapsed_seconds,
            spent_usd: job.spent.0,
            requests: job.requests,
            peak_rss_bytes: job.peak_rss.0,
            predicted: job.predicted,
            left_overs: job.left_overs.iter().map(ToString::to_string).collect(),
            rate_bytes_per_second: job.rate.0,
            lanes: job.lanes.now,
            held_bytes: job.held.0,
            stall: job.stall.as_ref(),
            expires: job.expires.map(|at| at.to_string()),
        }
    }
}

/// The list.
///
/// # Errors
/// Stdout cannot be written.
pub fn ls(jobs: &[JobStatus], output: Format) -> Result<()> {
    let rows: Vec<Row<'_>> = jobs.iter().map(Row::of).collect();
    match output {
        Format::Json => table::json(&rows),
        Format::Csv => {
            let heads = ["job", "state", "source", "destinations", "blocks_done", "blocks_total", "created"];
            table::csv(
                &heads,
                rows.iter().map(|row| {
                    vec![
                        row.job.to_string(),
                        row.state.word().to_owned(),
                        row.source.to_owned(),
                        row.destinations.join(" "),
                        row.blocks_done.to_string(),
                        row.blocks_total.to_string(),
                        row.created.clone(),
                    ]
                }),
            )
        }
        Format::Table | Format::Ids | Format::Html if jobs.is_empty() => {
            say::stderr("There are no jobs yet: floe copy SOURCE DEST makes one.");
            Ok(())
        }
        Format::Table | Format::Ids | Format::Html => {
            let columns = [
                ("job", Side::Right),
                ("state", Side::Left),
                ("done", Side::Right),
                ("of", Side::Right),
                ("source", Side::Left),
                ("destinations", Side::Left),
                ("why", Side::Left),
            ];
            table::print(
                &columns,
                jobs.iter().map(|job| {
                    vec![
                        job.job.to_string(),
                        job.state.word().to_owned(),
                        job.blocks_done.bytes().to_string(),
                        job.blocks_total.value.bytes().to_string(),
                        job.source.clone(),
                        job.destinations.iter().map(|to| to.address.as_str()).collect::<Vec<_>>().join(" "),
                        why(job),
                    ]
                }),
            )
        }
    }
}

/// A moment as people read it.
const MINUTE: &str = "%Y-%m-%d %H:%M UTC";

/// One job.
///
/// # Errors
/// Stdout cannot be written.
pub fn show(job: &JobStatus, output: Format) -> Result<()> {
    if output == Format::Json {
        return table::json(&Outcome::of(job));
    }
    if output == Format::Csv {
        return ls(std::slice::from_ref(job), output);
    }
    let mut lines = vec![
        format!(
            "job {} {}{}",
            job.job,
            job.state.word(),
            if why(job).is_empty() { String::new() } else { format!(": {}", why(job)) }
        ),
        format!("source   {}{}", job.source, job.name.as_ref().map_or_else(String::new, |name| format!(" ({name})"))),
    ];
    for to in &job.destinations {
        lines.push(format!("  to     {} {}", to.address, counted(to.blocks.0, "block")));
        lines.extend(to.image_sha256.iter().map(|sum| format!("         sha256 {}", sum.hex())));
        lines.extend(to.error.iter().map(|error| format!("         {error}")));
    }
    lines.push(format!("blocks   {} of {}", job.blocks_done, job.blocks_total));
    lines.push(format!(
        "time     {} since {}, accepted by {}",
        crate::plan::clock(job.elapsed_seconds),
        job.created.strftime(MINUTE),
        job.who
    ));
    lines.push(format!(
        "requests {} list, {} get, {} put; {} retries, {} throttles; {} so far",
        grouped(job.requests.list),
        grouped(job.requests.get),
        grouped(job.requests.put),
        grouped(job.troubles.retries),
        grouped(job.troubles.throttles()),
        job.spent
    ));
    lines.extend(beside(job));
    lines.extend(job.state.is_active().then(|| {
        let lanes = &job.lanes;
        format!("lanes    {} of {} wanted, {} at most: {}", lanes.now, lanes.target, lanes.cap, lanes.why)
    }));
    lines.extend(job.turned.iter().map(|turned| format!("turned   {turned}")));
    lines.extend(job.left_overs.iter().map(|left| format!("left     {left}")));
    lines
        .extend(job.expires.map(|at| format!("expires  AWS gives its pending snapshot up at {}", at.strftime(MINUTE))));
    if let Some(error) = &job.error {
        lines.push(format!("error    {error}"));
        lines.extend(error.todo.iter().map(|todo| format!("  →      {todo}")));
    }
    say::page(&lines.join("\n"))
}

/// What was said of a job before, and what it took: once it is done, because before that it only grows.
fn beside(job: &JobStatus) -> Vec<String> {
    let said = &job.predicted;
    if job.state != JobState::Done || said.memory.0 == 0 {
        return Vec::new();
    }
    let clock = crate::plan::clock;
    vec![
        "said     measured".to_owned(),
        format!(
            "  memory ≤ {}{} · {} at the peak{}",
            job.said_of_peak(),
            if job.embedded { " without the sandbox" } else { "" },
            job.peak_rss,
            if job.said_at_peak.is_some() { ", with other jobs beside or before it" } else { "" }
        ),
        format!("  cost   {} · {}", said.cost, job.spent),
        format!("  asked  {} · {}", counted(said.requests, "request"), grouped(job.requests.all())),
        format!(
            "  time   {} · {}{}",
            crate::plan::span(said.seconds_low, said.seconds_high),
            clock(job.elapsed_seconds),
            match said.beside(job.elapsed_seconds) {
                Ordering::Less => ", quicker than said",
                Ordering::Equal => "",
                Ordering::Greater => ", slower than said",
            }
        ),
    ]
}

/// Why it does not get on, with its figures, or until when it can go on; else the word of its row.
fn why(job: &JobStatus) -> String {
    match (&job.stall, job.expires) {
        (Some(stall), _) => format!("{}: {}", stall.word, stall.text),
        (None, Some(at)) => {
            let dies = format!("its pending snapshot dies at {}", at.strftime(MINUTE));
            let why = job.shown_why();
            if why.is_empty() { dies } else { format!("{why}, {dies}") }
        }
        (None, None) => job.shown_why().into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Bytes;

    #[test]
    fn memory_that_the_sandbox_may_be_in_is_not_compared_with_what_was_said_without_it() {
        let mut job = crate::engine::blank_job(JobId(1), jiff::Timestamp::UNIX_EPOCH);
        job.state = JobState::Done;
        (job.predicted.memory, job.peak_rss) = (Bytes::mib(96), Bytes::mib(300));
        let line = |job: &JobStatus| beside(job).into_iter().find(|line| line.contains("memory")).unwrap_or_default();
        assert_eq!(line(&job), "  memory ≤ 96 MiB · 300 MiB at the peak");
        job.embedded = true;
        assert_eq!(line(&job), "  memory ≤ 96 MiB without the sandbox · 300 MiB at the peak");
    }
}
