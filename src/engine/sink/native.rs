//! A new snapshot that AWS copies itself: asked for once, watched to its end, compared with its source.
//!
//! Invariants: the intent is on disk before CopySnapshot is sent. The call knows no token, so the copy carries the
//! intent's mark as a tag: whoever resumes, and whoever lost an answer, looks for that mark before it asks again, and
//! nothing is copied twice. What ends in error hours later is told in AWS's words, and its empty husk is removed.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes as Buffer;

use super::asked::{Asked, Made};
use super::snapshot::VISIBLE_WITHIN;
use super::{Desk, Opened, Sink};
use crate::aws::{CopySnapshot, Session};
use crate::engine::call::retried;
use crate::engine::crash::{self, Point};
use crate::engine::journal::{DestinationPicture, Step};
use crate::engine::ledger::Linear;
use crate::engine::proof::Proof;
use crate::engine::protocol::{DestinationState, Evidence, JobState, Tone};
use crate::error::{Class, Error, Result};
use crate::ids::{BlockIndex, SnapshotId};
use crate::inventory::{SnapshotRow, State};
use crate::store::copies::{Held, Spot};
use crate::units::Digest;
use crate::within::Within;

/// The tag that names the intent.
pub(super) const MARK: &str = "floe:copy";
/// A copy whose answer was lost shows within this, or there is none.
pub(super) const SHOWS_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks at a copy under way: at first, and at most.
pub(super) const LOOK_FIRST: Duration = Duration::from_millis(100);
pub(super) const LOOK_MOST: Duration = Duration::from_secs(15);

/// What is asked for, and what came of it.
#[derive(Debug)]
pub(in crate::engine) struct NativeSink {
    /// Where the copy goes.
    pub session: Session,
    /// Where its source is.
    pub from: Session,
    pub source: SnapshotId,
    pub asked: Asked,
    /// How long it may take.
    pub within: Option<Within>,
    pub made: Made,
}

impl NativeSink {
    fn request(&self, mark: &str) -> CopySnapshot {
        CopySnapshot {
            source: self.source.clone(),
            from: self.from.region().clone(),
            description: self.asked.description(),
            tags: self.asked.tags_with(&[(MARK.to_owned(), mark.to_owned())]),
            encrypted: self.asked.ask_encrypted == Some(true),
            kms_key: self.asked.ask_key.clone(),
            within: self.within,
        }
    }

    /// The copy that carries this mark, if there is one.
    async fn marked(&self, desk: &Desk, mark: &str) -> Result<Option<SnapshotId>> {
        let found = retried!(desk.caller.control(), self.session.ec2().snapshots_tagged(MARK, mark))?;
        Ok(found.into_iter().map(|row| row.id).next())
    }

    /// The same, until it would have shown.
    async fn lost(&self, desk: &Desk, mark: &str) -> Result<Option<SnapshotId>> {
        let (begun, mut pause) = (Instant::now(), LOOK_FIRST);
        loop {
            if let Some(id) = self.marked(desk, mark).await? {
                return Ok(Some(id));
            }
            if begun.elapsed() > SHOWS_WITHIN {
                return Ok(None);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_MOST);
        }
    }

