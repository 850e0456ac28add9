//! What changed between two snapshots of one lineage, as a source: only the second is ever read.
//!
//! Invariants: a block that the second does not have is zeros, never the first one's bytes; a block past the second's
//! volume is none; the entries ascend without a gap, as those of a whole snapshot do.

use async_trait::async_trait;

use super::{Content, Entry, Page, Routes, SnapshotSource, Source};
use crate::aws::Session;
use crate::engine::blocks::{Pool, Room};
use crate::engine::call::Caller;
use crate::engine::rate::Api;
use crate::error::{Error, Result};
use crate::ids::{BlockIndex, SnapshotId};
use crate::units::{Bytes, Digest, ZERO_BLOCK_SHA256};

/// The way from the first to the second snapshot, in one session.
#[derive(Debug)]
pub(in crate::engine) struct DeltaSource {
    session: Session,
    first: SnapshotId,
    id: SnapshotId,
    second: SnapshotSource,
}

impl DeltaSource {
    /// `volume` is the second one's.
    pub(in crate::engine) fn new(session: Session, first: SnapshotId, second: SnapshotId, volume: Bytes) -> Self {
        let source = SnapshotSource::new(session.clone(), second.clone(), volume);
        Self { session, first, id: second, second: source }
    }
}

#[async_trait]
impl Source for DeltaSource {
    fn blocks(&self) -> u32 {
        self.second.blocks()
    }

    async fn page(&self, from: u32, token: Option<&str>, max: u16) -> Result<Page> {
        let start = token.is_none().then_some(BlockIndex(from));
        let page = self.session.ebs().list_changed(&self.first, &self.id, start, token, max).await?;
        let wrong = |what: &str, index| {
            Err(Error::failed(format!("the changes from {} to {} {what}", self.first, self.id)).at_block(index))
        };
        if token.is_some()
            && let Some(early) = page.blocks.first().filter(|block| block.index.0 < from)
        {
            return wrong("are not listed in ascending order", early.index);
        }
        let mut entries = Vec::with_capacity(page.blocks.len());
        for block in page.blocks.into_iter().filter(|block| (from..self.blocks()).contains(&block.index.0)) {
            let content = match (block.first, block.second) {
                (_, Some(token)) => Content::Token(token),
                // There is no way to take a block out of a snapshot or a file: it reads as zeros from now on.
                (Some(_), None) => Content::Hole,
                (None, None) => return wrong("name a block that neither of them has", block.index),
            };
            entries.push(Entry { index: block.index, content });
        }
        let through = match (&page.next, entries.last()) {
            (None, _) => self.blocks(),
            (Some(_), Some(last)) => last.index.0 + 1,
            (Some(_), None) => from,
        };
        Ok(Page { entries, through, next: page.next })
    }

    async fn read(&self, entry: &Entry, pool: &Pool, into: &mut Room) -> Result<Digest> {
        match entry.content {
            Content::Hole => {
                into.enter().await;
                pool.provide(into);
                into.clear();
                into.extend_from_slice(crate::engine::blocks::zeros());
                Ok(ZERO_BLOCK_SHA256)
            }
            _ => self.second.read(entry, pool, into).await,
        }
    }

    async fn unchanged(&self) -> Result<()> {
        Ok(())
    }

    fn is_mutable(&self) -> bool {
        false
    }

    fn routes(&self, caller: &Caller) -> Option<Routes> {
        let route = |api| caller.route(api, &self.session, Some(&self.id));
        Some(Routes { list: route(Api::Changed), get: route(Api::Get) })
    }
}
