//! Raw images in S3 as destinations: what is under the key is read by the SDK's client, and compared with the truth.

use aws_sdk_s3::types::{ChecksumMode, ChecksumType};
use floe::engine::protocol::{Command, DestinationState, Evidence, JobState, LeftOvers};
use floe::plan::{DestinationKind, Options, Plan, Verify};
use floe::sandbox::faults::{Fault, Faults};
use floe::units::Bytes;

use crate::archives::{keys, s3};
use crate::rig::{Rig, SMALL, at_rest, end, only, row_when, rule, start};
use crate::support::{BLOCK, Contents, World, assert_image, disk};

const BUCKET: &str = "floe-vault-us-east-1";
const IMAGE: &str = "s3://floe-vault-us-east-1/images/disk.img";
const KEY: &str = "images/disk.img";

/// What is under a key.
pub async fn object(world: &World, key: &str) -> Vec<u8> {
    let got = s3(world).get_object().bucket(BUCKET).key(key).send().await.expect("an object");
    got.body.collect().await.expect("its body").into_bytes().to_vec()
}

/// Whether an object is the image of a volume of so many GiB that holds this and nothing else.
pub async fn assert_object(world: &World, key: &str, gib: usize, contents: &Contents) {
    let path = world.path("object.raw");
    std::fs::write(&path, object(world, key).await).expect("a file");
    assert_image(&path, gib, contents);
    std::fs::remove_file(path).expect("removed");
}

/// Uploads that were begun and not ended, of any key.
pub async fn uploads(world: &World) -> usize {
    let listed = s3(world).list_multipart_uploads().bucket(BUCKET).send().await.expect("a listing");
    listed.uploads().len()
}

/// CRC64NVME by its definition, a bit at a time: reflected polynomial of NVMe.
fn crc64(data: &[u8]) -> u64 {
    let table: Vec<u64> = (0..256u64)
        .map(|byte| (0..8).fold(byte, |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x9A6C_9329_AC4B_C9B5 } else { crc >> 1 }))
        .collect();
    !data.iter().fold(!0, |crc: u64, byte| table[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ crc >> 8)
}

/// The same plan, its object cut otherwise: what a volume of terabytes is cut into, on a small one.
pub fn cut(mut plan: Plan, piece: u32, gathered: u32) -> Plan {
    for to in plan.items.iter_mut().flat_map(|item| &mut item.destinations) {
        if let DestinationKind::Object { layout, .. } = &mut to.kind {
            (layout.piece, layout.gathered) = (piece, gathered);
        }
    }
    plan
}

async fn small(rig: &Rig) -> Contents {
    rig.world.contents("prod", "us-east-1", "snap-0feed000000b00701").await
}

fn requests(rig: &Rig, api: &str) -> u64 {
    rig.world.running.sandbox.counters().picture().api(api).requests
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_becomes_an_object_whose_checksum_is_of_all_of_it() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let plan = rig.plan(SMALL, &[IMAGE], Options { verify: Verify::Full, ..Options::default() }).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_eq!(row.destinations[0].state, DestinationState::Completed);
    assert_eq!(row.destinations[0].evidence, Evidence::ReRead);
    assert_object(&rig.world, KEY, 1, &small(&rig).await).await;
    let asked = s3(&rig.world).head_object().bucket(BUCKET).key(KEY).checksum_mode(ChecksumMode::Enabled);
    let head = asked.send().await.expect("a head");
    assert_eq!(head.checksum_type(), Some(&ChecksumType::FullObject));
    let sum = base64_simd::STANDARD.encode_to_string(crc64(&object(&rig.world, KEY).await).to_be_bytes());
    assert_eq!(head.checksum_crc64_nvme(), Some(&*sum), "by its definition");
    assert_eq!(uploads(&rig.world).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_requests_are_those_that_the_plan_predicted() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let plan = rig.plan(SMALL, &[IMAGE], Options::default()).await;
    let predicted = plan.cost.parts.iter().find(|part| part.name.starts_with("S3 PUT")).expect("a line");
    let apis = ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "UploadPartCopy", "PutObject"];
    let before: u64 = apis.iter().map(|api| requests(&rig, api)).sum();
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let sent: u64 = apis.iter().map(|api| requests(&rig, api)).sum::<u64>() - before;
    assert!((sent as f64 - predicted.quantity).abs() < 0.5, "{sent} sent, {} predicted", predicted.quantity);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_an_odd_tail_comes_back_byte_for_byte() {
    use std::os::unix::fs::FileExt as _;
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let image = rig.world.path("disk.img");
    let file = std::fs::File::create(&image).expect("an image");
    file.set_len(50 * BLOCK as u64 + 77).expect("its length");
    file.write_all_at(b"first", 0).expect("data");
    file.write_all_at(&vec![9; BLOCK + 5], 17 * BLOCK as u64 - 3).expect("data");
    file.write_all_at(b"tail", 50 * BLOCK as u64 + 73).expect("data");
    let row = rig.copy(&client, image.to_str().expect("text"), &[IMAGE], Options::default()).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert!(object(&rig.world, KEY).await == std::fs::read(&image).expect("the image"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_of_more_pieces_than_s3_takes_parts_goes_through_temporary_objects() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let source = disk(&rig.world, "us-east-1", &[(0, 1), (9, 2), (10, 3), (700, 4), (2047, 5)]).await;
    let truth = rig.world.contents("prod", "us-east-1", &source).await;
    let plan = rig.plan(&format!("us-east-1:{source}"), &[IMAGE], Options::default()).await;
    let plan = cut(plan, 10, 7);
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_object(&rig.world, KEY, 1, &truth).await;
    assert_eq!(keys(&rig.world, "images/").await, [KEY], "nothing temporary is left");
    assert_eq!(uploads(&rig.world).await, 0);
}
