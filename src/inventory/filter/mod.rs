//! The one filter language, for `/` in the deck and `--filter` on the command line.
//!
//! Words match id, name, tags and description, in any case; all of them must match. `key:value` looks at one field,
//! `key:>value` compares, `|` inside a value means "or", `!` in front negates, quotes keep spaces and colons.
//! A filter is read once and applied to many rows; what a row does not know (a size that AWS did not tell) no
//! comparison matches. For long lists that are searched at every key stroke there is [`Haystack`].

mod fields;
mod haystack;
mod parse;

use jiff::Timestamp;

pub use fields::Fields;
pub use haystack::Haystack;

use crate::error::Result;

/// The keys that are known, as errors and help name them.
pub const KEYS: [&str; 12] =
    ["name", "region", "size", "full", "age", "state", "tier", "tag", "verdict", "frees", "usd", "used-by"];

/// A filter, read and ready. Cheap enough to read at every key stroke.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    terms: Vec<Term>,
}

/// One part of a filter; all parts must hold.
#[derive(Debug, Clone, PartialEq)]
struct Term {
    negated: bool,
    test: Test,
}

/// Texts are in lower case, and any one of them suffices.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    Word(Vec<String>),
    Name(Vec<String>),
    Region(Vec<String>),
    State(Vec<String>),
    Tier(Vec<String>),
    Verdict(Vec<String>),
    UsedBy(Vec<String>),
    Size(Vec<Bound<u64>>),
    Full(Vec<Bound<u64>>),
    Frees(Vec<Bound<u64>>),
    Usd(Vec<Bound<f64>>),
    /// On the moment of birth, so that a filter does not age.
    Born(Vec<Bound<Timestamp>>),
    /// No values: the key is there.
    Tag {
        key: String,
        values: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Bound<T> {
    op: Op,
    value: T,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Less,
    LessOrEqual,
    Equal,
    MoreOrEqual,
    More,
}

impl<T: PartialOrd> Bound<T> {
    fn holds(&self, value: &T) -> bool {
        match self.op {
            Op::Less => *value < self.value,
            Op::LessOrEqual => *value <= self.value,
            Op::Equal => *value == self.value,
            Op::MoreOrEqual => *value >= self.value,
            Op::More => *value > self.value,
        }
    }
}

impl Filter {
    /// Reads a filter; ages are counted from `now`. The empty text is the filter that everything passes.
    ///
    /// # Errors
    /// Usage: an unknown key (with those that are known), a value that its key does not understand, an open quote.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self> {
        Ok(Self { terms: parse::terms(text, now)? })
    }

    /// Whether everything passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether a row passes.
    #[must_use]
    pub fn matches(&self, row: &impl Fields) -> bool {
        self.terms.iter().all(|term| term.test.holds(row, None) != term.negated)
    }

    /// Whether the row at `at` passes, its words being looked for in the haystack.
    #[must_use]
    pub fn matches_in(&self, haystack: &Haystack, at: usize, row: &impl Fields) -> bool {
        let text = haystack.row(at);
        self.terms.iter().all(|term| term.test.holds(row, Some(text)) != term.negated)
    }

    /// The words that a front may highlight: those that must be there.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.terms
            .iter()
            .filter(|term| !term.negated)
            .flat_map(|term| match &term.test {
                Test::Word(words) | Test::Name(words) => words.as_slice(),
                _ => &[],
            })
            .map(String::as_str)
    }
}

impl Test {
    /// `text` is the row's part of a haystack, where there is one.
    fn holds(&self, row: &impl Fields, text: Option<&[u8]>) -> bool {
        let known = |bounds: &[Bound<u64>], value: Option<crate::units::Bytes>| {
            value.is_some_and(|value| bounds.iter().any(|bound| bound.holds(&value.0)))
        };
        match self {
            Self::Word(words) => words.iter().any(|word| match text {
                Some(text) => haystack::contains(text, word.as_bytes()),
                None => word_in(row, word),
            }),
            Self::Name(words) => words.iter().any(|word| fold_contains(row.name(), word)),
            Self::Region(words) => {
                let region = row.region();
                words.iter().any(|word| region.as_str().contains(word.as_str()) || region.short() == *word)
            }
            Self::State(words) => words.iter().any(|word| fold_starts(row.state(), word)),
            Self::Tier(words) => {
                let tier = row.tier().map(|tier| match tier {
                    crate::rows::Tier::Standard => "standard",
                    crate::rows::Tier::Archive => "archive",
                });
                tier.is_some_and(|tier| words.iter().any(|word| tier.starts_with(word.as_str())))
            }
            Self::Verdict(words) => row.verdict().is_some_and(|verdict| words.iter().any(|word| verdict == word)),
            Self::UsedBy(words) => {
                let mut found = false;
                row.used_by(&mut |user| found = found || words.iter().any(|word| fold_contains(user, word)));
                found
            }
            Self::Size(bounds) => known(bounds, row.size()),
            Self::Full(bounds) => known(bounds, row.full()),
            Self::Frees(bounds) => known(bounds, row.frees()),
            Self::Usd(bounds) => row.usd().is_some_and(|usd| bounds.iter().any(|bound| bound.holds(&usd.0))),
            Self::Born(bounds) => row.born().is_some_and(|born| bounds.iter().any(|bound| bound.holds(&born))),
            Self::Tag { key, values } => row.tags().iter().any(|(name, value)| {
                fold_equals(name, key) && (values.is_empty() || values.iter().any(|want| glob(value, want)))
            }),
        }
    }
}

fn word_in(row: &impl Fields, word: &str) -> bool {
    fold_contains(row.id(), word)
        || fold_contains(row.name(), word)
        || fold_contains(row.description(), word)
        || row.tags().iter().any(|(key, value)| {
            fold_contains(key, word)
                || fold_contains(value, word)
                || (word.contains('=') && pair_contains(key, value, word))
        })
}

fn pair_contains(key: &str, value: &str, word: &str) -> bool {
    format!("{key}={value}").to_lowercase().contains(word)
}

/// Whether `text` holds `word`, which is in lower case; nothing is allocated for plain ASCII.
fn fold_contains(text: &str, word: &str) -> bool {
    if text.is_ascii() {
        let (text, word) = (text.as_bytes(), word.as_bytes());
        word.is_empty() || text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
    } else {
        text.to_lowercase().contains(word)
    }
}

fn fold_starts(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

fn fold_equals(text: &str, word: &str) -> bool {
    if text.is_ascii() { text.eq_ignore_ascii_case(word) } else { text.to_lowercase() == word }
}

/// The whole value; a `*` at an end leaves that end open.
fn glob(text: &str, want: &str) -> bool {
    match (want.strip_prefix('*'), want.strip_suffix('*')) {
        (Some(_), Some(_)) => fold_contains(text, want.trim_matches('*')),
        (Some(end), None) => text.to_lowercase().ends_with(end),
        (None, Some(start)) => text.to_lowercase().starts_with(start),
        (None, None) => fold_equals(text, want),
    }
}

#[cfg(test)]
mod tests;
