//! Names of archives that flexible-snapshot-proxy wrote: `snap-id.GiB/offset.sha256.count.zstd`.
//!
//! They have no manifest: the names are all there is. `offset` is the first block's index, the digest (base64 for URLs)
//! is of all blocks together, and one zstd frame holds them. What no name covers was a hole, a block of zeros that was
//! left out, or was lost (that tool drops a run's tail): nobody can tell, so nobody may pretend to.

use std::str::FromStr;

use super::Damaged;
use crate::ids::{BlockIndex, BlockRange, SnapshotId};
use crate::units::{Bytes, Digest};

/// Blocks of one object at most: that tool's own 64, and room for whoever changed its constant.
const BLOCKS_MAX: u32 = 256;

/// The folder of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FspRoot {
    /// The snapshot.
    pub id: SnapshotId,
    /// Size of its volume.
    pub volume: Bytes,
}

impl FromStr for FspRoot {
    type Err = Damaged;

    /// `snap-0abc1234.8`
    fn from_str(text: &str) -> Result<Self, Damaged> {
        let wrong = || Damaged::new(format!("`{text}` is not the folder of a snapshot"));
        let (id, gib) = text.split_once('.').ok_or_else(wrong)?;
        let gib: u64 = Some(gib)
            .filter(|gib| gib.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|g| g.parse().ok())
            .ok_or_else(wrong)?;
        let id = id.parse().map_err(|_| wrong())?;
        if (1..=65_536).contains(&gib) { Ok(Self { id, volume: Bytes::gib(gib) }) } else { Err(wrong()) }
    }
}

/// One object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FspName {
    /// Its blocks, all of them.
    pub range: BlockRange,
    /// SHA-256 of them together.
    pub digest: Digest,
}

impl FromStr for FspName {
    type Err = Damaged;

    /// `128.47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=.64.zstd`
    fn from_str(text: &str) -> Result<Self, Damaged> {
        let wrong = || Damaged::new(format!("`{text}` is not the name of a segment"));
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or_else(wrong);
        let (first, digest, count, kind) = (next()?, next()?, next()?, next()?);
        let number =
            |text: &str| -> Option<u32> { text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())? };
        let (first, count) = (number(first).ok_or_else(wrong)?, number(count).ok_or_else(wrong)?);
        let digest = base64_simd::URL_SAFE.decode_to_vec(digest).ok().and_then(|bytes| bytes.try_into().ok());
        let digest = Digest(digest.ok_or_else(wrong)?);
        if kind != "zstd" || parts.next().is_some() || !(1..=BLOCKS_MAX).contains(&count) {
            return Err(wrong());
        }
        let end = first.checked_add(count).ok_or_else(wrong)?;
        Ok(Self { range: BlockRange::new(first, end), digest })
    }
}

impl FspName {
    /// As it is written in a key.
    #[must_use]
    pub fn key(&self) -> String {
        let digest = base64_simd::URL_SAFE.encode_to_string(self.digest.0);
        format!("{}.{digest}.{}.zstd", self.range.start, self.range.len())
    }

    /// The first block.
    #[must_use]
    pub const fn first(&self) -> BlockIndex {
        BlockIndex(self.range.start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_as_that_tool_writes_them() {
        let root: FspRoot = "snap-0abc1234.8".parse().unwrap();
        assert_eq!((root.id.as_str(), root.volume), ("snap-0abc1234", Bytes::gib(8)));
        let name: FspName = "128.47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=.64.zstd".parse().unwrap();
        assert_eq!((name.range.start, name.range.end, name.digest), (128, 192, Digest::of(b"")));
        assert_eq!(name.key(), "128.47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=.64.zstd");
        for wrong in ["snap-0abc1234", "snap-0abc1234.0", "snap-0abc1234.99999", "snap-x.8", "snap-0abc1234.8.8"] {
            assert!(wrong.parse::<FspRoot>().is_err(), "{wrong}");
        }
        for wrong in [
            "128.47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=.64.gz",
            "128.47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=.0.zstd",
            "128.47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=.99999.zstd",
            "4294967295.47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=.64.zstd",
            "128.short.64.zstd",
            "128.64.zstd",
        ] {
            assert!(wrong.parse::<FspName>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_without_a_panic(text in ".{0,80}") {
            let _ = (text.parse::<FspName>(), text.parse::<FspRoot>());
        }
    }
}
