//! `floe iam VERB`: the least policy that a verb needs, made from one table.
//!
//! The table names what each verb calls and why; the policy is what is left when the rows of other verbs are
//! dropped. EBS direct knows snapshots as `arn:…:ec2:REGION::snapshot/ID`; lists of EC2 know no resources.

use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::say;
use crate::error::{Error, Result};

/// A verb that calls AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Need {
    /// `floe ls`
    Ls,
    /// `floe size`
    Size,
    /// `floe size --frees`
    Frees,
    /// `floe inspect`
    Inspect,
    /// `floe plan`
    Plan,
    /// `floe copy` and `floe jobs resume`
    Copy,
    /// `floe verify`
    Verify,
    /// `floe delete`
    Delete,
    /// `floe restore`
    Restore,
    /// `floe orphans`
    Orphans,
    /// `floe prices --live`
    Prices,
    /// `floe doctor`: what it looks at
    Doctor,
    /// The deck: all of the above
    Deck,
}

/// One line of the table.
struct Row {
    sid: &'static str,
    verbs: &'static [Need],
    actions: &'static [&'static str],
    on: On,
}

/// What a statement is about.
#[derive(Clone, Copy)]
enum On {
    /// EC2's lists and the like, which know no resources.
    Everything,
    /// Snapshots of any region, of the account or shared with it.
    Snapshots,
    /// What floe itself has made: its tag says so.
    OwnSnapshots,
    /// Images and the snapshots that they are made of.
    Images,
    /// Images that floe itself had made.
    OwnImages,
    /// Snapshots, volumes and images.
    Removable,
    /// Rules of the Recycle Bin.
    BinRules,
    /// Keys, used through EC2 and EBS only.
    Keys,
    /// Grants on keys, for AWS resources only.
    Grants,
    /// Buckets of archives.
    Buckets,
    /// Objects of archives.
    Objects,
}

use Need::{Copy as CopyVerb, Deck, Delete, Doctor, Frees, Inspect, Ls, Orphans, Plan, Prices, Restore, Size, Verify};

