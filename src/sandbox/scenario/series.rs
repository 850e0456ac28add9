//! Volumes and the snapshots that were taken of them: one chain of a synthetic volume each.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::build::{Builder, Result, Spot, expand, instance_id, named};
use super::chance::Chance;
use super::format::{Maker, OneOf, SeriesSpec, SnapshotSpec, StateSpec, VolumeSpec, VolumeState};
use crate::ids::{SnapshotId, VolumeId};
use crate::sandbox::content::Content;
use crate::sandbox::model::{Attachment, FastRestore, Lock, Snapshot, SnapshotState, Tags, Volume};
use crate::sandbox::synth::{Shape, Synthetic};

const MAX_GIB: u32 = 65_536;
const BLOCKS_PER_GIB: u32 = 2048;

/// One volume of a `[[volume]]` entry.
struct Disk<'a> {
    spec: &'a VolumeSpec,
    spot: &'a Spot,
    name: String,
    id: VolumeId,
    gib: u32,
    chance: Chance,
}

impl Builder<'_> {
    pub fn volumes(&mut self, spec: &VolumeSpec) -> Result<()> {
        let spot = self.spot(&spec.at)?;
        for n in 1..=spec.count {
            let chance = spot.chance.of("volume").of(&spec.name).nth(u64::from(n));
            let gib = match &spec.gib {
                OneOf::One(gib) => *gib,
                OneOf::Several(sizes) => chance.of("size").pick(sizes).unwrap_or(1),
            };
            if !(1..=MAX_GIB).contains(&gib) {
                return Err(format!("a volume has 1 to {MAX_GIB} GiB, not {gib}"));
            }
            let id = match &spec.id {
                Some(id) if spec.count == 1 => id.clone(),
                Some(_) => return Err("an id is for one volume".to_owned()),
                None => chance.id("vol").parse()?,
            };
            let disk = Disk { spec, spot: &spot, name: expand(&spec.name, n, chance), id, gib, chance };
            self.series_of(&disk)?;
            if spec.state != VolumeState::Gone {
                self.volume(&disk, n)?;
            }
        }
        Ok(())
    }

    fn volume(&mut self, disk: &Disk<'_>, n: u32) -> Result<()> {
        let (spec, spot) = (disk.spec, disk.spot);
        let oldest = spec.snapshots.as_ref().map_or(SignedDuration::ZERO, |series| {
            series.newest.0.saturating_add(series.every.0.saturating_mul(i32::try_from(series.count).unwrap_or(0)))
        });
        let before =
            SignedDuration::from_hours(24 * i64::try_from(20 + disk.chance.of("age").below(300)).unwrap_or(20));
        let created = self.ago(oldest.saturating_add(before));
        let zones = &self.region(spot)?.zones;
        let zone = disk.chance.of("zone").pick(zones).unwrap_or('a');
        let mut attachments = Vec::new();
        if let Some(name) = &spec.instance {
            let name = expand(name, n, disk.chance);
            let root = spec.device == "/dev/xvda" || spec.device == "/dev/sda1";
            attachments.push(Attachment {
                instance: instance_id(spot, &name)?,
                device: spec.device.clone(),
                since: created,
                delete_on_termination: root,
            });
            self.attached.entry(named(spot, &name)).or_default().push((spec.device.clone(), disk.id.clone()));
        }
        if attachments.is_empty() == (spec.state == VolumeState::InUse) {
            return Err("an instance is named exactly when the state is \"in-use\"".to_owned());
        }
        let baseline = match spec.kind.as_str() {
            "gp3" => (Some(3000), Some(125)),
            "gp2" => (Some((disk.gib * 3).clamp(100, 16_000)), None),
            _ => (None, None),
        };
        let volume = Volume {
            id: disk.id.clone(),
            size_gib: disk.gib,
            kind: spec.kind.clone(),
            iops: spec.iops.or(baseline.0),
            throughput: spec.throughput.or(baseline.1),
            state: if attachments.is_empty() { "available" } else { "in-use" }.to_owned(),
            zone: format!("{}{zone}", spot.region),
            snapshot: spec.from.as_deref().map(|volume| self.nth(spot, volume, spec.from_n)).transpose()?,
            created,
            encryption: self.encryption(spot, spec.key.as_deref(), disk.chance),
            attachments,
            tags: disk.tags(),
        };
        match self.region(spot)?.volumes.insert(disk.id.clone(), volume) {
            None => Ok(()),
            Some(twice) => Err(format!("{} is there twice", twice.id)),
        }
    }

    /// Makes the snapshots of one volume, newest first.
    fn series_of(&mut self, disk: &Disk<'_>) -> Result<()> {
        let Some(series) = &disk.spec.snapshots else { return self.remember(disk.spot, &disk.name, Vec::new()) };
        let count = u32::try_from(series.ids.len()).unwrap_or(u32::MAX).max(series.count);
        let shape = disk.shape(count)?;
        let tags = disk.series_tags(series);
        let encryption = self.encryption(disk.spot, disk.spec.key.as_deref(), disk.chance);
        let mut ids = Vec::with_capacity(count as usize);
        for n in 0..count {
            let special = disk.spec.snapshot.iter().find(|special| special.n == n);
            let chance = disk.chance.of("snapshot").nth(u64::from(count - n));
            let given = series.ids.get(n as usize).filter(|_| disk.spec.count == 1);
            let id: SnapshotId = given.map_or_else(|| chance.id("snap").parse(), |id| Ok(id.clone()))?;
            let (started, completed) = self.times(disk, series, special, n, chance);
            let (state, progress) = state(special);
            let mut snapshot = Snapshot {
                id: id.clone(),
                owner: disk.spot.account.clone(),
                volume_id: disk.id.clone(),
                started,
                completed: (state == SnapshotState::Completed).then_some(completed),
                state,
                progress,
                size_gib: disk.gib,
                description: disk.description(series, chance),
                tags: each_tags(&tags, series.by, started, chance),
                encryption: encryption.clone(),
                tier: special.and_then(|special| special.tier).unwrap_or_default(),
                transfer_type: None,
                shared: Vec::new(),
                upload: None,
                copying: None,
                tiering: special.and_then(|special| special.tiering.clone()),
                archived: special
                    .and_then(|special| special.tier)
                    .filter(|tier| *tier == crate::sandbox::model::Tier::Archive)
                    .map(|_| completed),
                content: Content::Synthetic(Synthetic { seed: disk.chance.bits(), version: count - 1 - n, shape }),
            };
            ids.push(id.clone());
            let Some(special) = special else {
                self.keep(disk.spot, snapshot)?;
                continue;
            };
            snapshot.shared = self.shares(&special.shared)?;
            apply(special, &mut snapshot);
            self.guards(disk, special, &snapshot)?;
            match special.binned {
                None => self.keep(disk.spot, snapshot)?,
                Some(age) => {
                    let binned = self.binned(age);
                    self.region(disk.spot)?.bin.insert(id, (binned, snapshot));
                }
            }
        }
        self.remember(disk.spot, &disk.name, ids)
    }

    /// Locks it and restores it fast, where the file says so.
    fn guards(&mut self, disk: &Disk<'_>, special: &SnapshotSpec, snapshot: &Snapshot) -> Result<()> {
        let (since, id) = (snapshot.started, &snapshot.id);
        if let Some(state) = &special.lock {
            if !matches!(state.as_str(), "governance" | "compliance" | "compliance-cooloff" | "expired") {
                return Err(format!("a lock is not {state}"));
            }
            let days = if state == "expired" { 1 } else { 36_500 };
            let expires = since.saturating_add(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(since);
            let lock = Lock { state: state.clone(), since, days, expires };
            self.region(disk.spot)?.locks.insert(id.clone(), lock);
        }
        for letter in special.fast_restore.chars() {
            let zone = format!("{}{letter}", disk.spot.region);
            let fast = FastRestore { state: "enabled".to_owned(), since };
            self.region(disk.spot)?.fast_restores.insert((id.clone(), zone), fast);
        }
        Ok(())
    }

    /// When a snapshot was started and completed. Schedules are not exact to the second, and large ones take longer.
    fn times(
        &self,
        disk: &Disk<'_>,
        series: &SeriesSpec,
        special: Option<&SnapshotSpec>,
        n: u32,
        chance: Chance,
    ) -> (Timestamp, Timestamp) {
        let whole = series.every.0.saturating_mul(i32::try_from(n).unwrap_or(i32::MAX));
        let late = SignedDuration::from_secs(i64::try_from(chance.of("late").below(500)).unwrap_or(0));
        let age = special
            .and_then(|special| special.age)
            .map_or_else(|| series.newest.0.saturating_add(whole).saturating_add(late), |age| age.0);
        let started = self.ago(age);
        let minutes = 2 + u64::from(disk.gib / 256) + chance.of("minutes").below(8);
        let took = SignedDuration::from_mins(i64::try_from(minutes).unwrap_or(2));
        (started, started.saturating_add(took).unwrap_or(started).min(self.now))
    }
}

