//! One block over the wire, each way, touched once.
//!
//! A block that arrives is read from its connection into the caller's buffer, and hashed piece by piece while it is
//! still in the cache. A block that leaves is never copied: its buffer goes into the request as it is, unsigned, since its
//! checksum is among the signed headers.

use aws_lc_rs::digest::{Context as Hasher, SHA256};
use bytes::{Bytes as Buffer, BytesMut};
use http::Method;

use super::ebs::Ebs;
use super::http::Coming;
use super::wire::{self, Call, Payload};
use crate::error::{Error, Result};
use crate::ids::{BlockIndex, Region, SnapshotId};
use crate::units::{BLOCK_BYTES, Digest};

const BLOCK: usize = BLOCK_BYTES as usize;
/// An answer to a put has no body; whatever is longer than this is not read to its end.
const ANSWER_MAX: usize = 64 * 1024;

/// A block whose answer has begun.
#[derive(Debug)]
pub struct Arriving<'a> {
    region: &'a Region,
    snapshot: SnapshotId,
    index: BlockIndex,
    named: Digest,
    body: Coming,
}

/// Asks for a block, up to the head of the answer.
pub(super) async fn ask<'a>(
    ebs: &'a Ebs,
    snapshot: &SnapshotId,
    index: BlockIndex,
    token: &str,
) -> Result<Arriving<'a>> {
    let what = || format!("could not read {snapshot}");
    let region = ebs.context().region();
    let call = Call {
        service: "ebs",
        operation: "ebs:GetSnapshotBlock",
        method: Method::GET,
        uri: format!("{}/snapshots/{snapshot}/blocks/{index}?blockToken={}", ebs.endpoint(), Encoded(token)),
        headers: Vec::new(),
        region: None,
        body: Payload::None,
    };
    let answer = wire::send(ebs.context(), call, what).await.map_err(|error| error.at_block(index))?;
    let (head, body) = answer.into_parts();
    let broken = |why: String| wire::broken(what(), why, region).at_block(index);
    let named = head.headers.get("x-amz-checksum").and_then(|value| value.to_str().ok()).and_then(Digest::from_base64);
    let named = named.ok_or_else(|| broken("the answer names no checksum".to_owned()))?;
    let algorithm = head.headers.get("x-amz-checksum-algorithm").and_then(|value| value.to_str().ok());
    if let Some(other) = algorithm.filter(|algorithm| *algorithm != "SHA256") {
        return Err(broken(format!("the answer's checksum is by {other}, not SHA256")));
    }
    let length = head.headers.get("x-amz-data-length").and_then(|value| value.to_str().ok());
    if let Some(length) = length.filter(|length| length.parse() != Ok(BLOCK_BYTES)) {
        return Err(broken(format!("the answer says it holds {length} bytes")));
    }
    Ok(Arriving { region, snapshot: snapshot.clone(), index, named, body })
}

impl Arriving<'_> {
    /// Reads it to its end; afterwards `into` is exactly one block long and its digest is the one that AWS named.
    ///
    /// # Errors
    /// It was cut, is too long, or is not what its checksum says: transient.
    pub async fn read(mut self, into: &mut BytesMut) -> Result<Digest> {
        into.clear();
        into.reserve(BLOCK);
        let mut hasher = Hasher::new(&SHA256);
        loop {
            let before = into.len();
            let read = self.body.read(into, BLOCK - before).await;
            match read.map_err(|why| self.broken(format!("cut after {before} bytes: {why}")))? {
                None => return Err(self.broken("more than a block arrived")),
                Some(0) => break,
                Some(_) => hasher.update(&into[before..]),
            }
        }
        if into.len() != BLOCK {
            return Err(self.broken(format!("{} bytes arrived, not {BLOCK_BYTES}", into.len())));
        }
        let got = digest(hasher);
        if got != self.named {
            return Err(self.broken(CORRUPT));
        }
        Ok(got)
    }

    fn broken(&self, why: impl std::fmt::Display) -> Error {
        wire::broken(format!("could not read {}", self.snapshot), why, self.region).at_block(self.index)
    }
}

/// What the error of a block says whose bytes are others than its checksum names.
pub const CORRUPT: &str = "its bytes are not those of its checksum";

/// Writes a block; accepted means that the service compared its bytes with the digest.
pub(super) async fn put(
    ebs: &Ebs,
    snapshot: &SnapshotId,
    index: BlockIndex,
    data: Buffer,
    digest: &Digest,
) -> Result<()> {
    let what = || format!("could not write {snapshot}");
    if data.len() != BLOCK {
        return Err(Error::failed(format!("{}: {} bytes are not a block", what(), data.len())));
    }
    let checksum = digest.base64();
    let call = Call {
        service: "ebs",
        operation: "ebs:PutSnapshotBlock",
        method: Method::PUT,
        uri: format!("{}/snapshots/{snapshot}/blocks/{index}", ebs.endpoint()),
        headers: vec![
            ("x-amz-checksum", checksum.clone()),
            ("x-amz-checksum-algorithm", "SHA256".to_owned()),
            ("x-amz-data-length", BLOCK_BYTES.to_string()),
        ],
        region: None,
        body: Payload::Checked(data),
    };
    let (head, mut body) = wire::send(ebs.context(), call, what).await?.into_parts();
    // Read to its end, or the connection could not be used again.
    let mut said = 0;
    while let Some(frame) = body.frame().await {
        let broken = |why: String| wire::broken(what(), why, ebs.context().region());
        said += frame.map_err(|why| broken(format!("the answer was cut: {why}")))?.len();
        if said > ANSWER_MAX {
            return Err(broken("the answer is no answer of EBS".to_owned()));
        }
    }
    match head.headers.get("x-amz-checksum") {
        Some(echo) if echo.as_bytes() != checksum.as_bytes() => {
            Err(wire::broken(what(), "the service answered with another checksum", ebs.context().region()))
        }
        // The page of a proxy between us and AWS is no acknowledgement.
        None if head.status != http::StatusCode::CREATED => Err(wire::broken(
            what(),
            format!("HTTP {} without a checksum is no answer of EBS", head.status.as_u16()),
            ebs.context().region(),
        )),
        _ => Ok(()),
    }
}

fn digest(hasher: Hasher) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hasher.finish().as_ref());
    Digest(bytes)
}

/// A base64 token as part of a query: `+`, `/` and `=` mean something else there.
struct Encoded<'a>(&'a str);

impl std::fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write as _;
        for byte in self.0.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    f.write_char(char::from(byte))?
                }
                other => write!(f, "%{other:02X}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_a_query() {
        assert_eq!(Encoded("AAUB+Ar/Gw==").to_string(), "AAUB%2BAr%2FGw%3D%3D");
        assert_eq!(Encoded("a-b_c.d~").to_string(), "a-b_c.d~");
    }
}
