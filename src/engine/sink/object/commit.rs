//! The end of an object: what holds no block is filled with zeros, parts become the object, and nothing else is left.
//!
//! Invariants: everything is sent before `completing` is journaled, and nothing after; S3 makes the object only when the
//! checksum of all of it is the one that was computed here; whoever completes again finds what the last one did.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes as Buffer;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::super::archive::sum as hashed;
use super::records::{Kept, Of, Records};
use super::{ObjectSink, Open, summed};
use crate::aws::{Crc64, ImagePart, Over, is_conflict, is_precondition};
use crate::engine::blocks::zeros;
use crate::engine::budget::{Part, Weight};
use crate::engine::call::retried;
use crate::engine::crash::{self, Point};
use crate::engine::journal::Step;
use crate::engine::ledger::Linear;
use crate::engine::protocol::Tone;
use crate::engine::rate::Api;
use crate::engine::sink::{Desk, Sink as _};
use crate::error::{Class, Error, Result};
use crate::plan::{Layout, SIDE_BY_SIDE, ZEROS_WORTH};
use crate::units::{Blocks, Bytes, grouped};

/// S3 may take minutes to put 10,000 parts together, and as long to copy 5 GiB.
const PATIENCE: Duration = Duration::from_secs(900);
/// Uploads that are begun for one object, when S3 does not make it of the one before.
const UPLOADS_MOST: u32 = 3;
/// What a part weighs in the request that puts an object together, its XML included.
const PART_WEIGHT: u64 = 512;

/// What the records say of the whole object.
pub(super) struct Whole {
    crc: Crc64,
    blocks: Blocks,
    /// Pieces that hold no block.
    empty: u32,
    parts: Vec<ImagePart>,
}

impl ObjectSink {
    /// Makes the object of what was sent.
    pub(super) async fn put_together(&self, desk: &Desk, open: &Arc<Open>, written: &Linear) -> Result<()> {
        let stood = desk.known().await?;
        let completing = stood.completing.is_some();
        let memory = Weight::of(Part::Blocks, Bytes(u64::from(self.layout.parts()) * PART_WEIGHT));
        let denied = |denied| Error { class: Class::Quota, ..Error::from(denied) };
        let memory = desk.work.budget.acquire(memory).await.map_err(denied)?;
        if !completing {
            self.fill(desk, open).await?;
            if self.layout.is_gathered() {
                self.gather(desk, open).await?;
            }
            open.records.sync()?;
        }
        let Whole { crc, blocks, empty, parts } = self.read_whole(open).await?;
        if blocks != written.blocks {
            return Err(Error::failed(format!("the parts have {blocks} blocks, the ledger {}", written.blocks))
                .todo("cancel the job and copy again"));
        }
        desk.step(Step::Completing { blocks: written.blocks, checksum: Some(written.checksum) }).await?;
        self.end(desk, open, &parts, crc).await?;
        crash::here(Point::CompleteAnswered);
        drop(memory);
        if self.layout.is_gathered() || empty > 0 { self.sweep(desk).await } else { Ok(()) }
    }

    /// The checksum of all of it, and its parts.
    pub(super) async fn whole(&self, open: &Arc<Open>) -> Result<Crc64> {
        Ok(self.read_whole(open).await?.crc)
    }

