//! A machine image that AWS copies with its snapshots: asked for once, watched to its end, compared with its source.
//!
//! Invariants: the intent and its ClientToken are on disk before CopyImage is sent, and the token is asked again until
//! it is answered, so that a lost answer or a crash makes no second image. The same token marks the image and its
//! snapshots as a tag: what is removed of a copy that failed or was cancelled is what carries that mark, and no more.

use std::sync::Mutex;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes as Buffer;

use super::asked::{Asked, Made};
use super::native::{LOOK_FIRST, LOOK_MOST, MARK, SHOWS_WITHIN};
use super::snapshot::VISIBLE_WITHIN;
use super::{Desk, Opened, Sink};
use crate::aws::{CopyImage, Session};
use crate::engine::blocks::lock;
use crate::engine::call::retried;
use crate::engine::crash::{self, Point};
use crate::engine::journal::{DestinationPicture, Step};
use crate::engine::ledger::Linear;
use crate::engine::proof::Proof;
use crate::engine::protocol::{DestinationState, Evidence, JobState, Tone};
use crate::error::{Class, Error, Result};
use crate::ids::{BlockIndex, ImageId, SnapshotId};
use crate::inventory::{ImageDisk, ImageFacts, SnapshotRow};
use crate::store::copies::Held;
use crate::units::{Bytes, Digest};
use crate::within::Within;

/// What is asked for, and what came of it.
#[derive(Debug)]
pub(in crate::engine) struct ImageSink {
    /// Where the copy goes.
    pub session: Session,
    /// Where its source is.
    pub from: Session,
    pub source: ImageId,
    pub name: String,
    /// Of its encryption: whether disks become encrypted that are not.
    pub asked: Asked,
    /// How long it may take.
    pub within: Option<Within>,
    pub made: Made<ImageId>,
    /// Source and copy of each disk, once they were compared.
    pub pairs: Mutex<Vec<(SnapshotId, SnapshotId)>>,
}

/// What became of a copy.
enum Look {
    Pending,
    Available,
    Failed(String),
}

impl ImageSink {
    fn request(&self, token: &str) -> CopyImage {
        CopyImage {
            source: self.source.clone(),
            from: self.from.region().clone(),
            name: self.name.clone(),
            description: self.asked.description(),
            client_token: token.to_owned(),
            tags: self.asked.tags_with(&[(MARK.to_owned(), token.to_owned())]),
            encrypted: self.asked.ask_encrypted == Some(true),
            kms_key: self.asked.ask_key.clone(),
            within: self.within,
        }
    }

    /// The image that carries this mark, if there is one.
    async fn marked(&self, desk: &Desk, mark: &str) -> Result<Option<ImageId>> {
        let found = retried!(desk.caller.control(), self.session.ec2().images_tagged(MARK, mark))?;
        Ok(found.into_iter().map(|image| image.row.id).next())
    }

    /// Asks for the copy, or finds the one that an earlier run asked for.
    async fn begin(&self, desk: &Desk, attempt: u32, earlier: Option<&str>) -> Result<Opened> {
        let token = earlier.map_or_else(|| desk.client_token(&self.asked.provenance.unique, attempt), str::to_owned);
        // AWS forgets tokens after a while, tags never: what an earlier run asked for is looked for first.
        let found = match earlier {
            Some(token) => self.marked(desk, token).await?,
            None => None,
        };
        desk.step(Step::Starting { attempt, client_token: token.clone() }).await?;
        let id = match found {
            Some(id) => id,
            None => self.ask(desk, attempt, &token).await?,
        };
        self.made.set(&id);
        desk.step(Step::Started { id: id.to_string() }).await?;
        crash::here(Point::StartJournaled);
        desk.step(Step::Writing).await?;
        desk.say(self.address(), format!("AWS copies {} from {}", self.source, self.from.region()), Tone::Info);
        Ok(Opened::Completing)
    }