impl Disk<'_> {
    /// What the volume looks like, so that the newest of `count` snapshots lists what the file says.
    fn shape(&self, count: u32) -> Result<Shape> {
        let whole = self.gib * BLOCKS_PER_GIB;
        let newest = match (self.spec.blocks, self.spec.fill) {
            (Some(blocks), None) => blocks,
            (None, fill) => {
                let fill = fill.unwrap_or_else(|| f64::from(350 + self.small("fill", 550)) / 1000.0);
                part(fill, whole)
            }
            (Some(_), Some(_)) => return Err("either blocks or fill".to_owned()),
        };
        if newest > whole {
            return Err(format!("{} GiB have {whole} blocks, not {newest}", self.gib));
        }
        let later = count.saturating_sub(1);
        let grows = self.spec.grows.unwrap_or_else(|| newest / (40 + self.small("grows", 200)) / later.max(8));
        let allocated = newest
            .checked_sub(grows.checked_mul(later).ok_or("grows is too large")?)
            .ok_or_else(|| format!("{count} snapshots that grow by {grows} blocks each reach more than {newest}"))?;
        let permille = |given: Option<f64>, usual: u32| {
            u16::try_from(given.map_or(usual, |given| part(given, 1000))).unwrap_or(1000).min(1000)
        };
        Ok(Shape {
            gib: self.gib,
            allocated,
            growth: i32::try_from(grows).map_err(|_| "grows is too large")?,
            churn_permille: permille(self.spec.churn, 20 + self.small("churn", 120)),
            zero_permille: permille(self.spec.zeros, 30),
            compressible_permille: permille(self.spec.compressible, 400),
            layout: self.spec.inside,
        })
    }

    fn small(&self, what: &str, below: u64) -> u32 {
        u32::try_from(self.chance.of(what).below(below)).unwrap_or(0)
    }

    fn tags(&self) -> Tags {
        let mut tags = self.spec.tags.clone();
        if !self.name.is_empty() {
            tags.insert("Name".to_owned(), self.name.clone());
        }
        Arc::new(tags)
    }

    /// What all snapshots of the volume carry: its own tags and those of who takes them.
    fn series_tags(&self, series: &SeriesSpec) -> Tags {
        let mut tags = self.tags();
        let mut add = |key: &str, value: String| {
            Arc::make_mut(&mut tags).insert(key.to_owned(), value);
        };
        let policy = || format!("policy-0{:016x}", self.spot.chance.of("policy").bits());
        match series.by {
            Maker::Manual => {}
            Maker::Dlm => {
                add("aws:dlm:lifecycle-policy-id", policy());
                add("aws:dlm:lifecycle-schedule-name", "Daily".to_owned());
                add("dlm:managed", "true".to_owned());
            }
            Maker::Backup => {
                let (region, account) = (&self.spot.region, &self.spot.account);
                let arn = format!("arn:{}:ec2:{region}:{account}:volume/{}", region.partition(), self.id);
                add("aws:backup:source-resource", arn);
            }
            Maker::Velero => {
                add("velero.io/storage-location", "default".to_owned());
                add("velero.io/pv", format!("pvc-{}", self.chance.of("pv").uuid()));
                add("kubernetes.io/cluster/prod", "owned".to_owned());
            }
            Maker::Csi => {
                add("ebs.csi.aws.com/cluster", "true".to_owned());
                add("kubernetes.io/created-for/pvc/name", self.name.clone());
            }
        }
        tags
    }

    fn description(&self, series: &SeriesSpec, chance: Chance) -> String {
        if let Some(description) = &series.description {
            return description.clone();
        }
        let policy = || format!("policy-0{:016x}", self.spot.chance.of("policy").bits());
        match series.by {
            Maker::Manual => String::new(),
            Maker::Dlm => format!("Created for policy: {} schedule: Daily", policy()),
            Maker::Backup => "This snapshot is created by the AWS Backup service.".to_owned(),
            Maker::Velero => "Created by AWS EBS CSI driver for volume ".to_owned() + self.id.as_str(),
            Maker::Csi => format!("Created by AWS EBS CSI driver for volume {} ({})", self.id, chance.of("csi").uuid()),
        }
    }
}

