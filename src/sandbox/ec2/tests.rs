//! EC2 asked in its own protocol on the built-in scenarios; what the SDK makes of the answers is tested in
//! `tests/it/sandbox_ec2.rs`.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::sandbox::Options;
use crate::sandbox::model::PublicSharing;
use crate::sandbox::scenario;
use crate::sandbox::xml::reader;

struct Client {
    sandbox: Sandbox,
    caller: Caller,
}

/// The built-in scenario `name`, asked by `profile` in `region`.
fn client(name: &str, profile: &str, region: &str) -> Client {
    let sandbox = Sandbox::with_model(&Options::default(), scenario::load(Some(Path::new(name))).unwrap()).unwrap();
    let keys = sandbox.profiles().into_iter().find(|keys| keys.name.as_str() == profile).unwrap();
    let caller = Caller {
        account: keys.account,
        region: region.parse().unwrap(),
        access_key: keys.access_key_id,
        request_id: "11111111-2222-3333-4444-555555555555".to_owned(),
    };
    Client { sandbox, caller }
}

impl Client {
    fn raw(&self, params: &[(&str, &str)]) -> (StatusCode, String) {
        let params: Vec<(String, String)> = params.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        handle(&self.sandbox, &self.caller, &params, None)
    }

    fn call(&self, action: &str, rest: &[(&str, &str)]) -> (StatusCode, String) {
        let mut params = vec![("Action", action), ("Version", "2016-11-15")];
        params.extend_from_slice(rest);
        self.raw(&params)
    }

    /// The texts at `tail` of an answer that must be a good one.
    fn get(&self, action: &str, rest: &[(&str, &str)], tail: &str) -> Vec<String> {
        let (status, body) = self.call(action, rest);
        assert_eq!(status, StatusCode::OK, "{body}");
        reader::all(&body, tail)
    }

    /// Status, code and message of an answer that must be a refusal, in EC2's form.
    fn refusal(&self, action: &str, rest: &[(&str, &str)]) -> (u16, String, String) {
        refusal(self.call(action, rest))
    }
}

fn refusal((status, body): (StatusCode, String)) -> (u16, String, String) {
    let leaves = reader::leaves(&body);
    let paths: Vec<&str> = leaves.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["Response/Errors/Error/Code", "Response/Errors/Error/Message", "Response/RequestID"], "{body}");
    (status.as_u16(), leaves[0].1.clone(), leaves[1].1.clone())
}

const DB: &str = "snap-01c55a9e07b3d2f48";
const WEB: &str = "snap-0f3c91d2a77b01e44";

#[test]
fn requests_pass_the_doors_in_order() {
    let prod = client("default", "prod", "us-east-1");
    let code = |params: &[(&str, &str)]| refusal(prod.raw(params)).1;
    assert_eq!(code(&[("Version", "2016-11-15")]), "MissingAction");
    assert_eq!(code(&[("Action", "DescribeRegions")]), "MissingParameter");
    assert_eq!(code(&[("Action", "DescribeRegions"), ("Version", "2014-01-01")]), "NoSuchVersion");
    let unknown = prod.refusal("DescribeUnicorns", &[]);
    assert_eq!(
        unknown,
        (400, "InvalidAction".into(), "The action DescribeUnicorns is not valid for this web service.".into())
    );
    assert_eq!(prod.refusal("DescribeRegions", &[("Regions.1", "x")]).1, "UnknownParameter");
    let closed = client("default", "prod", "me-south-1");
    assert_eq!(closed.refusal("DescribeRegions", &[]).1, "AuthFailure");
    let denied = client("denied", "prod", "eu-central-1").refusal("DescribeSnapshots", &[("Owner.1", "self")]);
    assert_eq!((denied.0, denied.1.as_str()), (403, "UnauthorizedOperation"));
    assert!(denied.2.contains("arn:aws:sts::123456789012:assumed-role/Developer/ops"), "{}", denied.2);
    assert!(
        denied.2.ends_with("ec2:DescribeSnapshots with an explicit deny in a service control policy"),
        "{}",
        denied.2
    );
}

