//! What lies in the Recycle Bin: told by id, name and dates, and by nothing else; an image's disks are not told.

use super::page::{Above, Limits, Page};
use super::{Ask, Fault, ids};
use crate::ids::{ImageId, SnapshotId};

const LIMITS: Limits = Limits { min: 5, max: 1000, above: Above::Refused };

/// `ListSnapshotsInRecycleBin`.
pub fn snapshots(ask: &Ask<'_>) -> Result<String, Fault> {
    let wanted: Vec<SnapshotId> = ids(&ask.query.list("SnapshotId"), "InvalidSnapshotID.Malformed", "snap")?;
    let page = Page::of(&ask.query, ask.caller, LIMITS, (!wanted.is_empty()).then_some("snapshotIds"))?;
    ask.ready()?;
    let now = ask.sandbox.now();
    ask.region(|region| {
        let kept = |id: &SnapshotId| region.binned_snapshots.get(id).is_some_and(|binned| binned.leaves > now);
        if let Some(id) = wanted.iter().find(|id| !kept(id)) {
            return Err(super::snapshots::not_found(id.as_str()));
        }
        let rows = super::page::following(&region.binned_snapshots, page.after()).map(|(id, row)| (id.as_str(), row));
        let (rows, token) =
            page.take(rows, |row| row.leaves > now && (wanted.is_empty() || wanted.contains(&row.what.id)));
        Ok(ask.answer("ListSnapshotsInRecycleBin", |xml| {
            xml.set("snapshotSet", rows, |xml, row| {
                xml.text("snapshotId", &row.what.id);
                xml.time("recycleBinEnterTime", row.entered);
                xml.time("recycleBinExitTime", row.leaves);
                xml.text("description", &row.what.description);
                xml.text("volumeId", &row.what.volume_id);
            });
            xml.maybe("nextToken", token);
        }))
    })
}

/// `ListImagesInRecycleBin`.
pub fn images(ask: &Ask<'_>) -> Result<String, Fault> {
    let wanted: Vec<ImageId> = ids(&ask.query.list("ImageId"), "InvalidAMIID.Malformed", "ami")?;
    let page = Page::of(&ask.query, ask.caller, LIMITS, (!wanted.is_empty()).then_some("imageIds"))?;
    ask.ready()?;
    let now = ask.sandbox.now();
    ask.region(|region| {
        let kept = |id: &ImageId| region.binned_images.get(id).is_some_and(|binned| binned.leaves > now);
        if let Some(id) = wanted.iter().find(|id| !kept(id)) {
            return Err(super::images::not_found(id));
        }
        let rows = super::page::following(&region.binned_images, page.after()).map(|(id, row)| (id.as_str(), row));
        let (rows, token) =
            page.take(rows, |row| row.leaves > now && (wanted.is_empty() || wanted.contains(&row.what.id)));
        Ok(ask.answer("ListImagesInRecycleBin", |xml| {
            xml.set("imageSet", rows, |xml, row| {
                xml.text("imageId", &row.what.id);
                xml.text("name", &row.what.name);
                xml.text("description", &row.what.description);
                xml.time("recycleBinEnterTime", row.entered);
                xml.time("recycleBinExitTime", row.leaves);
            });
            xml.maybe("nextToken", token);
        }))
    })
}
