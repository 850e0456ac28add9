//! What guards a snapshot: locks, fast restore, moves between tiers.

use super::page::{Above, Limits, Page};
use super::{Ask, Fault, ids};
use crate::ids::SnapshotId;
use crate::sandbox::model::Tier;

const LIMITS: Limits = Limits { min: 5, max: 1000, above: Above::Refused };
const FAST_LIMITS: Limits = Limits { min: 0, max: 200, above: Above::Refused };
const LOCK_FILTERS: &[&str] = &["lock-state"];
const FAST_FILTERS: &[&str] = &["availability-zone", "owner-id", "snapshot-id", "state"];
const TIER_FILTERS: &[&str] = &["last-tiering-operation", "snapshot-id", "volume-id"];

/// `DescribeLockedSnapshots`.
pub fn locks(ask: &Ask<'_>) -> Result<String, Fault> {
    let wanted: Vec<SnapshotId> = ids(&ask.query.list("SnapshotId"), "InvalidSnapshotID.Malformed", "snap")?;
    let filters = ask.query.filters(LOCK_FILTERS)?;
    let page = Page::of(&ask.query, ask.caller, LIMITS, (!wanted.is_empty()).then_some("snapshotIds"))?;
    ask.ready()?;
    ask.region(|region| {
        if let Some(id) = wanted.iter().find(|id| !region.snapshots.contains_key(*id)) {
            return Err(super::snapshots::not_found(id.as_str()));
        }
        let rows = super::page::following(&region.locks, page.after()).map(|(id, lock)| (id.as_str(), (id, lock)));
        let none = crate::sandbox::model::Tags::default();
        let (rows, token) = page.take(rows, |(id, lock)| {
            (wanted.is_empty() || wanted.contains(id)) && filters.pass(&none, |_, test| test(&lock.state))
        });
        Ok(ask.answer("DescribeLockedSnapshots", |xml| {
            xml.set("snapshotSet", rows, |xml, (id, lock)| {
                xml.text("ownerId", &ask.caller.account);
                xml.text("snapshotId", id);
                xml.text("lockState", &lock.state);
                xml.text("lockDuration", lock.days);
                xml.time("lockCreatedOn", lock.since);
                xml.time("lockDurationStartTime", lock.since);
                xml.time("lockExpiresOn", lock.expires);
            });
            xml.maybe("nextToken", token);
        }))
    })
}

/// `DescribeFastSnapshotRestores`.
pub fn fast_restores(ask: &Ask<'_>) -> Result<String, Fault> {
    let filters = ask.query.filters(FAST_FILTERS)?;
    let page = Page::of(&ask.query, ask.caller, FAST_LIMITS, None)?;
    ask.ready()?;
    ask.region(|region| {
        let keyed = region.fast_restores.iter().map(|((id, zone), fast)| (format!("{id}/{zone}"), id, zone, fast));
        let keyed: Vec<_> = keyed.filter(|(key, ..)| page.after().is_none_or(|after| key.as_str() > after)).collect();
        let none = crate::sandbox::model::Tags::default();
        let (rows, token) = page.take(keyed.iter().map(|row| (row.0.as_str(), row)), |(_, id, zone, fast)| {
            filters.pass(&none, |name, test| match name {
                "availability-zone" => test(zone),
                "owner-id" => test(ask.caller.account.as_str()),
                "snapshot-id" => test(id.as_str()),
                _ => test(&fast.state),
            })
        });
        Ok(ask.answer("DescribeFastSnapshotRestores", |xml| {
            xml.set("fastSnapshotRestoreSet", rows, |xml, (_, id, zone, fast)| {
                xml.text("snapshotId", id);
                xml.text("availabilityZone", zone);
                xml.text("state", &fast.state);
                xml.text("stateTransitionReason", "Client.UserInitiated - Lifecycle state transition");
                xml.text("ownerId", &ask.caller.account);
                xml.time("enabledTime", fast.since);
            });
            xml.maybe("nextToken", token);
        }))
    })
}

/// `DescribeSnapshotTierStatus`: of every snapshot of the caller's own, whether it was moved or not.
pub fn tiers(ask: &Ask<'_>) -> Result<String, Fault> {
    let filters = ask.query.filters(TIER_FILTERS)?;
    let page = Page::of(&ask.query, ask.caller, LIMITS, None)?;
    ask.ready()?;
    ask.region(|region| {
        let rows = super::page::following(&region.snapshots, page.after()).map(|(id, row)| (id.as_str(), row));
        let (rows, token) = page.take(rows, |row| {
            filters.pass(&row.tags, |name, test| match name {
                "last-tiering-operation" => operation(row).is_some_and(test),
                "snapshot-id" => test(row.id.as_str()),
                _ => test(row.volume_id.as_str()),
            })
        });
        Ok(ask.answer("DescribeSnapshotTierStatus", |xml| {
            xml.set("snapshotTierStatusSet", rows, |xml, row| {
                xml.text("snapshotId", &row.id);
                xml.text("volumeId", &row.volume_id);
                xml.text("status", row.state.as_str());
                xml.text("ownerId", &row.owner);
                xml.tags(&row.tags);
                xml.text("storageTier", if row.tier == Tier::Archive { "archive" } else { "standard" });
                xml.maybe("lastTieringOperationStatus", operation(row));
                if let Some(archived) = row.archived {
                    xml.time("archivalCompleteTime", archived);
                }
            });
            xml.maybe("nextToken", token);
        }))
    })
}

fn operation(row: &crate::sandbox::model::Snapshot) -> Option<&str> {
    row.tiering.as_deref().or((row.tier == Tier::Archive).then_some("archival-completed"))
}
