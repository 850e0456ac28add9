//! The first pages of a ledger: what it belongs to, and whether this floe may read it.
//!
//! Layout: 8 bytes magic, `u32` version, `u32` length of the body, the body (JSON of [`Header`]), `u32`
//! CRC32C of all that; little-endian, padded with zeros to whole pages. It is written once, at creation.

use crc_fast::{CrcAlgorithm, checksum};
use serde::{Deserialize, Serialize};

use super::pages::PAGE;
use crate::error::{Error, Result};
use crate::ids::JobId;

const MAGIC: [u8; 8] = *b"floeldgr";
const VERSION: u32 = 1;
const FIXED: usize = 16;
/// Destinations are few and addresses are short; more than this is not a header of ours.
const MAX_BODY: usize = 256 * 1024;

/// What a ledger belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The job.
    pub job: JobId,
    /// Names it in any state directory; empty in ledgers of before.
    #[serde(default)]
    pub unique: String,
    /// The source's identity, word for word as `job.json` pins it.
    pub source: String,
    /// How many block indexes the volume has.
    pub blocks: u32,
    /// The destinations in the order of the job; a `Dest` is a position in this list.
    pub destinations: Vec<String>,
}

impl Header {
    /// Refuses a ledger of another job, source or set of destinations, and says which.
    ///
    /// # Errors
    /// Failed, naming the first difference.
    pub fn must_equal(&self, expected: &Self) -> Result<()> {
        let differs = if self.job != expected.job {
            format!("it is of job {}, not {}", self.job, expected.job)
        } else if !self.unique.is_empty() && self.unique != expected.unique {
            format!("it is of job {} of another state directory", self.job)
        } else if self.source != expected.source {
            format!("its source is {}, not {}", self.source, expected.source)
        } else if self.blocks != expected.blocks {
            format!("it has {} blocks, not {}", self.blocks, expected.blocks)
        } else if self.destinations != expected.destinations {
            format!("its destinations are {:?}, not {:?}", self.destinations, expected.destinations)
        } else {
            return Ok(());
        };
        Err(Error::failed(format!("the ledger does not belong to this job: {differs}"))
            .todo("start the copy again; what was written so far cannot be trusted to match"))
    }
}

pub(super) fn encode(header: &Header) -> Result<Vec<u8>> {
    let body =
        serde_json::to_vec(header).map_err(|e| Error::failed(format!("could not write a ledger header: {e}")))?;
    if header.blocks > i32::MAX as u32 {
        return Err(Error::failed("a volume of more than 2,147,483,647 blocks has indexes that AWS cannot name"));
    }
    if body.len() > MAX_BODY {
        return Err(Error::failed("the ledger header is too long: too many destinations"));
    }
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(PAGE);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes.extend_from_slice(&crc(&bytes).to_le_bytes());
    bytes.resize(bytes.len().div_ceil(PAGE) * PAGE, 0);
    Ok(bytes)
}

/// How many bytes the header takes, from its first page.
pub(super) fn total_len(first: &[u8]) -> Result<usize> {
    if first.len() < FIXED || first[..8] != MAGIC {
        return Err(damaged("it does not begin as a ledger does"));
    }
    let version = word(first, 8);
    if version != VERSION {
        return Err(Error::failed(format!(
            "the ledger has format version {version}, this floe reads version {VERSION}"
        ))
        .todo("resume the job with the version of floe that started it"));
    }
    let body = word(first, 12) as usize;
    if body > MAX_BODY {
        return Err(damaged("its length is impossible"));
    }
    Ok((FIXED + body + 4).div_ceil(PAGE) * PAGE)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Header> {
    if bytes.len() < total_len(bytes)? {
        return Err(damaged("it is cut off"));
    }
    let end = FIXED + word(bytes, 12) as usize;
    if crc(&bytes[..end]) != word(bytes, end) {
        return Err(damaged("its checksum does not match"));
    }
    serde_json::from_slice(&bytes[FIXED..end]).map_err(|e| damaged(&e.to_string()))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

#[expect(clippy::cast_possible_truncation, reason = "CRC32C has 32 bits")]
fn crc(bytes: &[u8]) -> u32 {
    checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

fn damaged(how: &str) -> Error {
    Error::failed(format!("the ledger's header is damaged: {how}"))
        .todo("the job cannot be resumed: start the copy again, and check this disk")
}
