//! The end of an archive: its objects are listed, then the index is written, then the manifest; or all of it removed.
//!
//! Invariants: the manifest names only what was listed with its length; rows are streamed (the ledger's digests beside
//! the places), so memory is one chunk and one part; whoever commits again finds what the last one did.

use bytes::Bytes as Buffer;

use super::places::{Place, run_id};
use super::{ArchiveSink, Open, sum};
use crate::archive::{Damaged, IndexEnd, IndexFacts, IndexWriter, Manifest, Row, RunId, SegmentName};
use crate::aws::{S3Part, is_precondition};
use crate::engine::budget::{Part, Weight};
use crate::engine::call::retried;
use crate::engine::ledger::Linear;
use crate::engine::sink::Desk;
use crate::error::{Class, Error, Result};
use crate::ids::BlockIndex;
use crate::inventory::archives;
use crate::plan::Verify;
use crate::plan::choices::{INDEX, INDEX_PART};
use crate::units::{Bytes, Digest};

/// Digests that are taken from the ledger at a time.
const BATCH: usize = 512;

/// Commits what was written.
pub(super) async fn commit(sink: &ArchiveSink, open: &Open, desk: &Desk, written: &Linear) -> Result<()> {
    let found = retried!(desk.caller.control(), archives::find(sink.s3(), &sink.root.bucket, &sink.root.prefix))?;
    if let Some(found) = found {
        // An earlier run's commit arrived, and its answer did not.
        let same = found.manifest.linear == written.checksum && found.manifest.blocks == written.blocks;
        return if same && sink.is_ours(&found) { Ok(()) } else { Err(sink.exists()) };
    }
    let memory = Weight::of(Part::Compression, Bytes(index_memory(written.blocks.0)));
    let denied = |denied| Error { class: Class::Quota, ..Error::from(denied) };
    let memory = desk.work.budget.acquire(memory).await.map_err(denied)?;
    let mut stored = Bytes::ZERO;
    if desk.verify != Verify::None {
        stored = objects(sink, open, desk, written).await?;
    }
    let end = index(sink, open, desk).await?;
    drop(memory);
    if end.rows != written.blocks {
        return Err(Error::failed(format!("the index has {} blocks, the ledger {}", end.rows, written.blocks)));
    }
    let runs = (0..=open.number).map(|run| run_id(&sink.unique, run)).collect::<Result<Vec<RunId>>>()?;
    let facts = sink.facts.clone();
    let manifest = Manifest {
        version: Manifest::VERSION,
        archive: facts.archive,
        made: facts.made,
        origin: facts.origin,
        base: facts.base,
        volume: facts.volume,
        blocks: written.blocks,
        linear: written.checksum,
        encryption: facts.encryption,
        tags: facts.tags,
        runs,
        stored,
        index: IndexFacts { run: open.run.clone(), bytes: end.bytes, directory: end.directory, sha256: end.digest },
    };
    let bytes = Buffer::from(manifest.bytes());
    let (digest, key) = (Digest::of(&bytes), format!("{}manifest.json", sink.root.prefix));
    // The manifest has to be read without being brought back first: it stays in the standard class.
    let keep = crate::aws::Keep { class: None, ..sink.keep.clone() };
    let put = retried!(
        open.caller.own_tries(&open.route),
        sink.s3().put(&sink.grant, &sink.root, &key, std::slice::from_ref(&bytes), &digest, &keep, true)
    );
    match put {
        Ok(_) => Ok(()),
        Err(error) if is_precondition(&error) => {
            let found =
                retried!(desk.caller.control(), archives::find(sink.s3(), &sink.root.bucket, &sink.root.prefix))?;
            if found.is_some_and(|found| found.digest == digest) { Ok(()) } else { Err(sink.exists()) }
        }
        Err(error) => Err(error),
    }
}

/// What the index takes while it is written: a chunk and a part, or all of it where that is less.
fn index_memory(blocks: u64) -> u64 {
    (512 * 1024 + blocks * 48).min(INDEX.0)
}

fn damaged(why: Damaged) -> Error {
    Error::failed(format!("the index of the archive: {why}"))
}

/// Compares what S3 lists with what was written down: every block's object, with its length. Answers their bytes.
///
/// Keys are unique, and a block is of one object: when as many blocks were found in listed objects as were written,
/// every one of them was.
async fn objects(sink: &ArchiveSink, open: &Open, desk: &Desk, written: &Linear) -> Result<Bytes> {
    let (mut found, mut stored) = (0, Bytes::ZERO);
    for run in 0..=open.number {
        let prefix = format!("{}{}/", sink.root.prefix, run_id(&sink.unique, run)?);
        let mut token: Option<String> = None;
        loop {
            let page = retried!(
                open.caller.control(),
                sink.s3().list(&sink.root.bucket, &prefix, false, None, token.as_deref())
            )?;
            for object in &page.objects {
                let Some(name) = object.key.strip_prefix(&prefix).and_then(|name| name.parse().ok()) else { continue };
                let blocks = blocks_in(open, desk, run, name, object.bytes).await?;
                found += blocks;
                if blocks > 0 {
                    stored += object.bytes;
                }
            }
            token = page.next;
            if token.is_none() {
                break;
            }
        }
    }
    if found == written.blocks.0 {
        return Ok(stored);
    }
    Err(Error::failed(format!(
        "{} blocks were acknowledged and S3 lists the objects of {found}",
        crate::units::grouped(written.blocks.0)
    ))
    .todo("did somebody remove objects, or does a lifecycle rule? cancel the job and copy again"))
}

