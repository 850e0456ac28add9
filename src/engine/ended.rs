//! The index of jobs that ended: one line each in `jobs/ended.ndjson`, so that ten thousand are one file to read.
//!
//! Invariant: it is a cache. A job without a line is read from its directory; a line whose journal has changed
//! since does not count; an index of another version, or one that is damaged anywhere, is made anew from the
//! directories. So it is never synced, and losing it costs one slow listing.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::protocol::{JobState, JobStatus, LeftOver};
use super::spec::JobDir;
use super::status;
use crate::error::{Error, Result};
use crate::ids::JobId;
use crate::store::{StateDir, atomic};

/// Version of the lines.
const VERSION: u32 = 1;
/// New rows that are added one by one; for more the whole file is written anew.
const ADDED: usize = 64;
/// Directories are read by so many threads at most,
const READERS: usize = 8;
/// and by one thread where there are no more than these.
const SHARE: usize = 64;

#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Ended(Box<Row>),
    Forgotten(JobId),
}

#[derive(Serialize, Deserialize)]
struct Row {
    /// Length and time of the journal that the row was made from.
    journal: (u64, i64, i64),
    job: JobStatus,
}

impl Row {
    fn of(job: &JobStatus, dir: &JobDir) -> Option<Self> {
        let job = JobStatus { rate_history: Vec::new(), rates: Vec::new(), left_seconds: None, ..job.clone() };
        Some(Self { journal: stamp(dir)?, job })
    }

    /// What ended for good and left nothing stays as it is; the rest is as good as its journal.
    fn holds(&self, dir: &JobDir) -> bool {
        let final_for_good = self.job.state.is_over() && self.job.left_overs.is_empty();
        final_for_good || stamp(dir) == Some(self.journal)
    }
}

fn stamp(dir: &JobDir) -> Option<(u64, i64, i64)> {
    let meta = fs::metadata(dir.events()).ok()?;
    Some((meta.len(), meta.mtime(), meta.mtime_nsec()))
}

/// Whether a row is worth a line: what goes on by itself or by a word is looked at afresh, and so is what another
/// version of floe may be able to read.
fn keeps(job: &JobStatus) -> bool {
    matches!(job.state, JobState::Done | JobState::Cancelled | JobState::Failed | JobState::Partial)
        && job.why != status::UNREADABLE
}

fn path(state: &StateDir) -> Result<PathBuf> {
    Ok(state.jobs()?.join("ended.ndjson"))
}

/// All rows of the index and how many lines they took; `None` when it has to be made anew.
fn read(state: &StateDir) -> Option<(HashMap<JobId, Row>, usize)> {
    let text = fs::read(path(state).ok()?).ok()?;
    let (last, whole) = text.split_last()?;
    let mut lines = whole.split(|byte| *byte == b'\n');
    let head: Head = serde_json::from_slice(lines.next()?).ok()?;
    if *last != b'\n' || head.version != VERSION {
        return None;
    }
    let (mut rows, mut count) = (HashMap::new(), 0);
    for line in lines {
        count += 1;
        match serde_json::from_slice(line).ok()? {
            Line::Ended(row) => rows.insert(row.job.job, *row),
            Line::Forgotten(job) => rows.remove(&job),
        };
    }
    Some((rows, count))
}

/// Every job of the directory as it rests, by number. Jobs of the index cost no open file; the index is brought up
/// to date where it can be written. A job that cannot be read is a failed one that says why.
///
/// # Errors
/// The directory of all jobs cannot be read.
pub(super) fn all(state: &StateDir) -> Result<BTreeMap<JobId, JobStatus>> {
    let root = state.jobs()?;
    let entries = fs::read_dir(&root).map_err(|e| Error::io(format!("could not list {}", root.display()), &e))?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<JobId>().ok());
    let index = read(state);
    let (mut known, lines) = index.unwrap_or_default();
    let (mut jobs, mut kept, mut unknown) = (BTreeMap::new(), Vec::new(), Vec::new());
    for job in numbers {
        let dir = JobDir(state.job(job));
        match known.remove(&job).filter(|row| row.holds(&dir)) {
            Some(mut row) => {
                row.job.left_overs.retain(is_there);
                jobs.insert(job, row.job);
                kept.push(job);
            }
            None => unknown.push(job),
        }
    }
    let mut fresh = Vec::new();
    for (job, row) in from_directories(state, &unknown) {
        if keeps(&row) && !JobDir(state.job(job)).is_running() {
            fresh.push(job);
        }
        jobs.insert(job, row);
    }
    // Lines that stand for nothing any more are swept out when there are as many as good ones.
    let stale = lines > 2 * kept.len() + ADDED;
    let outcome = if fresh.len() > ADDED || stale || lines == 0 && !fresh.is_empty() {
        kept.extend(fresh);
        write(state, kept.iter().filter_map(|job| jobs.get(job)))
    } else {
        fresh.iter().filter_map(|job| jobs.get(job)).try_for_each(|row| add(state, row))
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "the index of ended jobs was not brought up to date");
    }
    Ok(jobs)
}

