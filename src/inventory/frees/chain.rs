//! Which snapshots follow one another, and what else could share their blocks.
//!
//! Snapshots of one volume are a chain. What was restored from one of them, and what was copied within the region,
//! branches off; such a branch is known (its volume says what it was made from), suspected (nothing says what a volume
//! that is gone was made from; AWS answers whether two snapshots are related), or neither.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::Lifetimes;
use super::why::{Why, Whys};
use crate::ids::{SnapshotId, VolumeId};
use crate::inventory::elsewhere::parent;
use crate::inventory::verdict::{Frees, Sureness};
use crate::inventory::{SnapshotRow, State, Tier, VolumeRow};
use crate::units::Bytes;

/// A snapshot of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: SnapshotId,
    /// When it was started.
    pub started: Timestamp,
    /// Size of its volume.
    pub size: Bytes,
    /// Whether its blocks can be listed: not while it is pending, and not in the Recycle Bin.
    pub is_listed: bool,
}

/// A family of snapshots that could share blocks with a chain, until AWS says that it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// One of them, to be asked about.
    pub id: SnapshotId,
}

/// Snapshots of one volume in one region, oldest first, and what is known of those that share with them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    /// Its members.
    pub members: Vec<Member>,
    /// What the volume was restored from, where that is there and stays a kept neighbour of the oldest; of a snapshot
    /// without a volume the parent that its tag names.
    pub root: Option<SnapshotId>,
    /// Members that a volume was restored from whose snapshots are there.
    forks: Vec<usize>,
    /// Families whose relation is not known yet.
    pub suspects: Vec<Suspect>,
    /// What its volume was made from is known, and is nothing or there.
    root_known: bool,
    /// What shares blocks with it, or may, and nobody knows from where on: copies within the region, relatives.
    pub entangled: Whys,
}

/// A run of snapshots that go, between those that stay.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stretch {
    /// The nearest older one that stays and can be listed.
    pub before: Option<SnapshotId>,
    /// Those that go, oldest first.
    pub ids: Vec<SnapshotId>,
    /// The nearest newer one that stays and can be listed.
    pub after: Option<SnapshotId>,
    /// The largest of their volumes.
    pub size: Bytes,
    /// Why a figure of it is at most; none where it is exact.
    pub whys: Whys,
}

impl Stretch {
    /// How sure a figure of it is.
    #[must_use]
    pub const fn sure(&self) -> Sureness {
        if self.whys.is_none() { Sureness::Exact } else { Sureness::UpperBound }
    }

    /// What is listed, oldest first: two snapshots where changes are, one where all of it is.
    #[must_use]
    pub fn steps(&self) -> Vec<(Option<&SnapshotId>, &SnapshotId)> {
        let mut before = self.before.as_ref();
        let mut out = Vec::with_capacity(self.ids.len() + 1);
        for id in self.ids.iter().chain(&self.after) {
            out.push((before, id));
            before = Some(id);
        }
        out
    }
}

/// Whether blocks could be shared between two: not between different keys, nor with what is archived, which is stored
/// apart and whole.
fn could_share(a: &SnapshotRow, b: &SnapshotRow) -> bool {
    let keys = match (&a.data_key_id, &b.data_key_id) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    a.encrypted == b.encrypted && keys && b.tier == Tier::Standard && b.state != State::Error
}

/// Whether its own volume tells where it comes from, and its blocks are where those of others are.
fn is_plain(row: &SnapshotRow) -> bool {
    row.tier == Tier::Standard && row.volume.as_ref().is_some_and(|volume| !volume.is_placeholder())
}

/// The parent that its tag names, where that is there, older, can be listed, and can share with it. Were it younger, two
/// could name each other, and what both hold would be counted with neither.
fn recorded_parent(row: &SnapshotRow, rows: &[&SnapshotRow]) -> Option<SnapshotId> {
    let named = parent(row).filter(|id| *id != row.id)?;
    let there = rows.iter().find(|one| one.id == named && one.state == State::Completed)?;
    (row.tier == Tier::Standard && there.started < row.started && could_share(row, there)).then_some(named)
}

