//! A new snapshot as a destination, perhaps on a parent: start, put, complete, wait, list back.
//!
//! Invariants: the intent and its ClientToken are on disk before StartSnapshot is sent, so a crash finds the
//! same snapshot again; `completing` is on disk before CompleteSnapshot, and whoever resumes there asks
//! DescribeSnapshots first and never puts; a result that is less encrypted than the plan said is thrown away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes as Buffer;
use jiff::Timestamp;

use super::asked::{Asked, Made};
use super::{Desk, Opened, Sink};
use crate::aws::{Session, SnapshotState, StartSnapshot, Started};
use crate::engine::call::{Caller, Route, retried};
use crate::engine::crash::{self, Point};
use crate::engine::journal::{DestinationPicture, Step};
use crate::engine::ledger::Linear;
use crate::engine::proof::{Listed, OnParent, Proof};
use crate::engine::protocol::{DestinationState, Evidence, Tone};
use crate::engine::rate::Api;
use crate::engine::source::{DeltaSource, SnapshotSource, Source};
use crate::engine::turns::Turns;
use crate::error::{Class, Error, Result};
use crate::ids::{BlockIndex, SnapshotId};
use crate::plan::Verify;
use crate::store::copies::{Held, Spot};
use crate::units::{Bytes, Digest};

/// AWS gives a pending snapshot up after this many minutes without a put: the most that can be asked for.
pub(in crate::engine) const TIMEOUT_MINUTES: u32 = 4320;
/// A snapshot is not visible everywhere for up to two minutes after its start (coldsnap#43): a third for luck.
pub(super) const VISIBLE_WITHIN: Duration = Duration::from_secs(180);
/// A CompleteSnapshot whose answer was lost shows its effect within this.
const LOST_ANSWER: Duration = Duration::from_secs(10);
/// What is asked for, and what came of it.
#[derive(Debug)]
pub(in crate::engine) struct SnapshotSink {
    pub session: Session,
    pub volume_gib: u32,
    /// What it lies on.
    pub parent: Option<Under>,
    pub asked: Asked,
    pub omit_zeros: bool,
    /// Whether a file's holes have to be written even though it is not encrypted (`--omit-zeros off`).
    pub write_holes: bool,
    pub made: Made,
    pub turns: Turns,
}

/// The snapshot that a result lies on.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Under {
    /// Its id.
    pub id: SnapshotId,
    /// The size of its volume.
    pub volume: Bytes,
}

impl SnapshotSink {
    /// Asks for the snapshot under `token`; asked again with the same one, AWS answers with the same snapshot.
    ///
    /// A resume that finds only the intent asks again: nothing is started twice.
    async fn start(&self, desk: &Desk, token: &str) -> Result<Started> {
        let parent = self.parent.as_ref().map(|parent| ("floe:parent".to_owned(), parent.id.to_string()));
        let request = StartSnapshot {
            volume_gib: self.volume_gib,
            parent: self.parent.as_ref().map(|parent| parent.id.clone()),
            tags: self.asked.tags_with(parent.as_slice()),
            description: self.asked.description(),
            client_token: token.to_owned(),
            encrypted: self.asked.ask_encrypted,
            kms_key_arn: self.asked.ask_key.clone(),
            timeout_minutes: TIMEOUT_MINUTES,
        };
        let grant = self.made.grant();
        retried!(desk.caller.control(), self.session.ebs().start(&grant, &request))
    }

