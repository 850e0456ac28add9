//! `CreateTags` and `DeleteTags`: on anything that exists, all or nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::query::Query;
use super::{Ask, Fault, ids};
use crate::ids::{ImageId, InstanceId, SnapshotId, VolumeId};
use crate::sandbox::model::{RegionState, Tags};

/// EC2's limits.
const MAX_TAGS: usize = 50;
const MAX_RESOURCES: usize = 1000;
const MAX_KEY: usize = 128;
const MAX_VALUE: usize = 256;
const MAX_SPECIFICATIONS: usize = 4;

/// Adds tags to resources, overwriting the values of keys that they have.
pub fn create(ask: &Ask<'_>) -> Result<String, Fault> {
    let resources = resources(ask)?;
    let tags = ask.query.tags("Tag")?;
    check(&tags)?;
    {
        let mut model = ask.sandbox.model_mut();
        let region = model.region_mut(&ask.caller.account, &ask.caller.region).ok_or_else(Fault::auth_failure)?;
        for resource in &resources {
            let on = tags_of(region, resource)?;
            // The service's own tags do not count.
            let keys: BTreeSet<&str> = on.keys().map(String::as_str).chain(tags.iter().map(|(key, _)| *key)).collect();
            if keys.iter().filter(|key| !key.starts_with("aws:")).count() > MAX_TAGS {
                let message = "The maximum number of Tags for a resource has been reached.";
                return Err(Fault::bad("TagLimitExceeded", message));
            }
        }
        ask.ready()?;
        for resource in &resources {
            let on = Arc::make_mut(tags_of(region, resource)?);
            on.extend(tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        }
    }
    save(ask, &resources)?;
    Ok(ask.answer("CreateTags", |xml| xml.text("return", true)))
}

/// Takes tags off resources: a key with its value only where that is its value, a key alone whatever it is, and
/// without any key all but the service's own.
pub fn delete(ask: &Ask<'_>) -> Result<String, Fault> {
    let resources = resources(ask)?;
    let mut wanted = Vec::new();
    for number in ask.query.numbers("Tag") {
        let key = ask.query.required(&format!("Tag.{number}.Key"))?;
        if is_of_the_service(key) {
            let message = "Tag keys starting with 'aws:' are reserved for internal use";
            return Err(Fault::bad("InvalidParameterValue", message));
        }
        wanted.push((key, ask.query.text(&format!("Tag.{number}.Value"))));
    }
    {
        let mut model = ask.sandbox.model_mut();
        let region = model.region_mut(&ask.caller.account, &ask.caller.region).ok_or_else(Fault::auth_failure)?;
        for resource in &resources {
            tags_of(region, resource)?;
        }
        ask.ready()?;
        let goes = |key: &str, value: &str| {
            let named = wanted.iter().any(|(name, of)| *name == key && of.is_none_or(|of| of == value));
            named || wanted.is_empty() && !is_of_the_service(key)
        };
        for resource in &resources {
            Arc::make_mut(tags_of(region, resource)?).retain(|key, value| !goes(key, value));
        }
    }
    save(ask, &resources)?;
    Ok(ask.answer("DeleteTags", |xml| xml.text("return", true)))
}

fn resources<'a>(ask: &Ask<'a>) -> Result<Vec<&'a str>, Fault> {
    let resources = ask.query.list("ResourceId");
    if resources.is_empty() {
        return Err(Fault::missing("ResourceIdSet"));
    }
    if resources.len() > MAX_RESOURCES {
        let message = format!("The maximum number of resources in one call is {MAX_RESOURCES}");
        return Err(Fault::bad("InvalidParameterValue", message));
    }
    Ok(resources)
}