#[test]
fn every_action_honours_a_dry_run() {
    let prod = client("default", "prod", "us-east-1");
    let images = prod.get("DescribeImages", &[("Owner.1", "self")], "imagesSet/item/imageId");
    let (image, gone) = (images[0].as_str(), images[1].as_str());
    // Two that a rule of the Recycle Bin keeps.
    prod.get("DeleteSnapshot", &[("SnapshotId", "snap-0feed000000e00000")], "return");
    prod.get("DeregisterImage", &[("ImageId", gone)], "return");
    for (action, _) in ACTIONS {
        let rest: &[(&str, &str)] = match action {
            "DeleteSnapshot" => &[("SnapshotId", WEB)],
            "CreateSnapshot" | "DeleteVolume" => &[("VolumeId", "vol-04be9921d7c36f08a")],
            "RestoreSnapshotFromRecycleBin" => &[("SnapshotId", "snap-0feed000000e00000")],
            "RestoreImageFromRecycleBin" => &[("ImageId", gone)],
            "DescribeSnapshotAttribute" => &[("SnapshotId", WEB), ("Attribute", "createVolumePermission")],
            "CopySnapshot" => &[("SourceRegion", "us-east-1"), ("SourceSnapshotId", WEB)],
            "CopyImage" => &[("SourceRegion", "us-east-1"), ("SourceImageId", image), ("Name", "copied")],
            "DeregisterImage" => &[("ImageId", image)],
            "DescribeImageAttribute" => &[("ImageId", image), ("Attribute", "launchPermission")],
            "DescribeLaunchTemplateVersions" => &[("LaunchTemplateVersion.1", "$Latest")],
            "CreateTags" => &[("ResourceId.1", WEB), ("Tag.1.Key", "k"), ("Tag.1.Value", "v")],
            "DeleteTags" => &[("ResourceId.1", WEB), ("Tag.1.Key", "k")],
            _ => &[],
        };
        let mut rest = rest.to_vec();
        rest.push(("DryRun", "true"));
        let (status, code, message) = prod.refusal(action, &rest);
        assert_eq!((status, code.as_str()), (412, "DryRunOperation"), "{action}: {message}");
    }
    let ids = prod.get("DescribeSnapshots", &[("SnapshotId.1", WEB)], "snapshotSet/item/snapshotId");
    assert_eq!(ids, [WEB], "a dry run deletes nothing");
    let bin = prod.get("ListSnapshotsInRecycleBin", &[], "snapshotSet/item/snapshotId");
    assert_eq!(bin, ["snap-0feed000000e00000"], "and brings nothing back");
}

#[test]
fn regions_and_zones() {
    let prod = client("default", "prod", "us-east-1");
    assert_eq!(prod.get("DescribeRegions", &[], "regionName").len(), 6);
    assert_eq!(prod.get("DescribeRegions", &[("AllRegions", "true")], "regionName").len(), 8);
    let closed = [("AllRegions", "true"), ("Filter.1.Name", "opt-in-status"), ("Filter.1.Value.1", "not-opted-in")];
    assert_eq!(prod.get("DescribeRegions", &closed, "regionName"), ["af-south-1", "me-south-1"]);
    let one = prod.get("DescribeRegions", &[("RegionName.1", "eu-west-1")], "regionEndpoint");
    assert_eq!(one, ["ec2.eu-west-1.amazonaws.com"]);
    assert_eq!(prod.refusal("DescribeRegions", &[("RegionName.1", "mars-1")]).1, "InvalidParameterValue");
    assert_eq!(
        prod.get("DescribeAvailabilityZones", &[], "zoneId"),
        ["use1-az1", "use1-az2", "use1-az3", "use1-az4", "use1-az6"]
    );
    let one = prod.get("DescribeAvailabilityZones", &[("ZoneName.1", "us-east-1b")], "zoneName");
    assert_eq!(one, ["us-east-1b"]);
}

