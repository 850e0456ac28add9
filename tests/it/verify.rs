//! `floe verify`: any two of snapshots, files, archives and raw images in S3, or an archive alone, compared by the real binary; what was spoilt is found.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use floe::plan::Options;
use floe::sandbox::faults::{Faults, Rotation};
use serde_json::{Value, json};

use crate::archives::{self, ARCHIVE};
use crate::rig::{Rig, SMALL};
use crate::support::{BLOCK, WEB_DATA, World, sha256};

/// 64 blocks in a volume of 1 GiB.
const BOOT: &str = "us-east-1:snap-0feed000000b00701";

async fn verify(world: &World, first: &str, second: &str) -> (i32, Value, String) {
    world.json(&["verify", first, second, "-o", "json"]).await
}

/// An image of that snapshot, made by a copy.
async fn image_of(world: &World, source: &str) -> String {
    let path = world.path("copy.img").display().to_string();
    let (code, _, stderr) = world.json(&["copy", source, &path, "--foreground", "--yes", "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    path
}

fn flip(path: &str, block: u64, byte: u64) {
    let file = File::options().read(true).write(true).open(path).expect("the image");
    let (at, mut old) = (block * BLOCK as u64 + byte, [0]);
    file.read_exact_at(&mut old, at).expect("a byte");
    file.write_all_at(&[old[0] ^ 1], at).expect("another byte");
}

/// A sparse image with one block of this byte at each index.
fn sparse(path: &Path, blocks: u64, at: &[(u64, u8)]) {
    let mut file = File::create(path).expect("an image");
    for (index, byte) in at {
        file.seek(SeekFrom::Start(index * BLOCK as u64)).expect("a place");
        file.write_all(&vec![*byte; BLOCK]).expect("a block");
    }
    file.set_len(blocks * BLOCK as u64).expect("a length");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_the_same_and_one_spoilt_byte_is_found() {
    let world = World::calm().await;
    let image = image_of(&world, BOOT).await;
    let (code, found, stderr) = verify(&world, BOOT, &image).await;
    assert_eq!(code, 0, "{stderr}");
    assert_eq!((&found["state"], &found["job"], &found["blocks"]), (&json!("same"), &Value::Null, &json!(64)));
    assert_eq!(found["different"], json!({"count": 0, "ranges": []}));
    assert_eq!(found["destinations"][0]["evidence"], "re-read");

    // The last byte of one block, the first of the next, and one that the snapshot does not list.
    for (block, byte) in [(700, BLOCK as u64 - 1), (701, 0), (2047, 17)] {
        flip(&image, block, byte);
    }
    let (code, found, stderr) = verify(&world, &image, BOOT).await;
    assert_eq!(code, 3, "{stderr}");
    assert_eq!(found["state"], "different");
    assert_eq!(found["different"], json!({"count": 3, "ranges": [[700, 701], [2047, 2047]]}));
    let output = world.run(&["verify", BOOT, &image]).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("Different in 3 blocks:\n  700-701\n  2047"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_of_two_accounts_and_regions_are_compared() {
    let world = World::calm().await;
    let (code, made, stderr) =
        world.json(&["copy", BOOT, "dr@eu-west-1:", "--allow-decrypt", "--foreground", "--yes", "-o", "json"]).await;
    assert_eq!(code, 0, "{stderr}");
    let copy = made["destinations"][0]["address"].as_str().expect("an address").to_owned();
    let before = gets(&world);
    let (code, found, stderr) = verify(&world, BOOT, &copy).await;
    assert_eq!((code, &found["different"]["count"]), (0, &json!(0)), "{stderr}");
    assert_eq!(gets(&world) - before, 128, "both sides were read, whatever the listings say");
    let (code, found, stderr) = verify(&world, "us-east-1:snap-0feed0000000da7a3", &copy).await;
    assert_eq!(code, 3, "{stderr}");
    let id = copy.rsplit(':').next().expect("an id");
    let web = world.contents("prod", "us-east-1", WEB_DATA).await;
    let copied = world.contents("dr", "eu-west-1", id).await;
    let zero = sha256(&vec![0; BLOCK]);
    let differ = |index: &u32| web.get(index).unwrap_or(&zero) != copied.get(index).unwrap_or(&zero);
    let wanted = (0..2048).filter(differ).count();
    assert!(wanted > 1000);
    assert_eq!(found["different"]["count"], json!(wanted), "as a reader that is not ours counts them");
}

fn gets(world: &World) -> u64 {
    world.running.sandbox.counters().picture().api("GetSnapshotBlock").requests
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_listed_is_zeros_and_a_length_alone_is_said() {
    let world = World::calm().await;
    let (holes, zeros, data) = (world.path("holes.img"), world.path("zeros.img"), world.path("data.img"));
    sparse(&holes, 40, &[(3, 7)]);
    sparse(&zeros, 50, &[(3, 7), (20, 0), (49, 0)]);
    sparse(&data, 50, &[(3, 7), (20, 0), (49, 1)]);
    let path = |path: &Path| path.display().to_string();
    let (code, found, stderr) = verify(&world, &path(&holes), &path(&zeros)).await;
    assert_eq!(code, 0, "written zeros are the same as a hole, also past the end: {stderr}");
    assert_eq!(found["lengths"], json!([40 * BLOCK, 50 * BLOCK]));
    let output = world.run(&["verify", &path(&holes), &path(&zeros)]).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("Their lengths differ"));
    let (code, found, _) = verify(&world, &path(&data), &path(&holes)).await;
    assert_eq!((code, &found["different"]["ranges"]), (3, &json!([[49, 49]])), "what is past the end counts");

    let odd = world.path("odd.img");
    std::fs::write(&odd, vec![9; 1000]).expect("an image");
    sparse(&data, 1, &[]);
    File::options().write(true).open(&data).expect("it").write_all_at(&[9; 1000], 0).expect("bytes");
    let (code, _, stderr) = verify(&world, &path(&odd), &path(&data)).await;
    assert_eq!(code, 0, "a short last block is padded with zeros: {stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_void_tokens_and_odd_pages_change_no_answer() {
    let world = World::calm().await;
    let image = image_of(&world, BOOT).await;
    flip(&image, 9, 9);
    let storm = Faults { seed: 5, rules: Faults::storm(None, 0.02), ..Faults::default() };
    let void = Faults { rotate: Rotation::Listing, ..Faults::default() };
    let odd = Faults { short_pages_permille: 500, empty_pages_permille: 300, ..Faults::default() };
    for (name, faults) in [("storm", storm), ("void", void), ("odd", odd)] {
        world.running.sandbox.set_faults(faults);
        let (code, found, stderr) = verify(&world, BOOT, &image).await;
        assert_eq!((code, &found["different"]["ranges"]), (3, &json!([[9, 9]])), "{name}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_compared_is_refused_with_a_reason() {
    let world = World::calm().await;
    for (args, code, words) in [
        (["verify", BOOT, "null:"], 2, "null"),
        (["verify", "us-east-1:snap-0feed0000000da7a3..snap-0feed000000b00701", BOOT], 2, "cannot be compared"),
        (["verify", "us-east-1:snap-0abc1234", BOOT], 2, "snap-0abc1234 does not exist in us-east-1"),
        (["verify", BOOT, "./nowhere.img"], 1, "nowhere.img"),
    ] {
        let output = world.run(&args).await;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(words), "{args:?}: {stderr}");
    }
    let (code, found, stderr) = world.json(&["verify", BOOT, "./nowhere.img", "-o", "json"]).await;
    assert_eq!((code, &found["state"]), (1, &json!("failed")), "{stderr}");
    let output = world.run(&["verify", BOOT, BOOT, "--memory", "1MiB"]).await;
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_within_what_was_given() {
    let world = World::calm().await;
    // 1,500 blocks of 512 KiB on each side are 1.5 GiB.
    let web = "us-east-1:snap-0feed0000000da7a3";
    let (code, found, stderr) = world.json(&["verify", web, web, "--memory", "32MiB", "-o", "json"]).await;
    assert_eq!((code, &found["blocks"]), (0, &json!(1500)), "{stderr}");
    let peak = found["peak_rss_bytes"].as_u64().expect("bytes");
    assert!(peak > 0 && peak < 200 << 20, "{} MiB", peak >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_alone_is_held_against_its_own_index() {
    let rig = Rig::calm().await;
    archives::archive(&rig, SMALL, Options { concurrency: Some(16), ..Options::default() }).await;
    let (code, found, stderr) = rig.world.json(&["verify", ARCHIVE, "-o", "json"]).await;
    assert_eq!((code, &found["state"]), (0, &json!("same")), "{stderr}");
    assert_eq!((&found["blocks"], &found["destinations"]), (&json!(64), &json!([])));
    let output = rig.world.run(&["verify", ARCHIVE]).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("Whole: every block was read"));

    // One object is gone, a frame of another one is damaged: both are told, block by block, and the rest is read.
    let all = archives::segments(&rig.world, archives::ROOT).await;
    assert!(all.len() > 2, "{all:?}");
    let (gone, bad) = (blocks_of(&rig, &all[0]).await, blocks_of(&rig, &all[1]).await);
    archives::s3(&rig.world).delete_object().bucket(archives::BUCKET).key(&all[0]).send().await.expect("deleted");
    let mut bytes = archives::bytes_of(&rig.world, &all[1]).await;
    let last = bytes.len() - 100;
    bytes[last] ^= 1;
    archives::replace(&rig.world, &all[1], bytes).await;
    let (code, found, stderr) = rig.world.json(&["verify", ARCHIVE, "-o", "json"]).await;
    assert_eq!((code, &found["state"]), (3, &json!("different")), "{stderr}");
    let told: BTreeSet<u32> = serde_json::from_value::<Vec<(u32, u32)>>(found["different"]["ranges"].clone())
        .expect("ranges")
        .into_iter()
        .flat_map(|(first, last)| first..=last)
        .collect();
    let mut truth = gone.clone();
    truth.extend(bad.iter().max());
    assert_eq!((told, &found["different"]["count"]), (truth, &json!(gone.len() + 1)));
}

/// The blocks of a segment, as the header in front of it names them.
async fn blocks_of(rig: &Rig, key: &str) -> BTreeSet<u32> {
    let bytes = archives::bytes_of(&rig.world, key).await;
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    (0..word(16) as usize).map(|nth| word(20 + nth * 40)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_image_in_s3_is_compared_with_anything() {
    let rig = Rig::calm().await;
    let image = rig.world.path("disk.img");
    let bytes: Vec<u8> = (0..3 * BLOCK + 77).map(|at| u8::try_from(at % 251).expect("a byte")).collect();
    std::fs::write(&image, &bytes).expect("written");
    archives::replace(&rig.world, "raw/disk.img", bytes.clone()).await;
    let (object, image) = (format!("s3://{}/raw/disk.img", archives::BUCKET), image.display().to_string());
    let (code, found, stderr) = verify(&rig.world, &object, &image).await;
    assert_eq!((code, &found["blocks"]), (0, &json!(4)), "{stderr}");
    let mut other = bytes;
    other[2 * BLOCK] ^= 1;
    archives::replace(&rig.world, "raw/disk.img", other).await;
    let (code, found, _) = verify(&rig.world, &image, &object).await;
    assert_eq!((code, &found["different"]["ranges"]), (3, &json!([[2, 2]])));
    // Alone nothing says what it should hold.
    let (code, _, stderr) = rig.world.json(&["verify", &object]).await;
    assert!(code == 2 && stderr.contains("nothing that it could be compared with"), "{stderr}");
}
