//! Clearing as a hand meets it: keys go into the deck, what it asks for is done on the sandbox, and what other clients
//! find afterwards is held against what the deck says.
#![expect(clippy::panic, reason = "helpers of tests fail the test")]

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use floe::address::Place;
use floe::engine::protocol::JobState;
use floe::engine::removal::{Outcome, Report};
use floe::inventory::SnapshotRow;
use floe::inventory::verdict::{KEEP, Thing, Verdict};
use floe::plan::removal::{Target, Wishes, Would};
use floe::plan::{Machine, RunsIn};
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::store::audit::{Audit, Entry, Event};
use floe::tui::World;
use floe::tui::clock::Now;
use floe::tui::effect::Effect;
use floe::tui::model::{Mode, Model};
use floe::tui::msg::Msg;
use floe::tui::outside::Outside;
use floe::tui::overlay::Overlay;
use floe::tui::screen::removal::{self, Stage};
use floe::tui::screen::{Screen, orphans};
use floe::tui::update::{look, update, wants};
use tokio::sync::mpsc;

use crate::frees::CHAIN;
use crate::removal::{EMPTY, OLD, requests, set, there};

use crate::rig::{Rig, SMALL, only, rule};

const BOOT: &str = "snap-0feed000000b00701";
/// What people call the account of the scenario.
const ALIAS: &str = "acme-prod";

/// A deck on a sandbox, with a hand that is never too quick.
pub struct Deck {
    pub model: Model,
    pub now: Now,
    outside: Outside,
    told: mpsc::Receiver<Msg>,
}

impl Deck {
    pub fn of(rig: &Rig) -> Self {
        let world = World { aws: rig.aws.clone(), state: rig.state.clone(), sandbox: true, config: None, keep: None };
        let (answers, told) = mpsc::channel(256);
        let (worlds, _) = mpsc::channel(1);
        let outside = Outside::new(world, None, Machine::read(RunsIn::Outside, None), answers, worlds);
        let now = Now { mono: Duration::from_secs(100), wall: jiff::Timestamp::now() };
        let model = Model {
            size: (120, 36),
            chosen_profiles: vec!["prod".parse().expect("a profile")],
            chosen_regions: vec!["us-east-1".parse().expect("a region")],
            ..Model::default()
        };
        Self { model, now, outside, told }
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        effects.into_iter().for_each(|effect| self.outside.perform(effect));
    }

