//! All texts of a list in one piece of memory, in lower case, so that a word is found in 200,000 rows between two
//! frames: following five pointers a row costs a cache miss each, running through one buffer costs none.

use super::Fields;

/// The texts of a list, in the order of its rows. Grows as pages arrive.
#[derive(Debug, Clone, Default)]
pub struct Haystack {
    text: Vec<u8>,
    /// Where each row's text ends.
    ends: Vec<usize>,
}

/// Between two texts of a row, so that no word matches across them; no text that AWS takes holds it.
const GAP: u8 = 0;

impl Haystack {
    /// Adds a row.
    pub fn push(&mut self, row: &impl Fields) {
        self.add(row.id());
        self.add(row.name());
        self.add(row.description());
        for (key, value) in row.tags() {
            self.text.extend_from_slice(key.to_lowercase().as_bytes());
            self.text.push(b'=');
            self.add(value);
        }
        self.ends.push(self.text.len());
    }

    fn add(&mut self, text: &str) {
        if text.is_ascii() {
            self.text.extend(text.bytes().map(|byte| byte.to_ascii_lowercase()));
        } else {
            self.text.extend_from_slice(text.to_lowercase().as_bytes());
        }
        self.text.push(GAP);
    }

    /// How many rows it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Drops all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// The text of one row; nothing for a row that is not there.
    pub(super) fn row(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        self.ends.get(at).and_then(|end| self.text.get(start..*end)).unwrap_or_default()
    }
}

/// Positions that are compared at once: two of the compiler's vectors.
const LANES: usize = 32;

/// Whether `word` is in `text`. First and last byte are compared for 32 positions at once, which the compiler turns
/// into vector instructions; only where both fit is the rest looked at. The last block overlaps the one before it, so
/// that no row ends in a slow remainder.
pub(super) fn contains(text: &[u8], word: &[u8]) -> bool {
    let (Some(first), Some(last)) = (word.first(), word.last()) else { return true };
    let Some(places) = (text.len() + 1).checked_sub(word.len()) else { return false };
    let (heads, tails) = (&text[..places], &text[word.len() - 1..]);
    let is_at =
        |place: usize| heads[place] == *first && tails[place] == *last && &text[place..place + word.len()] == word;
    let mut at = 0;
    while at + LANES <= places {
        if block_hits(&heads[at..at + LANES], &tails[at..at + LANES], *first, *last) && (at..at + LANES).any(is_at) {
            return true;
        }
        at += LANES;
    }
    if at == places {
        return false;
    }
    if places < LANES {
        return (at..places).any(is_at);
    }
    let at = places - LANES;
    block_hits(&heads[at..], &tails[at..at + LANES], *first, *last) && (at..places).any(is_at)
}

/// Whether a word could start in this block.
fn block_hits(heads: &[u8], tails: &[u8], first: u8, last: u8) -> bool {
    let (Ok(heads), Ok(tails)) = (<&[u8; LANES]>::try_from(heads), <&[u8; LANES]>::try_from(tails)) else {
        return true;
    };
    heads.iter().zip(tails).fold(0, |hit, (a, b)| hit | (u8::from(*a == first) & u8::from(*b == last))) != 0
}
