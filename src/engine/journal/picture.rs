//! What all lines of a journal say together: the state that a resume starts from.
//!
//! Invariant: it is changed by records only, and a record that does not fit what came before is an error, so
//! a damaged journal cannot make a plausible picture.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::{Checked, Credentials, Cut, Progress, Record, Setting, Step, Uploading};
use crate::bandwidth::Bandwidth;
use crate::engine::protocol::{Copied, DestinationState, Evidence, JobState, Lanes};
use crate::error::{Error, Result};
use crate::ids::{BlockRange, JobId};
use crate::units::{Blocks, Bytes, Digest};

/// Where one destination stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DestinationPicture {
    /// Its state.
    pub state: DestinationState,
    /// The state that it failed in.
    pub failed_in: Option<DestinationState>,
    /// The attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// The client token of that attempt.
    pub client_token: Option<String>,
    /// The snapshot's id, or the file's temporary path, of that attempt.
    pub id: Option<String>,
    /// What CompleteSnapshot was, or is to be, told.
    pub completing: Option<(Blocks, Option<Digest>)>,
    /// How far it is checked.
    #[serde(default)]
    pub checked: Checked,
    /// Who vouches for it.
    pub evidence: Evidence,
    /// SHA-256 of the whole image, when all of it was read in order.
    #[serde(default)]
    pub image: Option<Digest>,
    /// Why it failed.
    pub error: Option<Error>,
    /// Uploads under way, by key: of a prefix a few at a time.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub uploads: BTreeMap<String, UploadPicture>,
    /// How far S3 is, where it copies by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied: Option<Copied>,
}

/// One upload whose parts S3 copies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UploadPicture {
    /// When it was wanted, seconds since the epoch.
    pub since: i64,
    /// Its id, once that was heard.
    pub id: Option<String>,
    /// How it is cut: from that part on, at that byte, in parts of that length.
    pub cuts: Vec<(u32, u64, Bytes)>,
}

impl Default for DestinationPicture {
    fn default() -> Self {
        Self {
            state: DestinationState::Pending,
            failed_in: None,
            attempt: 0,
            client_token: None,
            id: None,
            completing: None,
            checked: Checked::default(),
            evidence: Evidence::None,
            image: None,
            error: None,
            uploads: BTreeMap::new(),
            copied: None,
        }
    }
}

/// How far one segment is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentPicture {
    /// Its indexes.
    pub range: BlockRange,
    /// The first index that is not known to be listed: `range.end` when its listing ended.
    pub through: u32,
}

/// What all lines of a journal say together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Picture {
    /// The job, its plan's hash; none before the first line.
    pub created: Option<(JobId, String, Timestamp)>,
    /// Its state and why.
    pub state: Option<(JobState, String)>,
    /// Whether the engine that ran it last lived in a process of its own; `None` before the first run.
    #[serde(default)]
    pub background: Option<bool>,
    /// Lanes, when they were turned.
    pub lanes: Option<Lanes>,
    /// The job's share of the budget, when it was turned.
    pub memory: Option<Bytes>,
    /// Its bandwidth, when it was turned: perhaps to no limit.
    pub bandwidth: Option<Option<Bandwidth>>,
    /// Its destinations, in the job's order.
    pub destinations: Vec<DestinationPicture>,
    /// Its segments by number.
    pub segments: BTreeMap<u32, SegmentPicture>,
    /// Whether it fell back to one listing cursor.
    pub one_cursor: bool,
    /// The profile and reason, while it waits for credentials.
    pub waiting: Option<(String, String)>,
    /// Totals.
    pub progress: Progress,
    /// How it ended, when, and why.
    pub result: Option<(JobState, Timestamp, Option<Error>)>,
    /// When the last line was written.
    pub last: Option<Timestamp>,
    /// Notes that were dropped to keep the journal small.
    pub notes_dropped: u64,
}

impl Picture {
    /// The number that a new segment gets.
    #[must_use]
    pub fn next_segment(&self) -> u32 {
        self.segments.last_key_value().map_or(0, |(last, _)| last + 1)
    }