const TABLE: &[Row] = &[
    Row {
        sid: "WhoAmI",
        verbs: &[Ls, Size, Frees, Inspect, Plan, CopyVerb, Verify, Delete, Restore, Orphans, Prices, Doctor, Deck],
        actions: &["sts:GetCallerIdentity"],
        on: On::Everything,
    },
    Row {
        sid: "FindSnapshots",
        verbs: &[Ls, Size, Frees, Inspect, Plan, CopyVerb, Verify, Delete, Restore, Orphans, Doctor, Deck],
        actions: &["ec2:DescribeRegions", "ec2:DescribeSnapshots"],
        on: On::Everything,
    },
    Row {
        sid: "ListOtherThings",
        verbs: &[Ls, Delete, Orphans, Doctor, Deck],
        actions: &["ec2:DescribeImages", "ec2:DescribeInstances", "ec2:DescribeVolumes"],
        on: On::Everything,
    },
    Row {
        sid: "SeeWhatUsesThem",
        verbs: &[Orphans, Delete, Deck],
        actions: &[
            "ec2:DescribeFastSnapshotRestores",
            "ec2:DescribeImageAttribute",
            "ec2:DescribeImageReferences",
            "ec2:DescribeLaunchTemplateVersions",
            "ec2:DescribeLaunchTemplates",
            "ec2:DescribeLockedSnapshots",
            "ec2:DescribeSnapshotAttribute",
            "ec2:DescribeSnapshotTierStatus",
            "ec2:ListImagesInRecycleBin",
            "ec2:ListSnapshotsInRecycleBin",
        ],
        on: On::Everything,
    },
    // EC2 looks into these on the caller's behalf when it is asked what refers to an image.
    Row {
        sid: "SeeWhatRefersToImages",
        verbs: &[Orphans, Delete, Deck],
        actions: &[
            "imagebuilder:GetContainerRecipe",
            "imagebuilder:ListContainerRecipes",
            "imagebuilder:ListImageRecipes",
            "ssm:DescribeParameters",
            "ssm:GetParameters",
        ],
        on: On::Everything,
    },
    Row {
        sid: "KnowDefaultsAndQuotas",
        verbs: &[Plan, CopyVerb, Doctor, Deck],
        actions: &[
            "ec2:GetEbsDefaultKmsKeyId",
            "ec2:GetEbsEncryptionByDefault",
            "servicequotas:GetAWSDefaultServiceQuota",
            "servicequotas:GetServiceQuota",
        ],
        on: On::Everything,
    },
    // The deck tells them of the region under its cursor, and says where it may not.
    Row {
        sid: "KnowTheRegion",
        verbs: &[Deck],
        actions: &["ec2:GetSnapshotBlockPublicAccessState", "rbin:GetRule", "rbin:ListRules"],
        on: On::Everything,
    },
    Row {
        sid: "KnowWhatRemovingFrees",
        verbs: &[Frees, Deck],
        actions: &["ec2:DescribeVolumes", "ec2:ListSnapshotsInRecycleBin", "rbin:GetRule", "rbin:ListRules"],
        on: On::Everything,
    },
    // Without them plans say so, and go by the bundled table and the other bounds.
    Row { sid: "ReadPrices", verbs: &[Plan, CopyVerb, Prices], actions: &["pricing:GetProducts"], on: On::Everything },
    Row { sid: "ReadTheBill", verbs: &[Prices, Deck], actions: &["ce:GetCostAndUsage"], on: On::Everything },
    Row {
        sid: "KnowTheInstance",
        verbs: &[Plan, CopyVerb, Deck],
        actions: &["ec2:DescribeInstanceTypes"],
        on: On::Everything,
    },
    Row { sid: "CheckLineageOfDeltas", verbs: &[Plan], actions: &["ebs:ListChangedBlocks"], on: On::Snapshots },
    Row {
        sid: "CountBlocks",
        verbs: &[Size, Frees, CopyVerb, Delete, Doctor, Deck],
        actions: &["ebs:ListChangedBlocks", "ebs:ListSnapshotBlocks"],
        on: On::Snapshots,
    },
    Row {
        sid: "ReadBlocks",
        verbs: &[Inspect, CopyVerb, Verify, Deck],
        actions: &["ebs:GetSnapshotBlock"],
        on: On::Snapshots,
    },
    Row {
        sid: "WriteBlocks",
        verbs: &[CopyVerb, Deck],
        actions: &["ebs:CompleteSnapshot", "ebs:PutSnapshotBlock", "ebs:StartSnapshot"],
        on: On::Snapshots,
    },
    Row { sid: "LetAwsCopy", verbs: &[CopyVerb, Deck], actions: &["ec2:CopySnapshot"], on: On::Snapshots },
    Row { sid: "FindImages", verbs: &[Plan, CopyVerb], actions: &["ec2:DescribeImages"], on: On::Everything },
    Row { sid: "LetAwsCopyImages", verbs: &[CopyVerb, Deck], actions: &["ec2:CopyImage"], on: On::Images },
    Row { sid: "TagResults", verbs: &[CopyVerb, Deck], actions: &["ec2:CreateTags"], on: On::Images },
    Row { sid: "DeregisterWhatFailed", verbs: &[CopyVerb, Deck], actions: &["ec2:DeregisterImage"], on: On::OwnImages },
    Row {
        sid: "CleanUpAfterACancel",
        verbs: &[CopyVerb, Deck],
        actions: &["ec2:DeleteSnapshot"],
        on: On::OwnSnapshots,
    },
    Row { sid: "ListBlocksToRead", verbs: &[Inspect, Verify], actions: &["ebs:ListSnapshotBlocks"], on: On::Snapshots },
    Row { sid: "ReadWithKeys", verbs: &[Inspect, Verify], actions: &["kms:Decrypt"], on: On::Keys },
    Row {
        sid: "UseKeysOfEncryptedSnapshots",
        verbs: &[CopyVerb, Deck],
        actions: &[
            "kms:Decrypt",
            "kms:DescribeKey",
            "kms:Encrypt",
            "kms:GenerateDataKey",
            "kms:GenerateDataKeyWithoutPlaintext",
            "kms:ReEncryptFrom",
            "kms:ReEncryptTo",
        ],
        on: On::Keys,
    },
    // Without it the account goes by its number.
    Row { sid: "KnowTheAlias", verbs: &[Deck], actions: &["iam:ListAccountAliases"], on: On::Everything },
    // `z` on Orphans: the tag that keeps a thing.
    Row { sid: "KeepForEver", verbs: &[Deck], actions: &["ec2:CreateTags"], on: On::Removable },
    // Without it the address line completes no bucket, and nothing else is missing.
    Row { sid: "CompleteBuckets", verbs: &[Deck], actions: &["s3:ListAllMyBuckets"], on: On::Everything },
    Row {
        sid: "FindArchives",
        verbs: &[Ls, Inspect, Plan, CopyVerb, Verify, Deck],
        actions: &["s3:ListBucket"],
        on: On::Buckets,
    },
    Row {
        sid: "ReadArchives",
        verbs: &[Ls, Inspect, Plan, CopyVerb, Verify, Deck],
        actions: &["s3:GetObject"],
        on: On::Objects,
    },
    Row {
        sid: "WriteArchives",
        verbs: &[CopyVerb, Deck],
        actions: &[
            "s3:AbortMultipartUpload",
            "s3:DeleteObject",
            "s3:ListMultipartUploadParts",
            "s3:PutObject",
            "s3:PutObjectTagging",
        ],
        on: On::Objects,
    },
    Row {
        sid: "ReadTagsOfObjects",
        verbs: &[Plan, CopyVerb, Deck],
        actions: &["s3:GetObjectTagging"],
        on: On::Objects,
    },
    Row {
        sid: "ListPartsOfUploads",
        verbs: &[CopyVerb, Deck],
        actions: &["s3:ListMultipartUploadParts"],
        on: On::Objects,
    },
    Row {
        sid: "ReadPinnedVersions",
        verbs: &[Inspect, Plan, CopyVerb, Verify, Deck],
        actions: &["s3:GetObjectVersion", "s3:GetObjectVersionTagging"],
        on: On::Objects,
    },
    Row {
        sid: "FindUnfinishedUploads",
        verbs: &[CopyVerb, Deck],
        actions: &["s3:ListBucketMultipartUploads"],
        on: On::Buckets,
    },
    Row {
        sid: "AskWhatHoldsAThing",
        verbs: &[Delete, Deck],
        actions: &["ec2:DescribeSnapshotAttribute"],
        on: On::Snapshots,
    },
    // Without it, whatever the Recycle Bin would keep counts as final.
    Row {
        sid: "KnowWhatTheBinKeeps",
        verbs: &[Delete, Deck],
        actions: &["rbin:GetRule", "rbin:ListRules"],
        on: On::BinRules,
    },
    Row {
        sid: "RemoveWhatAPlanNames",
        verbs: &[Delete, Deck],
        actions: &["ec2:DeleteSnapshot", "ec2:DeleteVolume", "ec2:DeregisterImage"],
        on: On::Removable,
    },
    Row {
        sid: "SnapshotVolumesFirst",
        verbs: &[Delete, Deck],
        actions: &["ec2:CreateSnapshot", "ec2:CreateTags"],
        on: On::Removable,
    },
    Row {
        sid: "ArchiveFirst",
        verbs: &[Delete],
        actions: &["ebs:GetSnapshotBlock", "ebs:ListSnapshotBlocks"],
        on: On::Snapshots,
    },
    Row { sid: "FindArchivesMadeFirst", verbs: &[Delete], actions: &["s3:ListBucket"], on: On::Buckets },
    Row {
        sid: "WriteArchivesMadeFirst",
        verbs: &[Delete],
        actions: &["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
        on: On::Objects,
    },
    Row { sid: "ReadWithKeysForArchives", verbs: &[Delete], actions: &["kms:Decrypt"], on: On::Keys },
    Row {
        sid: "ListTheBin",
        verbs: &[Restore, Deck],
        actions: &["ec2:ListImagesInRecycleBin", "ec2:ListSnapshotsInRecycleBin"],
        on: On::Images,
    },
    Row {
        sid: "BringBack",
        verbs: &[Restore, Deck],
        actions: &["ec2:RestoreImageFromRecycleBin", "ec2:RestoreSnapshotFromRecycleBin"],
        on: On::Images,
    },
    Row { sid: "LetEbsUseThoseKeys", verbs: &[CopyVerb, Deck], actions: &["kms:CreateGrant"], on: On::Grants },
];

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: &'static str,
    effect: &'static str,
    action: &'static [&'static str],
    resource: Value,
    #[serde(skip_serializing_if = "Map::is_empty")]
    condition: Map<String, Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    version: &'static str,
    statement: Vec<Statement>,
}

