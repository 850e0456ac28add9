//! The screen on a region of few things, judged by the very rules.

use std::sync::Arc;

use super::*;
use crate::error::{AwsDetail, Class};
use crate::inventory::relations::{Answers, Facts, Told};
use crate::rows::{SnapshotRow, TemplateRow};
use crate::tui::testing::{deck, frame, image, now, origin, press, snapshot, volume, when};
use crate::tui::update::{update, wants};

fn known<T>(value: T) -> Told<T> {
    Told::Known { value, at: when(0) }
}

/// Twelve snapshots, three of living volumes, one of an image, one copy; three volumes; an image. `refused` leaves
/// launch templates without an answer.
pub fn region(refused: bool) -> Arc<Region> {
    let here = origin("us-east-1");
    let mut snapshots: Vec<SnapshotRow> = (1..=12).map(|n| snapshot(&here, n)).collect();
    for (n, row) in snapshots.iter_mut().enumerate() {
        row.started = when(-(200 + n as i64) * 86_400);
    }
    snapshots[4].volume = "vol-ffffffff".parse().ok();
    snapshots[5].description = "Created by CreateImage(i-0123abcd) for ami-0aaaaaaaaaaaaaaaa".to_owned();
    let volumes = vec![volume(&here, 1), volume(&here, 2), volume(&here, 3)];
    let shared = snapshots.iter().map(|row| (row.id.clone(), known(Vec::new()))).collect();
    let images = vec![image(&here, 4)];
    let templates = match refused {
        false => known(Vec::new()),
        true => {
            let mut error = crate::error::Error::classed(Class::Permanent, "could not list launch templates");
            error.aws = Some(Box::new(AwsDetail {
                operation: "ec2:DescribeLaunchTemplates".to_owned(),
                code: "UnauthorizedOperation".to_owned(),
                ..AwsDetail::default()
            }));
            Told::<Vec<TemplateRow>>::Failed { error: Box::new(error), at: when(0) }
        }
    };
    let answers = Answers {
        templates,
        versions: known(Vec::new()),
        public: known(Vec::new()),
        locks: known(Vec::new()),
        fast_restores: known(Vec::new()),
        tierings: known(Vec::new()),
        binned_snapshots: known(Vec::new()),
        binned_images: known(Vec::new()),
        snapshot_shares: shared,
        image_shares: [(images[0].id.clone(), known(Vec::new()))].into(),
        image_references: [(images[0].id.clone(), known(Vec::new()))].into(),
        ..Answers::default()
    };
    let facts = Facts {
        origin: here,
        snapshots: known(Arc::new(snapshots)),
        volumes: known(Arc::new(volumes)),
        images: known(Arc::new(images)),
        instances: known(Arc::new(Vec::new())),
        answers,
        jobs: known(Vec::new()),
        copies: Arc::default(),
    };
    Arc::new(Region::new(facts))
}

/// A deck on Orphans with that region judged.
pub fn judged_deck(width: u16, height: u16, refused: bool) -> (Model, Now) {
    let (mut model, mut now) = (deck(width, height), now());
    let effects = press(&mut model, &["5"], &mut now);
    assert!(matches!(effects.as_slice(), [.., Effect::Judge { anew: Anew::Nothing, .. }]), "{effects:?}");
    let number = model.orphans.number;
    let region = region(refused);
    for told in [Update::Regions(1), Update::Bulk(Arc::clone(&region)), Update::Done(region), Update::Finished] {
        update(&mut model, Msg::Judged(number, Box::new(told)), now);
    }
    settle(&mut model, &mut now);
    (model, now)
}

pub fn settle(model: &mut Model, now: &mut Now) {
    *now = now.later(std::time::Duration::from_secs(1));
    while wants(model, *now).work {
        update(model, Msg::Work, *now);
    }
}

pub fn sure(width: u16, height: u16) -> (Model, Now) {
    judged_deck(width, height, false)
}

pub fn not_sure(width: u16, height: u16) -> (Model, Now) {
    judged_deck(width, height, true)
}

#[test]
fn it_opens_with_what_could_be_cleared_and_esc_shows_everything() {
    let (mut model, mut now) = sure(120, 36);
    assert_eq!(model.orphans.list.filter.text, FIRST);
    let shown = model.orphans.list.len();
    let (orphans, more) = model.orphans.count(TALLY_ORPHAN);
    let (unknown, _) = model.orphans.count(TALLY_UNKNOWN);
    assert_eq!((shown as u64, more), (orphans + unknown, false));
    assert!(orphans > 0 && unknown == 1, "the copy is unknown: {orphans} {unknown}");
    press(&mut model, &["esc"], &mut now);
    settle(&mut model, &mut now);
    assert_eq!(model.orphans.list.len(), 16, "snapshots, volumes, images");
    let picture = frame(&model, now).join("\n");
    assert!(picture.contains("EVIDENCE") && picture.contains("cannot be seen: Terraform"), "{picture}");
}

