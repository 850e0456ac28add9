//! What ties snapshots together, key by key: compare (journey 5), lineage, elsewhere, archives.

use super::effect::Effect;
use super::figures::{Count, Progress, What};
use super::model::{Mode, Model};
use super::msg::Msg;
use super::screen::Screen;
use super::screen::compare::{self, Stage};
use super::testing::{deck, frame, now, origin, press, settle, snapshot, when};
use super::update::update;
use crate::error::{AwsDetail, Error};
use crate::ids::JobId;
use crate::inventory::archives::{ArchiveRow, Inspected};
use crate::inventory::elsewhere::{Copy, Proof, Where};
use crate::inventory::{Kind, Rows, SnapshotRow, Update as Told};
use crate::plan::compare::{CELLS, Tally};
use crate::plan::count::Counted;
use crate::store::copies::Held;
use crate::tui::clock::Now;
use crate::units::{Blocks, Bytes};

/// Keys of journey 5, from the list to a plan: as many as of journey 2.
const BUDGET: usize = 16;

/// Two snapshots of one volume in us-east-1, made three days apart, named so that a filter finds both.
fn family(model: &mut Model, now: Now) -> (SnapshotRow, SnapshotRow) {
    let here = origin("us-east-1");
    let row = |n: u64, age: i64, gib: u64| SnapshotRow {
        name: Some("ledger".to_owned()),
        volume: Some("vol-0abcabcabcabcabc1".parse().unwrap()),
        size: Bytes::gib(gib),
        full: Some(Bytes::gib(6)),
        started: when(-age),
        ..snapshot(&here, n)
    };
    let (older, newer) = (row(7_001, 4 * 86_400, 8), row(7_002, 86_400, 10));
    let look = model.look;
    let rows = Rows::Snapshots(vec![newer.clone(), older.clone()]);
    update(model, Msg::Inventory(look, Told::Page(here, rows)), now);
    settle(model, now.later(std::time::Duration::from_secs(3)));
    (older, newer)
}

/// What was counted: 3,072 changed, 512 added, 256 removed of 20,480 blocks.
pub(super) fn counted() -> Count {
    let mut cells = vec![Tally::default(); CELLS];
    for (n, cell) in cells.iter_mut().enumerate() {
        match n {
            100..256 => cell.changed = 16,
            300..396 => cell.changed = 6,
            850..882 => cell.added = 16,
            500..516 => cell.removed = 16,
            _ => {}
        }
    }
    let counted = Counted {
        volume: Bytes::gib(10),
        blocks: Blocks(3_072 + 512 + 256),
        added: Blocks(512),
        changed: Blocks(3_072),
        removed: Blocks(256),
    };
    Count { counted, cells }
}

/// The words that mark both of the family.
const MARKS: [&str; 11] = ["2", "/", "l", "e", "d", "g", "e", "r", "enter", "space", "space"];

fn asked(effects: &[Effect]) -> Vec<What> {
    let counts = effects.iter().filter_map(|effect| match effect {
        Effect::Count { of, .. } => Some(of.clone()),
        _ => None,
    });
    counts.flatten().collect()
}

/// The family compared, with an answer.
pub(super) fn compared(width: u16, height: u16, answer: bool) -> (Model, Now) {
    let mut model = deck(width, height);
    let mut now = now();
    let (older, newer) = family(&mut model, now);
    press(&mut model, &MARKS, &mut now);
    press(&mut model, &["="], &mut now);
    if answer {
        update(&mut model, Msg::Counted(What::delta(&older, &newer), Box::new(Ok(counted()))), now);
    }
    (model, now)
}

fn record(of: &SnapshotRow, there: &SnapshotRow) -> Copy {
    let at = |row: &SnapshotRow| Held { region: row.origin.region.clone(), id: row.id.clone() };
    Copy {
        of: at(of),
        at: Where::Snapshot(at(there)),
        proof: Proof::Copied(JobId(14)),
        since: when(-3_600),
        is_base: true,
        unique: None,
    }
}

