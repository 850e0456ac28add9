//! Buckets and objects that a scenario brings: noise and zeros that cost no disk, with checksums that are true.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::blob::{Blob, TILE};
use super::meta::hex;
use super::store::{Bucket, Buckets, Meta, Object};
use super::sums::{Algorithm, Checksum};
use crate::ids::{AccountId, Region};
use crate::sandbox::synth::mix;
use crate::units::Bytes;

/// The parts in which seeded objects count as uploaded: their ETags are opaque, as those of uploads are.
const PART: u64 = 64 << 20;
/// Noise and zeros take turns in stretches of this, or of a 64th of a long object.
const STRETCH: u64 = 8 * TILE;

/// A bucket.
#[derive(Debug, Clone)]
pub struct BucketSeed {
    /// Its name.
    pub name: String,
    /// Who owns it.
    pub owner: AccountId,
    /// Where it is.
    pub region: Region,
    /// When it was made.
    pub made: Timestamp,
    /// What is in it.
    pub objects: Vec<ObjectSeed>,
}

/// An object.
#[derive(Debug, Clone)]
pub struct ObjectSeed {
    /// Its key.
    pub key: String,
    /// How long it is.
    pub size: Bytes,
    /// Of 1000 bytes, how many are not zeros.
    pub fill_permille: u16,
    /// Chooses the noise.
    pub seed: u64,
    /// The storage class.
    pub class: String,
    /// When it was written.
    pub modified: Timestamp,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

/// The buckets that these describe.
#[must_use]
pub fn buckets(seeds: &[BucketSeed]) -> Buckets {
    let bucket = |seed: &BucketSeed| {
        let objects = seed.objects.iter().map(|seed| (seed.key.clone(), object(seed))).collect();
        let (owner, region, made) = (seed.owner.clone(), seed.region.clone(), seed.made);
        (seed.name.clone(), Bucket { objects, ..Bucket::new(owner, region, made) })
    };
    Buckets { all: seeds.iter().map(bucket).collect() }
}

fn object(seed: &ObjectSeed) -> Object {
    let blob = content(seed);
    let length = blob.len();
    let parts: Vec<u64> = (0..length.div_ceil(PART)).map(|n| PART.min(length - n * PART)).collect();
    let tag = [mix(seed.seed, length).to_be_bytes(), mix(length, seed.seed).to_be_bytes()].concat();
    let etag = if parts.is_empty() { hex(&tag) } else { format!("{}-{}", hex(&tag), parts.len()) };
    // Nothing of it is in a file that could fail.
    let checksum = Algorithm::Crc64Nvme.of(&blob).ok().map(|value| Checksum::whole(Algorithm::Crc64Nvme, &value));
    let headers = BTreeMap::from([("content-type".to_owned(), "binary/octet-stream".to_owned())]);
    let meta = Meta { headers, class: seed.class.clone(), tags: seed.tags.clone(), ..Meta::default() };
    Object { blob, etag, modified: seed.modified, meta, checksum, parts, restored: None, version: None }
}

fn content(seed: &ObjectSeed) -> Blob {
    let length = seed.size.0;
    let noise = Blob::pattern(seed.seed, length);
    let stretch = STRETCH.max((length / 64).next_multiple_of(TILE));
    let filled = stretch * u64::from(seed.fill_permille.min(1000)) / 1000;
    let (mut blob, mut at) = (Blob::default(), 0);
    while at < length {
        let filled = filled.min(length - at);
        blob.join(&noise.part(at, filled));
        blob.join(&Blob::zeros((stretch - filled).min(length - at - filled)));
        at += stretch;
    }
    blob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seeded_object_has_its_length_its_fill_and_a_true_checksum() {
        let at: Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
        for (size, fill_permille) in [(40 * TILE + 12_345, 250), (TILE, 1000), (3 * TILE, 0), (0, 500)] {
            let (key, class) = ("k".to_owned(), "STANDARD".to_owned());
            let (size, tags) = (Bytes(size), Vec::new());
            let made = object(&ObjectSeed { key, size, fill_permille, seed: 5, class, modified: at, tags });
            let all = made.blob.whole(u64::MAX).unwrap();
            assert_eq!(all.len() as u64, size.0);
            let zeros = all.chunks(64 * 1024).filter(|chunk| chunk.iter().all(|byte| *byte == 0)).count();
            let share = zeros * 1000 / all.chunks(64 * 1024).count().max(1);
            assert!(share.abs_diff(1000 - usize::from(fill_permille)) < 60 || size.0 == 0, "{share} of 1000 are zeros");
            let plain = Algorithm::Crc64Nvme.of(&Blob::from(all)).unwrap();
            assert_eq!(made.checksum.unwrap(), Checksum::whole(Algorithm::Crc64Nvme, &plain));
            assert_eq!(made.parts.iter().sum::<u64>(), size.0);
        }
    }
}
