//! The guard of a listing: whoever serves it, it ends.
//!
//! Empty pages with a token are not the end of a listing, and a page token may be refused, so a cursor goes on
//! where others would stop. Invariant: it goes on only as long as that can lead anywhere; a token that names its
//! own page, more idle pages than a volume could have, and tokens that are refused as soon as they are given are
//! errors. Used by every loop over pages.

use crate::error::{Error, Result};

/// The smallest page that is ever asked for: a volume has no more pages than this makes of it.
const SMALLEST: u32 = 100;
/// Idle pages that any volume may have.
const IDLE: u32 = 100;
/// Tokens refused in a row without a page that brought anything.
const STALE: u32 = 5;

/// How long one listing has gone on without getting anywhere.
#[derive(Debug, Clone)]
pub struct Walk {
    most: u32,
    idle: u32,
    stale: u32,
}

impl Walk {
    /// Over a volume of so many block indexes.
    #[must_use]
    pub const fn over(indexes: u32) -> Self {
        Self { most: indexes / SMALLEST + IDLE, idle: 0, stale: 0 }
    }

    /// A page came: asked with `sent`, naming `next`, and `forward` when it brought blocks that were not seen.
    ///
    /// # Errors
    /// It leads nowhere.
    pub fn page(&mut self, sent: Option<&str>, next: Option<&str>, forward: bool) -> Result<()> {
        if forward {
            (self.idle, self.stale) = (0, 0);
            return Ok(());
        }
        self.idle += 1;
        if next.is_some() && sent == next {
            return Err(Error::failed("the listing does not end: a page names itself as the next one"));
        }
        if self.idle > self.most && next.is_some() {
            return Err(Error::failed(format!("the listing does not end: {} empty pages in a row", self.idle)));
        }
        Ok(())
    }

    /// A page token was refused.
    ///
    /// # Errors
    /// Again and again, with nothing listed in between.
    pub fn stale(&mut self, sent: Option<&str>) -> Result<()> {
        self.stale += 1;
        if sent.is_none() || self.stale > STALE {
            return Err(Error::failed("the service refuses the page tokens that it has just given"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_that_gets_nowhere_ends() {
        let mut walk = Walk::over(2048);
        assert!(walk.page(Some("a"), Some("a"), false).is_err(), "a page that names itself");
        let mut walk = Walk::over(2048);
        let pages = (0..10_000).take_while(|_| walk.page(Some("a"), Some("b"), false).is_ok()).count();
        assert_eq!(pages, 120);
        let mut walk = Walk::over(2048);
        assert!(walk.stale(None).is_err(), "no token was sent, so none can have ended");
        assert_eq!((0..100).take_while(|_| walk.stale(Some("a")).is_ok()).count(), 4);
    }

    #[test]
    fn a_listing_that_gets_on_may_take_as_long_as_it_likes() {
        let mut walk = Walk::over(2048);
        for nth in 0..100_000 {
            walk.page(Some("a"), Some("b"), nth % 50 == 0).expect("it gets on");
            if nth % 50 == 1 {
                walk.stale(Some("a")).expect("a token may end");
            }
        }
    }
}