/// Compared, with a proved copy of the older and one by tag.
pub(super) fn compared_and_copied(width: u16, height: u16) -> (Model, Now) {
    let (mut model, now) = compared(width, height, true);
    let (older, _) = model.compare.pair.clone().unwrap();
    let there = snapshot(&origin("eu-west-1"), 9_001);
    let tagged = SnapshotRow {
        tags: vec![("floe:source".to_owned(), format!("prod@us-east-1:{}", older.id))],
        ..snapshot(&origin("us-west-2"), 9_002)
    };
    for row in [there.clone(), tagged] {
        let look = model.look;
        let origin = row.origin.clone();
        update(&mut model, Msg::Inventory(look, Told::Page(origin.clone(), Rows::Snapshots(vec![row]))), now);
        update(&mut model, Msg::Inventory(look, Told::Done(origin, Kind::Snapshots, when(0))), now);
    }
    update(&mut model, Msg::Copies(vec![record(&older, &there)]), now);
    (model, now)
}

/// While it is counted.
pub(super) fn counting(width: u16, height: u16) -> (Model, Now) {
    let (mut model, now) = compared(width, height, false);
    let (older, newer) = model.compare.pair.clone().unwrap();
    let mut cells = counted().cells;
    cells[512..].fill(Tally::default());
    let progress = Progress { what: What::delta(&older, &newer), blocks: 640, ranges: (4, 8), cells };
    let number = model.next_number;
    update(&mut model, Msg::Counting(number, Box::new(progress)), now);
    (model, now)
}

/// Of two regions.
pub(super) fn unrelated(width: u16, height: u16) -> (Model, Now) {
    let (mut model, now) = compared(width, height, false);
    let (_, newer) = model.compare.pair.clone().unwrap();
    compare::open(&mut model, newer, snapshot(&origin("eu-west-1"), 55), now);
    (model, now)
}

/// A chain, half of it counted, two marked.
pub(super) fn walked(width: u16, height: u16) -> (Model, Now) {
    let (mut model, mut now, rows) = chain(width, height);
    for (n, step) in (1u64..).zip(rows.windows(2).skip(2)) {
        let counted = Counted { volume: Bytes::gib(100), blocks: Blocks(n * 1_500), ..Counted::default() };
        let count = Count { counted, cells: Vec::new() };
        update(&mut model, Msg::Counted(What::delta(&step[0], &step[1]), Box::new(Ok(count))), now);
    }
    press(&mut model, &["space", "left", "space", "left"], &mut now);
    model.toast = None;
    (model, now)
}

/// Some volumes with copies of every kind, and the rest.
pub(super) fn elsewhere(width: u16, height: u16) -> (Model, Now) {
    let (mut model, mut now) = compared_and_copied(width, height);
    let home = |model: &Model, n: usize| model.catalog.snapshots.shards[2].rows[n].row.clone();
    let (a, b) = (home(&model, 3), home(&model, 9));
    let gone = SnapshotRow { id: "snap-0dead0000beef0001".parse().unwrap(), ..snapshot(&origin("eu-west-1"), 1) };
    let at = |row: &SnapshotRow| Held { region: row.origin.region.clone(), id: row.id.clone() };
    let file = Copy {
        of: at(&a),
        at: Where::File("/backup/db-data.img".into()),
        proof: Proof::Verified,
        since: when(-7_200),
        is_base: true,
        unique: None,
    };
    let mut copies = model.copies.clone();
    copies.extend([file, record(&b, &gone)]);
    update(&mut model, Msg::Copies(copies), now);
    press(&mut model, &["W", "G"], &mut now);
    (model, now)
}