impl Chain {
    /// The chain of a snapshot, among all rows of its account and region; `volumes` are all that are there.
    #[must_use]
    pub fn of(row: &SnapshotRow, rows: &[&SnapshotRow], volumes: &[&VolumeRow]) -> Self {
        let real = |row: &SnapshotRow| row.volume.clone().filter(|volume| !volume.is_placeholder());
        let own = real(row);
        let mut members: Vec<&SnapshotRow> = match &own {
            Some(own) => rows.iter().copied().filter(|one| one.volume.as_ref() == Some(own)).collect(),
            None => vec![row],
        };
        members.retain(|one| one.tier == Tier::Standard && one.state != State::Error);
        members.sort_by(|a, b| a.started.cmp(&b.started).then_with(|| a.id.cmp(&b.id)));
        let mut chain = Self { members: members.iter().map(|one| member(one)).collect(), ..Self::default() };
        let Some(own) = own else {
            // What was copied or made by hand says of no relative that it has one, but perhaps what it was made on: what
            // both hold stays as long as that one does, whoever else holds it.
            chain.root = recorded_parent(row, rows);
            chain.entangled = Why::NoVolume.into();
            return chain;
        };
        let made_from = volumes.iter().find(|volume| volume.id == own).map(|volume| volume.snapshot.clone());
        let is_there = |id: &SnapshotId| rows.iter().find(|one| one.id == *id).copied();
        let blank = match &made_from {
            Some(None) => true,
            Some(Some(id)) => match is_there(id).filter(|one| one.state == State::Completed) {
                Some(one) if one.tier == Tier::Standard => {
                    chain.root = Some(id.clone());
                    true
                }
                _ => false,
            },
            None => false,
        };
        chain.root_known = blank;
        chain.look_around(&own, &members, blank, rows, volumes);
        chain
    }

    /// What lies in the Recycle Bin still holds its blocks, and cannot be listed: `bin` are the volumes that it was made
    /// from; none when nobody could say.
    pub fn binned(
        &mut self,
        row: &SnapshotRow,
        bin: Option<&[VolumeId]>,
        rows: &[&SnapshotRow],
        volumes: &[&VolumeRow],
    ) {
        let Some(bin) = bin else {
            self.entangled = self.entangled.and(Why::BinUnknown);
            return;
        };
        let apart = |volume: &VolumeId| {
            let made = volumes.iter().find(|one| one.id == *volume);
            let blank = self.root_known && made.is_some_and(|one| one.snapshot.is_none());
            // Another of its family speaks for it.
            let spoken = rows.iter().any(|one| one.volume.as_ref() == Some(volume) && one.state == State::Completed);
            !volume.is_placeholder() && row.volume.as_ref() != Some(volume) && (blank || spoken)
        };
        self.entangled = self.entangled.and_if(!bin.iter().all(apart), Why::Bin);
    }

    /// What of the other families could share with it.
    fn look_around(
        &mut self,
        own: &VolumeId,
        members: &[&SnapshotRow],
        root_known: bool,
        rows: &[&SnapshotRow],
        volumes: &[&VolumeRow],
    ) {
        let from: HashMap<&VolumeId, &Option<SnapshotId>> =
            volumes.iter().map(|one| (&one.id, &one.snapshot)).collect();
        let made_from = |volume: &VolumeId| from.get(volume).copied();
        let mut seen: HashSet<&VolumeId> = HashSet::from([own]);
        let others = rows.iter().copied().filter(|one| members.iter().any(|member| could_share(member, one)));
        for other in others {
            let Some(volume) = other.volume.as_ref().filter(|volume| !volume.is_placeholder()) else {
                self.entangled = self.entangled.and(Why::Copies);
                continue;
            };
            if seen.contains(volume) {
                continue;
            }
            if other.state != State::Completed {
                // It cannot be asked about; unless another of its family can, nobody knows.
                let asked = |one: &&&SnapshotRow| one.volume.as_ref() == Some(volume) && one.state == State::Completed;
                if rows.iter().any(|one| asked(&one)) {
                    continue;
                }
            }
            seen.insert(volume);
            let is_member = |id: &SnapshotId| self.members.iter().position(|member| member.id == *id);
            match made_from(volume) {
                Some(Some(from)) if is_member(from).is_some() => self.forks.extend(is_member(from)),
                // Made empty, or of something else that is there: it descends from no one here.
                Some(None) if root_known => {}
                Some(Some(from)) if root_known && rows.iter().any(|one| one.id == *from && is_plain(one)) => {}
                _ if other.state == State::Completed => self.suspects.push(Suspect { id: other.id.clone() }),
                _ => self.entangled = self.entangled.and(Why::NotTold),
            }
        }
    }

