//! Every source to every destination, alone and three at once; each result is read by somebody who is not floe.
//!
//! A source is a snapshot, an image file, a block device, an archive, an object or a delta; a destination a new snapshot,
//! one on a parent, a file, a block device, an archive, an object, or nowhere. What a pair cannot do is refused with a sentence.

use aws_sdk_ebs::primitives::ByteStream;
use aws_sdk_ebs::types::ChecksumAlgorithm;
use floe::engine::Client;
use floe::engine::protocol::{JobState, JobStatus};
use floe::plan::Options;

use crate::archives::{archived, keys, s3, stored};
use crate::chains::{HERE, THERE, assert_holds, grown, id_of, without_zeros};
use crate::devices::{Loop, assert_device};
use crate::objects::{assert_object, object};
use crate::rig::Rig;
use crate::support::{BLOCK, Contents, sha256};

const VAULT: &str = "s3://floe-vault-us-east-1/pairs";

/// Where one copy went, as it was asked for.
struct Went<'a> {
    to: &'a str,
    dest: usize,
}

async fn copied(rig: &Rig, client: &Client, source: &str, to: &[&str]) -> JobStatus {
    let row = rig.copy(client, source, to, Options::default()).await;
    assert_eq!(row.state, JobState::Done, "{source} to {to:?}: {:?}", row.error);
    row
}

/// Whether a destination reads as `truth`, by an independent reader.
async fn assert_there(rig: &Rig, row: &JobStatus, went: Went<'_>, truth: &Contents) {
    let Went { to, dest } = went;
    let plain = without_zeros(truth);
    if to == "null:" {
        assert_eq!(row.blocks_done, row.blocks_total.value, "{to}");
    } else if let Some(key) = to.strip_prefix("s3://floe-vault-us-east-1/").filter(|key| key.ends_with(".img")) {
        assert_object(&rig.world, key, 1, truth).await;
    } else if let Some(prefix) = to.strip_prefix("s3://floe-vault-us-east-1/") {
        let found = keys(&rig.world, prefix).await;
        let root = found.iter().find_map(|key| key.strip_suffix("manifest.json")).expect("a manifest");
        assert_eq!(without_zeros(&archived(&rig.world, root).await), plain, "{to}");
    } else if to.ends_with(':') || to.ends_with('+') {
        let region = to.split(':').next().expect("a region");
        let made = rig.world.contents("prod", region, &id_of(row, dest)).await;
        assert_eq!(without_zeros(&made), plain, "{to}");
    } else {
        assert_holds(to.as_ref(), 1, truth);
    }
}

async fn go(rig: &Rig, client: &Client, source: &str, to: &[&str], truth: &Contents) {
    let row = copied(rig, client, source, to).await;
    for (dest, to) in to.iter().enumerate() {
        assert_there(rig, &row, Went { to, dest }, truth).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_whole_source_goes_to_every_destination_alone_and_three_at_once() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let whole = grown(&rig.world, HERE, None, 1, &[(0, 1), (3, 2), (7, 0), (2047, 4)]).await;
    let other = grown(&rig.world, HERE, None, 1, &[(1, 9), (3, 9), (2046, 9)]).await;
    let truth = rig.world.contents("prod", HERE, &whole).await;
    let image = rig.world.path("source.img").display().to_string();
    let snapshot = format!("{HERE}:{whole}");
    go(&rig, &client, &snapshot, &[&image, &format!("{VAULT}/")], &truth).await;

    let on_parent = format!("{HERE}:{other}+");
    for (nth, source) in [snapshot, image, format!("{VAULT}/{whole}/")].iter().enumerate() {
        let file = |what: &str| rig.world.path(&format!("{what}-{nth}.img")).display().to_string();
        let archive = |what: &str| format!("{VAULT}-{what}-{nth}/");
        for to in [format!("{THERE}:"), on_parent.clone(), file("alone"), "null:".to_owned(), archive("alone")] {
            go(&rig, &client, source, &[&to], &truth).await;
        }
        go(&rig, &client, source, &[&format!("{THERE}:"), &file("three"), &archive("three")], &truth).await;
    }
}

/// Objects as a column: from what is read by blocks, alone and beside others.
#[tokio::test(flavor = "multi_thread")]
async fn every_whole_source_goes_to_an_object_alone_and_beside_others() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let whole = grown(&rig.world, HERE, None, 1, &[(0, 1), (3, 2), (7, 0), (2047, 4)]).await;
    let truth = rig.world.contents("prod", HERE, &whole).await;
    let image = rig.world.path("source.img").display().to_string();
    let snapshot = format!("{HERE}:{whole}");
    go(&rig, &client, &snapshot, &[&image, &format!("{VAULT}/")], &truth).await;
    for (nth, source) in [snapshot, image, format!("{VAULT}/{whole}/")].iter().enumerate() {
        let file = rig.world.path(&format!("beside-{nth}.img")).display().to_string();
        let object = |what: &str| format!("{VAULT}-objects/{what}-{nth}.img");
        go(&rig, &client, source, &[&object("alone")], &truth).await;
        go(&rig, &client, source, &[&format!("{THERE}:"), &file, &object("three")], &truth).await;
        if nth == 0 {
            let archive = format!("{VAULT}-beside/");
            go(&rig, &client, source, &[&object("one"), &archive, &object("two")], &truth).await;
        }
    }
}

