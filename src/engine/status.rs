//! From what runs, and from what lies on disk, to the rows that fronts show.
//!
//! Invariant: totals are sums of the rows beside them, because all of a job's counts come from one look at its
//! ledger.

use jiff::Timestamp;

use super::budget::Holding;
use super::call::{Caller, rates};
use super::hub::Hub;
use super::journal::Progress;
use super::journal::{self, DestinationPicture, Picture};
use super::keeper::{self, Counts};
use super::ledger::Ledger;
use super::left::{Ends, left};
use super::protocol::{
    Cause, Cell, DestinationState, DestinationStatus, Holds, JobDetail, JobState, JobStatus, LaneReason, Lanes,
    LanesStatus, LeftOver, Predicted, Requests, SegmentStatus,
};
use super::sink::{dies_at, partial};
use super::spec::{JobDir, Spec};
use super::stall::cause_of;
use crate::address::Address;
use crate::error::{Error, Result};
use crate::ids::{BlockIndex, JobId};
use crate::plan::{Api, Charge, DestinationKind, DestinationPlan, Verify};
use crate::units::{Blocks, Bytes, Quantity, Rate, Sure, Usd};

/// A row of a running job.
pub(super) fn live(spec: &Spec, hub: &Hub, caller: &Caller, resumed: Blocks, held: Holding) -> JobStatus {
    let counts = hub.counts();
    let state = hub.state();
    let figures = hub.figures();
    let progress = hub.progress();
    let mut row = empty(spec);
    row.state = state.state;
    row.why = state.why;
    row.error = state.error;
    row.expires = state.expires;
    row.ended = state.ended;
    row.destinations = hub
        .destinations()
        .into_iter()
        .enumerate()
        .map(|(dest, view)| {
            let copied = view.copied.as_ref().map(|copied| copied.bytes);
            let blocks = counts.by_dest.get(dest).copied().unwrap_or_default();
            let blocks = copied.map_or(blocks, Bytes::blocks);
            DestinationStatus {
                address: view.address,
                strategy: strategy(spec, dest),
                state: view.state,
                blocks,
                bytes: copied.unwrap_or_else(|| blocks.bytes()),
                checksum: view.checksum,
                checking: view.checking,
                evidence: view.evidence,
                image_sha256: view.image,
                error: view.error,
                copied: view.copied,
            }
        })
        .collect();
    row.blocks_done = if is_copied(spec) { slowest(&row) } else { counts.done };
    row.blocks_listed = counts.listed;
    row.blocks_total = if is_copied(spec) { row.blocks_total } else { total(spec, &counts) };
    row.blocks_resumed = resumed;
    row.bytes_read = progress.bytes_read;
    row.bytes_written = progress.bytes_written;
    row.rate = if matches!(state.state, JobState::Running | JobState::Verifying) { figures.rate } else { Rate(0.0) };
    if is_copied(spec) && state.state == JobState::Running {
        // Nothing is read here: what S3 writes is what moves.
        row.rate = figures.writes;
    }
    row.rate_history = figures.history;
    row.elapsed_seconds = seconds(progress.elapsed_ms);
    row.left_seconds = if is_copied(spec) { left_of_copies(&row) } else { left(&row, figures.lately, ends(spec)) };
    row.lanes = hub.lanes();
    row.bandwidth = hub.throttle.setting();
    row.rates = rates(&caller.routes());
    row.requests = progress.requests;
    row.spent = spent(spec, &row.destinations, &progress);
    row.troubles = progress.troubles;
    row.get_ms = figures.get_ms;
    row.put_ms = figures.put_ms;
    row.peak_rss = progress.peak_rss;
    row.said_at_peak = progress.said_at_peak;
    row.held = held.total();
    row.holds = Holds {
        parts: held.named(),
        reading: figures.reading,
        writing: figures.writing,
        idle: figures.idle,
        ledger: counts.memory,
    };
    row.stall = hub.stall().filter(|_| row.state.is_active());
    row.why = why(&row, hub.stands());
    row
}

