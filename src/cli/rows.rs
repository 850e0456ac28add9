//! How each kind of row is printed: its columns for people, its heads for CSV, its shape in JSON.
//!
//! The JSON is a promise to scripts (ids, bytes and times under plain names), so it is spelt out here and does
//! not follow the types of `inventory/`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::table::{Column, Side};
use crate::ids::Region;
use crate::inventory::{Fields, ImageRow, InstanceRow, Origin, RegionRow, SnapshotRow, State, Tag, Tier, VolumeRow};

/// A row that can be printed.
pub trait Row: Fields {
    /// Columns for people.
    const COLUMNS: &'static [Column];
    /// Heads for CSV.
    const HEADS: &'static [&'static str];
    /// Its shape in JSON.
    type Json<'a>: Serialize
    where
        Self: 'a;
    /// Cells for people, one per column.
    fn cells(&self, now: Timestamp) -> Vec<String>;
    /// Cells for CSV, one per head.
    fn csv(&self) -> Vec<String>;
    /// For JSON.
    fn json(&self) -> Self::Json<'_>;
}

/// A region as the filter sees it.
#[derive(Debug)]
pub struct RegionFields<'a>(pub &'a RegionRow);

impl Fields for RegionFields<'_> {
    fn id(&self) -> &str {
        self.0.name.as_str()
    }
    fn name(&self) -> &str {
        self.0.name.as_str()
    }
    fn tags(&self) -> &[Tag] {
        &[]
    }
    fn region(&self) -> &Region {
        &self.0.name
    }
    fn state(&self) -> &str {
        &self.0.opt_in
    }
}

/// `12 d`, `5 h`, `3 y`: one unit, the largest that is not nothing.
pub(super) fn age(born: Option<Timestamp>, now: Timestamp) -> String {
    let Some(born) = born else { return String::new() };
    let seconds = (now.as_second() - born.as_second()).max(0);
    match seconds {
        0..3600 => format!("{} m", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        172_800..63_072_000 => format!("{} d", seconds / 86_400),
        _ => format!("{} y", seconds / 31_536_000),
    }
}

fn text<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn all<T: ToString>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn map(tags: &[Tag]) -> BTreeMap<&str, &str> {
    tags.iter().map(|(key, value)| (&**key, &**value)).collect()
}

/// Who and where, in every row's JSON.
#[derive(Debug, Serialize)]
pub struct Where<'a> {
    region: &'a str,
    account: &'a str,
    profile: Option<&'a str>,
}

impl<'a> Where<'a> {
    fn of(origin: &'a Origin) -> Self {
        Self {
            region: origin.region.as_str(),
            account: origin.account.as_str(),
            profile: origin.profile.as_ref().map(|profile| profile.as_str()),
        }
    }
}

/// A snapshot in JSON.
#[derive(Debug, Serialize)]
pub struct SnapshotJson<'a> {
    id: &'a str,
    name: Option<&'a str>,
    #[serde(flatten)]
    at: Where<'a>,
    owner: &'a str,
    volume: Option<&'a str>,
    size_bytes: u64,
    full_bytes: Option<u64>,
    state: State,
    state_message: Option<&'a str>,
    progress: Option<u8>,
    started: String,
    tier: Tier,
    encrypted: bool,
    kms_key: Option<&'a str>,
    description: &'a str,
    tags: BTreeMap<&'a str, &'a str>,
}

