//! PutSnapshotBlock and CompleteSnapshot.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use jiff::SignedDuration;

use super::{Answer, Refusal, Route, block_index, header, json, snapshot_id};
use crate::ids::SnapshotId;
use crate::sandbox::content::Content;
use crate::sandbox::model::{Snapshot, SnapshotState};
use crate::sandbox::store::{Refused, Written};
use crate::sandbox::{Caller, Sandbox, pool};
use crate::units::{BLOCK_BYTES, Digest};

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::invalid("INVALID_PARAMETER_VALUE", message)
}

/// What a snapshot that EBS direct started is written through.
fn written(snapshot: &Snapshot) -> Result<Arc<Written>, Refusal> {
    match (&snapshot.content, &snapshot.upload) {
        (Content::Written(written), Some(_)) => Ok(Arc::clone(written)),
        _ => {
            Err(Refusal::invalid("INVALID_SNAPSHOT_ID", format!("'{}' was not made with StartSnapshot.", snapshot.id)))
        }
    }
}

/// The caller's own snapshot. One that is shared with it can be read and not written.
fn own<T>(
    sandbox: &Sandbox,
    caller: &Caller,
    id: &SnapshotId,
    look: impl FnOnce(&Snapshot) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let model = sandbox.model();
    let found = model.region(&caller.account, &caller.region).and_then(|region| region.snapshots.get(id));
    look(found.ok_or_else(|| Refusal::not_found(id.as_str()))?)
}

/// Whether a snapshot still takes blocks.
fn open(snapshot: &Snapshot) -> Result<(), Refusal> {
    let completing = snapshot.upload.as_ref().is_some_and(|upload| upload.settles.is_some());
    match &snapshot.state {
        SnapshotState::Pending if !completing => Ok(()),
        SnapshotState::Error(why) if why.contains("timed out") => {
            Err(Refusal::invalid("WRITE_REQUEST_TIMEOUT", format!("The snapshot '{}' failed: {why}", snapshot.id)))
        }
        state => {
            let message = format!("The snapshot '{}' is '{}' and takes no more blocks.", snapshot.id, state.as_str());
            Err(Refusal::invalid("INVALID_SNAPSHOT_ID", message))
        }
    }
}

/// Takes a block, or with `lose` only says so.
pub(super) async fn put(
    sandbox: &Sandbox,
    caller: &Caller,
    route: &Route,
    request: &Request<Bytes>,
    lose: bool,
) -> Answer {
    let id = snapshot_id(&route.snapshot)?;
    let index = block_index(&route.block)?;
    let (headers, body) = (request.headers(), request.body());
    let (unseen, references) = sandbox.with_faults(|faults| (faults.unseen_ms, !faults.keep_bytes));
    let now = sandbox.now().as_millisecond();
    let (target, blocks) = own(sandbox, caller, &id, |snapshot| {
        if now < snapshot.started.as_millisecond().saturating_add_unsigned(unseen) {
            return Err(Refusal::not_found(id.as_str()));
        }
        open(snapshot)?;
        Ok((written(snapshot)?, snapshot.volume_blocks().0))
    })?;
    if u64::from(index) >= blocks {
        let message = format!("Block {index} lies past the end of the volume, which has {blocks} blocks.");
        return Err(Refusal::invalid("INVALID_BLOCK", message));
    }
    let progress = progress(headers)?;
    let digest = body_digest(headers, body)?;
    let bytes = body.clone();
    let write = move || if lose { Ok(()) } else { target.write(index, digest, &bytes, now, references) };
    match tokio::task::spawn_blocking(write).await.map_err(std::io::Error::other).map_err(|e| Refusal::internal(&e))? {
        Ok(()) => {}
        Err(Refused::Sealed) => {
            let message = format!("The snapshot '{id}' is being completed and takes no more blocks.");
            return Err(Refusal::invalid("INVALID_SNAPSHOT_ID", message));
        }
        Err(Refused::Conflict) => {
            let message = format!("Block {index} is being written by another request.");
            return Err(Refusal::invalid("CONFLICTING_BLOCK_UPDATE", message));
        }
        Err(Refused::Io(cause)) => return Err(Refusal::internal(&cause)),
    }
    if let Some(progress) = progress {
        let mut model = sandbox.model_mut();
        let found = model.region_mut(&caller.account, &caller.region).and_then(|region| region.snapshots.get_mut(&id));
        if let Some(snapshot) = found {
            snapshot.progress = progress;
        }
    }
    let mut answer = json(StatusCode::CREATED, "{}".into());
    answer.headers_mut().insert("x-amz-checksum-algorithm", HeaderValue::from_static("SHA256"));
    if let Ok(checksum) = HeaderValue::from_str(&digest.base64()) {
        answer.headers_mut().insert("x-amz-checksum", checksum);
    }
    Ok(answer)
}

fn progress(headers: &HeaderMap) -> Result<Option<u8>, Refusal> {
    match header(headers, "x-amz-progress") {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(percent @ 0..=100) => Ok(Some(percent)),
            _ => Err(invalid("Progress must be between 0 and 100.")),
        },
    }
}