#[test]
fn elsewhere_is_worst_first_and_calls_nothing_proved_that_is_not() {
    let (mut model, mut now) = elsewhere(120, 36);
    assert_eq!(model.screen, Screen::Elsewhere);
    let rows = &model.elsewhere.rows;
    let proved: Vec<bool> = rows.iter().map(|row| row.proved.is_some()).collect();
    assert_eq!(proved.iter().filter(|is| **is).count(), 2, "a record whose snapshot is there, and a verified file");
    assert!(proved.is_sorted(), "those without a copy stand first");
    let family = rows.iter().find(|row| row.name.as_deref() == Some("ledger")).unwrap();
    assert_eq!((family.snapshots, family.proved), (2, Some(when(-4 * 86_400))), "the age of what the copy shows");
    let words: Vec<String> = family.copies.iter().map(|copied| copied.copy.proof.words().1).collect();
    assert_eq!(words, ["proved, job 14", "by tag"]);
    let all = frame(&model, now).join("\n");
    assert!(all.contains("✗ none") && all.contains("✓ 4 d"), "{all}");
    let at = rows.iter().position(|row| row.copies.iter().any(|copied| copied.copy.proof == Proof::Gone)).unwrap();
    assert!(rows[at].proved.is_none());
    press(&mut model, &["g"], &mut now);
    for _ in 0..at {
        press(&mut model, &["j"], &mut now);
    }
    let all = frame(&model, now).join("\n");
    assert!(all.contains("✗ gone") && all.contains(", gone"), "{all}");
    // Its newest snapshot is one key away, and so is copying it.
    let newest = model.elsewhere.rows[at].newest.clone();
    press(&mut model, &["c"], &mut now);
    assert!(frame(&model, now).join("\n").contains(&format!("Copy {newest}")));
    press(&mut model, &["esc", "enter"], &mut now);
    let here = model.snapshots.list.current().and_then(|at| model.catalog.snapshots.get(at)).map(|row| row.id.clone());
    assert_eq!((model.screen, here), (Screen::Snapshots, Some(newest)));
}

fn archive(n: u64, kind: &str) -> ArchiveRow {
    let id = format!("snap-0abc12340000000{n:02}");
    let base = (kind == "delta").then(|| "snap-0abc1234000000001".parse().unwrap());
    let bare = kind == "unfinished" || kind == "unreadable";
    ArchiveRow {
        address: format!("s3://vault/ebs/{id}/"),
        id: id.clone(),
        kind: kind.to_owned(),
        base,
        volume_bytes: (!bare).then(|| Bytes::gib(16 * n)),
        blocks: (!bare).then_some(Blocks(4_096 * n)),
        stored_bytes: (!bare).then_some(Bytes::mib(700 * n)),
        made: (!bare).then(|| when(-(n as i64) * 86_400)),
        source: (!bare).then(|| format!("prod@us-east-1:{id}")),
        trouble: match kind {
            "unfinished" => Some("it has no manifest: its job was not finished".to_owned()),
            "unreadable" => {
                Some("could not read s3://vault/ebs/x/manifest.json (s3:GetObject AccessDenied 403)".to_owned())
            }
            _ => None,
        },
    }
}

/// Archives of every kind, one of them checked.
pub(super) fn archives(width: u16, height: u16) -> (Model, Now) {
    let mut model = deck(width, height);
    let mut now = now();
    press(&mut model, &["A"], &mut now);
    for c in "vault/ebs/".chars() {
        press(&mut model, &[c.to_string().as_str()], &mut now);
    }
    press(&mut model, &["enter"], &mut now);
    let prefix = model.archives.prefix.clone().unwrap();
    let kinds = ["whole", "delta", "delta", "file", "fsp", "unfinished", "unreadable"];
    let rows: Vec<ArchiveRow> = (1u64..).zip(kinds).map(|(n, kind)| archive(n, kind)).collect();
    update(&mut model, Msg::Archives(prefix, Box::new(Ok(rows.clone()))), now);
    let known = Inspected {
        chain: Vec::new(),
        classes: vec!["STANDARD_IA".to_owned()],
        missing: Some(crate::inventory::archives::Missing::default()),
    };
    update(&mut model, Msg::Inspected(rows[0].address.clone(), Box::new(Ok(known))), now);
    (model, now)
}

/// A prefix that may not be listed.
pub(super) fn archives_denied(width: u16, height: u16) -> (Model, Now) {
    let (mut model, now) = archives(width, height);
    let prefix = model.archives.prefix.clone().unwrap();
    let list = crate::tui::screen::archives::list(&mut model, prefix.clone());
    assert!(matches!(list.first(), Some(Effect::ListArchives(_))));
    let error = Error::failed("could not list s3://vault/ebs/").todo("allow s3:ListBucket (floe iam ls)");
    update(&mut model, Msg::Archives(prefix, Box::new(Err(error))), now);
    (model, now)
}