    /// Asks for the copy, or finds the one that an earlier run asked for.
    async fn begin(&self, desk: &Desk, attempt: u32, earlier: Option<&str>) -> Result<Opened> {
        let mark = earlier.map_or_else(|| desk.client_token(&self.asked.provenance.unique, attempt), str::to_owned);
        let mut found = match earlier {
            Some(mark) => self.lost(desk, mark).await?,
            None => None,
        };
        desk.step(Step::Starting { attempt, client_token: mark.clone() }).await?;
        let (request, grant) = (self.request(&mark), self.made.grant());
        let mut tries = desk.caller.control();
        let id = loop {
            if let Some(id) = found {
                break id;
            }
            match tries.attempt(self.session.ec2().copy_snapshot(&grant, &request)).await {
                Ok(Some(id)) => {
                    crash::here(Point::StartAnswered);
                    break id;
                }
                // It may have arrived all the same.
                Ok(None) => found = self.lost(desk, &mark).await?,
                Err(error) => {
                    if matches!(error.class, Class::Quota | Class::Permanent) {
                        // A clear no: there is nothing under this mark that anybody would have to look for.
                        desk.step(Step::Starting { attempt, client_token: String::new() }).await?;
                    }
                    return Err(match error.class {
                        Class::Quota => error.todo("it is queued: AWS runs 20 copies to one region at a time"),
                        _ => error,
                    });
                }
            }
        };
        self.made.set(&id);
        desk.step(Step::Started { id: id.to_string() }).await?;
        crash::here(Point::StartJournaled);
        desk.step(Step::Writing).await?;
        desk.say(self.address(), format!("AWS copies {} from {}", self.source, self.from.region()), Tone::Info);
        Ok(Opened::Completing)
    }

    /// Waits for the end of the copy, without a limit of ours while AWS says `pending`.
    async fn settle(&self, desk: &Desk, id: &SnapshotId) -> Result<SnapshotRow> {
        let (begun, mut pause, mut shown) = (Instant::now(), LOOK_FIRST, None);
        loop {
            match retried!(desk.caller.control(), self.session.ec2().snapshot(id)) {
                Ok(row) => match row.state {
                    State::Completed => return Ok(row),
                    State::Pending => {
                        if row.progress != shown {
                            shown = row.progress;
                            let percent = shown.unwrap_or(0);
                            desk.hub.set_state(JobState::Completing, format!("AWS copies, {percent} %"), None);
                        }
                    }
                    State::Error => return Err(self.broke(desk, id, row.state_message.unwrap_or_default()).await),
                    State::Recoverable | State::Recovering => {
                        let what = format!("{id} was moved to the Recycle Bin");
                        return Err(Error::failed(what).in_region(self.session.region()));
                    }
                },
                Err(error) if error.has_code("InvalidSnapshot.NotFound") && begun.elapsed() < VISIBLE_WITHIN => {}
                Err(error) => return Err(error),
            }
            if desk.wait.is_some_and(|most| begun.elapsed() > most) {
                return Err(Error::stopped(format!("{id} is still pending after the time given to wait"))
                    .todo("`floe jobs resume` goes on waiting"));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_MOST);
        }
    }

    /// CopySnapshot fails hours later and without an exception: what AWS says, and the husk goes.
    async fn broke(&self, desk: &Desk, id: &SnapshotId, message: String) -> Error {
        let removed = self.discard(desk, &DestinationPicture::default()).await;
        let rest = removed.map_or_else(
            |error| format!("{id} is empty and could not be removed: {error}"),
            |()| "the empty snapshot was removed".to_owned(),
        );
        let said = if message.is_empty() { "without a word of AWS's".to_owned() } else { message };
        let error =
            Error::failed(format!("the copy {id} ended in error: {said}; {rest}")).in_region(self.session.region());
        match self.asked.encrypted != Some(false) {
            true => error.todo(
                "CopySnapshot checks keys only after it has answered: the key's policy must let this account use it \
                 and create grants (kms:CreateGrant, kms:DescribeKey, kms:ReEncrypt*)",
            ),
            false => error,
        }
    }
}

#[async_trait]
impl Sink for NativeSink {
    fn address(&self) -> String {
        let id = self.made.id().map(|id| id.to_string()).unwrap_or_default();
        format!("{}{id}", self.session.origin().place())
    }