    /// Each key most of a second after the one before, so that no gate minds.
    pub fn press(&mut self, keys: &[&str]) {
        for key in keys {
            let code = match *key {
                "enter" => KeyCode::Enter,
                "esc" => KeyCode::Esc,
                key => KeyCode::Char(key.chars().next().expect("a key")),
            };
            self.now = self.now.later(Duration::from_millis(700));
            let effects = update(&mut self.model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)), self.now);
            self.perform(effects);
        }
    }

    fn types(&mut self, text: &str) {
        text.chars().for_each(|c| self.press(&[c.to_string().as_str()]));
    }

    /// Hears what the world answers until the deck is as wanted.
    pub async fn until(&mut self, what: &str, when: impl Fn(&Model) -> bool) {
        loop {
            while wants(&self.model, self.now).work {
                update(&mut self.model, Msg::Work, self.now);
            }
            if when(&self.model) {
                return;
            }
            let told = tokio::time::timeout(Duration::from_secs(120), self.told.recv()).await;
            let Ok(Some(told)) = told else {
                panic!("{what}: {:?}, {:?}, {:?}", self.model.removal.stage, self.model.toast, self.model.problems)
            };
            let effects = update(&mut self.model, told, self.now);
            self.perform(effects);
        }
    }

    pub async fn looked(&mut self) {
        let (profiles, regions) = (self.model.chosen_profiles.clone(), self.model.chosen_regions.clone());
        let effects = look(&mut self.model, profiles, regions);
        self.perform(effects);
        self.until("the account's alias", |model| {
            let of = model.catalog.origins.first();
            of.is_some() && model.aliases.values().any(Option::is_some)
        })
        .await;
    }

    fn said(&self) -> String {
        self.model.toast.as_ref().map(|toast| toast.text.clone()).unwrap_or_default()
    }

    /// The plan of these, what is unknown accepted.
    async fn planned(&mut self, ids: &[&str], wishes: Wishes) {
        let place = || Place { profile: "prod".parse().ok(), region: "us-east-1".parse().ok() };
        let targets: Vec<(Place, Target)> = ids.iter().map(|id| (place(), id.parse().expect("an id"))).collect();
        let wishes = Wishes { accept_unknown: true, ..wishes };
        let mut effects = removal::open(&mut self.model, targets, 0);
        self.model.removal.wishes = wishes.clone();
        for effect in &mut effects {
            if let Effect::PlanRemoval { wanted, .. } = effect {
                wanted.wishes = wishes.clone();
            }
        }
        self.perform(effects);
        self.until("a plan", |model| matches!(model.removal.stage, Stage::Planned)).await;
        let plan = self.model.removal.plan.as_ref().expect("a plan");
        assert_eq!(plan.summary().removed as usize, ids.len(), "{plan:#?}");
    }

    /// Arms by the last four digits, then types what the plan wants.
    fn delete(&mut self) {
        if self.model.armed.is_none() {
            self.press(&["!"]);
            self.types("9012");
            self.press(&["enter"]);
        }
        self.press(&["D"]);
        let token = self.model.removal.plan.as_ref().expect("a plan").token();
        assert!(matches!(self.model.overlays.last(), Some(Overlay::Confirm(_))), "{}", self.said());
        self.types(&token);
        self.press(&["enter"]);
        assert!(self.model.removal.is_running(), "{}", self.said());
    }

    async fn over(&mut self) -> Report {
        self.until("the end", |model| matches!(model.removal.stage, Stage::Over(_) | Stage::Failed(_))).await;
        match &self.model.removal.stage {
            Stage::Over(report) => (**report).clone(),
            other => panic!("{other:?}"),
        }
    }
}

/// Waits for something that the server counts.
async fn asked(rig: &Rig, api: &str, times: u64) {
    let begun = std::time::Instant::now();
    while requests(&rig.world, api) < times {
        assert!(begun.elapsed() < Duration::from_secs(120), "{api} was not asked {times} times");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn audit(rig: &Rig) -> Vec<Entry> {
    Audit::of(&rig.state).read(|_| true).expect("the log").entries
}

fn lines(log: &[Entry], id: &str) -> Vec<Event> {
    log.iter().filter(|entry| entry.id == id).map(|entry| entry.event).collect()
}

fn outcome<'a>(report: &'a Report, id: &str) -> &'a Outcome {
    &report.items.iter().find(|row| row.id.id() == id).expect("the item").outcome
}