/// Reads jobs from their directories, many at once: each is a few small files, and most of the time goes by in
/// opening them.
fn from_directories(state: &StateDir, jobs: &[JobId]) -> Vec<(JobId, JobStatus)> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(READERS);
    let share = jobs.len().div_ceil(threads).max(SHARE);
    let one = |jobs: &[JobId]| -> Vec<(JobId, JobStatus)> {
        jobs.iter().filter_map(|job| Some((*job, from_directory(state, *job)?))).collect()
    };
    if jobs.len() <= share {
        return one(jobs);
    }
    let each: Vec<Vec<_>> = std::thread::scope(|scope| {
        let readers: Vec<_> = jobs.chunks(share).map(|jobs| (jobs, scope.spawn(move || one(jobs)))).collect();
        // A reader that died is made up for: its jobs are read here.
        readers.into_iter().map(|(jobs, reader)| reader.join().unwrap_or_else(|_| one(jobs))).collect()
    });
    each.into_iter().flatten().collect()
}

/// `None` for what is no job; one that cannot be read says so in its row.
fn from_directory(state: &StateDir, job: JobId) -> Option<JobStatus> {
    let dir = JobDir(state.job(job));
    if !dir.job().is_file() {
        return None;
    }
    Some(match dir.spec() {
        Ok(spec) => status::resting(&spec, &dir).unwrap_or_else(|e| status::unreadable(job, Some(&spec), &dir, e)),
        Err(error) => status::unreadable(job, None, &dir, error),
    })
}

/// Whether it may still exist: of a file this machine knows.
fn is_there(left: &LeftOver) -> bool {
    match left {
        LeftOver::File(path) => path.symlink_metadata().is_ok(),
        LeftOver::Snapshot(_) | LeftOver::Unanswered(_) | LeftOver::Objects(_) | LeftOver::Upload(_) => true,
    }
}

/// Writes the whole index.
fn write<'a>(state: &StateDir, jobs: impl Iterator<Item = &'a JobStatus>) -> Result<()> {
    let mut text = line(&Head { version: VERSION })?;
    for job in jobs {
        if let Some(row) = Row::of(job, &JobDir(state.job(job.job))) {
            text.push_str(&line(&Line::Ended(Box::new(row)))?);
        }
    }
    atomic::write(&path(state)?, text.as_bytes())
}

/// Adds a job that ended; one that can go on by itself is none.
///
/// # Errors
/// The index cannot be written: the job is then read from its directory.
pub(super) fn add(state: &StateDir, job: &JobStatus) -> Result<()> {
    match Row::of(job, &JobDir(state.job(job.job))).filter(|row| keeps(&row.job)) {
        Some(row) => append(state, &Line::Ended(Box::new(row))),
        None => Ok(()),
    }
}

/// Drops a job's row.
///
/// # Errors
/// The index cannot be written: the row then stands for a directory that is gone, and is passed over.
pub(super) fn forget(state: &StateDir, job: JobId) -> Result<()> {
    append(state, &Line::Forgotten(job))
}

/// One write of one whole line, or with the head of two: what others append does not mix with it.
fn append(state: &StateDir, what: &Line) -> Result<()> {
    let path = path(state)?;
    let failed = |e: std::io::Error| Error::io(format!("could not write {}", path.display()), &e);
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(failed)?;
    let mut text = line(what)?;
    if file.metadata().map_err(failed)?.len() == 0 {
        text.insert_str(0, &line(&Head { version: VERSION })?);
    }
    file.write_all(text.as_bytes()).map_err(failed)
}

fn line<T: Serialize>(what: &T) -> Result<String> {
    let failed = |e: serde_json::Error| Error::failed(format!("could not write the index of ended jobs: {e}"));
    serde_json::to_string(what).map(|text| text + "\n").map_err(failed)
}