    async fn begin(&self, desk: &Desk, attempt: u32, token: Option<&str>) -> Result<Opened> {
        let token = token.map_or_else(|| desk.client_token(&self.asked.provenance.unique, attempt), str::to_owned);
        desk.step(Step::Starting { attempt, client_token: token.clone() }).await?;
        let started = self.start(desk, &token).await?;
        crash::here(Point::StartAnswered);
        self.made.set(&started.id);
        for api in [Api::Put, Api::Complete] {
            desk.caller.route(api, &self.session, Some(&started.id)).just_started();
        }
        desk.step(Step::Started { id: started.id.to_string() }).await?;
        crash::here(Point::StartJournaled);
        self.compare_encryption(desk, &started).await?;
        desk.keeper.clear(desk.dest).await?;
        desk.step(Step::Writing).await?;
        let key =
            started.kms_key_arn.as_deref().map_or("not encrypted".to_owned(), |key| format!("encrypted with {key}"));
        desk.say(self.address(), format!("started, {key}"), Tone::Info);
        Ok(Opened::Ready)
    }

    /// The answer counts, not what was asked for.
    async fn compare_encryption(&self, desk: &Desk, started: &Started) -> Result<()> {
        let got = started.kms_key_arn.is_some();
        let Some(promised) = self.asked.encrypted.filter(|promised| *promised != got) else { return Ok(()) };
        let removed = self.discard(desk, &DestinationPicture::default()).await;
        let rest =
            removed.map_or_else(|e| format!("; it could not be removed: {e}"), |()| "; it was removed".to_owned());
        let what = match promised {
            true => "the plan promised an encrypted snapshot, AWS started one that is not encrypted",
            false => "the plan promised a snapshot without encryption, AWS started an encrypted one",
        };
        Err(Error::refused(format!("{what}{rest}"))
            .in_region(self.session.region())
            .todo("make a new plan: the account's default encryption changed since this one"))
    }

    /// What became of the snapshot of an earlier run.
    async fn find(&self, desk: &Desk, id: &SnapshotId) -> Result<SnapshotState> {
        retried!(desk.caller.control(), self.session.ec2().snapshot_state(id))
    }

    fn in_error(&self, id: &SnapshotId, message: &str) -> Error {
        Error::failed(format!("{id} ended in error: {message}")).in_region(self.session.region())
    }

    /// Waits until the service has made up its mind: without a limit of ours while it reports `pending`.
    async fn settle(&self, desk: &Desk, id: &SnapshotId) -> Result<()> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(100);
        loop {
            match self.find(desk, id).await {
                Ok(SnapshotState::Completed) => return Ok(()),
                Ok(SnapshotState::Error(message)) => return Err(self.in_error(id, &message)),
                Ok(SnapshotState::Recoverable) => {
                    return Err(
                        Error::failed(format!("{id} was moved to the Recycle Bin")).in_region(self.session.region())
                    );
                }
                Ok(SnapshotState::Pending) => {}
                Err(error) if error.has_code("InvalidSnapshot.NotFound") && begun.elapsed() < VISIBLE_WITHIN => {}
                Err(error) => return Err(error),
            }
            if desk.wait.is_some_and(|most| begun.elapsed() > most) {
                return Err(Error::stopped(format!("{id} is still pending after the time given to wait"))
                    .todo("`floe jobs resume` goes on waiting"));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(15));
        }
    }

    /// An earlier run began to complete it: what the service says decides, and nothing is put.
    async fn reopen_completing(&self, desk: &Desk, id: &SnapshotId, known: &DestinationPicture) -> Result<Opened> {
        match self.find(desk, id).await {
            Ok(SnapshotState::Completed | SnapshotState::Pending) => Ok(Opened::Completing),
            Err(error) if !error.has_code("InvalidSnapshot.NotFound") => Err(error),
            state => self.anew(desk, known, &state).await,
        }
    }

    async fn anew(&self, desk: &Desk, known: &DestinationPicture, state: &Result<SnapshotState>) -> Result<Opened> {
        let id = known.id.as_deref().unwrap_or("the snapshot");
        let why = match state {
            Ok(SnapshotState::Error(message)) => format!("AWS gave {id} up: {message}"),
            Ok(SnapshotState::Recoverable) => format!("{id} is in the Recycle Bin"),
            _ => format!("{id} does not exist any more"),
        };
        desk.say(
            self.address(),
            format!("{why}; a new snapshot is started and everything is written again"),
            Tone::Warning,
        );
        self.made.forget();
        self.begin(desk, known.attempt + 1, None).await
    }
}