    /// Asked again with the same token, AWS answers with the same image.
    async fn ask(&self, desk: &Desk, attempt: u32, token: &str) -> Result<ImageId> {
        let (request, grant) = (self.request(token), self.made.grant());
        match retried!(desk.caller.control(), self.session.ec2().copy_image(&grant, &request)) {
            Ok(id) => {
                crash::here(Point::StartAnswered);
                Ok(id)
            }
            Err(error) => {
                if matches!(error.class, Class::Quota | Class::Permanent) {
                    // A clear no: there is nothing under this token that anybody would have to look for.
                    desk.step(Step::Starting { attempt, client_token: String::new() }).await?;
                }
                Err(match error.class {
                    Class::Quota => error.todo("it is queued: AWS runs 20 copies of snapshots to one region at a time"),
                    _ => error,
                })
            }
        }
    }

    async fn look(&self, desk: &Desk, id: &ImageId, begun: Instant) -> Result<Look> {
        match retried!(desk.caller.control(), self.session.ec2().image(id)) {
            Ok(image) => Ok(match image.row.state.as_str() {
                "available" => Look::Available,
                "pending" | "transient" => Look::Pending,
                state => Look::Failed(image.reason.unwrap_or_else(|| format!("AWS calls it {state}"))),
            }),
            Err(error) if error.has_code("InvalidAMIID.NotFound") && begun.elapsed() < VISIBLE_WITHIN => {
                Ok(Look::Pending)
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for the end of the copy, without a limit of ours while AWS says `pending`.
    async fn settle(&self, desk: &Desk, id: &ImageId) -> Result<()> {
        let mark = desk.known().await?.client_token.unwrap_or_default();
        let (begun, mut pause, mut shown) = (Instant::now(), LOOK_FIRST, None);
        loop {
            match self.look(desk, id, begun).await? {
                Look::Available => return Ok(()),
                Look::Failed(reason) => return Err(self.broke(desk, id, &reason).await),
                Look::Pending => {}
            }
            let snapshots = retried!(desk.caller.control(), self.session.ec2().snapshots_tagged(MARK, &mark))?;
            let percent = progress(&snapshots);
            if shown != Some(percent) {
                shown = Some(percent);
                desk.hub.set_state(JobState::Completing, format!("AWS copies, {percent} %"), None);
            }
            if desk.wait.is_some_and(|most| begun.elapsed() > most) {
                return Err(Error::stopped(format!("{id} is still pending after the time given to wait"))
                    .todo("`floe jobs resume` goes on waiting"));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_MOST);
        }
    }

    /// CopyImage fails hours later and without an exception: what AWS says, and the husk goes.
    async fn broke(&self, desk: &Desk, id: &ImageId, reason: &str) -> Error {
        let known = desk.known().await.unwrap_or_default();
        let rest = self.discard(desk, &known).await.map_or_else(
            |error| format!("what is left of it could not be removed: {error}"),
            |()| "the failed image was deregistered and its snapshots removed".to_owned(),
        );
        let error = Error::failed(format!("the copy {id} failed: {reason}; {rest}")).in_region(self.session.region());
        match self.asked.encrypted != Some(false) || self.asked.ask_key.is_some() || reason.contains("key") {
            true => error.todo(
                "CopyImage checks keys only after it has answered: the key's policy must let this account use it and \
                 create grants (kms:CreateGrant, kms:DescribeKey, kms:ReEncrypt*)",
            ),
            false => error,
        }
    }

    /// Removes an image of this mark and the snapshots that were copied for it.
    async fn remove(&self, desk: &Desk, id: Option<&ImageId>, mark: &str) -> Result<()> {
        if let Some(id) = id {
            self.made.set(id);
            let (id, grant) = self.made.get()?;
            match retried!(desk.caller.control(), self.session.ec2().deregister_image(&grant, &id)) {
                Err(error) if !gone(&error) => return Err(error),
                _ => {}
            }
        }
        if !mark.is_empty() {
            for snapshot in retried!(desk.caller.control(), self.session.ec2().snapshots_tagged(MARK, mark))? {
                self.made.also(&snapshot.id);
                let grant = self.made.grant();
                match retried!(desk.caller.control(), self.session.ec2().delete_snapshot(&grant, &snapshot.id)) {
                    Err(error) if !error.has_code("InvalidSnapshot.NotFound") => return Err(error),
                    _ => {}
                }
            }
        }
        self.made.forget();
        Ok(())
    }

    /// The snapshots of an image, in the order of its disks; `None` for those that this account does not see.
    async fn disks(&self, desk: &Desk, session: &Session, image: &ImageFacts) -> Result<Vec<Option<SnapshotRow>>> {
        let mut rows = Vec::with_capacity(image.disks.len());
        for disk in &image.disks {
            rows.push(match retried!(desk.caller.control(), session.ec2().snapshot(&disk.snapshot)) {
                Ok(row) => Some(row),
                Err(error) if error.has_code("InvalidSnapshot.NotFound") => None,
                Err(error) => return Err(error),
            });
        }
        Ok(rows)
    }

    /// Compares the snapshots of copy and source, device by device.
    async fn compare_disks(&self, desk: &Desk, copy: &ImageFacts, source: &ImageFacts) -> Result<()> {
        let ours = self.disks(desk, &self.session, copy).await?;
        let theirs = self.disks(desk, &self.from, source).await?;
        let mut pairs = Vec::with_capacity(ours.len());
        for (disk, row) in copy.disks.iter().zip(ours) {
            let Some(row) = row else { return Err(self.differs(copy, &format!("{} is not there", disk.snapshot))) };
            let of = source.disks.iter().zip(&theirs).find(|(known, _)| known.device == disk.device);
            let Some((known, origin)) = of else {
                return Err(self.differs(copy, &format!("{} is a disk of its own", disk.device)));
            };
            self.compare_disk(copy, (disk, &row), (known, origin.as_ref()))?;
            match origin {
                Some(_) => pairs.push((known.snapshot.clone(), row.id)),
                // What of an image is only launched, not read, by this account: its sizes are what the image maps.
                None => desk.say(
                    self.address(),
                    format!("{} is not seen here and was not compared", known.snapshot),
                    Tone::Warning,
                ),
            }
        }
        *lock(&self.pairs) = pairs;
        Ok(())
    }

    fn compare_disk(
        &self,
        copy: &ImageFacts,
        (disk, row): (&ImageDisk, &SnapshotRow),
        (known, origin): (&ImageDisk, Option<&SnapshotRow>),
    ) -> Result<()> {
        let device = &disk.device;
        if let Some(origin) = origin.filter(|origin| origin.size != row.size) {
            return Err(self.differs(copy, &format!("{device} is made of {} instead of {}", row.size, origin.size)));
        }
        if let (Some(ours), Some(theirs)) = (row.full, origin.and_then(|origin| origin.full))
            && ours != theirs
        {
            return Err(self.differs(copy, &format!("{device} holds {ours} of blocks instead of {theirs}")));
        }
        let was = known.encrypted || origin.is_some_and(|origin| origin.encrypted);
        let promised = if was { Some(true) } else { self.asked.encrypted };
        if let Some(promised) = promised.filter(|promised| row.encrypted != *promised) {
            let word = |encrypted| if encrypted { "encrypted" } else { "not encrypted" };
            let what = format!("{device} is {}, and was to be {}", word(row.encrypted), word(promised));
            return Err(self.differs(copy, &what));
        }
        Ok(())
    }

    fn differs(&self, copy: &ImageFacts, what: &str) -> Error {
        Error::failed(format!("{} is not what its source {} is: {what}", copy.row.id, self.source))
            .in_region(self.session.region())
            .todo("do not use this copy; copy again")
    }
}

/// Whether an image is not there any more, or soon will not be.
fn gone(error: &Error) -> bool {
    error.has_code("InvalidAMIID.NotFound") || error.has_code("InvalidAMIID.Unavailable")
}

/// How far the snapshots of a copy are, by their sizes.
fn progress(snapshots: &[SnapshotRow]) -> u64 {
    let all: Bytes = snapshots.iter().map(|row| row.size).sum();
    let share = |row: &SnapshotRow| match row.state {
        crate::inventory::State::Completed => row.size.0,
        _ => row.size.0 / 100 * u64::from(row.progress.unwrap_or(0)),
    };
    let done: u64 = snapshots.iter().map(share).sum();
    // It is there when AWS says so, not when its snapshots are.
    (done / (all.0 / 100).max(1)).min(99)
}

#[async_trait]
impl Sink for ImageSink {
    fn address(&self) -> String {
        let id = self.made.id().map(|id| id.to_string()).unwrap_or_default();
        format!("{}{id}", self.session.origin().place())
    }

    async fn open(&self, desk: &Desk, known: &DestinationPicture) -> Result<Opened> {
        let mark = known.client_token.as_deref().filter(|mark| !mark.is_empty());
        let Some(id) = known.id.as_deref().and_then(|id| id.parse::<ImageId>().ok()) else {
            return self.begin(desk, known.attempt.max(1), mark).await;
        };
        self.made.set(&id);
        match retried!(desk.caller.control(), self.session.ec2().image(&id)) {
            Ok(image) if matches!(image.row.state.as_str(), "pending" | "transient" | "available") => {
                if known.failed_in.unwrap_or(known.state) == DestinationState::Starting {
                    desk.step(Step::Writing).await?;
                }
                return Ok(Opened::Completing);
            }
            // Its name has to be free again.
            Ok(_) => self.remove(desk, Some(&id), mark.unwrap_or_default()).await?,
            Err(error) if gone(&error) => self.remove(desk, None, mark.unwrap_or_default()).await?,
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
        self.settle(desk, &id).await
    }

    /// Nothing of it passed us: what AWS tells of the copy is held against what it tells of the source.
    async fn check(&self, desk: &Desk, _written: &Linear) -> Result<Proof> {
        let (id, _) = self.made.get()?;
        let copy = retried!(desk.caller.control(), self.session.ec2().image(&id))?;
        let source = retried!(desk.caller.control(), self.from.ec2().image(&self.source))?;
        for ((name, ours), (_, theirs)) in copy.properties.iter().zip(&source.properties) {
            if ours != theirs {
                return Err(self.differs(&copy, &format!("its {name} are `{ours}` instead of `{theirs}`")));
            }
        }
        self.compare_disks(desk, &copy, &source).await?;
        let text = "compared with its source: block devices, architecture, platform and billing codes, sizes and \
                    encryption of its snapshots; no block was read";
        desk.say(self.address(), text, Tone::Info);
        Ok(Evidence::Service.into())
    }

    fn copied(&self) -> Vec<(SnapshotId, Held)> {
        let held = |id: &SnapshotId| Held { region: self.session.region().clone(), id: id.clone() };
        lock(&self.pairs).iter().map(|(source, copy)| (source.clone(), held(copy))).collect()
    }

    async fn discard(&self, desk: &Desk, known: &DestinationPicture) -> Result<()> {
        let mark = known.client_token.as_deref().filter(|mark| !mark.is_empty());
        let mut id: Option<ImageId> = known.id.as_deref().and_then(|id| id.parse().ok()).or_else(|| self.made.id());
        if let (None, Some(mark)) = (&id, mark) {
            // Its answer was lost: a copy that was asked for shows within a while, or there is none.
            let (begun, mut pause) = (Instant::now(), LOOK_FIRST);
            loop {
                id = self.marked(desk, mark).await?;
                if id.is_some() || begun.elapsed() > SHOWS_WITHIN {
                    break;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LOOK_MOST);
            }
        }
        self.remove(desk, id.as_ref(), mark.unwrap_or_default()).await
    }
}