/// How many blocks are in an object of that name and length.
async fn blocks_in(open: &Open, desk: &Desk, run: u16, name: SegmentName, bytes: Bytes) -> Result<u64> {
    let (mut at, mut found) = (name.first, 0);
    loop {
        let known = desk.keeper.digests(desk.dest, at, BATCH).await?;
        let Some(last) = known.last() else { return Ok(found) };
        for (index, _) in known.iter().filter(|(index, _)| *index <= name.last) {
            let Some(place) = open.places.get(*index)? else { return Err(lost(*index)) };
            if (place.run, place.segment) != (run, name) {
                continue;
            }
            if Bytes(u64::from(place.object)) != bytes {
                let what = format!("{name} has {bytes} in S3, and {} were sent", Bytes(u64::from(place.object)));
                return Err(Error::failed(what).at_block(*index));
            }
            found += 1;
        }
        if last.0 >= name.last {
            return Ok(found);
        }
        at = BlockIndex(last.0.0 + 1);
    }
}

fn lost(index: BlockIndex) -> Error {
    Error::failed("it is not written down where a block of the archive is")
        .at_block(index)
        .todo("cancel the job and copy again")
}

/// Writes the index: in one request, or in parts.
async fn index(sink: &ArchiveSink, open: &Open, desk: &Desk) -> Result<IndexEnd> {
    let key = format!("{}{}/index.zst", sink.root.prefix, open.run);
    let mut upload = Upload { sink, open, key, id: None, parts: Vec::new() };
    let outcome = upload.rows(desk).await;
    if outcome.is_err() {
        upload.give_up().await;
    }
    outcome
}

/// An index on its way.
struct Upload<'a> {
    sink: &'a ArchiveSink,
    open: &'a Open,
    key: String,
    id: Option<String>,
    parts: Vec<S3Part>,
}

impl Upload<'_> {
    async fn rows(&mut self, desk: &Desk) -> Result<IndexEnd> {
        let (mut writer, mut at) = (IndexWriter::default(), BlockIndex(0));
        loop {
            let known = desk.keeper.digests(desk.dest, at, BATCH).await?;
            let Some(last) = known.last() else { break };
            at = BlockIndex(last.0.0 + 1);
            for (index, digest) in known {
                let Place { run, segment, object, offset, length } =
                    self.open.places.get(index)?.ok_or_else(|| lost(index))?;
                writer.push(Row { index, run, segment, object, offset, length, digest }).map_err(damaged)?;
            }
            if writer.pending() as u64 >= INDEX_PART.0 {
                let part = writer.ready();
                self.part(part).await?;
            }
        }
        let (rest, end) = writer.finish().map_err(damaged)?;
        if self.id.is_some() {
            self.part(rest).await?;
            let (sink, id) = (self.sink, self.id.clone().unwrap_or_default());
            retried!(
                self.open.caller.own_tries(&self.open.route),
                sink.s3().end_upload(&sink.grant, &sink.root, &self.key, &id, &self.parts, false)
            )?;
        } else {
            let (data, digest) = sum(vec![Buffer::from(rest)]).await?;
            let sink = self.sink;
            let keep = crate::aws::Keep { class: None, ..sink.keep.clone() };
            retried!(
                self.open.caller.own_tries(&self.open.route),
                sink.s3().put(&sink.grant, &sink.root, &self.key, &data, &digest, &keep, false)
            )?;
        }
        Ok(end)
    }

    async fn part(&mut self, data: Vec<u8>) -> Result<()> {
        let (sink, open) = (self.sink, self.open);
        if self.id.is_none() {
            let keep = crate::aws::Keep { class: None, ..sink.keep.clone() };
            let begun = retried!(
                open.caller.own_tries(&open.route),
                sink.s3().begin_upload(&sink.grant, &sink.root, &self.key, &keep)
            )?;
            self.id = Some(begun);
        }
        let (id, number) =
            (self.id.clone().unwrap_or_default(), u32::try_from(self.parts.len() + 1).unwrap_or(u32::MAX));
        let data = [Buffer::from(data)];
        let part = retried!(
            open.caller.own_tries(&open.route),
            sink.s3().put_part(&sink.grant, &sink.root, &self.key, &id, number, &data)
        )?;
        self.parts.push(part);
        Ok(())
    }

    async fn give_up(&self) {
        let Some(id) = &self.id else { return };
        let sink = self.sink;
        let gone = retried!(self.open.caller.control(), sink.s3().abort_upload(&sink.grant, &sink.root, &self.key, id));
        if let Err(error) = gone {
            tracing::warn!(%error, "an upload was left behind");
        }
    }
}

/// Removes what this job made: objects of its own runs, and uploads that it began. A committed archive stays.
pub(super) async fn discard(sink: &ArchiveSink, desk: &Desk) -> Result<()> {
    let (s3, bucket) = (sink.s3(), &sink.root.bucket);
    let found = retried!(desk.caller.control(), archives::find(s3, bucket, &sink.root.prefix))?;
    if found.is_some() {
        return Ok(());
    }
    // Runs are named by what is unique to this job: nothing of anybody else begins so.
    let prefix = format!("{}{}-", sink.root.prefix, sink.unique);
    for (key, id) in retried!(desk.caller.control(), s3.uploads(bucket, &prefix))? {
        retried!(desk.caller.control(), s3.abort_upload(&sink.grant, &sink.root, &key, &id))?;
    }
    loop {
        let page = retried!(desk.caller.control(), s3.list(bucket, &prefix, false, None, None))?;
        if page.objects.is_empty() {
            return Ok(());
        }
        for object in &page.objects {
            retried!(desk.caller.control(), s3.delete(&sink.grant, &sink.root, &object.key))?;
        }
    }
}
