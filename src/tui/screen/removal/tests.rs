//! What must never delete: presses, held keys, pastes, filters, refreshes. And what does: the plan that is shown, typed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::inventory::verdict::{Answer, Evidence, Frees, Subject, Verdict};
use crate::inventory::{Kind, Rows, Update as Told};
use crate::plan::removal::{Facts, Rules, VERSION, decide};
use crate::rows::BinRule;
use crate::tui::model::Mode;
use crate::tui::msg::Msg;
use crate::tui::overlay::Overlay;
use crate::tui::testing::{deck, drawn, frame, key_of, now, press, settle, when};
use crate::tui::update::update;
use crate::units::Bytes;

/// The plan that `plan/` would make of the rows that the screen asked for.
fn plan_of(model: &Model, bin: bool) -> RemovalPlan {
    let mut facts = Facts::default();
    if bin {
        let rule = BinRule { id: "rule".into(), days: 14, tags: Vec::new(), except: Vec::new() };
        facts.snapshot_rules = Rules::Known(vec![rule]);
    }
    let mut items = Vec::new();
    for (_, target) in &model.removal.targets {
        let Target::Snapshot(id) = target else { panic!("{target}") };
        let at = model.catalog.snapshots.find(id).expect("a row");
        let row = model.catalog.snapshots.get(at).expect("a row").clone();
        let evidence = Evidence { rule: "images".into(), answer: Answer::No, text: "none".into(), when: None };
        let judged = Judged {
            id: id.to_string(),
            kind: Subject::Snapshot,
            origin: (*row.origin).clone(),
            name: row.name.clone().unwrap_or_default(),
            made: Some(row.started),
            verdict: Verdict::Orphan,
            evidence: vec![evidence],
            frees: Frees::whole(Bytes::gib(2)),
            usd_per_month: Some(0.1),
        };
        facts.snapshots.insert(id.clone(), row);
        items.push(decide(target, &judged, &facts, &model.removal.wishes, &BTreeSet::new()));
    }
    RemovalPlan {
        version: VERSION,
        made: when(30),
        by: "ops".into(),
        world: crate::aws::WorldId { endpoint: None, partition: "aws".into() },
        wishes: model.removal.wishes.clone(),
        limit: 100,
        prices_as_of: "2026-09-21".into(),
        items,
        together: Vec::new(),
        archive: None,
    }
}

fn planned(model: &mut Model, now: Now, bin: bool) {
    let made = plan_of(model, bin);
    let number = model.removal.number;
    update(model, Msg::RemovalPlanned(number, Box::new(Ok(made))), now);
}

/// Two marked snapshots, one of them hidden by the filter, planned.
fn two(now: &mut Now, bin: bool) -> Model {
    let mut model = deck(120, 36);
    press(&mut model, &["2", "space", "space", "/", "w", "e", "b", "enter"], now);
    assert_eq!((model.snapshots.list.marks.len(), model.snapshots.list.hidden), (2, 1));
    let effects = press(&mut model, &["D"], now);
    assert!(matches!(effects.as_slice(), [Effect::PlanRemoval { .. }]), "{effects:?}");
    planned(&mut model, *now, bin);
    model
}

fn removes(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Remove { .. }))
}

fn wait(now: &mut Now, ms: u64) {
    *now = now.later(Duration::from_millis(ms));
}

/// Arms as a hand does.
fn arm(model: &mut Model, now: &mut Now) {
    press(model, &["!"], now);
    wait(now, 700);
    press(model, &["9", "0", "1", "2", "enter"], now);
    assert_eq!(model.mode, Mode::Armed);
}

#[test]
fn a_hidden_mark_is_in_the_plan_and_the_screen_says_so() {
    let mut now = now();
    let model = two(&mut now, true);
    let all = frame(&model, now).join("\n");
    for words in [
        "Items 2 · 1 of them is marked but hidden by the filter",
        "nothing has been deleted",
        "= removed",
        "  2",
        "bin",
    ] {
        assert!(all.contains(words), "{words} is not on screen:\n{all}");
    }
}

