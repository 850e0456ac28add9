//! Snapshots: listing them, asking whom they are shared with, deleting them.
//!
//! A caller sees its own snapshots, those shared with its account and the public ones of everybody: who forgets
//! `Owner.1=self` gets them all, as at AWS.

use std::collections::btree_map;
use std::iter::Peekable;
use std::ops::Bound;

use jiff::Timestamp;

use super::page::{Above, Limits, Page};
use super::{Ask, Fault, ids};
use crate::ids::{AccountId, SnapshotId, VolumeId};
use crate::sandbox::Caller;
use crate::sandbox::model::{
    Account, Copying, Model, PublicSharing, RegionState, Share, Snapshot, SnapshotState, Tier,
};
use crate::sandbox::xml::{Xml, stamp};

pub const FILTERS: &[&str] = &[
    "description",
    "encrypted",
    "owner-alias",
    "owner-id",
    "progress",
    "snapshot-id",
    "start-time",
    "status",
    "storage-tier",
    "transfer-type",
    "volume-id",
    "volume-size",
];

const LIMITS: Limits = Limits { min: 5, max: 1000, above: Above::Clamped };

/// What AWS Backup puts on the snapshots that only it may delete.
const BACKUP_TAG: &str = "aws:backup:source-resource";

pub fn not_found(id: &str) -> Fault {
    Fault::bad("InvalidSnapshot.NotFound", format!("The snapshot '{id}' does not exist."))
}

/// A snapshot as one caller sees it.
pub struct Row<'m> {
    pub snapshot: &'m Snapshot,
    /// `amazon` and the like, for accounts that have an alias instead of a profile.
    owner_alias: Option<&'m str>,
    sharing: PublicSharing,
}

/// `DescribeSnapshots`.
pub fn describe(ask: &Ask<'_>) -> Result<String, Fault> {
    let wanted: Vec<SnapshotId> = ids(&ask.query.list("SnapshotId"), "InvalidSnapshotID.Malformed", "snap")?;
    let owners = ask.query.list("Owner");
    let restorable = ask.query.list("RestorableBy");
    check_accounts(&owners, &["self", "amazon", "aws-marketplace", "aws-backup-vault"])?;
    check_accounts(&restorable, &["self", "all"])?;
    let filters = ask.query.filters(FILTERS)?;
    let page = Page::of(&ask.query, ask.caller, LIMITS, (!wanted.is_empty()).then_some("snapshotIds"))?;
    ask.ready()?;

    let (model, now) = (ask.sandbox.model(), ask.sandbox.now());
    let pass = |row: &Row<'_>| {
        owned(row, ask.caller, &owners)
            && (restorable.is_empty() || restorable.iter().any(|who| row.is_restorable_by(ask.caller, who)))
            && filters.pass(&row.snapshot.tags, |name, test| row.field(name, now, test))
    };
    let (rows, token) = if wanted.is_empty() {
        page.take(visible(&model, ask.caller, &owners, page.after()), pass)
    } else {
        let mut rows = Vec::with_capacity(wanted.len());
        for id in &wanted {
            rows.push(find(&model, ask.caller, id).ok_or_else(|| not_found(id.as_str()))?);
        }
        rows.retain(pass);
        (rows, None)
    };
    Ok(ask.answer("DescribeSnapshots", |xml| {
        xml.set("snapshotSet", rows, |xml, row| row.write(xml, now));
        xml.maybe("nextToken", token);
    }))
}

/// Refuses what is neither an account id nor one of the `words`.
fn check_accounts(given: &[&str], words: &[&str]) -> Result<(), Fault> {
    let wrong = given.iter().find(|who| !words.contains(who) && who.parse::<AccountId>().is_err());
    wrong.map_or(Ok(()), |who| Err(Fault::bad("InvalidUserID.Malformed", format!("Invalid user id: \"{who}\""))))
}

fn owned(row: &Row<'_>, caller: &Caller, owners: &[&str]) -> bool {
    owners.is_empty()
        || owners.iter().any(|owner| match *owner {
            "self" => row.snapshot.owner == caller.account,
            other => row.snapshot.owner.as_str() == other || row.owner_alias == Some(other),
        })
}

fn alias(account: &Account) -> Option<&str> {
    account.profile.is_none().then_some(account.alias.as_str())
}

