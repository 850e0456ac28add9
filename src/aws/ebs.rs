//! The EBS direct APIs: list, get, put, start, complete.
//!
//! No retries here: the engine owns the one retry layer. One call is one request with its body and its
//! checksum; the error carries the [`crate::error::Class`] from the table in `classify.rs`. Deadlines are
//! the caller's (`tokio::time::timeout` around the call); dropping the future drops the connection.
//! Blocks themselves move in `blocks.rs`; the four small calls go through the SDK.

use std::sync::Arc;

use aws_config::retry::RetryConfig;
use aws_sdk_ebs::Client;
use aws_sdk_ebs::config::StalledStreamProtectionConfig;
use aws_sdk_ebs::primitives::DateTime;
use aws_sdk_ebs::types::{ChecksumAggregationMethod, ChecksumAlgorithm, Tag};
use bytes::{Bytes as Buffer, BytesMut};
use jiff::Timestamp;

use super::blocks::Arriving;
use super::context::Context;
use crate::error::{Error, Result};
use crate::grant::{Call, Grant};
use crate::ids::{AccountId, BlockIndex, SnapshotId};
use crate::units::{BLOCK_BYTES, Bytes, Digest};

/// One listed block: its index and the token that reads it (lives until the page's `expires`).
#[derive(Debug, Clone)]
pub struct BlockEntry {
    /// Its index.
    pub index: BlockIndex,
    /// What GetSnapshotBlock wants to see; never persisted.
    pub token: Box<str>,
}

/// One page of ListSnapshotBlocks; it may be short or empty and still have a `next`.
#[derive(Debug, Clone)]
pub struct BlockPage {
    /// Ascending indexes.
    pub blocks: Vec<BlockEntry>,
    /// The volume's size.
    pub volume: Bytes,
    /// When the block tokens of this page end (7 days).
    pub expires: Timestamp,
    /// The page token (60 minutes); `None` is the only end of a listing.
    pub next: Option<String>,
}

/// One changed block. No first token: new in the second. No second token: gone in the second.
#[derive(Debug, Clone)]
pub struct ChangedEntry {
    /// Its index.
    pub index: BlockIndex,
    /// Reads it from the first snapshot.
    pub first: Option<Box<str>>,
    /// Reads it from the second snapshot.
    pub second: Option<Box<str>>,
}

/// One page of ListChangedBlocks.
#[derive(Debug, Clone)]
pub struct ChangedPage {
    /// Ascending indexes.
    pub blocks: Vec<ChangedEntry>,
    /// The second snapshot's volume size.
    pub volume: Bytes,
    /// When the block tokens end.
    pub expires: Timestamp,
    /// The page token.
    pub next: Option<String>,
}

/// What StartSnapshot is asked for.
#[derive(Debug, Clone)]
pub struct StartSnapshot {
    /// Volume size in GiB, 1 to 65,536.
    pub volume_gib: u32,
    /// The parent, for a snapshot with lineage; never together with `encrypted`.
    pub parent: Option<SnapshotId>,
    /// Tags, `aws:*` already left out.
    pub tags: Vec<(String, String)>,
    /// At most 255 characters.
    pub description: String,
    /// Job + destination + attempt, at most 64 characters: a repeated start finds the same snapshot.
    pub client_token: String,
    /// `Some(true)` with or without a key; `None` leaves it to the account's default.
    pub encrypted: Option<bool>,
    /// A full key ARN.
    pub kms_key_arn: Option<String>,
    /// Minutes without a put before AWS gives the snapshot up; floe always asks for 4320.
    pub timeout_minutes: u32,
}

/// What StartSnapshot answered.
#[derive(Debug, Clone)]
pub struct Started {
    /// The new snapshot.
    pub id: SnapshotId,
    /// Its owner.
    pub owner: Option<AccountId>,
    /// The key it is encrypted with; its absence is the only proof that it is not encrypted.
    pub kms_key_arn: Option<String>,
    /// `pending`, as a rule.
    pub status: String,
}

