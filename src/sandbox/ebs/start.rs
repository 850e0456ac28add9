//! StartSnapshot: what a new snapshot may be.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;

use super::{Answer, Refusal, json, readable, snapshot_id};
use crate::ids::{AccountId, SnapshotId};
use crate::sandbox::content::Content;
use crate::sandbox::model::{Encryption, Model, RegionState, Snapshot, SnapshotState, Tags, Tier, Upload};
use crate::sandbox::store::Written;
use crate::sandbox::synth::mix;
use crate::sandbox::{Caller, Sandbox, quotas};
use crate::units::BLOCK_BYTES;

/// The quota of pending snapshots.
const PENDING: &str = "L-94D7AB7D";
const MAX_GIB: i64 = 65_536;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ask {
    volume_size: Option<i64>,
    parent_snapshot_id: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    description: Option<String>,
    client_token: Option<String>,
    encrypted: Option<bool>,
    kms_key_arn: Option<String>,
    timeout: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: Option<String>,
    value: Option<String>,
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::invalid("INVALID_PARAMETER_VALUE", message)
}

/// Starts a snapshot, or names the one that the same client token started.
pub(super) fn start(sandbox: &Sandbox, caller: &Caller, body: &Bytes) -> Answer {
    let ask: Ask = serde_json::from_slice(body).map_err(|cause| {
        Refusal::new(400, "SerializationException", None, format!("The body does not parse: {cause}."))
    })?;
    let tags = check(&ask)?;
    let quota = quotas::value(sandbox, caller, PENDING);
    let id = {
        let mut model = sandbox.model_mut();
        if let Some(known) = repeated(&model, caller, &ask)? {
            return Ok(json(StatusCode::CREATED, describe(known)));
        }
        let new = build(sandbox, &model, caller, &ask, tags)?;
        let region = region_of(&mut model, caller)?;
        let pending = region.snapshots.values().filter(|s| s.state == SnapshotState::Pending).count();
        if pending as f64 >= quota {
            let message = format!("You have reached the limit of {quota} pending snapshots ({PENDING}).");
            return Err(Refusal::new(400, "ConcurrentLimitExceededException", None, message));
        }
        let id = new.id.clone();
        region.snapshots.insert(id.clone(), new);
        id
    };
    if let Err(cause) = sandbox.save_snapshot(&caller.account, &caller.region, &id) {
        if let Ok(region) = region_of(&mut sandbox.model_mut(), caller) {
            region.snapshots.remove(&id);
        }
        return Err(Refusal::internal(&cause));
    }
    sandbox.watch(&caller.account, &caller.region, &id);
    let model = sandbox.model();
    let new = model.readable(&caller.account, &caller.region, &id).ok_or_else(|| Refusal::not_found(id.as_str()))?;
    Ok(json(StatusCode::CREATED, describe(new)))
}

fn region_of<'a>(model: &'a mut Model, caller: &Caller) -> Result<&'a mut RegionState, Refusal> {
    let denied =
        || Refusal::new(403, "AccessDeniedException", Some("UNAUTHORIZED_ACCOUNT"), "The region is not enabled.");
    model.region_mut(&caller.account, &caller.region).ok_or_else(denied)
}

/// Everything that can be said without looking at what there is.
fn check(ask: &Ask) -> Result<Tags, Refusal> {
    let size = ask.volume_size.ok_or_else(|| invalid("VolumeSize must be specified."))?;
    if !(1..=MAX_GIB).contains(&size) {
        return Err(Refusal::invalid(
            "INVALID_VOLUME_SIZE",
            format!("VolumeSize must be between 1 and {MAX_GIB} GiB."),
        ));
    }
    if !(10..=4320).contains(&ask.timeout.unwrap_or(60)) {
        return Err(invalid("Timeout must be between 10 and 4320 minutes."));
    }
    if ask.description.as_ref().is_some_and(|text| text.chars().count() > 255) {
        return Err(invalid("Description must not be longer than 255 characters."));
    }
    let token_ok = |token: &String| (1..=255).contains(&token.len()) && !token.contains(char::is_whitespace);
    if !ask.client_token.as_ref().is_none_or(token_ok) {
        return Err(invalid("ClientToken must have 1 to 255 characters and no white space."));
    }
    if ask.parent_snapshot_id.is_some() && ask.encrypted.is_some() {
        return Err(invalid("Encrypted cannot be specified together with ParentSnapshotId."));
    }
    if ask.parent_snapshot_id.is_some() && ask.kms_key_arn.is_some() {
        return Err(invalid("KmsKeyArn cannot be specified together with ParentSnapshotId."));
    }
    if ask.kms_key_arn.is_some() && ask.encrypted != Some(true) {
        return Err(invalid("KmsKeyArn can only be specified when Encrypted is true."));
    }
    tags(&ask.tags)
}