pub fn find<'m>(model: &'m Model, caller: &Caller, id: &SnapshotId) -> Option<Row<'m>> {
    model.accounts.values().find_map(|account| {
        let region = account.regions.get(&caller.region)?;
        let row = Row { snapshot: region.snapshots.get(id)?, owner_alias: alias(account), sharing: sharing(region) };
        row.is_visible_to(caller).then_some(row)
    })
}

/// What the caller may see, ascending by id from after `after`: the accounts' ordered maps, merged as they are read.
/// Accounts that no owner in `owners` can mean are left out, so that `self` costs only its own rows.
fn visible<'m>(
    model: &'m Model,
    caller: &'m Caller,
    owners: &[&str],
    after: Option<&str>,
) -> impl Iterator<Item = (&'m str, Row<'m>)> {
    type Rows<'m> = Peekable<btree_map::Range<'m, SnapshotId, Snapshot>>;
    let from: Bound<SnapshotId> = after.and_then(|id| id.parse().ok()).map_or(Bound::Unbounded, Bound::Excluded);
    let mut sources: Vec<(Option<&str>, PublicSharing, Rows<'m>)> = model
        .accounts
        .values()
        .filter(|account| {
            owners.is_empty()
                || owners.contains(&account.id.as_str())
                || (account.id == caller.account && owners.contains(&"self"))
                || alias(account).is_some_and(|alias| owners.contains(&alias))
        })
        .filter_map(|account| {
            let region = account.regions.get(&caller.region)?;
            let rows = region.snapshots.range((from.clone(), Bound::Unbounded)).peekable();
            Some((alias(account), sharing(region), rows))
        })
        .collect();
    std::iter::from_fn(move || {
        let peeked = sources.iter_mut().enumerate().filter_map(|(n, (.., rows))| Some((rows.peek()?.0, n)));
        let (_, next) = peeked.min()?;
        let (owner_alias, sharing, rows) = sources.get_mut(next)?;
        let (id, snapshot) = rows.next()?;
        Some((id.as_str(), Row { snapshot, owner_alias: *owner_alias, sharing: *sharing }))
    })
    .filter(|(_, row)| row.is_visible_to(caller))
}

fn sharing(region: &RegionState) -> PublicSharing {
    region.settings.public_sharing
}

impl Row<'_> {
    /// Shared with everybody, and not treated as private all the same.
    fn is_public(&self) -> bool {
        self.sharing != PublicSharing::BlockAllSharing && self.snapshot.shared.contains(&Share::All)
    }

    fn is_visible_to(&self, caller: &Caller) -> bool {
        self.snapshot.owner == caller.account || self.is_public() || self.snapshot.is_shared_with(&caller.account)
    }

    fn is_restorable_by(&self, caller: &Caller, who: &str) -> bool {
        let snapshot = self.snapshot;
        match who {
            "all" => self.is_public(),
            "self" => snapshot.owner == caller.account || snapshot.is_shared_with(&caller.account),
            other => {
                snapshot.owner.as_str() == other
                    || snapshot.shared.iter().any(|share| matches!(share, Share::Account(id) if id.as_str() == other))
            }
        }
    }

    fn tier(&self) -> &'static str {
        match self.snapshot.tier {
            Tier::Standard => "standard",
            Tier::Archive => "archive",
        }
    }

    fn field(&self, name: &str, now: Timestamp, test: &mut dyn FnMut(&str) -> bool) -> bool {
        let snapshot = self.snapshot;
        match name {
            "description" => test(&snapshot.description),
            "encrypted" => test(if snapshot.encryption.is_some() { "true" } else { "false" }),
            "owner-alias" => self.owner_alias.is_some_and(test),
            "owner-id" => test(snapshot.owner.as_str()),
            "progress" => test(&format!("{}%", snapshot.progress_at(now))),
            "snapshot-id" => test(snapshot.id.as_str()),
            "start-time" => test(&stamp(snapshot.started)),
            "status" => test(snapshot.state.as_str()),
            "storage-tier" => test(self.tier()),
            "transfer-type" => snapshot.transfer_type.as_deref().is_some_and(test),
            "volume-id" => test(snapshot.volume_id.as_str()),
            "volume-size" => test(&snapshot.size_gib.to_string()),
            _ => false,
        }
    }

    fn write(&self, xml: &mut Xml, now: Timestamp) {
        let snapshot = self.snapshot;
        xml.text("snapshotId", &snapshot.id);
        xml.text("volumeId", &snapshot.volume_id);
        xml.text("status", snapshot.state.as_str());
        if let SnapshotState::Error(message) = &snapshot.state {
            xml.text("statusMessage", message);
        }
        xml.time("startTime", snapshot.started);
        xml.text("progress", format_args!("{}%", snapshot.progress_at(now)));
        xml.text("ownerId", &snapshot.owner);
        xml.maybe("ownerAlias", self.owner_alias);
        xml.text("volumeSize", snapshot.size_gib);
        xml.text("description", &snapshot.description);
        xml.text("encrypted", snapshot.encryption.is_some());
        if let Some(encryption) = &snapshot.encryption {
            xml.text("kmsKeyId", &encryption.key_arn);
            xml.text("dataEncryptionKeyId", &encryption.data_key_id);
        }
        xml.text("storageTier", self.tier());
        xml.maybe("transferType", snapshot.transfer_type.as_deref());
        if let Some(minutes) = snapshot.copying.as_ref().and_then(|copying| copying.minutes) {
            xml.text("completionDurationMinutes", minutes);
        }
        if let Some(completed) = snapshot.completed {
            xml.time("completionTime", completed);
        }
        if snapshot.state == SnapshotState::Completed {
            xml.text("fullSnapshotSizeInBytes", snapshot.full_size().0);
        }
        xml.tags(&snapshot.tags);
    }
}

