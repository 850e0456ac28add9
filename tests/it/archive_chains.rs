//! Delta archives: a chain of snapshots as one whole archive and the changes after it, read back at every point.

use std::collections::BTreeMap;

use aws_sdk_ebs::primitives::ByteStream as Body;
use aws_sdk_ebs::types::ChecksumAlgorithm;
use floe::engine::protocol::{Command, JobState};
use floe::plan::Options;
use floe::units::Digest;

use crate::rig::{Rig, end, start};
use crate::support::{BLOCK, Contents, World, sha256};

const VAULT: &str = "s3://floe-vault-us-east-1/chain/";

/// Noise, or text: what does not compress, and what does.
fn block(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    match seed % 2 {
        0 => (0..BLOCK).map(|_| random.u8(..)).collect(),
        _ => format!("line {seed} of a text that goes on\n").bytes().cycle().take(BLOCK).collect(),
    }
}

/// A completed snapshot, on another one or on none, with these blocks.
async fn snapshot(world: &World, parent: Option<&str>, blocks: &[(i32, u64)]) -> String {
    let ebs = world.ebs("prod", "us-east-1");
    let begun = ebs.start_snapshot().volume_size(1).set_parent_snapshot_id(parent.map(str::to_owned));
    let id = begun.send().await.expect("started").snapshot_id.expect("an id");
    for (index, seed) in blocks {
        let data = block(*seed);
        let checksum = Digest(sha256(&data)).base64();
        let put = ebs.put_snapshot_block().snapshot_id(&id).block_index(*index).block_data(Body::from(data));
        let put = put.checksum(checksum).checksum_algorithm(ChecksumAlgorithm::ChecksumAlgorithmSha256);
        put.data_length(524_288).send().await.expect("a put");
    }
    let count = i32::try_from(blocks.len()).expect("a few");
    ebs.complete_snapshot().snapshot_id(&id).changed_blocks_count(count).send().await.expect("completed");
    world.completed(&id, "us-east-1").await;
    id
}

/// These blocks, and holes everywhere else: what a file does not take on the disk needs not be read.
fn assert_sparse(path: &std::path::Path, contents: &Contents) {
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};
    let file = std::fs::File::open(path).expect("the image");
    let meta = file.metadata().expect("its size");
    assert_eq!(meta.len(), 1 << 30, "the exact length of the volume");
    assert!(meta.blocks() * 512 < ((contents.len() + 1) * BLOCK) as u64, "no other block is written");
    let mut block = vec![0; BLOCK];
    for (index, digest) in contents {
        file.read_exact_at(&mut block, u64::from(*index) * BLOCK as u64).expect("a block");
        assert_eq!(&sha256(&block), digest, "block {index}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_five_is_archived_as_one_whole_and_four_deltas_and_read_back_at_every_point() {
    let rig = Rig::calm().await;
    let changes: [&[(i32, u64)]; 5] = [
        &[(0, 1), (1, 2), (2, 3), (7, 4), (600, 5)],
        &[(1, 11), (9, 12)],
        &[(9, 21), (2047, 22)],
        &[(0, 31)],
        &[(1, 41), (2, 42), (601, 43)],
    ];
    let mut ids: Vec<String> = Vec::new();
    for blocks in changes {
        ids.push(snapshot(&rig.world, ids.last().map(String::as_str), blocks).await);
    }
    let client = rig.engine(None).await;
    let mut roots = Vec::new();
    for (nth, id) in ids.iter().enumerate() {
        let name = if nth == 0 { id.clone() } else { format!("{}..{id}", ids[nth - 1]) };
        let plan = rig.plan(&format!("us-east-1:{name}"), &[VAULT], Options::default()).await;
        let row = end(&client, start(&client, &plan).await).await;
        assert_eq!(row.state, JobState::Done, "{name}: {:?}", row.error);
        assert_eq!(row.blocks_done.0, changes[nth].len() as u64, "only what changed");
        roots.push(format!("{VAULT}{name}/"));
    }
    for (nth, (root, id)) in roots.iter().zip(&ids).enumerate() {
        let image = rig.world.path(&format!("at-{nth}.img"));
        let plan = rig.plan(root, &[image.to_str().expect("text")], Options::default()).await;
        let row = end(&client, start(&client, &plan).await).await;
        assert_eq!(row.state, JobState::Done, "{root}: {:?}", row.error);
        assert_sparse(&image, &rig.world.contents("prod", "us-east-1", id).await);
    }
    client.send(Command::Shutdown).await.expect("it ends");

    // No larger than what changed, compressed: within 5 %.
    let output = rig.world.run(&["ls", "archives", VAULT, "-o", "json"]).await;
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let stored: BTreeMap<&str, u64> = rows
        .iter()
        .map(|row| (row["id"].as_str().expect("an id"), row["stored_bytes"].as_u64().expect("its bytes")))
        .collect();
    let compressed = |seed: &u64| zstd::bulk::compress(&block(*seed), 3).expect("compressed").len();
    let changed: usize = changes.iter().flat_map(|blocks| blocks.iter().map(|(_, seed)| compressed(seed))).sum();
    let stored: u64 = stored.values().sum();
    assert!(stored * 100 <= changed as u64 * 105, "{stored} of {changed}");
    let kinds: Vec<&str> = rows.iter().filter_map(|row| row["kind"].as_str()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "delta").count(), 4);

    // Without its base a delta is refused, and the base is named.
    let whole = format!("{VAULT}{}/", ids[0]);
    let client = aws_client(&rig.world);
    let prefix = whole.trim_start_matches("s3://floe-vault-us-east-1/");
    client
        .delete_object()
        .bucket("floe-vault-us-east-1")
        .key(format!("{prefix}manifest.json"))
        .send()
        .await
        .expect("gone");
    let (code, _, stderr) = rig.world.json(&["plan", &roots[4], "null:"]).await;
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains(&format!("goes onto {}", ids[0])), "{stderr}");
}

fn aws_client(world: &World) -> aws_sdk_s3::Client {
    crate::archives::s3(world)
}