#[test]
fn pages_of_snapshots_hold_each_one_once() {
    let prod = client("default", "prod", "us-east-1");
    let whole = prod.get("DescribeSnapshots", &[("Owner.1", "self")], "snapshotSet/item/snapshotId");
    for size in ["5", "17", "1000"] {
        let (mut seen, mut token) = (Vec::new(), None::<String>);
        loop {
            let mut params = vec![("Owner.1", "self"), ("MaxResults", size)];
            params.extend(token.as_deref().map(|token| ("NextToken", token)));
            let (status, body) = prod.call("DescribeSnapshots", &params);
            assert_eq!(status, StatusCode::OK, "{body}");
            let page = reader::all(&body, "snapshotSet/item/snapshotId");
            assert!(page.len() <= size.parse().unwrap());
            seen.extend(page);
            token = reader::all(&body, "DescribeSnapshotsResponse/nextToken").pop();
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, whole, "pages of {size}");
    }
    assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), whole.len());
    let with_ids = prod.refusal("DescribeSnapshots", &[("SnapshotId.1", WEB), ("MaxResults", "10")]);
    assert_eq!(with_ids.1, "InvalidParameterCombination");
    assert_eq!(prod.refusal("DescribeSnapshots", &[("MaxResults", "4")]).1, "InvalidParameterValue");
    assert_eq!(prod.refusal("DescribeSnapshots", &[("NextToken", "no")]).1, "InvalidParameterValue");
}

#[test]
fn owners_and_restorers_decide_what_is_seen() {
    let prod = client("default", "prod", "us-east-1");
    let owners = |client: &Client, rest: &[(&str, &str)]| {
        client.get("DescribeSnapshots", rest, "item/ownerId").into_iter().collect::<BTreeSet<_>>()
    };
    assert_eq!(owners(&prod, &[]), BTreeSet::from(["123456789012".into(), "137112412989".into()]), "public ones too");
    assert_eq!(owners(&prod, &[("Owner.1", "self")]), BTreeSet::from(["123456789012".into()]));
    assert_eq!(owners(&prod, &[("Owner.1", "amazon")]), BTreeSet::from(["137112412989".into()]));
    assert_eq!(owners(&prod, &[("Owner.1", "998877665544")]), BTreeSet::new(), "another's own are not seen");
    let dr = client("default", "dr", "us-east-1");
    let shared = dr.get("DescribeSnapshots", &[("Owner.1", "123456789012")], "snapshotSet/item/snapshotId");
    assert_eq!(shared, ["snap-01b7e2d90c4418a3f"]);
    let restorable = [("Owner.1", "self"), ("RestorableBy.1", "998877665544")];
    assert_eq!(prod.get("DescribeSnapshots", &restorable, "snapshotSet/item/snapshotId"), shared);
    assert!(prod.get("DescribeSnapshots", &[("Owner.1", "self"), ("RestorableBy.1", "all")], "snapshotId").is_empty());
    assert_eq!(prod.refusal("DescribeSnapshots", &[("Owner.1", "me")]).1, "InvalidUserID.Malformed");
    let hidden = dr.refusal("DescribeSnapshots", &[("SnapshotId.1", WEB)]);
    assert_eq!(hidden, (400, "InvalidSnapshot.NotFound".into(), format!("The snapshot '{WEB}' does not exist.")));
    for wrong in ["snap-1", "vol-0b77e1c2", "SNAP-0f3c91d2a77b01e44"] {
        assert_eq!(prod.refusal("DescribeSnapshots", &[("SnapshotId.1", wrong)]).1, "InvalidSnapshotID.Malformed");
    }
}

