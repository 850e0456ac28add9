//! Where else a snapshot is, as the deck knows it: floe's records beside what the lists show now, then tags.
//!
//! Invariant: a copy is called proved only while its record is believed and its snapshot, where its region was looked
//! at, is there and completed. What only a tag says is told as "by tag".

use jiff::Timestamp;

use super::catalog::{Catalog, Load, Seen};
use super::model::Model;
use crate::address::{Address, Place};
use crate::ids::{Profile, Region};
use crate::inventory::elsewhere::{Copy, Proof, Where, by_tag, is_of_job};
use crate::inventory::{SnapshotRow, State};
use crate::store::copies::Held;

/// A snapshot and where it is.
#[must_use]
pub fn held(row: &SnapshotRow) -> Held {
    Held { region: row.origin.region.clone(), id: row.id.clone() }
}

/// Every copy of a snapshot that is known, what is proved first, then the latest.
#[must_use]
pub fn copies_of(model: &Model, of: &Held) -> Vec<Copy> {
    let mut out: Vec<Copy> =
        model.copies.iter().filter(|copy| copy.of == *of).map(|copy| seen(&model.catalog, copy)).collect();
    for row in model.catalog.tagged_copies(&of.id) {
        let Some(copy) = by_tag(row).filter(|copy| copy.of == *of) else { continue };
        if row.state == State::Completed && !out.iter().any(|known| known.at == copy.at) {
            out.push(copy);
        }
    }
    out.sort_by_key(|copy| (!copy.proof.is_proved(), std::cmp::Reverse(copy.since)));
    out
}

/// What a snapshot is itself a copy of, and whether that is still where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The copy: this snapshot.
    pub copy: Copy,
    /// Its source was looked for, and is not there any more.
    pub is_gone: bool,
}

/// What a snapshot is a copy of: by floe's record of it, else by its tags.
#[must_use]
pub fn origin_of(model: &Model, row: &SnapshotRow) -> Option<Origin> {
    let here = Where::Snapshot(held(row));
    let recorded = model.copies.iter().find(|copy| copy.at == here).map(|copy| seen(&model.catalog, copy));
    let copy = recorded.filter(|copy| copy.proof.is_proved()).or_else(|| by_tag(row))?;
    let found = model.catalog.snapshots.find(&copy.of.id).and_then(|at| model.catalog.snapshots.slot(at));
    let is_gone = match found {
        Some(slot) => slot.seen == Seen::Gone,
        None => is_told(&model.catalog, &copy.of.region, copy.since),
    };
    Some(Origin { copy, is_gone })
}

/// A snapshot in few words: `euw1 …2b9e`.
#[must_use]
pub fn spot(there: &Held) -> String {
    format!("{} {}", there.region.short(), super::text::tail(there.id.as_str(), 9))
}

/// The same copy, as the lists show it now.
#[must_use]
pub fn seen(catalog: &Catalog, copy: &Copy) -> Copy {
    let Where::Snapshot(there) = &copy.at else { return copy.clone() };
    let mut out = copy.clone();
    match catalog.snapshots.find(&there.id).and_then(|at| catalog.snapshots.slot(at)) {
        Some(slot) if slot.seen == Seen::Gone => out.proof = Proof::Gone,
        // As plans have it: without the tag of the job that made it, it is another snapshot of that name.
        Some(slot)
            if slot.row.state != State::Completed
                || copy.unique.as_ref().is_some_and(|unique| !is_of_job(&slot.row, unique)) =>
        {
            out.proof = Proof::Claimed;
        }
        None if is_told(catalog, &there.region, copy.since) => out.proof = Proof::Gone,
        Some(_) | None => {}
    }
    out.is_base &= out.proof.is_proved();
    out
}

/// Whether every snapshot of a region was listed after that moment: what was made since is in no list yet.
fn is_told(catalog: &Catalog, region: &Region, since: Timestamp) -> bool {
    let mut shards = catalog.snapshots.shards.iter().filter(|shard| shard.origin.region == *region).peekable();
    shards.peek().is_some() && shards.all(|shard| matches!(shard.load, Load::Done(when) if when > since))
}

/// Something that a delta may be written onto, and why it is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// As it is typed.
    pub word: String,
    /// Why.
    pub why: String,
    /// Whether a plan takes it as it is.
    pub proved: bool,
}

/// What holds a snapshot and could take what changed since: proved copies first. The plan decides in the end.
#[must_use]
pub fn bases(model: &Model, of: &Held) -> Vec<Base> {
    let copies = copies_of(model, of).into_iter();
    let usable = copies.filter(|copy| copy.is_base || copy.proof == Proof::Tag);
    usable.map(|copy| base(model, &copy)).collect()
}

fn base(model: &Model, copy: &Copy) -> Base {
    let (_, how) = copy.proof.words();
    let word = match &copy.at {
        Where::File(path) => path.display().to_string(),
        Where::Stored(url) => url.clone(),
        Where::Snapshot(there) => {
            let place = Place { profile: profile_of(model, there), region: Some(there.region.clone()) };
            Address::OnParent(place, there.id.clone()).to_string()
        }
    };
    Base { word, why: format!("{ON_A_COPY}: {how}"), proved: copy.proof.is_proved() }
}

