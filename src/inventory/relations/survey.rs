//! The survey: every region at once, bulk first, then what is asked one by one; told as it comes.
//!
//! One task owns everything that is under way; when the receiver is dropped it ends and takes the rest with it.
//! Each region tells [`Update::Bulk`] when the bulk answers are in (verdicts stand, but for what is not checked yet),
//! then [`Update::Done`], after the single answers where the [`Depth`] asks for them, or [`Update::Failed`] when none of
//! its lists could be had.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::{JoinSet, spawn_blocking};

use super::single::{Candidates, ask};
use super::{Facts, JobUse, Region, Told, cached, gather};
use crate::aws::{Aws, Session};
use crate::error::Error;
use crate::ids::{Profile, Region as RegionName};
use crate::inventory::denied::{Denied, is_denial};
use crate::inventory::remember::Memory;
use crate::inventory::verdict::{Policy, Thing, View};
use crate::inventory::{Kind, Origin, Regions};
use crate::store::StateDir;
use crate::store::copies::{Copied, Copies};

/// Regions whose lists are read at once: each asks thirteen questions at a time.
const AT_ONCE: usize = 6;
/// Messages that may wait for a slow reader.
const WAITING: usize = 64;

/// How far a survey asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// Bulk describes only: what needs single answers stays unknown, unless they were given within ten minutes.
    Bulk,
    /// Then what is answered one by one, about what every other rule leaves.
    #[default]
    Single,
}

/// What is asked again although it was answered within ten minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anew {
    /// Nothing.
    #[default]
    Nothing,
    /// Everything but the lists: those were read a moment ago by a look of their own.
    Answers,
    /// Everything.
    All,
}

/// What to judge.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Whose.
    pub profiles: Vec<Option<Profile>>,
    /// Where.
    pub regions: Regions,
    /// What is asked anew.
    pub anew: Anew,
    /// How far.
    pub depth: Depth,
    /// By what policy: decides who is a candidate.
    pub policy: Policy,
    /// What floe's own jobs use.
    pub jobs: Told<Vec<JobUse>>,
}

/// What a running survey tells.
#[derive(Debug, Clone)]
pub enum Update {
    /// How many regions of a profile will be told of.
    Regions(usize),
    /// The bulk answers of a region are in.
    Bulk(Arc<Region>),
    /// Questions about single things are being asked there.
    Asking {
        /// Where.
        origin: Arc<Origin>,
        /// Answered.
        done: usize,
        /// Of so many.
        of: usize,
    },
    /// A region is complete.
    Done(Arc<Region>),
    /// Nothing could be had of a region.
    Failed {
        /// Where.
        origin: Arc<Origin>,
        /// Why.
        error: Error,
        /// Whether a policy closed it.
        denied: bool,
    },
    /// A profile could not be used at all.
    ProfileFailed(Option<Profile>, Error),
    /// Everything was told.
    Finished,
}

/// Starts it; ends with [`Update::Finished`], or when the receiver is dropped.
#[must_use]
pub fn survey(aws: &Aws, wanted: Ask, cache: Option<&StateDir>) -> mpsc::Receiver<Update> {
    let (told, reader) = mpsc::channel(WAITING);
    let memory = Memory::new(cache, &aws.world());
    let (aws, records, world) = (aws.clone(), cache.map(Copies::of), aws.world().text());
    tokio::spawn(async move {
        let read = spawn_blocking(move || records.map(|records| records.of_world(&world)).unwrap_or_default());
        // A worker that was stopped knows of no record.
        let copies = Arc::new(read.await.unwrap_or_default());
        let survey = Arc::new(Survey { aws, wanted, copies, memory, gate: Semaphore::new(AT_ONCE), told });
        tokio::select! {
            () = survey.told.closed() => {}
            () = run(Arc::clone(&survey)) => {}
        }
    });
    reader
}

#[derive(Debug)]
struct Survey {
    aws: Aws,
    wanted: Ask,
    copies: Arc<Vec<Copied>>,
    memory: Memory,
    gate: Semaphore,
    told: mpsc::Sender<Update>,
}

async fn run(survey: Arc<Survey>) {
    let mut profiles = JoinSet::new();
    for profile in survey.wanted.profiles.clone() {
        let survey = Arc::clone(&survey);
        profiles.spawn(async move { survey.profile(survey.aws.resolve_profile(profile.as_ref())).await });
    }
    while profiles.join_next().await.is_some() {}
    survey.tell(Update::Finished).await;
}