/// The body's checksum, once length, algorithm and checksum are what the headers say.
fn body_digest(headers: &HeaderMap, body: &Bytes) -> Result<Digest, Refusal> {
    let length = header(headers, "x-amz-data-length").ok_or_else(|| invalid("DataLength must be specified."))?;
    if length != BLOCK_BYTES.to_string() {
        return Err(invalid(format!("DataLength must be {BLOCK_BYTES}.")));
    }
    if body.len() as u64 != BLOCK_BYTES {
        let message = format!("Failed to read block data: {} of {BLOCK_BYTES} bytes arrived.", body.len());
        return Err(invalid(message));
    }
    if header(headers, "x-amz-checksum-algorithm") != Some("SHA256") {
        return Err(invalid("ChecksumAlgorithm must be SHA256."));
    }
    let said = header(headers, "x-amz-checksum").ok_or_else(|| invalid("Checksum must be specified."))?;
    let ours = pool::digest_of(body);
    if Digest::from_base64(said) != Some(ours) {
        return Err(invalid(format!("The checksum {said} does not match the data, which has {}.", ours.base64())));
    }
    Ok(ours)
}

/// What CompleteSnapshot says.
struct Closing {
    count: u64,
    checksum: Option<Digest>,
}

fn closing(headers: &HeaderMap) -> Result<Closing, Refusal> {
    let count =
        header(headers, "x-amz-changedblockscount").ok_or_else(|| invalid("ChangedBlocksCount must be specified."))?;
    let count = count.parse().map_err(|_| invalid("ChangedBlocksCount must be a number and not negative."))?;
    let algorithm = header(headers, "x-amz-checksum-algorithm");
    let method = header(headers, "x-amz-checksum-aggregation-method");
    let checksum = match header(headers, "x-amz-checksum") {
        None => None,
        Some(_) if algorithm != Some("SHA256") => return Err(invalid("ChecksumAlgorithm must be SHA256.")),
        Some(_) if method != Some("LINEAR") => return Err(invalid("ChecksumAggregationMethod must be LINEAR.")),
        Some(text) => {
            let digest = Digest::from_base64(text);
            Some(digest.ok_or_else(|| invalid("Checksum is not the base64 of a SHA-256."))?)
        }
    };
    Ok(Closing { count, checksum })
}

/// Ends the writing: count and checksum must be those of what was written, else the snapshot is lost.
///
/// The same call again answers the state that the first one led to; another count is refused. With `believe`
/// nothing is compared.
pub(super) async fn complete(
    sandbox: &Sandbox,
    caller: &Caller,
    route: &Route,
    headers: &HeaderMap,
    believe: bool,
) -> Answer {
    let id = snapshot_id(&route.snapshot)?;
    let closing = closing(headers)?;
    let first = own(sandbox, caller, &id, |snapshot| {
        let target = written(snapshot)?;
        match snapshot.upload.as_ref().and_then(|upload| upload.completed_with) {
            Some(count) if count == closing.count && !matches!(snapshot.state, SnapshotState::Error(_)) => {
                Ok(Err(snapshot.state.as_str()))
            }
            Some(_) => {
                Err(Refusal::invalid("INVALID_SNAPSHOT_ID", format!("The snapshot '{id}' is already completed.")))
            }
            None => open(snapshot).map(|()| Ok(target)),
        }
    })?;
    let target = match first {
        Ok(target) => target,
        Err(state) => return Ok(json(StatusCode::ACCEPTED, format!("{{\"Status\":\"{state}\"}}"))),
    };
    if !target.seal() {
        let message = format!("Blocks of the snapshot '{id}' are still being written.");
        return Err(Refusal::invalid("CONFLICTING_BLOCK_UPDATE", message));
    }
    let checksum = closing.checksum;
    let look = move || {
        Ok::<_, std::io::Error>((target.count()?, if checksum.is_some() { Some(target.linear()?) } else { None }))
    };
    let (count, linear) = tokio::task::spawn_blocking(look)
        .await
        .map_err(std::io::Error::other)
        .flatten()
        .map_err(|e| Refusal::internal(&e))?;
    let problem = if believe {
        None
    } else if count != closing.count {
        Some(format!("ChangedBlocksCount is {}, but {count} blocks were written.", closing.count))
    } else if linear != checksum {
        Some("The checksum does not match the blocks that were written.".to_owned())
    } else {
        None
    };
    settle(sandbox, caller, &id, closing.count, problem.as_deref())?;
    match problem {
        Some(message) => Err(invalid(message)),
        None => Ok(json(StatusCode::ACCEPTED, "{\"Status\":\"pending\"}".into())),
    }
}

fn settle(
    sandbox: &Sandbox,
    caller: &Caller,
    id: &SnapshotId,
    count: u64,
    problem: Option<&str>,
) -> Result<(), Refusal> {
    let wait = sandbox.with_faults(|faults| faults.completing_ms);
    let now = sandbox.now();
    {
        let mut model = sandbox.model_mut();
        let found = model.region_mut(&caller.account, &caller.region).and_then(|region| region.snapshots.get_mut(id));
        let snapshot = found.ok_or_else(|| Refusal::not_found(id.as_str()))?;
        if let Some(problem) = problem {
            snapshot.state = SnapshotState::Error(problem.to_owned());
        }
        if let Some(upload) = &mut snapshot.upload {
            upload.completed_with = Some(count);
            let wait = SignedDuration::from_millis(i64::try_from(wait).unwrap_or(i64::MAX / 1000));
            let at = now.checked_add(wait).unwrap_or(now);
            upload.settles = problem.is_none().then_some((at, SnapshotState::Completed));
        }
    }
    sandbox.save_snapshot(&caller.account, &caller.region, id).map_err(|e| Refusal::internal(&e))?;
    sandbox.watch(&caller.account, &caller.region, id);
    Ok(())
}