#[test]
fn archives_are_listed_below_what_was_typed_and_the_second_time_is_one_key() {
    let (mut model, mut now) = archives(120, 36);
    let listed = |effects: &[Effect]| {
        effects.iter().find_map(|effect| match effect {
            Effect::ListArchives(prefix) => Some(prefix.to_string()),
            _ => None,
        })
    };
    assert_eq!(model.memory.archives, ["s3://vault/ebs/"], "kept as it was typed");
    let all = frame(&model, now).join("\n");
    for said in ["✓ complete", "● committed", "◌ unfinished", "✗ unreadable", "? no index", "≥ 10.3 GiB stored"]
    {
        assert!(all.contains(said), "`{said}` is not on screen:\n{all}");
    }
    press(&mut model, &["c"], &mut now);
    let effects = press(&mut model, &["e", "u", "w", "1", "tab", "enter"], &mut now);
    let planned = effects.iter().find_map(|effect| match effect {
        Effect::MakePlan { operation, .. } => Some(operation.sources[0].to_string()),
        _ => None,
    });
    assert_eq!(planned.as_deref(), Some("prod@s3://vault/ebs/snap-0abc1234000000001/"));
    // What cannot be restored says why.
    press(&mut model, &["esc", "G", "c"], &mut now);
    assert!(model.overlays.is_empty());
    assert!(model.toast.as_ref().is_some_and(|t| t.bad && t.text.contains("AccessDenied")), "{:?}", model.toast);

    let mut again = deck(120, 36);
    again.memory = model.memory.clone();
    assert_eq!(listed(&press(&mut again, &["A"], &mut now)).as_deref(), Some("prod@s3://vault/ebs/"));
    // And by the palette.
    let keys: Vec<String> = ":archives s3://other/".chars().map(String::from).collect();
    let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    keys.push("enter");
    assert_eq!(listed(&press(&mut again, &keys, &mut now)).as_deref(), Some("prod@s3://other/"));
}

#[test]
fn a_prefix_that_cannot_be_listed_is_told_and_kept_among_the_errors() {
    let (model, now) = archives_denied(120, 36);
    let all = frame(&model, now).join("\n");
    assert!(all.contains("✗ could not list s3://vault/ebs/") && all.contains("floe iam ls"), "{all}");
    assert!(model.problems.iter().any(|problem| problem.error.what.contains("could not list")));
}

#[test]
fn files_and_buckets_complete_and_tab_goes_round() {
    use crate::tui::names::Entry;
    let mut model = deck(120, 36);
    let mut now = now();
    let text = |model: &Model| match model.overlays.last() {
        Some(crate::tui::overlay::Overlay::Address(state)) => state.text.clone(),
        other => panic!("{other:?}"),
    };
    press(&mut model, &["2", "c"], &mut now);
    assert!(press(&mut model, &["."], &mut now).is_empty());
    let effects = press(&mut model, &["/"], &mut now);
    assert!(matches!(effects.as_slice(), [Effect::ListDirectory { typed, .. }] if typed == "./"));
    let entry = |name: &str, kind| Entry { name: name.to_owned(), kind };
    let entries = vec![entry("images", "directory"), entry("disk-a.img", "file"), entry("disk-b.img", "file")];
    update(&mut model, Msg::Directory("./".to_owned(), entries), now);
    press(&mut model, &["d", "tab"], &mut now);
    assert_eq!(text(&model), "./disk-a.img");
    press(&mut model, &["tab"], &mut now);
    assert_eq!(text(&model), "./disk-b.img");
    press(&mut model, &["tab"], &mut now);
    assert_eq!(text(&model), "./disk-a.img", "it goes round");
    // The only completion is taken, and what lies in it is asked for.
    press(&mut model, &["ctrl-u", ".", "/", "i"], &mut now);
    let effects = press(&mut model, &["tab"], &mut now);
    assert_eq!(text(&model), "./images/");
    assert!(matches!(effects.as_slice(), [Effect::ListDirectory { typed, .. }] if typed == "./images/"));
    // A second destination on the same line, in a bucket.
    let effects = press(&mut model, &["ctrl-u", "e", "u", "w", "1", "tab", "space", "s", "3"], &mut now);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::ListBuckets(Some(_)))), "{effects:?}");
    update(&mut model, Msg::Buckets("prod".parse().ok(), vec!["vault".to_owned()]), now);
    let all = frame(&model, now).join("\n");
    assert!(all.contains("s3://vault/") && all.contains("a bucket of the account"), "{all}");
    press(&mut model, &["tab"], &mut now);
    assert_eq!(text(&model), "eu-west-1: s3://vault/");
}