impl Survey {
    /// A reader that is gone ends the whole survey; nothing is to be done about it here.
    async fn tell(&self, update: Update) {
        let _ = self.told.send(update).await;
    }

    async fn profile(self: &Arc<Self>, profile: Option<Profile>) {
        let regions = match self.regions(profile.as_ref()).await {
            Ok(regions) => regions,
            Err(error) => return self.tell(Update::ProfileFailed(profile, error)).await,
        };
        self.tell(Update::Regions(regions.len())).await;
        let mut tasks = JoinSet::new();
        let mut closed: Option<Arc<Mutex<Denied>>> = None;
        for region in regions {
            let session = match self.aws.session(profile.as_ref(), Some(&region)).await {
                Ok(session) => session,
                Err(error) => {
                    self.tell(Update::ProfileFailed(profile.clone(), error)).await;
                    continue;
                }
            };
            let closed =
                closed.get_or_insert_with(|| Arc::new(Mutex::new(Denied::load(self.memory.denied(session.account())))));
            let (survey, closed) = (Arc::clone(self), Arc::clone(closed));
            tasks.spawn(async move {
                survey.region(&session, &closed).await;
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn regions(&self, profile: Option<&Profile>) -> Result<Vec<RegionName>, Error> {
        if let Regions::Only(regions) = &self.wanted.regions {
            return Ok(regions.clone());
        }
        let rows = self.aws.regions(profile).await?;
        Ok(rows.iter().filter(|row| row.is_enabled()).map(|row| row.name.clone()).collect())
    }

    async fn region(&self, session: &Session, closed: &Mutex<Denied>) {
        let origin = Arc::clone(session.origin());
        if self.wanted.regions == Regions::All
            && let Some(error) = closed.lock().await.of(&origin.region, Kind::Snapshots, crate::wall::now())
        {
            return self.tell(Update::Failed { origin, error, denied: true }).await;
        }
        let path = self.memory.answers(&origin);
        // Only lists are large: single questions are paced, region by region, and wait for nobody.
        let Ok(permit) = self.gate.acquire().await else { return };
        let before = load(path.clone()).await;
        let (jobs, copies) = (self.wanted.jobs.clone(), Arc::clone(&self.copies));
        let mut facts = gather::bulk(session, &self.memory, self.wanted.anew, before, jobs, copies).await;
        drop(permit);
        if let Some(error) = whole(&facts) {
            let denied = is_denial(&error);
            if denied {
                closed.lock().await.add(&origin.region, Kind::Snapshots, &error, crate::wall::now());
            }
            return self.tell(Update::Failed { origin, error, denied }).await;
        }
        let region = Arc::new(Region::new(facts.clone()));
        self.tell(Update::Bulk(Arc::clone(&region))).await;
        let candidates = match self.wanted.depth {
            Depth::Bulk => Candidates::default(),
            Depth::Single => candidates(&region, &self.wanted.policy),
        };
        let region = if candidates.is_empty() {
            region
        } else {
            let told = |done, of| {
                // A reader that is slow misses a count, never an answer.
                let _ = self.told.try_send(Update::Asking { origin: Arc::clone(&origin), done, of });
            };
            ask(session, &mut facts, &candidates, self.wanted.anew, told).await;
            Arc::new(Region::new(facts))
        };
        let answers = region.facts.answers.clone();
        let _ = spawn_blocking(move || cached::save(path.as_ref(), answers)).await;
        self.tell(Update::Done(region)).await;
    }
}

async fn load(path: Option<PathBuf>) -> super::Answers {
    spawn_blocking(move || cached::load(path.as_ref())).await.unwrap_or_default()
}

/// The error of a region of which no list could be had.
fn whole(facts: &Facts) -> Option<Error> {
    let snapshots = facts.snapshots.error()?;
    (facts.volumes.error().is_some() && facts.images.error().is_some()).then(|| snapshots.clone())
}

/// What every other rule leaves.
fn candidates(region: &Region, policy: &Policy) -> Candidates {
    let view = View { region, policy, now: crate::wall::now() };
    let mut candidates = Candidates::default();
    for thing in view.things().filter(|thing| view.standing(*thing).candidate) {
        match thing {
            Thing::Snapshot(row) => candidates.snapshots.push(row.id.clone()),
            Thing::Image(row) => candidates.images.push(row.id.clone()),
            Thing::Volume(_) => {}
        }
    }
    candidates
}