/// `DescribeSnapshotAttribute`: whom a snapshot of the caller's own is shared with.
pub fn describe_attribute(ask: &Ask<'_>) -> Result<String, Fault> {
    let id = ask.query.required("SnapshotId")?;
    let attribute = ask.query.required("Attribute")?;
    let id: SnapshotId = ids(&[id], "InvalidSnapshotID.Malformed", "snap")?.remove(0);
    if !matches!(attribute, "createVolumePermission" | "productCodes") {
        return Err(Fault::value("attribute", attribute, "Unknown snapshot attribute."));
    }
    let model = ask.sandbox.model();
    own(&model, ask.caller, &id, "DescribeSnapshotAttribute")?;
    ask.ready()?;
    let snapshot = own(&model, ask.caller, &id, "DescribeSnapshotAttribute")?;
    Ok(ask.answer("DescribeSnapshotAttribute", |xml| {
        xml.text("snapshotId", &snapshot.id);
        if attribute == "productCodes" {
            return xml.nest("productCodes", |_| {});
        }
        xml.set("createVolumePermission", &snapshot.shared, |xml, share| match share {
            Share::All => xml.text("group", "all"),
            Share::Account(id) => xml.text("userId", id),
        });
    }))
}

/// A snapshot of the caller's own; another's is refused, one that the caller cannot see does not exist.
fn own<'m>(model: &'m Model, caller: &Caller, id: &SnapshotId, action: &str) -> Result<&'m Snapshot, Fault> {
    let row = find(model, caller, id).ok_or_else(|| not_found(id.as_str()))?;
    if row.snapshot.owner == caller.account {
        return Ok(row.snapshot);
    }
    let user = model.accounts.get(&caller.account).map_or("", |account| account.user.as_str());
    let arn = crate::sandbox::sts::arn(&caller.account, &caller.region, user);
    let why = format!(
        "on resource: arn:{}:ec2:{}::snapshot/{id} because it belongs to another account",
        caller.region.partition(),
        caller.region
    );
    Err(Fault::unauthorized(&arn, action, &why))
}

/// `DeleteSnapshot`.
pub fn delete(ask: &Ask<'_>) -> Result<String, Fault> {
    let id = ask.query.required("SnapshotId")?;
    let id: SnapshotId = ids(&[id], "InvalidSnapshotID.Malformed", "snap")?.remove(0);
    let refused = {
        let model = ask.sandbox.model();
        let snapshot = own(&model, ask.caller, &id, "DeleteSnapshot")?;
        let region = model.region(&ask.caller.account, &ask.caller.region).ok_or_else(Fault::auth_failure)?;
        held(region, snapshot)
    };
    // A dry run asks about permissions, not about what holds the snapshot.
    ask.ready()?;
    if let Some(fault) = refused {
        return Err(fault);
    }
    super::bin::delete_snapshot(ask, &id)?;
    Ok(ask.answer("DeleteSnapshot", |xml| xml.text("return", true)))
}