#[test]
fn snapshots_carry_what_the_api_documents() {
    let prod = client("default", "prod", "us-east-1");
    let (_, body) = prod.call("DescribeSnapshots", &[("SnapshotId.1", DB)]);
    let one = |name: &str| reader::all(&body, &format!("item/{name}")).pop();
    assert_eq!(one("volumeSize").as_deref(), Some("16384"));
    assert_eq!(one("fullSnapshotSizeInBytes"), Some((31_318_565_u64 * 524_288).to_string()));
    assert_eq!((one("status").as_deref(), one("progress").as_deref()), (Some("completed"), Some("100%")));
    assert_eq!((one("encrypted").as_deref(), one("storageTier").as_deref()), (Some("true"), Some("standard")));
    assert!(one("kmsKeyId").is_some_and(|key| key.starts_with("arn:aws:kms:us-east-1:123456789012:key/")));
    assert!(one("dataEncryptionKeyId").is_some() && one("completionTime").is_some());
    assert_eq!((one("transferType"), one("statusMessage"), one("ownerAlias")), (None, None, None));
    assert!(reader::all(&body, "tagSet/item/value").contains(&"db-data".to_owned()));
    let west = client("default", "prod", "us-west-2");
    let (_, body) = west.call("DescribeSnapshots", &[("SnapshotId.1", "snap-0e07f5b8829ac3d16")]);
    assert_eq!(reader::all(&body, "item/progress"), ["63%"]);
    assert!(
        reader::all(&body, "fullSnapshotSizeInBytes").is_empty() && reader::all(&body, "completionTime").is_empty()
    );
    assert!(!body.contains("tagSet"), "no tags, no set");
    let failed = [("Filter.1.Name", "status"), ("Filter.1.Value.1", "error")];
    let south = client("default", "prod", "sa-east-1");
    assert_eq!(south.get("DescribeSnapshots", &failed, "item/statusMessage").len(), 1);
}

#[test]
fn filters_of_snapshots() {
    let prod = client("default", "prod", "us-east-1");
    let count = |filters: &[(&str, &str)]| {
        let mut params = vec![("Owner.1".to_owned(), "self".to_owned())];
        for (n, (name, value)) in filters.iter().enumerate() {
            params.push((format!("Filter.{}.Name", n + 1), (*name).to_owned()));
            params.push((format!("Filter.{}.Value.1", n + 1), (*value).to_owned()));
        }
        let params: Vec<(&str, &str)> = params.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        prod.get("DescribeSnapshots", &params, "snapshotSet/item/snapshotId").len()
    };
    assert_eq!(count(&[("tag:Name", "db-*")]), 5);
    assert_eq!(count(&[("tag:Name", "db-*"), ("volume-size", "16384")]), 4);
    assert_eq!(count(&[("volume-id", "vol-0b77e1c2"), ("encrypted", "true")]), 4);
    assert_eq!(count(&[("encrypted", "false"), ("volume-id", "vol-0b77e1c2")]), 0);
    assert_eq!(count(&[("tag-key", "velero.io/backup")]), 24);
    assert_eq!(count(&[("description", "golden image*")]), 1);
    assert_eq!(count(&[("snapshot-id", "snap-0feed*")]), 8);
    assert_eq!(count(&[("progress", "100%")]), count(&[("status", "completed")]));
    assert_eq!(count(&[("start-time", "20??-*")]), count(&[("owner-id", "123456789012")]));
    assert_eq!(count(&[("storage-tier", "archive")]) + count(&[("transfer-type", "time-based")]), 0);
    let unknown = prod.refusal("DescribeSnapshots", &[("Filter.1.Name", "colour"), ("Filter.1.Value.1", "red")]);
    assert_eq!(unknown, (400, "InvalidParameterValue".into(), "The filter 'colour' is invalid".into()));
    let ireland = client("default", "prod", "eu-west-1");
    let copies = [("Filter.1.Name", "transfer-type"), ("Filter.1.Value.1", "time-based")];
    assert_eq!(ireland.get("DescribeSnapshots", &copies, "snapshotSet/item/snapshotId").len(), 7);
}

#[test]
fn every_filter_that_is_known_finds_something() {
    for (action, known, tail) in [
        ("DescribeSnapshots", snapshots::FILTERS, "snapshotSet/item/snapshotId"),
        ("DescribeVolumes", volumes::FILTERS, "volumeSet/item/volumeId"),
        ("DescribeImages", images::FILTERS, "imagesSet/item/imageId"),
        ("DescribeInstances", instances::FILTERS, "instancesSet/item/instanceId"),
    ] {
        let places = ["us-east-1", "eu-west-1"].map(|region| client("default", "prod", region));
        for name in known.iter().filter(|name| **name != "platform") {
            let filter = [("Filter.1.Name", *name), ("Filter.1.Value.1", "*")];
            assert!(places.iter().any(|place| !place.get(action, &filter, tail).is_empty()), "{action} {name}");
            let none = [("Filter.1.Name", *name), ("Filter.1.Value.1", "no such value")];
            assert!(places.iter().all(|place| place.get(action, &none, tail).is_empty()), "{action} {name}");
        }
    }
}

