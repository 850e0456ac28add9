//! What lies in the Recycle Bin, and bringing it back: EC2's half of it (the rules are [`crate::sandbox::bin`]'s).

use super::page::{Above, Limits, Page};
use super::{Ask, Fault, ids};
use crate::ids::{ImageId, SnapshotId};
use crate::sandbox::model::{BinKind, Image, InBin, Snapshot};
use crate::sandbox::xml::Xml;

const LIMITS: Limits = Limits { min: 5, max: 1000, above: Above::Refused };
const IMAGE_LIMITS: Limits = Limits { min: 1, max: 1000, above: Above::Refused };

/// `ListSnapshotsInRecycleBin`.
pub fn list_snapshots(ask: &Ask<'_>) -> Result<String, Fault> {
    let wanted: Vec<SnapshotId> = ids(&ask.query.list("SnapshotId"), "InvalidSnapshotID.Malformed", "snap")?;
    let page = Page::of(&ask.query, ask.caller, LIMITS, (!wanted.is_empty()).then_some("snapshotIds"))?;
    ask.ready()?;
    ask.sandbox.empty_bin(ask.caller).map_err(|cause| Fault::internal(&cause))?;
    ask.region(|region| {
        if let Some(id) = wanted.iter().find(|id| !region.bin.contains_key(*id)) {
            return Err(super::snapshots::not_found(id.as_str()));
        }
        let rows = super::page::following(&region.bin, page.after()).map(|(id, row)| (id.as_str(), row));
        let (rows, token) =
            page.take(rows, |(_, snapshot): &&(InBin, Snapshot)| wanted.is_empty() || wanted.contains(&snapshot.id));
        Ok(ask.answer("ListSnapshotsInRecycleBin", |xml| {
            xml.set("snapshotSet", rows, |xml, (stay, snapshot)| {
                xml.text("snapshotId", &snapshot.id);
                times(xml, *stay);
                xml.text("description", &snapshot.description);
                xml.text("volumeId", &snapshot.volume_id);
            });
            xml.maybe("nextToken", token);
        }))
    })
}

/// `ListImagesInRecycleBin`.
pub fn list_images(ask: &Ask<'_>) -> Result<String, Fault> {
    let wanted: Vec<ImageId> = ids(&ask.query.list("ImageId"), "InvalidAMIID.Malformed", "ami")?;
    let page = Page::of(&ask.query, ask.caller, IMAGE_LIMITS, (!wanted.is_empty()).then_some("imageIds"))?;
    ask.ready()?;
    ask.sandbox.empty_bin(ask.caller).map_err(|cause| Fault::internal(&cause))?;
    ask.region(|region| {
        let binned = |id: &ImageId| region.images.get(id).is_some_and(|image| image.binned.is_some());
        if let Some(id) = wanted.iter().find(|id| !binned(id)) {
            return Err(super::images::not_found(id));
        }
        let rows = super::page::following(&region.images, page.after());
        let rows = rows.filter_map(|(id, image)| Some((id.as_str(), (image.binned?, image))));
        let (rows, token) =
            page.take(rows, |(_, image): &(InBin, &Image)| wanted.is_empty() || wanted.contains(&image.id));
        Ok(ask.answer("ListImagesInRecycleBin", |xml| {
            xml.set("imageSet", rows, |xml, (stay, image)| {
                xml.text("imageId", &image.id);
                xml.text("name", &image.name);
                xml.text("description", &image.description);
                times(xml, stay);
            });
            xml.maybe("nextToken", token);
        }))
    })
}

fn times(xml: &mut Xml, stay: InBin) {
    xml.time("recycleBinEnterTime", stay.entered);
    xml.time("recycleBinExitTime", stay.exits);
}

/// `RestoreSnapshotFromRecycleBin`: the very snapshot is there again, under its id.
pub fn restore_snapshot(ask: &Ask<'_>) -> Result<String, Fault> {
    let id = ask.query.required("SnapshotId")?;
    let id: SnapshotId = ids(&[id], "InvalidSnapshotID.Malformed", "snap")?.remove(0);
    ask.sandbox.empty_bin(ask.caller).map_err(|cause| Fault::internal(&cause))?;
    let there = ask.region(|region| Ok(region.bin.contains_key(&id)))?;
    if !there {
        return Err(super::snapshots::not_found(id.as_str()));
    }
    ask.ready()?;
    let restored = ask.sandbox.unbin_snapshot(&ask.caller.account, &ask.caller.region, &id);
    restored.map_err(|cause| Fault::internal(&cause))?;
    ask.region(|region| {
        let snapshot = region.snapshots.get(&id).ok_or_else(|| super::snapshots::not_found(id.as_str()))?;
        Ok(ask.answer("RestoreSnapshotFromRecycleBin", |xml| {
            xml.text("snapshotId", &snapshot.id);
            xml.text("description", &snapshot.description);
            xml.text("encrypted", snapshot.encryption.is_some());
            xml.text("ownerId", &snapshot.owner);
            xml.text("progress", format_args!("{}%", snapshot.progress));
            xml.time("startTime", snapshot.started);
            xml.text("status", snapshot.state.as_str());
            xml.text("volumeId", &snapshot.volume_id);
            xml.text("volumeSize", snapshot.size_gib);
        }))
    })
}

/// `RestoreImageFromRecycleBin`: refused as long as one of its snapshots is not there.
pub fn restore_image(ask: &Ask<'_>) -> Result<String, Fault> {
    let id = ask.query.required("ImageId")?;
    let id: ImageId = ids(&[id], "InvalidAMIID.Malformed", "ami")?.remove(0);
    ask.sandbox.empty_bin(ask.caller).map_err(|cause| Fault::internal(&cause))?;
    ask.region(|region| {
        let image = region.images.get(&id).filter(|image| image.binned.is_some());
        let image = image.ok_or_else(|| super::images::not_found(&id))?;
        let mut needed = image.mappings.iter().filter_map(|mapping| mapping.snapshot.as_ref());
        match needed.find(|snapshot| !region.snapshots.contains_key(*snapshot)) {
            Some(snapshot) => Err(super::snapshots::not_found(snapshot.as_str())),
            None => Ok(()),
        }
    })?;
    ask.ready()?;
    if let Some(region) = ask.sandbox.model_mut().region_mut(&ask.caller.account, &ask.caller.region)
        && let Some(image) = region.images.get_mut(&id)
    {
        image.binned = None;
        "available".clone_into(&mut image.state);
    }
    let saved = ask.sandbox.save_image(&ask.caller.account, &ask.caller.region, &id);
    saved.map_err(|cause| Fault::internal(&cause))?;
    Ok(ask.answer("RestoreImageFromRecycleBin", |xml| xml.text("return", true)))
}

/// Deletes a snapshot: into the bin where a rule keeps it (only whole ones are kept), else for good.
pub fn delete_snapshot(ask: &Ask<'_>, id: &SnapshotId) -> Result<(), Fault> {
    let (account, region) = (&ask.caller.account, &ask.caller.region);
    let tags = ask.region(|here| {
        let whole = here.snapshots.get(id).filter(|snapshot| snapshot.completed.is_some());
        Ok(whole.map(|snapshot| snapshot.tags.clone()))
    })?;
    let stay = tags.and_then(|tags| ask.sandbox.stay(ask.caller, BinKind::Snapshots, &tags));
    let done = match stay {
        Some(stay) => ask.sandbox.bin_snapshot(account, region, id, stay),
        None => ask.sandbox.remove_snapshot(account, region, id),
    };
    done.map_err(|cause| Fault::internal(&cause))
}