impl Row for SnapshotRow {
    const COLUMNS: &'static [Column] = &[
        ("snapshot", Side::Left),
        ("region", Side::Left),
        ("name", Side::Left),
        ("size", Side::Right),
        ("full", Side::Right),
        ("age", Side::Right),
        ("state", Side::Left),
        ("tier", Side::Left),
        ("enc", Side::Left),
    ];
    const HEADS: &'static [&'static str] = &[
        "id",
        "region",
        "account",
        "name",
        "size_bytes",
        "full_bytes",
        "state",
        "started",
        "tier",
        "encrypted",
        "volume",
        "description",
    ];
    type Json<'a> = SnapshotJson<'a>;
    fn cells(&self, now: Timestamp) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.origin.region.to_string(),
            text(self.name.as_deref()),
            self.size.to_string(),
            self.full.map_or_else(|| "?".to_owned(), |full| full.to_string()),
            age(Some(self.started), now),
            self.progress.map_or_else(|| self.state().to_owned(), |done| format!("{} {done} %", self.state())),
            tier(self.tier).to_owned(),
            if self.encrypted { "yes" } else { "no" }.to_owned(),
        ]
    }
    fn csv(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.origin.region.to_string(),
            self.origin.account.to_string(),
            text(self.name.as_deref()),
            self.size.0.to_string(),
            text(self.full.map(|full| full.0)),
            self.state().to_owned(),
            self.started.to_string(),
            tier(self.tier).to_owned(),
            self.encrypted.to_string(),
            text(self.volume.as_ref()),
            self.description.to_string(),
        ]
    }
    fn json(&self) -> SnapshotJson<'_> {
        SnapshotJson {
            id: self.id.as_str(),
            name: self.name.as_deref(),
            at: Where::of(&self.origin),
            owner: self.owner.as_str(),
            volume: self.volume.as_ref().map(|volume| volume.as_str()),
            size_bytes: self.size.0,
            full_bytes: self.full.map(|full| full.0),
            state: self.state,
            state_message: self.state_message.as_deref(),
            progress: self.progress,
            started: self.started.to_string(),
            tier: self.tier,
            encrypted: self.encrypted,
            kms_key: self.kms_key.as_deref(),
            description: &self.description,
            tags: map(&self.tags),
        }
    }
}

const fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Standard => "standard",
        Tier::Archive => "archive",
    }
}

/// A volume in JSON.
#[derive(Debug, Serialize)]
pub struct VolumeJson<'a> {
    id: &'a str,
    name: Option<&'a str>,
    #[serde(flatten)]
    at: Where<'a>,
    zone: &'a str,
    size_bytes: u64,
    #[serde(rename = "type")]
    kind: &'a str,
    state: &'a str,
    attached_to: Vec<&'a str>,
    snapshot: Option<&'a str>,
    iops: Option<u32>,
    throughput_mib: Option<u32>,
    encrypted: bool,
    created: String,
    tags: BTreeMap<&'a str, &'a str>,
}

impl Row for VolumeRow {
    const COLUMNS: &'static [Column] = &[
        ("volume", Side::Left),
        ("zone", Side::Left),
        ("name", Side::Left),
        ("size", Side::Right),
        ("type", Side::Left),
        ("state", Side::Left),
        ("attached to", Side::Left),
        ("age", Side::Right),
        ("enc", Side::Left),
    ];
    const HEADS: &'static [&'static str] = &[
        "id",
        "region",
        "account",
        "zone",
        "name",
        "size_bytes",
        "type",
        "state",
        "attached_to",
        "snapshot",
        "encrypted",
        "created",
    ];
    type Json<'a> = VolumeJson<'a>;
    fn cells(&self, now: Timestamp) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.zone.to_string(),
            text(self.name.as_deref()),
            self.size.to_string(),
            self.kind.to_string(),
            self.state.to_string(),
            all(&self.attached_to),
            age(Some(self.created), now),
            if self.encrypted { "yes" } else { "no" }.to_owned(),
        ]
    }
    fn csv(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.origin.region.to_string(),
            self.origin.account.to_string(),
            self.zone.to_string(),
            text(self.name.as_deref()),
            self.size.0.to_string(),
            self.kind.to_string(),
            self.state.to_string(),
            all(&self.attached_to),
            text(self.snapshot.as_ref()),
            self.encrypted.to_string(),
            self.created.to_string(),
        ]
    }
    fn json(&self) -> VolumeJson<'_> {
        VolumeJson {
            id: self.id.as_str(),
            name: self.name.as_deref(),
            at: Where::of(&self.origin),
            zone: &self.zone,
            size_bytes: self.size.0,
            kind: &self.kind,
            state: &self.state,
            attached_to: self.attached_to.iter().map(|instance| instance.as_str()).collect(),
            snapshot: self.snapshot.as_ref().map(|snapshot| snapshot.as_str()),
            iops: self.iops,
            throughput_mib: self.throughput,
            encrypted: self.encrypted,
            created: self.created.to_string(),
            tags: map(&self.tags),
        }
    }
}

/// An image in JSON.
#[derive(Debug, Serialize)]
pub struct ImageJson<'a> {
    id: &'a str,
    name: &'a str,
    #[serde(flatten)]
    at: Where<'a>,
    owner: &'a str,
    state: &'a str,
    architecture: &'a str,
    platform: &'a str,
    public: bool,
    snapshots: Vec<&'a str>,
    size_bytes: u64,
    created: Option<String>,
    deprecated: Option<String>,
    last_launched: Option<String>,
    description: &'a str,
    tags: BTreeMap<&'a str, &'a str>,
}

