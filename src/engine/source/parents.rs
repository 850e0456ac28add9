//! A whole source that goes onto parents: what only a parent has is listed too, as zeros.
//!
//! Invariant: every index that the source or any parent lists is listed once, the source's own content first; so a
//! result on such a parent equals the source, whatever lies beneath (DESIGN §3, rule 6).

use std::sync::Arc;

use async_trait::async_trait;

use super::{Content, Entry, Page, Routes, SnapshotSource, Source};
use crate::aws::Session;
use crate::engine::blocks::{Pool, Room, zeros};
use crate::engine::call::{Caller, Route};
use crate::engine::listing::Listing;
use crate::engine::rate::Api;
use crate::error::Result;
use crate::ids::SnapshotId;
use crate::plan::choices::PAGE_MIN;
use crate::units::{Bytes, Digest, ZERO_BLOCK_SHA256};

/// One parent, in the session that reads it.
#[derive(Debug)]
pub(in crate::engine) struct Parents {
    pub session: Session,
    pub id: SnapshotId,
    pub volume: Bytes,
}

/// The source as it is, or with the blocks of the parents that its results lie on.
pub(in crate::engine) fn onto_parents(
    source: Arc<dyn Source>,
    parents: Vec<Parents>,
    caller: &Arc<Caller>,
) -> Arc<dyn Source> {
    if parents.is_empty() {
        return source;
    }
    // Where the source has no requests of its own, nobody around it tries a listing again.
    let alone = source.routes(caller).is_none();
    let under = |parent: Parents| Under {
        asks: alone.then(|| (Arc::clone(caller), caller.route(Api::List, &parent.session, Some(&parent.id)))),
        source: Arc::new(SnapshotSource::new(parent.session, parent.id, parent.volume)),
    };
    let source = Under { source, asks: None };
    Arc::new(OntoParents { source, parents: parents.into_iter().map(under).collect() })
}

#[derive(Debug)]
struct Under {
    source: Arc<dyn Source>,
    /// The retry layer of its listings, where nobody around them has one.
    asks: Option<(Arc<Caller>, Arc<Route>)>,
}

/// See [`onto_parents`].
#[derive(Debug)]
struct OntoParents {
    /// The source itself; who lists this tries it again.
    source: Under,
    parents: Vec<Under>,
}

impl OntoParents {
    /// What one of them lists from `from` on, and below which index that is all.
    async fn ahead(&self, under: &Under, from: u32, max: u16) -> Result<(Vec<Entry>, u32)> {
        let routes = under.asks.as_ref().map(|(_, list)| Routes { list: Arc::clone(list), get: Arc::clone(list) });
        let asks = under.asks.as_ref().zip(routes.as_ref()).map(|((caller, _), routes)| (&**caller, routes));
        let mut listing = Listing::new(&*under.source, asks, from);
        // An empty page is followed by its token, here, because a token of two listings would be none of either.
        while !listing.is_over() {
            let page = listing.next(max).await?;
            if listing.is_over() {
                return Ok((page.entries, self.blocks()));
            }
            if listing.through() > from {
                return Ok((page.entries, listing.through()));
            }
        }
        Ok((Vec::new(), self.blocks()))
    }
}

#[async_trait]
impl Source for OntoParents {
    fn blocks(&self) -> u32 {
        let under = self.parents.iter().map(|parent| parent.source.blocks()).max().unwrap_or(0);
        self.source.source.blocks().max(under)
    }

    async fn page(&self, from: u32, _token: Option<&str>, max: u16) -> Result<Page> {
        let sides = u16::try_from(self.parents.len() + 1).unwrap_or(u16::MAX);
        let max = (max / sides).max(PAGE_MIN);
        let (mut entries, mut through) = self.ahead(&self.source, from, max).await?;
        for parent in &self.parents {
            let (beneath, reached) = self.ahead(parent, from, max).await?;
            through = through.min(reached);
            entries.extend(beneath.into_iter().map(|entry| Entry { index: entry.index, content: Content::Hole }));
        }
        entries.retain(|entry| entry.index.0 < through);
        // Stable: of equal indexes the source's own comes first.
        entries.sort_by_key(|entry| entry.index);
        entries.dedup_by_key(|entry| entry.index);
        Ok(Page { entries, through, next: None })
    }