/// `share` of `whole`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float to int cast saturates")]
fn part(share: f64, whole: u32) -> u32 {
    (share * f64::from(whole)).round() as u32
}

/// What differs from snapshot to snapshot: who takes them by backup or claim gives each a name of its own.
fn each_tags(series: &Tags, by: Maker, started: Timestamp, chance: Chance) -> Tags {
    let own = match by {
        Maker::Velero => ("velero.io/backup", started.strftime("daily-%Y%m%d%H%M%S").to_string()),
        Maker::Csi => ("CSIVolumeSnapshotName", format!("snapshot-{}", chance.of("csi").uuid())),
        Maker::Manual | Maker::Dlm | Maker::Backup => return series.clone(),
    };
    let mut tags: BTreeMap<String, String> = (**series).clone();
    tags.insert(own.0.to_owned(), own.1);
    Arc::new(tags)
}

fn state(special: Option<&SnapshotSpec>) -> (SnapshotState, u8) {
    let progress = |usual: u8| special.and_then(|special| special.progress).unwrap_or(usual);
    match special.and_then(|special| special.state).unwrap_or(StateSpec::Completed) {
        StateSpec::Completed => (SnapshotState::Completed, 100),
        StateSpec::Pending => (SnapshotState::Pending, progress(40).min(99)),
        StateSpec::Error => {
            let message = special.and_then(|special| special.message.clone());
            let usual = || "Client error: the key for encryption was not accessible".to_owned();
            (SnapshotState::Error(message.unwrap_or_else(usual)), progress(0).min(99))
        }
    }
}

fn apply(special: &SnapshotSpec, snapshot: &mut Snapshot) {
    if let Some(description) = &special.description {
        snapshot.description.clone_from(description);
    }
    if !special.tags.is_empty() {
        let tags = Arc::make_mut(&mut snapshot.tags);
        for (key, value) in &special.tags {
            if value.is_empty() {
                tags.remove(key);
            } else {
                tags.insert(key.clone(), value.clone());
            }
        }
    }
}
