//! What the deck asks the world on the side: counts with a map, copies, archives, names. Each effect is performed as the
//! loop does it, and its answer is held against what other clients see.
#![expect(clippy::panic, reason = "helpers of tests fail the test")]

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use floe::engine::protocol::JobState;
use floe::inventory::elsewhere::{Proof, Where};
use floe::inventory::relations::{Anew, Depth, Region, Update};
use floe::inventory::verdict::{Policy, Verdict, View};
use floe::inventory::{self, Origin, archives};
use floe::plan::compare::{Tally, is_unrelated};
use floe::plan::{Machine, Options, RunsIn};
use floe::sandbox::faults::{Fault, Faults};
use floe::tui::World;
use floe::tui::clock::Now;
use floe::tui::effect::Effect;
use floe::tui::figures::{Count, What};
use floe::tui::model::Model;
use floe::tui::msg::Msg;
use floe::tui::outside::Outside;
use floe::tui::screen;
use floe::tui::screen::archives::Prefix;
use floe::tui::theme::Theme;
use floe::tui::update::update;
use floe::units::{Blocks, Usd};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tokio::sync::mpsc;

use crate::archives::s3;
use crate::chains::{HERE, THERE, changed, grown, shrunk};
use crate::rig::{Rig, SMALL, end, only, rule, start};
use crate::support::WEB_DATA;

/// The side of the deck that does I/O, and what it answers.
pub struct Asking {
    outside: Outside,
    told: mpsc::Receiver<Msg>,
}

impl Asking {
    pub fn of(rig: &Rig) -> Self {
        let world = World { aws: rig.aws.clone(), state: rig.state.clone(), sandbox: true, config: None, keep: None };
        let (answers, told) = mpsc::channel(256);
        let (worlds, _) = mpsc::channel(1);
        let outside = Outside::new(world, None, Machine::read(RunsIn::Outside, None), answers, worlds);
        Self { outside, told }
    }

    /// Performs what answers nothing.
    pub fn perform(&mut self, effect: Effect) {
        self.outside.perform(effect);
    }

    /// Performs it and waits for the answer that is wanted.
    pub async fn ask<T>(&mut self, effect: Effect, wanted: impl Fn(Msg) -> Option<T>) -> T {
        self.outside.perform(effect);
        loop {
            let told = tokio::time::timeout(Duration::from_secs(120), self.told.recv()).await;
            match told.expect("an answer in time").map(&wanted) {
                Some(Some(answer)) => return answer,
                Some(None) => {}
                None => panic!("the world went away"),
            }
        }
    }

    async fn count(&mut self, what: What) -> Result<Count, floe::error::Error> {
        let effect = Effect::Count { number: 1, of: vec![what.clone()] };
        self.ask(effect, move |told| match told {
            Msg::Counted(of, outcome) if of == what => Some(*outcome),
            _ => None,
        })
        .await
    }
}

