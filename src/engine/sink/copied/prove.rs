//! What a copy is held against, and what that proves.
//!
//! Invariant: only what S3 says of the two objects, or their bytes, is compared; nothing that we wrote ourselves beside
//! them counts. What cannot be compared is said, and the result is then claimed, never called checked.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::object::{Item, changed};
use super::work::{Way, Work};
use crate::aws::{S3Facts, Sse};
use crate::engine::budget::{Part, Weight};
use crate::engine::journal::{Checked, Record};
use crate::engine::protocol::{Checking, Evidence};
use crate::error::{Class, Error, Result};
use crate::plan::Verify;
use crate::plan::copied::{Action, encryption, same_bytes};
use crate::plan::parts::COMPARED;
use crate::units::{BLOCK_BYTES, Blocks, Bytes};

/// Pieces that are read side by side.
const BESIDE: usize = 4;
/// A place is written down each so many pieces.
const NOTED: u64 = 16;

impl Work<'_> {
    /// Holds a copy against its source, as far as was asked; `checked` is how far an earlier run was.
    pub(super) async fn proved(
        &self,
        item: &Item,
        action: &Action,
        checked: Option<Checked>,
    ) -> Result<(Evidence, String)> {
        let verify = self.sink.rules.verify;
        if verify == Verify::None {
            return Ok((Evidence::Claimed, "S3 said that it is done; nothing was looked at".to_owned()));
        }
        let (bucket, key) = (&self.sink.root.bucket, &item.key);
        let address = format!("s3://{bucket}/{key}");
        let from = match self.source_of(item).await? {
            Some(from) if from.facts.etag == item.from.etag => from.facts,
            now => return Err(changed(item, now.as_ref().map(|known| &known.facts))),
        };
        let there = self.look(Way::LookTo, || self.sink.to.s3().facts(bucket, key, None)).await?;
        let there = there.ok_or_else(|| Error::failed(format!("{address} is not there")))?;
        let differs =
            |what: String| Err(Error::failed(format!("{address} is not its source: {what}")).todo("copy again"));
        if there.bytes != from.bytes {
            return differs(format!("it has {}, the source {}", there.bytes, from.bytes));
        }
        let (asked, words) = encryption(&from.sse, self.sink.rules.kms_key.as_deref(), self.sink.near);
        if asked != Sse::Default && there.sse == Sse::Default && !matches!(action, Action::Skip { .. }) {
            return differs(format!("it was to be {words}, and is encrypted as S3 does it"));
        }
        let by = same_bytes(&from, &there);
        if by.is_none() && surely_differ(&from, &there) {
            return differs("their checksums differ".to_owned());
        }
        match (verify, by) {
            (Verify::Full, _) => {
                self.read_back(item, &there.etag, checked).await?;
                Ok((Evidence::ReRead, "every byte of both was read and compared".to_owned()))
            }
            (Verify::Checksum, by) => {
                let sum = from.sum.as_ref().filter(|sum| sum.whole).map(|sum| sum.algorithm.clone());
                match (sum, by) {
                    (Some(sum), Some(by)) if by.ends_with(&sum) => {
                        Ok((Evidence::Service, format!("compared with its source by {by}, over the whole")))
                    }
                    _ => Err(Error::failed(format!(
                        "{address} has no checksum that could be compared with its source's"
                    ))
                    .todo("floe copy --verify full reads both; the copy itself is there")),
                }
            }
            (_, Some(by)) => Ok((Evidence::Service, format!("compared with its source by {by}"))),
            (_, None) => {
                let text = "compared with its source by size only: ETags of objects that were put together in other \
                            parts say nothing, and they have no checksum of one kind";
                Ok((Evidence::Claimed, text.to_owned()))
            }
        }
    }

    /// Reads both by ranges and compares them; the first difference ends it.
    async fn read_back(&self, item: &Item, etag: &str, checked: Option<Checked>) -> Result<()> {
        let piece = COMPARED.0;
        let per_piece = piece / BLOCK_BYTES;
        let from = checked.as_ref().map_or(0, |checked| u64::from(checked.through) / per_piece);
        let pieces = item.length.0.div_ceil(piece);
        let all = Blocks(item.length.blocks().0);
        let compared = stream::iter(from..pieces).map(|nth| async move {
            let at = nth * piece;
            self.same_piece(item, etag, at, piece.min(item.length.0 - at)).await?;
            Ok::<u64, Error>(nth + 1)
        });
        let single = checked.is_some();
        let mut compared = compared.buffered(BESIDE);
        while let Some(through) = compared.try_next().await? {
            if !single {
                continue;
            }
            let done = Blocks((through * per_piece).min(all.0));
            self.desk.hub.checked(self.desk.dest, Checking { done, of: all });
            if through % NOTED == 0 {
                let through = u32::try_from(through * per_piece).unwrap_or(u32::MAX);
                let to = Checked { through, blocks: done, ..Checked::default() };
                self.desk.hub.record(Record::Checked { dest: self.dest(), to });
            }
        }
        Ok(())
    }

    async fn same_piece(&self, item: &Item, etag: &str, at: u64, length: u64) -> Result<()> {
        let (sink, both) = (self.sink, Bytes(2 * length));
        self.desk.hub.throttle.pass(both).await;
        self.desk.work.throttle.pass(both).await;
        let weight = Weight::of(Part::Blocks, both);
        let room = self.desk.work.budget.acquire(weight).await;
        let room = room.map_err(|denied| Error { class: Class::Quota, ..denied.into() })?;
        let (bucket, key) = (&sink.root.bucket, &item.key);
        let (source, copy) = tokio::try_join!(
            self.look(Way::LookFrom, || {
                sink.from.s3().read(&item.from.bucket, &item.from.key, at, length, Some(&item.from.etag))
            }),
            self.look(Way::LookTo, || sink.to.s3().read(bucket, key, at, length, Some(etag))),
        )?;
        let first = source.data.iter().zip(&copy.data[..]).position(|(a, b)| a != b);
        drop(room);
        match first {
            None if source.data.len() == copy.data.len() => Ok(()),
            first => {
                let at = at + first.unwrap_or_default() as u64;
                Err(Error::failed(format!("s3://{bucket}/{key} differs from its source at byte {at}"))
                    .todo("do not use this copy; copy again with --force-copy"))
            }
        }
    }
}

/// Whether what S3 tells of the two says that their bytes are not the same.
fn surely_differ(a: &S3Facts, b: &S3Facts) -> bool {
    if let (Some(one), Some(other)) = (&a.sum, &b.sum)
        && one.algorithm == other.algorithm
        && one.whole
        && other.whole
    {
        return one.value != other.value;
    }
    // Of what was put in one piece and is not under a key of KMS, the ETag is the MD5.
    let md5 =
        |facts: &S3Facts| !facts.etag.contains('-') && facts.sse == Sse::Default && facts.class != "EXPRESS_ONEZONE";
    md5(a) && md5(b) && a.etag != b.etag
}
