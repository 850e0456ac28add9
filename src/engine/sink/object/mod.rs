//! A raw image in S3 as a destination: an upload in parts, put together when all of it is there.
//!
//! A piece of the image is sent when all of its blocks are there; until then they are held with their memory, while
//! lanes go on. Invariants: a block is done when S3 accepted the checksum of the piece that holds it and that was written
//! down; a piece is sent whole, so of one that S3 does not have, nothing is done; nothing is under the key before all of
//! it was checked, and what is put there is what the plan saw there, or nothing.

mod commit;
mod held;
mod mend;
mod records;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes as Buffer;

use self::held::{Held, Next, Ready};
use self::records::{Kept, Of, Owner, Records};
use super::{Desk, Opened, Sink, in_s3};
use crate::aws::{Crc64, ImageHead, Keep, Over, PIECE, Root, S3, Session};
use crate::engine::blocks::{lock, zeros};
use crate::engine::call::{Caller, Route, retried};
use crate::engine::journal::{DestinationPicture, Step};
use crate::engine::keeper::WeakKeeper;
use crate::engine::ledger::Linear;
use crate::engine::proof::{Image, Proof, inside};
use crate::engine::protocol::{DestinationState, Evidence, Tone};
use crate::engine::rate::Api;
use crate::error::{Class, Error, Result};
use crate::grant::Grant;
use crate::ids::BlockIndex;
use crate::plan::{Layout, Verify};
use crate::store::copies::Spot;
use crate::units::Digest;

/// One object that is being made.
#[derive(Debug)]
pub(in crate::engine) struct ObjectSink {
    pub session: Session,
    /// The bucket and the key; temporary objects have names that begin with it.
    pub root: Root,
    pub layout: Layout,
    pub over: Over,
    pub keep: Keep,
    pub grant: Arc<Grant>,
    /// Unique for this job, in any state directory.
    pub unique: String,
    /// Where it is kept what S3 has.
    pub records: PathBuf,
    pub open: Mutex<Option<Arc<Open>>>,
}

/// What a run of the engine writes with.
#[derive(Debug)]
pub(in crate::engine) struct Open {
    records: Records,
    held: Held,
    caller: Arc<Caller>,
    route: Arc<Route>,
    keeper: WeakKeeper,
    dest: usize,
    /// Uploads are begun one after another, each once.
    beginning: tokio::sync::Mutex<()>,
}

impl ObjectSink {
    fn s3(&self) -> &S3 {
        self.session.s3()
    }

    fn bucket(&self) -> &str {
        &self.root.bucket
    }

    fn key(&self) -> &str {
        &self.root.prefix
    }

    fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket(), self.key())
    }

    fn opened(&self) -> Result<Arc<Open>> {
        lock(&self.open).clone().ok_or_else(|| Error::failed("the object is not open"))
    }

    /// What temporary objects of this job begin with.
    fn beside(&self) -> String {
        format!("{}{PIECE}{}/", self.key(), self.unique)
    }

    /// How what is temporary is kept: in the standard class, which has no least time, and without tags.
    fn temporary(&self) -> Keep {
        Keep { class: None, tags: Vec::new(), ..self.keep.clone() }
    }

    /// The key that an upload goes to.
    fn key_of(&self, of: Of) -> String {
        match of {
            Of::Whole => self.key().to_owned(),
            Of::Part(part) => format!("{}{part:05}", self.beside()),
        }
    }

    /// The upload that a piece is sent to, and its number there.
    fn place_of(&self, piece: u32) -> (Of, u32) {
        match self.layout.is_gathered() {
            false => (Of::Whole, piece + 1),
            true => (Of::Part(piece / self.layout.gathered), piece % self.layout.gathered + 1),
        }
    }

    fn owner(&self, dest: usize) -> Owner {
        let dest = u32::try_from(dest).unwrap_or(u32::MAX);
        Owner { unique: self.unique.clone(), dest, layout: self.layout }
    }

    /// What lies under the key.
    async fn look(&self, caller: &Caller) -> Result<Option<ImageHead>> {
        retried!(caller.control(), self.s3().image_head(self.bucket(), self.key()))
    }

    fn is_ours(&self, head: &ImageHead) -> bool {
        head.writer.as_deref() == Some(&*self.unique)
    }

    /// Refuses what is not what the plan saw there.
    fn must_be_free(&self, head: Option<&ImageHead>) -> Result<()> {
        match (head, &self.over) {
            (None, Over::This(_)) => Err(self.taken("was removed since the plan was made")),
            (None, _) | (Some(_), Over::Anything) => Ok(()),
            (Some(head), Over::This(etag)) if head.etag == *etag => Ok(()),
            (Some(_), Over::This(_)) => Err(self.taken("was changed since the plan was made")),
            (Some(_), Over::Nothing) => Err(self.taken("exists by now")),
        }
    }

    fn taken(&self, how: &str) -> Error {
        Error::refused(format!("{} {how}", self.url())).todo("make a new plan; --force replaces what is there")
    }

    /// An upload that is not known any more: what was sent to it is lost.
    fn gone(&self) -> Error {
        Error::classed(Class::Congestion, format!("S3 does not know the upload of {} any more", self.url()))
    }

    /// The id of an upload; begun, and written down, where there is none.
    async fn upload(&self, open: &Open, of: Of) -> Result<String> {
        if let Some(id) = open.records.upload(of)? {
            return Ok(id);
        }
        let _one = open.beginning.lock().await;
        if let Some(id) = open.records.upload(of)? {
            return Ok(id);
        }
        let key = self.key_of(of);
        let keep = match of {
            Of::Whole => self.keep.clone(),
            Of::Part(_) => self.temporary(),
        };
        let id = retried!(
            open.caller.own_tries(&open.route),
            self.s3().begin_image(&self.grant, &self.root, &key, &keep, &self.unique)
        )?;
        open.records.set_upload(of, Some(&id))?;
        Ok(id)
    }

    /// Sends a piece and writes down that S3 has it; `data` is all of it.
    async fn send(&self, open: &Open, piece: u32, data: &[Buffer], crc: Crc64, blocks: u32) -> Result<()> {
        let (of, number) = self.place_of(piece);
        let (id, key) = (self.upload(open, of).await?, self.key_of(of));
        let sent = retried!(
            open.caller.own_tries(&open.route),
            self.s3().put_image_part(&self.grant, &self.root, &key, &id, number, data, crc)
        );
        let part = match sent {
            Err(error) if error.has_code("NoSuchUpload") => {
                open.records.set_upload(of, None)?;
                return Err(self.gone());
            }
            sent => sent?,
        };
        open.records.set_piece(piece, Some(&Kept { etag: part.etag, crc, blocks }))
    }

    /// Sends a piece whose blocks are all there, and tells the keeper.
    async fn send_blocks(&self, open: &Open, ready: Ready) -> Result<()> {
        let Ready { piece, blocks } = ready;
        let sending = open.held.sending(piece);
        let count = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
        let done: Vec<(u32, Digest)> = blocks.iter().map(|(index, (_, digest))| (*index, *digest)).collect();
        let (data, crc) = summed(self.bytes(piece, blocks)).await?;
        self.send(open, piece, &data, crc, count).await?;
        // What the keeper is told needs no memory of the budget any more.
        drop(data);
        sending.kept();
        let keeper = open.keeper.keeper()?;
        for (index, digest) in done {
            keeper.done(open.dest, BlockIndex(index), digest).await?;
        }
        Ok(())
    }

    /// The bytes of a piece: its blocks, and zeros between them.
    fn bytes(&self, piece: u32, mut blocks: std::collections::BTreeMap<u32, (Buffer, Digest)>) -> Vec<Buffer> {
        let range = self.layout.blocks_in(piece);
        let block = |index: u32| {
            let data = blocks.remove(&index).map_or_else(|| Buffer::from_static(zeros()), |(data, _)| data);
            data.slice(..inside(self.layout.length, BlockIndex(index)).min(data.len()))
        };
        (range.start..range.end).map(block).collect()
    }

    /// Sends every piece that can be sent.
    async fn send_ready(&self, open: &Open) -> Result<()> {
        loop {
            match open.held.next() {
                Next::Send(ready) => self.send_blocks(open, ready).await?,
                Next::Ask(piece, range) => match open.keeper.keeper()?.listed_in(range).await? {
                    Some(blocks) => open.held.expect(piece, u32::try_from(blocks.0).unwrap_or(u32::MAX)),
                    None => return Ok(()),
                },
                Next::Wait => return Ok(()),
            }
        }
    }
}

/// CRC64NVME of pieces that are sent one after the other, computed where it keeps no lane.
async fn summed(data: Vec<Buffer>) -> Result<(Vec<Buffer>, Crc64)> {
    let summed = tokio::task::spawn_blocking(move || {
        let crc = Crc64::of(data.iter().map(|piece| &piece[..]));
        (data, crc)
    });
    summed.await.map_err(|e| Error::failed(format!("the checksum of a part: {e}")))
}

#[async_trait]
impl Sink for ObjectSink {
    fn address(&self) -> String {
        in_s3(&self.session, &self.url())
    }

    fn spot(&self) -> Result<Option<Spot>> {
        Ok(Some(Spot::Stored(self.url())))
    }

    async fn open(&self, desk: &Desk, known: &DestinationPicture) -> Result<Opened> {
        let stood = known.failed_in.unwrap_or(known.state);
        let completing = matches!(stood, DestinationState::Completing | DestinationState::Checking);
        let there = self.look(&desk.caller).await?;
        if completing && there.as_ref().is_some_and(|head| self.is_ours(head)) {
            self.begin(desk).await?;
            return Ok(Opened::Completing);
        }
        self.must_be_free(there.as_ref())?;
        let fresh = self.begin(desk).await?;
        if completing {
            if fresh {
                return Err(Error::failed("what was written down of this object is gone, and it was being completed")
                    .todo("cancel the job and copy again"));
            }
            if self.opened()?.records.upload(Of::Whole)?.is_some() {
                return Ok(Opened::Completing);
            }
            self.say(desk, "S3 did not make it of its upload, because the key was written or removed at the same moment, or the upload given up; everything is written again");
        }
        if known.attempt == 0 || completing {
            let attempt = known.attempt + 1;
            let client_token = desk.client_token(&self.unique, attempt);
            desk.step(Step::Starting { attempt, client_token }).await?;
            desk.step(Step::Started { id: self.url() }).await?;
        }
        let open = self.opened()?;
        self.mend(desk, &open, known.attempt > 0 && !completing, fresh).await?;
        // Begun here, because a denied key shows here and nowhere sooner.
        self.upload(&open, Of::Whole).await?;
        desk.step(Step::Writing).await?;
        Ok(Opened::Ready)
    }