/// EBS direct in one session. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ebs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    context: Context,
    client: Client,
    /// `https://ebs.eu-west-1.amazonaws.com`, without a slash at its end.
    endpoint: String,
}

impl Ebs {
    pub(super) async fn new(context: Context) -> Result<Self> {
        let endpoint = context.ebs_endpoint().await?;
        let config = aws_sdk_ebs::config::Builder::from(&context.sdk())
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(
                aws_config::timeout::TimeoutConfig::builder()
                    .connect_timeout(super::http::CONNECT_TIMEOUT)
                    .disable_operation_attempt_timeout()
                    .build(),
            )
            .endpoint_url(&endpoint)
            .build();
        Ok(Self { inner: Arc::new(Inner { context, client: Client::from_conf(config), endpoint }) })
    }

    pub(super) fn context(&self) -> &Context {
        &self.inner.context
    }
    /// Where it is asked: `https://ebs.eu-west-1.amazonaws.com`, without a slash at its end.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.inner.endpoint
    }

    /// One page of blocks from `start` on, or of `page_token` (which wins). `max` is 100 to 10,000.
    ///
    /// # Errors
    /// As classified from AWS's code and reason.
    pub async fn list_blocks(
        &self,
        snapshot: &SnapshotId,
        start: Option<BlockIndex>,
        page_token: Option<&str>,
        max: u16,
    ) -> Result<BlockPage> {
        let what = || format!("could not list the blocks of {snapshot}");
        let answer = self
            .inner
            .client
            .list_snapshot_blocks()
            .snapshot_id(snapshot.as_str())
            .set_starting_block_index(start.map(wire_index).transpose()?)
            .set_next_token(page_token.map(str::to_owned))
            .max_results(page_size(max))
            .send()
            .await
            .map_err(|error| self.inner.context.sdk_error("ebs:ListSnapshotBlocks", &error, what()))?;
        let page =
            PageHead::read(answer.block_size, answer.volume_size, answer.expiry_time).map_err(|e| e.during(what()))?;
        let mut blocks = Vec::with_capacity(answer.blocks.as_ref().map_or(0, Vec::len));
        for block in answer.blocks.unwrap_or_default() {
            let index = read_index(block.block_index).map_err(|error| error.during(what()))?;
            let token =
                block.block_token.ok_or_else(|| Error::transient(format!("{}: block {index} has no token", what())))?;
            blocks.push(BlockEntry { index, token: token.into_boxed_str() });
        }
        PageHead::check(max, blocks.iter().map(|block| block.index), page.volume)
            .map_err(|error| error.during(what()))?;
        Ok(BlockPage { blocks, volume: page.volume, expires: page.expires, next: non_empty(answer.next_token) })
    }

    /// One page of the blocks that differ between two snapshots of one lineage.
    ///
    /// # Errors
    /// As classified; `UNRELATED_SNAPSHOTS` is permanent.
    pub async fn list_changed(
        &self,
        first: &SnapshotId,
        second: &SnapshotId,
        start: Option<BlockIndex>,
        page_token: Option<&str>,
        max: u16,
    ) -> Result<ChangedPage> {
        let what = || format!("could not list the changes from {first} to {second}");
        let answer = self
            .inner
            .client
            .list_changed_blocks()
            .first_snapshot_id(first.as_str())
            .second_snapshot_id(second.as_str())
            .set_starting_block_index(start.map(wire_index).transpose()?)
            .set_next_token(page_token.map(str::to_owned))
            .max_results(page_size(max))
            .send()
            .await
            .map_err(|error| self.inner.context.sdk_error("ebs:ListChangedBlocks", &error, what()))?;
        let page =
            PageHead::read(answer.block_size, answer.volume_size, answer.expiry_time).map_err(|e| e.during(what()))?;
        let mut blocks = Vec::with_capacity(answer.changed_blocks.as_ref().map_or(0, Vec::len));
        for block in answer.changed_blocks.unwrap_or_default() {
            blocks.push(ChangedEntry {
                index: read_index(block.block_index).map_err(|error| error.during(what()))?,
                first: non_empty(block.first_block_token).map(String::into_boxed_str),
                second: non_empty(block.second_block_token).map(String::into_boxed_str),
            });
        }
        // Whose volume the answer means is not documented: what only the first has may lie past the second's.
        let any = Bytes(u64::MAX);
        PageHead::check(max, blocks.iter().map(|block| block.index), any).map_err(|error| error.during(what()))?;
        Ok(ChangedPage { blocks, volume: page.volume, expires: page.expires, next: non_empty(answer.next_token) })
    }

    /// Reads one block into `into` (exactly 524,288 bytes long afterwards), hashing while it arrives, and
    /// compares with the checksum that AWS sent. The digest comes back so that nobody hashes it again.
    ///
    /// # Errors
    /// As classified; a short body or a wrong checksum is transient.
    pub async fn get_block(
        &self,
        snapshot: &SnapshotId,
        index: BlockIndex,
        token: &str,
        into: &mut BytesMut,
    ) -> Result<Digest> {
        self.ask_block(snapshot, index, token).await?.read(into).await
    }

    /// The first half of [`Ebs::get_block`]: answers when the block begins to arrive, so that memory for it need
    /// not be held while the service looks for it.
    ///
    /// # Errors
    /// As classified.
    pub async fn ask_block(&self, snapshot: &SnapshotId, index: BlockIndex, token: &str) -> Result<Arriving<'_>> {
        super::blocks::ask(self, snapshot, index, token).await
    }

    /// Writes one block; `data` is 524,288 bytes and `digest` its SHA-256. `progress` is 0 to 100.
    ///
    /// # Errors
    /// As classified; refused when the grant does not cover the snapshot.
    pub async fn put_block(
        &self,
        grant: &Grant,
        snapshot: &SnapshotId,
        index: BlockIndex,
        data: Buffer,
        digest: &Digest,
    ) -> Result<()> {
        self.inner.context.allow(grant, Call::PutSnapshotBlock, Some(snapshot.as_str()))?;
        super::blocks::put(self, snapshot, index, data, digest).await.map_err(|error| error.at_block(index))
    }

    /// Starts a snapshot.
    ///
    /// # Errors
    /// As classified; pending-snapshot limits are [`crate::error::Class::Quota`].
    pub async fn start(&self, grant: &Grant, request: &StartSnapshot) -> Result<Started> {
        self.inner.context.allow(grant, Call::StartSnapshot, None)?;
        let what = || match &request.parent {
            Some(parent) => format!("could not start a snapshot on {parent}"),
            None => "could not start a snapshot".to_owned(),
        };
        let wrong = |why: String| Error::usage(format!("{}: {why}", what()));
        let tags =
            request.tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect::<Vec<_>>();
        let answer = self
            .inner
            .client
            .start_snapshot()
            .volume_size(i64::from(request.volume_gib))
            .set_parent_snapshot_id(request.parent.as_ref().map(ToString::to_string))
            .set_tags((!tags.is_empty()).then_some(tags))
            .set_description((!request.description.is_empty()).then(|| request.description.clone()))
            .client_token(&request.client_token)
            .set_encrypted(request.encrypted)
            .set_kms_key_arn(request.kms_key_arn.clone())
            .timeout(i32::try_from(request.timeout_minutes).map_err(|_| wrong("the timeout is too long".to_owned()))?)
            .send()
            .await
            .map_err(|error| self.inner.context.sdk_error("ebs:StartSnapshot", &error, what()))?;
        let id = answer.snapshot_id.ok_or_else(|| Error::transient(format!("{}: the answer names none", what())))?;
        Ok(Started {
            id: id.parse().map_err(wrong)?,
            owner: answer.owner_id.and_then(|owner| owner.parse().ok()),
            kms_key_arn: non_empty(answer.kms_key_arn),
            status: answer.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        })
    }

    /// Completes a snapshot: `changed` distinct blocks were written, `linear` is the SHA-256 over their raw
    /// digests in index order (left out when nothing was written). Answers the state, `pending` as a rule.
    ///
    /// # Errors
    /// As classified. Not idempotent on AWS's side: on doubt describe first.
    pub async fn complete(
        &self,
        grant: &Grant,
        snapshot: &SnapshotId,
        changed: u64,
        linear: Option<&Digest>,
    ) -> Result<String> {
        self.inner.context.allow(grant, Call::CompleteSnapshot, Some(snapshot.as_str()))?;
        let what = || format!("could not complete {snapshot}");
        let changed = i32::try_from(changed)
            .map_err(|_| Error::failed(format!("{}: {changed} blocks are more than a volume holds", what())))?;
        let mut request =
            self.inner.client.complete_snapshot().snapshot_id(snapshot.as_str()).changed_blocks_count(changed);
        if let Some(linear) = linear {
            request = request
                .checksum(linear.base64())
                .checksum_algorithm(ChecksumAlgorithm::ChecksumAlgorithmSha256)
                .checksum_aggregation_method(ChecksumAggregationMethod::ChecksumAggregationLinear);
        }
        let answer = request
            .send()
            .await
            .map_err(|error| self.inner.context.sdk_error("ebs:CompleteSnapshot", &error, what()))?;
        Ok(answer.status.map(|status| status.as_str().to_owned()).unwrap_or_default())
    }
}