fn profile_of(model: &Model, there: &Held) -> Option<Profile> {
    let row = model.catalog.snapshots.find(&there.id).and_then(|at| model.catalog.snapshots.get(at));
    row.map_or_else(|| model.profile().cloned(), |row| row.origin.profile.clone())
}

/// What a base for a delta is called.
pub const ON_A_COPY: &str = "on the copy of its first";

/// A copy in few words: `euw1 …2b9e`, or the file.
#[must_use]
pub fn place(copy: &Copy) -> String {
    match &copy.at {
        Where::Snapshot(there) => spot(there),
        Where::File(path) => path.display().to_string(),
        Where::Stored(url) => url.clone(),
    }
}

/// The moment that a copy shows: when its source was started, so that its age is what would be lost.
#[must_use]
pub fn shows(catalog: &Catalog, of: &Held) -> Option<Timestamp> {
    let at = catalog.snapshots.find(&of.id)?;
    catalog.snapshots.get(at).map(|row| row.started)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::JobId;
    use crate::tui::testing::{deck, when};

    fn record(of: &Held, there: &Held, unique: &str) -> Copy {
        Copy {
            of: of.clone(),
            at: Where::Snapshot(there.clone()),
            proof: Proof::Copied(JobId(7)),
            since: when(-60),
            is_base: true,
            unique: Some(unique.to_owned()),
        }
    }

    #[test]
    fn a_copy_knows_what_it_was_copied_from_as_its_source_knows_the_copy() {
        let mut model = deck(120, 36);
        let source = model.catalog.snapshots.shards[0].rows[0].row.clone();
        let copy = model.catalog.snapshots.shards[1].rows[0].row.make_own().unwrap();
        copy.tags.push(("floe:job".to_owned(), "job-u".to_owned()));
        let copy = copy.clone();
        assert_eq!(origin_of(&model, &copy), None);
        model.copies = vec![record(&held(&source), &held(&copy), "job-u")];
        let origin = origin_of(&model, &copy).expect("its source");
        assert_eq!(
            (&origin.copy.of, &origin.copy.proof, origin.is_gone),
            (&held(&source), &Proof::Copied(JobId(7)), false)
        );
        assert_eq!(copies_of(&model, &held(&source))[0].at, Where::Snapshot(held(&copy)), "and the other way round");
        let said = |model: &Model, row: &SnapshotRow, label: &str| {
            crate::tui::screen::detail::snapshot(model, row, 60, crate::tui::testing::now())
                .into_iter()
                .map(|(line, _)| line)
                .find(|line| line.starts_with(label))
        };
        let line = said(&model, &copy, "COPY OF").expect("it is said");
        assert!(
            line.contains(&spot(&held(&source))) && line.contains("proved, job 7") && line.ends_with(" m ago"),
            "{line}"
        );
        assert_eq!(said(&model, &copy, "ELSEWHERE"), None, "its source is where else it is");
        assert!(said(&model, &source, "ELSEWHERE").is_some_and(|line| line.contains(&spot(&held(&copy)))));
        // A source that was listed and is not there is no copy of anything.
        model.catalog.snapshots.shards[0].rows[0].seen = Seen::Gone;
        let line = said(&model, &copy, "COPY OF").expect("it is said");
        assert!(line.contains("gone"), "{line}");
        assert!(said(&model, &copy, "ELSEWHERE").is_some_and(|line| line.contains("no copy known")));
        // Only its tags say so.
        model.copies.clear();
        let mut tagged = copy;
        tagged.tags.push(("floe:source".to_owned(), format!("us-east-1:{}", source.id)));
        let origin = origin_of(&model, &tagged).expect("by its tag");
        assert_eq!(origin.copy.proof, Proof::Tag);
    }

    #[test]
    fn a_record_counts_only_while_its_snapshot_is_there_and_says_so() {
        let mut model = deck(120, 36);
        let rows: Vec<_> = model.catalog.snapshots.shards[0].rows.iter().map(|slot| slot.row.clone()).collect();
        let of = held(&rows[0]);
        let mut there = held(&model.catalog.snapshots.shards[1].rows[0].row);
        model.copies = vec![record(&of, &there, "job-u")];
        assert_eq!(copies_of(&model, &of)[0].proof, Proof::Claimed, "no tag of that job");
        assert!(bases(&model, &of).is_empty());
        let tagged = model.catalog.snapshots.shards[1].rows[0].row.make_own().unwrap();
        tagged.tags.push(("floe:job".to_owned(), "job-u".to_owned()));
        assert_eq!(copies_of(&model, &of)[0].proof, Proof::Copied(JobId(7)));
        assert_eq!(bases(&model, &of)[0].word, format!("prod@eu-west-1:{}+", there.id));
        there.id = "snap-0feedfeedfeed0001".parse().unwrap();
        model.copies = vec![record(&of, &there, "job-u")];
        assert_eq!(copies_of(&model, &of)[0].proof, Proof::Gone, "the region was listed, and it is not there");
        model.copies[0].since = when(60);
        assert!(copies_of(&model, &of)[0].proof.is_proved(), "what was copied since is in no list yet");
        there.region = "sa-east-1".parse().unwrap();
        model.copies = vec![record(&of, &there, "job-u")];
        assert!(copies_of(&model, &of)[0].proof.is_proved(), "where nobody looked, the record stands");
    }
}
