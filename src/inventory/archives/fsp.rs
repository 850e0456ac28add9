//! An archive of flexible-snapshot-proxy: a folder of named segments, and nothing that says whether all are there.
//!
//! Invariants: only names of exactly this folder count, each understood or refused by name (that tool leaves out what it
//! does not understand, and completes the snapshot); what no segment covers is told by range, because a hole and a lost
//! segment look alike. It holds 44 bytes for each segment of up to 32 MiB, because their names are not in order of their blocks: the plan counts
//! them (`plan::choices::fsp_keeps`).

use super::gaps::Missing;
use super::{last_folder, patiently};
use crate::archive::{FspName, FspRoot};
use crate::aws::{S3, Tokens};
use crate::error::{Error, Result};
use crate::ids::BlockRange;
use crate::units::{Blocks, Bytes, Digest};

/// One segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FspSegment {
    /// What its name says.
    pub name: FspName,
    /// Its length.
    pub bytes: u32,
}

/// All segments of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fsp {
    /// Which snapshot, and how large.
    pub root: FspRoot,
    /// By their first block.
    pub segments: Vec<FspSegment>,
}

impl Fsp {
    /// Lists that folder; none when its name is not one of that tool's, or nothing is in it.
    ///
    /// # Errors
    /// Something in it is no segment, or two of them overlap; or as classified.
    pub async fn open(s3: &S3, bucket: &str, folder: &str) -> Result<Option<Self>> {
        let Ok(root) = last_folder(folder).parse::<FspRoot>() else { return Ok(None) };
        let mut segments = Vec::new();
        each(s3, bucket, folder, |segment| segments.push(segment)).await?;
        segments.shrink_to_fit();
        segments.sort_unstable_by_key(|segment| segment.name.range.start);
        let found = Self { root, segments };
        found.check()?;
        Ok((!found.segments.is_empty()).then_some(found))
    }

    fn check(&self) -> Result<()> {
        let twice = self.segments.windows(2).find(|pair| pair[0].name.range.end > pair[1].name.range.start);
        if let Some(pair) = twice {
            let at = pair[1].name.range.start;
            return Err(Error::failed(format!("two segments of {} hold block {at}", self.root.id))
                .todo("move the one that does not belong to it elsewhere"));
        }
        let past = self.segments.last().filter(|last| u64::from(last.name.range.end) > self.root.volume.blocks().0);
        past.map_or(Ok(()), |last| {
            Err(Error::failed(format!(
                "a segment of {} ends past its volume, at {}",
                self.root.id, last.name.range.end
            )))
        })
    }

    /// Blocks in all of them.
    #[must_use]
    pub fn blocks(&self) -> Blocks {
        Blocks(self.segments.iter().map(|segment| u64::from(segment.name.range.len())).sum())
    }

    /// What no segment covers.
    #[must_use]
    pub fn gaps(&self) -> Missing {
        let (mut missing, mut at) = (Missing::default(), 0);
        let end = u32::try_from(self.root.volume.blocks().0).unwrap_or(u32::MAX);
        let whole = self.segments.iter().map(|segment| segment.name.range).chain([BlockRange::new(end, end)]);
        for range in whole {
            if range.start > at {
                missing.add_range(BlockRange::new(at, range.start), true);
            }
            at = range.end;
        }
        missing
    }

    /// SHA-256 over the names and lengths: what pins it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut sum = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for segment in &self.segments {
            sum.update(&segment.name.range.start.to_le_bytes());
            sum.update(&segment.name.range.end.to_le_bytes());
            sum.update(&segment.name.digest.0);
            sum.update(&segment.bytes.to_le_bytes());
        }
        let mut digest = Digest([0; 32]);
        digest.0.copy_from_slice(sum.finish().as_ref());
        digest
    }

    /// The sum of what is in that folder now; nothing of it is kept.
    ///
    /// # Errors
    /// Something in it is no segment; or as classified.
    pub async fn sum_of(s3: &S3, bucket: &str, folder: &str) -> Result<FspSum> {
        let mut sum = FspSum::default();
        each(s3, bucket, folder, |segment| sum.add(&segment)).await?;
        Ok(sum)
    }

    /// The same of what was found.
    #[must_use]
    pub fn sum(&self) -> FspSum {
        let mut sum = FspSum::default();
        self.segments.iter().for_each(|segment| sum.add(segment));
        sum
    }

    /// The longest segment, packed and unpacked together.
    #[must_use]
    pub fn largest(&self) -> Bytes {
        let whole =
            |segment: &FspSegment| u64::from(segment.bytes) + Blocks(u64::from(segment.name.range.len())).bytes().0;
        Bytes(self.segments.iter().map(whole).max().unwrap_or_default())
    }
}

