//! GetSnapshotBlock.

use http::{HeaderValue, Response};

use super::tokens::{Owner, Token};
use super::{Answer, Refusal, Route, block_index, parameter, readable, snapshot_id};
use crate::sandbox::body::Body;
use crate::sandbox::content::Found;
use crate::sandbox::{Caller, Sandbox, pool};

/// Hands a block out for the token that a listing gave for it.
pub(super) async fn get(sandbox: &Sandbox, caller: &Caller, route: &Route, query: Option<&str>) -> Answer {
    let id = snapshot_id(&route.snapshot)?;
    let index = block_index(&route.block)?;
    let text = parameter(query, "blockToken").unwrap_or_default();
    let content = {
        let model = sandbox.model();
        readable(&model, caller, &id)?.content.clone()
    };
    let refused = |why: &str| Refusal::invalid("INVALID_BLOCK_TOKEN", format!("The provided block token is {why}."));
    let owner = Owner::block(caller.account.as_str(), caller.region.as_str(), id.as_str());
    let token = Token::open(&text, owner).ok_or_else(|| refused("invalid"))?;
    if token.index != index {
        return Err(refused("invalid"));
    }
    if token.expires_ms <= sandbox.now().as_millisecond() || token.generation != sandbox.generation(id.as_str(), false)
    {
        return Err(refused("expired"));
    }
    let found = content.find(index).map_err(|e| Refusal::internal(&e))?;
    let found = found.ok_or_else(|| Refusal::invalid("INVALID_BLOCK", format!("Block {index} does not exist.")))?;
    let digest = found.digest();
    let body = match found {
        Found::Zeros => Body::of([pool::zeros()]),
        Found::Laid(block) => Body::of([block]),
        Found::Stamped(stamp) => {
            let (head, tail) = stamp.pieces();
            Body::of([head, tail])
        }
        Found::Stored(written, _) => {
            let read = tokio::task::spawn_blocking(move || written.read(index)).await;
            Body::of([read.map_err(std::io::Error::other).flatten().map_err(|e| Refusal::internal(&e))?])
        }
    };
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/octet-stream"));
    headers.insert("x-amz-data-length", HeaderValue::from_static("524288"));
    headers.insert("x-amz-checksum-algorithm", HeaderValue::from_static("SHA256"));
    if let Ok(checksum) = HeaderValue::from_str(&digest.base64()) {
        headers.insert("x-amz-checksum", checksum);
    }
    Ok(answer)
}