#[test]
fn journey_5_compares_and_copies_the_delta_within_its_keys() {
    let mut model = deck(120, 36);
    let mut now = now();
    let (older, newer) = family(&mut model, now);
    let there = snapshot(&origin("eu-west-1"), 9_001);
    let look = model.look;
    update(
        &mut model,
        Msg::Inventory(look, Told::Page(there.origin.clone(), Rows::Snapshots(vec![there.clone()]))),
        now,
    );
    update(&mut model, Msg::Copies(vec![record(&older, &there)]), now);
    press(&mut model, &["2", "="], &mut now);
    assert!(model.toast.as_ref().is_some_and(|t| t.bad && t.text.contains("mark two")));
    // The newest stands first: it was marked first, and is the newer all the same.
    press(&mut model, &MARKS, &mut now);
    let effects = press(&mut model, &["="], &mut now);
    assert_eq!(asked(&effects), [What::delta(&older, &newer)], "a few cents at most are asked for at once");
    assert_eq!(model.screen, Screen::Compare);
    update(&mut model, Msg::Counted(What::delta(&older, &newer), Box::new(Ok(counted()))), now);
    let all = frame(&model, now).join("\n");
    for said in ["= 3,072", "= 512", "= 256", "= 3,840", "the volume grew by = 2 GiB", "✓ euw1", "proved, job 14"] {
        assert!(all.contains(said), "`{said}` is not on screen:\n{all}");
    }
    // A place that was copied to before is nothing for a delta: only what holds the older is offered.
    model.memory.destinations = vec!["eu-west-1:".to_owned()];
    press(&mut model, &["c"], &mut now);
    let effects = press(&mut model, &["enter"], &mut now);
    let planned = effects.iter().find_map(|effect| match effect {
        Effect::MakePlan { operation, .. } => Some(operation),
        _ => None,
    });
    let planned = planned.expect("a plan is asked for");
    assert_eq!(planned.sources[0].to_string(), format!("prod@us-east-1:{}..{}", older.id, newer.id));
    assert_eq!(planned.destinations[0].to_string(), format!("prod@eu-west-1:{}+", there.id));
    assert!(MARKS.len() + ["=", "c", "enter", "S"].len() <= BUDGET);
}

#[test]
fn each_key_of_journey_5_is_seen_before_it_is_pressed() {
    let mut model = deck(120, 36);
    let mut now = now();
    let (older, newer) = family(&mut model, now);
    press(&mut model, &MARKS, &mut now);
    let all = frame(&model, now).join("\n");
    assert!(all.contains("= compare"), "{all}");
    press(&mut model, &["="], &mut now);
    update(&mut model, Msg::Counted(What::delta(&older, &newer), Box::new(Ok(counted()))), now);
    let all = frame(&model, now).join("\n");
    assert!(all.contains("c copy the difference") && all.contains("s counts the newer"), "{all}");
}

#[test]
fn what_was_compared_once_is_there_at_once_and_a_count_that_runs_can_be_stopped() {
    let (mut model, mut now) = compared(120, 36, true);
    press(&mut model, &["esc"], &mut now);
    let effects = press(&mut model, &["="], &mut now);
    assert!(asked(&effects).is_empty(), "nothing is listed twice");
    assert!(matches!(compare::stage(&model), Stage::Done(_)));

    let (mut model, mut now) = compared(120, 36, false);
    assert!(matches!(compare::stage(&model), Stage::Counting(None)));
    let (older, newer) = model.compare.pair.clone().unwrap();
    let what = What::delta(&older, &newer);
    let progress = Progress { what, blocks: 640, ranges: (1, 8), cells: counted().cells };
    let number = model.next_number;
    update(&mut model, Msg::Counting(number - 1, Box::new(progress.clone())), now);
    assert!(matches!(compare::stage(&model), Stage::Counting(None)), "what an older count tells is dropped");
    update(&mut model, Msg::Counting(number, Box::new(progress)), now);
    let all = frame(&model, now).join("\n");
    assert!(all.contains("≥ 3,072") && all.contains("1 of 8 ranges"), "{all}");
    let effects = press(&mut model, &["x"], &mut now);
    assert!(matches!(effects.as_slice(), [Effect::StopCounting]));
    assert!(matches!(compare::stage(&model), Stage::Ask(_)));
    assert_eq!(asked(&press(&mut model, &["S"], &mut now)).len(), 1);
}