    async fn read_whole(&self, open: &Arc<Open>) -> Result<Whole> {
        let (open, layout) = (Arc::clone(open), self.layout);
        let read = tokio::task::spawn_blocking(move || {
            let (mut crc, mut blocks, mut empty) = (Crc64::of([]), Blocks::ZERO, 0);
            let mut parts = Vec::with_capacity(layout.parts() as usize);
            for part in 0..layout.parts() {
                let mut own = Crc64::of([]);
                let mut etag = String::new();
                for piece in layout.pieces_in(part) {
                    let kept = open.records.piece(piece)?.ok_or_else(lost)?;
                    own = own.then(kept.crc, layout.bytes_in(piece));
                    crc = crc.then(kept.crc, layout.bytes_in(piece));
                    blocks += Blocks(u64::from(kept.blocks));
                    empty += u32::from(kept.blocks == 0);
                    etag = kept.etag;
                }
                if layout.is_gathered() {
                    let kept = open.records.part(part)?.ok_or_else(lost)?;
                    if kept.crc != own {
                        return Err(Error::failed(format!("part {} was copied with another checksum", part + 1)));
                    }
                    etag = kept.etag;
                }
                parts.push(ImagePart { number: part + 1, etag, crc: own });
            }
            Ok(Whole { crc, blocks, empty, parts })
        });
        read.await.map_err(|e| Error::failed(format!("reading what S3 has of an object: {e}")))?
    }

    /// Puts zeros where there is nothing else.
    async fn fill(&self, desk: &Desk, open: &Arc<Open>) -> Result<()> {
        let mut empty = Vec::new();
        for piece in 0..self.layout.pieces() {
            if open.records.piece(piece)?.is_none() {
                empty.push(piece);
            }
        }
        let full = |piece: &u32| self.layout.bytes_in(*piece) == full_piece(self.layout);
        let copied = empty.iter().filter(|piece| full(piece)).count() >= ZEROS_WORTH as usize;
        let (copies, sends): (Vec<u32>, Vec<u32>) = empty.into_iter().partition(|piece| copied && full(piece));
        let sent = sends.into_iter().map(|piece| self.send_zeros(desk, open, piece));
        stream::iter(sent).buffer_unordered(SIDE_BY_SIDE).try_collect::<()>().await?;
        if copies.is_empty() {
            return Ok(());
        }
        let text = format!("{} parts hold no block: S3 copies zeros there", grouped(copies.len() as u64));
        desk.say(self.address(), text, Tone::Info);
        let data = vec![Buffer::from_static(zeros()); self.layout.piece as usize];
        let (data, sha256) = hashed(data).await?;
        let (data, crc) = summed(data).await?;
        let (key, keep) = (self.zeros(), self.temporary());
        retried!(
            open.caller.own_tries(&open.route),
            self.s3().put(&self.grant, &self.root, &key, &data, &sha256, &keep, false)
        )?;
        let copied = copies.into_iter().map(|piece| self.copy_zeros(desk, open, piece, &key, crc));
        stream::iter(copied).buffer_unordered(SIDE_BY_SIDE).try_collect::<()>().await
    }

    /// The object of zeros that is copied.
    fn zeros(&self) -> String {
        format!("{}zeros", self.beside())
    }

    async fn send_zeros(&self, desk: &Desk, open: &Open, piece: u32) -> Result<()> {
        let slot = desk.work.hub.gate.acquire().await;
        for _ in 0..self.layout.blocks_in(piece).len() {
            desk.work.bytes_may_go().await;
        }
        let (data, crc) = summed(self.bytes(piece, std::collections::BTreeMap::new())).await?;
        self.send(open, piece, &data, crc, 0).await?;
        drop(slot);
        Ok(())
    }

    async fn copy_zeros(&self, desk: &Desk, open: &Open, piece: u32, from: &str, crc: Crc64) -> Result<()> {
        let slot = desk.work.hub.gate.acquire().await;
        let (of, number) = self.place_of(piece);
        let (id, key) = (self.upload(open, of).await?, self.key_of(of));
        let copied = retried!(
            desk.caller.control().within(PATIENCE).paid_as(Api::Store),
            self.s3().copy_image_part(&self.grant, &self.root, &key, &id, number, from)
        );
        let (etag, said) = match copied {
            Err(error) if error.has_code("NoSuchUpload") => {
                open.records.set_upload(of, None)?;
                return Err(self.gone());
            }
            copied => copied?,
        };
        must_be(said, crc, || format!("zeros into {}", self.url()))?;
        open.records.set_piece(piece, Some(&Kept { etag, crc, blocks: 0 }))?;
        drop(slot);
        Ok(())
    }