/// What both kinds of pages say of the volume.
#[derive(Debug)]
struct PageHead {
    volume: Bytes,
    expires: Timestamp,
}

impl PageHead {
    /// A block size other than ours would put every block in the wrong place: refused, never guessed.
    fn read(block_size: Option<i32>, volume_gib: Option<i64>, expires: Option<DateTime>) -> Result<Self> {
        if let Some(size) = block_size.filter(|size| i64::from(*size) != i64::try_from(BLOCK_BYTES).unwrap_or_default())
        {
            return Err(Error::failed(format!("its blocks have {size} bytes, not {BLOCK_BYTES}")));
        }
        let gib = volume_gib.and_then(|gib| u64::try_from(gib).ok());
        let gib = gib.ok_or_else(|| Error::transient("the page does not tell the volume's size"))?;
        // Without an end the shortest life that AWS gives any token counts.
        let expires = expires.and_then(|end| Timestamp::from_second(end.secs()).ok());
        let soon = || crate::wall::now() + jiff::SignedDuration::from_mins(60);
        Ok(Self { volume: Bytes::gib(gib), expires: expires.unwrap_or_else(soon) })
    }

    /// Whoever goes on after a page trusts its order: what it leaves out would be left out of the copy.
    fn check(max: u16, indexes: impl ExactSizeIterator<Item = BlockIndex>, volume: Bytes) -> Result<()> {
        let (count, most) = (indexes.len(), page_size(max));
        if i32::try_from(count).is_ok_and(|count| count <= most) {
            let mut last = None;
            for index in indexes {
                if last.is_some_and(|last| index <= last) {
                    return Err(Error::failed("the listing is not in ascending order").at_block(index));
                }
                last = Some(index);
            }
            let past = last.filter(|last| u64::from(last.0) >= volume.blocks().0);
            return past.map_or(Ok(()), |index| {
                Err(Error::failed(format!("the listing names block {index} of a volume of {volume}")).at_block(index))
            });
        }
        Err(Error::failed(format!("{count} blocks came where at most {most} were asked for")))
    }
}

fn wire_index(index: BlockIndex) -> Result<i32> {
    i32::try_from(index.0).map_err(|_| Error::failed(format!("block {index} is beyond any volume")))
}

fn read_index(index: Option<i32>) -> Result<BlockIndex> {
    let index = index.and_then(|index| u32::try_from(index).ok());
    index.map(BlockIndex).ok_or_else(|| Error::transient("an entry has no index"))
}

fn page_size(max: u16) -> i32 {
    i32::from(max.clamp(100, 10_000))
}

fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}
