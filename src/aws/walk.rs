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

/// The page tokens of one listing of names or rows. Nobody can tell how many pages there are, but no token comes twice:
/// where one does, the listing goes round in a circle, however many pages that has. One token is kept, and another one in
/// its place after twice as many pages each time (Brent), so that a listing of any length costs no memory.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    kept: Option<String>,
    pages: u64,
    until: u64,
}

impl Tokens {
    /// The token that the next page is asked with, as the last one named it; none at the end, also where it is empty.
    ///
    /// # Errors
    /// The listing goes round.
    pub fn next(&mut self, named: Option<String>) -> Result<Option<String>> {
        let Some(token) = named.filter(|token| !token.is_empty()) else { return Ok(None) };
        if self.kept.as_ref() == Some(&token) {
            return Err(Error::failed("a listing goes round in a circle: the same page token twice"));
        }
        self.pages += 1;
        if self.pages >= self.until {
            (self.kept, self.pages, self.until) = (Some(token.clone()), 0, (self.until * 2).max(1));
        }
        Ok(Some(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_that_goes_round_ends_whatever_the_circle_is() {
        for (circle, before) in [(1, 0), (2, 0), (7, 0), (1, 5), (3, 40), (50, 9)] {
            let (mut tokens, mut asked) = (Tokens::default(), 0);
            let ended = (0..1_000).find_map(|nth| {
                asked += 1;
                let nth = if nth < before { nth } else { before + (nth - before) % circle };
                tokens.next(Some(format!("token {nth}"))).err()
            });
            assert!(ended.is_some_and(|error| error.what.contains("circle")), "{circle} after {before}");
            assert!(asked <= 3 * circle.max(before) + circle + 1, "{circle} after {before}: {asked} pages");
        }
        let mut tokens = Tokens::default();
        for nth in 0..1_000 {
            assert!(tokens.next(Some(nth.to_string())).is_ok_and(|token| token.is_some()), "{nth}");
        }
        assert_eq!((tokens.next(Some(String::new())), tokens.next(None)), (Ok(None), Ok(None)));
    }

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
