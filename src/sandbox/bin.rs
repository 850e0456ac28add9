//! The Recycle Bin: its rules (a REST service of its own, `rbin`), and what they keep of what EC2 deletes.
//!
//! A snapshot in the bin lies apart from all others, so that no list, copy or read finds it; an image stays where it
//! is and counts as deregistered. Both are gone for good when their time has come.

use std::io;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::body::Body;
use super::content::Content;
use super::ebs::Refusal;
use super::journal::Change;
use super::model::{BinKind, BinRule, InBin, Model, Tags};
use super::sigv4::decode;
use super::{Caller, Sandbox, lock, snapshot_line};
use crate::ids::{AccountId, ImageId, Region, SnapshotId, VolumeId};

/// Rules of one region at most.
const MOST_RULES: usize = 250;
/// Letters of a rule's id.
const ID: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// An operation and the rule that its path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// As in IAM: `ListRules`.
    pub api: &'static str,
    id: String,
}

/// Which operation a request is.
pub(super) fn route(method: &Method, path: &str) -> Option<Route> {
    let parts: Vec<String> = path.trim_matches('/').split('/').map(|part| decode(part, false)).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (api, id) = match (method.as_str(), &parts[..]) {
        ("POST", ["list-rules"]) => ("ListRules", ""),
        ("POST", ["rules"]) => ("CreateRule", ""),
        ("GET", ["rules", id]) => ("GetRule", *id),
        ("DELETE", ["rules", id]) => ("DeleteRule", *id),
        _ => return None,
    };
    Some(Route { api, id: id.to_owned() })
}

/// Answers one request.
///
/// # Errors
/// What the service refuses it with.
pub(super) fn handle(
    sandbox: &Sandbox,
    caller: &Caller,
    route: &Route,
    request: &Request<Bytes>,
) -> Result<Response<Body>, Refusal> {
    let (status, body) = match route.api {
        "ListRules" => (200, list(&rules(&sandbox.model(), caller), &read(request.body())?)?),
        "GetRule" => (200, whole(&find(&sandbox.model(), caller, &route.id)?, caller)),
        "CreateRule" => (201, create(sandbox, caller, &read(request.body())?)?),
        _ => {
            find(&sandbox.model(), caller, &route.id)?;
            change(sandbox, caller, |rules| rules.retain(|rule| rule.id != route.id))?;
            (204, Value::Null)
        }
    };
    let mut answer = Response::new(Body::from(if body.is_null() { String::new() } else { body.to_string() }));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let kind = http::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    Ok(answer)
}

fn invalid(reason: &'static str, message: impl Into<String>) -> Refusal {
    Refusal::new(400, "ValidationException", Some(reason), message)
}

fn read(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|e| Refusal::new(400, "SerializationException", None, e.to_string()))
}

fn rules(model: &Model, caller: &Caller) -> Vec<BinRule> {
    model.region(&caller.account, &caller.region).map(|r| r.settings.bin_rules.clone()).unwrap_or_default()
}

fn find(model: &Model, caller: &Caller, id: &str) -> Result<BinRule, Refusal> {
    let missing = || {
        let message = format!("Rule with identifier {id} was not found.");
        Refusal::new(404, "ResourceNotFoundException", Some("RULE_NOT_FOUND"), message)
    };
    rules(model, caller).into_iter().find(|rule| rule.id == id).ok_or_else(missing)
}

fn change(sandbox: &Sandbox, caller: &Caller, with: impl FnOnce(&mut Vec<BinRule>)) -> Result<(), Refusal> {
    if let Some(region) = sandbox.model_mut().region_mut(&caller.account, &caller.region) {
        with(&mut region.settings.bin_rules);
    }
    let saved = sandbox.save_settings(&caller.account, &caller.region);
    saved.map_err(|cause| Refusal::new(500, "InternalServerException", None, cause.to_string()))
}

const fn kind(keeps: BinKind) -> &'static str {
    match keeps {
        BinKind::Snapshots => "EBS_SNAPSHOT",
        BinKind::Images => "EC2_IMAGE",
        BinKind::Volumes => "EBS_VOLUME",
    }
}