impl On {
    fn resource(self) -> Value {
        Value::from(match self {
            Self::Images => return json!(["arn:*:ec2:*::image/*", "arn:*:ec2:*::snapshot/*"]),
            Self::Removable => {
                return json!(["arn:*:ec2:*::image/*", "arn:*:ec2:*::snapshot/*", "arn:*:ec2:*:*:volume/*"]);
            }
            Self::BinRules => "arn:*:rbin:*:*:rule/*",
            Self::OwnImages => "arn:*:ec2:*::image/*",
            Self::Everything => "*",
            Self::Snapshots | Self::OwnSnapshots => "arn:*:ec2:*::snapshot/*",
            Self::Keys | Self::Grants => "arn:*:kms:*:*:key/*",
            Self::Buckets => "arn:*:s3:::*",
            Self::Objects => "arn:*:s3:::*/*",
        })
    }

    fn condition(self) -> Map<String, Value> {
        let condition = match self {
            Self::Everything
            | Self::Snapshots
            | Self::Images
            | Self::Removable
            | Self::BinRules
            | Self::Keys
            | Self::Buckets
            | Self::Objects => {
                return Map::new();
            }
            Self::OwnSnapshots | Self::OwnImages => ("StringLike", json!({ "aws:ResourceTag/floe:job": "*" })),
            Self::Grants => ("Bool", json!({ "kms:GrantIsForAWSResource": "true" })),
        };
        Map::from_iter([(condition.0.to_owned(), condition.1)])
    }
}

