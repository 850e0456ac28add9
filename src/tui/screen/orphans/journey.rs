//! Journey 4 and what it rests on: exact figures for the set that is marked, its keys counted and seen before they are
//! pressed, and how it ends early.

use std::collections::BTreeSet;
use std::time::Duration;

use super::tests::{region, settle};
use super::*;
use crate::engine::removal::{Outcome, Report, Told as Ended};
use crate::inventory::frees::{Chain, Walk, Why, Whys};
use crate::inventory::relations::{Facts, Told};
use crate::inventory::{SnapshotRow, verdict::Sureness};
use crate::plan::removal::{Facts as Removable, RemovalPlan, Rules, Target, VERSION, decide};
use crate::rows::BinRule;
use crate::store::audit::{Entry, Event, Told as Read};
use crate::tui::insides::Lives;
use crate::tui::testing::{deck, frame, now, press, when};
use crate::tui::update::update;
use crate::units::{BLOCK_BYTES, Bytes};

/// Keys of journey 4, from any screen to the restored thing.
const BUDGET: usize = 24;

/// The region of the other tests, four of whose orphans are of one volume that is gone.
fn chained() -> Arc<Region> {
    let region = region(false);
    let mut facts: Facts = region.facts.clone();
    let mut rows: Vec<SnapshotRow> = region.snapshots().to_vec();
    for row in &mut rows[7..11] {
        row.volume = "vol-0123456789abcdef0".parse().ok();
        row.name = Some("forge".to_owned());
        (row.encrypted, row.tier) = (true, crate::inventory::Tier::Standard);
    }
    facts.snapshots = Told::Known { value: Arc::new(rows), at: when(0) };
    Arc::new(Region::new(facts))
}

/// What AWS lists of that chain. A hundred blocks a letter: `a` only in the oldest; `b` in the two oldest; `c` in the
/// three oldest; `d` in all; `e` written by the second and kept by all after it.
fn lives(region: &Region, sure: bool) -> (crate::tui::insides::At, Lives) {
    let row = region.snapshots().iter().find(|row| row.name.as_deref() == Some("forge")).expect("a chain");
    let rows: Vec<&SnapshotRow> = region.snapshots().iter().collect();
    let mut chain = Chain::of(row, &rows, &[]);
    chain.entangled = Whys::NONE;
    chain.answered((!sure).then_some(Why::Related));
    let stretch = chain.whole().expect("it can be listed");
    assert_eq!(stretch.ids.len(), 4);
    let letter = |n: u32| n * 100..n * 100 + 100;
    let mut walk = Walk::new(0, 500, false);
    (0..4).flat_map(letter).for_each(|index| walk.event(index, true));
    walk.stepped();
    letter(0).for_each(|index| walk.event(index, false));
    letter(4).for_each(|index| walk.event(index, true));
    walk.stepped();
    letter(1).for_each(|index| walk.event(index, false));
    walk.stepped();
    letter(2).for_each(|index| walk.event(index, false));
    walk.stepped();
    let rule = BinRule { id: "rule".into(), days: 28, tags: Vec::new(), except: Vec::new() };
    let at = (row.origin.clone(), row.id.clone());
    (at, Lives { chain, stretch, lives: walk.end(false), rules: Some(vec![rule]) })
}

/// A deck on Orphans with that region judged.
fn opened(width: u16, height: u16) -> (Model, Now, Arc<Region>) {
    let (mut model, mut now, region) = (deck(width, height), now(), chained());
    press(&mut model, &["5"], &mut now);
    judged(&mut model, &region, now);
    settle(&mut model, &mut now);
    (model, now, region)
}

fn judged(model: &mut Model, region: &Arc<Region>, now: Now) {
    let number = model.orphans.number;
    for told in
        [Update::Regions(1), Update::Bulk(Arc::clone(region)), Update::Done(Arc::clone(region)), Update::Finished]
    {
        update(model, Msg::Judged(number, Box::new(told)), now);
    }
}

fn blocks(n: u64) -> Bytes {
    Bytes(n * BLOCK_BYTES)
}