fn kind_of(request: &Value) -> Result<BinKind, Refusal> {
    match request["ResourceType"].as_str() {
        Some("EBS_SNAPSHOT") => Ok(BinKind::Snapshots),
        Some("EC2_IMAGE") => Ok(BinKind::Images),
        Some("EBS_VOLUME") => Ok(BinKind::Volumes),
        other => Err(invalid("INVALID_PARAMETER_VALUE", format!("ResourceType {other:?} is not known."))),
    }
}

fn list(all: &[BinRule], request: &Value) -> Result<Value, Refusal> {
    let keeps = kind_of(request)?;
    let most = match request["MaxResults"].as_i64() {
        None => 1000,
        Some(n @ 1..=1000) => usize::try_from(n).unwrap_or(1000),
        Some(n) => return Err(invalid("INVALID_PARAMETER_VALUE", format!("MaxResults {n} is not 1 to 1000."))),
    };
    let mut of: Vec<&BinRule> = all.iter().filter(|rule| rule.keeps == keeps).collect();
    of.sort_by(|a, b| a.id.cmp(&b.id));
    if let Some(token) = request["NextToken"].as_str() {
        if !of.iter().any(|rule| rule.id == token) {
            return Err(invalid("INVALID_PAGE_TOKEN", "The page token is not valid."));
        }
        of.retain(|rule| rule.id.as_str() > token);
    }
    let next = (of.len() > most).then(|| of[most - 1].id.clone());
    let rows: Vec<Value> = of.iter().take(most).map(|rule| summary(rule)).collect();
    let mut answer = json!({ "Rules": rows });
    if let Some(next) = next {
        answer["NextToken"] = next.into();
    }
    Ok(answer)
}

fn summary(rule: &BinRule) -> Value {
    json!({
        "Identifier": rule.id,
        "Description": rule.description,
        "RetentionPeriod": { "RetentionPeriodValue": rule.days, "RetentionPeriodUnit": "DAYS" },
        "LockState": "unlocked",
    })
}

fn whole(rule: &BinRule, caller: &Caller) -> Value {
    let tags = |tags: &[(String, Option<String>)]| -> Vec<Value> {
        let tag = |(key, value): &(String, Option<String>)| match value {
            Some(value) => json!({ "ResourceTagKey": key, "ResourceTagValue": value }),
            None => json!({ "ResourceTagKey": key }),
        };
        tags.iter().map(tag).collect()
    };
    let mut answer = summary(rule);
    answer["ResourceType"] = kind(rule.keeps).into();
    answer["ResourceTags"] = tags(&rule.tags).into();
    answer["ExcludeResourceTags"] = tags(&rule.except).into();
    answer["Status"] = "available".into();
    let arn = format!("arn:{}:rbin:{}:{}:rule/{}", caller.region.partition(), caller.region, caller.account, rule.id);
    answer["RuleArn"] = arn.into();
    answer
}

fn create(sandbox: &Sandbox, caller: &Caller, request: &Value) -> Result<Value, Refusal> {
    let keeps = kind_of(request)?;
    let days = request["RetentionPeriod"]["RetentionPeriodValue"].as_u64().and_then(|days| u32::try_from(days).ok());
    let most = if keeps == BinKind::Volumes { 7 } else { 365 };
    let Some(days) = days.filter(|days| (1..=most).contains(days)) else {
        return Err(invalid("INVALID_PARAMETER_VALUE", format!("RetentionPeriodValue is 1 to {most} days.")));
    };
    let tags = |name: &str| -> Vec<(String, Option<String>)> {
        let all = request[name].as_array().into_iter().flatten();
        all.filter_map(|tag| {
            let value = tag["ResourceTagValue"].as_str().filter(|value| !value.is_empty());
            Some((tag["ResourceTagKey"].as_str()?.to_owned(), value.map(str::to_owned)))
        })
        .collect()
    };
    let (tags, except) = (tags("ResourceTags"), tags("ExcludeResourceTags"));
    if !tags.is_empty() && !except.is_empty() {
        let message = "ResourceTags and ExcludeResourceTags exclude each other.";
        return Err(invalid("INVALID_PARAMETER_VALUE", message));
    }
    if rules(&sandbox.model(), caller).len() >= MOST_RULES {
        let message = "The limit of retention rules in this Region is reached.";
        return Err(Refusal::new(402, "ServiceQuotaExceededException", Some("SERVICE_QUOTA_EXCEEDED"), message));
    }
    let id = (0..11).map(|_| char::from(ID[fastrand::usize(..ID.len())])).collect();
    let description = request["Description"].as_str().unwrap_or_default().to_owned();
    let rule = BinRule { id, keeps, days, description, tags, except };
    change(sandbox, caller, |rules| rules.push(rule.clone()))?;
    Ok(whole(&rule, caller))
}

