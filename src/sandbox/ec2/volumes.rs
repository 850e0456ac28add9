//! Volumes and where they are attached.

use super::page::{Above, Limits, Page};
use super::{Ask, Fault, ids};
use crate::ids::VolumeId;
use crate::sandbox::model::{Attachment, Volume};
use crate::sandbox::xml::{Xml, stamp};

pub const FILTERS: &[&str] = &[
    "attachment.attach-time",
    "attachment.delete-on-termination",
    "attachment.device",
    "attachment.instance-id",
    "attachment.status",
    "availability-zone",
    "create-time",
    "encrypted",
    "multi-attach-enabled",
    "size",
    "snapshot-id",
    "status",
    "volume-id",
    "volume-type",
];

const LIMITS: Limits = Limits { min: 5, max: 1000, above: Above::Clamped };

/// `DescribeVolumes`.
pub fn describe(ask: &Ask<'_>) -> Result<String, Fault> {
    let wanted: Vec<VolumeId> = ids(&ask.query.list("VolumeId"), "InvalidVolumeID.Malformed", "vol")?;
    let filters = ask.query.filters(FILTERS)?;
    let page = Page::of(&ask.query, ask.caller, LIMITS, (!wanted.is_empty()).then_some("volumeIds"))?;
    ask.ready()?;
    ask.region(|region| {
        let missing = wanted.iter().find(|id| !region.volumes.contains_key(*id));
        if let Some(id) = missing {
            return Err(not_found(id));
        }
        let rows = super::page::following(&region.volumes, page.after()).map(|(id, volume)| (id.as_str(), volume));
        let (rows, token) = page.take(rows, |volume| {
            (wanted.is_empty() || wanted.contains(&volume.id))
                && filters.pass(&volume.tags, |name, test| field(volume, name, test))
        });
        Ok(ask.answer("DescribeVolumes", |xml| {
            xml.set("volumeSet", rows, |xml, volume| write(volume, xml));
            xml.maybe("nextToken", token);
        }))
    })
}

pub fn not_found(id: &VolumeId) -> Fault {
    Fault::bad("InvalidVolume.NotFound", format!("The volume '{id}' does not exist."))
}

/// `DeleteVolume`: for good, and only what is attached to nothing.
pub fn delete(ask: &Ask<'_>) -> Result<String, Fault> {
    let id = ask.query.required("VolumeId")?;
    let id: VolumeId = ids(&[id], "InvalidVolumeID.Malformed", "vol")?.remove(0);
    let held = ask.region(|region| {
        let volume = region.volumes.get(&id).ok_or_else(|| not_found(&id))?;
        Ok(match (volume.attachments.first(), volume.state.as_str()) {
            (Some(at), _) => {
                let message = format!("Volume {id} is currently attached to {}", at.instance);
                Some(Fault::bad("VolumeInUse", message))
            }
            (None, "available" | "error") => None,
            (None, state) => Some(Fault::bad("IncorrectState", format!("The volume '{id}' is '{state}'"))),
        })
    })?;
    // A dry run asks about permissions, not about what holds the volume.
    ask.ready()?;
    if let Some(fault) = held {
        return Err(fault);
    }
    let removed = ask.sandbox.remove_volume(&ask.caller.account, &ask.caller.region, &id);
    removed.map_err(|cause| Fault::internal(&cause))?;
    Ok(ask.answer("DeleteVolume", |xml| xml.text("return", true)))
}

fn status(volume: &Volume) -> &'static str {
    // Attachments of volumes that are being taken away are not modelled: all of them are settled.
    if volume.state == "in-use" { "attached" } else { "busy" }
}

fn field(volume: &Volume, name: &str, test: &mut dyn FnMut(&str) -> bool) -> bool {
    let mut attached = |value: &dyn Fn(&Attachment) -> String| volume.attachments.iter().any(|a| test(&value(a)));
    match name {
        "attachment.attach-time" => attached(&|a| stamp(a.since)),
        "attachment.delete-on-termination" => attached(&|a| a.delete_on_termination.to_string()),
        "attachment.device" => attached(&|a| a.device.clone()),
        "attachment.instance-id" => attached(&|a| a.instance.to_string()),
        "attachment.status" => attached(&|_| status(volume).to_owned()),
        "availability-zone" => test(&volume.zone),
        "create-time" => test(&stamp(volume.created)),
        "encrypted" => test(if volume.encryption.is_some() { "true" } else { "false" }),
        "multi-attach-enabled" => test("false"),
        "size" => test(&volume.size_gib.to_string()),
        "snapshot-id" => test(volume.snapshot.as_ref().map_or("", |id| id.as_str())),
        "status" => test(&volume.state),
        "volume-id" => test(volume.id.as_str()),
        "volume-type" => test(&volume.kind),
        _ => false,
    }
}

fn write(volume: &Volume, xml: &mut Xml) {
    xml.text("volumeId", &volume.id);
    xml.text("size", volume.size_gib);
    xml.text("snapshotId", volume.snapshot.as_ref().map_or("", |id| id.as_str()));
    xml.text("availabilityZone", &volume.zone);
    xml.text("status", &volume.state);
    xml.time("createTime", volume.created);
    xml.set("attachmentSet", &volume.attachments, |xml, attachment| {
        xml.text("volumeId", &volume.id);
        xml.text("instanceId", &attachment.instance);
        xml.text("device", &attachment.device);
        xml.text("status", status(volume));
        xml.time("attachTime", attachment.since);
        xml.text("deleteOnTermination", attachment.delete_on_termination);
    });
    xml.tags(&volume.tags);
    xml.text("volumeType", &volume.kind);
    xml.maybe("iops", volume.iops);
    xml.maybe("throughput", volume.throughput);
    xml.text("encrypted", volume.encryption.is_some());
    xml.maybe("kmsKeyId", volume.encryption.as_ref().map(|encryption| &encryption.key_arn));
    xml.text("multiAttachEnabled", false);
}