fn faults(rig: &Rig, rules: Vec<Rule>) {
    rig.world.running.sandbox.set_faults(Faults { rules, ..Faults::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_listed_and_judged_is_held_once() {
    let rig = Rig::of(crate::support::World::of("clear").await);
    let mut deck = Deck::of(&rig);
    deck.looked().await;
    let held = |model: &Model| {
        let judged = model.orphans.table.shards.iter().flat_map(|shard| &shard.rows);
        let judged: Vec<&SnapshotRow> = judged
            .filter_map(|slot| match slot.row.thing()? {
                Thing::Snapshot(row) => Some(row),
                _ => None,
            })
            .collect();
        let table = &model.catalog.snapshots;
        let same = |row: &SnapshotRow| {
            let listed = table.find(&row.id).and_then(|at| table.get(at));
            listed.is_some_and(|listed| std::ptr::eq(listed, row))
        };
        (judged.len(), judged.iter().filter(|row| same(row)).count())
    };
    for key in ["1", "5"] {
        deck.press(&[key]);
        deck.until("the verdicts", |model| model.catalog.finished && model.orphans.finished).await;
        let (all, shared) = held(&deck.model);
        assert!(all > 40 && shared == all, "after {key}: {shared} of {all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn x_puts_archives_down_deletes_nothing_and_the_same_plan_goes_on() {
    let rig = Rig::calm().await;
    let truth = rig.world.contents("prod", "us-east-1", BOOT).await;
    let mut deck = Deck::of(&rig);
    deck.looked().await;
    let wishes = Wishes {
        archive_to: Some("s3://floe-vault-us-east-1/gone/".into()),
        archive_only: vec![BOOT.parse().expect("an id")],
        ..Wishes::default()
    };
    deck.planned(&[BOOT, OLD], wishes).await;
    let plan = deck.model.removal.plan.clone().expect("a plan");
    let archived = plan.items.iter().filter(|item| item.would == Would::ArchiveThenDelete).count();
    assert_eq!(archived, 1, "{plan:#?}");
    faults(&rig, vec![only("PutObject", rule(Fault::Hang, 1.0))]);
    deck.delete();
    asked(&rig, "PutObject", 1).await;
    // How far its archive is is told while it is made.
    deck.until("the archive", |model| model.removal.archives.blocks().1.value.0 > 0).await;
    let archives = &deck.model.removal.archives;
    assert!(archives.0.len() == 1 && archives.proved() == 0 && archives.percent() < 100, "{archives:?}");
    deck.press(&["x"]);
    assert!(deck.said().contains("archives are put down"), "{}", deck.said());
    let report = deck.over().await;
    assert_eq!((report.removed, report.failed, report.not_tried), (0, 0, 2), "{report:#?}");
    let note = outcome(&report, BOOT).text();
    assert!(note.contains("job 1, paused") && note.contains("the same plan goes on"), "{note}");
    assert_eq!(*outcome(&report, OLD), Outcome::NotTried { note: None });
    let jobs = floe::engine::jobs(&rig.state).expect("the jobs");
    assert_eq!(jobs.iter().map(|job| job.state).collect::<Vec<_>>(), [JobState::Paused]);
    // Other clients find both snapshots, no archive, and nothing that was asked for.
    assert_eq!(there(&rig.world, "us-east-1", &[BOOT, OLD]).await, set(&[BOOT, OLD]));
    assert_eq!(requests(&rig.world, "DeleteSnapshot"), 0);
    let keys = crate::archives::keys(&rig.world, "gone/").await;
    assert!(!keys.iter().any(|key| key.ends_with("manifest.json")), "{keys:?}");
    let log = audit(&rig);
    assert_eq!((lines(&log, BOOT), lines(&log, OLD)), (vec![Event::Skipped], vec![]));
    assert!(log.last().is_some_and(|entry| entry.event == Event::Ended && entry.text.contains("2 not tried")));

    // D goes on with the very plan, and asks for its count again: the job that was put down ends, then both go.
    rig.heal();
    deck.delete();
    let report = deck.over().await;
    assert_eq!((report.removed, report.not_tried), (2, 0), "{report:#?}");
    let (archives, blocks) = (&deck.model.removal.archives, truth.len() as u64);
    assert_eq!((archives.proved(), archives.percent()), (1, 100));
    assert_eq!((archives.blocks().0.0, archives.blocks().1.value.0), (blocks, blocks), "as another client counts them");
    assert_eq!(there(&rig.world, "us-east-1", &[BOOT, OLD]).await, set(&[]));
    assert_eq!(floe::engine::jobs(&rig.state).expect("the jobs").len(), 1, "no second archive was begun");
    deck.outside.shutdown().await;
    let client = crate::rig::retry_start(&rig.state, &rig.aws).await;
    let source = format!("s3://floe-vault-us-east-1/gone/{BOOT}/");
    let back = rig.plan(&source, &["us-west-2:"], floe::plan::Options::default()).await;
    let row = crate::rig::end(&client, crate::rig::start(&client, &back).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_eq!(rig.copied(&row, 0).await, truth, "the archive holds every block");
}

/// World says what bulk describes decide; `5` asks what is left, and nothing of the former again.
#[tokio::test(flavor = "multi_thread")]
async fn world_counts_what_bulk_describes_decide_and_5_asks_the_rest_only() {
    const BULK: [&str; 10] = [
        "DescribeRegions",
        "DescribeSnapshots",
        "DescribeVolumes",
        "DescribeImages",
        "DescribeInstances",
        "DescribeLaunchTemplates",
        "DescribeLockedSnapshots",
        "DescribeFastSnapshotRestores",
        "DescribeSnapshotTierStatus",
        "ListSnapshotsInRecycleBin",
    ];
    let rig = Rig::of(crate::support::World::of("clear").await);
    let mut deck = Deck::of(&rig);
    deck.looked().await;
    deck.until("bulk answers", |model| model.orphans.finished).await;
    let before = deck.model.orphans.all();
    assert!(before.found > 0 && before.open > 0 && !before.more, "{before:?}");
    assert_eq!(before.to_string(), format!("≤ {}", before.found + before.open));
    let origin = deck.model.catalog.origins.first().expect("a row of World");
    assert_eq!(deck.model.orphans.of(origin), Some(before), "what its row shows");
    let asked = |api| requests(&rig.world, api);
    let singles = ["DescribeSnapshotAttribute", "DescribeImageAttribute", "DescribeImageReferences"];
    assert_eq!(singles.map(asked), [0; 3], "nothing is asked one by one before 5");
    let bulk = BULK.map(asked);
    assert!(bulk.iter().skip(1).all(|times| *times > 0), "{bulk:?}");

    deck.press(&["5"]);
    deck.until("single answers", |model| model.orphans.finished).await;
    let after = deck.model.orphans.all();
    assert_eq!(BULK.map(asked), bulk, "none is repeated within ten minutes");
    assert!(singles.map(asked).iter().all(|times| *times > 0));
    assert!(before.found < after.found && after.found <= before.found + before.open, "{before:?}, {after:?}");
    assert_eq!((after.open, after.to_string()), (0, after.found.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn x_in_the_middle_of_a_deletion_ends_after_the_item_in_flight() {
    let rig = Rig::calm().await;
    let mut deck = Deck::of(&rig);
    deck.looked().await;
    let ids = [EMPTY, OLD, BOOT];
    deck.planned(&ids, Wishes::default()).await;
    // The second call takes its time, so that x comes while it is in flight.
    let slow = only("DeleteSnapshot", rule(Fault::Delay { ms: 5_000, jitter: 0 }, 1.0));
    faults(&rig, vec![Rule { skip: 1, times: Some(1), ..slow }]);
    deck.delete();
    asked(&rig, "DeleteSnapshot", 2).await;
    deck.press(&["x"]);
    let report = deck.over().await;
    assert_eq!((report.removed, report.skipped, report.failed, report.not_tried), (2, 0, 0, 1), "{report:#?}");
    let (gone, left): (Vec<_>, Vec<_>) =
        report.items.iter().partition(|row| matches!(row.outcome, Outcome::Removed { .. }));
    let left: Vec<&str> = left.iter().map(|row| row.id.id()).collect();
    assert_eq!(there(&rig.world, "us-east-1", &ids).await, set(&left), "what the report says is what others find");
    assert_eq!(requests(&rig.world, "DeleteSnapshot"), 2);
    let log = audit(&rig);
    for row in &gone {
        assert_eq!(lines(&log, row.id.id()), [Event::Intent, Event::Done], "{}", row.id);
    }
    assert_eq!(lines(&log, left[0]), [], "what was not tried was not written down as tried");
    assert!(log.last().is_some_and(|entry| entry.text.contains("2 removed") && entry.text.contains("1 not tried")));
    // What is left is one thing, so its last four are asked for.
    deck.press(&["r"]);
    deck.until("a plan of the rest", |model| matches!(model.removal.stage, Stage::Planned)).await;
    let rest = deck.model.removal.plan.as_ref().expect("a plan");
    assert_eq!((rest.items.len(), rest.items[0].target.id()), (1, left[0]));
}

fn arms(deck: &mut Deck, typed: &str) -> bool {
    deck.press(&["!"]);
    assert!(matches!(deck.model.overlays.last(), Some(Overlay::Confirm(_))), "{}", deck.said());
    deck.types(typed);
    deck.press(&["enter"]);
    let armed = deck.model.mode == Mode::Armed;
    deck.press(if armed { &["!"] } else { &["esc"] });
    assert_eq!(deck.model.mode, Mode::Safe);
    armed
}

#[tokio::test(flavor = "multi_thread")]
async fn the_alias_that_iam_tells_arms_a_wrong_one_does_not_and_where_it_is_denied_the_number_does() {
    let rig = Rig::calm().await;
    let mut deck = Deck::of(&rig);
    deck.looked().await;
    deck.planned(&[OLD], Wishes::default()).await;
    assert_eq!(requests(&rig.world, "ListAccountAliases"), 1, "it is asked for once");
    assert!(arms(&mut deck, ALIAS));
    assert!(arms(&mut deck, "9012"), "its digits do too");
    for wrong in ["acme-dr", "acme", "123456789012", "901"] {
        assert!(!arms(&mut deck, wrong), "{wrong}");
    }

    // Nobody may know its name: its digits have to do, and the name that it has is no answer.
    faults(&rig, vec![only("ListAccountAliases", rule(Fault::Deny, 1.0))]);
    let mut deck = Deck::of(&rig);
    let (profiles, regions) = (deck.model.chosen_profiles.clone(), deck.model.chosen_regions.clone());
    let effects = look(&mut deck.model, profiles, regions);
    deck.perform(effects);
    deck.until("the account", |model| model.aliases.values().any(Option::is_none)).await;
    asked(&rig, "ListAccountAliases", 2).await;
    deck.planned(&[OLD], Wishes::default()).await;
    assert!(deck.model.aliases.values().all(Option::is_none), "{:?}", deck.model.aliases);
    assert!(!arms(&mut deck, ALIAS));
    assert!(arms(&mut deck, "9012"));
    assert_eq!(requests(&rig.world, "DeleteSnapshot"), 0, "arming deletes nothing");
}

/// The snapshot of that name, as EC2 tells it to others, and its tags.
async fn named(rig: &Rig, name: &str) -> (String, Vec<(String, String)>) {
    let ec2 = rig.world.ec2("prod", "us-east-1");
    let filter = aws_sdk_ec2::types::Filter::builder().name("tag:Name").values(name).build();
    let found = ec2.describe_snapshots().filters(filter).send().await.expect("snapshots");
    let [row] = found.snapshots() else { panic!("one snapshot is called {name}") };
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let tags = row.tags().iter().map(|tag| (text(tag.key()), text(tag.value()))).collect();
    (text(row.snapshot_id()), tags)
}

impl Deck {
    fn verdict(&self, id: &str) -> Option<Verdict> {
        let row = self.model.orphans.table.get(self.model.orphans.table.find(&id.to_owned())?)?;
        Some(row.standing.verdict)
    }

    async fn judged(&mut self, id: &str, verdict: Verdict) {
        self.until("a verdict", |model| {
            let row = model.orphans.table.find(&id.to_owned()).and_then(|at| model.orphans.table.get(at));
            model.orphans.finished && row.is_some_and(|row| row.standing.verdict == verdict)
        })
        .await;
    }

    /// Marks that row, and presses `z` and the `S` that it asks for.
    fn keeps(&mut self, id: &str) {
        let at = self.model.orphans.table.find(&id.to_owned()).expect("the row");
        self.model.orphans.list.marks.insert(at);
        self.model.orphans.list.recount();
        self.press(&["z"]);
        assert!(matches!(self.model.overlays.last(), Some(Overlay::Confirm(_))), "{}", self.said());
        self.press(&["S"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn z_tags_what_is_kept_for_ever_and_without_the_tag_it_is_an_orphan_again() {
    let rig = Rig::of(crate::support::World::of("clear").await);
    let (id, before) = named(&rig, "left-volume").await;
    let mut deck = Deck::of(&rig);
    let effects = orphans::open(&mut deck.model, deck.now);
    deck.perform(effects);
    deck.judged(&id, Verdict::Orphan).await;
    assert_eq!(deck.model.screen, Screen::Orphans);

    // Where tags may not be made nothing changes, and it is said and written down.
    faults(&rig, vec![only("CreateTags", rule(Fault::Deny, 1.0))]);
    deck.keeps(&id);
    deck.until("the refusal", |model| !model.problems.is_empty()).await;
    let told = deck.model.problems.iter().map(|known| format!("{:?}", known.error)).collect::<String>();
    assert!(told.contains("UnauthorizedOperation") && told.contains("ec2:CreateTags"), "{told}");
    assert_eq!((deck.verdict(&id).expect("a row"), named(&rig, "left-volume").await.1), (Verdict::Orphan, before));
    assert_eq!(lines(&audit(&rig), &id), [Event::Intent, Event::Failed]);

    rig.heal();
    deck.model.orphans.list.unmark();
    deck.keeps(&id);
    deck.judged(&id, Verdict::Protected).await;
    let (_, tags) = named(&rig, "left-volume").await;
    let kept: Vec<&(String, String)> = tags.iter().filter(|(key, _)| key == KEEP).collect();
    assert!(kept.len() == 1 && kept[0].1.starts_with("by "), "{tags:?}");
    let log = audit(&rig);
    assert_eq!(lines(&log, &id), [Event::Intent, Event::Failed, Event::Intent, Event::Done]);
    assert!(log.iter().all(|entry| entry.call == "ec2:CreateTags" && entry.who.contains("z in the deck")), "{log:?}");
    let keep = format!("us-east-1:{id}");
    let (_, plan, said) = rig.world.json(&["delete", &keep, "--dry-run", "--accept-unknown", "-o", "json"]).await;
    assert_eq!(plan["items"][0]["would"]["why"], "protected", "{plan} {said}");

    // Taken off by somebody else, it is what it was.
    let ec2 = rig.world.ec2("prod", "us-east-1");
    let tag = aws_sdk_ec2::types::Tag::builder().key(KEEP).build();
    ec2.delete_tags().resources(&id).tags(tag).send().await.expect("taken off");
    deck.press(&["r"]);
    deck.judged(&id, Verdict::Orphan).await;
    assert_eq!(requests(&rig.world, "DeleteSnapshot"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_takes_what_x_has_counted_for_its_very_set_and_nothing_once_a_neighbour_is_new() {
    let rig = Rig::calm().await;
    let (alone, together) = crate::freed::truth(&rig.world).await;
    let mut deck = Deck::of(&rig);
    let effects = orphans::open(&mut deck.model, deck.now);
    deck.perform(effects);
    deck.until("verdicts", |model| model.orphans.finished).await;
    let origin = floe::inventory::Origin {
        profile: "prod".parse().ok(),
        account: "123456789012".parse().expect("an account"),
        region: "us-east-1".parse().expect("a region"),
    };
    let at = (origin.into(), CHAIN[0].parse().expect("an id"));
    let effects = floe::tui::insides::begin(&mut deck.model, vec![at]);
    deck.perform(effects);
    deck.until("what it frees", |model| model.freed.running.is_empty()).await;
    let asked = crate::freed::lists(&rig.world);
    let freed = |deck: &Deck| {
        let plan = deck.model.removal.plan.as_ref().expect("a plan");
        let frees = plan.summary().frees;
        (frees.exact.0 + frees.at_most.0, plan.together.len())
    };
    deck.planned(&[CHAIN[0], CHAIN[1]], Wishes::default()).await;
    assert_eq!(freed(&deck), (together, 1), "of the set, with what both share");
    deck.planned(&[CHAIN[0]], Wishes::default()).await;
    let one = freed(&deck);
    deck.planned(&[CHAIN[1]], Wishes::default()).await;
    assert_eq!((one.0 + freed(&deck).0, one.1), (alone, 1), "another set, another figure");
    assert_eq!(crate::freed::lists(&rig.world), asked, "nothing is listed twice");
    let notes = deck.model.removal.plan.as_ref().expect("a plan").together[0].notes.clone();
    assert!(notes[0].starts_with("from lists of "), "{notes:?}");

    {
        let mut model = rig.world.running.sandbox.model_mut();
        let (account, region) = ("123456789012".parse().expect("id"), "us-east-1".parse().expect("region"));
        let here = model.region_mut(&account, &region).expect("a region");
        let mut newer = here.snapshots[&CHAIN[2].parse().expect("id")].clone();
        newer.id = "snap-0feed0000000da7a4".parse().expect("id");
        here.snapshots.insert(newer.id.clone(), newer);
    }
    deck.planned(&[CHAIN[0], CHAIN[1]], Wishes::default()).await;
    let (bytes, counted) = freed(&deck);
    assert!(bytes > together && counted == 0, "its neighbours are not what they were: at most");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_floe_made_on_what_is_evidence_of_lineage_and_holds_nothing() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let made = |row: &floe::engine::protocol::JobStatus| {
        assert_eq!(row.state, JobState::Done, "{:?}", row.error);
        let address = row.destinations[0].address.trim_end_matches('+');
        address.rsplit(':').next().expect("an id").to_owned()
    };
    let options = floe::plan::Options::default;
    let first = made(&rig.copy(&client, SMALL, &["eu-west-1:"], options()).await);
    let onto = format!("eu-west-1:{first}+");
    let second = made(&rig.copy(&client, SMALL, &[onto.as_str()], options()).await);
    let args = ["--region", "eu-west-1", "delete", &first, &second, "--dry-run", "-o", "json"];
    let lineage = |plan: &serde_json::Value, id: &str| {
        let item = plan["items"].as_array().expect("items").iter().find(|item| item["target"] == id).expect("it");
        let all = item["judged"]["evidence"].as_array().expect("evidence").clone();
        let said = all.into_iter().find(|one| one["rule"] == "lineage").expect("a line of it");
        assert_eq!(said["answer"], "hint", "it ties, and holds nothing: {said}");
        said["text"].as_str().expect("a text").to_owned()
    };
    let (_, plan, said) = rig.world.json(&[&args[..], &["--state-dir", "state"]].concat()).await;
    assert!(plan["items"].is_array(), "{said}");
    let source = SMALL.to_owned();
    let (of_first, of_second) = (lineage(&plan, &first), lineage(&plan, &second));
    assert!(of_first.starts_with(&format!("a copy of {source}, by floe's record (job 1)")), "{of_first}");
    assert!(of_first.ends_with(&format!("{second} was made on it")), "{of_first}");
    assert_eq!(of_second, format!("a copy of {source}, made on {first}, by floe's record (job 2)"));
    // Without the records only its tags say so, and that is said.
    let (_, plan, _) = rig.world.json(&[&args[..], &["--state-dir", "elsewhere"]].concat()).await;
    assert!(lineage(&plan, &second).ends_with("by its tags alone"), "{plan}");
}