#[test]
fn volumes_instances_and_images_answer_each_other() {
    let prod = client("default", "prod", "us-east-1");
    let instance = prod.get(
        "DescribeInstances",
        &[("Filter.1.Name", "tag:Name"), ("Filter.1.Value.1", "web-1")],
        "instancesSet/item/instanceId",
    );
    let attached = [("Filter.1.Name", "attachment.instance-id"), ("Filter.1.Value.1", instance[0].as_str())];
    let volumes = prod.get("DescribeVolumes", &attached, "volumeSet/item/volumeId");
    assert_eq!(volumes.len(), 2);
    let mapped =
        prod.get("DescribeInstances", &[("InstanceId.1", &instance[0])], "blockDeviceMapping/item/ebs/volumeId");
    assert_eq!(mapped.iter().collect::<BTreeSet<_>>(), volumes.iter().collect());
    let image = prod.get("DescribeInstances", &[("InstanceId.1", &instance[0])], "instancesSet/item/imageId");
    let of_web = [("Filter.1.Name", "block-device-mapping.snapshot-id"), ("Filter.1.Value.1", WEB)];
    assert_eq!(prod.get("DescribeImages", &of_web, "imagesSet/item/imageId"), image);
    assert_eq!(prod.refusal("DescribeVolumes", &[("VolumeId.1", "vol-00000000")]).1, "InvalidVolume.NotFound");
    assert_eq!(prod.refusal("DescribeInstances", &[("InstanceId.1", "i-00000000")]).1, "InvalidInstanceID.NotFound");
    assert_eq!(prod.refusal("DescribeImages", &[("ImageId.1", "ami-00000000")]).1, "InvalidAMIID.NotFound");
    assert_eq!(prod.refusal("DescribeInstances", &[("MaxResults", "1001")]).1, "InvalidParameterValue");
}

#[test]
fn disabled_images_hide_and_public_ones_do_not() {
    let prod = client("default", "prod", "us-east-1");
    let names = |rest: &[(&str, &str)]| prod.get("DescribeImages", rest, "imagesSet/item/name");
    let own = names(&[("Owner.1", "self")]);
    assert_eq!(own.len(), 7);
    assert!(own.contains(&"web-v20".to_owned()), "an owner sees its deprecated ones");
    assert!(!own.contains(&"db-golden".to_owned()) && !own.iter().any(|name| name.starts_with("web-v1")));
    let all = names(&[("Owner.1", "self"), ("IncludeDisabled", "true")]);
    assert!(all.contains(&"db-golden".to_owned()));
    assert_eq!(names(&[("Owner.1", "amazon")]).len(), 3);
    assert_eq!(names(&[("ExecutableBy.1", "all")]).len(), 3);
    let dr = client("default", "dr", "us-east-1");
    assert_eq!(dr.get("DescribeImages", &[], "imagesSet/item/name").len(), 3, "nothing of prod's");
    let (_, first) = prod.call("DescribeImages", &[("Owner.1", "self"), ("MaxResults", "4")]);
    let token = reader::all(&first, "DescribeImagesResponse/nextToken").remove(0);
    let rest = [("Owner.1", "self"), ("MaxResults", "4"), ("NextToken", token.as_str())];
    assert_eq!(reader::all(&first, "imagesSet/item/name").len() + names(&rest).len(), 7);
}

#[test]
fn settings_of_encryption() {
    let prod = client("default", "prod", "us-east-1");
    assert_eq!(prod.get("GetEbsEncryptionByDefault", &[], "ebsEncryptionByDefault"), ["true"]);
    assert!(prod.get("GetEbsDefaultKmsKeyId", &[], "kmsKeyId")[0].starts_with("arn:aws:kms:us-east-1:"));
    let west = client("default", "prod", "us-west-2");
    assert_eq!(west.get("GetEbsEncryptionByDefault", &[], "ebsEncryptionByDefault"), ["false"]);
    assert_eq!(west.get("GetEbsDefaultKmsKeyId", &[], "kmsKeyId"), ["alias/aws/ebs"]);
}