#[test]
fn what_is_refused_is_told_with_how_many_wait_for_it_and_y_copies_the_statement() {
    let (mut model, mut now) = not_sure(120, 36);
    assert_eq!(
        model.orphans.count(TALLY_ORPHAN).0,
        model.orphans.table.shards[0]
            .rows
            .iter()
            .filter(|slot| slot.row.id().starts_with("vol") && slot.row.standing.verdict.word() == "orphan")
            .count() as u64
    );
    let picture = frame(&model, now).join("\n");
    let waiting = model.orphans.doubts[0].count;
    assert!(picture.contains(&format!("{waiting} more would be orphans if it says no")), "{picture}");
    let effects = press(&mut model, &["y"], &mut now);
    let [Effect::Copy(text)] = effects.as_slice() else { panic!("{effects:?}") };
    let statement: serde_json::Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(statement["Action"], serde_json::json!(["ec2:DescribeLaunchTemplates"]));
    // With a mark, y is about the mark.
    press(&mut model, &["g", "space"], &mut now);
    let effects = press(&mut model, &["y"], &mut now);
    let marked = marked(&model, now);
    assert!(matches!(effects.as_slice(), [Effect::Copy(text)] if *text == marked[0].id), "{effects:?}");
}

#[test]
fn marks_are_judged_things_and_d_plans_exactly_these_and_deletes_nothing() {
    let (mut model, mut now) = sure(120, 36);
    press(&mut model, &[":"], &mut now);
    for c in "mark verdict:orphan".chars() {
        let key = if c == ' ' { "space".to_owned() } else { c.to_string() };
        press(&mut model, &[key.as_str()], &mut now);
    }
    press(&mut model, &["enter"], &mut now);
    let marked = marked(&model, now);
    assert_eq!(marked.len() as u64, model.orphans.count(TALLY_ORPHAN).0);
    assert!(marked.iter().all(|judged| judged.verdict.word() == "orphan" && judged.evidence.len() > 4));
    let effects = press(&mut model, &["D"], &mut now);
    let [Effect::PlanRemoval { wanted, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    let planned: Vec<&str> = wanted.targets.iter().map(|(_, target)| target.id()).collect();
    assert_eq!(planned, marked.iter().map(|judged| judged.id.as_str()).collect::<Vec<_>>());
    assert_eq!(model.screen, crate::tui::screen::Screen::Removal);
}

#[test]
fn older_surveys_are_dropped_and_r_asks_anew() {
    let (mut model, mut now) = sure(120, 36);
    let before = model.orphans.count(TALLY_ORPHAN);
    update(&mut model, Msg::Judged(0, Box::new(Update::Done(region(true)))), now);
    assert_eq!(model.orphans.count(TALLY_ORPHAN), before);
    let effects = press(&mut model, &["r"], &mut now);
    assert!(matches!(effects.as_slice(), [Effect::Judge { anew: Anew::All, .. }]), "{effects:?}");
    assert!(!model.orphans.finished, "what is shown stays");
    press(&mut model, &["1"], &mut now);
    assert!(frame(&model, now).join("\n").contains("ORPHANS"), "World has the column now");
}

/// What a look of that number tells in the end.
fn listed(model: &mut Model, now: Now) -> Vec<Effect> {
    use crate::inventory::{Kind, Update as Told};
    let (look, here) = (model.look, origin("us-east-1"));
    update(model, Msg::Inventory(look, Told::Done(here, Kind::Snapshots, now.wall)), now);
    update(model, Msg::Inventory(look, Told::Finished), now)
}

#[test]
fn r_on_world_judges_again_as_far_as_it_was_judged() {
    let (mut model, mut now) = sure(120, 36);
    for (key, wanted) in [("1", Anew::Answers), ("2", Anew::Nothing)] {
        let effects = press(&mut model, &[key, "r"], &mut now);
        assert!(matches!(effects.as_slice(), [.., Effect::Look { .. }]), "{effects:?}");
        let before = model.orphans.number;
        let effects = listed(&mut model, now);
        let asked = effects.iter().find_map(|effect| match effect {
            Effect::Judge { anew, depth, number, .. } => Some((*anew, *depth, *number)),
            _ => None,
        });
        let (anew, depth, number) = asked.expect("it is judged again");
        assert_eq!((anew, depth), (wanted, Depth::Single), "{key}: what 5 asked one by one is asked again");
        assert!(number > before && !model.orphans.finished);
        assert!(listed(&mut model, now).is_empty(), "once");
        update(&mut model, Msg::Judged(number, Box::new(Update::Finished)), now);
    }
    // A look that nobody asked for (the first of a session) leaves what was judged.
    assert!(!listed(&mut model, now).iter().any(|effect| matches!(effect, Effect::Judge { .. })));
}

#[test]
fn r_while_it_judges_judges_again_when_that_is_over() {
    let (mut model, mut now) = sure(120, 36);
    press(&mut model, &["r", "1", "r"], &mut now);
    assert!(!listed(&mut model, now).iter().any(|effect| matches!(effect, Effect::Judge { .. })), "one at a time");
    let number = model.orphans.number;
    let effects = update(&mut model, Msg::Judged(number, Box::new(Update::Finished)), now);
    assert!(matches!(effects.as_slice(), [.., Effect::Judge { anew: Anew::Answers, .. }]), "{effects:?}");
}

#[test]
fn orphans_that_are_older_than_the_lists_say_their_age() {
    let (mut model, mut now) = sure(120, 36);
    press(&mut model, &["1", "r"], &mut now);
    assert!(!frame(&model, now).join("\n").contains("orphans as of"), "as old as the lists");
    now = now.later(std::time::Duration::from_secs(12 * 60));
    listed(&mut model, now);
    let shown = frame(&model, now).join("\n");
    assert!(shown.contains("orphans as of 12 m ago: r"), "{shown}");
    let number = model.orphans.number;
    for told in [Update::Regions(1), Update::Bulk(region(false)), Update::Done(region(false)), Update::Finished] {
        update(&mut model, Msg::Judged(number, Box::new(told)), now);
    }
    assert!(!frame(&model, now).join("\n").contains("orphans as of"));
}

/// A snapshot of a volume that is gone.
const MOST: u64 = 44;

/// The region again, with one thing more that frees more than everything else.
fn grown() -> Arc<Region> {
    let region = region(false);
    let mut facts: Facts = region.facts.clone();
    let mut rows: Vec<SnapshotRow> = region.snapshots().to_vec();
    let mut most = snapshot(&facts.origin, MOST);
    (most.size, most.full) = (crate::units::Bytes::gib(9_000), Some(crate::units::Bytes::gib(9_000)));
    most.started = when(-400 * 86_400);
    facts.answers.snapshot_shares.insert(most.id.clone(), known(Vec::new()));
    rows.push(most);
    facts.snapshots = known(Arc::new(rows));
    Arc::new(Region::new(facts))
}

#[test]
fn what_is_asked_about_a_row_is_done_to_that_row_though_others_come_above_it() {
    for key in ["A", "z"] {
        let (mut model, mut now) = sure(120, 36);
        press(&mut model, &["g"], &mut now);
        while model.orphans.list.current().is_some_and(|at| exact::snapshot(&model, at).is_none()) {
            press(&mut model, &["j"], &mut now);
        }
        let before = marked(&model, now)[0].id.clone();
        press(&mut model, &[key], &mut now);
        assert!(!model.overlays.is_empty(), "{key}");
        let number = model.orphans.number;
        for told in [Update::Bulk(grown()), Update::Done(grown()), Update::Finished] {
            update(&mut model, Msg::Judged(number, Box::new(told)), now);
        }
        settle(&mut model, &mut now);
        let first = model.orphans.list.index.shown.first().and_then(|at| model.orphans.table.get(*at)).expect("a row");
        assert_eq!(first.id(), snapshot(&origin("us-east-1"), MOST).id.as_str(), "it stands above");
        // Even where the list has lost the row meanwhile.
        model.orphans.list.go_to(0);
        now = now.later(std::time::Duration::from_secs(1));
        let keys: &[&str] = if key == "A" { &["v", "a", "u", "l", "t", "/", "enter"] } else { &["S"] };
        let effects = press(&mut model, keys, &mut now);
        let done = effects.iter().find_map(|effect| match effect {
            Effect::PlanRemoval { wanted, .. } => Some(&wanted.targets),
            Effect::Keep(targets) => Some(targets),
            _ => None,
        });
        let ids: Vec<&str> = done.into_iter().flatten().map(|(_, target)| target.id()).collect();
        assert_eq!(ids, [before.as_str()], "{key}: {effects:?}");
    }
}
