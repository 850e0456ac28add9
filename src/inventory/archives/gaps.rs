//! Which objects of an archive are missing: its index beside what S3 lists.
//!
//! Invariant: memory stays flat. Rows and keys both come in order of their first block, so only the objects that reach
//! over the row at hand are held.

use std::collections::BTreeMap;

use super::layer::Layer;
use super::patiently;
use crate::archive::{RunId, SegmentName};
use crate::aws::Tokens;
use crate::error::Result;
use crate::ids::BlockRange;
use crate::units::{Blocks, Bytes};

/// So many ranges are told; what is missing beyond them is counted.
pub const RANGES_MOST: usize = 1000;

/// What is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Missing {
    /// Ranges of block indexes that hold every missing block, at most [`RANGES_MOST`].
    pub ranges: Vec<BlockRange>,
    /// How many blocks.
    pub blocks: Blocks,
    /// Whether there were more ranges than are told.
    pub more: bool,
    /// Blocks that are there and cannot be read before their objects were brought back from an archive class.
    pub asleep: Blocks,
    /// That class, of the first of them.
    pub class: Option<String>,
    /// The first class that an object of it is kept in, where that is not STANDARD: some want paying for what is read.
    pub kept_in: Option<String>,
    /// Where nothing is stored and [`BARE_LEAST`] blocks or more lie in a row; none where there are more ranges than
    /// [`RANGES_MOST`].
    pub bare: Option<Vec<BlockRange>>,
}

/// What is called bare is at least so long: shorter gaps decide nothing about what is written (5 MiB, S3's least part).
pub const BARE_LEAST: u32 = 10;

/// Where nothing is, as rows go by in ascending order.
#[derive(Debug, Default)]
struct Bare {
    at: u32,
    ranges: Vec<BlockRange>,
    more: bool,
}

impl Bare {
    /// A block is there; the end of the volume counts as one.
    fn row(&mut self, index: u32) {
        if index.saturating_sub(self.at) >= BARE_LEAST {
            self.more |= self.ranges.len() == RANGES_MOST;
            if !self.more {
                self.ranges.push(BlockRange::new(self.at, index));
            }
        }
        self.at = index.saturating_add(1);
    }

    fn known(self) -> Option<Vec<BlockRange>> {
        (!self.more).then_some(self.ranges)
    }
}

impl Missing {
    /// Whether nothing is missing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.blocks.0 == 0
    }

    /// One more block.
    pub fn add(&mut self, index: u32) {
        self.add_range(BlockRange::new(index, index + 1), false);
    }

    /// So many more in a row; with `apart`, they begin a range of their own.
    pub fn add_range(&mut self, range: BlockRange, apart: bool) {
        self.blocks += Blocks(u64::from(range.len()));
        let full = self.ranges.len() == RANGES_MOST;
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start && !apart => last.end = range.end,
            _ if full => self.more = true,
            _ => self.ranges.push(range),
        }
    }

    /// The first few, as people read them: `0-63, 128-191 and 4 more`.
    #[must_use]
    pub fn text(&self) -> String {
        const TOLD: usize = 8;
        let one = |range: &BlockRange| match range.len() {
            1 => range.start.to_string(),
            _ => format!("{}-{}", range.start, range.end - 1),
        };
        let told: Vec<String> = self.ranges.iter().take(TOLD).map(one).collect();
        let rest = self.ranges.len().saturating_sub(TOLD);
        match (rest, self.more) {
            (0, _) => told.join(", "),
            (rest, false) => format!("{} and {rest} more ranges", told.join(", ")),
            (rest, true) => format!("{} and over {rest} more ranges", told.join(", ")),
        }
    }
}

/// One object of an archive, as S3 lists it.
struct Segment {
    bytes: Bytes,
    class: String,
    /// The class that it has to be brought back from before it can be read.
    asleep: Option<String>,
}

/// The objects of one run, in order, as S3 lists them.
struct Listed<'a> {
    layer: &'a Layer,
    prefix: String,
    page: std::vec::IntoIter<(SegmentName, Segment)>,
    token: Option<String>,
    tokens: Tokens,
    begun: bool,
    /// Those that reach over the block at hand.
    open: BTreeMap<SegmentName, Segment>,
    ahead: Option<(SegmentName, Segment)>,
}

