//! `floe inspect` as scripts meet it: what is inside snapshots, files, objects and archives, what looking costs, and
//! that nothing but a handful of blocks is read.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use floe::sandbox::faults::{Fault, Faults};
use serde_json::{Value, json};

use crate::rig::{only, rule};
use crate::support::{World, bare_floe};

/// Amazon Linux on 8 GiB.
const LINUX: &str = "us-east-1:snap-0f3c91d2a77b01e44";

/// A real disk of `tests/data/disks`, written out: the length, then pages with their offsets.
fn real(name: &str, into: &Path) -> PathBuf {
    let packed = format!("{}/tests/data/disks/{name}.zst", env!("CARGO_MANIFEST_DIR"));
    let bytes = zstd::decode_all(std::fs::read(packed).expect("the disk").as_slice()).expect("zstd");
    let path = into.join(format!("{name}.img"));
    let mut file = std::fs::File::create(&path).expect("a file");
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
    file.set_len(number(&bytes[..8])).expect("sized");
    for page in bytes[8..].chunks_exact(8 + 4096) {
        file.seek(SeekFrom::Start(number(&page[..8]))).expect("sought");
        file.write_all(&page[8..]).expect("written");
    }
    path
}

async fn inspected(world: &World, address: &str) -> Value {
    let (code, json, stderr) = world.json(&["inspect", address, "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    json
}

/// What a partition is and holds.
fn parts(json: &Value) -> Vec<(u64, &str, Option<&str>)> {
    let parts = json["partitions"].as_array().expect("partitions");
    parts
        .iter()
        .map(|part| {
            (
                part["number"].as_u64().expect("a number"),
                part["purpose"].as_str().expect("a purpose"),
                part["content"]["kind"].as_str(),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linux_image_shows_its_partitions_for_a_handful_of_reads() {
    let world = World::calm().await;
    let json = inspected(&world, LINUX).await;
    assert_eq!(json["table"]["scheme"], "gpt");
    assert_eq!(json["table"]["notes"], json!([]), "both tables are there and agree");
    let wanted =
        [(1, "Linux root (x86-64)", Some("xfs")), (127, "BIOS boot", None), (128, "EFI system", Some("fat12"))];
    assert_eq!(parts(&json), wanted);
    assert_eq!(json["partitions"][0]["content"]["label"], "/");
    let boot: Vec<_> = json["boot"].as_array().expect("boot").iter().map(|boot| boot["what"].clone()).collect();
    assert_eq!(boot, ["GRUB", "GRUB (core image)", "EFI fallback (BOOT)"]);
    // What it took, as the service counted it.
    let picture = world.running.sandbox.counters().picture();
    let (gets, lists) = (picture.api("GetSnapshotBlock").requests, picture.api("ListSnapshotBlocks").requests);
    assert_eq!(json["reads"]["blocks"].as_u64(), Some(gets));
    assert!(gets <= 8 && lists <= 10, "{gets} Gets, {lists} Lists");
    let usd = json["reads"]["usd"]["value"].as_f64().expect("a price");
    assert!(usd > 0.0 && usd < 0.0001, "{usd}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_says_the_same_and_what_it_costs_before() {
    let world = World::calm().await;
    let output = world.run(&["inspect", LINUX]).await;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    for words in [
        "a GUID partition table",
        "with 3 partitions",
        "Linux root (x86-64)",
        "XFS",
        "boots with GRUB (first sector)",
        "read ",
    ] {
        assert!(out.contains(words), "{words}: {out}");
    }
    assert!(err.contains("reads at most 256 blocks, ≤ $0.0009"), "{err}");
    assert!(out.trim_end().ends_with("under $0.0001"), "{out}");
    let csv = world.run(&["inspect", LINUX, "-o", "csv"]).await;
    assert_eq!(String::from_utf8_lossy(&csv.stdout).lines().count(), 4, "a head and three partitions");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_windows_image_is_known_by_its_boot_manager() {
    let world = World::calm().await;
    let ec2 = world.ec2("prod", "ap-southeast-2");
    let mut found = Vec::new();
    for region in ["us-east-1", "eu-west-1", "us-west-2", "eu-central-1", "ap-southeast-2", "sa-east-1"] {
        let ec2 = if region == "ap-southeast-2" { ec2.clone() } else { world.ec2("prod", region) };
        let all = ec2.describe_snapshots().owner_ids("self").send().await.expect("snapshots");
        let is_pos = |snapshot: &&aws_sdk_ec2::types::Snapshot| {
            snapshot.tags().iter().any(|tag| tag.value().is_some_and(|value| value.starts_with("pos-")))
        };
        let ids = all.snapshots().iter().filter(is_pos).filter_map(|snapshot| snapshot.snapshot_id());
        found.extend(ids.map(|id| format!("{region}:{id}")));
    }
    let json = inspected(&world, found.first().expect("a till")).await;
    assert_eq!((&json["table"]["scheme"], parts(&json)), (&json!("mbr"), vec![(1, "NTFS or exFAT", Some("ntfs"))]));
    let content = &json["partitions"][0]["content"];
    assert_eq!((&content["label"], &content["notes"]), (&json!("Windows"), &json!(["version 3.1", "clean"])));
    let boot: Vec<_> = json["boot"].as_array().expect("boot").iter().map(|boot| boot["what"].clone()).collect();
    assert_eq!(boot, ["the PC's usual boot code (Windows)", "Windows Boot Manager (BOOTMGR)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_looks_the_same_as_a_file_an_object_and_an_archive() {
    let world = World::calm().await;
    let disk = real("gpt", world.dir.path());
    let truth = inspected(&world, disk.to_str().expect("text")).await;
    assert_eq!(parts(&truth).len(), 3);
    assert_eq!(truth["reads"]["usd"], json!({"value": 0.0, "sure": "exact"}), "nothing is asked of AWS");
    let path = disk.to_str().expect("text");
    for destination in ["s3://floe-vault-us-east-1/raw/gpt.img", "s3://floe-vault-us-east-1/kept/"] {
        let output = world.run(&["copy", path, destination, "--yes", "--foreground", "-o", "json"]).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let last: Value = serde_json::from_str(out.lines().last().expect("a line")).expect("JSON");
        let made = last["destinations"][0]["address"].as_str().expect("an address").to_owned();
        let made = match last["destinations"][0]["id"].as_str() {
            Some(id) if id.starts_with("s3://") => id.to_owned(),
            _ => made,
        };
        let json = inspected(&world, &made).await;
        assert_eq!((&json["table"], &json["partitions"]), (&truth["table"], &truth["partitions"]), "{made}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_in_trouble_is_read_all_the_same_and_a_denied_one_says_which_action_is_missing() {
    let calm = World::calm().await;
    let truth = inspected(&calm, LINUX).await;
    let cut = only("GetSnapshotBlock", rule(Fault::Cut, 0.3));
    let stormy = World::with(Faults { rules: vec![cut], empty_pages_permille: 300, ..Faults::default() }).await;
    let json = inspected(&stormy, LINUX).await;
    assert_eq!(json["partitions"], truth["partitions"]);
    let deny = only("GetSnapshotBlock", rule(Fault::Deny, 1.0));
    let denied = World::with(Faults { rules: vec![deny], ..Faults::default() }).await;
    let output = denied.run(&["inspect", LINUX]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("ebs:GetSnapshotBlock"), "{said}");
}

#[test]
fn what_is_no_disk_is_refused_with_a_sentence() {
    let home = tempfile::tempdir().expect("a home");
    for (address, words) in [
        ("us-east-1:snap-0abc1234..snap-0abc1235", "floe inspect us-east-1:snap-0abc1235"),
        ("ami-0abc1234", "is no disk"),
    ] {
        let output = bare_floe(home.path()).args(["inspect", address]).output().expect("floe runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    }
}