#[async_trait]
impl Sink for SnapshotSink {
    fn address(&self) -> String {
        let id = self.made.id().map(|id| id.to_string()).unwrap_or_default();
        format!("{}{id}", self.session.origin().place())
    }

    async fn open(&self, desk: &Desk, known: &DestinationPicture) -> Result<Opened> {
        let id: Option<SnapshotId> = known.id.as_deref().and_then(|id| id.parse().ok());
        let Some(id) = id else {
            // Never started, or the answer was lost: the journaled token finds what there is.
            return self.begin(desk, known.attempt.max(1), known.client_token.as_deref()).await;
        };
        self.made.set(&id);
        let stood = known.failed_in.unwrap_or(known.state);
        if stood == DestinationState::Starting {
            // What it is encrypted with was not compared yet: the same token gets the same snapshot, and says so again.
            return self.begin(desk, known.attempt.max(1), known.client_token.as_deref()).await;
        }
        if matches!(stood, DestinationState::Completing | DestinationState::Checking) {
            return self.reopen_completing(desk, &id, known).await;
        }
        match self.find(desk, &id).await {
            Ok(SnapshotState::Pending) => {
                desk.step(Step::Writing).await?;
                Ok(Opened::Ready)
            }
            Ok(SnapshotState::Completed) => {
                Err(Error::failed(format!("{id} was completed by somebody else before all blocks were written"))
                    .in_region(self.session.region())
                    .todo("do not use this snapshot; copy again"))
            }
            Err(error) if !error.has_code("InvalidSnapshot.NotFound") => Err(error),
            state => self.anew(desk, known, &state).await,
        }
    }

    async fn write(&self, index: BlockIndex, data: Buffer, digest: &Digest) -> Result<()> {
        let (id, grant) = self.made.get()?;
        self.turns.send(data, |data| self.session.ebs().put_block(&grant, &id, index, data, digest)).await
    }

    fn route(&self, caller: &Caller) -> Option<Arc<Route>> {
        let id = self.made.id();
        Some(caller.route(Api::Put, &self.session, id.as_ref()))
    }

    fn dies_when_left(&self) -> bool {
        self.made.id().is_some()
    }

    fn omits_zeros(&self) -> bool {
        // On a parent, what is left out would be what the parent has.
        self.omit_zeros && self.asked.encrypted == Some(false) && self.parent.is_none()
    }

    fn wants_holes(&self) -> bool {
        self.asked.encrypted != Some(false) || self.write_holes || self.parent.is_some()
    }