    /// Makes each temporary object, and lets S3 copy it into its place.
    async fn gather(&self, desk: &Desk, open: &Arc<Open>) -> Result<()> {
        let gathered = (0..self.layout.parts()).map(|part| self.gather_one(desk, open, part));
        stream::iter(gathered).buffer_unordered(SIDE_BY_SIDE).try_collect::<()>().await
    }

    async fn gather_one(&self, desk: &Desk, open: &Open, part: u32) -> Result<()> {
        let (of, key) = (Of::Part(part), self.key_of(Of::Part(part)));
        if open.records.part(part)?.is_none() {
            let slot = desk.work.hub.gate.acquire().await;
            let (mut parts, mut crc, mut length) = (Vec::new(), Crc64::of([]), Bytes::ZERO);
            for (number, piece) in (1..).zip(self.layout.pieces_in(part)) {
                let kept = open.records.piece(piece)?.ok_or_else(lost)?;
                let bytes = self.layout.bytes_in(piece);
                (crc, length) = (crc.then(kept.crc, bytes), length + bytes);
                parts.push(ImagePart { number, etag: kept.etag, crc: kept.crc });
            }
            self.end_part(desk, open, part, &parts, (crc, length)).await?;
            let whole = self.upload(open, Of::Whole).await?;
            let (etag, said) = retried!(
                desk.caller.control().within(PATIENCE).paid_as(Api::Store),
                self.s3().copy_image_part(&self.grant, &self.root, self.key(), &whole, part + 1, &key)
            )?;
            must_be(said, crc, || format!("part {} of {}", part + 1, self.url()))?;
            open.records.set_part(part, Some(&Kept { etag, crc, blocks: 0 }))?;
            open.records.sync()?;
            drop(slot);
        }
        if open.records.upload(of)?.is_some() {
            retried!(desk.caller.control(), self.s3().delete(&self.grant, &self.root, &key))?;
            open.records.set_upload(of, None)?;
        }
        Ok(())
    }

    /// Makes a temporary object of its pieces, unless an earlier run did.
    async fn end_part(
        &self,
        desk: &Desk,
        open: &Open,
        part: u32,
        parts: &[ImagePart],
        (crc, length): (Crc64, Bytes),
    ) -> Result<()> {
        let (of, key) = (Of::Part(part), self.key_of(Of::Part(part)));
        let id = open.records.upload(of)?.ok_or_else(|| self.gone())?;
        let over = Over::Anything;
        let ended = retried!(desk.caller.control().within(PATIENCE).paid_as(Api::Store), async {
            let ended = self.s3().end_image(&self.grant, &self.root, &key, &id, parts, (crc, length), &over).await;
            match ended {
                Err(error) if error.has_code("NoSuchUpload") => {
                    let there = self.s3().image_head(self.bucket(), &key).await?;
                    if there.is_some_and(|head| head.crc == Some(crc) && head.bytes == length) {
                        Ok(())
                    } else {
                        Err(error)
                    }
                }
                ended => ended,
            }
        });
        match ended {
            Err(error) if error.has_code("NoSuchUpload") => {
                open.records.set_upload(of, None)?;
                Err(self.gone())
            }
            ended => ended,
        }
    }