/// How long S3 still takes, at the rate of the last seconds.
#[expect(clippy::cast_precision_loss, reason = "a duration")]
fn left_of_copies(row: &JobStatus) -> Option<(f64, f64)> {
    let rest = row.blocks_total.known()?.less(row.blocks_done).bytes().0 as f64;
    (row.state == JobState::Running && row.rate.0 > 0.0).then(|| (rest / row.rate.0, rest / row.rate.0))
}

/// Whether S3 does all of it: then its ledger counts nothing.
fn is_copied(spec: &Spec) -> bool {
    spec.plan.items.first().is_some_and(crate::plan::ItemPlan::is_copied)
}

/// What every destination has.
fn slowest(row: &JobStatus) -> Blocks {
    row.destinations.iter().map(|to| to.blocks).min().unwrap_or_default()
}

/// What a job that does not run holds of the budget.
pub(super) fn holds(row: &mut JobStatus, held: &Holding) {
    row.held = held.total();
    row.holds = Holds { parts: held.named(), ..Holds::default() };
}

/// The why-column: what it waits for, why it failed, or what keeps it from going faster.
fn why(row: &JobStatus, stands: &str) -> String {
    if let Some(stall) = &row.stall {
        return stall.word.clone();
    }
    match (row.state, row.lanes.reason) {
        (JobState::Failed | JobState::Partial, _) => failed_for(row),
        (JobState::Running, reason) if row.why.is_empty() => match reason {
            LaneReason::Quota => "quota",
            LaneReason::SnapshotThrottle | LaneReason::AccountThrottle => "throttled",
            LaneReason::KmsThrottle => "KMS throttled",
            LaneReason::UserCap => "lane cap",
            LaneReason::Bandwidth => "bandwidth",
            LaneReason::Memory => "memory",
            LaneReason::Shared => "shared",
            LaneReason::Congestion => "timeouts",
            LaneReason::Growing | LaneReason::Tail => "",
            LaneReason::NoGain => stands,
        }
        .to_owned(),
        _ => row.why.clone(),
    }
}

/// A cause that a person can mend has its own word.
fn failed_for(row: &JobStatus) -> String {
    match row.error.as_ref().map(cause_of) {
        Some((Cause::Kms | Cause::Login | Cause::DiskFull, word)) => word,
        _ => row.why.clone(),
    }
}

/// What only a watched job carries.
pub(super) fn detail(hub: &Hub) -> JobDetail {
    hub.watched();
    let counts = hub.counts();
    let segments = counts
        .segments
        .iter()
        .map(|segment| {
            let view = hub.segment(segment.id);
            let listing_done = segment.through >= segment.range.end;
            let mut note = String::new();
            if view.oldest.is_some_and(|age| age.as_secs() >= 5) {
                "slow".clone_into(&mut note);
            } else if !listing_done {
                "listing".clone_into(&mut note);
            }
            SegmentStatus {
                id: segment.id,
                range: segment.range,
                listed: segment.listed,
                done: segment.done,
                listing_done,
                rate: view.rate,
                history: view.history,
                p99_ms: view.p99_ms,
                retries: view.retries,
                in_flight: view.in_flight,
                oldest_seconds: view.oldest.map(|age| age.as_secs_f32()),
                note,
            }
        })
        .collect();
    let struggling = hub.struggling();
    let map = counts.map.iter().map(|cell| cell_of(cell, &counts, &struggling)).collect();
    JobDetail { job: hub.job, segments, map, blocks_per_cell: counts.span.max(1), events: hub.events() }
}