/// Raw bytes, as an object or a device holds them: 24 blocks, most of them zeros, the last one short of `cut` bytes.
fn raw(cut: usize) -> Vec<u8> {
    let mut bytes = vec![0; 24 * BLOCK - cut];
    for (index, fill) in [(0, 1), (3, 2), (23, 4)] {
        let end = bytes.len().min((index + 1) * BLOCK);
        bytes[index * BLOCK..end].fill(fill);
    }
    bytes
}

/// What a snapshot, or an archive, of raw bytes holds beside zeros.
fn held(bytes: &[u8]) -> Contents {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().div_ceil(BLOCK) * BLOCK, 0);
    without_zeros(&(0..).zip(padded.chunks(BLOCK).map(sha256)).collect())
}

/// Copies raw bytes that are at `source` to a snapshot, an archive, and each of `exact`, which hold exactly them then.
async fn raw_goes(rig: &Rig, client: &Client, source: &str, bytes: &[u8], exact: &[String]) {
    let truth = held(bytes);
    copied(rig, client, source, &["null:"]).await;
    for to in exact {
        copied(rig, client, source, &[to]).await;
        let found = match to.strip_prefix("s3://floe-vault-us-east-1/") {
            Some(key) => object(&rig.world, key).await,
            None => std::fs::read(to).expect("the file"),
        };
        assert!(found == bytes, "{source} to {to}");
        std::fs::remove_file(to).ok();
    }
    let archive = format!("{VAULT}-raw-{}/", uuid_of(source));
    let file = rig.world.path("raw-three.img").display().to_string();
    let row = copied(rig, client, source, &[&format!("{THERE}:"), &archive, &file]).await;
    assert_there(rig, &row, Went { to: &format!("{THERE}:"), dest: 0 }, &truth).await;
    assert_there(rig, &row, Went { to: &archive, dest: 1 }, &truth).await;
    assert!(std::fs::read(&file).expect("the file") == bytes, "{source} to three");
    std::fs::remove_file(file).expect("removed");
}

/// Letters and digits of a name.
fn uuid_of(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// Objects as a row: any key that holds raw blocks.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_goes_to_every_destination() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let bytes = raw(77);
    let body = ByteStream::from(bytes.clone());
    let put = s3(&rig.world).put_object().bucket("floe-vault-us-east-1").key("pairs-object/source.img").body(body);
    put.send().await.expect("written");
    let source = format!("{VAULT}-object/source.img");
    let file = rig.world.path("alone.img").display().to_string();
    raw_goes(&rig, &client, &source, &bytes, &[file]).await;
    let other = grown(&rig.world, HERE, None, 1, &[(1, 9), (3, 9), (2046, 9)]).await;
    let on_parent = format!("{HERE}:{other}+");
    go(&rig, &client, &source, &[&on_parent], &held(&bytes)).await;
    // S3 copies it itself: no block of it passes us.
    let row = rig.copy(&client, &source, &[&format!("{VAULT}-object/copy.img")], Options::default()).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let got = s3(&rig.world).get_object().bucket("floe-vault-us-east-1").key("pairs-object/copy.img").send().await;
    let copy = got.expect("an object").body.collect().await.expect("its body").into_bytes();
    assert!(copy == bytes, "byte for byte");
}