impl Sandbox {
    /// How long the bin keeps what is deleted now: the longest of the rules that match it.
    pub(super) fn stay(&self, caller: &Caller, keeps: BinKind, tags: &Tags) -> Option<InBin> {
        let entered = self.now();
        let days =
            rules(&self.model(), caller).iter().filter(|rule| rule.matches(keeps, tags)).map(|r| r.days).max()?;
        let exits = entered.checked_add(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(entered);
        Some(InBin { entered, exits })
    }

    /// Drops what the bin has kept long enough.
    pub(super) fn empty_bin(&self, caller: &Caller) -> io::Result<()> {
        let now: Timestamp = self.now();
        let (snapshots, images) = {
            let model = self.model();
            let Some(region) = model.region(&caller.account, &caller.region) else { return Ok(()) };
            let over = |stay: &InBin| stay.exits <= now;
            let snapshots = region.bin.iter().filter(|(_, (stay, _))| over(stay)).map(|(id, _)| id.clone());
            let images = region.images.values().filter(|image| image.binned.as_ref().is_some_and(over));
            (snapshots.collect::<Vec<_>>(), images.map(|image| image.id.clone()).collect::<Vec<ImageId>>())
        };
        for id in snapshots {
            self.remove_snapshot(&caller.account, &caller.region, &id)?;
        }
        for id in images {
            if let Some(region) = self.model_mut().region_mut(&caller.account, &caller.region)
                && let Some(image) = region.images.get_mut(&id)
            {
                image.binned = None;
            }
            self.save_image(&caller.account, &caller.region, &id)?;
        }
        Ok(())
    }

    /// Puts a deleted snapshot into the Recycle Bin.
    ///
    /// # Errors
    /// As [`Sandbox::save_snapshot`].
    pub fn bin_snapshot(&self, account: &AccountId, region: &Region, id: &SnapshotId, stay: InBin) -> io::Result<()> {
        let mut journal = lock(&self.journal);
        let found = self.model().region(account, region).and_then(|r| r.snapshots.get(id).cloned());
        let Some(snapshot) = found else { return Ok(()) };
        if let Content::Written(written) = &snapshot.content {
            written.seal();
        }
        journal.append(account, region, snapshot_line(snapshot, false, Some(stay)))?;
        if let Some(region) = self.model_mut().region_mut(account, region)
            && let Some(snapshot) = region.snapshots.remove(id)
        {
            region.bin.insert(id.clone(), (stay, snapshot));
        }
        Ok(())
    }

    /// Brings a snapshot back from the Recycle Bin.
    ///
    /// # Errors
    /// As [`Sandbox::save_snapshot`].
    pub fn unbin_snapshot(&self, account: &AccountId, region: &Region, id: &SnapshotId) -> io::Result<()> {
        if let Some(region) = self.model_mut().region_mut(account, region)
            && let Some((_, snapshot)) = region.bin.remove(id)
        {
            region.snapshots.insert(id.clone(), snapshot);
        }
        self.save_snapshot(account, region, id)
    }

    /// Removes a volume for good.
    ///
    /// # Errors
    /// As [`Sandbox::save_snapshot`].
    pub fn remove_volume(&self, account: &AccountId, region: &Region, id: &VolumeId) -> io::Result<()> {
        let mut journal = lock(&self.journal);
        journal.append(account, region, Change::VolumeGone(id.clone()))?;
        if let Some(region) = self.model_mut().region_mut(account, region) {
            region.volumes.remove(id);
        }
        Ok(())
    }
}
