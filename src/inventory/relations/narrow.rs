//! What refers to a few things, asked about these only: by ids and filters, so that the calls grow with the things.
//!
//! The rules meet the same facts as of a whole region, less what says nothing about these things. Launch templates are
//! the exception: EC2 has no filter for the snapshots that they name, so all their versions are read each time; and
//! what lies in the Recycle Bin is listed, since AWS tells its disks by no other way. A refusal is that question's own.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::gather::pages;
use super::{Answers, Facts, JobUse, Scope, Told, images_named};
use crate::aws::Session;
use crate::error::Result;
use crate::ids::{ImageId, SnapshotId, VolumeId};
use crate::inventory::denied::is_denial;
use crate::rows::{BinnedRow, ImageRow, InstanceRow, LockRow, SnapshotRow, VolumeRow};
use crate::store::copies::Copied;

/// What is asked about.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    pub(super) snapshots: Vec<SnapshotId>,
    pub(super) volumes: Vec<VolumeId>,
    pub(super) images: Vec<ImageId>,
}

/// The facts about these.
pub(super) async fn about(
    session: &Session,
    of: &Subjects,
    jobs: Told<Vec<JobUse>>,
    copies: Arc<Vec<Copied>>,
) -> Facts {
    let ec2 = session.ec2();
    // First what they are and what lies in the bin: the other questions follow from these.
    let (snapshots, templates, versions, binned_images) = tokio::join!(
        own_snapshots(session, of),
        pages(session, |page| async move { ec2.templates(page.as_deref()).await }),
        pages(session, |page| async move { ec2.template_versions(None, page.as_deref()).await }),
        pages(session, |page| async move { ec2.binned_images(page.as_deref()).await }),
    );
    let rows = snapshots.as_deref().unwrap_or_default();
    let is_wanted = |row: &&SnapshotRow| of.snapshots.contains(&row.id);
    let there: Vec<SnapshotId> = rows.iter().filter(is_wanted).map(|row| row.id.clone()).collect();
    let real = |row: &SnapshotRow| row.volume.clone().filter(|volume| !volume.is_placeholder());
    let taken = rows.iter().filter(is_wanted).filter_map(real);
    let volumes: BTreeSet<VolumeId> = taken.chain(of.volumes.iter().cloned()).collect();
    let volumes: Vec<VolumeId> = volumes.into_iter().collect();
    let named = rows.iter().filter(is_wanted).flat_map(|row| images_named(&row.description));
    let named: BTreeSet<ImageId> = named.chain(of.images.iter().cloned()).collect();
    let named: Vec<ImageId> = named.into_iter().collect();
    let (volumes, images, instances, binned) = tokio::join!(
        own_volumes(session, &volumes, &there),
        own_images(session, &named, &there),
        own_instances(session, &volumes, &of.images),
        bin(session, binned_images.as_deref().unwrap_or_default()),
    );
    let (public, locks, fast_restores, tierings) = tokio::join!(
        ec2.public_among(&there),
        locks(session, &there),
        ec2.fast_restores_among(&there),
        ec2.tierings_among(&there),
    );
    let (binned_snapshots, naming) = binned;
    let snapshots = snapshots.map(|mut rows| {
        let known: BTreeSet<SnapshotId> = rows.iter().map(|row| row.id.clone()).collect();
        rows.extend(naming.into_iter().filter(|row| !known.contains(&row.id)));
        Arc::new(rows)
    });
    Facts {
        origin: Arc::clone(session.origin()),
        snapshots: Told::of(snapshots),
        volumes: Told::of(volumes.map(Arc::new)),
        images: Told::of(images.map(Arc::new)),
        instances: Told::of(instances.map(Arc::new)),
        answers: Answers {
            scope: Scope::Asked,
            templates: Told::of(templates),
            versions: Told::of(versions),
            public: Told::of(public),
            locks: Told::of(locks),
            fast_restores: Told::of(fast_restores),
            tierings: Told::of(tierings),
            binned_snapshots: Told::of(binned_snapshots),
            binned_images: Told::of(binned_images),
            ..Answers::default()
        },
        jobs,
        copies,
    }
}

/// The snapshots themselves, and those that were taken of the volumes.
async fn own_snapshots(session: &Session, of: &Subjects) -> Result<Vec<SnapshotRow>> {
    let ec2 = session.ec2();
    let (own, taken) = tokio::join!(ec2.own_snapshots_among(&of.snapshots), ec2.snapshots_of(&of.volumes));
    let (mut rows, taken) = (own?, taken?);
    rows.extend(taken.into_iter().filter(|row| !of.snapshots.contains(&row.id)));
    Ok(rows)
}

/// These volumes, and those that were made from the snapshots.
async fn own_volumes(session: &Session, these: &[VolumeId], snapshots: &[SnapshotId]) -> Result<Vec<VolumeRow>> {
    let ec2 = session.ec2();
    let (own, made) = tokio::join!(ec2.volumes_among(these), ec2.volumes_from(snapshots));
    let (mut rows, made) = (own?, made?);
    rows.extend(made.into_iter().filter(|row| !these.contains(&row.id)));
    Ok(rows)
}

/// These images, and those that map the snapshots.
async fn own_images(session: &Session, these: &[ImageId], snapshots: &[SnapshotId]) -> Result<Vec<ImageRow>> {
    let ec2 = session.ec2();
    let (own, mapping) = tokio::join!(ec2.own_images_among(these), ec2.own_images_of(snapshots));
    let (mut rows, mapping) = (own?, mapping?);
    rows.extend(mapping.into_iter().filter(|row| !these.contains(&row.id)));
    Ok(rows)
}

/// The instances that map the volumes or run on the images.
async fn own_instances(session: &Session, volumes: &[VolumeId], images: &[ImageId]) -> Result<Vec<InstanceRow>> {
    let ec2 = session.ec2();
    let (with, on) = tokio::join!(ec2.instances_with(volumes), ec2.instances_of(images));
    let (mut rows, on) = (with?, on?);
    let known: BTreeSet<String> = rows.iter().map(|row| row.id.to_string()).collect();
    rows.extend(on.into_iter().filter(|row| !known.contains(row.id.as_str())));
    Ok(rows)
}

/// What lies in the bin, and the snapshots whose text names an image that does: where there is none, nothing is asked.
/// Texts that could not be looked for leave such an image without a place, and so everything in doubt.
async fn bin(session: &Session, images: &[BinnedRow]) -> (Result<Vec<BinnedRow>>, Vec<SnapshotRow>) {
    if images.is_empty() {
        return (Ok(Vec::new()), Vec::new());
    }
    let ec2 = session.ec2();
    let ids: Vec<ImageId> = images.iter().filter_map(|row| row.id.parse().ok()).collect();
    let (binned, naming) = tokio::join!(
        pages(session, |page| async move { ec2.binned_snapshots(page.as_deref()).await }),
        ec2.snapshots_naming(&ids),
    );
    (binned, naming.unwrap_or_default())
}

/// The locks of these; all locks, where EC2 does not take the ids of what has none.
async fn locks(session: &Session, snapshots: &[SnapshotId]) -> Result<Vec<LockRow>> {
    let ec2 = session.ec2();
    match ec2.locks_among(snapshots).await {
        Err(error) if !is_denial(&error) => {
            pages(session, |page| async move { ec2.locked_snapshots(page.as_deref()).await }).await
        }
        told => told,
    }
}