#[test]
fn the_figures_of_a_comparison_add_up() {
    for same in [false, true] {
        let (mut model, now) = compared(120, 36, true);
        let (_, newer) = model.compare.pair.clone().unwrap();
        if same {
            let counted = Counted { volume: newer.size, blocks: Blocks(12_000), ..Counted::default() };
            let count = Count { counted, cells: Vec::new() };
            update(&mut model, Msg::Counted(What::whole(&newer), Box::new(Ok(count))), now);
        }
        let lines = frame(&model, now);
        let figures = |name: &str| -> Vec<f64> {
            let line = lines.iter().find(|line| line.contains(&format!("│ {name}"))).unwrap();
            let words = line.split_whitespace().filter_map(|word| word.replace(',', "").parse().ok());
            words.take(2).collect()
        };
        let parts: Vec<Vec<f64>> = ["changed", "added", "removed"].iter().map(|name| figures(name)).collect();
        let sum = figures("differ");
        for at in 0..2 {
            let added: f64 = parts.iter().map(|part| part[at]).sum();
            assert!((added - sum[at]).abs() < 0.001, "{added} is not {}:\n{}", sum[at], lines.join("\n"));
        }
        let all = if same { 12_000.0 } else { 12_288.0 };
        assert!((figures("the same")[0] - (all - 3_072.0 - 512.0)).abs() < 0.5);
        let glyph = if same { "= 8,416" } else { "≤ 8,704" };
        assert!(lines.iter().any(|line| line.contains(glyph)), "{}", lines.join("\n"));
    }
}

#[test]
fn snapshots_that_nothing_ties_are_told_so_with_what_reading_both_costs() {
    let (mut model, mut now) = compared(120, 36, false);
    let (older, newer) = model.compare.pair.clone().unwrap();
    let mut error = Error::failed("no list of changes");
    error.aws = Some(Box::new(AwsDetail {
        operation: "ebs:ListChangedBlocks".to_owned(),
        code: "ValidationException".to_owned(),
        reason: Some("UNRELATED_SNAPSHOTS".to_owned()),
        message: "the snapshots are unrelated".to_owned(),
        status: Some(400),
        request_id: None,
    }));
    update(&mut model, Msg::Counted(What::delta(&older, &newer), Box::new(Err(error))), now);
    let all = frame(&model, now).join("\n");
    for said in ["not of one lineage", "UNRELATED_SNAPSHOTS", "≤ 24,576 Get", "≤ $0.07", "floe verify prod@us-east-1:"]
    {
        assert!(all.contains(said), "`{said}` is not on screen:\n{all}");
    }
    let effects = press(&mut model, &["y"], &mut now);
    let verify = format!("floe verify prod@us-east-1:{} prod@us-east-1:{}", older.id, newer.id);
    assert!(matches!(effects.as_slice(), [Effect::Copy(text)] if *text == verify), "{effects:?}");
    assert!(press(&mut model, &["c"], &mut now).is_empty());
    assert!(model.toast.as_ref().is_some_and(|t| t.bad && t.text.contains("no delta")));

    // Of two regions AWS is not even asked.
    let far = snapshot(&origin("eu-west-1"), 55);
    let effects = compare::open(&mut model, newer, far, now);
    assert!(asked(&effects).is_empty());
    let all = frame(&model, now).join("\n");
    assert!(all.contains("changes are listed only within one region"), "{all}");
}

#[test]
fn a_read_only_deck_compares_and_copies_nothing() {
    let (mut model, mut now) = compared(120, 36, true);
    model.mode = Mode::ReadOnly;
    press(&mut model, &["c"], &mut now);
    assert!(model.overlays.is_empty());
    assert!(model.toast.as_ref().is_some_and(|t| t.bad && t.text.contains("read-only")));
}