impl Row for ImageRow {
    const COLUMNS: &'static [Column] = &[
        ("image", Side::Left),
        ("region", Side::Left),
        ("name", Side::Left),
        ("size", Side::Right),
        ("snapshots", Side::Right),
        ("age", Side::Right),
        ("state", Side::Left),
        ("arch", Side::Left),
    ];
    const HEADS: &'static [&'static str] = &[
        "id",
        "region",
        "account",
        "name",
        "size_bytes",
        "state",
        "architecture",
        "platform",
        "public",
        "snapshots",
        "created",
    ];
    type Json<'a> = ImageJson<'a>;
    fn cells(&self, now: Timestamp) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.origin.region.to_string(),
            self.name.to_string(),
            self.size.to_string(),
            self.snapshots.len().to_string(),
            age(self.created, now),
            self.state.to_string(),
            self.architecture.to_string(),
        ]
    }
    fn csv(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.origin.region.to_string(),
            self.origin.account.to_string(),
            self.name.to_string(),
            self.size.0.to_string(),
            self.state.to_string(),
            self.architecture.to_string(),
            self.platform.to_string(),
            self.public.to_string(),
            all(&self.snapshots),
            text(self.created),
        ]
    }
    fn json(&self) -> ImageJson<'_> {
        ImageJson {
            id: self.id.as_str(),
            name: &self.name,
            at: Where::of(&self.origin),
            owner: self.owner.as_str(),
            state: &self.state,
            architecture: &self.architecture,
            platform: &self.platform,
            public: self.public,
            snapshots: self.snapshots.iter().map(|snapshot| snapshot.as_str()).collect(),
            size_bytes: self.size.0,
            created: self.created.map(|at| at.to_string()),
            deprecated: self.deprecated.map(|at| at.to_string()),
            last_launched: self.last_launched.map(|at| at.to_string()),
            description: &self.description,
            tags: map(&self.tags),
        }
    }
}

/// An instance in JSON.
#[derive(Debug, Serialize)]
pub struct InstanceJson<'a> {
    id: &'a str,
    name: Option<&'a str>,
    #[serde(flatten)]
    at: Where<'a>,
    state: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    image: Option<&'a str>,
    volumes: Vec<&'a str>,
    launched: Option<String>,
    tags: BTreeMap<&'a str, &'a str>,
}

impl Row for InstanceRow {
    const COLUMNS: &'static [Column] = &[
        ("instance", Side::Left),
        ("region", Side::Left),
        ("name", Side::Left),
        ("type", Side::Left),
        ("state", Side::Left),
        ("volumes", Side::Right),
        ("age", Side::Right),
    ];
    const HEADS: &'static [&'static str] =
        &["id", "region", "account", "name", "type", "state", "image", "volumes", "launched"];
    type Json<'a> = InstanceJson<'a>;
    fn cells(&self, now: Timestamp) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.origin.region.to_string(),
            text(self.name.as_deref()),
            self.kind.to_string(),
            self.state.to_string(),
            self.volumes.len().to_string(),
            age(self.launched, now),
        ]
    }
    fn csv(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.origin.region.to_string(),
            self.origin.account.to_string(),
            text(self.name.as_deref()),
            self.kind.to_string(),
            self.state.to_string(),
            text(self.image.as_ref()),
            all(&self.volumes),
            text(self.launched),
        ]
    }
    fn json(&self) -> InstanceJson<'_> {
        InstanceJson {
            id: self.id.as_str(),
            name: self.name.as_deref(),
            at: Where::of(&self.origin),
            state: &self.state,
            kind: &self.kind,
            image: self.image.as_ref().map(|image| image.as_str()),
            volumes: self.volumes.iter().map(|volume| volume.as_str()).collect(),
            launched: self.launched.map(|at| at.to_string()),
            tags: map(&self.tags),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        let now = Timestamp::from_second(1_000_000_000).expect("a moment");
        let ago = |seconds: i64| age(Timestamp::from_second(1_000_000_000 - seconds).ok(), now);
        assert_eq!(
            [ago(-5), ago(59), ago(7200), ago(3 * 86_400), ago(800 * 86_400)],
            ["0 m", "0 m", "2 h", "3 d", "2 y"]
        );
        assert_eq!(age(None, now), "");
    }
}