/// What a folder holds, in whatever order it is told: how many segments, and the sum of the digests of their names and
/// lengths. Two of them are compared within one run and never kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FspSum {
    segments: u64,
    sum: [u128; 2],
}

impl FspSum {
    fn add(&mut self, segment: &FspSegment) {
        let mut text = Vec::with_capacity(44);
        text.extend_from_slice(&segment.name.range.start.to_le_bytes());
        text.extend_from_slice(&segment.name.range.end.to_le_bytes());
        text.extend_from_slice(&segment.name.digest.0);
        text.extend_from_slice(&segment.bytes.to_le_bytes());
        self.segments += 1;
        for (sum, half) in self.sum.iter_mut().zip(Digest::of(&text).0.as_chunks().0) {
            *sum = sum.wrapping_add(u128::from_le_bytes(*half));
        }
    }
}

/// Tells of every segment of a folder, page by page.
async fn each(s3: &S3, bucket: &str, folder: &str, mut take: impl FnMut(FspSegment)) -> Result<()> {
    let (mut tokens, mut token) = (Tokens::default(), None::<String>);
    loop {
        let page = patiently(|| s3.list(bucket, folder, false, None, token.as_deref())).await?;
        for object in page.objects {
            let name = object.key.strip_prefix(folder).unwrap_or(&object.key);
            let name: FspName = name.parse().map_err(|why| unknown(bucket, &object.key, &why))?;
            let bytes = u32::try_from(object.bytes.0).map_err(|_| unknown(bucket, &object.key, &"it is too long"))?;
            take(FspSegment { name, bytes });
        }
        token = tokens.next(page.next)?;
        if token.is_none() {
            return Ok(());
        }
    }
}

fn unknown(bucket: &str, key: &str, why: &dyn std::fmt::Display) -> Error {
    Error::failed(format!("s3://{bucket}/{key} cannot be part of this archive: {why}"))
        .todo("move it elsewhere; what is not understood is never left out silently")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fsp(ranges: &[(u32, u32)]) -> Fsp {
        let segment = |(start, end): &(u32, u32)| FspSegment {
            name: FspName { range: BlockRange::new(*start, *end), digest: Digest([1; 32]) },
            bytes: 100,
        };
        Fsp { root: "snap-0abc1234.1".parse().unwrap(), segments: ranges.iter().map(segment).collect() }
    }

    #[test]
    fn what_no_segment_covers_is_told_and_what_two_cover_is_refused() {
        let whole = fsp(&[(0, 2048)]);
        assert!(whole.gaps().is_empty() && whole.check().is_ok());
        let holes = fsp(&[(0, 64), (128, 192)]);
        assert_eq!((holes.gaps().text().as_str(), holes.blocks()), ("64-127, 192-2047", Blocks(128)));
        assert!(fsp(&[(0, 64), (63, 70)]).check().is_err());
        assert!(fsp(&[(2000, 2049)]).check().is_err());
        assert_ne!(whole.digest(), holes.digest());
    }

    #[test]
    fn the_sum_of_a_folder_does_not_depend_on_the_order_in_which_it_is_told() {
        let (one, other) = (fsp(&[(0, 64), (128, 192), (192, 200)]), fsp(&[(192, 200), (0, 64), (128, 192)]));
        assert_eq!(one.sum(), other.sum());
        assert_ne!(one.sum(), fsp(&[(0, 64), (128, 192)]).sum(), "one less");
        assert_ne!(one.sum(), fsp(&[(0, 64), (128, 192), (192, 201)]).sum(), "another range");
        let mut longer = one.clone();
        longer.segments[1].bytes += 1;
        assert_ne!(one.sum(), longer.sum(), "another length");
        assert_eq!(size_of::<FspSegment>(), 44, "what the plan counts for each");
    }
}