fn cell_of(cell: &keeper::MapCell, counts: &Counts, struggling: &[BlockIndex]) -> Cell {
    if struggling.iter().any(|block| cell.range.contains(*block)) {
        return Cell::Trouble;
    }
    let listed_whole = counts
        .segments
        .iter()
        .filter(|s| s.range.start < cell.range.end && cell.range.start < s.range.end)
        .all(|s| s.through >= cell.range.end.min(s.range.end));
    match (cell.listed, cell.done) {
        (0, _) if listed_whole => Cell::Hole,
        (0, _) => Cell::Unknown,
        (listed, done) if done >= listed && listed_whole => Cell::Done,
        (_, 0) => Cell::ToDo,
        _ => Cell::Moving,
    }
}

/// A row of a job that nobody runs, or another process.
pub(super) fn resting(spec: &Spec, dir: &JobDir) -> Result<JobStatus> {
    let picture = journal::replay(&dir.events())?;
    let running = dir.is_running();
    let ledger = if running { None } else { Ledger::counts(&dir.ledger()).ok() };
    let mut row = empty(spec);
    (row.state, row.why) = resting_state(&picture, running);
    row.error = picture.result.as_ref().and_then(|(.., error)| error.clone());
    row.ended = picture.result.as_ref().map(|(_, at, _)| *at);
    if matches!(row.state, JobState::Failed | JobState::Partial) {
        row.why = failed_for(&row);
    }
    for (dest, (known, shown)) in picture.destinations.iter().zip(&mut row.destinations).enumerate() {
        let counted = ledger.as_ref().map(|(_, done)| done.get(dest).copied().unwrap_or_default());
        let blocks = counted.or(known.completing.map(|(blocks, _)| blocks)).unwrap_or_default();
        shown.state = known.state;
        shown.copied.clone_from(&known.copied);
        let copied = known.copied.as_ref().map(|copied| copied.bytes);
        shown.blocks = copied.map_or(blocks, Bytes::blocks);
        shown.bytes = copied.unwrap_or_else(|| blocks.bytes());
        shown.checksum = known.completing.and_then(|(_, checksum)| checksum);
        shown.evidence = known.evidence;
        shown.image_sha256 = known.image;
        shown.error.clone_from(&known.error);
        shown.address = address(spec, dest, known);
    }
    row.blocks_done = row.destinations.iter().map(|d| d.blocks).min().unwrap_or_default();
    if let Some((listed, _)) = &ledger {
        row.blocks_listed = *listed;
    }
    let listed = !picture.segments.is_empty() && picture.segments.values().all(|s| s.through >= s.range.end);
    if listed && ledger.is_some() && !is_copied(spec) {
        row.blocks_total = Quantity::exact(row.blocks_listed);
    }
    let progress = picture.progress;
    row.bytes_read = progress.bytes_read;
    row.bytes_written = progress.bytes_written;
    row.elapsed_seconds = seconds(progress.elapsed_ms);
    row.requests = progress.requests;
    row.spent = spent(spec, &row.destinations, &progress);
    row.troubles = progress.troubles;
    row.peak_rss = progress.peak_rss;
    row.said_at_peak = progress.said_at_peak;
    row.lanes.setting = picture.lanes.unwrap_or(Lanes::Auto);
    if let Some(bandwidth) = &picture.bandwidth {
        row.bandwidth.clone_from(bandwidth);
    }
    if row.state.is_resumable() {
        row.expires = picture.last.and_then(dies_at).filter(|_| has_pending_snapshot(spec, &picture));
    }
    if !running {
        row.left_overs = left_overs(spec, &picture);
    }
    Ok(row)
}