fn delta(region: &str, first: &str, second: &str) -> What {
    let origin = Origin {
        profile: "prod".parse().ok(),
        account: "123456789012".parse().expect("an account"),
        region: region.parse().expect("a region"),
    };
    What::Delta(origin.into(), first.parse().expect("an id"), second.parse().expect("an id"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_counts_what_contents_say_and_its_map_adds_up() {
    let faults = Faults { empty_pages_permille: 300, short_pages_permille: 300, ..Faults::default() };
    let rig = Rig::with(faults).await;
    let (first, second) = shrunk(&rig.world).await;
    let count = Asking::of(&rig).count(delta(HERE, &first, &second)).await.expect("counted");
    rig.heal();
    let (before, after) =
        (rig.world.contents("prod", HERE, &first).await, rig.world.contents("prod", HERE, &second).await);
    let listed = changed(&rig.world, HERE, &first, &second).await;
    let of = |is: &dyn Fn(bool, bool) -> bool| {
        listed.iter().filter(|index| is(before.contains_key(index), after.contains_key(index))).count() as u64
    };
    let counted = count.counted;
    assert_eq!(counted.added, Blocks(of(&|before, after| !before && after)));
    assert_eq!(counted.removed, Blocks(of(&|before, after| before && !after)));
    assert_eq!(counted.changed, Blocks(of(&|before, after| before && after)));
    assert!(counted.removed.0 > 0 && counted.changed.0 > 0);
    let all = count.cells.iter().fold(Tally::default(), |sum, cell| sum.and(*cell));
    assert_eq!(u64::from(all.added), counted.added.0);
    assert_eq!(u64::from(all.removed), counted.removed.0);
    assert_eq!(u64::from(all.changed), counted.changed.0);
    // 2,048 blocks in 1,024 cells: block 2n and 2n + 1 are cell n.
    for (n, cell) in (0u32..).zip(&count.cells) {
        let here = listed.iter().filter(|index| **index / 2 == n).count();
        assert_eq!(cell.all() as usize, here, "cell {n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_told_to_be_strangers_and_throttles_are_waited_out() {
    let rig = Rig::calm().await;
    let a = grown(&rig.world, HERE, None, 1, &[(0, 1)]).await;
    let b = grown(&rig.world, HERE, None, 1, &[(0, 1)]).await;
    let error = Asking::of(&rig).count(delta(HERE, &a, &b)).await.expect_err("they are unrelated");
    assert!(is_unrelated(&error), "{error}");

    let c = grown(&rig.world, HERE, Some(&a), 1, &[(7, 1)]).await;
    let throttled = rig.world.running.sandbox.clone();
    let mut faults = Faults::default();
    let mut twice = only("ListChangedBlocks", rule(Fault::ThrottleAccount, 1.0));
    twice.times = Some(2);
    faults.rules.push(twice);
    throttled.set_faults(faults);
    let count = Asking::of(&rig).count(delta(HERE, &a, &c)).await.expect("in the end");
    assert_eq!(count.counted.blocks, Blocks(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_a_proved_one_elsewhere_until_its_file_is_touched() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let image = rig.world.path("disk.img");
    let s3 = "s3://floe-vault-us-east-1/ebs/";
    let to = [image.to_str().expect("a path"), "eu-west-1:", s3];
    let row = rig.copy(&client, SMALL, &to, Options::default()).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let mut asking = Asking::of(&rig);
    let read = |told| match told {
        Msg::Copies(copies) => Some(copies),
        _ => None,
    };
    let copies = asking.ask(Effect::ReadCopies, read).await;
    assert_eq!(copies.len(), 3);
    let whose = SMALL.split_once(':').expect("an address").1;
    for copy in &copies {
        assert_eq!((copy.of.id.as_str(), copy.of.region.as_str()), (whose, "us-east-1"));
        let stored = matches!(copy.at, Where::Stored(_));
        assert_eq!(copy.proof, if stored { Proof::Stored(row.job) } else { Proof::Copied(row.job) });
        assert_eq!(copy.is_base, !stored, "a delta goes beside an archive, not onto it");
        match &copy.at {
            Where::File(path) => assert_eq!(path, &image),
            Where::Stored(url) => assert_eq!(url, &format!("{s3}{whose}/")),
            Where::Snapshot(there) => {
                let made = rig.world.made_by_floe("prod", THERE).await;
                let ids: Vec<_> = made.iter().filter_map(|made| made.snapshot_id()).collect();
                assert_eq!((ids.as_slice(), there.region.as_str()), (&[there.id.as_str()][..], "eu-west-1"));
            }
        }
    }
    std::fs::OpenOptions::new().append(true).open(&image).expect("open").set_len(7).expect("cut");
    let copies = asking.ask(Effect::ReadCopies, read).await;
    let file = copies.iter().find(|copy| matches!(copy.at, Where::File(_))).expect("still told");
    assert_eq!((&file.proof, file.is_base), (&Proof::Touched, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_are_rows_with_their_reasons_and_gaps_are_found() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    for source in [SMALL.to_owned(), format!("us-east-1:{WEB_DATA}")] {
        let plan = rig.plan(&source, &["s3://floe-vault-us-east-1/ebs/"], Options::default()).await;
        let row = end(&client, start(&client, &plan).await).await;
        assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    }
    let own = s3(&rig.world);
    let bucket = "floe-vault-us-east-1";
    let damaged = own.put_object().bucket(bucket).key("ebs/snap-0abc1234/manifest.json");
    damaged.body(b"{\"version\":9}".to_vec().into()).send().await.expect("written");
    let prefix: Prefix = "prod@s3://floe-vault-us-east-1/ebs/".parse().expect("a prefix");
    let mut asking = Asking::of(&rig);
    let listed = |told| match told {
        Msg::Archives(_, outcome) => Some(*outcome),
        _ => None,
    };
    let rows = asking.ask(Effect::ListArchives(prefix.clone()), listed).await.expect("listed");
    let kinds: Vec<(&str, bool)> = rows.iter().map(|row| (row.kind.as_str(), row.trouble.is_some())).collect();
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == ("whole", false)).count(), 2, "{kinds:?}");
    assert!(kinds.contains(&("damaged", true)), "{kinds:?}");

    let small = rows.iter().find(|row| SMALL.ends_with(&row.id)).expect("the small one").clone();
    let inspected = |told| match told {
        Msg::Inspected(_, outcome) => Some(*outcome),
        _ => None,
    };
    let inspect = |check| Effect::InspectArchive { prefix: prefix.clone(), row: Box::new(small.clone()), check };
    let found = asking.ask(inspect(false), inspected).await.expect("looked at");
    assert_eq!((found.chain.len(), found.classes.as_slice()), (1, &["STANDARD".to_owned()][..]));
    assert_eq!(found.missing, None);
    let found = asking.ask(inspect(true), inspected).await.expect("looked at");
    assert!(found.missing.is_some_and(|missing| missing.is_empty()));
    // One object gone: its blocks are the gap.
    let keys = crate::archives::keys(&rig.world, &format!("ebs/{}/", small.id)).await;
    let key = keys.iter().find(|key| key.ends_with(".zst") && !key.ends_with("index.zst")).expect("an object");
    own.delete_object().bucket(bucket).key(key).send().await.expect("deleted");
    let found = asking.ask(inspect(true), inspected).await.expect("looked at");
    let missing: archives::Missing = found.missing.expect("it was asked for");
    assert!(missing.blocks.0 > 0 && !missing.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_and_files_complete_and_what_is_denied_is_silence() {
    let rig = Rig::calm().await;
    let mut asking = Asking::of(&rig);
    let buckets = |told| match told {
        Msg::Buckets(_, names) => Some(names),
        _ => None,
    };
    let mut names = asking.ask(Effect::ListBuckets("prod".parse().ok()), buckets).await;
    names.sort();
    let told = s3(&rig.world).list_buckets().send().await.expect("a listing");
    let mut truth: Vec<String> = told.buckets().iter().filter_map(|bucket| bucket.name().map(str::to_owned)).collect();
    truth.sort();
    assert!(!truth.is_empty());
    assert_eq!(names, truth);
    let faults = Faults { rules: vec![only("ListBuckets", rule(Fault::Deny, 1.0))], ..Faults::default() };
    rig.world.running.sandbox.set_faults(faults);
    assert!(asking.ask(Effect::ListBuckets("prod".parse().ok()), buckets).await.is_empty());

    let dir = rig.world.path("files");
    std::fs::create_dir_all(dir.join("sub")).expect("a directory");
    std::fs::write(dir.join("disk.img"), b"data").expect("a file");
    let typed = format!("{}/", dir.display());
    let files = |told| match told {
        Msg::Directory(typed, entries) => Some((typed, entries)),
        _ => None,
    };
    let effect = Effect::ListDirectory { typed: typed.clone(), path: dir.clone() };
    let (of, entries) = asking.ask(effect, files).await;
    let shown: Vec<(&str, &str)> = entries.iter().map(|entry| (entry.name.as_str(), entry.kind)).collect();
    assert_eq!((of, shown), (typed, vec![("sub", "directory"), ("disk.img", "file")]));
    let nowhere = Effect::ListDirectory { typed: "./no/".to_owned(), path: dir.join("no") };
    assert!(asking.ask(nowhere, files).await.1.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_survey_judges_a_region_and_what_a_job_of_floe_reads_is_in_use() {
    let rig = Rig::of(crate::support::World::of("clear").await);
    let ec2 = rig.world.ec2("prod", "us-east-1");
    let named = aws_sdk_ec2::types::Filter::builder().name("tag:Name").values("left-volume").build();
    let found = ec2.describe_snapshots().filters(named).send().await.expect("snapshots");
    let id = found.snapshots()[0].snapshot_id().expect("an id").to_owned();
    let judge = |number, anew| Effect::Judge {
        number,
        profiles: vec!["prod".parse().expect("a profile")],
        regions: vec!["us-east-1".parse().expect("a region")],
        policy: Box::default(),
        anew,
        depth: Depth::Single,
    };
    let done = |told| match told {
        Msg::Judged(_, update) => match *update {
            Update::Done(region) => Some(region),
            _ => None,
        },
        _ => None,
    };
    let verdict = |region: &Region| {
        let policy = Policy::default();
        let view = View { region, policy: &policy, now: jiff::Timestamp::now() };
        let judged = view.things().find(|thing| thing.id() == id).map(|thing| view.judge(thing));
        judged.expect("it is judged")
    };
    let mut asking = Asking::of(&rig);
    let region = asking.ask(judge(1, Anew::Nothing), done).await;
    assert_eq!(verdict(&region).verdict, Verdict::Orphan);

    // A job that reads it and never gets there: its own record keeps the snapshot.
    let plan = rig.plan(&format!("us-east-1:{id}"), &["null:"], Options::default()).await;
    let hang = Faults { rules: vec![only("GetSnapshotBlock", rule(Fault::Hang, 1.0))], ..Faults::default() };
    rig.world.running.sandbox.set_faults(hang);
    let client = rig.engine(None).await;
    let job = start(&client, &plan).await;
    let region = asking.ask(judge(2, Anew::Nothing), done).await;
    let judged = verdict(&region);
    assert_eq!(judged.verdict, Verdict::InUse);
    let said = judged.evidence.iter().find(|evidence| evidence.rule == "jobs").expect("a rule of jobs");
    assert!(said.text.contains(&format!("job {job}")), "{said:?}");
}

/// Nothing is answered, and the plan is there all the same, from the row of the list; keys are heard meanwhile, and what
/// AWS says in the end takes its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_has_a_preview_before_anything_is_answered() {
    let rig = Rig::calm().await;
    let aws = rig.aws.clone();
    let large = "snap-01c55a9e07b3d2f48";
    let session = aws.session(None, "us-east-1".parse().ok().as_ref()).await.expect("a session");
    let row = session.ec2().snapshot(&large.parse().expect("an id")).await.expect("the row of the list");
    let made = rig.plan(&format!("us-east-1:{large}"), &["eu-west-1:"], Options::default()).await;

    let mut model = Model::default();
    let now = Now { mono: Duration::from_secs(100), wall: jiff::Timestamp::now() };
    let look = model.look;
    for told in [
        inventory::Update::Page(row.origin.clone(), inventory::Rows::Snapshots(vec![row.clone()])),
        inventory::Update::Done(row.origin.clone(), inventory::Kind::Snapshots, now.wall),
    ] {
        update(&mut model, Msg::Inventory(look, told), now);
    }
    let effects = screen::plan::open(&mut model, made.operation.clone(), now);
    assert!(drawn(&model, now).contains("reading facts"), "nothing is known of it yet");

    rig.world.running.sandbox.set_faults(Faults { rules: vec![rule(Fault::Hang, 1.0)], ..Faults::default() });
    let mut asking = Asking::of(&rig);
    let [effect] = <[Effect; 1]>::try_from(effects).expect("one effect");
    let (number, early) = asking
        .ask(effect, |told| match told {
            Msg::Previewed(number, early) => Some((number, early)),
            other => panic!("AWS has answered: {other:?}"),
        })
        .await;
    update(&mut model, Msg::Previewed(number, early), now);
    let shown = drawn(&model, now);
    for word in [
        "A preview",
        "AWS is being asked",
        "31,318,565 blocks",
        "encryption is being asked for",
        "MiB at the peak",
        "187.91",
    ] {
        assert!(shown.contains(word), "{word} in\n{shown}");
    }
    let press = |model: &mut Model, code| update(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)), now);
    assert!(press(&mut model, KeyCode::Char('S')).is_empty(), "a preview is never run");
    assert!(model.toast.is_some(), "and it says why");
    press(&mut model, KeyCode::Char('e'));
    assert!(!model.overlays.is_empty(), "keys are heard while AWS is silent");
    press(&mut model, KeyCode::Esc);

    update(&mut model, Msg::Planned(number, Ok(Box::new(made))), now);
    let shown = drawn(&model, now);
    assert!(!shown.contains("A preview") && !shown.contains("is being asked"), "{shown}");
    assert!(shown.contains("31,318,565 blocks") && model.plan.preview.is_none());
    // A late preview of an older question is nobody's.
    let late = model.plan.plan().cloned().expect("the plan");
    update(&mut model, Msg::Previewed(number, Box::new(late)), now);
    assert!(model.plan.preview.is_none());
}

pub fn drawn(model: &Model, now: Now) -> String {
    let area = Rect::new(0, 0, 120, 36);
    let mut buffer = Buffer::empty(area);
    floe::tui::view::view(model, area, &mut buffer, &Theme::default(), now);
    let line = |y| (0..area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>() + "\n";
    (0..area.height).map(line).collect()
}

/// What was billed comes from Cost Explorer, for a cent that is said first; what AWS refuses is said as AWS says it.
#[tokio::test(flavor = "multi_thread")]
async fn the_bill_is_asked_for_once_its_price_is_accepted() {
    let rig = Rig::calm().await;
    let asked = || rig.world.running.sandbox.counters().picture().api("GetCostAndUsage").requests;
    let mut asking = Asking::of(&rig);
    let profile = "prod".parse().ok();
    let bill = |told| match told {
        Msg::Billed(told) => Some(*told),
        _ => None,
    };
    let billed = asking.ask(Effect::AskBill(profile.clone()), bill).await.expect("a bill");
    assert_eq!((asked(), billed.asked), (1, Usd(0.01)), "one question, one cent");
    assert!(billed.regions.len() > 1 && billed.estimated && billed.total() > Usd(0.0), "{billed:?}");
    // The same as the service's own books: read by hand, the archive tier left out.
    let sum: f64 = billed.regions.values().map(|usd| usd.0).sum();
    assert!((sum - billed.total().0).abs() < 1e-9);

    let refuse =
        |code: &str| Fault::Refuse { status: 400, code: code.to_owned(), reason: None, message: "no data".to_owned() };
    for (fault, word) in [(Fault::Deny, "ce:GetCostAndUsage"), (refuse("DataUnavailableException"), "a day after")] {
        let rules = vec![only("GetCostAndUsage", rule(fault, 1.0))];
        rig.world.running.sandbox.set_faults(Faults { rules, ..Faults::default() });
        let before = asked();
        let error = asking.ask(Effect::AskBill(profile.clone()), bill).await.expect_err("refused");
        assert!(error.todo.as_deref().is_some_and(|todo| todo.contains(word)), "{error:?}");
        assert_eq!(asked(), before + 1, "a question that is charged is not asked again by itself");
    }
    rig.heal();

    // On the command line nobody is charged who has not said yes.
    let before = asked();
    let refused = rig.world.run(&["prices", "--billed"]).await;
    assert_eq!((refused.status.code(), asked()), (Some(5), before), "{refused:?}");
    let told = rig.world.run(&["prices", "--billed", "--yes", "-o", "json"]).await;
    let rows: serde_json::Value = serde_json::from_slice(&told.stdout).expect("rows");
    assert_eq!(rows.as_array().map(Vec::len), Some(billed.regions.len()), "{rows}");
    for row in rows.as_array().expect("rows") {
        let region = row["region"].as_str().expect("a region").parse().expect("a region");
        assert!((row["usd"].as_f64().expect("usd") - billed.regions[&region].0).abs() < 1e-9, "{row}");
    }
}
