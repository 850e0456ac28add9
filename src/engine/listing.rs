//! One listing, page by page, whoever reads it: the cursors of a pass, comparisons, and what reads a destination back.
//!
//! Invariants: NextToken lives here and nowhere else; one that is refused is dropped, and the listing goes on by
//! index; an empty page with a token is not the end; a listing that gets nowhere is an error, so every one ends.

use super::call::{Caller, NO_SEGMENT, retried};
use super::source::{Page, Routes, Source};
use crate::aws::Walk;
use crate::error::{Class, Error, Result};

/// Where one listing of a source stands.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    source: &'a dyn Source,
    /// The retry layer and the limiters; none for what is on this machine.
    asks: Option<(&'a Caller, &'a Routes)>,
    segment: u32,
    walk: Walk,
    token: Option<String>,
    through: u32,
}

impl<'a> Listing<'a> {
    /// From an index on.
    pub(super) fn new(source: &'a dyn Source, asks: Option<(&'a Caller, &'a Routes)>, from: u32) -> Self {
        let asks = asks.filter(|_| source.is_listed_remotely());
        Self { source, asks, segment: NO_SEGMENT, walk: Walk::over(source.blocks()), token: None, through: from }
    }

    /// Its requests count for that segment.
    pub(super) const fn of_segment(mut self, segment: u32) -> Self {
        self.segment = segment;
        self
    }

    /// Everything below is listed.
    pub(super) const fn through(&self) -> u32 {
        self.through
    }

    /// Whether there is nothing more to list.
    pub(super) fn is_over(&self) -> bool {
        self.through >= self.source.blocks()
    }

    /// The next page; it may be empty.
    ///
    /// # Errors
    /// As classified; or the listing leads nowhere.
    pub(super) async fn next(&mut self, max: u16) -> Result<Page> {
        loop {
            let (from, token) = (self.through, self.token.take());
            let page = match self.asks {
                None => self.source.page(from, token.as_deref(), max).await,
                Some((caller, routes)) => {
                    let tries = caller.tries(&routes.list, caller.log(), self.segment);
                    let tries = tries.counted(self.source.asked()).lists();
                    retried!(tries, self.source.page(from, token.as_deref(), max))
                }
            };
            let page = match page {
                Err(error) if error.class == Class::StalePage => {
                    self.walk.stale(token.as_deref())?;
                    continue;
                }
                page => page?,
            };
            self.walk.page(token.as_deref(), page.next.as_deref(), page.through > from)?;
            if page.through <= from && page.next.is_none() {
                return Err(Error::failed(format!("the listing stops at block {from}")));
            }
            self.through = page.through.max(from);
            self.token.clone_from(&page.next);
            return Ok(page);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::engine::blocks::{Pool, Room, lock};
    use crate::engine::source::{Content, Entry};
    use crate::ids::BlockIndex;
    use crate::units::Digest;

    /// Answers as it was told to, and remembers what it was asked.
    #[derive(Debug, Default)]
    struct Told {
        answers: Mutex<VecDeque<Result<Page>>>,
        asked: Mutex<Vec<(u32, Option<String>)>>,
    }

    #[async_trait]
    impl Source for Told {
        fn blocks(&self) -> u32 {
            1000
        }
        async fn page(&self, from: u32, token: Option<&str>, _max: u16) -> Result<Page> {
            lock(&self.asked).push((from, token.map(str::to_owned)));
            lock(&self.answers).pop_front().unwrap_or_else(|| Err(Error::failed("nothing more was told")))
        }
        async fn read(&self, _entry: &Entry, _pool: &Pool, _into: &mut Room) -> Result<Digest> {
            Err(Error::failed("it is only listed"))
        }
        async fn unchanged(&self) -> Result<()> {
            Ok(())
        }
        fn is_mutable(&self) -> bool {
            false
        }
        fn routes(&self, _caller: &Caller) -> Option<Routes> {
            None
        }
    }

    fn page(indexes: &[u32], through: u32, next: Option<&str>) -> Result<Page> {
        let entries = indexes.iter().map(|index| Entry { index: BlockIndex(*index), content: Content::File });
        Ok(Page { entries: entries.collect(), through, next: next.map(str::to_owned) })
    }

    fn stale() -> Result<Page> {
        Err(Error::classed(Class::StalePage, "this token has ended"))
    }

    #[tokio::test]
    async fn tokens_lead_on_and_one_that_is_refused_is_left_for_the_index() {
        let told = Told::default();
        let answers = [page(&[3, 9], 10, Some("a")), page(&[], 10, Some("b")), stale(), page(&[12], 1000, None)];
        lock(&told.answers).extend(answers);
        let mut listing = Listing::new(&told, None, 0);
        let mut seen = Vec::new();
        while !listing.is_over() {
            seen.extend(listing.next(100).await.unwrap().entries.iter().map(|entry| entry.index.0));
        }
        assert_eq!(seen, [3, 9, 12]);
        let asked: Vec<_> = lock(&told.asked).drain(..).collect();
        let by = |token: &str| (10, Some(token.to_owned()));
        assert_eq!(asked, [(0, None), by("a"), by("b"), (10, None)], "an empty page is not the end");
    }

    #[tokio::test]
    async fn a_listing_that_gets_nowhere_ends_in_an_error() {
        let told = Told::default();
        lock(&told.answers).extend([page(&[], 0, Some("a")), page(&[], 0, Some("a"))]);
        let mut listing = Listing::new(&told, None, 0);
        listing.next(100).await.unwrap();
        assert!(listing.next(100).await.unwrap_err().what.contains("names itself"));

        lock(&told.answers).clear();
        lock(&told.answers).push_back(page(&[], 7, None));
        assert!(Listing::new(&told, None, 7).next(100).await.unwrap_err().what.contains("stops at block 7"));

        lock(&told.answers).push_back(stale());
        let refused = Listing::new(&told, None, 7).next(100).await.unwrap_err();
        assert!(refused.what.contains("refuses the page tokens"), "no token was sent: {refused}");
    }
}