/// Two marks of one chain, known exactly; the cursor on the older.
pub fn marked_and_exact(width: u16, height: u16) -> (Model, Now) {
    let (mut model, mut now, region) = opened(width, height);
    let (at, told) = lives(&region, true);
    let ids: Vec<String> = told.stretch.ids.iter().map(ToString::to_string).collect();
    update(&mut model, Msg::Freed(at, Box::new(Ok(told))), now);
    settle(&mut model, &mut now);
    let place = model.orphans.table.find(&ids[0]).expect("a row");
    model.orphans.list.show(place, now);
    settle(&mut model, &mut now);
    mark(&mut model, &ids.iter().take(2).map(String::as_str).collect::<Vec<_>>());
    (model, now)
}

/// Three snapshots planned, the deck armed.
pub fn deletion(width: u16, height: u16) -> (Model, Now) {
    let (mut model, mut now, _) = opened(width, height);
    update(&mut model, Msg::Alias("123456789012".parse().expect("an account"), Some("acme-prod".to_owned())), now);
    press(&mut model, &["space", "space", "down", "space", "D"], &mut now);
    planned(&mut model, now);
    press(&mut model, &["!"], &mut now);
    now = now.later(Duration::from_millis(700));
    press(&mut model, &["9", "0", "1", "2", "enter"], &mut now);
    model.toast = None;
    (model, now)
}

/// The same, stopped after the first.
pub fn stopped(width: u16, height: u16) -> (Model, Now) {
    let (mut model, mut now) = deletion(width, height);
    press(&mut model, &["D"], &mut now);
    now = now.later(Duration::from_millis(700));
    press(&mut model, &["3", "enter", "x"], &mut now);
    let (number, report) = (model.removal.number(), report(&model, 1));
    update(&mut model, Msg::Removed(number, Box::new(Ok(report))), now);
    model.toast = None;
    (model, now)
}

/// What the row of an id shows.
fn shown(model: &Model, id: &str) -> (Bytes, Sureness) {
    let at = model.orphans.table.find(&id.to_owned()).expect("a row");
    let frees = model.orphans.table.get(at).expect("a row").frees;
    (frees.bytes, frees.label)
}

/// Puts a mark on each of these.
fn mark(model: &mut Model, ids: &[&str]) {
    for id in ids {
        let at = model.orphans.table.find(&(*id).to_owned()).expect("a row");
        model.orphans.list.marks.insert(at);
    }
    model.orphans.list.recount();
}

#[test]
fn x_says_its_price_asks_each_chain_once_and_fills_frees_by_chain() {
    let (mut model, mut now, region) = opened(120, 36);
    let all = frame(&model, now).join("\n");
    assert!(all.contains("X makes all exact: ≤ ") && all.contains("List requests, ≤ $"), "{all}");
    let effects = press(&mut model, &["X"], &mut now);
    let [Effect::AskFreed(of)] = effects.as_slice() else { panic!("{effects:?}") };
    let volumes: Vec<_> = of
        .iter()
        .map(|(_, id)| region.snapshots().iter().find(|row| row.id == *id).and_then(|row| row.volume.clone()))
        .collect();
    assert_eq!(volumes.iter().filter(|v| v.as_ref().is_some_and(|v| v.as_str() == "vol-0123456789abcdef0")).count(), 1);
    assert!(frame(&model, now).join("\n").contains("◐"), "what is asked says so");
    let (at, told) = lives(&region, true);
    let ids: Vec<String> = told.stretch.ids.iter().map(ToString::to_string).collect();
    update(&mut model, Msg::Freed(at, Box::new(Ok(told))), now);
    // By hand from the letters: the oldest alone holds `a`, the newest nothing that no other has.
    let alone: Vec<_> = ids.iter().map(|id| shown(&model, id)).collect();
    let exact = |n| (blocks(n), Sureness::Exact);
    assert_eq!(alone, [exact(100), exact(0), exact(0), exact(0)]);
    // A survey that comes in later keeps what is known, because the chain is the same.
    judged(&mut model, &region, now);
    assert_eq!(shown(&model, &ids[0]), exact(100));
    // One that lost a member does not: other blocks go with a removal then.
    let mut facts = region.facts.clone();
    let fewer: Vec<SnapshotRow> = region.snapshots().iter().filter(|row| row.id.as_str() != ids[1]).cloned().collect();
    facts.snapshots = Told::Known { value: Arc::new(fewer), at: when(0) };
    judged(&mut model, &Arc::new(Region::new(facts)), now);
    assert_eq!(shown(&model, &ids[0]).1, Sureness::UpperBound);
}