impl<'a> Listed<'a> {
    fn new(layer: &'a Layer, run: &RunId) -> Self {
        let prefix = format!("{}{run}/", layer.root());
        Self {
            layer,
            prefix,
            page: Vec::new().into_iter(),
            token: None,
            tokens: Tokens::default(),
            begun: false,
            open: BTreeMap::new(),
            ahead: None,
        }
    }

    async fn next(&mut self) -> Result<Option<(SegmentName, Segment)>> {
        loop {
            if let Some(ahead) = self.ahead.take() {
                return Ok(Some(ahead));
            }
            if let Some(next) = self.page.next() {
                return Ok(Some(next));
            }
            if self.begun && self.token.is_none() {
                return Ok(None);
            }
            let (layer, token) = (self.layer, self.token.take());
            let page =
                patiently(|| layer.s3().list(layer.bucket(), &self.prefix, false, None, token.as_deref())).await?;
            let named = |object: crate::aws::S3Object| {
                let asleep = object.asleep.then(|| object.class.clone());
                let segment = Segment { bytes: object.bytes, class: object.class, asleep };
                Some((object.key.strip_prefix(&self.prefix)?.parse().ok()?, segment))
            };
            self.page = page.objects.into_iter().filter_map(named).collect::<Vec<_>>().into_iter();
            (self.token, self.begun) = (self.tokens.next(page.next)?, true);
        }
    }

    /// The object that a row of block `index` points into; none when it is not listed.
    async fn of(&mut self, segment: SegmentName, index: u32) -> Result<Option<&Segment>> {
        self.open.retain(|open, _| open.last.0 >= index);
        while let Some((name, found)) = self.next().await? {
            if name.first.0 > index {
                self.ahead = Some((name, found));
                break;
            }
            if name.last.0 >= index {
                self.open.insert(name, found);
            }
        }
        Ok(self.open.get(&segment))
    }
}

/// Blocks whose objects are not there, or not as long as the index says; and those that are there and asleep.
///
/// # Errors
/// As classified.
pub async fn missing(layer: &Layer) -> Result<Missing> {
    let mut listed: Vec<Listed<'_>> = layer.manifest().runs.iter().map(|run| Listed::new(layer, run)).collect();
    let (mut from, mut missing, mut bare) = (0, Missing::default(), Bare::default());
    while from < layer.blocks() {
        let (rows, through) = patiently(|| layer.rows(from)).await?;
        for row in rows {
            bare.row(row.index.0);
            match listed[usize::from(row.run)].of(row.segment, row.index.0).await? {
                Some(Segment { bytes, asleep, class }) if *bytes == Bytes(u64::from(row.object)) => {
                    if missing.kept_in.is_none() && class != "STANDARD" {
                        missing.kept_in = Some(class.clone());
                    }
                    missing.asleep += Blocks(u64::from(asleep.is_some()));
                    missing.class = missing.class.or_else(|| asleep.clone());
                }
                _ => missing.add(row.index.0),
            }
        }
        from = through;
    }
    bare.row(layer.blocks());
    missing.bare = bare.known();
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_bare_is_told_while_it_is_not_too_much() {
        let mut bare = Bare::default();
        for index in [0, 5, 16, 17, 40, 50] {
            bare.row(index);
        }
        let ranges = bare.known().unwrap();
        assert_eq!(ranges, [BlockRange::new(6, 16), BlockRange::new(18, 40)], "nine blocks between 40 and 50");
        let mut bare = Bare::default();
        (1..=1001u32).for_each(|nth| bare.row(nth * 20));
        assert_eq!(bare.known(), None);
    }

    #[test]
    fn what_is_missing_is_told_by_range() {
        let mut missing = Missing::default();
        assert!(missing.is_empty());
        for index in [0, 1, 2, 7, 9, 10] {
            missing.add(index);
        }
        assert_eq!((missing.text().as_str(), missing.blocks), ("0-2, 7, 9-10", Blocks(6)));
        (0..3000).for_each(|nth| missing.add(100 + nth * 2));
        assert_eq!((missing.ranges.len(), missing.more, missing.blocks), (RANGES_MOST, true, Blocks(3006)));
        assert!(missing.text().ends_with("and over 992 more ranges"), "{}", missing.text());
    }
}
