//! Checksums as S3 knows them: five algorithms, of whole objects or composed of those of the parts.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest;
use base64_simd::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use serde::{Deserialize, Serialize};

use super::blob::{Blob, is_tile};

/// An algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// CRC-32 (ISO HDLC).
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-64/NVME; what S3 computes where nobody asks for another.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// What a checksum is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// All bytes.
    FullObject,
    /// The checksums of the parts.
    Composite,
}

impl Kind {
    /// As the wire spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// As the wire spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header of its value.
    #[must_use]
    pub const fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The element of its value.
    #[must_use]
    pub const fn element(self) -> &'static str {
        match self {
            Self::Crc32 => "ChecksumCRC32",
            Self::Crc32c => "ChecksumCRC32C",
            Self::Crc64Nvme => "ChecksumCRC64NVME",
            Self::Sha1 => "ChecksumSHA1",
            Self::Sha256 => "ChecksumSHA256",
        }
    }

    /// By its name on the wire.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// What the checksum of a multipart upload is over where nobody says.
    #[must_use]
    pub const fn usual(self) -> Kind {
        match self {
            Self::Crc64Nvme => Kind::FullObject,
            _ => Kind::Composite,
        }
    }

    /// Whether it can be had in this way: hashes cannot be combined, and CRC-64 is never composed.
    #[must_use]
    pub const fn knows(self, kind: Kind) -> bool {
        matches!(
            (self, kind),
            (Self::Crc64Nvme, Kind::FullObject)
                | (Self::Crc32 | Self::Crc32c, _)
                | (Self::Sha1 | Self::Sha256, Kind::Composite)
        )
    }

    const fn crc(self) -> Option<(CrcAlgorithm, usize)> {
        match self {
            Self::Crc32 => Some((CrcAlgorithm::Crc32IsoHdlc, 4)),
            Self::Crc32c => Some((CrcAlgorithm::Crc32Iscsi, 4)),
            Self::Crc64Nvme => Some((CrcAlgorithm::Crc64Nvme, 8)),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    fn hasher(self) -> digest::Context {
        digest::Context::new(match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            _ => &digest::SHA256,
        })
    }

    /// Of these bytes.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn of(self, blob: &Blob) -> io::Result<Vec<u8>> {
        if let Some((crc, width)) = self.crc() {
            let mut all = crc_fast::Digest::new(crc).finalize();
            for chunk in blob.chunks() {
                let chunk = chunk?;
                let value = tile_crc(crc, &chunk).unwrap_or_else(|| crc_fast::checksum(crc, &chunk));
                all = crc_fast::checksum_combine(crc, all, value, chunk.len() as u64);
            }
            return Ok(tail(all, width));
        }
        let mut hasher = self.hasher();
        for chunk in blob.chunks() {
            hasher.update(&chunk?);
        }
        Ok(hasher.finish().as_ref().to_vec())
    }

    /// Of an object, from those of its parts with their lengths. `None` for values of a wrong length.
    #[must_use]
    pub fn of_parts(self, kind: Kind, parts: &[(Vec<u8>, u64)]) -> Option<Vec<u8>> {
        match (kind, self.crc()) {
            (Kind::FullObject, Some((crc, width))) => {
                let mut all: Option<u64> = None;
                for (value, length) in parts {
                    let value = number(value, width)?;
                    all = Some(all.map_or(value, |all| crc_fast::checksum_combine(crc, all, value, *length)));
                }
                Some(tail(all.unwrap_or_else(|| crc_fast::Digest::new(crc).finalize()), width))
            }
            (Kind::FullObject, None) => None,
            (Kind::Composite, Some((crc, width))) => {
                let mut sum = crc_fast::Digest::new(crc);
                parts.iter().for_each(|(value, _)| sum.update(value));
                Some(tail(sum.finalize(), width))
            }
            (Kind::Composite, None) => {
                let mut hasher = self.hasher();
                parts.iter().for_each(|(value, _)| hasher.update(value));
                Some(hasher.finish().as_ref().to_vec())
            }
        }
    }
}

/// The checksum of a whole tile of a pattern, which is computed once: so those of huge synthetic objects cost nothing.
fn tile_crc(crc: CrcAlgorithm, chunk: &[u8]) -> Option<u64> {
    static KNOWN: Mutex<BTreeMap<(usize, u8), u64>> = Mutex::new(BTreeMap::new());
    if !is_tile(chunk) {
        return None;
    }
    let kind = match crc {
        CrcAlgorithm::Crc32IsoHdlc => 0,
        CrcAlgorithm::Crc32Iscsi => 1,
        CrcAlgorithm::Crc64Nvme => 2,
        _ => return None,
    };
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    Some(*known.entry((chunk.as_ptr() as usize, kind)).or_insert_with(|| crc_fast::checksum(crc, chunk)))
}

/// The longest copy whose MD5 is computed: it cannot be had from that of its source, and takes its time.
pub const MD5_MAX: u64 = 64 << 20;

/// The MD5 of these bytes.
///
/// # Errors
/// They cannot be read.
pub fn md5_of(blob: &Blob) -> io::Result<[u8; 16]> {
    use md5::Digest as _;
    let mut md5 = md5::Md5::new();
    for chunk in blob.chunks() {
        md5.update(&chunk?);
    }
    Ok(md5.finalize().into())
}

fn tail(value: u64, width: usize) -> Vec<u8> {
    value.to_be_bytes()[8 - width..].to_vec()
}

fn number(bytes: &[u8], width: usize) -> Option<u64> {
    (bytes.len() == width).then(|| bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// A checksum of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// By which algorithm.
    pub algorithm: Algorithm,
    /// Over what.
    pub kind: Kind,
    /// Its base64, with `-N` when it is composed of N parts'.
    pub text: String,
}

impl Checksum {
    /// Of all bytes.
    #[must_use]
    pub fn whole(algorithm: Algorithm, value: &[u8]) -> Self {
        Self { algorithm, kind: Kind::FullObject, text: BASE64.encode_to_string(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let blob = Blob::from(bytes::Bytes::from_static(b"123456789"));
        let hex = |algorithm: Algorithm| {
            algorithm.of(&blob).unwrap().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        assert_eq!(hex(Algorithm::Crc32), "cbf43926");
        assert_eq!(hex(Algorithm::Crc32c), "e3069283");
        assert_eq!(hex(Algorithm::Crc64Nvme), "ae8b14860a799888");
        assert_eq!(hex(Algorithm::Sha1), "f7c3bc1d808e04732adf679965ccc34ca7ae3441");
        assert!(hex(Algorithm::Sha256).starts_with("15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"));
    }

    #[test]
    fn parts_combine_to_the_checksum_of_the_whole() {
        let whole = Blob::pattern(3, 2_500_000);
        let cuts = [(0, 1_000_000), (1_000_000, 1), (1_000_001, 1_499_999)];
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            let parts: Vec<_> =
                cuts.iter().map(|(from, n)| (algorithm.of(&whole.part(*from, *n)).unwrap(), *n)).collect();
            assert_eq!(algorithm.of_parts(Kind::FullObject, &parts).unwrap(), algorithm.of(&whole).unwrap());
        }
        assert!(Algorithm::Sha256.of_parts(Kind::FullObject, &[]).is_none());
        assert!(!Algorithm::Sha256.knows(Kind::FullObject) && !Algorithm::Crc64Nvme.knows(Kind::Composite));
    }
}