    async fn complete(&self, desk: &Desk, written: &Linear) -> Result<()> {
        let (id, grant) = self.made.get()?;
        let checksum = (written.blocks.0 > 0).then_some(written.checksum);
        let before = desk.keeper.picture().await?.destinations.get(desk.dest).map(|d| d.failed_in.unwrap_or(d.state));
        // Whether one may have arrived whose answer nobody heard.
        let mut sent = before == Some(DestinationState::Completing);
        desk.step(Step::Completing { blocks: written.blocks, checksum }).await?;
        let route = desk.caller.route(Api::Complete, &self.session, Some(&id));
        let mut tries = desk.caller.own_tries(&route);
        // CompleteSnapshot is not idempotent: after a resume, and after any answer that was lost, the service
        // is asked what it made of the last one before it is told again.
        loop {
            match if sent { self.find(desk, &id).await } else { Ok(SnapshotState::Pending) } {
                Ok(SnapshotState::Completed) => return Ok(()),
                Ok(SnapshotState::Error(message)) => return Err(self.in_error(&id, &message)),
                _ => {}
            }
            match tries.attempt(self.session.ebs().complete(&grant, &id, written.blocks.0, checksum.as_ref())).await {
                Ok(Some(_)) => {
                    crash::here(Point::CompleteAnswered);
                    return self.settle(desk, &id).await;
                }
                Ok(None) => sent = true,
                // Refused, perhaps because that one arrived after all: what the service makes of it counts.
                Err(error) if sent && error.class == Class::Permanent => {
                    let earlier = tokio::time::timeout(LOST_ANSWER, self.settle(desk, &id)).await;
                    return if matches!(earlier, Ok(Ok(()))) { Ok(()) } else { Err(error) };
                }
                // One that died while blocks were put is refused without a word why; its state has it.
                Err(error) if error.class == Class::Permanent => {
                    return Err(match self.find(desk, &id).await {
                        Ok(SnapshotState::Error(message)) => self.in_error(&id, &message),
                        _ => error,
                    });
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn check(&self, desk: &Desk, written: &Linear) -> Result<Proof> {
        let (id, _) = self.made.get()?;
        if desk.verify == Verify::None {
            return Ok(Evidence::Service.into());
        }
        // Completed, as one part of AWS says, is not listable at once everywhere (coldsnap#141).
        for api in [Api::List, Api::Get, Api::Changed] {
            desk.caller.route(api, &self.session, Some(&id)).just_started();
        }
        let (volume, reads) = (Bytes::gib(u64::from(self.volume_gib)), desk.verify == Verify::Full);
        if let Some(parent) = &self.parent {
            let snapshot = |id: &SnapshotId, volume| -> Arc<dyn Source> {
                Arc::new(SnapshotSource::new(self.session.clone(), id.clone(), volume))
            };
            let proof = OnParent {
                desk,
                name: id.to_string(),
                region: self.session.region(),
                result: snapshot(&id, volume),
                parent: snapshot(&parent.id, parent.volume),
                changed: Arc::new(DeltaSource::new(self.session.clone(), parent.id.clone(), id.clone(), volume)),
                volume,
            };
            proof.prove(written.blocks, reads).await?;
            return Ok(if reads { Evidence::ReRead } else { Evidence::Service }.into());
        }
        let listed = Listed {
            desk,
            name: id.to_string(),
            region: self.session.region(),
            source: Arc::new(SnapshotSource::new(self.session.clone(), id, volume)),
            volume,
            omits_zeros: self.omits_zeros(),
        };
        listed.prove(written.blocks, reads).await?;
        Ok(if reads { Evidence::ReRead } else { Evidence::Service }.into())
    }

    fn spot(&self) -> Result<Option<Spot>> {
        let region = self.session.region().clone();
        Ok(Some(Spot::Snapshot(Held { region, id: self.made.get()?.0 })))
    }

    async fn discard(&self, desk: &Desk, known: &DestinationPicture) -> Result<()> {
        if let Some(id) = known.id.as_deref().and_then(|id| id.parse().ok()) {
            self.made.set(&id);
        } else if known.failed_in.unwrap_or(known.state) == DestinationState::Starting
            && let Some(token) = known.client_token.as_deref()
        {
            // Its answer was lost: asked again with the same token it names what there is. Who may not start
            // anything has started nothing.
            match self.start(desk, token).await {
                Ok(started) => self.made.set(&started.id),
                Err(error) if error.class == Class::Permanent => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let Ok((id, grant)) = self.made.get() else { return Ok(()) };
        let gone = retried!(desk.caller.control(), self.session.ec2().delete_snapshot(&grant, &id));
        match gone {
            Err(error) if !error.has_code("InvalidSnapshot.NotFound") => Err(error),
            _ => {
                self.made.forget();
                Ok(())
            }
        }
    }
}

/// When AWS would give a pending snapshot up that was written to last at `last`.
pub(in crate::engine) fn dies_at(last: Timestamp) -> Option<Timestamp> {
    last.checked_add(jiff::SignedDuration::from_mins(i64::from(TIMEOUT_MINUTES))).ok()
}