fn tags(asked: &[Tag]) -> Result<Tags, Refusal> {
    let wrong = |message: String| Refusal::invalid("INVALID_TAG", message);
    if asked.len() > 50 {
        return Err(wrong("A snapshot cannot have more than 50 tags.".into()));
    }
    let mut tags = BTreeMap::new();
    for tag in asked {
        let (key, value) = (tag.key.clone().unwrap_or_default(), tag.value.clone().unwrap_or_default());
        if !(1..=127).contains(&key.chars().count()) || value.chars().count() > 255 {
            return Err(wrong(format!("The tag '{key}' is too long or has no key.")));
        }
        if key.starts_with("aws:") {
            return Err(wrong(format!("The tag key '{key}' is reserved for AWS.")));
        }
        if tags.insert(key.clone(), value).is_some() {
            return Err(wrong(format!("The tag key '{key}' is given twice.")));
        }
    }
    Ok(Arc::new(tags))
}

/// The snapshot that the same client token started; other parameters with it are a conflict.
fn repeated<'a>(model: &'a Model, caller: &Caller, ask: &Ask) -> Result<Option<&'a Snapshot>, Refusal> {
    let (Some(token), Some(region)) = (&ask.client_token, model.region(&caller.account, &caller.region)) else {
        return Ok(None);
    };
    let with_token = |snapshot: &&Snapshot| token_of(snapshot).is_some_and(|(known, _)| known == token);
    match region.snapshots.values().find(with_token) {
        Some(found) if token_of(found).is_some_and(|(_, print)| *print == fingerprint(ask)) => Ok(Some(found)),
        Some(_) => {
            let message = "The client token was used before with other parameters.";
            Err(Refusal::new(409, "ConflictException", None, message))
        }
        None => Ok(None),
    }
}

fn token_of(snapshot: &Snapshot) -> Option<&(String, u64)> {
    snapshot.upload.as_ref()?.client_token.as_ref()
}

/// Tells whether two requests ask for the same.
fn fingerprint(ask: &Ask) -> u64 {
    let mut tags: Vec<_> = ask.tags.iter().map(|tag| (&tag.key, &tag.value)).collect();
    tags.sort();
    let all = (
        ask.volume_size,
        &ask.parent_snapshot_id,
        tags,
        &ask.description,
        ask.encrypted,
        &ask.kms_key_arn,
        ask.timeout.unwrap_or(60),
    );
    format!("{all:?}").bytes().fold(7, |hash, byte| mix(hash, u64::from(byte)))
}

fn build(sandbox: &Sandbox, model: &Model, caller: &Caller, ask: &Ask, tags: Tags) -> Result<Snapshot, Refusal> {
    let size = u32::try_from(ask.volume_size.unwrap_or_default()).unwrap_or(1);
    let parent = match &ask.parent_snapshot_id {
        Some(text) => Some(parent(model, caller, text, size)?),
        None => None,
    };
    let id = sandbox.new_snapshot_id(model);
    let region = model.region(&caller.account, &caller.region);
    let encryption = match parent {
        Some(parent) => inherited(parent, region)?,
        None => encryption(caller, ask, region, &id)?,
    };
    let base = parent.map(|parent| (parent.id.clone(), parent.content.clone()));
    let now = sandbox.now();
    Ok(Snapshot {
        owner: caller.account.clone(),
        volume_id: "vol-ffffffff".parse().map_err(|cause: String| Refusal::internal(&std::io::Error::other(cause)))?,
        started: now,
        completed: None,
        state: SnapshotState::Pending,
        progress: 0,
        size_gib: size,
        description: ask.description.clone().unwrap_or_default(),
        tags,
        encryption,
        tier: Tier::Standard,
        transfer_type: None,
        shared: Vec::new(),
        upload: Some(Upload {
            parent: base.as_ref().map(|(id, _)| id.clone()),
            timeout_minutes: u32::try_from(ask.timeout.unwrap_or(60)).unwrap_or(60),
            client_token: ask.client_token.clone().map(|token| (token, fingerprint(ask))),
            settles: None,
            completed_with: None,
        }),
        tiering: None,
        archived: None,
        copying: None,
        content: Content::Written(Arc::new(Written::new(id.clone(), base, sandbox.keep()))),
        id,
    })
}