fn save(ask: &Ask<'_>, resources: &[&str]) -> Result<(), Fault> {
    for resource in resources {
        let (account, region) = (&ask.caller.account, &ask.caller.region);
        let saved = match resource.parse::<SnapshotId>() {
            Ok(snapshot) => ask.sandbox.save_snapshot(account, region, &snapshot),
            Err(_) => ask.sandbox.save_tags(account, region, resource),
        };
        saved.map_err(|cause| Fault::internal(&cause))?;
    }
    Ok(())
}

fn is_of_the_service(key: &str) -> bool {
    key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"))
}

/// The tags that `TagSpecification.N` gives to what is made, of one kind; other kinds of `TagSpecification` must be read too.
pub fn specified(query: &Query<'_>, kind: &str) -> Result<Tags, Fault> {
    let mut all = std::collections::BTreeMap::new();
    for number in 1..=MAX_SPECIFICATIONS {
        let prefix = format!("TagSpecification.{number}");
        let Some(of) = query.text(&format!("{prefix}.ResourceType")) else { continue };
        let tags = query.tags(&format!("{prefix}.Tag"))?;
        if !matches!(of, "snapshot" | "image") {
            let message = format!("'{of}' is not a valid taggable resource type for this operation.");
            return Err(Fault::bad("InvalidParameterValue", message));
        }
        if of == kind {
            check(&tags)?;
            all.extend(tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        }
    }
    if all.len() > MAX_TAGS {
        return Err(Fault::bad("TagLimitExceeded", "The maximum number of Tags for a resource has been reached."));
    }
    Ok(Arc::new(all))
}

fn check(tags: &[(&str, &str)]) -> Result<(), Fault> {
    if tags.is_empty() {
        return Err(Fault::missing("TagSet"));
    }
    let mut seen = BTreeSet::new();
    for (key, value) in tags {
        if is_of_the_service(key) {
            let message = "Tag keys starting with 'aws:' are reserved for internal use";
            return Err(Fault::bad("InvalidParameterValue", message));
        }
        if key.chars().count() > MAX_KEY {
            return Err(Fault::bad("InvalidParameterValue", "Tag key exceeds the maximum length of 128 characters"));
        }
        if value.chars().count() > MAX_VALUE {
            return Err(Fault::bad("InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters"));
        }
        if !seen.insert(key) {
            let message = format!("Duplicate tag key '{key}' specified.");
            return Err(Fault::bad("InvalidParameterValue", message));
        }
    }
    Ok(())
}

/// The tags of a resource of the caller's own.
fn tags_of<'m>(region: &'m mut RegionState, resource: &str) -> Result<&'m mut Tags, Fault> {
    fn one<T: std::str::FromStr>(text: &str, code: &'static str, prefix: &str) -> Result<T, Fault> {
        ids::<T>(&[text], code, prefix).map(|mut found| found.remove(0))
    }
    let (found, code, kind) = match resource.split('-').next() {
        Some("snap") => {
            let id: SnapshotId = one(resource, "InvalidSnapshotID.Malformed", "snap")?;
            (region.snapshots.get_mut(&id).map(|row| &mut row.tags), "InvalidSnapshot.NotFound", "snapshot")
        }
        Some("vol") => {
            let id: VolumeId = one(resource, "InvalidVolumeID.Malformed", "vol")?;
            (region.volumes.get_mut(&id).map(|row| &mut row.tags), "InvalidVolume.NotFound", "volume")
        }
        Some("ami") => {
            let id: ImageId = one(resource, "InvalidAMIID.Malformed", "ami")?;
            (region.images.get_mut(&id).map(|row| &mut row.tags), "InvalidAMIID.NotFound", "image")
        }
        Some("i") => {
            let id: InstanceId = one(resource, "InvalidInstanceID.Malformed", "i")?;
            (region.instances.get_mut(&id).map(|row| &mut row.tags), "InvalidInstanceID.NotFound", "instance")
        }
        _ => return Err(Fault::bad("InvalidID", format!("The ID '{resource}' is not valid"))),
    };
    found.ok_or_else(|| Fault::bad(code, format!("The {kind} '{resource}' does not exist.")))
}
