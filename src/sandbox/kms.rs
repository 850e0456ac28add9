//! KMS (JSON 1.1), as far as a client of snapshots asks it: which keys there are, and `DescribeKey`.
//!
//! A key exists in the region of an account where something is encrypted with it or by default would be; the one that
//! AWS keeps for EBS is always there.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::json;

pub(super) use super::ebs::default_key;
use super::model::{Model, RegionState};
use super::{Caller, Sandbox, wire};

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// Its ARN.
    pub arn: String,
    /// Whether it is the one that AWS keeps for EBS.
    pub managed: bool,
}

/// The keys of the caller's account in its region, the managed one first.
fn keys(model: &Model, caller: &Caller) -> Vec<Key> {
    let Some(region) = model.region(&caller.account, &caller.region) else { return Vec::new() };
    let managed = managed(caller, region);
    let of_snapshots = region.snapshots.values().filter_map(|row| row.encryption.as_ref());
    let of_volumes = region.volumes.values().filter_map(|row| row.encryption.as_ref());
    let used = of_snapshots.chain(of_volumes).map(|encryption| encryption.key_arn.clone());
    let ours = format!("arn:{}:kms:{}:{}:key/", caller.region.partition(), caller.region, caller.account);
    let all: BTreeSet<String> = used
        .chain(region.settings.default_key_arn.clone())
        .filter(|arn| arn.starts_with(&ours) && *arn != managed)
        .collect();
    let customers = all.into_iter().map(|arn| Key { arn, managed: false });
    std::iter::once(Key { arn: managed.clone(), managed: true }).chain(customers).collect()
}

fn managed(caller: &Caller, region: &RegionState) -> String {
    let mut bare = RegionState::new(region.name.clone(), region.opt_in);
    bare.settings.default_key_arn = None;
    default_key(&caller.account, &bare)
}

/// The key that a client means by an id, an ARN or an alias.
pub(super) fn find(model: &Model, caller: &Caller, name: &str) -> Option<Key> {
    let alias = name.rsplit_once(":alias/").map_or_else(|| name.strip_prefix("alias/"), |(_, alias)| Some(alias));
    keys(model, caller).into_iter().find(|key| match alias {
        Some(alias) => key.managed && alias == "aws/ebs",
        None => key.arn == name || key.arn.rsplit('/').next() == Some(name),
    })
}

/// Answers one request: `target` is the operation.
pub(super) fn handle(sandbox: &Sandbox, caller: &Caller, target: &str, body: &[u8]) -> (StatusCode, String) {
    let refuse = |code: &str, message: &str| wire::json_error(StatusCode::BAD_REQUEST, code, message);
    if target != "DescribeKey" {
        return refuse("UnknownOperationException", &format!("Unknown operation {target}"));
    }
    let request: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(name) = request["KeyId"].as_str().filter(|name| !name.is_empty()) else {
        return refuse("ValidationException", "KeyId must be specified");
    };
    if name.starts_with("arn:") && name.splitn(6, ':').count() < 6 {
        return refuse("InvalidArnException", &format!("Invalid arn {name}"));
    }
    let model = sandbox.model();
    let Some(key) = find(&model, caller, name) else {
        return refuse("NotFoundException", &format!("Key '{name}' does not exist"));
    };
    let id = key.arn.rsplit('/').next().unwrap_or_default();
    let metadata = json!({
        "AWSAccountId": caller.account,
        "KeyId": id,
        "Arn": key.arn,
        "CreationDate": 1_600_000_000.0,
        "Enabled": true,
        "Description": if key.managed { "Default key that protects my EBS volumes when no other key is defined" } else { "" },
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "Enabled",
        "Origin": "AWS_KMS",
        "KeyManager": if key.managed { "AWS" } else { "CUSTOMER" },
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": false,
    });
    (StatusCode::OK, json!({ "KeyMetadata": metadata }).to_string())
}