/// Devices at both ends, on a machine that lets a test make them.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_a_row_and_a_column_like_any_other() {
    let rig = Rig::calm().await;
    let bytes = raw(0);
    let Some(from) = Loop::new(rig.world.path("from.loop"), bytes.len() as u64) else { return };
    let Some(to) = Loop::new(rig.world.path("to.loop"), 1 << 30) else { return };
    let client = rig.engine(None).await;
    from.fill(0, &bytes);
    let file = |what: &str| rig.world.path(&format!("{what}.img")).display().to_string();
    let object = |what: &str| format!("{VAULT}-devices/{what}.img");
    raw_goes(&rig, &client, &from.name(), &bytes, &[file("alone"), object("alone")]).await;

    // As a destination: alone from every source, and beside two others.
    let whole = grown(&rig.world, HERE, None, 1, &[(0, 1), (3, 2), (7, 0), (2047, 4)]).await;
    let next = grown(&rig.world, HERE, Some(&whole), 1, &[(5, 1)]).await;
    let truth = rig.world.contents("prod", HERE, &whole).await;
    let snapshot = format!("{HERE}:{whole}");
    go(&rig, &client, &snapshot, &[&file("source"), &format!("{VAULT}-devices/")], &truth).await;
    let force = Options { force: true, ..Options::default() };
    for source in [snapshot.clone(), file("source"), format!("{VAULT}-devices/{whole}/")] {
        let row = rig.copy(&client, &source, &[&to.name()], force.clone()).await;
        assert_eq!(row.state, JobState::Done, "{source}: {:?}", row.error);
        assert_device(&to, &truth, &[]);
    }
    let three = [to.name(), format!("{THERE}:"), object("beside")];
    let three: Vec<&str> = three.iter().map(String::as_str).collect();
    let row = rig.copy(&client, &snapshot, &three, force).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_device(&to, &truth, &[]);
    assert_there(&rig, &row, Went { to: three[1], dest: 1 }, &truth).await;
    assert_there(&rig, &row, Went { to: three[2], dest: 2 }, &truth).await;
    // A delta has nothing to go by that says what a device holds.
    let (code, said) = rig.refused(&format!("{HERE}:{whole}..{next}"), &to.name(), Options::default()).await;
    assert!((code == 2 || code == 5) && (said.contains("device") || said.contains("not proved")), "{code} {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_goes_onto_what_holds_its_first_snapshot_and_nowhere_else() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let first = grown(&rig.world, HERE, None, 1, &[(0, 1), (3, 2), (7, 3)]).await;
    let second = grown(&rig.world, HERE, Some(&first), 1, &[(3, 5), (9, 6)]).await;
    let other = grown(&rig.world, HERE, None, 1, &[(0, 1), (3, 2), (7, 3)]).await;
    let truth = rig.world.contents("prod", HERE, &second).await;
    let delta = format!("{HERE}:{first}..{second}");
    let file = |what: &str| rig.world.path(&format!("{what}.img")).display().to_string();
    let (alone, three, stranger) = (file("alone"), file("three"), file("stranger"));
    std::fs::write(&stranger, b"somebody's").expect("a file");

    for (to, code, said) in [
        (format!("{THERE}:"), 2, "without a parent"),
        (format!("{VAULT}-chain/changes.img"), 2, "a base that can be changed in its place"),
        (file("missing"), 2, "does not exist"),
        (format!("{HERE}:{other}+"), 5, "not proved"),
        (stranger, 5, "not proved"),
    ] {
        let (found, text) = rig.refused(&delta, &to, Options::default()).await;
        assert!(found == code && text.contains(said), "{to}: {found} {text}");
    }

    // Its first snapshot goes ahead, twice; then the changes follow, alone and to three at once.
    let base = format!("{HERE}:{first}");
    let row = copied(&rig, &client, &base, &[&format!("{THERE}:"), &alone, &three]).await;
    let on_copy = format!("{THERE}:{}+", id_of(&row, 0));
    for to in [on_copy.as_str(), &alone, "null:"] {
        let row = copied(&rig, &client, &delta, &[to]).await;
        if to != "null:" {
            assert_there(&rig, &row, Went { to, dest: 0 }, &truth).await;
        }
    }
    let chain = format!("{VAULT}-chain/");
    copied(&rig, &client, &base, &[&chain]).await;
    let row = copied(&rig, &client, &delta, &[&on_copy, &three, &chain]).await;
    assert_there(&rig, &row, Went { to: &on_copy, dest: 0 }, &truth).await;
    assert_there(&rig, &row, Went { to: &three, dest: 1 }, &truth).await;

    // The archive of the changes, restored with the one that it begins with.
    let restored = file("restored");
    let from = format!("{VAULT}-chain/{first}..{second}/");
    go(&rig, &client, &from, &[&restored, &format!("{THERE}:")], &truth).await;
}

