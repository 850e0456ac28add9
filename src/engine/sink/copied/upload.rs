//! An object in parts: S3 copies each range, many at a time, and puts them together.
//!
//! Invariants: the upload is in the journal before it is asked for, and how it is cut before the first part of that cut;
//! which parts there are is asked of S3 (ListParts), never believed of ourselves. A part that fails for good stops the
//! others: those on their way are waited for, so that nothing arrives at an upload that was given up. Parts of one upload
//! may have different lengths, so the length follows what is measured while the upload goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::object::{Item, changed, is_gone};
use super::work::{Way, Work};
use crate::aws::{CopyAs, PARTS_MAX, is_conflict, is_precondition};
use crate::engine::journal::{UploadPicture, Uploading};
use crate::engine::protocol::Tone;
use crate::engine::transfer::{Halt, halt_of};
use crate::error::{Class, Error, Result};
use crate::plan::copied::{Known, same_bytes, wanted};
use crate::plan::parts::{PROBED, Parts, is_retuned, retune};
use crate::units::{Blocks, Bytes};

/// A clock of S3's may be behind ours by this.
const SKEW: i64 = 300;
/// Uploads that are begun for one object, when S3 does not make it of the one before.
const UPLOADS_MOST: u32 = 3;
/// Times that an upload is given up before it is believed to be gone: parts on their way can outlive the first.
const GIVE_UPS: u32 = 10;

/// How an upload is cut: each cut holds from its part on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cuts {
    length: Bytes,
    all: Vec<(u32, u64, Bytes)>,
}

impl Cuts {
    pub(super) fn new(length: Bytes, all: Vec<(u32, u64, Bytes)>) -> Self {
        Self { length, all }
    }

    /// Where a part begins, and how long it is; none past the end.
    pub(super) fn part(&self, number: u32) -> Option<(u64, u64)> {
        let (first, at, size) = self.all.iter().rev().find(|(first, ..)| *first <= number)?;
        let from = at + u64::from(number - first) * size.0;
        (from < self.length.0).then(|| (from, size.0.min(self.length.0 - from)))
    }

    /// The length of the parts that come last.
    fn size(&self) -> Bytes {
        self.all.last().map_or(Bytes::ZERO, |(.., size)| *size)
    }

    fn push(&mut self, part: u32, at: u64, size: Bytes) {
        self.all.retain(|(known, ..)| *known < part);
        self.all.push((part, at, size));
    }
}

/// An upload that goes on.
struct Open {
    id: String,
    cuts: Cuts,
    /// Parts that S3 has, by number: their ETags.
    have: BTreeMap<u32, String>,
}