#[test]
fn what_was_made_public_is_private_where_all_public_sharing_is_blocked() {
    let prod = client("default", "prod", "us-east-1");
    let west = client("default", "prod", "us-west-2");
    let state = "GetSnapshotBlockPublicAccessState";
    assert_eq!(prod.get(state, &[], &format!("{state}Response/state")), ["block-all-sharing"]);
    assert_eq!(west.get(state, &[], &format!("{state}Response/state")), ["unblocked"]);
    let amazons = [("Owner.1", "amazon"), ("RestorableBy.1", "all")];
    assert!(!prod.get("DescribeSnapshots", &amazons, "snapshotId").is_empty(), "others' settings count for others");
    let block = |sharing| {
        let mut model = prod.sandbox.model_mut();
        let all = model.accounts.values_mut().filter_map(|account| account.regions.get_mut(&prod.caller.region));
        all.for_each(|region| region.settings.public_sharing = sharing);
    };
    block(PublicSharing::BlockNewSharing);
    assert!(!prod.get("DescribeSnapshots", &amazons, "snapshotId").is_empty(), "what is public stays so");
    block(PublicSharing::BlockAllSharing);
    assert!(prod.get("DescribeSnapshots", &amazons, "snapshotId").is_empty());
    assert!(prod.get("DescribeSnapshots", &[("Owner.1", "amazon")], "snapshotId").is_empty(), "not seen at all");
}

#[test]
fn tags_are_put_on_everything_that_exists_or_on_nothing() {
    let prod = client("default", "prod", "us-east-1");
    let tag = [("Tag.1.Key", "note"), ("Tag.1.Value", "a&b <c>")];
    let mut both = vec![("ResourceId.1", WEB), ("ResourceId.2", "vol-00000000")];
    both.extend(tag);
    assert_eq!(prod.refusal("CreateTags", &both).1, "InvalidVolume.NotFound");
    let noted = [("Filter.1.Name", "tag:note"), ("Filter.1.Value.1", "a&b*")];
    assert!(prod.get("DescribeSnapshots", &noted, "snapshotId").is_empty(), "all or nothing");
    both[1] = ("ResourceId.2", "vol-04be9921d7c36f08a");
    assert_eq!(prod.get("CreateTags", &both, "return"), ["true"]);
    assert_eq!(prod.get("DescribeSnapshots", &noted, "snapshotSet/item/snapshotId"), [WEB], "not its whole chain");
    assert_eq!(prod.get("DescribeVolumes", &noted, "volumeSet/item/volumeId"), ["vol-04be9921d7c36f08a"]);
    // Taken off again: only where the value is the one that is named.
    let off = |rest: &[(&str, &str)]| {
        let of = [("ResourceId.1", WEB), ("Tag.1.Key", "note")];
        assert_eq!(prod.get("DeleteTags", &[&of[..], rest].concat(), "return"), ["true"]);
        prod.get("DescribeSnapshots", &noted, "snapshotSet/item/snapshotId").len()
    };
    assert_eq!(off(&[("Tag.1.Value", "another")]), 1);
    assert_eq!((off(&[]), prod.get("DescribeVolumes", &noted, "volumeSet/item/volumeId").len()), (0, 1));
    assert_eq!(prod.refusal("DeleteTags", &[("ResourceId.1", "snap-00000000")]).1, "InvalidSnapshot.NotFound");
    assert_eq!(prod.refusal("DeleteTags", &[("ResourceId.1", WEB), ("Tag.1.Key", "aws:x")]).1, "InvalidParameterValue");
    let refused = |key: &str, value: &str| {
        prod.refusal("CreateTags", &[("ResourceId.1", WEB), ("Tag.1.Key", key), ("Tag.1.Value", value)]).1
    };
    assert_eq!(refused("AWS:mine", "x"), "InvalidParameterValue");
    assert_eq!(refused(&"k".repeat(129), "x"), "InvalidParameterValue");
    assert_eq!(refused("k", &"v".repeat(257)), "InvalidParameterValue");
    assert_eq!(prod.refusal("CreateTags", &[("ResourceId.1", "eni-1"), tag[0], tag[1]]).1, "InvalidID");
    assert_eq!(prod.refusal("CreateTags", &[("ResourceId.1", WEB)]).1, "MissingParameter");
    let keys: Vec<(String, String)> = (1..=51).map(|n| (format!("Tag.{n}.Key"), format!("k{n}"))).collect();
    let mut many: Vec<(&str, &str)> = keys.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    many.push(("ResourceId.1", WEB));
    assert_eq!(prod.refusal("CreateTags", &many).1, "TagLimitExceeded");
}