    async fn read(&self, entry: &Entry, pool: &Pool, into: &mut Room) -> Result<Digest> {
        // Past the source's end there is nothing of it, also where a resume reads again what it wrote.
        if entry.content != Content::Hole && entry.index.0 < self.source.source.blocks() {
            return self.source.source.read(entry, pool, into).await;
        }
        pool.provide(into);
        into.clear();
        into.extend_from_slice(zeros());
        Ok(ZERO_BLOCK_SHA256)
    }

    async fn unchanged(&self) -> Result<()> {
        self.source.source.unchanged().await
    }

    fn changed(&self) -> Option<String> {
        self.source.source.changed()
    }

    fn is_mutable(&self) -> bool {
        self.source.source.is_mutable()
    }

    fn routes(&self, caller: &Caller) -> Option<Routes> {
        self.source.source.routes(caller)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::ids::BlockIndex;

    /// Lists these, in pages of chance, with empty ones among them.
    #[derive(Debug)]
    struct Lists {
        has: BTreeSet<u32>,
        blocks: u32,
        chance: u32,
    }

    #[async_trait]
    impl Source for Lists {
        fn blocks(&self) -> u32 {
            self.blocks
        }
        async fn page(&self, from: u32, token: Option<&str>, max: u16) -> Result<Page> {
            let empty = token.is_none() && (from ^ self.chance).is_multiple_of(3);
            let most = if empty { 0 } else { usize::from(max).min(1 + (self.chance as usize + from as usize) % 7) };
            let left = self.has.range(from..).count();
            let found = self
                .has
                .range(from..)
                .take(most)
                .map(|index| Entry { index: BlockIndex(*index), content: Content::File });
            let entries: Vec<Entry> = found.collect();
            let over = entries.len() == left && !empty;
            let through = if over { self.blocks } else { entries.last().map_or(from, |last| last.index.0 + 1) };
            Ok(Page { entries, through, next: (!over).then(|| format!("from {through}")) })
        }
        async fn read(&self, _: &Entry, _: &Pool, _: &mut Room) -> Result<Digest> {
            Ok(ZERO_BLOCK_SHA256)
        }
        async fn unchanged(&self) -> Result<()> {
            Ok(())
        }
        fn is_mutable(&self) -> bool {
            false
        }
        fn routes(&self, _: &Caller) -> Option<Routes> {
            None
        }
    }

    fn under(has: &BTreeSet<u32>, blocks: u32, chance: u32) -> Under {
        Under { source: Arc::new(Lists { has: has.clone(), blocks, chance }), asks: None }
    }

    proptest! {
        #[test]
        fn every_index_of_any_of_them_is_listed_once_and_the_sources_own_is_its_own(
            own in proptest::collection::btree_set(0u32..90, 0..60),
            first in proptest::collection::btree_set(0u32..120, 0..60),
            second in proptest::collection::btree_set(0u32..50, 0..30),
            chance in 0u32..100,
        ) {
            let parents = vec![under(&first, 120, chance + 1), under(&second, 50, chance + 2)];
            let all = OntoParents { source: under(&own, 90, chance), parents };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let listed = runtime.block_on(async {
                let (mut listing, mut listed) = (Listing::new(&all, None, 0), Vec::new());
                while !listing.is_over() {
                    listed.extend(listing.next(100).await.unwrap().entries);
                }
                listed
            });
            let wanted: Vec<u32> = own.union(&first).copied().collect::<BTreeSet<u32>>().union(&second).copied().collect();
            prop_assert_eq!(listed.iter().map(|entry| entry.index.0).collect::<Vec<_>>(), wanted);
            for entry in listed {
                prop_assert_eq!(entry.content == Content::File, own.contains(&entry.index.0));
            }
        }
    }
}
