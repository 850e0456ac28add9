//! Deltas: what changed between two snapshots of one lineage, nowhere and onto files; only onto what holds the first.

use floe::engine::protocol::{Evidence, JobState};
use floe::plan::{Options, Verify};
use floe::sandbox::faults::{Fault, Faults, Rule};

use crate::chains::{HERE, THERE, assert_holds, behind, changed, grown, shrunk, without_zeros};
use crate::rig::{Rig, end, rule};
use crate::support::World;

fn forced() -> Options {
    Options { force: true, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_changed_is_read_and_what_is_gone_is_not_asked_for() {
    let faults = Faults { empty_pages_permille: 400, short_pages_permille: 400, ..Faults::default() };
    let rig = Rig::with(faults).await;
    let (first, second) = shrunk(&rig.world).await;
    let delta = format!("{HERE}:{first}..{second}");
    let client = rig.engine(None).await;
    let before = rig.gets();
    let row = rig.copy(&client, &delta, &["null:"], Options::default()).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let gets = rig.gets() - before;
    rig.heal();
    let all = changed(&rig.world, HERE, &first, &second).await;
    let kept = rig.world.contents("prod", HERE, &second).await;
    assert_eq!(row.blocks_done.0, all.len() as u64, "every change, also behind empty pages");
    assert_eq!(gets, all.iter().filter(|index| kept.contains_key(index)).count() as u64);
    assert!(gets > 0 && gets < all.len() as u64, "some are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_makes_of_the_copy_of_the_first_a_copy_of_the_second() {
    let rig = Rig::calm().await;
    let (first, second) = shrunk(&rig.world).await;
    let client = rig.engine(None).await;
    let image = rig.world.path("disk.img");
    let to = [image.to_str().expect("a path")];
    let whole = rig.copy(&client, &format!("{HERE}:{first}"), &to, Options::default()).await;
    assert_eq!(whole.state, JobState::Done, "{:?}", whole.error);
    let row = rig.copy(&client, &format!("{HERE}:{first}..{second}"), &to, Options::default()).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let truth = rig.world.contents("prod", HERE, &second).await;
    assert_holds(&image, 1, &truth);
    assert_eq!(row.blocks_done.0, changed(&rig.world, HERE, &first, &second).await.len() as u64);

    // It holds the second now, and says so: the same delta again has no base there.
    let (code, said) = rig.refused(&format!("{HERE}:{first}..{second}"), to[0], Options::default()).await;
    assert!(code == 5 && said.contains(&format!("it holds {second}")) && said.contains("floe verify"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_grew_grows_the_file_and_deltas_follow_one_another() {
    let rig = Rig::calm().await;
    let a = grown(&rig.world, HERE, None, 1, &[(0, 1), (5, 2), (2047, 3)]).await;
    let b = grown(&rig.world, HERE, Some(&a), 2, &[(5, 0), (7, 4), (4095, 5)]).await;
    let c = grown(&rig.world, HERE, Some(&b), 2, &[(0, 6), (3000, 7)]).await;
    let client = rig.engine(None).await;
    let image = rig.world.path("disk.img");
    let to = [image.to_str().expect("a path")];
    let options = || Options { verify: Verify::Full, ..Options::default() };
    for (source, last) in [(a.clone(), &a), (format!("{a}..{b}"), &b), (format!("{b}..{c}"), &c)] {
        let row = rig.copy(&client, &format!("{HERE}:{source}"), &to, options()).await;
        assert_eq!(row.state, JobState::Done, "{source}: {:?}", row.error);
        assert_eq!(row.destinations[0].evidence, Evidence::ReRead, "{source}");
        let gib = if last == &a { 1 } else { 2 };
        assert_holds(&image, gib, &rig.world.contents("prod", HERE, last).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_onto_a_file_that_is_not_proved_to_hold_the_first() {
    let rig = Rig::calm().await;
    let a = grown(&rig.world, HERE, None, 1, &[(0, 1), (5, 2)]).await;
    let b = grown(&rig.world, HERE, Some(&a), 1, &[(5, 3)]).await;
    let (whole, delta) = (format!("{HERE}:{a}"), format!("{HERE}:{a}..{b}"));
    let client = rig.engine(None).await;
    let image = rig.world.path("disk.img");
    let to = image.to_str().expect("a path");

    let (code, said) = rig.refused(&delta, to, forced()).await;
    assert!(code == 2 && said.contains("does not exist") && said.contains(&format!("{a} {to}")), "{said}");

    std::fs::write(&image, vec![9; 700_000]).expect("somebody's file");
    let (code, said) = rig.refused(&delta, to, Options::default()).await;
    assert!(code == 5 && said.contains("no record") && said.contains("--force"), "{said}");
    assert_eq!(std::fs::read(&image).expect("read"), vec![9; 700_000], "untouched");
    std::fs::remove_file(&image).expect("removed");

    assert_eq!(rig.copy(&client, &whole, &[to], Options::default()).await.state, JobState::Done);
    // Planned, and then somebody writes to it: the engine looks again.
    let plan = rig.try_plan(&delta, &[to], Options::default()).await.expect("it holds the first");
    std::os::unix::fs::FileExt::write_all_at(
        &std::fs::File::options().write(true).open(&image).expect("opened"),
        &[7],
        9 * 524_288,
    )
    .expect("written");
    let row = end(&client, crate::rig::start(&client, &plan).await).await;
    assert!(row.state == JobState::Failed, "{row:?}");
    assert!(row.error.as_ref().is_some_and(|e| e.what.contains("changed since the plan")), "{:?}", row.error);
    let (code, said) = rig.refused(&delta, to, Options::default()).await;
    assert!(code == 5 && said.contains("written to"), "{said}");

    // It is somebody's word then, and so is everything that is built on it.
    let row = rig.copy(&client, &delta, &[to], forced()).await;
    assert_eq!((row.state, row.destinations[0].evidence), (JobState::Done, Evidence::Claimed), "{:?}", row.error);
    let c = grown(&rig.world, HERE, Some(&b), 1, &[(6, 4)]).await;
    let (code, said) = rig.refused(&format!("{HERE}:{b}..{c}"), to, Options::default()).await;
    assert!(code == 5 && said.contains("claimed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_verified_is_a_base_too() {
    let rig = Rig::calm().await;
    let a = grown(&rig.world, HERE, None, 1, &[(0, 1), (5, 2)]).await;
    let b = grown(&rig.world, HERE, Some(&a), 1, &[(5, 3)]).await;
    let (whole, delta) = (format!("{HERE}:{a}"), format!("{HERE}:{a}..{b}"));
    let output = rig.world.run(&["copy", &whole, "./one.img", "--yes", "--foreground"]).await;
    assert!(output.status.success(), "{output:?}");
    // A copy of it by somebody else: floe knows nothing of it.
    std::fs::copy(rig.world.path("one.img"), rig.world.path("two.img")).expect("copied");
    let delta_to_two = ["copy", &delta, "./two.img", "--yes", "--foreground"];
    assert_eq!(rig.world.run(&delta_to_two).await.status.code(), Some(5));
    assert_eq!(rig.world.run(&["verify", &whole, "./two.img"]).await.status.code(), Some(0));
    let output = rig.world.run(&delta_to_two).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_holds(&rig.world.path("two.img"), 1, &rig.world.contents("prod", HERE, &b).await);
    // A forgotten job takes its digests with it.
    assert_eq!(rig.world.run(&["jobs", "forget", "1"]).await.status.code(), Some(0));
    let output = rig.world.run(&["plan", &delta, "./one.img"]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(5) && said.contains("forgotten"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_that_stopped_half_way_is_taken_for_neither_and_goes_on() {
    let rig = Rig::calm().await;
    let blocks: Vec<(i32, u8)> = (0..30).map(|index| (index * 3, 1)).collect();
    let a = grown(&rig.world, HERE, None, 1, &blocks).await;
    let others: Vec<(i32, u8)> = (0..20).map(|index| (index * 4, 2)).collect();
    let b = grown(&rig.world, HERE, Some(&a), 1, &others).await;
    let delta = format!("{HERE}:{a}..{b}");
    let client = rig.engine(None).await;
    let image = rig.world.path("disk.img");
    let to = image.to_str().expect("a path");
    assert_eq!(rig.copy(&client, &format!("{HERE}:{a}"), &[to], Options::default()).await.state, JobState::Done);

    let denied = Rule { skip: 12, ..Rule::of(Fault::Deny).on("GetSnapshotBlock") };
    rig.world.running.sandbox.set_faults(Faults { rules: vec![denied], ..Faults::default() });
    let row = rig.copy(&client, &delta, &[to], Options { concurrency: Some(1), ..Options::default() }).await;
    assert_eq!(row.state, JobState::Failed, "{row:?}");
    for source in [&delta, &format!("{HERE}:{b}..{a}")] {
        rig.heal();
        let Err(error) = rig.try_plan(source, &[to], Options::default()).await else { panic!("{source} is planned") };
        assert!(
            error.kind.exit_code() == 5 && error.what.contains("half of each") || error.kind.exit_code() == 2,
            "{error}"
        );
    }
    let before = rig.gets();
    client.send(floe::engine::protocol::Command::Resume(row.job)).await.expect("it goes on");
    let row = end(&client, row.job).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert!(rig.gets() - before <= 20 - 12 + 1, "what was done is not read again");
    assert_holds(&image, 1, &rig.world.contents("prod", HERE, &b).await);
}

/// The engine is killed between a sync and the ledger, in the middle of a file that is half of each.
#[tokio::test(flavor = "multi_thread")]
async fn a_delta_whose_engine_was_killed_goes_on() {
    let world = World::calm().await;
    let blocks: Vec<(i32, u8)> = (0..12).map(|index| (index, 1)).collect();
    let a = grown(&world, HERE, None, 1, &blocks).await;
    let b = grown(&world, HERE, Some(&a), 1, &[(3, 2), (4, 3), (900, 4)]).await;
    let delta = format!("{HERE}:{a}..{b}");
    for point in ["synced-before-ledger", "before-rename", "checking"] {
        let image = format!("./{point}.img");
        let whole = world.run(&["copy", &format!("{HERE}:{a}"), &image, "--yes", "--foreground"]).await;
        assert!(whole.status.success(), "{whole:?}");
        let mut command = world.floe(&["copy", &delta, &image, "--yes", "--foreground"]);
        command.env("FLOE_CRASH_AT", point);
        let died = tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("waited");
        assert_eq!(died.status.code(), None, "{point}: {}", String::from_utf8_lossy(&died.stderr));
        let output = world.run(&["plan", &delta, &image]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(5) && said.contains("half of each"), "{point}: {said}");
        let output = world.run(&["jobs", "resume", "--foreground"]).await;
        assert!(output.status.success(), "{point}: {}", String::from_utf8_lossy(&output.stderr));
        assert_holds(&world.path(&format!("{point}.img")), 1, &world.contents("prod", HERE, &b).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_delta_is_refused_in_words() {
    let rig = Rig::calm().await;
    let a = grown(&rig.world, HERE, None, 1, &[(0, 1)]).await;
    let b = grown(&rig.world, HERE, Some(&a), 1, &[(5, 3)]).await;
    let other = grown(&rig.world, HERE, None, 1, &[(5, 3)]).await;
    let far = grown(&rig.world, THERE, None, 1, &[(5, 3)]).await;
    let refused = async |source: String, to: &str| rig.refused(&source, to, Options::default()).await;

    let (code, said) = refused(format!("{HERE}:{b}..{a}"), "null:").await;
    assert!(code == 2 && said.contains("from the older to the newer"), "{said}");
    assert!(said.contains(&format!("{a}..{b}")), "{said}");
    let (code, said) = refused(format!("{HERE}:{a}..{other}"), "null:").await;
    assert!(code == 2 && said.contains("not of one lineage"), "{said}");
    assert!(said.contains("at most 2 Get and 2 List requests") && said.contains("floe verify"), "{said}");
    let (code, said) = refused(format!("{HERE}:{a}..{far}"), "null:").await;
    assert!(code == 2 && said.contains("within one region") && said.contains(THERE), "{said}");
    let (code, said) = refused(format!("{HERE}:{a}..{b}"), "eu-west-1:").await;
    assert!(code == 2 && said.contains("without a parent") && said.contains("snap-C+"), "{said}");
    let (code, _) = refused(format!("{HERE}:{a}..snap-0feed000000099999"), "null:").await;
    assert_eq!(code, 2);

    // A smaller second one cannot be later, whatever the clocks say.
    behind(&rig.world, HERE, |state| state.snapshots.get_mut(&a.parse().expect("an id")).expect("there").size_gib = 2);
    let (code, said) = refused(format!("{HERE}:{a}..{b}"), "null:").await;
    assert!(code == 2 && said.contains("never shrinks"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn storms_change_nothing_of_a_delta() {
    for seed in 1..=3 {
        let rig = Rig::calm().await;
        let (first, second) = shrunk(&rig.world).await;
        let client = rig.engine(None).await;
        let image = rig.world.path("disk.img");
        let to = [image.to_str().expect("a path")];
        assert_eq!(rig.copy(&client, &format!("{HERE}:{first}"), &to, Options::default()).await.state, JobState::Done);
        let plan = rig.try_plan(&format!("{HERE}:{first}..{second}"), &to, Options::default()).await.expect("a plan");
        let all = [Fault::InternalError, Fault::ResetAfter, Fault::Cut, Fault::Corrupt, Fault::ThrottleSnapshot];
        let rules = all.into_iter().map(|fault| rule(fault, 0.03)).collect();
        let faults = Faults { seed, rules, empty_pages_permille: 300, short_pages_permille: 300, ..Faults::default() };
        rig.world.running.sandbox.set_faults(faults);
        let row = end(&client, crate::rig::start(&client, &plan).await).await;
        rig.heal();
        assert_eq!(row.state, JobState::Done, "seed {seed}: {:?}", row.error);
        assert_holds(&image, 1, &without_zeros(&rig.world.contents("prod", HERE, &second).await));
    }
}

/// A file of `a`, and the delta to `b` of twenty blocks that goes onto it.
async fn a_file_and_a_delta() -> (Rig, floe::engine::Client, String, std::path::PathBuf) {
    let rig = Rig::calm().await;
    let blocks: Vec<(i32, u8)> = (0..30).map(|index| (index * 60, 1)).collect();
    let a = grown(&rig.world, HERE, None, 1, &blocks).await;
    let others: Vec<(i32, u8)> = (0..20).map(|index| (index * 4, 2)).collect();
    let b = grown(&rig.world, HERE, Some(&a), 1, &others).await;
    let client = rig.engine(None).await;
    let image = rig.world.path("disk.img");
    let to = image.to_str().expect("a path");
    assert_eq!(rig.copy(&client, &format!("{HERE}:{a}"), &[to], Options::default()).await.state, JobState::Done);
    (rig, client, format!("{HERE}:{a}..{b}"), image)
}

/// The same, stopped after some of its blocks.
async fn half_way(verify: Verify) -> (Rig, floe::engine::Client, floe::ids::JobId, std::path::PathBuf) {
    let (rig, client, delta, image) = a_file_and_a_delta().await;
    let denied = Rule { skip: 12, ..Rule::of(Fault::Deny).on("GetSnapshotBlock") };
    rig.world.running.sandbox.set_faults(Faults { rules: vec![denied], ..Faults::default() });
    let options = Options { concurrency: Some(1), verify, ..Options::default() };
    let row = rig.copy(&client, &delta, &[image.to_str().expect("a path")], options).await;
    assert_eq!(row.state, JobState::Failed, "{row:?}");
    rig.heal();
    (rig, client, row.job, image)
}

/// What the delta leaves alone has no digest in its ledger: cut off and made as long again while nobody looked, it would be
/// zeros in what is called the second snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_lost_what_a_delta_leaves_alone_is_not_called_done() {
    for (what, verify) in [("cut off", Verify::Checksum), ("cut off", Verify::None), ("a hole", Verify::Listing)] {
        let (_rig, client, job, image) = half_way(verify).await;
        let file = std::fs::File::options().write(true).open(&image).expect("the image");
        let length = file.metadata().expect("its length").len();
        if what == "cut off" {
            file.set_len(1_000 * 524_288).and_then(|()| file.set_len(length)).expect("cut off and made longer");
        } else {
            let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(&file, flags, 600 * 524_288, 65_536).expect("a hole");
        }
        client.send(floe::engine::protocol::Command::Resume(job)).await.expect("it tries");
        let row = end(&client, job).await;
        let said = format!("{:?} {:?}", row.error, row.destinations);
        assert_eq!(row.state, JobState::Failed, "{what}, {verify:?}: {said}");
        assert!(said.contains("does not hold what it held before") && said.contains("--force"), "{what}: {said}");
    }
}

/// Under the same name, of the same length, and holding what the other one held: what comes later goes into a file that has
/// no name any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_replaced_while_a_delta_is_written_to_it_is_not_called_done() {
    for verify in [Verify::None, Verify::Listing] {
        let (rig, client, delta, image) = a_file_and_a_delta().await;
        let other = rig.world.path("other.img");
        std::fs::copy(&image, &other).expect("a copy");
        let options = Options { concurrency: Some(1), verify, ..Options::default() };
        let plan = rig.try_plan(&delta, &[image.to_str().expect("a path")], options).await.expect("a plan");
        let slow = Rule::of(Fault::Delay { ms: 200, jitter: 0 }).on("GetSnapshotBlock");
        rig.world.running.sandbox.set_faults(Faults { rules: vec![slow], ..Faults::default() });
        let before = rig.gets();
        let job = crate::rig::start(&client, &plan).await;
        while rig.gets() < before + 3 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        std::fs::rename(&other, &image).expect("replaced");
        let row = end(&client, job).await;
        let said = format!("{:?} {:?}", row.error, row.destinations);
        assert_eq!(row.state, JobState::Failed, "{verify:?}: {said}");
        assert!(said.contains("another file has taken the place"), "{verify:?}: {said}");
    }
}
