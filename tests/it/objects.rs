//! Raw images in S3 as destinations: what is under the key is read by the SDK's client, and compared with the truth.

use aws_sdk_s3::types::{ChecksumMode, ChecksumType};
use floe::engine::Client;
use floe::engine::protocol::{Command, DestinationState, Evidence, JobState, LeftOvers};
use floe::ids::JobId;
use floe::plan::{DestinationKind, Level, OmitZeros, Options, Plan, Verify};
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::units::Bytes;

use crate::archives::{keys, s3};
use crate::chains::assert_holds;
use crate::rig::{Rig, SMALL, at_rest, end, engine, only, row_when, rule, start};
use crate::support::{BLOCK, Contents, World};

pub const BUCKET: &str = "floe-vault-us-east-1";
pub const IMAGE: &str = "s3://floe-vault-us-east-1/images/disk.img";
pub const KEY: &str = "images/disk.img";

/// What is under a key.
pub async fn object(world: &World, key: &str) -> Vec<u8> {
    let got = s3(world).get_object().bucket(BUCKET).key(key).send().await.expect("an object");
    got.body.collect().await.expect("its body").into_bytes().to_vec()
}

/// Whether an object is the image of a volume of so many GiB that holds this and nothing else.
pub async fn assert_object(world: &World, key: &str, gib: u64, contents: &Contents) {
    use std::os::unix::fs::FileExt as _;
    const RANGE: u64 = 32 << 20;
    let (path, length) = (world.path("object.raw"), gib << 30);
    let (file, zeros) = (std::fs::File::create(&path).expect("a file"), vec![0; BLOCK]);
    file.set_len(length).expect("its length");
    let head = s3(world).head_object().bucket(BUCKET).key(key).send().await.expect("a head");
    assert_eq!(head.content_length(), i64::try_from(length).ok(), "the exact length of the volume");
    for at in (0..length).step_by(RANGE as usize) {
        let range = format!("bytes={at}-{}", at + RANGE - 1);
        let got = s3(world).get_object().bucket(BUCKET).key(key).range(range).send().await.expect("a range");
        let bytes = got.body.collect().await.expect("its body").into_bytes();
        assert_eq!(bytes.len() as u64, RANGE);
        for (block, nth) in bytes.chunks(BLOCK).zip(0..).filter(|(block, _)| **block != zeros[..]) {
            file.write_all_at(block, at + nth * BLOCK as u64).expect("written");
        }
    }
    assert_holds(&path, gib, contents);
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

/// An image of so many blocks and 77 bytes: each block is its own, but for gaps, in which nothing was written.
pub fn image(rig: &Rig, name: &str, blocks: u64, gaps: &[(u64, u64)]) -> String {
    use std::os::unix::fs::FileExt as _;
    let path = rig.world.path(name);
    let file = std::fs::File::create(&path).expect("an image");
    file.set_len(blocks * BLOCK as u64 + 77).expect("its length");
    for block in (0..blocks).filter(|block| !gaps.iter().any(|(from, to)| (from..to).contains(&block))) {
        let mut data = vec![u8::try_from(block % 251).expect("small") + 1; BLOCK];
        data[..8].copy_from_slice(&block.to_le_bytes());
        file.write_all_at(&data, block * BLOCK as u64).expect("data");
    }
    file.write_all_at(b"tail", blocks * BLOCK as u64 + 73).expect("data");
    path.display().to_string()
}

pub async fn assert_is(rig: &Rig, image: &str) {
    assert!(object(&rig.world, KEY).await == std::fs::read(image).expect("the image"), "byte for byte");
    assert_eq!(uploads(&rig.world).await, 0, "no upload is left");
    let names = keys(&rig.world, "images/").await;
    assert!(names.iter().all(|name| !name.contains(".floe-")), "nothing temporary is left: {names:?}");
}

/// Waits until the sandbox has seen something.
pub async fn seen(what: impl Fn() -> bool) {
    let mut tries = 0;
    while !what() {
        tries += 1;
        assert!(tries < 12_000, "it comes");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

pub async fn put(rig: &Rig, key: &str, bytes: &'static [u8]) {
    let body = aws_sdk_s3::primitives::ByteStream::from_static(bytes);
    s3(&rig.world).put_object().bucket(BUCKET).key(key).body(body).send().await.expect("written");
}

/// Pieces of 5 MiB, the least that S3 takes.
const TIGHT: Bytes = Bytes::mib(16);

pub fn tight() -> Options {
    Options { memory: Some(TIGHT), ..Options::default() }
}

async fn small(rig: &Rig) -> Contents {
    rig.world.contents("prod", "us-east-1", "snap-0feed000000b00701").await
}

pub fn requests(rig: &Rig, api: &str) -> u64 {
    rig.world.running.sandbox.counters().picture().api(api).requests
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_becomes_an_object_that_is_read_back() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let plan = rig.plan(SMALL, &[IMAGE], Options { verify: Verify::Full, ..Options::default() }).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_eq!(row.destinations[0].state, DestinationState::Completed);
    assert_eq!(row.destinations[0].evidence, Evidence::ReRead);
    assert_object(&rig.world, KEY, 1, &small(&rig).await).await;
    assert_eq!(uploads(&rig.world).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checksum_that_s3_keeps_is_of_the_whole_object() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let image = image(&rig, "disk.img", 25, &[(4, 6)]);
    let row = rig.copy(&client, &image, &[IMAGE], tight()).await;
    assert_eq!(row.destinations[0].evidence, Evidence::Service);
    assert_is(&rig, &image).await;
    let asked = s3(&rig.world).head_object().bucket(BUCKET).key(KEY).checksum_mode(ChecksumMode::Enabled);
    let head = asked.send().await.expect("a head");
    assert_eq!(head.checksum_type(), Some(&ChecksumType::FullObject));
    let sum = base64_simd::STANDARD.encode_to_string(crc64(&object(&rig.world, KEY).await).to_be_bytes());
    assert_eq!(head.checksum_crc64_nvme(), Some(&*sum), "by its definition");
}

/// Requests of the PUT class.
fn puts(rig: &Rig) -> u64 {
    let apis = [
        "CreateMultipartUpload",
        "UploadPart",
        "CompleteMultipartUpload",
        "UploadPartCopy",
        "PutObject",
        "ListObjectsV2",
        "ListMultipartUploads",
    ];
    apis.iter().map(|api| requests(rig, api)).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn its_requests_are_those_that_the_plan_predicted() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let image = image(&rig, "dense.img", 85, &[]);
    for (to, omit, dense) in
        [(IMAGE, OmitZeros::Off, true), ("s3://floe-vault-us-east-1/images/2.img", OmitZeros::Holes, false)]
    {
        let plan = rig.plan(&image, &[to], Options { omit_zeros: omit, ..tight() }).await;
        let predicted = plan.cost.parts.iter().find(|part| part.name.starts_with("S3 PUT")).expect("a line");
        let before = puts(&rig);
        let row = end(&client, start(&client, &plan).await).await;
        assert_eq!(row.state, JobState::Done, "{:?}", row.error);
        #[expect(clippy::cast_precision_loss, reason = "a few requests")]
        let sent = (puts(&rig) - before) as f64;
        assert!(sent <= predicted.quantity, "{sent} sent, {} predicted", predicted.quantity);
        // A file's holes are found when it is read: an object of zeros is the most that they may add.
        assert_eq!(predicted.counted, floe::units::Sure::AtMost);
        assert!(!dense || predicted.quantity - sent < 1.5, "{sent} sent, {} predicted", predicted.quantity);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_holes_and_an_odd_tail_comes_back_byte_for_byte() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let image = image(&rig, "disk.img", 123, &[(3, 5), (20, 74)]);
    let row = rig.copy(&client, &image, &[IMAGE], tight()).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_is(&rig, &image).await;
    assert!(requests(&rig, "UploadPartCopy") >= 4, "S3 copies zeros instead of taking them");
}

/// What a volume of tens of TiB is cut into, on a small one.
#[tokio::test(flavor = "multi_thread")]
async fn a_volume_of_more_pieces_than_s3_takes_parts_goes_through_temporary_objects() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let image = image(&rig, "disk.img", 245, &[(3, 5), (40, 121), (180, 181)]);
    let plan = cut(rig.plan(&image, &[IMAGE], Options { verify: Verify::Full, ..Options::default() }).await, 10, 4);
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_is(&rig, &image).await;
    let parts = s3(&rig.world).head_object().bucket(BUCKET).key(KEY).part_number(1).send().await.expect("a head");
    assert_eq!(parts.parts_count(), Some(7), "25 pieces, four a part");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_lane_and_the_least_memory_are_enough() {
    let rig = Rig::calm().await;
    let source = crate::archives::numbered(&rig, 60).await;
    let truth = rig.world.contents("prod", "us-east-1", &source).await;
    let source = format!("us-east-1:{source}");
    let few = Options { concurrency: Some(1), ..Options::default() };
    let plan = rig.plan_within(&source, &[IMAGE], few.clone(), Some(Bytes::mib(6))).await;
    let said = plan.refusal().expect("too little");
    assert!(said.what.contains("below the least"), "{said}");
    let least = Bytes::mib(12);
    let client = engine(&rig.state, &rig.aws, Some(least)).await.expect("an engine");
    let plan = rig.plan_within(&source, &[IMAGE], few, Some(least)).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_object(&rig.world, KEY, 1, &truth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_cut_below_one_part_waits_with_the_figures_and_goes_on_when_there_is_room() {
    let slow = only("GetSnapshotBlock", rule(Fault::Delay { ms: 300, jitter: 0 }, 1.0));
    let rig = Rig::with(Faults { rules: vec![slow], ..Faults::default() }).await;
    let source = crate::archives::numbered(&rig, 200).await;
    let truth = rig.world.contents("prod", "us-east-1", &source).await;
    let client = engine(&rig.state, &rig.aws, Some(Bytes::mib(64))).await.expect("an engine");
    let options = Options { concurrency: Some(8), ..Options::default() };
    let plan = rig.plan_within(&format!("us-east-1:{source}"), &[IMAGE], options, Some(Bytes::mib(64))).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.blocks_done.0 > 8).await;
    client.send(Command::Memory(Bytes::mib(6))).await.expect("cut");
    let waits = row_when(&client, job, |row| row.state == JobState::Waiting).await;
    assert!(format!("{:?}", waits.error).contains("needs"), "{:?}", waits.error);
    rig.heal();
    client.send(Command::Memory(Bytes::mib(64))).await.expect("raised");
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_object(&rig.world, KEY, 1, &truth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_over_s3_costs_requests_and_no_byte() {
    let storm =
        [Fault::InternalError, Fault::Unavailable, Fault::ResetBefore, Fault::ResetAfter, Fault::ThrottleAccount];
    let apis = ["CreateMultipartUpload", "UploadPart", "UploadPartCopy", "CompleteMultipartUpload", "HeadObject"];
    let rules = storm.into_iter().flat_map(|fault| apis.map(|api| only(api, rule(fault.clone(), 0.06))));
    let rig = Rig::with(Faults { seed: 11, rules: rules.collect(), ..Faults::default() }).await;
    let client = rig.engine(None).await;
    let image = image(&rig, "disk.img", 185, &[(30, 75)]);
    let plan = cut(rig.plan(&image, &[IMAGE], tight()).await, 10, 3);
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    rig.heal();
    assert_is(&rig, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_replaced_only_when_that_was_said_and_only_what_was_seen() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let image = image(&rig, "disk.img", 12, &[]);
    put(&rig, KEY, b"somebody's").await;
    let (code, said) = rig.refused(&image, IMAGE, Options::default()).await;
    assert!(code == 5 && said.contains("exists") && said.contains("--force"), "{code} {said}");
    let force = Options { force: true, ..Options::default() };
    let plan = rig.plan(&image, &[IMAGE], force.clone()).await;
    assert!(plan.findings.iter().any(|found| found.level == Level::Warning && found.text.contains("is replaced")));
    put(&rig, KEY, b"somebody else's").await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Failed, "another object than the plan saw");
    assert_eq!(object(&rig.world, KEY).await, b"somebody else's");
    let row = rig.copy(&client, &image, &[IMAGE], force).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert!(object(&rig.world, KEY).await == std::fs::read(&image).expect("the image"));
}

/// Somebody writes to the key while parts are on their way: If-None-Match at the end says so.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_somebody_writes_meanwhile_is_not_replaced() {
    let slow = only("CompleteMultipartUpload", rule(Fault::Delay { ms: 2000, jitter: 0 }, 1.0));
    let rig = Rig::with(Faults { rules: vec![slow], ..Faults::default() }).await;
    let client = rig.engine(None).await;
    let image = image(&rig, "disk.img", 45, &[]);
    let job = start(&client, &rig.plan(&image, &[IMAGE], tight()).await).await;
    seen(|| requests(&rig, "CompleteMultipartUpload") > 0).await;
    put(&rig, KEY, b"somebody's").await;
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Failed, "{:?}", row.error);
    assert!(format!("{:?}", row.error).contains("written by somebody else"), "{:?}", row.error);
    assert_eq!(object(&rig.world, KEY).await, b"somebody's");
    // What it left is found, and removed with it.
    client.send(Command::Cancel(job, LeftOvers::CleanUp)).await.expect("cancelled");
    row_when(&client, job, |row| row.state == JobState::Cancelled).await;
    assert_eq!((uploads(&rig.world).await, object(&rig.world, KEY).await), (0, b"somebody's".to_vec()));
}

async fn paused(rig: &Rig, gathered: u32) -> (Client, JobId, String) {
    let slow = only("UploadPart", rule(Fault::Delay { ms: 150, jitter: 0 }, 1.0));
    rig.world.running.sandbox.set_faults(Faults { rules: vec![slow], ..Faults::default() });
    let client = rig.engine(None).await;
    let image = image(rig, "disk.img", 205, &[(33, 35), (95, 145)]);
    let plan = cut(rig.plan(&image, &[IMAGE], Options { concurrency: Some(2), ..tight() }).await, 10, gathered);
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.blocks_done.0 >= 30).await;
    client.send(Command::Pause(job)).await.expect("paused");
    let row = row_when(&client, job, at_rest).await;
    assert_eq!(row.state, JobState::Paused, "{:?}", row.error);
    rig.heal();
    (client, job, image)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_was_interrupted_goes_on_and_sends_nothing_twice() {
    for gathered in [1, 3] {
        let rig = Rig::calm().await;
        let (client, job, image) = paused(&rig, gathered).await;
        client.send(Command::Shutdown).await.expect("it ends");
        drop(client);
        assert!(uploads(&rig.world).await > 0, "what was sent is kept");
        let before = requests(&rig, "UploadPart");
        let client = crate::rig::retry_start(&rig.state, &rig.aws).await;
        client.send(Command::Resume(job)).await.expect("resumed");
        let row = end(&client, job).await;
        assert_eq!(row.state, JobState::Done, "{:?}", row.error);
        assert_is(&rig, &image).await;
        // 21 pieces, of which S3 copies the four that hold nothing; two were in flight.
        assert!(requests(&rig, "UploadPart") <= 17 + 2, "{before} before");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_s3_does_not_know_any_more_is_begun_anew_and_said_so() {
    for gathered in [1, 3] {
        let rig = Rig::calm().await;
        let (client, job, image) = paused(&rig, gathered).await;
        let listed = s3(&rig.world).list_multipart_uploads().bucket(BUCKET).send().await.expect("a listing");
        for upload in listed.uploads() {
            let (key, id) = (upload.key().expect("a key"), upload.upload_id().expect("an id"));
            let abort = s3(&rig.world).abort_multipart_upload().bucket(BUCKET).key(key).upload_id(id);
            abort.send().await.expect("given up");
        }
        client.send(Command::Resume(job)).await.expect("resumed");
        let row = end(&client, job).await;
        assert_eq!(row.state, JobState::Done, "{:?}", row.error);
        assert_is(&rig, &image).await;
        let journal = std::fs::read_to_string(rig.world.path(&format!("state/jobs/{job}/events.ndjson"))).expect("it");
        assert!(journal.contains("everything is written again"), "it is said");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_object_that_is_cleaned_up_leaves_nothing() {
    for gathered in [1, 3] {
        let rig = Rig::calm().await;
        let (client, job, _) = paused(&rig, gathered).await;
        client.send(Command::Cancel(job, LeftOvers::CleanUp)).await.expect("cancelled");
        row_when(&client, job, |row| row.state == JobState::Cancelled).await;
        assert_eq!(uploads(&rig.world).await, 0);
        assert!(!keys(&rig.world, "images/").await.iter().any(|name| name.starts_with(KEY)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_object_that_is_kept_keeps_its_upload_until_it_is_removed() {
    let slow = only("UploadPart", rule(Fault::Delay { ms: 150, jitter: 0 }, 1.0));
    let rig = Rig::with(Faults { rules: vec![slow], ..Faults::default() }).await;
    let client = rig.engine(None).await;
    let image = image(&rig, "disk.img", 205, &[]);
    let plan = rig.plan(&image, &[IMAGE], Options { concurrency: Some(2), ..tight() }).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.blocks_done.0 >= 30).await;
    client.send(Command::Cancel(job, LeftOvers::Keep)).await.expect("cancelled");
    let row = row_when(&client, job, at_rest).await;
    assert!(uploads(&rig.world).await == 1, "a kept job keeps it");
    assert!(row.left_overs.iter().any(|left| left.to_string().contains("an unfinished upload of")), "{row:?}");
    client.send(Command::Cancel(job, LeftOvers::CleanUp)).await.expect("cleaned up");
    row_when(&client, job, |row| at_rest(row) && row.left_overs.is_empty()).await;
    assert_eq!(uploads(&rig.world).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_become_an_object_is_refused_with_a_sentence() {
    let rig = Rig::calm().await;
    let first = crate::chains::grown(&rig.world, "us-east-1", None, 1, &[(0, 1)]).await;
    let second = crate::chains::grown(&rig.world, "us-east-1", Some(&first), 1, &[(1, 1)]).await;
    let delta = format!("us-east-1:{first}..{second}");
    let (code, said) = rig.refused(&delta, IMAGE, Options::default()).await;
    assert!(code == 2 && said.contains("a base that can be changed in its place"), "{code} {said}");
    let full = Options { verify: Verify::Full, storage_class: Some("DEEP_ARCHIVE".to_owned()), ..Options::default() };
    let (code, said) = rig.refused(SMALL, IMAGE, full).await;
    assert!(code == 2 && said.contains("cannot be read back"), "{code} {said}");
}

/// A part that comes back damaged, or an object that somebody replaced: the look at the end finds it.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_replaced_before_it_is_proved_is_not_called_done() {
    let slow = only("HeadObject", Rule { skip: 3, ..rule(Fault::Delay { ms: 1500, jitter: 0 }, 1.0) });
    let rig = Rig::with(Faults { rules: vec![slow], ..Faults::default() }).await;
    let client = rig.engine(None).await;
    let image = image(&rig, "disk.img", 12, &[]);
    let job = start(&client, &rig.plan(&image, &[IMAGE], Options::default()).await).await;
    seen(|| requests(&rig, "HeadObject") >= 4).await;
    put(&rig, KEY, b"somebody's").await;
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Failed, "{:?}", row.error);
    assert!(format!("{:?}", row.error).contains("is not what this job put there"), "{:?}", row.error);
}

/// Class, key and tags as they were asked for, also where the object goes by way of temporary ones; those are kept
/// plainly, so that none is billed for a minimum time.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_kept_as_it_was_asked_for() {
    const KMS: &str = "arn:aws:kms:us-east-1:111122223333:key/0a1b2c3d-0000-4000-8000-000000000001";
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let image = image(&rig, "disk.img", 25, &[(4, 6)]);
    let options = Options {
        storage_class: Some("STANDARD_IA".to_owned()),
        kms_key: Some(KMS.to_owned()),
        tags: vec![("team".to_owned(), "disks & more".to_owned()), ("floe:x".to_owned(), String::new())],
        ..tight()
    };
    for gathered in [1, 2] {
        let plan = rig.plan(&image, &[IMAGE], Options { force: gathered > 1, ..options.clone() }).await;
        let piece = if let DestinationKind::Object { layout, .. } = &plan.items[0].destinations[0].kind {
            layout.piece
        } else {
            panic!("an object")
        };
        let row = end(&client, start(&client, &cut(plan, piece, gathered)).await).await;
        assert_eq!(row.state, JobState::Done, "{:?}", row.error);
        assert_is(&rig, &image).await;
        let head = s3(&rig.world).head_object().bucket(BUCKET).key(KEY).send().await.expect("a head");
        assert_eq!(head.storage_class().map(|class| class.as_str()), Some("STANDARD_IA"));
        assert_eq!(head.server_side_encryption().map(|sse| sse.as_str()), Some("aws:kms"));
        assert_eq!(head.ssekms_key_id(), Some(KMS));
        let tags = s3(&rig.world).get_object_tagging().bucket(BUCKET).key(KEY).send().await.expect("tags");
        let mut tags: Vec<_> = tags.tag_set().iter().map(|tag| (tag.key(), tag.value())).collect();
        tags.sort_unstable();
        assert_eq!(tags, [("floe:x", ""), ("team", "disks & more")]);
    }
}

/// The region of a bucket is found, wherever the source is, and the requests are signed for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_in_a_bucket_of_another_region_is_written_there() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let row = rig.copy(&client, SMALL, &["s3://floe-vault-eu-west-1/web.img"], Options::default()).await;
    assert_eq!(row.destinations[0].state, DestinationState::Completed, "{:?}", row.error);
    let plan = rig.plan(SMALL, &["s3://floe-vault-eu-west-1/web2.img"], Options::default()).await;
    let route = plan.items[0].destinations[0].region.as_ref().map(ToString::to_string);
    assert_eq!(route.as_deref(), Some("eu-west-1"));
}
