//! What removing snapshots frees, as `floe size --frees` tells it, against lists that somebody else reads: of a block
//! store that counts references this is held in `inventory::frees::tests`; here the whole way to AWS and back is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::chains::{HERE, changed, grown};
use crate::support::World;

/// Three weeks of one volume, oldest first.
pub const CHAIN: [&str; 3] = ["snap-0feed0000000da7a1", "snap-0feed0000000da7a2", "snap-0feed0000000da7a3"];
pub const BLOCK: u64 = 524_288;

/// What changed between two, or all of the second: each index, and whether the second has it.
pub async fn listed(world: &World, first: Option<&str>, second: &str) -> BTreeMap<i32, bool> {
    let ebs = world.ebs("prod", "us-east-1");
    let (mut out, mut page) = (BTreeMap::new(), None);
    loop {
        page = match first {
            None => {
                let asked = ebs.list_snapshot_blocks().snapshot_id(second).set_next_token(page);
                let answer = asked.send().await.expect("a page");
                out.extend(answer.blocks().iter().map(|block| (block.block_index().expect("an index"), true)));
                answer.next_token().map(str::to_owned)
            }
            Some(first) => {
                let asked = ebs.list_changed_blocks().first_snapshot_id(first).second_snapshot_id(second);
                let answer = asked.set_next_token(page).send().await.expect("a page");
                let entry = |block: &aws_sdk_ebs::types::ChangedBlock| {
                    (block.block_index().expect("an index"), block.second_block_token().is_some())
                };
                out.extend(answer.changed_blocks().iter().map(entry));
                answer.next_token().map(str::to_owned)
            }
        };
        if page.is_none() {
            return out;
        }
    }
}

/// Blocks that are new or other in the second of the first pair, and change again in the next.
pub fn only_here(into: &BTreeMap<i32, bool>, out_of: &BTreeMap<i32, bool>) -> u64 {
    into.iter().filter(|(index, there)| **there && out_of.contains_key(index)).count() as u64 * BLOCK
}

async fn frees(world: &World, ids: &[&str]) -> Value {
    let addresses: Vec<String> = ids.iter().map(|id| format!("us-east-1:{id}")).collect();
    let mut args = vec!["size", "--frees", "-o", "json"];
    args.extend(addresses.iter().map(String::as_str));
    let (code, json, stderr) = world.json(&args).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("List requests"), "what it costs is said first: {stderr}");
    json
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_a_middle_one_the_newest_and_several_free_what_their_neighbours_say() {
    let world = World::calm().await;
    let [all, one, two] = [
        listed(&world, None, CHAIN[0]).await,
        listed(&world, Some(CHAIN[0]), CHAIN[1]).await,
        listed(&world, Some(CHAIN[1]), CHAIN[2]).await,
    ];
    let newest: u64 = two.values().filter(|there| **there).count() as u64 * BLOCK;
    let alone = [only_here(&all, &one), only_here(&one, &two), newest];
    assert!(alone[0] > 0 && alone[2] > 0, "they hold something: {alone:?}");
    for (id, bytes) in CHAIN.iter().zip(alone) {
        let json = frees(&world, &[id]).await;
        assert_eq!(json["frees"]["bytes"], bytes, "{id}");
        assert_eq!(json["snapshots"][0]["frees"], json["frees"]);
    }
    // The first two together also free what only both hold.
    let both: BTreeSet<i32> =
        all.keys().filter(|index| !one.contains_key(index) && two.contains_key(index)).copied().collect();
    let json = frees(&world, &CHAIN[..2]).await;
    assert_eq!(json["frees"]["bytes"].as_u64(), Some(alone[0] + alone[1] + both.len() as u64 * BLOCK));
    let all_of_it = frees(&world, &CHAIN).await;
    let versions =
        all.len() + one.values().filter(|there| **there).count() + two.values().filter(|there| **there).count();
    assert_eq!(all_of_it["frees"]["bytes"].as_u64(), Some(versions as u64 * BLOCK), "every version goes");
    assert_eq!(all_of_it["frees"]["label"], "exact");
    let usd = all_of_it["usd_per_month"]["value"].as_f64().expect("a price");
    let gib = (versions as u64 * BLOCK) as f64 / f64::from(1 << 30);
    assert!((usd - gib * 0.05).abs() < 1e-9, "{usd}");
}

/// Of jenkins, whose volume is gone, in a region where somebody's snapshot is still being written: nobody can ask what
/// that one descends from.
const BESIDE_PENDING: &str = "us-west-2:snap-0b9c2e7d11f4a8063";

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_about_makes_it_at_most() {
    let world = World::calm().await;
    let all = world.ec2("prod", "us-west-2").describe_snapshots().owner_ids("self").send().await.expect("snapshots");
    let pending = |one: &aws_sdk_ec2::types::Snapshot| {
        one.state() == Some(&aws_sdk_ec2::types::SnapshotState::Pending) && one.encrypted() == Some(false)
    };
    assert!(all.snapshots().iter().any(pending), "the region has one that could share");
    let (code, json, stderr) = world.json(&["size", "--frees", BESIDE_PENDING, "-o", "json"]).await;
    assert_eq!((code, &json["frees"]["label"]), (0, &json!("upper-bound")), "{stderr}");
    assert_eq!(json["frees"]["why"], json!(["not-told"]), "{json}");
    let said = world.run(&["size", "--frees", BESIDE_PENDING]).await;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("at most: whether snapshots of other volumes share its blocks could not be asked"), "{said}");
    // A copy that the region encrypts by itself has blocks of its own.
    let ec2 = world.ec2("prod", "us-east-1");
    let copy =
        ec2.copy_snapshot().source_region("us-east-1").source_snapshot_id(CHAIN[1]).send().await.expect("copied");
    world.completed(copy.snapshot_id().expect("an id"), "us-east-1").await;
    assert_eq!(frees(&world, &CHAIN[1..2]).await["frees"]["label"], "exact");
}