#[test]
fn deleting_is_refused_where_something_holds_the_snapshot() {
    let prod = client("default", "prod", "us-east-1");
    let delete = |id: &str| prod.refusal("DeleteSnapshot", &[("SnapshotId", id)]);
    let held = delete(DB);
    assert_eq!(held.1, "InvalidSnapshot.InUse", "a disabled image holds it, too");
    assert_eq!(held.2, format!("The snapshot {DB} is currently in use by ami-0c1d4e8855b0f77a2"));
    let managed = [("Filter.1.Name", "tag-key"), ("Filter.1.Value.1", "aws:backup:source-resource")];
    let backup = prod.get("DescribeSnapshots", &managed, "snapshotSet/item/snapshotId").remove(0);
    let refused = delete(&backup);
    assert_eq!(refused.1, "InvalidParameterValue");
    assert!(refused.2.starts_with("This snapshot is managed by the AWS Backup service"), "{}", refused.2);
    assert_eq!(prod.refusal("DeleteSnapshot", &[]).1, "MissingParameter");
    assert_eq!(delete("snap-00000000").1, "InvalidSnapshot.NotFound");
    let small = "snap-0feed000000f00101";
    assert_eq!(prod.get("DeleteSnapshot", &[("SnapshotId", small)], "return"), ["true"]);
    assert_eq!(delete(small).1, "InvalidSnapshot.NotFound");
    let dr = client("default", "dr", "us-east-1");
    let foreign = dr.refusal("DeleteSnapshot", &[("SnapshotId", "snap-01b7e2d90c4418a3f")]);
    assert_eq!((foreign.0, foreign.1.as_str()), (403, "UnauthorizedOperation"), "shared is not owned");
}

#[test]
fn sharing_is_told_to_the_owner_only() {
    let prod = client("default", "prod", "us-east-1");
    let ask = [("SnapshotId", "snap-01b7e2d90c4418a3f"), ("Attribute", "createVolumePermission")];
    assert_eq!(prod.get("DescribeSnapshotAttribute", &ask, "createVolumePermission/item/userId"), ["998877665544"]);
    let dr = client("default", "dr", "us-east-1");
    assert_eq!(dr.refusal("DescribeSnapshotAttribute", &ask).1, "UnauthorizedOperation");
    let wrong = [("SnapshotId", WEB), ("Attribute", "colour")];
    assert_eq!(prod.refusal("DescribeSnapshotAttribute", &wrong).1, "InvalidParameterValue");
}

#[test]
fn two_hundred_thousand_snapshots_are_served_in_pages() {
    let fleet = client("huge", "fleet", "us-east-1");
    let (mut seen, mut token, mut pages) = (0, None::<String>, 0);
    loop {
        let mut params = vec![("Owner.1", "self"), ("MaxResults", "1000")];
        let filter = [("Filter.1.Name", "tag:env"), ("Filter.1.Value.1", "stage")];
        params.extend(filter);
        params.extend(token.as_deref().map(|token| ("NextToken", token)));
        let (status, body) = fleet.call("DescribeSnapshots", &params);
        assert_eq!(status, StatusCode::OK);
        seen += body.matches("<snapshotId>").count();
        pages += 1;
        token = body.split_once("<nextToken>").and_then(|(_, rest)| rest.split_once('<')).map(|(t, _)| t.to_owned());
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen, 250 * 40);
    assert!(pages > 10, "a page of filtered rows looks at a bounded number of rows: {pages}");
}
