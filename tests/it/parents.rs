//! Snapshots on a parent: whole sources, deltas and chains; what lies beneath is part of the result.

use std::collections::BTreeSet;

use floe::engine::protocol::{Answer, Command, Evidence, JobState};
use floe::ids::JobId;
use floe::plan::{DestinationKind, Options, Verify};
use floe::sandbox::faults::{Fault, Faults, Rotation, Rule};

use crate::chains::{HERE, THERE, assert_holds, behind, changed, grown, id_of, shrunk, without_zeros};
use crate::rig::{Rig, end, rule, start, submit};
use crate::support::{BLOCK, Contents, sha256};

/// 64 blocks, encrypted, in us-east-1.
const BOOT: &str = "us-east-1:snap-0feed000000b00701";

fn full() -> Options {
    Options { verify: Verify::Full, ..Options::default() }
}

fn block(fill: u8) -> [u8; 32] {
    sha256(&vec![fill; BLOCK])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_source_on_a_parent_is_the_source_whatever_the_parent_has() {
    let faults = Faults { empty_pages_permille: 300, short_pages_permille: 300, ..Faults::default() };
    let rig = Rig::with(faults).await;
    let source = grown(&rig.world, HERE, None, 1, &[(2, 5), (5, 6), (700, 0)]).await;
    let parent = grown(&rig.world, HERE, None, 1, &[(1, 1), (2, 1), (3, 0), (2047, 1)]).await;
    let client = rig.engine(None).await;
    let to = format!("{HERE}:{parent}+");
    for options in [Options::default(), full(), Options { omit_zeros: floe::plan::OmitZeros::All, ..full() }] {
        let reads = options.verify == Verify::Full;
        let row = rig.copy(&client, &format!("{HERE}:{source}"), &[&to], options).await;
        assert_eq!(row.state, JobState::Done, "{:?}", row.error);
        let evidence = if reads { Evidence::ReRead } else { Evidence::Service };
        assert_eq!((row.destinations[0].evidence, row.destinations[0].blocks.0), (evidence, 6));
        let made = rig.world.contents("prod", HERE, &id_of(&row, 0)).await;
        let zero = block(0);
        let wanted = Contents::from([(1, zero), (2, block(5)), (3, zero), (5, block(6)), (700, zero), (2047, zero)]);
        assert_eq!(made, wanted, "zeros where only the parent has something");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_on_a_parent_is_the_image() {
    let rig = Rig::calm().await;
    let parent = grown(&rig.world, HERE, None, 1, &[(0, 1), (1, 1), (9, 1), (2047, 1)]).await;
    let image = rig.world.path("up.img");
    let file = std::fs::File::create(&image).expect("an image");
    file.set_len(4 * BLOCK as u64 + 100).expect("sized");
    std::os::unix::fs::FileExt::write_all_at(&file, &vec![7; BLOCK], BLOCK as u64).expect("written");
    let client = rig.engine(None).await;
    let to = format!("{HERE}:{parent}+");
    let row = rig.copy(&client, image.to_str().expect("a path"), &[&to], Options::default()).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let made = rig.world.contents("prod", HERE, &id_of(&row, 0)).await;
    assert_eq!(without_zeros(&made), Contents::from([(1, block(7))]));
    assert!(made.contains_key(&2047), "past the image's end the parent is covered too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_on_the_copy_of_its_first_is_a_copy_of_its_second() {
    let rig = Rig::calm().await;
    let (first, second) = shrunk(&rig.world).await;
    let third = grown(&rig.world, HERE, Some(&second), 2, &[(0, 1), (4095, 2)]).await;
    let client = rig.engine(None).await;
    let whole = rig.copy(&client, &format!("{HERE}:{first}"), &["eu-west-1:"], Options::default()).await;
    assert_eq!(whole.state, JobState::Done, "{:?}", whole.error);
    let mut parent = id_of(&whole, 0);
    for (a, b) in [(&first, &second), (&second, &third)] {
        let puts = rig.asked("PutSnapshotBlock");
        let row = rig.copy(&client, &format!("{HERE}:{a}..{b}"), &[&format!("eu-west-1:{parent}+")], full()).await;
        assert_eq!(row.state, JobState::Done, "{:?}", row.error);
        let made = id_of(&row, 0);
        let truth = rig.world.contents("prod", HERE, b).await;
        assert_eq!(without_zeros(&rig.world.contents("prod", THERE, &made).await), without_zeros(&truth));
        let moved = changed(&rig.world, HERE, a, b).await;
        assert_eq!(changed(&rig.world, THERE, &parent, &made).await, moved, "the lineage is the same there");
        assert_eq!(rig.asked("PutSnapshotBlock") - puts, moved.len() as u64, "only what changed is put");
        let seen = rig.world.ec2("prod", THERE).describe_snapshots().snapshot_ids(&made).send().await;
        let seen = seen.expect("described").snapshots()[0].clone();
        assert_eq!(seen.volume_size(), Some(if b == &third { 2 } else { 1 }), "the size of the second");
        assert!(seen.tags().iter().any(|t| t.key() == Some("floe:parent") && t.value() == Some(&parent)));
        parent = made;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_goes_onto_no_parent_that_is_not_proved_to_hold_its_first() {
    let rig = Rig::calm().await;
    let a = grown(&rig.world, HERE, None, 1, &[(0, 1), (5, 2)]).await;
    let b = grown(&rig.world, HERE, Some(&a), 1, &[(5, 3)]).await;
    let twin = grown(&rig.world, HERE, None, 1, &[(0, 1), (5, 2)]).await;
    let (delta, onto) = (format!("{HERE}:{a}..{b}"), format!("{HERE}:{twin}+"));
    let (code, said) = rig.refused(&delta, &onto, Options::default()).await;
    assert!(code == 5 && said.contains("not proved to hold") && said.contains("floe verify"), "{said}");

    // The first itself is a base, of course.
    rig.try_plan(&delta, &[&format!("{HERE}:{a}+")], Options::default()).await.expect("the first itself");

    let forced = Options { force: true, ..Options::default() };
    let client = rig.engine(None).await;
    let row = rig.copy(&client, &delta, &[&onto], forced).await;
    assert_eq!((row.state, row.destinations[0].evidence), (JobState::Done, Evidence::Claimed), "{:?}", row.error);
    let c = grown(&rig.world, HERE, Some(&b), 1, &[(6, 3)]).await;
    let next = format!("{HERE}:{}+", id_of(&row, 0));
    let (code, said) = rig.refused(&format!("{HERE}:{b}..{c}"), &next, Options::default()).await;
    assert!(code == 5 && said.contains("claimed"), "{said}");

    // What was verified, block by block, is one.
    let state = rig.state.root().display().to_string();
    let args = ["verify", &format!("{HERE}:{a}"), &format!("{HERE}:{twin}"), "--state-dir", &state];
    assert_eq!(rig.world.run(&args).await.status.code(), Some(0));
    let planned = rig.world.run(&["plan", &delta, &onto, "--state-dir", &state]).await;
    assert_eq!(planned.status.code(), Some(0), "{}", String::from_utf8_lossy(&planned.stderr));

    // A record whose tags say otherwise is none: somebody made this snapshot anew.
    let copied = rig.copy(&client, &format!("{HERE}:{a}"), &["eu-west-1:"], Options::default()).await;
    let id = id_of(&copied, 0);
    behind(&rig.world, THERE, |state| {
        let snapshot = state.snapshots.get_mut(&id.parse().expect("an id")).expect("there");
        snapshot.tags = std::sync::Arc::default();
    });
    let (code, said) = rig.refused(&delta, &format!("eu-west-1:{id}+"), Options::default()).await;
    assert!(code == 5 && said.contains("tags"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_gives_its_key_and_never_takes_one_away() {
    let rig = Rig::calm().await;
    let plain = grown(&rig.world, HERE, None, 1, &[(0, 1)]).await;
    let onto = format!("{HERE}:{plain}+");
    let (code, said) = rig.refused(BOOT, &onto, Options::default()).await;
    assert!(code == 5 && said.contains("in the clear") && said.contains("--allow-decrypt"), "{said}");
    let allowed = Options { allow_decrypt: true, ..Options::default() };
    let plan = rig.try_plan(BOOT, &[&onto], allowed).await.expect("allowed");
    let DestinationKind::Snapshot { ask_encrypted, encrypted, .. } = &plan.items[0].destinations[0].kind else {
        panic!("a snapshot")
    };
    assert_eq!((*ask_encrypted, *encrypted), (None, Some(false)));

    // Onto an encrypted parent: its key, and nothing is asked for beside the parent.
    let client = rig.engine(None).await;
    let row = rig.copy(&client, BOOT, &[&format!("{BOOT}+")], Options::default()).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let made = rig.world.ec2("prod", "us-east-1").describe_snapshots().snapshot_ids(id_of(&row, 0)).send().await;
    assert_eq!(made.expect("described").snapshots()[0].encrypted(), Some(true));

    let key = Some("arn:aws:kms:us-west-2:111122223333:key/abc".to_owned());
    let (code, said) = rig.refused(BOOT, &onto, Options { kms_key: key, ..Options::default() }).await;
    assert!(code == 2 && said.contains("its parent's key"), "{said}");

    behind(&rig.world, HERE, |state| state.settings.encrypt_by_default = true);
    let (code, said) = rig.refused(&format!("{HERE}:{plain}"), &onto, Options::default()).await;
    assert!(code == 5 && said.contains("encrypts by default"), "{said}");

    let large = grown(&rig.world, THERE, None, 2, &[(0, 1)]).await;
    let (code, said) = rig.refused(&format!("{HERE}:{plain}"), &format!("{THERE}:{large}+"), Options::default()).await;
    assert!(code == 2 && said.contains("at least its 2"), "{said}");
}

/// Row 2 of the table of what completed means: what was written and is not shown as changed is read back.
#[tokio::test(flavor = "multi_thread")]
async fn a_put_onto_a_parent_that_was_acknowledged_and_dropped_is_noticed() {
    let rig = Rig::calm().await;
    let parent = grown(&rig.world, HERE, None, 1, &[(1, 1), (2, 1), (3, 1)]).await;
    let source = grown(&rig.world, HERE, None, 1, &[(1, 8), (2, 8), (3, 8)]).await;
    let client = rig.engine(None).await;
    // The parent has all of these blocks, so its list and the result's are the same whatever is dropped.
    let rules =
        vec![Rule::of(Fault::Lose).on("PutSnapshotBlock").times(1), Rule::of(Fault::Believe).on("CompleteSnapshot")];
    rig.world.running.sandbox.set_faults(Faults { rules, ..Faults::default() });
    let row = rig.copy(&client, &format!("{HERE}:{source}"), &[&format!("{HERE}:{parent}+")], Options::default()).await;
    assert_eq!(row.state, JobState::Failed, "{row:?}");
    let said = row.error.as_ref().map(|error| error.what.clone()).unwrap_or_default();
    assert!(said.contains("reads back other than it was written"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_put_onto_the_same_parent_is_noticed() {
    let rig = Rig::calm().await;
    let parent = grown(&rig.world, HERE, None, 1, &[(1, 1), (2, 1)]).await;
    let source = grown(&rig.world, HERE, None, 1, &[(1, 8), (2, 8)]).await;
    let later = grown(&rig.world, HERE, Some(&source), 1, &[(2, 9)]).await;
    let (whole, delta) = (format!("{HERE}:{source}"), format!("{HERE}:{source}..{later}"));
    let client = rig.engine(None).await;
    let onto = format!("{HERE}:{parent}+");
    for (address, index, words) in
        [(whole, 2000, "is listed and was not written"), (delta, 1, "was changed and was not written")]
    {
        // The completion comes late: somebody else puts a block of his own before it.
        let rules = vec![
            Rule::of(Fault::Believe).on("CompleteSnapshot"),
            Rule::of(Fault::Delay { ms: 300, jitter: 0 }).on("CompleteSnapshot"),
        ];
        rig.world.running.sandbox.set_faults(Faults { rules, ..Faults::default() });
        let before: BTreeSet<String> = made(&rig).await;
        let options = Options { force: true, ..Options::default() };
        let plan = rig.try_plan(&address, &[&onto], options).await.expect("a plan");
        let completes = rig.asked("CompleteSnapshot");
        let job = start(&client, &plan).await;
        while rig.asked("CompleteSnapshot") == completes {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let new = made(&rig).await.difference(&before).next().cloned().expect("the new one");
        crate::support::put(&rig.world.ebs("prod", HERE), &new, index, 77).await;
        let row = end(&client, job).await;
        rig.heal();
        assert_eq!(row.state, JobState::Failed, "{index}: {row:?}");
        let said = row.error.as_ref().map(|error| error.what.clone()).unwrap_or_default();
        assert!(said.contains(words), "{index}: {said}");
    }
}

async fn made(rig: &Rig) -> BTreeSet<String> {
    let made = rig.world.made_by_floe("prod", HERE).await;
    made.iter().filter_map(|snapshot| snapshot.snapshot_id().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_delta_goes_to_a_file_a_parent_and_nowhere_at_once_in_a_storm() {
    for (seed, rotate) in [(1, Rotation::Never), (2, Rotation::Page)] {
        let rig = Rig::calm().await;
        let (first, second) = shrunk(&rig.world).await;
        let client = rig.engine(None).await;
        let image = rig.world.path("disk.img");
        let file = image.to_str().expect("a path");
        let whole = rig.copy(&client, &format!("{HERE}:{first}"), &[file, "eu-west-1:"], Options::default()).await;
        let onto = format!("eu-west-1:{}+", id_of(&whole, 1));
        let plan = rig.try_plan(&format!("{HERE}:{first}..{second}"), &[file, &onto, "null:"], full()).await;
        let plan = plan.expect("a plan");
        let all = [Fault::InternalError, Fault::ResetAfter, Fault::Cut, Fault::Corrupt, Fault::ThrottleAccount];
        let rules = all.into_iter().map(|fault| rule(fault, 0.02)).collect();
        rig.world.running.sandbox.set_faults(Faults { seed, rules, rotate, ..Faults::default() });
        let row = end(&client, start(&client, &plan).await).await;
        rig.heal();
        assert_eq!(row.state, JobState::Done, "seed {seed}: {:?}", row.error);
        let truth = rig.world.contents("prod", HERE, &second).await;
        assert_holds(&image, 1, &truth);
        let made = rig.world.contents("prod", THERE, &id_of(&row, 1)).await;
        assert_eq!(without_zeros(&made), without_zeros(&truth), "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_four_keeps_its_lineage() {
    let rig = Rig::calm().await;
    let chain = four(&rig).await;
    let source = format!("{HERE}:{}..{}", chain[0], chain[3]);
    let client = rig.engine(None).await;
    let plan = rig.try_plan(&source, &["eu-west-1:"], chained()).await.expect("a plan");
    assert_eq!(plan.items.len(), 4);
    let Answer::Jobs(jobs) = submit(&client, &plan).await.expect("it runs") else { panic!("no jobs") };
    let mut copies = Vec::new();
    for job in jobs {
        let row = end(&client, job).await;
        assert_eq!(row.state, JobState::Done, "{job}: {:?}", row.error);
        copies.push(id_of(&row, 0));
    }
    for (copy, original) in copies.iter().zip(&chain) {
        let truth = rig.world.contents("prod", HERE, original).await;
        assert_eq!(rig.world.contents("prod", THERE, copy).await, truth, "{original}");
    }
    for (copies, originals) in copies.windows(2).zip(chain.windows(2)) {
        let there = changed(&rig.world, THERE, &copies[0], &copies[1]).await;
        assert_eq!(there, changed(&rig.world, HERE, &originals[0], &originals[1]).await);
    }
    // And it goes on from there.
    let next = grown(&rig.world, HERE, Some(&chain[3]), 2, &[(11, 8)]).await;
    let (delta, onto) = (format!("{HERE}:{}..{next}", chain[3]), format!("eu-west-1:{}+", copies[3]));
    rig.try_plan(&delta, &[&onto], Options::default()).await.expect("the copy of the last is a base");
}

fn chained() -> Options {
    Options { chain: true, ..Options::default() }
}

/// Four snapshots of a volume that grows, and one of another volume in between.
async fn four(rig: &Rig) -> [String; 4] {
    let a = grown(&rig.world, HERE, None, 1, &[(0, 1), (1, 1), (2, 1)]).await;
    let b = grown(&rig.world, HERE, Some(&a), 1, &[(1, 2), (3, 2)]).await;
    grown(&rig.world, HERE, None, 1, &[(0, 9)]).await;
    let c = grown(&rig.world, HERE, Some(&b), 2, &[(2, 3), (4000, 3)]).await;
    let d = grown(&rig.world, HERE, Some(&c), 2, &[(0, 0), (3, 4)]).await;
    [a, b, c, d]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_breaks_stops_there_and_goes_on() {
    let rig = Rig::calm().await;
    let chain = four(&rig).await;
    let source = format!("{HERE}:{}..{}", chain[0], chain[3]);
    let client = rig.engine(None).await;
    let plan = rig.try_plan(&source, &["eu-west-1:"], chained()).await.expect("a plan");
    let denied = Rule { snapshot: Some(chain[1].clone()), ..Rule::of(Fault::Deny).on("GetSnapshotBlock") };
    rig.world.running.sandbox.set_faults(Faults { rules: vec![denied], ..Faults::default() });
    let Answer::Jobs(jobs) = submit(&client, &plan).await.expect("it runs") else { panic!("no jobs") };
    let mut states = Vec::new();
    for job in &jobs {
        states.push(end(&client, *job).await.state);
    }
    assert_eq!(states, [JobState::Done, JobState::Failed, JobState::Paused, JobState::Paused]);
    rig.heal();
    // The last alone cannot go on; in order they do.
    client.send(Command::Resume(jobs[3])).await.expect("asked");
    let row = end(&client, jobs[3]).await;
    assert!(row.state == JobState::Paused && row.why.contains("before it"), "{row:?}");
    let on: Vec<JobId> = jobs[1..].to_vec();
    for job in &on {
        client.send(Command::Resume(*job)).await.expect("asked");
    }
    for (job, original) in on.iter().zip(&chain[1..]) {
        let row = end(&client, *job).await;
        assert_eq!(row.state, JobState::Done, "{:?}", row.error);
        let truth = rig.world.contents("prod", HERE, original).await;
        assert_eq!(rig.world.contents("prod", THERE, &id_of(&row, 0)).await, truth, "{original}");
    }
    let (code, said) = rig.refused(&source, "null:", chained()).await;
    assert!(code == 2 && said.contains("--chain"), "{said}");
}