/// What a job at rest has made and not completed, as far as its journal and this machine's disk know. A clean-up
/// that went through leaves nothing; whether a snapshot is still there only AWS knows.
pub(super) fn left_overs(spec: &Spec, picture: &Picture) -> Vec<LeftOver> {
    if matches!(picture.result, Some((JobState::Cancelled, _, None))) {
        return Vec::new();
    }
    let Some(item) = spec.plan.items.first() else { return Vec::new() };
    let mut found = Vec::new();
    for (dest, (plan, known)) in item.destinations.iter().zip(&picture.destinations).enumerate() {
        if known.state == DestinationState::Completed || known.attempt == 0 {
            continue;
        }
        match &plan.kind {
            DestinationKind::Snapshot { .. } if known.id.is_some() => {
                found.push(LeftOver::Snapshot(address(spec, dest, known)));
            }
            DestinationKind::Image { .. } if known.id.is_some() => {
                found.push(LeftOver::Image(address(spec, dest, known)));
            }
            DestinationKind::Snapshot { .. } | DestinationKind::Image { .. }
                if known.state == DestinationState::Starting =>
            {
                found.push(LeftOver::Unanswered(plan.address.to_string()));
            }
            DestinationKind::Copied { bucket, .. } | DestinationKind::CopiedTree { bucket, .. } => {
                found.extend(known.uploads.keys().map(|key| LeftOver::Upload(format!("s3://{bucket}/{key}"))));
            }
            DestinationKind::Archive { bucket, root, .. } => {
                found.push(LeftOver::Objects(format!("s3://{bucket}/{root}")));
            }
            DestinationKind::Object { bucket, key, .. } => {
                found.push(LeftOver::Upload(format!("s3://{bucket}/{key}")));
            }
            DestinationKind::File { path, .. } => {
                let part = partial(path, &spec.unique, dest);
                found.extend(part.symlink_metadata().is_ok().then_some(LeftOver::File(part)));
            }
            _ => {}
        }
    }
    found
}

fn has_pending_snapshot(spec: &Spec, picture: &Picture) -> bool {
    let Some(item) = spec.plan.items.first() else { return false };
    item.destinations.iter().zip(&picture.destinations).any(|(plan, known)| {
        matches!(plan.kind, DestinationKind::Snapshot { .. })
            && known.id.is_some()
            && known.state != DestinationState::Completed
    })
}

/// What the journal's last word means when nobody is at work on it.
fn resting_state(picture: &Picture, running: bool) -> (JobState, String) {
    let (state, why) = picture.state.clone().unwrap_or((JobState::Queued, String::new()));
    if running {
        return (state, why);
    }
    if let Some((state, ..)) = &picture.result
        && (state.is_over() || state.is_resumable())
    {
        return (*state, why);
    }
    if state.is_active() || state == JobState::Queued {
        return (JobState::Interrupted, "its engine ended".to_owned());
    }
    (state, why)
}

fn address(spec: &Spec, dest: usize, known: &DestinationPicture) -> String {
    let planned = spec.plan.items.first().and_then(|item| item.destinations.get(dest));
    match (planned, &known.id) {
        (Some(plan), Some(id))
            if matches!(plan.kind, DestinationKind::Snapshot { .. } | DestinationKind::Image { .. }) =>
        {
            let place = match &plan.address {
                Address::OnParent(place, _) => Address::NewSnapshot(place.clone()),
                other => other.clone(),
            };
            format!("{place}{id}")
        }
        (Some(plan), _) => plan.address.to_string(),
        (None, _) => String::new(),
    }
}

fn strategy(spec: &Spec, dest: usize) -> crate::plan::Strategy {
    spec.plan.items.first().and_then(|item| item.destinations.get(dest)).map(|d| d.strategy).unwrap_or_default()
}

/// A job whose files cannot be read: shown as failed and saying why, because what vanishes from a list is forgotten.
pub(super) fn unreadable(job: JobId, spec: Option<&Spec>, dir: &JobDir, error: Error) -> JobStatus {
    let since = std::fs::metadata(&dir.0).and_then(|meta| meta.modified()).ok();
    let since = since.and_then(|time| Timestamp::try_from(time).ok()).unwrap_or(Timestamp::UNIX_EPOCH);
    let row = spec.map_or_else(|| blank(job, since), empty);
    JobStatus { state: JobState::Failed, why: UNREADABLE.to_owned(), error: Some(error), ..row }
}