/// Half noise, half words, as disks are.
fn like_a_disk(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    let words = format!("block {seed} holds words, and words, and more of them; ");
    (0..BLOCK).map(|at| if at < BLOCK / 2 { noise() } else { words.as_bytes()[at % words.len()] }).collect()
}

/// A snapshot of 1 GiB on `parent` with these blocks, each like a disk's of that seed.
async fn written(rig: &Rig, parent: Option<&str>, blocks: &[(i32, u64)]) -> String {
    let ebs = rig.world.ebs("prod", HERE);
    let request = ebs.start_snapshot().volume_size(1).set_parent_snapshot_id(parent.map(str::to_owned));
    let id = request.send().await.expect("started").snapshot_id.expect("an id");
    for (index, seed) in blocks {
        let data = like_a_disk(*seed);
        let checksum = floe::units::Digest(sha256(&data)).base64();
        let put = ebs.put_snapshot_block().snapshot_id(&id).block_index(*index).block_data(ByteStream::from(data));
        let put = put.checksum(checksum).checksum_algorithm(ChecksumAlgorithm::ChecksumAlgorithmSha256);
        put.data_length(524_288).send().await.expect("a put");
    }
    let count = i32::try_from(blocks.len()).expect("a few");
    ebs.complete_snapshot().snapshot_id(&id).changed_blocks_count(count).send().await.expect("completed");
    rig.world.completed(&id, HERE).await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_five_is_one_whole_archive_and_four_of_changes_restored_at_each_point() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let vault = format!("{VAULT}-five/");
    let mut chain: Vec<String> = Vec::new();
    let mut compressed = 0;
    for nth in 0..5u64 {
        let count = if nth == 0 { 24 } else { 5 };
        let blocks: Vec<(i32, u64)> = (0..count)
            .map(|at| (at * (7 + i32::try_from(nth).unwrap_or(0)), nth * 100 + u64::try_from(at).unwrap_or(0)))
            .collect();
        compressed += blocks
            .iter()
            .map(|(_, seed)| zstd::encode_all(&like_a_disk(*seed)[..], 3).expect("it is").len())
            .sum::<usize>();
        let id = written(&rig, chain.last().map(String::as_str), &blocks).await;
        let source = match chain.last() {
            None => format!("{HERE}:{id}"),
            Some(before) => format!("{HERE}:{before}..{id}"),
        };
        copied(&rig, &client, &source, &[&vault]).await;
        chain.push(id);
    }
    let stored = stored(&rig.world, "pairs-five/").await;
    let off = stored.abs_diff(compressed as u64);
    assert!(off * 20 <= compressed as u64, "{stored} bytes in S3, {compressed} of compressed changes");
    for (nth, id) in chain.iter().enumerate() {
        let archive = match nth {
            0 => format!("{vault}{id}/"),
            _ => format!("{vault}{}..{id}/", chain[nth - 1]),
        };
        let image = rig.world.path(&format!("five-{nth}.img")).display().to_string();
        let truth = rig.world.contents("prod", HERE, id).await;
        go(&rig, &client, &archive, &[&image], &truth).await;
    }
}