#[test]
fn esc_stops_asking_before_it_goes_anywhere() {
    let (mut model, mut now, _) = opened(120, 36);
    press(&mut model, &["X"], &mut now);
    assert!(!model.freed.running.is_empty());
    let effects = press(&mut model, &["esc"], &mut now);
    assert!(matches!(effects.as_slice(), [Effect::AskFreed(none)] if none.is_empty()), "{effects:?}");
    assert!(model.freed.running.is_empty() && model.screen == Screen::Orphans);
    assert!(!model.orphans.list.filter.text.is_empty(), "the filter is still there");
}

#[test]
fn more_than_five_cents_waits_for_s() {
    let (mut model, mut now, region) = opened(120, 36);
    let mut facts = region.facts.clone();
    let mut rows = region.snapshots().to_vec();
    for row in &mut rows {
        row.size = Bytes::gib(64 * 1024);
    }
    facts.snapshots = Told::Known { value: Arc::new(rows), at: when(0) };
    judged(&mut model, &Arc::new(Region::new(facts)), now);
    settle(&mut model, &mut now);
    assert!(press(&mut model, &["X"], &mut now).is_empty(), "nothing is asked by X alone");
    assert!(model.toast.as_ref().is_some_and(|toast| toast.text.contains("S starts it")), "{:?}", model.toast);
    assert!(matches!(press(&mut model, &["S"], &mut now).as_slice(), [Effect::AskFreed(of)] if !of.is_empty()));
}

#[test]
fn the_sum_of_the_marks_is_right_for_the_set() {
    let (mut model, mut now, region) = opened(120, 40);
    let (at, told) = lives(&region, true);
    let ids: Vec<String> = told.stretch.ids.iter().map(ToString::to_string).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    mark(&mut model, &ids[..2]);
    let unknown = frame(&model, now).join("\n");
    assert!(unknown.contains("which blocks they share is not known: X finds out"), "{unknown}");
    update(&mut model, Msg::Freed(at.clone(), Box::new(Ok(told))), now);
    settle(&mut model, &mut now);
    let all = frame(&model, now).join("\n");
    // Of the letters: `a` and `b` go with the two oldest; `c`, `d` and `e` stay in the third.
    for words in ["2 marked, one chain", "50 MiB", "= 100 MiB", "each frees less alone", "150 MiB", "(newer)"] {
        assert!(all.contains(words), "`{words}` is not on screen:\n{all}");
    }
    assert!(all.contains("the Recycle Bin keeps it for 28 days"), "{all}");
    // All four free everything; what could share with others unseen is at most.
    mark(&mut model, &ids);
    assert!(frame(&model, now).join("\n").contains("= 250 MiB"));
    update(&mut model, Msg::Freed(at, Box::new(Ok(lives(&region, false).1))), now);
    assert!(frame(&model, now).join("\n").contains("≤ 250 MiB"));
}

#[test]
fn the_chain_of_the_row_is_drawn_with_what_becomes_of_each() {
    let (mut model, mut now, region) = opened(120, 36);
    let (at, told) = lives(&region, true);
    let ids: Vec<String> = told.stretch.ids.iter().map(ToString::to_string).collect();
    update(&mut model, Msg::Freed(at, Box::new(Ok(told))), now);
    settle(&mut model, &mut now);
    let place = model.orphans.table.find(&ids[0]).expect("a row");
    model.orphans.list.show(place, now);
    settle(&mut model, &mut now);
    mark(&mut model, &[ids[0].as_str()]);
    let all = frame(&model, now).join("\n");
    assert!(all.contains("Lineage of forge, us-east-1 · of vol-0123456789abcdef0, which is gone"), "{all}");
    let line = all.lines().find(|line| line.contains("│ snapshot")).expect("the ids");
    let places: Vec<_> = ids.iter().map(|id| line.find(&id[id.len() - 8..]).expect("a tail")).collect();
    assert!(places.is_sorted(), "old to new: {line}");
    assert!(all.contains("would go") && all.contains("= 50 MiB"), "{all}");
}