/// A chain of six in us-east-1, the cursor on the newest.
pub(super) fn chain(width: u16, height: u16) -> (Model, Now, Vec<SnapshotRow>) {
    let mut model = deck(width, height);
    let mut now = now();
    let here = origin("us-east-1");
    let rows: Vec<SnapshotRow> = (0..6u64)
        .map(|n| SnapshotRow {
            name: Some("ledger".to_owned()),
            volume: Some("vol-0abcabcabcabcabc1".parse().unwrap()),
            size: Bytes::gib(100),
            full: Some(Bytes::gib(60 + n)),
            started: when(-(6 - n as i64) * 7 * 86_400),
            ..snapshot(&here, 7_100 + n)
        })
        .collect();
    let look = model.look;
    update(&mut model, Msg::Inventory(look, Told::Page(here, Rows::Snapshots(rows.clone()))), now);
    settle(&mut model, now.later(std::time::Duration::from_secs(3)));
    press(&mut model, &["2", "/", "l", "e", "d", "g", "e", "r", "enter", "g", "L"], &mut now);
    (model, now, rows)
}

#[test]
fn a_chain_is_walked_counted_marked_and_compared() {
    let (mut model, mut now, rows) = chain(120, 36);
    assert_eq!(model.screen, Screen::Lineage);
    let all = frame(&model, now).join("\n");
    assert!(all.contains("s counts 5 changes") && all.contains("6 of 6"), "{all}");
    let effects = press(&mut model, &["s"], &mut now);
    let wanted: Vec<What> = rows.windows(2).map(|step| What::delta(&step[0], &step[1])).collect();
    assert_eq!(asked(&effects), wanted);
    for (n, what) in (1u64..).zip(wanted) {
        let counted = Counted { volume: Bytes::gib(100), blocks: Blocks(n * 2_048), ..Counted::default() };
        update(&mut model, Msg::Counted(what, Box::new(Ok(Count { counted, cells: Vec::new() }))), now);
    }
    let all = frame(&model, now).join("\n");
    for said in ["= 1 GiB", "= 5 GiB", "changed in all = 15 GiB, 5 of 5 steps counted", "whole"] {
        assert!(all.contains(said), "`{said}` is not on screen:\n{all}");
    }
    assert!(press(&mut model, &["s"], &mut now).is_empty(), "nothing is counted twice");
    // Without marks, the one before and this one; with two, these.
    press(&mut model, &["left", "="], &mut now);
    let pair = |model: &Model| model.compare.pair.clone().map(|(a, b)| (a.id, b.id)).unwrap();
    assert_eq!(pair(&model), (rows[3].id.clone(), rows[4].id.clone()));
    press(&mut model, &["esc", "space", "g", "space", "="], &mut now);
    assert_eq!(pair(&model), (rows[0].id.clone(), rows[4].id.clone()));
    assert_eq!(model.snapshots.list.marks.len(), 2, "marks are those of the list");
    press(&mut model, &["esc", "enter"], &mut now);
    assert_eq!(model.screen, Screen::Snapshots);
    assert!(frame(&model, now).join("\n").contains(rows[0].id.as_str()));
}

#[test]
fn copies_that_name_no_volume_are_tied_by_what_floe_made_them_on_and_by_nothing_else() {
    let mut model = deck(120, 36);
    let now = now();
    let there = origin("eu-west-1");
    let copy = |n: u64, parent: Option<&SnapshotRow>| SnapshotRow {
        volume: Some("vol-ffffffff".parse().unwrap()),
        started: when(-10_000 + n as i64),
        tags: parent.map(|p| ("floe:parent".to_owned(), p.id.to_string())).into_iter().collect(),
        ..snapshot(&there, 8_000 + n)
    };
    let first = copy(0, None);
    let second = copy(1, Some(&first));
    let third = copy(2, Some(&second));
    let stranger = copy(3, None);
    // A circle is what somebody wrote: it ends.
    let mut circle = copy(4, None);
    circle.tags = vec![("floe:parent".to_owned(), circle.id.to_string())];
    let rows = vec![third.clone(), stranger.clone(), first.clone(), second.clone(), circle.clone()];
    let look = model.look;
    update(&mut model, Msg::Inventory(look, Told::Page(there, Rows::Snapshots(rows))), now);
    let ids = |row: &SnapshotRow| model.catalog.lineage(row).iter().map(|r| r.id.clone()).collect::<Vec<_>>();
    let all = vec![first.id.clone(), second.id.clone(), third.id.clone()];
    for row in [&first, &second, &third] {
        assert_eq!(ids(row), all);
    }
    assert_eq!(ids(&stranger), std::slice::from_ref(&stranger.id));
    assert_eq!(ids(&circle), std::slice::from_ref(&circle.id));
}