/// The why-column of a job whose files cannot be read.
pub(super) const UNREADABLE: &str = "cannot be read";

/// A row that knows only what was planned.
fn empty(spec: &Spec) -> JobStatus {
    let item = spec.plan.items.first();
    let choices = &spec.plan.choices;
    let planned = item.map(|item| item.destinations.as_slice()).unwrap_or_default();
    let destinations = planned.iter().map(|plan| DestinationStatus {
        address: plan.address.to_string(),
        strategy: plan.strategy,
        state: DestinationState::Pending,
        blocks: Blocks::ZERO,
        bytes: Bytes::ZERO,
        checksum: None,
        checking: None,
        evidence: super::protocol::Evidence::None,
        image_sha256: None,
        error: None,
        copied: None,
    });
    let row = blank(spec.job, spec.created);
    JobStatus {
        group: spec.group,
        source: item.map(|item| item.source.address.to_string()).unwrap_or_default(),
        name: item.and_then(|item| item.source.name.clone()),
        destinations: destinations.collect(),
        blocks_total: item.map_or_else(Quantity::unknown, |item| item.source.blocks),
        who: spec.grant.who.clone(),
        lanes: LanesStatus { target: choices.lanes_start, cap: choices.lanes_max, ..row.lanes },
        bandwidth: spec.plan.operation.options.bandwidth.clone(),
        embedded: spec.plan.world.is_sandbox(),
        predicted: Predicted {
            memory: spec.plan.memory.total,
            base: spec.plan.memory.base(),
            of_budget: spec.plan.memory.of_budget(),
            cost: spec.cost(),
            seconds_low: spec.plan.time.low_seconds,
            seconds_high: spec.plan.time.high_seconds,
            requests: spec.requests(),
        },
        ..row
    }
}

/// A row of which nothing but its number is known.
pub(crate) fn blank(job: JobId, created: Timestamp) -> JobStatus {
    JobStatus {
        job,
        group: None,
        state: JobState::Queued,
        why: String::new(),
        source: String::new(),
        name: None,
        destinations: Vec::new(),
        blocks_done: Blocks::ZERO,
        blocks_total: Quantity::unknown(),
        blocks_listed: Blocks::ZERO,
        blocks_resumed: Blocks::ZERO,
        bytes_read: Bytes::ZERO,
        bytes_written: Bytes::ZERO,
        rate: Rate(0.0),
        rate_history: Vec::new(),
        left_seconds: None,
        elapsed_seconds: 0.0,
        created,
        ended: None,
        who: String::new(),
        lanes: LanesStatus {
            now: 0,
            target: 0,
            cap: 0,
            setting: Lanes::Auto,
            reason: LaneReason::Growing,
            why: String::new(),
            changed: None,
        },
        bandwidth: None,
        rates: Vec::new(),
        requests: Requests::default(),
        spent: Usd(0.0),
        troubles: super::protocol::Troubles::default(),
        get_ms: None,
        put_ms: None,
        predicted: Predicted::default(),
        peak_rss: Bytes::ZERO,
        said_at_peak: None,
        embedded: false,
        held: Bytes::ZERO,
        holds: Holds::default(),
        stall: None,
        turned: Vec::new(),
        expires: None,
        error: None,
        left_overs: Vec::new(),
    }
}

/// A row of which nothing is known.
#[cfg(test)]
pub(super) fn blank_row() -> JobStatus {
    blank(JobId(1), Timestamp::UNIX_EPOCH)
}

fn total(spec: &Spec, counts: &Counts) -> Quantity<Blocks> {
    if counts.listed_whole {
        return Quantity::exact(counts.listed);
    }
    let planned = spec.plan.items.first().map_or_else(Quantity::unknown, |item| item.source.blocks);
    // Never less than what is known to be there.
    Quantity { value: planned.value.max(counts.listed), sure: planned.sure.max(Sure::AtMost) }
}

