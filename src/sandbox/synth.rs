//! Synthetic volumes: what is allocated and what changed, as functions of a seed and a version.
//!
//! A chain of snapshots is one seed; each snapshot of it is a version. Nothing is stored: which blocks a version
//! lists, and which version last wrote each of them, is computed 512 blocks at a time, so a 64 TiB snapshot costs
//! its 40 bytes. Because listings, deltas and contents all come from [`Synthetic::fill`], they cannot disagree.

use serde::{Deserialize, Serialize};

use super::disk::Layout;
use crate::units::Blocks;

/// Blocks computed at a time.
pub const CHUNK: u32 = 512;
/// Chunks to a GiB: the grain in which allocation is spread.
const CHUNKS_PER_GIB: u64 = 4;
const BLOCKS_PER_GIB: u64 = 2048;

/// One version of one chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Synthetic {
    /// Names the chain: two snapshots with the same seed are related.
    pub seed: u64,
    /// 0 for the first snapshot of the chain.
    pub version: u32,
    /// What the volume looks like; the same for every version of a chain.
    pub shape: Shape,
}

/// What a synthetic volume looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Shape {
    /// The volume's size at version 0 in GiB; a later version may belong to a grown volume.
    pub gib: u32,
    /// Blocks listed at version 0, exactly; at most `gib * 2048`.
    pub allocated: u32,
    /// Blocks more (or fewer) at each later version; the sum stays between 0 and the volume.
    pub growth: i32,
    /// Of 1000 chunks of 512 blocks, how many each version wrote into.
    pub churn_permille: u16,
    /// Of 1000 listed blocks, how many hold only zeros.
    pub zero_permille: u16,
    /// Of 1000 other blocks, how many compress well.
    pub compressible_permille: u16,
    /// What the disk is divided into.
    #[serde(default, skip_serializing_if = "Layout::is_none")]
    pub layout: Layout,
}

impl Synthetic {
    /// How many blocks this version lists, exactly.
    #[must_use]
    pub fn listed(&self) -> Blocks {
        let whole = u64::from(self.shape.gib) * BLOCKS_PER_GIB;
        let grown = i64::from(self.shape.allocated) + i64::from(self.shape.growth) * i64::from(self.version);
        Blocks(u64::try_from(grown).unwrap_or(0).min(whole))
    }

    /// Writes into `out` which version last wrote each block of chunk number `chunk`, plus one; 0 where the block is
    /// not listed. What lies in `out` before does not matter.
    pub fn fill(&self, chunk: u32, out: &mut [u64; CHUNK as usize]) {
        out.fill(0);
        let (start, len) = self.extent(chunk);
        if len == 0 {
            return;
        }
        out[start..start + len].fill(1);
        for version in 1..=self.version {
            if let Some((from, to)) = self.rewritten(chunk, version) {
                let (from, to) = (from.max(start), to.min(start + len));
                if from < to {
                    out[from..to].fill(u64::from(version) + 1);
                }
            }
        }
    }

    /// The last version that wrote block `index`, or `None` where the block is not listed.
    #[must_use]
    pub fn written_by(&self, index: u32) -> Option<u32> {
        let (chunk, at) = (index / CHUNK, (index % CHUNK) as usize);
        let (start, len) = self.extent(chunk);
        if at < start || at >= start + len {
            return None;
        }
        let wrote = |version: &u32| self.rewritten(chunk, *version).is_some_and(|(from, to)| from <= at && at < to);
        Some((1..=self.version).rev().find(wrote).unwrap_or(0))
    }

    /// Where the one run of listed blocks of a chunk starts, and how long it is.
    ///
    /// The total is spread twice by the same trick: over the GiBs of the volume, then over the four chunks of each.
    /// A running total that is exact at both ends, with noise in between that never makes a share negative or too
    /// large, gives every share in constant time and the exact sum over all.
    fn extent(&self, chunk: u32) -> (usize, usize) {
        let gib = u64::from(chunk) / CHUNKS_PER_GIB;
        if gib >= u64::from(self.shape.gib) {
            return (0, 0);
        }
        let salt = mix(self.seed, 1);
        let in_gib = share(salt, self.listed().0, u64::from(self.shape.gib), BLOCKS_PER_GIB, gib);
        let salt = mix(self.seed, 2 + gib);
        let len = share(salt, in_gib, CHUNKS_PER_GIB, u64::from(CHUNK), u64::from(chunk) % CHUNKS_PER_GIB);
        // A disk that is divided into something has its tables at both ends.
        if self.shape.layout != Layout::None && chunk == 0 {
            return (0, len as usize);
        }
        if self.shape.layout != Layout::None && u64::from(chunk) + 1 == u64::from(self.shape.gib) * CHUNKS_PER_GIB {
            return ((u64::from(CHUNK) - len) as usize, len as usize);
        }
        // The room around the run is split by a fraction that is fixed per chunk, so a longer run contains a shorter.
        let room = u64::from(CHUNK) - len + 1;
        let start = scaled(mix(mix(self.seed, 3), u64::from(chunk)), room);
        (start as usize, len as usize)
    }

