//! A raw image in S3 as a source: every block is a ranged read of that very object.
//!
//! Invariant: each read asks for the ETag that the plan pinned, so no two blocks are of two objects; where the bucket keeps
//! versions it asks for that version, so that the key may be written to meanwhile. S3 says nothing of holes: every index is
//! listed. The last block is padded with zeros.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Content, Entry, Page, Routes, Source};
use crate::aws::Session;
use crate::engine::blocks::{Pool, Room, digest_of, zeros};
use crate::engine::call::Caller;
use crate::engine::rate::Api;
use crate::engine::turns::Turns;
use crate::error::{Error, Result};
use crate::ids::BlockIndex;
use crate::units::{BLOCK_BYTES, Bytes, Digest};

/// One object.
#[derive(Debug)]
pub(in crate::engine) struct ObjectSource {
    session: Session,
    bucket: String,
    key: String,
    etag: String,
    version: Option<String>,
    length: Bytes,
    turns: Turns,
}

impl ObjectSource {
    /// The object of a bucket and a key that has this ETag: that version of it, or without one what is there now.
    pub(in crate::engine) fn new(
        session: Session,
        (bucket, key): (&str, &str),
        etag: &str,
        version: Option<&str>,
        length: Bytes,
    ) -> Self {
        let (bucket, key, etag) = (bucket.to_owned(), key.to_owned(), etag.to_owned());
        Self { session, bucket, key, etag, version: version.map(str::to_owned), length, turns: Turns::default() }
    }

    fn gone(&self) -> Error {
        let what = match &self.version {
            Some(version) => format!("version {version} of s3://{}/{}", self.bucket, self.key),
            None => format!("s3://{}/{}", self.bucket, self.key),
        };
        Error::failed(format!("{what} is not there any more")).todo("make a new plan of what is there now")
    }
}

#[async_trait]
impl Source for ObjectSource {
    fn blocks(&self) -> u32 {
        u32::try_from(self.length.blocks().0).unwrap_or(u32::MAX)
    }

    async fn page(&self, from: u32, _token: Option<&str>, max: u16) -> Result<Page> {
        let through = from.saturating_add(u32::from(max)).min(self.blocks());
        let entry = |index| Entry { index: BlockIndex(index), content: Content::File };
        Ok(Page { entries: (from..through).map(entry).collect(), through, next: None })
    }

    async fn read(&self, entry: &Entry, pool: &Pool, into: &mut Room) -> Result<Digest> {
        let from = entry.index.offset();
        let length = BLOCK_BYTES.min(self.length.0.saturating_sub(from));
        let (place, version) = ((&*self.bucket, &*self.key), self.version.as_deref());
        // What an attempt before this one left there: asking takes neither memory nor a place.
        pool.vacate(into);
        let asked = self.session.s3().ask(place, version, from, length, Some(&self.etag)).await;
        let arriving = asked.map_err(|error| match error.has_code("NoSuchVersion") {
            true => Error { aws: error.aws, ..self.gone() }.at_block(entry.index),
            false => error.at_block(entry.index),
        })?;
        into.enter().await;
        let taken = async {
            pool.provide(into);
            arriving.read(into).await.map_err(|error| error.at_block(entry.index))?;
            let padding = &zeros()[into.len()..];
            into.extend_from_slice(padding);
            Ok(digest_of(into))
        };
        self.turns.take(taken).await
    }

    async fn unchanged(&self) -> Result<()> {
        let what = || format!("s3://{}/{}", self.bucket, self.key);
        match self.session.s3().head_version(&self.bucket, &self.key, self.version.as_deref()).await? {
            Some(head) if head.etag == self.etag => Ok(()),
            Some(_) => {
                Err(Error::failed(format!("{} was replaced since the plan was made", what())).todo("make a new plan"))
            }
            None => Err(self.gone()),
        }
    }

    fn is_listed_remotely(&self) -> bool {
        false
    }

    fn is_mutable(&self) -> bool {
        false
    }

    fn routes(&self, caller: &Caller) -> Option<Routes> {
        let route = caller.route(Api::Fetch, &self.session, None);
        Some(Routes { list: Arc::clone(&route), get: route })
    }
}
