//! The one filter language on the deck's rows: what `/` takes, `--filter` takes too.

use crate::error::Result;
use crate::inventory::{ImageRow, SnapshotRow, VolumeRow};
use crate::tui::catalog::Record;
use crate::tui::clock::Now;
use crate::tui::screen::orphans::OrphanRow;

use super::Rank;

pub use crate::inventory::Filter;

/// Reads a filter; ages in it count back from now.
///
/// # Errors
/// A sentence that names the known keys.
pub fn parse(text: &str, now: Now) -> Result<Filter> {
    Filter::parse(text, now.wall)
}

/// Whether a snapshot passes.
#[must_use]
pub fn snapshot(filter: &Filter, row: &SnapshotRow, _: Now) -> bool {
    filter.matches(row)
}

/// Whether a volume passes.
#[must_use]
pub fn volume(filter: &Filter, row: &VolumeRow, _: Now) -> bool {
    filter.matches(row)
}

/// Whether an image passes.
#[must_use]
pub fn image(filter: &Filter, row: &ImageRow, _: Now) -> bool {
    filter.matches(row)
}

/// Whether a judged thing passes.
#[must_use]
pub fn orphan(filter: &Filter, row: &OrphanRow, _: Now) -> bool {
    filter.matches(row)
}

/// Whether a part of a filter is a word by itself: no key, no negation, no alternatives, no quotes.
#[must_use]
pub fn is_plain(part: &str) -> bool {
    !part.contains([':', '!', '|', '"', '\''])
}

/// How well a row that passed answers a word in lower case: who types `web` means `web-data` before `batch-web-4`.
#[must_use]
pub fn rank<T: Record>(word: &str, row: &T) -> Rank {
    let begins = |text: &str| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    let name = row.name().unwrap_or_default();
    let id = row.id().to_string();
    let tail = id.split_once('-').map_or("", |(_, tail)| tail);
    if begins(name) || begins(&id) || begins(tail) {
        Rank::Begins
    } else if name.split(|c: char| !c.is_alphanumeric()).any(begins) {
        Rank::Word
    } else {
        Rank::Found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::testing::{origin, snapshot};

    #[test]
    fn names_that_begin_with_the_word_come_before_those_that_only_hold_it() {
        let rank_of = |word: &str, name: &str| {
            let row = SnapshotRow { name: Some(name.to_owned()), ..snapshot(&origin("us-east-1"), 1) };
            rank(word, &row)
        };
        assert_eq!(rank_of("web", "web-data"), Rank::Begins);
        assert_eq!(rank_of("web", "Web server"), Rank::Begins);
        assert_eq!(rank_of("web", "batch-web-4"), Rank::Word);
        assert_eq!(rank_of("web", "cobweb"), Rank::Found);
        assert_eq!(rank_of("we", "ärger"), Rank::Found, "a letter is never cut in two");
        assert_eq!(rank_of("snap-0", "cobweb"), Rank::Begins, "an id counts with and without its kind");
        assert_eq!(rank_of("000", "cobweb"), Rank::Begins);
    }

    #[test]
    fn only_plain_words_rank() {
        assert!(is_plain("web-data"));
        assert!(!["name:web", "!web", "web|db", "\"web data\"", "size:>5GiB"].into_iter().any(is_plain));
    }
}
