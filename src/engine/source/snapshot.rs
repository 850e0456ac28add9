//! A snapshot as a source: immutable, pinned by its id, listed with tokens.

use async_trait::async_trait;

use super::{Content, Entry, Page, Routes, Source};
use crate::aws::Session;
use crate::engine::blocks::{Pool, Room};
use crate::engine::call::Caller;
use crate::engine::rate::Api;
use crate::engine::turns::Turns;
use crate::error::{Error, Result};
use crate::ids::SnapshotId;
use crate::units::{Bytes, Digest};

/// One snapshot in one session.
#[derive(Debug)]
pub(in crate::engine) struct SnapshotSource {
    session: Session,
    id: SnapshotId,
    volume: Bytes,
    turns: Turns,
}

impl SnapshotSource {
    pub(in crate::engine) fn new(session: Session, id: SnapshotId, volume: Bytes) -> Self {
        Self { session, id, volume, turns: Turns::default() }
    }
}

#[async_trait]
impl Source for SnapshotSource {
    fn blocks(&self) -> u32 {
        u32::try_from(self.volume.blocks().0).unwrap_or(u32::MAX)
    }

    async fn page(&self, from: u32, token: Option<&str>, max: u16) -> Result<Page> {
        let start = token.is_none().then_some(crate::ids::BlockIndex(from));
        let page = self.session.ebs().list_blocks(&self.id, start, token, max).await?;
        if page.volume != self.volume {
            return Err(Error::failed(format!(
                "{} is {} now, the plan says {}: not the same snapshot",
                self.id, page.volume, self.volume
            ))
            .todo("make a new plan"));
        }
        if token.is_some()
            && let Some(early) = page.blocks.first().filter(|block| block.index.0 < from)
        {
            // What was left out before may be anything: a listing that goes back is no listing.
            return Err(
                Error::failed(format!("the listing of {} is not in ascending order", self.id)).at_block(early.index)
            );
        }
        // A listing starts at the first block at or after the index it was asked for; what is before is not ours.
        let entries: Vec<Entry> = page
            .blocks
            .into_iter()
            .filter(|block| block.index.0 >= from)
            .map(|block| Entry { index: block.index, content: Content::Token(block.token) })
            .collect();
        let through = match (&page.next, entries.last()) {
            (None, _) => self.blocks(),
            (Some(_), Some(last)) => last.index.0 + 1,
            (Some(_), None) => from,
        };
        Ok(Page { entries, through, next: page.next })
    }

    async fn read(&self, entry: &Entry, pool: &Pool, into: &mut Room) -> Result<Digest> {
        match &entry.content {
            Content::Token(token) => {
                // What an attempt before this one left there: asking takes neither memory nor a place.
                pool.vacate(into);
                let arriving = self.session.ebs().ask_block(&self.id, entry.index, token).await?;
                into.enter().await;
                let taken = async {
                    pool.provide(into);
                    arriving.read(into).await
                };
                self.turns.take(taken).await
            }
            Content::File | Content::Stored(_) | Content::Hole => {
                Err(Error::failed("a block of a snapshot has no token").at_block(entry.index))
            }
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
        Some(Routes { list: route(Api::List), get: route(Api::Get) })
    }
}