/// The plan that `plan/` would make of what the screen asked for.
fn planned(model: &mut Model, now: Now) {
    let mut facts = Removable::default();
    let rule = BinRule { id: "rule".into(), days: 14, tags: Vec::new(), except: Vec::new() };
    facts.snapshot_rules = Rules::Known(vec![rule]);
    let mut items = Vec::new();
    for (_, target) in &model.removal.targets {
        let at = model.orphans.table.find(&target.id().to_owned()).expect("a row");
        let row = model.orphans.table.get(at).expect("a row");
        let Some(Thing::Snapshot(one)) = row.thing() else { panic!("{target}") };
        facts.snapshots.insert(one.id.clone(), one.clone());
        let judged = row.judged(now.wall).expect("judged");
        items.push(decide(target, &judged, &facts, &model.removal.wishes, &BTreeSet::new()));
    }
    let plan = RemovalPlan {
        version: VERSION,
        made: when(30),
        by: "ops".into(),
        world: crate::aws::WorldId { endpoint: None, partition: "aws".into() },
        wishes: model.removal.wishes.clone(),
        limit: 100,
        prices_as_of: "2026-09-21".into(),
        items,
        archive: None,
        together: Vec::new(),
    };
    let number = model.next_number;
    update(model, Msg::RemovalPlanned(number, Box::new(Ok(plan))), now);
}

/// What the remover would tell: the first `done` are gone, the rest was not tried.
fn report(model: &Model, done: usize) -> Report {
    let plan = model.removal.plan.as_ref().expect("a plan");
    let gone = || Outcome::Removed { request_id: None, back_until: Some(when(14 * 86_400)), note: None };
    let outcomes = (0..plan.items.len()).map(|n| (n < done).then(gone)).collect();
    Report::of(plan, plan.short_hash().expect("a hash"), outcomes)
}

/// Presses what is on screen, and counts it.
struct Hand {
    keys: usize,
}

impl Hand {
    fn press(&mut self, model: &mut Model, now: &mut Now, keys: &[&str], seen: &str) -> Vec<Effect> {
        let all = frame(model, *now).join("\n");
        assert!(all.contains(seen), "`{seen}` is not on screen before {keys:?}:\n{all}");
        self.keys += keys.len();
        // A gate listens after a while.
        *now = now.later(Duration::from_millis(700));
        press(model, keys, now)
    }
}

fn journey_4(width: u16, height: u16) -> usize {
    let (region, mut now) = (chained(), now());
    let (mut model, mut hand) = (deck(width, height), Hand { keys: 0 });
    let tab = if width < 100 { "5" } else { "5 Orphans" };
    hand.press(&mut model, &mut now, &["5"], tab);
    judged(&mut model, &region, now);
    settle(&mut model, &mut now);
    hand.press(&mut model, &mut now, &["X"], "X exact");
    let (at, told) = lives(&region, true);
    update(&mut model, Msg::Freed(at, Box::new(Ok(told))), now);
    model.freed.running.clear();
    settle(&mut model, &mut now);
    hand.press(&mut model, &mut now, &["space", "space"], "space mark");
    assert!(frame(&model, now).join("\n").contains("together"), "the what-if follows the marks");
    let looks = hand.press(&mut model, &mut now, &["i"], if width < 100 { "" } else { "i inspect" });
    assert!(matches!(looks.as_slice(), [Effect::LookInside(..)]), "{looks:?}");
    hand.press(&mut model, &mut now, &["esc"], "esc stop and close");
    let plans = hand.press(&mut model, &mut now, &["D"], "D deletion plan");
    assert!(matches!(plans.as_slice(), [Effect::PlanRemoval { .. }]), "{plans:?}");
    planned(&mut model, now);
    let saves = hand.press(&mut model, &mut now, &["w"], "w save for review");
    assert!(matches!(saves.as_slice(), [Effect::Write { .. }]), "{saves:?}");
    hand.press(&mut model, &mut now, &["!"], "! arms the deck");
    hand.press(&mut model, &mut now, &["9", "0", "1", "2", "enter"], "the last four digits of the account");
    hand.press(&mut model, &mut now, &["D"], "D delete…");
    let removes = hand.press(&mut model, &mut now, &["2", "enter"], "type 2, then enter");
    assert!(matches!(removes.as_slice(), [Effect::Remove { .. }]), "{removes:?} {:?}", model.toast);
    let (number, report) = (model.removal.number(), report(&model, 2));
    update(&mut model, Msg::Removed(number, Box::new(Ok(report.clone()))), now);
    assert!(frame(&model, now).join("\n").contains("2 removed, 0 skipped, 0 failed"));
    assert!(model.orphans.list.marks.is_empty(), "what is gone is marked no more");
    hand.press(&mut model, &mut now, &["7"], if width < 100 { "7" } else { "7 Log" });
    let reads = hand.press(&mut model, &mut now, &["a"], "a audit log");
    assert!(matches!(reads.as_slice(), [Effect::ReadAudit]), "{reads:?}");
    let entry = Entry {
        account: Some("123456789012".parse().expect("an account")),
        region: Some("us-east-1".parse().expect("a region")),
        call: "ec2:DeleteSnapshot".to_owned(),
        id: report.items[0].id.id().to_owned(),
        back_until: Some(when(14 * 86_400)),
        ..Entry::new(Event::Done, "ops", "")
    };
    update(&mut model, Msg::Audit(Box::new(Ok(Read { entries: vec![entry], unread: 0 }))), now);
    let back = hand.press(&mut model, &mut now, &["u"], "u bring");
    let [Effect::Restore(of)] = back.as_slice() else { panic!("{back:?}") };
    assert_eq!(of[0].1, report.items[0].id);
    hand.keys
}