    /// Makes the object; an answer that was lost is found again.
    async fn end(&self, desk: &Desk, open: &Open, parts: &[ImagePart], crc: Crc64) -> Result<()> {
        if self.look(&desk.caller).await?.is_some_and(|head| self.is_ours(&head)) {
            return Ok(());
        }
        let id = open.records.upload(Of::Whole)?.ok_or_else(lost)?;
        let ended = retried!(desk.caller.control().within(PATIENCE).paid_as(Api::Store), async {
            let what = (crc, self.layout.length);
            let ended = self.s3().end_image(&self.grant, &self.root, self.key(), &id, parts, what, &self.over).await;
            match ended {
                Ok(()) => Ok(()),
                Err(error) => match self.s3().image_head(self.bucket(), self.key()).await {
                    Ok(Some(head)) if self.is_ours(&head) => Ok(()),
                    _ => Err(error),
                },
            }
        });
        match ended {
            Err(error) if is_precondition(&error) => {
                let aws = error.aws.clone();
                Err(Error { aws, ..self.taken("was written by somebody else meanwhile, and is left as it is") })
            }
            // The object that was to be replaced is not there any more.
            Err(error) if error.has_code("NoSuchKey") && matches!(self.over, Over::This(_)) => {
                let aws = error.aws.clone();
                Err(Error { aws, ..self.taken("was removed since the plan was made") })
            }
            Err(error) if is_conflict(&error) || error.has_code("NoSuchUpload") => {
                Err(self.give_way(desk, open, &id, error).await?)
            }
            ended => ended,
        }
    }

    /// S3 will not make the object of this upload: somebody wrote or removed the key at the same moment, or gave the
    /// upload up. Where what the plan saw is still there, it is forgotten, and the next try begins one anew. Answers the
    /// error that leads there.
    async fn give_way(&self, desk: &Desk, open: &Open, id: &str, error: Error) -> Result<Error> {
        self.must_be_free(self.look(&desk.caller).await?.as_ref())?;
        retried!(desk.caller.control(), self.s3().abort_upload(&self.grant, &self.root, self.key(), id))?;
        open.records.set_upload(Of::Whole, None)?;
        if desk.known().await?.attempt >= UPLOADS_MOST {
            return Ok(
                error.todo("somebody works on this key: look who, then `floe jobs resume`, or copy to another one")
            );
        }
        Ok(Error { class: Class::Congestion, ..error })
    }

    /// Removes what was made and is not the object: uploads, and temporary objects. What is complete stays.
    pub(super) async fn remove(&self, desk: &Desk) -> Result<()> {
        if let Some(records) = Records::look(&self.records, &self.owner(desk.dest)) {
            self.give_up_uploads(desk, &records).await?;
        }
        self.sweep(desk).await
    }

    /// Gives up every upload that is written down.
    pub(super) async fn give_up_uploads(&self, desk: &Desk, records: &Records) -> Result<()> {
        let parts = if self.layout.is_gathered() { self.layout.parts() } else { 0 };
        for of in std::iter::once(Of::Whole).chain((0..parts).map(Of::Part)) {
            let Some(id) = records.upload(of)? else { continue };
            let key = self.key_of(of);
            retried!(desk.caller.control(), self.s3().abort_upload(&self.grant, &self.root, &key, &id))?;
        }
        Ok(())
    }

    /// Removes everything that has a temporary name of this job: nothing of anybody else is called so.
    async fn sweep(&self, desk: &Desk) -> Result<()> {
        let beside = self.beside();
        for (key, id) in retried!(desk.caller.control(), self.s3().uploads(self.bucket(), &beside))? {
            retried!(desk.caller.control(), self.s3().abort_upload(&self.grant, &self.root, &key, &id))?;
        }
        loop {
            let page = retried!(desk.caller.control(), self.s3().list(self.bucket(), &beside, false, None, None))?;
            if page.objects.is_empty() {
                return Ok(());
            }
            for object in &page.objects {
                retried!(desk.caller.control(), self.s3().delete(&self.grant, &self.root, &object.key))?;
            }
        }
    }
}

/// The bytes of a piece that is not the last.
fn full_piece(layout: Layout) -> Bytes {
    Blocks(u64::from(layout.piece)).bytes()
}

/// What S3 copied has to be what was there, as far as it says what it copied.
fn must_be(copied: Option<Crc64>, crc: Crc64, what: impl Fn() -> String) -> Result<()> {
    if copied.is_none_or(|copied| copied == crc) {
        return Ok(());
    }
    Err(Error::failed(format!("S3 copied {} with another checksum", what())).todo("copy again"))
}

fn lost() -> Error {
    Error::failed("it is not written down what S3 has of the object").todo("cancel the job and copy again")
}