    /// Somebody to hold suspects against; none when no member can be listed.
    #[must_use]
    pub fn spokesman(&self) -> Option<&SnapshotId> {
        self.members.iter().rev().find(|member| member.is_listed).map(|member| &member.id)
    }

    /// Suspects were asked about: what came of it, where that is not that they are no relatives. Unknown is as good as
    /// yes.
    pub fn answered(&mut self, why: Option<Why>) {
        self.suspects.clear();
        self.entangled = why.map_or(self.entangled, |why| self.entangled.and(why));
    }

    /// Whether blocks are shared, or may be, from nobody knows where on.
    #[must_use]
    pub const fn is_entangled(&self) -> bool {
        !self.entangled.is_none()
    }

    /// The runs that these make, with who stays around them. What cannot be listed is in none.
    #[must_use]
    pub fn stretches(&self, goes: impl Fn(&SnapshotId) -> bool) -> Vec<Stretch> {
        // A root that goes keeps nothing.
        let root = self.root.as_ref().filter(|root| !goes(root));
        let goes = |member: &Member| member.is_listed && goes(&member.id);
        let mut out = Vec::new();
        let mut at = 0;
        while at < self.members.len() {
            if !goes(&self.members[at]) {
                at += 1;
                continue;
            }
            // Hidden ones in between belong to the run; it ends at one that stays and can be listed.
            let end = (at..self.members.len())
                .find(|n| self.members[*n].is_listed && !goes(&self.members[*n]))
                .unwrap_or(self.members.len());
            let before = (0..at).rev().find(|n| self.members[*n].is_listed);
            out.push(self.stretch(root, before, at, end, &goes));
            at = end;
        }
        out
    }

    fn stretch(
        &self,
        root: Option<&SnapshotId>,
        before: Option<usize>,
        from: usize,
        end: usize,
        goes: &impl Fn(&Member) -> bool,
    ) -> Stretch {
        let within = &self.members[from..end];
        let run = within.iter().filter(|member| goes(member));
        let last = (from..end).rev().find(|n| goes(&self.members[*n])).unwrap_or(from);
        let first_seen = before.map_or(0, |n| n + 1);
        let hidden = self.members[first_seen..end].iter().any(|member| !member.is_listed);
        let orphaned = before.is_none() && root.is_none() && self.root.is_some();
        let root = root.filter(|_| before.is_none());
        let forked = self.forks.iter().any(|fork| (from..=last).contains(fork));
        // Who is asked about is not known yet: as good as related.
        let whys = (self.entangled)
            .and_if(root.is_some() && self.entangled.has(Why::NoVolume), Why::Recorded)
            .and_if(hidden, Why::Pending)
            .and_if(forked, Why::Fork)
            .and_if(orphaned, Why::Root)
            .and_if(!self.suspects.is_empty(), Why::NotAsked);
        Stretch {
            before: before.map(|n| self.members[n].id.clone()).or_else(|| root.cloned()),
            ids: run.map(|member| member.id.clone()).collect(),
            after: self.members.get(end).map(|member| member.id.clone()),
            size: self.members.iter().map(|member| member.size).max().unwrap_or_default(),
            whys,
        }
    }

    /// All that can be listed as one stretch, whose lifetimes answer for every set of them ([`Chain::freed`]). What the
    /// volume was restored from stays before it: the oldest holds no version of its own of what it has from there.
    #[must_use]
    pub fn whole(&self) -> Option<Stretch> {
        self.stretches(|id| self.root.as_ref() != Some(id)).into_iter().next()
    }

    /// What a set of it frees, from the lifetimes of the whole of it.
    #[must_use]
    pub fn freed(&self, whole: &Stretch, lives: &Lifetimes, goes: impl Fn(&SnapshotId) -> bool) -> Frees {
        let blocks = lives.freed(|n| whole.ids.get(n as usize).is_some_and(&goes));
        Frees::counted(blocks.bytes(), self.whys(goes))
    }

    /// Why a figure for that set is at most; none where it is exact.
    #[must_use]
    pub fn whys(&self, goes: impl Fn(&SnapshotId) -> bool) -> Whys {
        self.stretches(goes).iter().fold(Whys::NONE, |all, stretch| all.with(stretch.whys))
    }
}

fn member(row: &SnapshotRow) -> Member {
    let is_listed = row.state == State::Completed;
    Member { id: row.id.clone(), started: row.started, size: row.size, is_listed }
}