/// Why a snapshot cannot be deleted: its AMI (a disabled one too) or AWS Backup has it.
pub fn held(region: &RegionState, snapshot: &Snapshot) -> Option<Fault> {
    let id = &snapshot.id;
    if region.locks.get(id).is_some_and(|lock| lock.state != "expired") {
        let message = format!("The snapshot {id} is locked and cannot be deleted.");
        return Some(Fault::bad("SnapshotLocked", message));
    }
    if snapshot.tags.contains_key(BACKUP_TAG) {
        let arn = format!("arn:{}:ec2:{}::snapshot/{id}", region.name.partition(), region.name);
        let message = format!(
            "This snapshot is managed by the AWS Backup service and cannot be deleted via EC2 APIs. If you wish to \
             delete this snapshot, please do so via the Backup console. arn={arn}"
        );
        return Some(Fault::bad("InvalidParameterValue", message));
    }
    let uses = |mapping: &crate::sandbox::model::Mapping| mapping.snapshot.as_ref() == Some(id);
    let image =
        region.images.values().find(|image| image.state != "deregistered" && image.mappings.iter().any(uses))?;
    let message = format!("The snapshot {id} is currently in use by {}", image.id);
    Some(Fault::bad("InvalidSnapshot.InUse", message))
}

/// Snapshots of one volume that may be made at a time.
const OF_A_VOLUME: usize = 5;

/// `CreateSnapshot`: answers at once and is pending for a while. Nothing writes to volumes here, so what it holds is
/// what the newest snapshot of the volume holds, or the one that it was made from.
pub fn create(ask: &Ask<'_>) -> Result<String, Fault> {
    let volume = ask.query.required("VolumeId")?;
    let volume: VolumeId = ids(&[volume], "InvalidVolumeID.Malformed", "vol")?.remove(0);
    let description = ask.query.text("Description").unwrap_or_default();
    let tags = super::tags::specified(&ask.query, "snapshot")?;
    let (account, region) = (&ask.caller.account, &ask.caller.region);
    let made = {
        let mut model = ask.sandbox.model_mut();
        let here = model.region(account, region).ok_or_else(Fault::auth_failure)?;
        let of = here.volumes.get(&volume).ok_or_else(|| super::volumes::not_found(&volume))?.clone();
        if !matches!(of.state.as_str(), "available" | "in-use") {
            return Err(Fault::bad("IncorrectState", format!("The volume '{volume}' is '{}'", of.state)));
        }
        let own = || here.snapshots.values().filter(|row| row.volume_id == volume);
        if own().filter(|row| row.state == SnapshotState::Pending).count() >= OF_A_VOLUME {
            let message = "Maximum allowed in-progress snapshots for a single volume exceeded.";
            return Err(Fault::bad("ConcurrentSnapshotLimitExceeded", message));
        }
        let newest = own().max_by_key(|row| row.started).or_else(|| here.snapshots.get(of.snapshot.as_ref()?));
        let content = newest.map(|row| row.content.clone()).unwrap_or_default();
        ask.ready()?;
        let since = ask.sandbox.now();
        let ms = i64::try_from(ask.sandbox.copying_ms()).unwrap_or(0);
        let settles = since.checked_add(jiff::SignedDuration::from_millis(ms)).unwrap_or(since);
        let into = match ask.lie {
            Some(crate::sandbox::faults::Fault::FailLater) => SnapshotState::Error("Internal error".to_owned()),
            _ => SnapshotState::Completed,
        };
        let snapshot = Snapshot {
            id: ask.sandbox.new_snapshot_id(&model),
            owner: account.clone(),
            volume_id: volume,
            started: since,
            completed: None,
            state: SnapshotState::Pending,
            progress: 0,
            size_gib: of.size_gib,
            description: description.to_owned(),
            tags,
            encryption: of.encryption,
            tier: Tier::Standard,
            tiering: None,
            archived: None,
            transfer_type: None,
            shared: Vec::new(),
            upload: None,
            copying: Some(Copying { since, settles, into, minutes: None }),
            content,
        };
        let here = model.region_mut(account, region).ok_or_else(Fault::auth_failure)?;
        here.snapshots.insert(snapshot.id.clone(), snapshot.clone());
        snapshot
    };
    ask.sandbox.save_snapshot(account, region, &made.id).map_err(|cause| Fault::internal(&cause))?;
    ask.sandbox.watch(account, region, &made.id);
    let row = Row { snapshot: &made, owner_alias: None, sharing: PublicSharing::default() };
    Ok(ask.answer("CreateSnapshot", |xml| row.write(xml, made.started)))
}