#[expect(clippy::cast_precision_loss, reason = "a duration")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// What its end takes: the plan's own figure, and what is read back once its blocks are there.
fn ends(spec: &Spec) -> Ends {
    let full = spec.plan.operation.options.verify == Verify::Full;
    let direct = |to: &&DestinationPlan| matches!(to.kind, DestinationKind::Snapshot { .. }) && !by_aws(to);
    let results = spec.plan.items.first().map_or(0, |item| item.destinations.iter().filter(direct).count());
    let back = if full { u32::try_from(results).unwrap_or(u32::MAX) } else { 0 };
    Ends { aside: spec.plan.seconds_aside(), back }
}

fn by_aws(to: &DestinationPlan) -> bool {
    to.strategy == crate::plan::Strategy::Native
}

/// Dollars so far: the unit prices of the plan's own lines, times what happened.
#[expect(clippy::cast_precision_loss, reason = "a price")]
fn spent(spec: &Spec, made: &[DestinationStatus], progress: &Progress) -> Usd {
    let (requests, read, written) = (progress.requests, progress.bytes_read, progress.bytes_written);
    let Some(item) = spec.plan.items.first() else { return Usd(0.0) };
    let parts = || spec.plan.cost.parts.iter().filter(|part| !part.monthly);
    // What lines of one kind cost on the average: they differ by region only.
    let unit = |charge: Charge| {
        let of = || parts().filter(move |part| part.charge == charge);
        let count: f64 = of().map(|part| part.quantity).sum();
        if count > 0.0 { Some(of().map(|part| part.usd.value.0).sum::<f64>() / count) } else { None }
    };
    let mut usd = 0.0;
    for (charge, count) in [
        (Charge::List, requests.list),
        (Charge::Get, requests.get.saturating_sub(requests.fetch)),
        (Charge::Put, requests.put.saturating_sub(requests.store)),
        (Charge::Fetch, requests.fetch),
        (Charge::Store, requests.store),
    ] {
        if count > 0 {
            usd += unit(charge).or_else(|| unplanned(spec, item, charge)).unwrap_or(0.0) * count as f64;
        }
    }
    let ours = item.destinations.iter().filter(|to| !by_aws(to)).count().max(1) as u64;
    for part in parts().filter(|part| part.quantity > 0.0) {
        let is_done = || match part.destination {
            Some(dest) => made.get(dest).is_some_and(|to| to.state == DestinationState::Completed),
            None => !made.is_empty() && made.iter().all(|to| to.state == DestinationState::Completed),
        };
        let each = part.usd.value.0 / part.quantity;
        usd += match part.charge {
            Charge::Read => each * read.as_gib(),
            Charge::Written => each * Bytes(written.0 / ours).as_gib(),
            Charge::Back => each * Bytes(progress.bytes_read_back.0 / ours).as_gib(),
            // AWS bills what it copied, and says how much only by being done.
            Charge::Service | Charge::Fixed if is_done() => part.usd.value.0,
            _ => 0.0,
        };
    }
    Usd(usd)
}

/// The price of what the plan has no line for: a proof that was raised while the job ran.
fn unplanned(spec: &Spec, item: &crate::plan::ItemPlan, charge: Charge) -> Option<f64> {
    let region = item.destinations.iter().find_map(|to| to.region.as_ref()).or(item.source.region.as_ref())?;
    let prices = spec.plan.prices();
    let price = match charge {
        Charge::List => prices.request(Api::List, region),
        Charge::Get => prices.request(Api::Get, region),
        Charge::Put => prices.request(Api::Put, region),
        Charge::Fetch => prices.s3("STANDARD", region).get,
        Charge::Store => prices.s3("STANDARD", region).put,
        _ => return None,
    };
    price.known().map(|usd| usd.0)
}
