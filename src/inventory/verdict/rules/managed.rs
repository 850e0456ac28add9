//! Who else looks after a thing, by the tags that services and tools leave (trap T25).

use super::{Found, Rule, RuleInfo};
use crate::inventory::verdict::{Verdict, View};
use crate::rows::{ImageRow, SnapshotRow, Tag, VolumeRow};

/// A service's or a tool's mark.
pub(super) struct Managed;

const INFO: RuleInfo = RuleInfo { name: "managed", short: "managed", summary: "Backup DLM Velero K8s tags" };

/// Keys of tags, or how they begin, and who puts them there.
const MARKS: [(&str, &str); 15] = [
    ("aws:backup:", "AWS Backup (delete its recovery point there)"),
    ("aws:dlm:", "Data Lifecycle Manager (change its policy there)"),
    ("dlm:managed", "Data Lifecycle Manager (change its policy there)"),
    ("velero.io/", "Velero (velero backup delete)"),
    ("ebs.csi.aws.com/", "the EBS CSI driver of Kubernetes (kubectl delete volumesnapshot)"),
    ("CSIVolumeSnapshotName", "the EBS CSI driver of Kubernetes (kubectl delete volumesnapshot)"),
    ("CSIVolumeName", "the EBS CSI driver of Kubernetes (kubectl delete pv)"),
    ("kubernetes.io/", "Kubernetes"),
    ("k8s.io/", "Kubernetes"),
    ("KubernetesCluster", "Kubernetes"),
    ("AWSElasticDisasterRecoveryManaged", "Elastic Disaster Recovery"),
    ("AWSApplicationMigrationServiceManaged", "Application Migration Service"),
    ("CloudEndure", "CloudEndure"),
    ("aws:cloudformation:", "CloudFormation (change its stack)"),
    ("Ec2ImageBuilderArn", "EC2 Image Builder"),
];

/// What AWS Backup writes into descriptions; EC2 refuses the deletion of what carries it.
const BACKUP_TEXTS: [&str; 2] = ["created by the AWS Backup service", "Created by AWS Backup"];

fn mark<'t>(tags: &'t [Tag], description: &str) -> Option<(&'t str, &'static str)> {
    let by_tag = tags.iter().find_map(|(key, _)| {
        let is = |(mark, _): &&(&str, &str)| {
            if mark.ends_with([':', '/']) { key.starts_with(mark) } else { key == mark }
        };
        MARKS.iter().find(is).map(|(_, who)| (key.as_str(), *who))
    });
    let by_text = || BACKUP_TEXTS.iter().any(|text| description.contains(text)).then_some(("", MARKS[0].1));
    by_tag.or_else(by_text)
}

fn found(tags: &[Tag], description: &str) -> Found {
    if mark(tags, description).is_some() { Found::Yes(Verdict::Managed) } else { Found::No }
}

fn said(tags: &[Tag], description: &str) -> String {
    match mark(tags, description) {
        Some(("", who)) => format!("looked after by {who}: its text says so"),
        Some((key, who)) => format!("looked after by {who}: tag {key}"),
        None => "no tag of AWS Backup, DLM, Velero, Kubernetes, disaster recovery or CloudFormation".to_owned(),
    }
}

macro_rules! managed {
    ($($row:ident, |$it:ident| $description:expr;)*) => {$(
        impl Rule<$row> for Managed {
            fn info(&self) -> RuleInfo {
                INFO
            }
            fn check(&self, _: &View<'_>, $it: &$row) -> Found {
                found(&$it.tags, $description)
            }
            fn format(&self, _: &View<'_>, $it: &$row, _: Found) -> String {
                said(&$it.tags, $description)
            }
        }
    )*};
}

managed! {
    SnapshotRow, |row| &row.description;
    VolumeRow, |row| "";
    ImageRow, |row| &row.description;
}