    /// Adds one record.
    ///
    /// # Errors
    /// It does not fit what came before: a destination that the job does not have, a step out of order, an
    /// unknown segment. A journal that says such a thing is damaged.
    pub fn apply(&mut self, at: Timestamp, record: &Record) -> Result<()> {
        let wrong = |what: String| Err(Error::failed(what));
        match record {
            Record::Created { job, plan_hash, destinations } => {
                if let Some((known, ..)) = &self.created {
                    return wrong(format!("job {job} is created a second time (it is job {known})"));
                }
                self.created = Some((*job, plan_hash.clone(), at));
                self.destinations = vec![DestinationPicture::default(); usize::from(*destinations)];
            }
            Record::Engine { background, .. } => self.background = Some(*background),
            Record::State { to, why } => self.state = Some((*to, why.clone())),
            Record::Setting(Setting::Lanes(lanes)) => self.lanes = Some(*lanes),
            Record::Setting(Setting::Memory(memory)) => self.memory = *memory,
            Record::Setting(Setting::Bandwidth(bandwidth)) => self.bandwidth = Some(bandwidth.clone()),
            Record::Destination { dest, step } => match self.destinations.get_mut(usize::from(*dest)) {
                Some(known) => known.take(*dest, step)?,
                None => return wrong(format!("the job has no destination {dest}")),
            },
            Record::Segments(cuts) => {
                let whole = |cut: &Cut| (cut.segment, SegmentPicture { range: cut.range, through: cut.range.start });
                self.segments = cuts.iter().map(whole).collect();
            }
            Record::Split { from, at, segment } => self.split(*from, *at, *segment)?,
            Record::Listed { segment, through } => match self.segments.get_mut(segment) {
                Some(known) => known.through = known.through.max(*through).min(known.range.end),
                None => return wrong(format!("the job has no segment {segment}")),
            },
            Record::Checked { dest, to } => match self.destinations.get_mut(usize::from(*dest)) {
                Some(known) if known.state == DestinationState::Checking => known.checked = to.clone(),
                _ => return wrong(format!("destination {dest} is not being checked")),
            },
            Record::Upload { dest, key, step } => match self.destinations.get_mut(usize::from(*dest)) {
                Some(known) => known.uploading(key, step)?,
                None => return wrong(format!("the job has no destination {dest}")),
            },
            Record::Copied { dest, to } => match self.destinations.get_mut(usize::from(*dest)) {
                Some(known) => known.copied = Some(to.clone()),
                None => return wrong(format!("the job has no destination {dest}")),
            },
            Record::OneCursor => self.one_cursor = true,
            Record::Credentials(Credentials::Waiting { profile, why }) => {
                self.waiting = Some((profile.clone(), why.clone()));
            }
            Record::Credentials(Credentials::Fresh { .. }) => self.waiting = None,
            Record::Progress(progress) => self.progress = *progress,
            Record::Note(_) | Record::Error { .. } => {}
            Record::Result { state, error } => {
                self.state = Some((*state, error.as_ref().map_or_else(String::new, |e| e.what.clone())));
                self.result = Some((*state, at, error.clone()));
            }
            Record::Checkpoint(picture) => *self = (**picture).clone(),
        }
        if let Record::State { to, .. } = record
            && (to.is_active() || *to == JobState::Queued)
        {
            self.result = None;
        }
        self.last = Some(at);
        Ok(())
    }

    fn split(&mut self, from: u32, at: u32, segment: u32) -> Result<()> {
        let unknown = self.segments.contains_key(&segment);
        let Some(old) = self
            .segments
            .get_mut(&from)
            .filter(|old| !unknown && old.range.start < at && at < old.range.end && old.through <= at)
        else {
            return Err(Error::failed(format!("segment {from} cannot be cut at {at} into segment {segment}")));
        };
        let range = BlockRange::new(at, old.range.end);
        old.range.end = at;
        self.segments.insert(segment, SegmentPicture { range, through: at });
        Ok(())
    }
}

impl DestinationPicture {
    fn uploading(&mut self, key: &str, step: &Uploading) -> Result<()> {
        if let Uploading::Wanted { since } = step {
            self.uploads.insert(key.to_owned(), UploadPicture { since: *since, ..UploadPicture::default() });
            return Ok(());
        }
        let Some(upload) = self.uploads.get_mut(key) else {
            return Err(Error::failed(format!("an upload of {key} goes on that was never wanted")));
        };
        match step {
            Uploading::Wanted { .. } => {}
            Uploading::Begun { id } => upload.id = Some(id.clone()),
            Uploading::Cut { part, at, size } => {
                // A part is cut anew as long as nothing of it was sent.
                upload.cuts.retain(|(known, ..)| known < part);
                upload.cuts.push((*part, *at, *size));
            }
            Uploading::Ended => {
                self.uploads.remove(key);
            }
        }
        Ok(())
    }

    fn take(&mut self, dest: u16, step: &Step) -> Result<()> {
        if !step.may_follow(self.state) {
            let to = step.state();
            return Err(Error::failed(format!("destination {dest} cannot go from {:?} to {to:?}", self.state)));
        }
        match step {
            Step::Starting { attempt, client_token } => {
                if *attempt != self.attempt {
                    *self = Self { attempt: *attempt, ..Self::default() };
                }
                self.client_token = Some(client_token.clone());
            }
            Step::Started { id } => self.id = Some(id.clone()),
            Step::Writing | Step::Checking => {}
            Step::Completing { blocks, checksum } => {
                self.completing = Some((*blocks, *checksum));
                self.checked = Checked::default();
            }
            Step::Completed { evidence, image } => (self.evidence, self.image) = (*evidence, *image),
            Step::Failed { error } => {
                if self.state != DestinationState::Failed {
                    self.failed_in = Some(self.state);
                }
                self.error = Some(error.clone());
            }
        }
        self.state = step.state();
        if self.state != DestinationState::Failed {
            (self.error, self.failed_in) = (None, None);
        }
        Ok(())
    }
}