#[test]
fn journey_4_clears_orphans_within_its_keys_each_seen_before_it_is_pressed() {
    for (width, height) in [(120, 36), (80, 24)] {
        let keys = journey_4(width, height);
        assert!(keys <= BUDGET, "{keys} at {width}");
    }
}

#[test]
fn a_running_removal_stops_after_its_item_and_r_plans_what_is_left() {
    let (mut model, mut now, _) = opened(120, 36);
    press(&mut model, &["space", "space", "down", "space", "D"], &mut now);
    planned(&mut model, now);
    assert!(press(&mut model, &["x"], &mut now).is_empty(), "nothing runs yet");
    press(&mut model, &["!"], &mut now);
    now = now.later(Duration::from_millis(700));
    press(&mut model, &["9", "0", "1", "2", "enter", "D"], &mut now);
    now = now.later(Duration::from_millis(700));
    press(&mut model, &["3", "enter"], &mut now);
    let all = frame(&model, now).join("\n");
    assert!(all.contains("x stop") && all.contains("0 of 3 done"), "{all}");
    let effects = press(&mut model, &["x"], &mut now);
    assert!(matches!(effects.as_slice(), [Effect::StopRemoval]), "{effects:?}");
    assert!(press(&mut model, &["x"], &mut now).is_empty(), "it is told once");
    let number = model.removal.number();
    let report = report(&model, 1);
    let one = Ended::Item { at: 0, outcome: report.items[0].outcome.clone() };
    update(&mut model, Msg::Removing(number, one), now);
    assert!(frame(&model, now).join("\n").contains("1 of 3 done"));
    update(&mut model, Msg::Removed(number, Box::new(Ok(report))), now);
    let all = frame(&model, now).join("\n");
    assert!(all.contains("1 removed, 0 skipped, 0 failed, 2 not tried") && all.contains("not tried"), "{all}");
    let effects = press(&mut model, &["r"], &mut now);
    let [Effect::PlanRemoval { wanted, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(wanted.targets.len(), 2, "only what is left");
}

#[test]
fn z_asks_with_s_and_tags_exactly_the_marks() {
    let (mut model, mut now, region) = opened(120, 36);
    press(&mut model, &["space", "space"], &mut now);
    let marked: BTreeSet<String> = super::marked(&model, now).into_iter().map(|judged| judged.id).collect();
    press(&mut model, &["z"], &mut now);
    now = now.later(Duration::from_millis(700));
    assert!(press(&mut model, &["enter"], &mut now).is_empty(), "enter alone does nothing");
    now = now.later(Duration::from_millis(700));
    let effects = press(&mut model, &["S"], &mut now);
    let [Effect::Keep(of)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(of.iter().map(|(_, target)| target.id().to_owned()).collect::<BTreeSet<_>>(), marked);
    let kept = of.iter().map(|(_, id)| crate::engine::keep::Kept { id: id.clone(), error: None }).collect();
    let effects = update(&mut model, Msg::Kept(Box::new(Ok(kept))), now);
    assert!(matches!(effects.as_slice(), [Effect::Judge { anew: Anew::All, .. }]), "{effects:?}");
    // In a read-only deck it says why not.
    judged(&mut model, &region, now);
    settle(&mut model, &mut now);
    model.mode = crate::tui::model::Mode::ReadOnly;
    press(&mut model, &["z"], &mut now);
    assert!(model.overlays.is_empty() && model.toast.as_ref().is_some_and(|toast| toast.text.contains("READ-ONLY")));
}

#[test]
fn archive_first_asks_where_to_and_plans_with_it() {
    let (mut model, mut now, _) = opened(120, 36);
    press(&mut model, &["space", "A"], &mut now);
    let keys: Vec<String> = "vault/ebs/".chars().map(String::from).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).chain(["enter"]).collect();
    let effects = press(&mut model, &keys, &mut now);
    let [Effect::PlanRemoval { wanted, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(wanted.wishes.archive_to.as_deref(), Some("s3://vault/ebs/"));
    assert_eq!(wanted.targets.len(), 1);
}

#[test]
fn h_shows_what_the_filter_hides_and_c_what_differs_from_a_saved_plan() {
    let (mut model, mut now, _) = opened(120, 36);
    press(&mut model, &["space", "space", "/"], &mut now);
    let second = super::marked(&model, now)[1].id.clone();
    let keys: Vec<String> = second.chars().map(String::from).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).chain(["enter"]).collect();
    press(&mut model, &["ctrl-u"], &mut now);
    press(&mut model, &keys, &mut now);
    settle(&mut model, &mut now);
    assert_eq!(model.orphans.list.hidden, 1);
    press(&mut model, &["D"], &mut now);
    planned(&mut model, now);
    let all = frame(&model, now).join("\n");
    assert!(all.contains("1 of them is marked but hidden by the filter") && all.contains("H shows it"), "{all}");
    press(&mut model, &["H"], &mut now);
    let all = frame(&model, now).join("\n");
    assert!(all.contains("Items 1 of 2: those that the filter hides") && !all.contains(&second), "{all}");
    let under = model.removal.plan.as_ref().expect("a plan").items[model.removal.cursor].target.clone();
    assert_ne!(under, second.parse::<Target>().expect("an id"), "the cursor is on what is shown");
    press(&mut model, &["H", "w", "c"], &mut now);
    let effects = press(&mut model, &["enter"], &mut now);
    let [Effect::ComparePlan { path, plan }] = effects.as_slice() else { panic!("{effects:?}") };
    let hash = plan.short_hash().expect("a hash");
    assert_eq!(path.display().to_string(), format!("plan-{hash}.json"), "the one that was saved is offered");
    let differences = vec![crate::plan::removal::Difference {
        id: second.clone(),
        region: "us-east-1".to_owned(),
        text: "would skip it before, delete it now".to_owned(),
    }];
    let found = crate::tui::screen::removal::Comparison {
        name: "plan.json".to_owned(),
        made: "made 1 Nov 09:00 UTC by eve".to_owned(),
        differences,
    };
    update(&mut model, Msg::PlanCompared(Box::new(Ok(found))), now);
    let all = frame(&model, now).join("\n");
    assert!(
        all.contains("1 difference from plan.json") && all.contains("would skip it before, delete it now"),
        "{all}"
    );
    press(&mut model, &["c"], &mut now);
    assert!(frame(&model, now).join("\n").contains("Before you type"), "the same key closes it");
}

#[test]
fn the_alias_arms_as_the_digits_do() {
    let (mut model, mut now, _) = opened(120, 36);
    update(&mut model, Msg::Alias("123456789012".parse().expect("an account"), Some("acme-prod".to_owned())), now);
    assert!(frame(&model, now)[0].contains("acme-prod"));
    press(&mut model, &["!"], &mut now);
    now = now.later(Duration::from_millis(700));
    let keys: Vec<String> = "acme-pro".chars().map(String::from).collect();
    press(&mut model, &keys.iter().map(String::as_str).collect::<Vec<_>>(), &mut now);
    press(&mut model, &["enter"], &mut now);
    assert!(model.armed.is_none(), "half a name is none");
    press(&mut model, &["d", "enter"], &mut now);
    assert!(model.armed.is_some());
    press(&mut model, &["!", "!"], &mut now);
    now = now.later(Duration::from_millis(700));
    press(&mut model, &["9", "0", "1", "2", "enter"], &mut now);
    assert!(model.armed.is_some());
}