#[test]
fn the_count_typed_by_hand_carries_out_exactly_the_plan_that_is_shown() {
    let mut now = now();
    let mut model = two(&mut now, true);
    press(&mut model, &["D"], &mut now);
    assert!(model.overlays.is_empty() && model.toast.as_ref().is_some_and(|t| t.text.contains("not armed")));
    arm(&mut model, &mut now);
    assert!(frame(&model, now)[0].contains("ARMED delete 30 min"));
    let shown = model.removal.plan.clone().expect("a plan");
    press(&mut model, &["D"], &mut now);
    wait(&mut now, 700);
    assert!(!removes(&press(&mut model, &["enter"], &mut now)), "enter alone does nothing");
    assert!(!removes(&press(&mut model, &["1", "enter"], &mut now)), "another number neither");
    wait(&mut now, 300);
    let effects = press(&mut model, &["backspace", "2", "enter"], &mut now);
    let [Effect::Remove { plan, grant, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(**plan, shown);
    let ids: Vec<String> = shown.items.iter().map(|item| item.target.to_string()).collect();
    assert_eq!((&grant.ids, grant.calls.as_slice()), (&ids, &[crate::grant::Call::DeleteSnapshot][..]));
    assert_eq!(grant.plan_hash, shown.hash().expect("a hash"));
    assert!(!removes(&press(&mut model, &["D", "2", "enter"], &mut now)), "a plan runs once");
}

#[test]
fn what_is_final_asks_for_the_word_and_one_thing_for_its_last_four() {
    let mut now = now();
    let mut model = two(&mut now, false);
    assert_eq!(model.removal.plan.as_ref().map(RemovalPlan::token).as_deref(), Some("2 final"));
    press(&mut model, &["-"], &mut now);
    planned(&mut model, now, true);
    let plan = model.removal.plan.as_ref().expect("a plan");
    assert_eq!(plan.items.len(), 1);
    assert!(plan.items[0].target.id().ends_with(&plan.token()) && plan.token().len() == 4);
}

#[test]
fn two_hundred_presses_of_any_key_delete_nothing() {
    let keys = "abcdefghijklmnoprstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!-=+:/?".chars().map(|c| c.to_string());
    for key in keys.chain(["enter", "space", "tab", "down"].map(str::to_owned)) {
        let mut now = now();
        let mut model = two(&mut now, true);
        arm(&mut model, &mut now);
        for _ in 0..200 {
            wait(&mut now, 30);
            let effects = update(&mut model, Msg::Key(key_of(&key)), now);
            assert!(!removes(&effects), "{key}");
        }
        settle(&mut model, now);
    }
}

#[test]
fn a_paste_and_a_burst_are_not_typing() {
    let mut now = now();
    let mut model = two(&mut now, true);
    arm(&mut model, &mut now);
    press(&mut model, &["D"], &mut now);
    wait(&mut now, 700);
    assert!(!removes(&update(&mut model, Msg::Paste("2\r".into()), now)));
    assert!(model.toast.as_ref().is_some_and(|toast| toast.text.contains("by hand only")));
    // The same without brackets: keys faster than any hand.
    for key in ["2", "enter"] {
        wait(&mut now, 5);
        let effects = update(&mut model, Msg::Key(key_of(key)), now);
        assert!(!removes(&effects), "{key}");
    }
    // And right after it opened.
    press(&mut model, &["esc", "D"], &mut now);
    for key in ["2", "enter"] {
        wait(&mut now, 100);
        assert!(!removes(&update(&mut model, Msg::Key(key_of(key)), now)), "{key}");
    }
}

#[test]
fn a_refresh_in_the_middle_changes_nothing_of_the_plan() {
    let mut now = now();
    let mut model = two(&mut now, true);
    arm(&mut model, &mut now);
    let shown = model.removal.plan.clone();
    press(&mut model, &["D"], &mut now);
    let (look, origin) = (model.look, crate::tui::testing::origin("us-east-1"));
    for told in [
        Told::Started(origin.clone(), Kind::Snapshots),
        Told::Page(origin.clone(), Rows::Snapshots(vec![crate::tui::testing::snapshot(&origin, 400)])),
        Told::Done(origin.clone(), Kind::Snapshots, when(90)),
    ] {
        assert!(!removes(&update(&mut model, Msg::Inventory(look, told), now)));
        settle(&mut model, now);
    }
    assert_eq!(model.removal.plan, shown);
    wait(&mut now, 700);
    let effects = press(&mut model, &["2", "enter"], &mut now);
    let [Effect::Remove { plan, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(Some(&**plan), shown.as_ref(), "what was shown is what is carried out");
}

#[test]
fn a_place_for_archives_that_was_refused_can_be_named_anew() {
    let mut now = now();
    let mut model = two(&mut now, true);
    model.removal.wishes.archive_to = Some("s3://gone/old/".to_owned());
    model.removal.plan = None;
    let number = model.removal.number;
    let refused = Error::usage("there is no bucket gone");
    update(&mut model, Msg::RemovalPlanned(number, Box::new(Err(refused))), now);
    press(&mut model, &["a"], &mut now);
    assert!(matches!(model.overlays.last(), Some(Overlay::Ask(ask)) if ask.text == "s3://gone/old/"));
    press(&mut model, &["backspace", "e", "r", "/"], &mut now);
    let effects = press(&mut model, &["enter"], &mut now);
    let asked = |effect: &Effect| matches!(effect, Effect::PlanRemoval { wanted, .. } if wanted.wishes.archive_to.as_deref() == Some("s3://gone/older/"));
    assert!(effects.iter().any(asked), "{effects:?}");
    // Without a place that could have been wrong there is nothing to name.
    model.removal.stage = Stage::Failed(Box::new(Error::usage("no")));
    model.removal.wishes.archive_to = None;
    press(&mut model, &["a"], &mut now);
    assert!(model.overlays.is_empty());
}

#[test]
fn arming_ends_by_its_key_by_time_and_with_the_account_and_read_only_has_none() {
    let mut now = now();
    let mut model = two(&mut now, true);
    arm(&mut model, &mut now);
    press(&mut model, &["!"], &mut now);
    assert_eq!((model.mode, model.armed.is_none()), (Mode::Safe, true));
    arm(&mut model, &mut now);
    // An open plan of that account holds it; away from it the half hour counts.
    wait(&mut now, 31 * 60_000);
    update(&mut model, Msg::Tick, now);
    assert_eq!(model.mode, Mode::Armed);
    press(&mut model, &["esc"], &mut now);
    update(&mut model, Msg::Tick, now.later(Duration::from_secs(31 * 60)));
    assert_eq!(model.mode, Mode::Safe);
    arm(&mut model, &mut now);
    crate::tui::update::look(&mut model, vec!["dr".parse().expect("a profile")], Vec::new());
    assert_eq!(model.mode, Mode::Safe, "another account is not armed");

    let mut model = two(&mut now, true);
    model.mode = Mode::ReadOnly;
    press(&mut model, &["!"], &mut now);
    assert!(model.overlays.is_empty() && model.armed.is_none());
    press(&mut model, &["D"], &mut now);
    assert!(model.overlays.is_empty() && model.toast.as_ref().is_some_and(|t| t.text.contains("READ-ONLY")));
}

/// After a deletion that no rule of the Recycle Bin keeps, `u` says so, here and in the log.
#[test]
fn what_nothing_brings_back_says_so() {
    use crate::store::audit::{Entry, Event, Told as Read};
    let mut now = now();
    let mut model = two(&mut now, false);
    let plan = model.removal.plan.clone().expect("a plan");
    let target = plan.items[0].target.clone();
    let gone = Outcome::Removed { request_id: None, back_until: None, note: None };
    model.removal.outcomes = vec![Some(gone), None];
    model.removal.cursor = 0;
    assert!(press(&mut model, &["u"], &mut now).is_empty());
    let said = |model: &Model| model.toast.as_ref().map(|toast| toast.text.clone()).unwrap_or_default();
    assert_eq!(said(&model), "the Recycle Bin does not keep it");
    model.removal.cursor = 1;
    assert!(press(&mut model, &["u"], &mut now).is_empty());
    assert_eq!(said(&model), "it was not deleted");

    let entry = Entry { id: target.id().to_owned(), ..Entry::new(Event::Done, "ops", "deleted") };
    let log = Read { entries: vec![entry], ..Read::default() };
    press(&mut model, &["7", "a"], &mut now);
    update(&mut model, Msg::Audit(Box::new(Ok(log))), now);
    assert!(press(&mut model, &["u"], &mut now).is_empty());
    assert_eq!(said(&model), "the Recycle Bin keeps nothing of this line");
}

/// While archives are made the foot says how far they are, and never that all is done before it is proved.
#[test]
fn the_foot_says_how_far_the_archives_are() {
    use crate::engine::blank_job;
    use crate::engine::protocol::JobState;
    use crate::engine::removal::Told;
    use crate::units::{Blocks, Quantity, Rate};
    let mut now = now();
    let mut model = two(&mut now, true);
    model.removal.stage = Stage::Running;
    model.removal.outcomes = vec![None, None];
    let number = model.removal.number();
    let mut first = blank_job(crate::ids::JobId(14), when(0));
    first.state = JobState::Running;
    (first.blocks_done, first.blocks_total) = (Blocks(300), Quantity::exact(Blocks(300)));
    (first.rate, first.left_seconds) = (Rate(486.0 * 1024.0 * 1024.0), Some((60.0, 64.0)));
    let mut second = blank_job(crate::ids::JobId(15), when(0));
    second.blocks_total = Quantity::at_most(Blocks(100));
    update(&mut model, Msg::Removing(number, Told::Archiving(Archiving(vec![first.clone(), second.clone()]))), now);
    let all = frame(&model, now).join("\n");
    for words in ["0 of 2 archives made and proved", "███████░░░ 75 %", "300 of ≤ 400 blocks · 486 MiB/s · ? left"]
    {
        assert!(all.contains(words), "`{words}`:\n{all}");
    }
    (second.blocks_done, second.state, second.left_seconds) = (Blocks(100), JobState::Running, Some((1.0, 2.0)));
    update(&mut model, Msg::Removing(number, Told::Archiving(Archiving(vec![first, second]))), now);
    let all = frame(&model, now).join("\n");
    assert!(all.contains("99 %") && all.contains("1 m – 1 m 04 s left"), "{all}");
}

#[test]
fn the_screen_survives_any_size_and_shows_the_id_and_the_outcome_at_80_by_24() {
    let mut now = now();
    let mut model = two(&mut now, false);
    for size in [(1, 1), (20, 5), (60, 18), (80, 24), (120, 36), (200, 60)] {
        update(&mut model, Msg::Resize(size.0, size.1), now);
        drawn(&model, now);
    }
    update(&mut model, Msg::Resize(80, 24), now);
    let all = frame(&model, now).join("\n");
    let id = model.removal.plan.as_ref().expect("a plan").items[0].target.to_string();
    assert!(all.contains(&id[id.len() - 8..]) && all.contains("FINAL"), "{all}");
}

#[test]
fn the_cursor_stays_with_its_item_when_another_plan_lists_it_elsewhere() {
    let mut now = now();
    let mut model = two(&mut now, true);
    press(&mut model, &["j"], &mut now);
    let here = |model: &Model| model.removal.plan.as_ref().map(|plan| plan.items[model.removal.cursor].target.clone());
    let before = here(&model);
    press(&mut model, &["r"], &mut now);
    let mut made = plan_of(&model, true);
    made.items.reverse();
    let number = model.removal.number;
    update(&mut model, Msg::RemovalPlanned(number, Box::new(Ok(made))), now);
    assert_eq!((here(&model), model.removal.cursor), (before, 0));
    // What was taken out leaves the cursor on its line.
    press(&mut model, &["-"], &mut now);
    planned(&mut model, now, true);
    assert_eq!((model.removal.targets.len(), model.removal.cursor), (1, 0));
}