fn parent<'a>(model: &'a Model, caller: &Caller, text: &str, size: u32) -> Result<&'a Snapshot, Refusal> {
    let id: SnapshotId = snapshot_id(text)?;
    let parent = readable(model, caller, &id)?;
    if parent.owner != caller.account {
        return Err(invalid(format!("The parent snapshot '{id}' belongs to another account.")));
    }
    if size < parent.size_gib {
        let message = format!("VolumeSize must not be below the parent's size of {} GiB.", parent.size_gib);
        return Err(Refusal::invalid("INVALID_VOLUME_SIZE", message));
    }
    Ok(parent)
}

/// On a parent: its key, or none; encryption by default refuses a parent that is not encrypted.
fn inherited(parent: &Snapshot, region: Option<&RegionState>) -> Result<Option<Encryption>, Refusal> {
    if parent.encryption.is_none() && region.is_some_and(|region| region.settings.encrypt_by_default) {
        let message =
            "Encryption by default is on and the parent snapshot is not encrypted; encrypt a copy of it first.";
        return Err(invalid(message));
    }
    Ok(parent.encryption.clone())
}

fn encryption(
    caller: &Caller,
    ask: &Ask,
    region: Option<&RegionState>,
    id: &SnapshotId,
) -> Result<Option<Encryption>, Refusal> {
    let by_default = region.is_some_and(|region| region.settings.encrypt_by_default);
    if ask.encrypted != Some(true) && !by_default {
        return Ok(None);
    }
    let key_arn = match (&ask.kms_key_arn, region) {
        (Some(arn), _) => key(caller, arn)?,
        (None, Some(region)) => default_key(&caller.account, region),
        (None, None) => return Ok(None),
    };
    let bits = id.as_str().bytes().fold(1, |hash, byte| mix(hash, u64::from(byte)));
    Ok(Some(Encryption { key_arn, data_key_id: format!("{}-data", uuid(bits)) }))
}

/// The full ARN of a key of this region: no alias, no bare id.
fn key(caller: &Caller, arn: &str) -> Result<String, Refusal> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let right = matches!(parts[..], ["arn", _, "kms", region, account, key]
        if region == caller.region.as_str() && account.len() == 12 && key.strip_prefix("key/").is_some_and(|id| !id.is_empty()));
    if right {
        return Ok(arn.to_owned());
    }
    let message = format!("'{arn}' is not the ARN of a key in {}; aliases and ids are not accepted.", caller.region);
    Err(Refusal::invalid("INVALID_CUSTOMER_KEY", message))
}

/// The key that encrypts where none is named: the account's default, else the one that AWS keeps for EBS.
pub(in crate::sandbox) fn default_key(account: &AccountId, region: &RegionState) -> String {
    region.settings.default_key_arn.clone().unwrap_or_else(|| {
        let name = format!("{account}/{}", region.name);
        let bits = name.bytes().fold(2, |hash, byte| mix(hash, u64::from(byte)));
        format!("arn:{}:kms:{}:{account}:key/{}", region.name.partition(), region.name, uuid(bits))
    })
}

fn uuid(bits: u64) -> String {
    uuid::Builder::from_random_bytes((u128::from(mix(bits, 1)) << 64 | u128::from(mix(bits, 2))).to_be_bytes())
        .into_uuid()
        .to_string()
}

fn describe(snapshot: &Snapshot) -> String {
    let tags: Vec<_> =
        snapshot.tags.iter().map(|(key, value)| serde_json::json!({ "Key": key, "Value": value })).collect();
    let mut answer = serde_json::json!({
        "SnapshotId": snapshot.id,
        "OwnerId": snapshot.owner,
        "Status": snapshot.state.as_str(),
        "StartTime": snapshot.started.as_millisecond() as f64 / 1000.0,
        "VolumeSize": snapshot.size_gib,
        "BlockSize": BLOCK_BYTES,
        "Description": snapshot.description,
        "Tags": tags,
        "SseType": if snapshot.encryption.is_some() { "sse-kms" } else { "none" },
    });
    if let Some(encryption) = &snapshot.encryption {
        answer["KmsKeyArn"] = encryption.key_arn.clone().into();
    }
    if let Some(parent) = snapshot.upload.as_ref().and_then(|upload| upload.parent.as_ref()) {
        answer["ParentSnapshotId"] = parent.as_str().into();
    }
    answer.to_string()
}