fn policy(verb: Need) -> Policy {
    let statement = TABLE
        .iter()
        .filter(|row| row.verbs.contains(&verb))
        .map(|row| Statement {
            sid: row.sid,
            effect: "Allow",
            action: row.actions,
            resource: row.on.resource(),
            condition: row.on.condition(),
        })
        .collect();
    Policy { version: "2012-10-17", statement }
}

/// Every action that `verb` may call.
#[must_use]
pub fn actions(verb: Need) -> Vec<&'static str> {
    TABLE.iter().filter(|row| row.verbs.contains(&verb)).flat_map(|row| row.actions).copied().collect()
}

/// Prints the policy of `verb`.
///
/// # Errors
/// Stdout cannot be written.
pub fn run(verb: Need) -> Result<()> {
    let text = serde_json::to_string_pretty(&policy(verb)).map_err(|e| Error::failed(format!("the policy: {e}")))?;
    say::result(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::Call;

    #[test]
    fn looking_needs_nothing_that_changes() {
        for verb in [Ls, Size, Frees, Inspect, Plan, Orphans, Prices, Doctor] {
            for action in actions(verb) {
                let (_, name) = action.split_once(':').expect("service:Action");
                let reads =
                    ["Describe", "Get", "List"].iter().any(|read| name.starts_with(read)) || action == "kms:Decrypt";
                assert!(reads, "{verb:?}: {action}");
            }
        }
        let data = |a: &&str| a.starts_with("ebs:") && *a != "ebs:ListChangedBlocks" || a.starts_with("kms:");
        assert_eq!(actions(Plan).iter().find(|action| data(action)), None, "a plan reads no block");
    }

    #[test]
    fn every_call_that_a_grant_can_allow_is_in_the_policy_of_copy() {
        let copy = actions(CopyVerb);
        let calls = [
            Call::StartSnapshot,
            Call::PutSnapshotBlock,
            Call::CompleteSnapshot,
            Call::CopySnapshot,
            Call::CopyImage,
            Call::DeregisterImage,
            Call::CreateTags,
            Call::DeleteSnapshot,
            Call::PutObject,
            Call::PutObjectTagging,
            Call::AbortMultipartUpload,
            Call::DeleteObject,
        ];
        for call in calls {
            assert!(copy.contains(&call.action()), "{}", call.action());
        }
    }

    #[test]
    fn every_call_of_a_removal_is_in_its_policy_and_nothing_that_makes_copies() {
        let delete = actions(Delete);
        for call in [Call::DeleteSnapshot, Call::DeleteVolume, Call::DeregisterImage, Call::CreateSnapshot] {
            assert!(delete.contains(&call.action()), "{}", call.action());
        }
        assert!(!delete.contains(&Call::StartSnapshot.action()));
        let restore = actions(Restore);
        for call in [Call::RestoreSnapshot, Call::RestoreImage] {
            assert!(restore.contains(&call.action()), "{}", call.action());
        }
        assert!(!restore.iter().any(|action| action.contains("Delete")), "{restore:?}");
    }

    #[test]
    fn deleting_is_bound_to_what_floe_made() {
        let json = serde_json::to_value(policy(CopyVerb)).expect("plain data");
        for sid in ["CleanUpAfterACancel", "DeregisterWhatFailed"] {
            let found = json["Statement"].as_array().expect("statements").iter().find(|s| s["Sid"] == sid);
            let condition = found.expect("it is there")["Condition"]["StringLike"]["aws:ResourceTag/floe:job"].clone();
            assert_eq!(condition, "*", "{sid}");
        }
    }
}