    fn gathers(&self) -> bool {
        true
    }

    fn holds(&self, index: BlockIndex) -> Result<bool> {
        let open = self.opened()?;
        Ok(open.held.has(index) || open.records.piece(self.layout.piece_of(index.0))?.is_some())
    }

    fn listed(&self, through: u32) {
        if let Ok(open) = self.opened() {
            open.held.listed(through);
        }
    }

    async fn write(&self, index: BlockIndex, data: Buffer, digest: &Digest) -> Result<()> {
        let open = self.opened()?;
        // One of a page that was listed again, and that S3 has by now.
        if open.records.piece(self.layout.piece_of(index.0))?.is_none() {
            open.held.put(index, data, *digest);
        }
        self.send_ready(&open).await
    }

    async fn settle(&self) -> Result<()> {
        self.send_ready(&*self.opened()?).await
    }

    fn let_go(&self) {
        if let Ok(open) = self.opened() {
            open.held.clear();
        }
    }

    fn squeeze(&self, index: BlockIndex) {
        if let Ok(open) = self.opened()
            && open.held.squeeze(index)
        {
            tracing::info!(object = self.url(), "let go of a part that could not be sent yet");
        }
    }

    /// What S3 has of a piece is written down before the ledger says that its blocks are done.
    fn needs_sync(&self) -> bool {
        true
    }

    fn sync(&self) -> Result<()> {
        self.opened()?.records.sync()
    }

    async fn complete(&self, desk: &Desk, written: &Linear) -> Result<()> {
        self.put_together(desk, &self.opened()?, written).await
    }

    async fn check(&self, desk: &Desk, written: &Linear) -> Result<Proof> {
        let crc = self.whole(&self.opened()?).await?;
        let head = self.look(&desk.caller).await?;
        let head = head.filter(|head| self.is_ours(head)).ok_or_else(|| {
            Error::failed(format!("{} is not what this job put there", self.url()))
                .todo("did somebody write to the key? copy again, to another one")
        })?;
        if head.bytes != self.layout.length || head.crc.is_some_and(|said| said != crc) {
            let what = format!("{} has {} in S3, with another checksum than what was sent", self.url(), head.bytes);
            return Err(Error::failed(what).todo("do not use this object; copy again"));
        }
        let vouched = head.crc.is_some();
        match (desk.verify, vouched) {
            (Verify::None | Verify::Listing | Verify::Checksum, true) => return Ok(Evidence::Service.into()),
            (Verify::None, false) => return Ok(Evidence::Claimed.into()),
            (Verify::Listing | Verify::Checksum, false) => {
                let text = "this S3 keeps no CRC64NVME of what it holds: all of it is read back instead";
                desk.say(self.address(), text, Tone::Warning);
            }
            (Verify::Full, _) => {}
        }
        let (session, root, zeros) = (self.session.clone(), self.root.clone(), !vouched);
        let image = Image { desk, session, root, etag: head.etag, length: self.layout.length, zeros };
        image.prove(written.blocks).await?;
        Ok(Evidence::ReRead.into())
    }

    async fn discard(&self, desk: &Desk, known: &DestinationPicture) -> Result<()> {
        if known.attempt == 0 {
            return Ok(());
        }
        self.remove(desk).await
    }
}

impl ObjectSink {
    /// Begins a run; says whether nothing was known.
    async fn begin(&self, desk: &Desk) -> Result<bool> {
        let (path, owner) = (self.records.clone(), self.owner(desk.dest));
        let opened = tokio::task::spawn_blocking(move || Records::open(&path, &owner)).await;
        let (records, fresh) = opened.map_err(|e| Error::failed(format!("opening an object: {e}")))??;
        let segments = desk.keeper.picture().await?.segments;
        let through = segments.values().map(|segment| segment.through).min().unwrap_or(0);
        let open = Open {
            records,
            held: Held::new(self.layout, through),
            caller: Arc::clone(&desk.caller),
            route: desk.caller.route(Api::Store, &self.session, None),
            keeper: desk.keeper.weak(),
            dest: desk.dest,
            beginning: tokio::sync::Mutex::default(),
        };
        open.route.begin();
        *lock(&self.open) = Some(Arc::new(open));
        Ok(fresh)
    }

    fn say(&self, desk: &Desk, text: &str) {
        desk.say(self.address(), text, Tone::Warning);
    }
}