/// What floe made on a parent names it in a tag, and no volume. Only what differs from the parent goes with it, as somebody
/// else lists it; a tag that names no relative costs nothing but the first requests.
#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_a_tag_names_is_taken_off_and_one_that_is_none_is_not() {
    let world = World::calm().await;
    let blocks: Vec<(i32, u8)> = (0..20).map(|index| (index, 1)).collect();
    let parent = grown(&world, HERE, None, 1, &blocks).await;
    let made = grown(&world, HERE, Some(&parent), 1, &[(3, 2), (7, 2), (300, 2)]).await;
    let other = grown(&world, HERE, None, 1, &blocks[..5]).await;
    let told = async |id: &str, with: &[&str]| {
        let ids: Vec<String> = std::iter::once(&id).chain(with).map(|id| format!("{HERE}:{id}")).collect();
        let args: Vec<&str> =
            ["size", "--frees", "-o", "json"].into_iter().chain(ids.iter().map(String::as_str)).collect();
        let (code, json, stderr) = world.json(&args).await;
        assert_eq!((code, &json["frees"]["label"]), (0, &json!("upper-bound")), "{stderr}");
        (json["frees"]["bytes"].as_u64().expect("bytes") / BLOCK, json["frees"]["why"].clone())
    };
    assert_eq!(told(&made, &[]).await, (21, json!(["no-volume"])), "nothing says what it was made on");
    for id in [&made, &other] {
        let tag = aws_sdk_ec2::types::Tag::builder().key("floe:parent").value(&parent).build();
        world.ec2("prod", HERE).create_tags().resources(id).tags(tag).send().await.expect("tagged");
    }
    let differs = changed(&world, HERE, &parent, &made).await.len() as u64;
    assert_eq!(differs, 3);
    assert_eq!(told(&made, &[]).await, (differs, json!(["no-volume", "recorded-parent"])));
    let (both, why) = told(&made, &[&parent]).await;
    assert!(both >= 23, "all that both hold, {both}: {why}");
    assert_eq!(told(&other, &[]).await.0, 5, "no way leads from what its tag names: all of it is counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_in_the_recycle_bin_makes_it_at_most_and_the_truth_is_not_above_it() {
    let world = World::calm().await;
    let before = frees(&world, &CHAIN[..1]).await;
    assert_eq!(before["frees"]["label"], "exact");
    let gone = world.ec2("prod", "us-east-1").delete_snapshot().snapshot_id(CHAIN[1]).send().await;
    gone.expect("deleted");
    let after = frees(&world, &CHAIN[..1]).await;
    let binned = world.ec2("prod", "us-east-1").list_snapshots_in_recycle_bin().send().await.expect("the bin");
    if binned.snapshots().iter().any(|one| one.snapshot_id() == Some(CHAIN[1])) {
        assert_eq!((&after["frees"]["label"], &after["frees"]["why"]), (&json!("upper-bound"), &json!(["bin"])));
        assert!(after["frees"]["bytes"].as_u64() >= before["frees"]["bytes"].as_u64());
    } else {
        assert_eq!(after["frees"]["label"], "exact", "no rule kept it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_listed_is_not_listed_again() {
    let world = World::calm().await;
    let first = frees(&world, &CHAIN[1..2]).await;
    let asked = || {
        let picture = world.running.sandbox.counters().picture();
        (picture.api("ListChangedBlocks").requests, picture.api("ListSnapshotBlocks").requests)
    };
    let (changes, wholes) = asked();
    let second = frees(&world, &CHAIN[1..2]).await;
    assert_eq!(second["frees"], first["frees"]);
    let (again, whole_again) = asked();
    let probes = first["asked"]["lists"].as_u64().expect("a count");
    assert_eq!(whole_again, wholes);
    assert!(
        again - changes < changes && again - changes <= probes,
        "only who is related is asked: {changes}, then {again}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_refused_with_a_sentence() {
    let world = World::calm().await;
    for (args, words) in [(&["us-east-1:", "eu-west-1:"][..], "in another place"), (&["us-east-1:"][..], "")] {
        let addresses: Vec<String> = args.iter().map(|place| format!("{place}{}", CHAIN[0])).collect();
        let mut all = vec!["size", "--frees"];
        all.extend(addresses.iter().map(String::as_str));
        let output = world.run(&all).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), words.is_empty(), "{said}");
        assert!(said.contains(words), "{said}");
    }
    let output = world.run(&["size", "us-east-1:snap-0feed0000000da7a1", "us-east-1:snap-0feed0000000da7a2"]).await;
    assert_eq!(output.status.code(), Some(2));
}