    /// The run of a chunk that `version` wrote, if it wrote there at all.
    fn rewritten(&self, chunk: u32, version: u32) -> Option<(usize, usize)> {
        let dice = mix(mix(self.seed, 0x1000 + u64::from(version)), u64::from(chunk));
        if scaled(dice, 1000) >= u64::from(self.shape.churn_permille) {
            return None;
        }
        let more = mix(dice, 1);
        // Mostly short runs, now and then the better part of a chunk: as logs, databases and upgrades write.
        let longest = if more & 7 == 0 { u64::from(CHUNK) } else { 48 };
        let len = 1 + scaled(mix(more, 2), longest);
        let start = scaled(mix(more, 3), u64::from(CHUNK));
        Some((start as usize, (start + len).min(u64::from(CHUNK)) as usize))
    }
}

/// How much of `total` falls to part `part` of `parts`, none of which holds more than `most`.
fn share(salt: u64, total: u64, parts: u64, most: u64, part: u64) -> u64 {
    let swing = (total / parts).min(most - total.div_ceil(parts).min(most));
    let upto = |n: u64| {
        let even = (u128::from(total) * u128::from(n) / u128::from(parts)) as u64;
        let noise = if n == 0 || n == parts { 0 } else { scaled(mix(salt, n), swing + 1) };
        even + noise
    };
    upto(part + 1) - upto(part)
}

/// A number below `below`, from evenly spread bits.
pub(super) fn scaled(bits: u64, below: u64) -> u64 {
    ((u128::from(bits) * u128::from(below)) >> 64) as u64
}

/// Two numbers into evenly spread bits (the finalizer of splitmix64).
#[must_use]
pub(super) fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_add(0x9E37_79B9_7F4A_7C15u64.wrapping_mul(b.wrapping_add(1)));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_volume() -> impl Strategy<Value = Synthetic> {
        let shape = (1u32..40, 0.0..=1.0f64, -300i32..300, 0u16..=1000);
        (any::<u64>(), 0u32..6, shape).prop_map(|(seed, version, (gib, full, growth, churn_permille))| Synthetic {
            seed,
            version,
            shape: Shape {
                gib,
                allocated: (f64::from(gib * 2048) * full) as u32,
                growth,
                churn_permille,
                zero_permille: 0,
                compressible_permille: 0,
                layout: if seed % 2 == 0 { Layout::Linux } else { Layout::None },
            },
        })
    }

    fn origins(of: &Synthetic) -> Vec<u64> {
        let mut all = Vec::new();
        let mut chunk = [7; CHUNK as usize];
        for number in 0..of.shape.gib * 4 {
            of.fill(number, &mut chunk);
            all.extend_from_slice(&chunk);
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_count_is_exact_and_one_block_is_answered_as_its_chunk_is(volume in any_volume()) {
            let all = origins(&volume);
            prop_assert_eq!(all.iter().filter(|origin| **origin != 0).count() as u64, volume.listed().0);
            for index in (0..all.len()).step_by(37) {
                let one = volume.written_by(index as u32).map_or(0, |version| u64::from(version) + 1);
                prop_assert_eq!(one, all[index], "block {}", index);
            }
        }

        #[test]
        fn a_version_differs_from_the_one_before_only_where_it_wrote(volume in any_volume()) {
            let next = Synthetic { version: volume.version + 1, ..volume };
            for (before, after) in origins(&volume).into_iter().zip(origins(&next)) {
                let wrote = after == u64::from(next.version) + 1;
                prop_assert!(wrote || before == after || before == 0 || after == 0);
            }
        }
    }

    #[test]
    fn the_largest_volumes_count_exactly() {
        for (gib, allocated) in [(16_384, 31_318_565), (65_536, 134_217_728), (65_536, 1)] {
            let shape = Shape { gib, allocated, ..Shape::default() };
            let volume = Synthetic { seed: 9, version: 0, shape };
            let total: u64 = (0..gib * 4).map(|chunk| volume.extent(chunk).1 as u64).sum();
            assert_eq!(total, u64::from(allocated));
        }
    }
}