    async fn open(&self, desk: &Desk, known: &DestinationPicture) -> Result<Opened> {
        let id: Option<SnapshotId> = known.id.as_deref().and_then(|id| id.parse().ok());
        let Some(id) = id else {
            let mark = known.client_token.as_deref().filter(|mark| !mark.is_empty());
            return self.begin(desk, known.attempt.max(1), mark).await;
        };
        self.made.set(&id);
        match retried!(desk.caller.control(), self.session.ec2().snapshot(&id)) {
            Ok(row) if row.state != State::Error => {
                if known.failed_in.unwrap_or(known.state) == DestinationState::Starting {
                    desk.step(Step::Writing).await?;
                }
                return Ok(Opened::Completing);
            }
            Ok(_) => {}
            Err(error) if error.has_code("InvalidSnapshot.NotFound") => {}
            Err(error) => return Err(error),
        }
        desk.say(self.address(), format!("{id} failed or is gone; a new copy is asked for"), Tone::Warning);
        self.made.forget();
        self.begin(desk, known.attempt + 1, None).await
    }

    fn takes_blocks(&self) -> bool {
        false
    }

    async fn write(&self, index: BlockIndex, _data: Buffer, _digest: &Digest) -> Result<()> {
        Err(Error::failed("AWS makes this copy; nothing is written to it").at_block(index))
    }

    async fn complete(&self, desk: &Desk, written: &Linear) -> Result<()> {
        let (id, _) = self.made.get()?;
        desk.step(Step::Completing { blocks: written.blocks, checksum: None }).await?;
        self.settle(desk, &id).await.map(|_| ())
    }

    /// Nothing of it passed us: what AWS tells of the copy is held against what it tells of the source.
    async fn check(&self, desk: &Desk, _written: &Linear) -> Result<Proof> {
        let (id, _) = self.made.get()?;
        let copy = retried!(desk.caller.control(), self.session.ec2().snapshot(&id))?;
        let source = retried!(desk.caller.control(), self.from.ec2().snapshot(&self.source))?;
        let differs = |what: &str, ours: String, theirs: String| {
            Err(Error::failed(format!("{id} is {ours}, its source {} is {theirs}: {what} differs", self.source))
                .in_region(self.session.region())
                .todo("do not use this copy; copy again"))
        };
        if copy.size != source.size {
            return differs("the size of the volume", copy.size.to_string(), source.size.to_string());
        }
        if let (Some(ours), Some(theirs)) = (copy.full, source.full)
            && ours != theirs
        {
            return differs("the size of all blocks", ours.to_string(), theirs.to_string());
        }
        if let Some(promised) = self.asked.encrypted.filter(|promised| copy.encrypted != *promised) {
            let word = |encrypted| if encrypted { "encrypted" } else { "not encrypted" };
            let what = format!("the plan said that {id} would be {}, it is {}", word(promised), word(copy.encrypted));
            return Err(Error::failed(what).in_region(self.session.region()));
        }
        let text = "compared with its source: volume size, size of all blocks, encryption; no block was read";
        desk.say(self.address(), text, Tone::Info);
        Ok(Evidence::Service.into())
    }

    /// Nobody read it, and the record says so: a snapshot of AWS's own that is completed, and as large as its source.
    fn spot(&self) -> Result<Option<Spot>> {
        let region = self.session.region().clone();
        Ok(Some(Spot::Snapshot(Held { region, id: self.made.get()?.0 })))
    }

    async fn discard(&self, desk: &Desk, known: &DestinationPicture) -> Result<()> {
        if let Some(id) = known.id.as_deref().and_then(|id| id.parse().ok()) {
            self.made.set(&id);
        } else if known.failed_in.unwrap_or(known.state) == DestinationState::Starting
            && let Some(mark) = known.client_token.as_deref().filter(|mark| !mark.is_empty())
            && let Some(id) = self.lost(desk, mark).await?
        {
            self.made.set(&id);
        }
        let Ok((id, grant)) = self.made.get() else { return Ok(()) };
        match retried!(desk.caller.control(), self.session.ec2().delete_snapshot(&grant, &id)) {
            Err(error) if !error.has_code("InvalidSnapshot.NotFound") => Err(error),
            _ => {
                self.made.forget();
                Ok(())
            }
        }
    }
}