impl Work<'_> {
    /// Copies an object in parts, from where an earlier run was. With `completes` that is journaled
    /// as the destination's completion before they are put together.
    pub(super) async fn upload(
        &self,
        item: &Item,
        known: &Known,
        parts: &Parts,
        new: bool,
        completes: Option<Blocks>,
    ) -> Result<()> {
        let to = CopyAs { new, ..wanted(known, &self.sink.rules, self.sink.near) };
        for nth in 1.. {
            match self.one_upload(item, known, parts, &to, completes).await {
                Err(error) if is_conflict(&error) && nth < UPLOADS_MOST => {
                    let text = "the key was written or removed while S3 put its parts together: a new upload is begun";
                    self.desk.say(Self::name(&item.key), text, Tone::Warning);
                }
                Err(error) if is_conflict(&error) => {
                    return Err(error.todo("somebody works on this key: look who, then copy it again"));
                }
                outcome => return outcome,
            }
        }
        Ok(())
    }

    /// One upload from where an earlier run was. After a conflict it is given up, and nothing of it counts any more.
    async fn one_upload(
        &self,
        item: &Item,
        known: &Known,
        parts: &Parts,
        to: &CopyAs,
        completes: Option<Blocks>,
    ) -> Result<()> {
        let earlier = self.desk.known().await?.uploads.get(&item.key).cloned();
        let open = match earlier {
            Some(earlier) => match self.go_on(item, known, earlier).await? {
                Earlier::Open(open) => Some(open),
                Earlier::Together => return self.uploading(&item.key, Uploading::Ended).await,
                Earlier::Gone => None,
            },
            None => None,
        };
        let mut open = match open {
            Some(open) => open,
            None => self.begin(item, to, parts).await?,
        };
        let outcome = match self.fill(item, parts, &mut open).await {
            Ok(()) => match self.completing(completes).await {
                Ok(()) => self.put_together(item, known, to, &open).await,
                failed => failed,
            },
            failed => failed,
        };
        match outcome {
            Ok(()) => self.uploading(&item.key, Uploading::Ended).await,
            Err(error) if is_conflict(&error) => {
                let upload = UploadPicture { id: Some(open.id), ..UploadPicture::default() };
                self.give_up(&item.key, &upload).await?;
                if self.sink.item().is_none() {
                    self.count(|all| all.bytes = Bytes(all.bytes.0.saturating_sub(item.length.0)));
                }
                Err(error)
            }
            Err(error) => Err(self.failed(item, &open.id, error).await),
        }
    }

    /// What a failure leaves: an upload that a resume goes on with, or nothing.
    async fn failed(&self, item: &Item, id: &str, error: Error) -> Error {
        // Nobody comes back to one of many objects; only what stops the whole job is gone on with.
        let one = self.sink.item().is_some();
        let waits = matches!(halt_of(error.clone()), Halt::Wait(_)) || one && error.class == Class::Transient;
        let by_s3 = error.aws.as_ref().is_some_and(|aws| aws.status.is_some_and(|status| status < 500));
        let is_final = !waits && (!one || by_s3 || error.aws.is_none());
        if !is_final {
            return error.todo("its upload is kept: `floe jobs resume` goes on, `floe jobs cancel` gives it up");
        }
        let upload = UploadPicture { id: Some(id.to_owned()), ..UploadPicture::default() };
        match self.give_up(&item.key, &upload).await {
            Ok(()) => error,
            Err(left) => error.during(format!("its upload could not be given up ({left})")),
        }
    }

    async fn begin(&self, item: &Item, to: &CopyAs, parts: &Parts) -> Result<Open> {
        let sink = self.sink;
        self.uploading(&item.key, Uploading::Wanted { since: sink.to.now().as_second() }).await?;
        let (id, _) = self
            .asked(Way::Copy(Bytes::ZERO), || sink.to.s3().begin_copy(&sink.grant, &sink.root, &item.key, to))
            .await?;
        self.uploading(&item.key, Uploading::Begun { id: id.clone() }).await?;
        self.uploading(&item.key, Uploading::Cut { part: 1, at: 0, size: parts.size }).await?;
        Ok(Open { id, cuts: Cuts::new(item.length, vec![(1, 0, parts.size)]), have: BTreeMap::new() })
    }

    /// What an earlier run left.
    async fn go_on(&self, item: &Item, known: &Known, earlier: UploadPicture) -> Result<Earlier> {
        let (s3, bucket) = (self.sink.to.s3(), &self.sink.root.bucket);
        let Some(id) = earlier.id.clone().filter(|_| !earlier.cuts.is_empty()) else {
            // Its id was not heard, or nothing was cut yet: whatever there is of it has no part.
            self.give_up(&item.key, &earlier).await?;
            return Ok(Earlier::Gone);
        };
        let Some(parts) = self.look(Way::LookTo, || s3.parts(bucket, &item.key, &id)).await? else {
            let there = self.look(Way::LookTo, || s3.facts(bucket, &item.key, None)).await?;
            let ours = there.as_ref().filter(|there| there.modified >= earlier.since - SKEW);
            if ours.is_some_and(|there| same_bytes(&known.facts, there).is_some()) {
                return Ok(Earlier::Together);
            }
            let text = "its upload is gone, given up by somebody or by a rule of the bucket: it is begun anew";
            self.desk.say(Self::name(&item.key), text, Tone::Warning);
            self.uploading(&item.key, Uploading::Ended).await?;
            return Ok(Earlier::Gone);
        };
        let cuts = Cuts::new(item.length, earlier.cuts);
        // A part of another length is none of this cut: it is copied again, which replaces it.
        let fits = |number: u32, bytes: Bytes| cuts.part(number).is_some_and(|(_, length)| length == bytes.0);
        let have: BTreeMap<u32, String> =
            parts.into_iter().filter(|p| fits(p.number, p.bytes)).map(|p| (p.number, p.etag)).collect();
        let text = format!("{} parts are there: it goes on with the others", have.len());
        self.desk.say(Self::name(&item.key), text, Tone::Info);
        Ok(Earlier::Open(Open { id, cuts, have }))
    }

    /// Has every part copied that is not there.
    async fn fill(&self, item: &Item, parts: &Parts, open: &mut Open) -> Result<()> {
        let there: u64 = open.have.keys().filter_map(|number| open.cuts.part(*number)).map(|(_, length)| length).sum();
        let mut done = there;
        self.moved(item, done, 0);
        let (id, mut flying, mut next) = (open.id.clone(), FuturesUnordered::new(), 1);
        let mut measured: (u32, Duration) = (0, Duration::ZERO);
        let mut failed: Option<Error> = None;
        loop {
            while failed.is_none() && flying.len() < self.desk.hub.lanes_target() as usize {
                if open.have.contains_key(&next) {
                    next += 1;
                    continue;
                }
                let Some(range) = open.cuts.part(next).filter(|_| next <= PARTS_MAX) else { break };
                let number = next;
                next += 1;
                let id = &id;
                flying.push(async move {
                    let sink = self.sink;
                    let copied = self.asked(Way::Copy(Bytes(range.1)), || {
                        sink.to.s3().copy_part(&sink.grant, &sink.root, &item.key, id, number, &item.from, range)
                    });
                    (number, range, copied.await)
                });
            }
            // Whoever fails is waited for together with all that are on their way beside it.
            let Some((number, (_, length), outcome)) = flying.next().await else { break };
            match outcome {
                Ok((etag, took)) => {
                    open.have.insert(number, etag);
                    done += length;
                    self.moved(item, done, length);
                    if length == open.cuts.size().0 {
                        measured = (measured.0 + 1, measured.1 + took);
                    }
                }
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
            if measured.0 >= PROBED && failed.is_none() && is_retuned(parts) && self.sink.part_size.is_none() {
                self.tune(item, open, next, measured.1 / measured.0).await?;
                measured = (0, Duration::ZERO);
            }
        }
        drop(flying);
        match failed {
            None => Ok(()),
            Some(error) if is_precondition(&error) || is_gone(&error) => {
                let now = self.source_of(item).await?;
                Err(changed(item, now.as_ref().map(|known| &known.facts)))
            }
            Some(error) if error.has_code("NoSuchUpload") => Err(Error::failed(format!(
                "the upload of s3://{}/{} was given up by somebody else",
                self.sink.root.bucket, item.key
            ))
            .todo("look who removes unfinished uploads there (a lifecycle rule?), then copy again")),
            Some(error) => Err(error),
        }
    }

    /// A part is there. Of one object that is what it has; of many, what they have together.
    fn moved(&self, item: &Item, done: u64, more: u64) {
        let single = self.sink.item().is_some();
        self.count(|all| all.bytes = if single { Bytes(done.min(item.length.0)) } else { all.bytes + Bytes(more) });
        if single {
            self.note(self.tally());
        }
    }

    /// Looks at what parts take under load, and cuts the rest accordingly.
    async fn tune(&self, item: &Item, open: &mut Open, next: u32, took: Duration) -> Result<()> {
        let Some((at, _)) = open.cuts.part(next) else { return Ok(()) };
        let (size, rest) = (open.cuts.size(), Bytes(item.length.0 - at));
        let new = retune(size, took, rest, next - 1, self.sink.pace, self.sink.near.region);
        // What changes little is not worth a line.
        if new.0.abs_diff(size.0) * 5 < size.0 {
            return Ok(());
        }
        self.uploading(&item.key, Uploading::Cut { part: next, at, size: new }).await?;
        open.cuts.push(next, at, new);
        let text = format!("parts of {size} took {:.1} s under load: {new} from part {next} on", took.as_secs_f64());
        self.desk.say(Self::name(&item.key), text, Tone::Info);
        Ok(())
    }

    async fn put_together(&self, item: &Item, known: &Known, to: &CopyAs, open: &Open) -> Result<()> {
        let sink = self.sink;
        // What the whole has to be is told to S3, where the source has it: it refuses anything else.
        let sum = known.facts.sum.as_ref().filter(|sum| sum.whole && sum.algorithm == "CRC64NVME");
        let sum = sum.filter(|sum| to.sum.as_ref() == Some(&sum.algorithm)).map(|sum| sum.value.as_str());
        let ended = self
            .asked(Way::Copy(Bytes::ZERO), || {
                let whole = (item.length, sum);
                sink.to.s3().end_copy(&sink.grant, &sink.root, &item.key, &open.id, &open.have, whole, to.new)
            })
            .await;
        let error = match ended {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if is_precondition(&error) || is_conflict(&error) {
            return self.precondition(item, known, error).await;
        }
        if error.has_code("NoSuchUpload") {
            // Its answer may have been lost.
            let there = self.look(Way::LookTo, || sink.to.s3().facts(&sink.root.bucket, &item.key, None)).await?;
            if there.is_some_and(|there| same_bytes(&known.facts, &there).is_some()) {
                return Ok(());
            }
        }
        if error.has_code("BadDigest") {
            let what = format!("what S3 put together of {} is not what its checksum says", item.source());
            return Err(Error { class: Class::Permanent, ..error.during(what) }.todo("copy it again"));
        }
        Err(error)
    }

    /// Gives an upload up until it is gone: parts on their way can outlive the first time. One whose id was never heard
    /// is looked for: of exactly this key, begun since it was wanted, and without a part.
    pub(super) async fn give_up(&self, key: &str, upload: &UploadPicture) -> Result<()> {
        let (sink, s3) = (self.sink, self.sink.to.s3());
        let bucket = &sink.root.bucket;
        let ids = match &upload.id {
            Some(id) => vec![id.clone()],
            None => {
                let since = upload.since - SKEW;
                let found = self.look(Way::LookTo, || s3.uploads_of(bucket, key, since)).await?;
                let mut empty = Vec::new();
                for id in found {
                    let parts = self.look(Way::LookTo, || s3.parts(bucket, key, &id)).await?;
                    if parts.is_some_and(|parts| parts.is_empty()) {
                        empty.push(id);
                    }
                }
                empty
            }
        };
        for id in ids {
            let mut pause = Duration::from_millis(100);
            for nth in 1.. {
                self.asked(Way::Copy(Bytes::ZERO), || s3.abort_upload(&sink.grant, &sink.root, key, &id)).await?;
                if self.look(Way::LookTo, || s3.parts(bucket, key, &id)).await?.is_none() {
                    break;
                }
                if nth >= GIVE_UPS {
                    return Err(Error::failed(format!("the upload {id} of s3://{bucket}/{key} does not go away"))
                        .todo(format!(
                            "aws s3api abort-multipart-upload --bucket {bucket} --key {key} --upload-id {id}"
                        )));
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
        if self.desk.known().await?.uploads.contains_key(key) {
            self.uploading(key, Uploading::Ended).await?;
        }
        Ok(())
    }
}

/// What became of an upload that an earlier run began.
enum Earlier {
    /// It goes on.
    Open(Open),
    /// It was put together, and only the answer was lost.
    Together,
    /// There is none.
    Gone,
}
