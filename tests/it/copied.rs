//! Objects that S3 copies itself: what they are afterwards is read by the SDK's client, not by floe.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, CompletedMultipartUpload, CompletedPart, ServerSideEncryption};
use floe::engine::journal::{Record, Topic};
use floe::engine::protocol::{Command, DestinationState, Evidence, JobState, JobStatus, LeftOver, LeftOvers};
use floe::ids::JobId;
use floe::plan::{DestinationKind, Options, Pace, Verify};
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::units::Bytes;

use crate::archives::s3;
use crate::rig::{Rig, at_rest, end, only, row_when, rule, start};
use crate::support::World;

pub const BUCKET: &str = "floe-vault-us-east-1";
const IMAGE: &str = "images/base-debian-13.raw";
const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/0a1b2c3d-0000-4000-8000-000000000001";

/// What an object is, as S3 tells anybody.
pub type Head = aws_sdk_s3::operation::head_object::HeadObjectOutput;

pub async fn put(world: &World, key: &str, bytes: &[u8]) {
    let body = ByteStream::from(bytes.to_vec());
    s3(world).put_object().bucket(BUCKET).key(key).body(body).send().await.expect("written");
}

pub async fn head(world: &World, key: &str) -> Head {
    let asked = s3(world).head_object().bucket(BUCKET).key(key).checksum_mode(ChecksumMode::Enabled);
    asked.send().await.expect("an object")
}

pub async fn bytes(world: &World, key: &str) -> Vec<u8> {
    let got = s3(world).get_object().bucket(BUCKET).key(key).send().await.expect("an object");
    got.body.collect().await.expect("its body").into_bytes().to_vec()
}

pub async fn uploads(world: &World) -> usize {
    let all = s3(world).list_multipart_uploads().bucket(BUCKET).send().await.expect("a list");
    all.uploads().len()
}

/// An object of so many GiB, which costs nobody anything: the sandbox copies an image of 512 MiB again and again.
pub async fn large(world: &World, key: &str, gib: i32) {
    let s3 = s3(world);
    let begun = s3.create_multipart_upload().bucket(BUCKET).key(key).content_type("image/raw");
    let begun = begun.cache_control("max-age=60").metadata("owner", "web").tagging("team=disks").send().await;
    let id = begun.expect("begun").upload_id.expect("an id");
    let mut parts = Vec::new();
    for number in 1..=gib * 2 {
        let part = s3.upload_part_copy().bucket(BUCKET).key(key).upload_id(&id).part_number(number);
        let part = part.copy_source(format!("{BUCKET}/{IMAGE}")).send().await.expect("a part");
        let etag = part.copy_part_result.and_then(|result| result.e_tag).expect("its ETag");
        parts.push(CompletedPart::builder().part_number(number).e_tag(etag).build());
    }
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let done = s3.complete_multipart_upload().bucket(BUCKET).key(key).upload_id(&id).multipart_upload(parts);
    done.send().await.expect("put together");
    world.running.sandbox.counters().reset();
}

pub fn url(key: &str) -> String {
    format!("s3://{BUCKET}/{key}")
}

fn slow(ms: u64) -> Rule {
    only("UploadPartCopy", rule(Fault::Delay { ms, jitter: 0 }, 1.0))
}

fn faults(rules: Vec<Rule>) -> Faults {
    Faults { rules, ..Faults::default() }
}

/// What the log of a job says, in order.
pub fn said(rig: &Rig, job: JobId) -> Vec<(Topic, String)> {
    let told = floe::engine::told_of(&rig.state, job, |record| matches!(record, Record::Note(_))).expect("a journal");
    let note = |entry: floe::engine::journal::Entry| match entry.record {
        Record::Note(note) => Some((note.topic, note.text)),
        _ => None,
    };
    told.into_iter().filter_map(note).collect()
}

pub async fn assert_same(world: &World, from: &str, to: &str) {
    let (from, to) = (head(world, from).await, head(world, to).await);
    assert_eq!(from.content_length(), to.content_length());
    let sums = |head: &Head| [head.checksum_crc64_nvme(), head.checksum_crc32()].map(|sum| sum.map(str::to_owned));
    assert!(sums(&from).iter().any(Option::is_some));
    assert_eq!(sums(&from), sums(&to), "the checksum of the whole");
    assert_eq!((from.content_type(), from.cache_control()), (to.content_type(), to.cache_control()));
    assert_eq!((from.metadata(), from.tag_count()), (to.metadata(), to.tag_count()));
}

async fn done(rig: &Rig, from: &str, to: &str, options: Options) -> JobStatus {
    let client = rig.engine(None).await;
    let row = rig.copy(&client, &url(from), &[&url(to)], options).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    client.send(Command::Shutdown).await.expect("it ends");
    row
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_object_of_any_name_is_one_request_and_keeps_what_travels_with_it() {
    let rig = Rig::calm().await;
    let s3 = s3(&rig.world);
    let put = s3.put_object().bucket(BUCKET).key("a/backup.tar").body(ByteStream::from_static(b"not an image"));
    let put = put.content_type("application/x-tar").cache_control("no-store").metadata("made-by", "us");
    put.storage_class("STANDARD_IA".into()).tagging("a=b&c=d").send().await.expect("written");
    let (code, json, stderr) = rig
        .world
        .json(&["copy", "--yes", "--foreground", "-o", "json", &url("a/backup.tar"), &url("b/backup.tar")])
        .await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("copied by S3 in one request"), "{stderr}");
    let to = &json["destinations"][0];
    assert_eq!((to["evidence"].as_str(), to["strategy"].as_str()), (Some("service"), Some("native")), "{json}");
    assert_eq!((to["bytes"].as_u64(), to["objects"]["copied"].as_u64()), (Some(12), Some(1)), "{json}");
    assert_eq!((rig.asked("CopyObject"), rig.asked("GetObject"), rig.asked("CreateMultipartUpload")), (1, 0, 0));
    assert_eq!(bytes(&rig.world, "b/backup.tar").await, b"not an image");
    assert_same(&rig.world, "a/backup.tar", "b/backup.tar").await;
    assert_eq!(head(&rig.world, "b/backup.tar").await.storage_class().map(|c| c.as_str()), Some("STANDARD_IA"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_skipped_and_only_what_differs_is_set() {
    let rig = Rig::calm().await;
    put(&rig.world, "a.raw", b"the same bytes").await;
    done(&rig, "a.raw", "b.raw", Options::default()).await;
    let row = done(&rig, "a.raw", "b.raw", Options::default()).await;
    assert_eq!((row.destinations[0].copied.as_ref().expect("counts").skipped, rig.asked("CopyObject")), (1, 1));

    let tags = vec![("team".to_owned(), "disks".to_owned())];
    let tagged = Options { tags, ..Options::default() };
    let row = done(&rig, "a.raw", "b.raw", tagged.clone()).await;
    assert_eq!(row.destinations[0].copied.as_ref().expect("counts").set, 1);
    assert_eq!((rig.asked("CopyObject"), rig.asked("PutObjectTagging")), (1, 1), "tags alone need no copy");
    assert_eq!(head(&rig.world, "b.raw").await.tag_count(), Some(1));

    let colder = Options { storage_class: Some("STANDARD_IA".to_owned()), ..tagged };
    done(&rig, "a.raw", "b.raw", colder.clone()).await;
    assert_eq!((rig.asked("CopyObject"), rig.asked("PutObjectTagging")), (2, 1), "onto itself");
    let now = head(&rig.world, "b.raw").await;
    assert_eq!((now.storage_class().map(|c| c.as_str()), now.tag_count()), (Some("STANDARD_IA"), Some(1)));
    let row = done(&rig, "a.raw", "b.raw", Options { force_copy: true, ..colder }).await;
    assert_eq!((row.destinations[0].copied.as_ref().expect("counts").copied, rig.asked("CopyObject")), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_object_is_replaced_only_when_that_was_said_and_what_it_says_of_itself_is_not_believed() {
    let rig = Rig::calm().await;
    put(&rig.world, "a.raw", b"some bytes").await;
    let etag = head(&rig.world, "a.raw").await.e_tag().expect("an ETag").trim_matches('"').to_owned();
    // It claims to be the copy, and is as long.
    let liar = s3(&rig.world).put_object().bucket(BUCKET).key("b.raw").body(ByteStream::from_static(b"evil bytes"));
    liar.metadata("source-etag", etag).send().await.expect("written");
    let plan = rig.plan(&url("a.raw"), &[&url("b.raw")], Options::default()).await;
    let refusal = plan.refusal().expect("refused");
    assert!(refusal.what.contains("another object is there already"), "{refusal}");
    assert_eq!(refusal.kind.exit_code(), 5);
    done(&rig, "a.raw", "b.raw", Options { force: true, ..Options::default() }).await;
    assert_eq!(bytes(&rig.world, "b.raw").await, b"some bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_over_5_gb_is_copied_in_the_parts_that_its_plan_predicted() {
    let rig = Rig::calm().await;
    large(&rig.world, "six.raw", 6).await;
    let client = rig.engine(None).await;
    for (nth, (options, count)) in [
        (Options::default(), 48),
        (Options { pace: Pace::CostEfficient, ..Options::default() }, 6),
        (Options { part_size: Some(Bytes::mib(500)), concurrency: Some(3), ..Options::default() }, 13),
    ]
    .into_iter()
    .enumerate()
    {
        let to = format!("six-{nth}.raw");
        let plan = rig.plan(&url("six.raw"), &[&url(&to)], options).await;
        let DestinationKind::Copied { parts, .. } = &plan.items[0].destinations[0].kind else { panic!("a copy") };
        assert_eq!(parts.count, count);
        let copies = plan.cost.parts.iter().find(|part| part.name.starts_with("S3 COPY")).expect("its cost");
        rig.world.running.sandbox.counters().reset();
        let row = end(&client, start(&client, &plan).await).await;
        assert_eq!(row.state, JobState::Done, "{:?}", row.error);
        let asked = |api| rig.asked(api);
        assert_eq!(asked("UploadPartCopy"), u64::from(count));
        let all = asked("UploadPartCopy") + asked("CreateMultipartUpload") + asked("CompleteMultipartUpload");
        assert!((copies.quantity - all as f64).abs() < 0.5, "{} against {all}", copies.quantity);
        assert_same(&rig.world, "six.raw", &to).await;
        assert_eq!(row.destinations[0].evidence, Evidence::Service);
        assert_eq!((row.blocks_done, row.blocks_total.value), (Bytes::gib(6).blocks(), Bytes::gib(6).blocks()));
        assert_eq!((row.bytes_read, row.bytes_written), (Bytes::ZERO, Bytes::gib(6)));
    }
    assert_eq!(uploads(&rig.world).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_length_of_parts_follows_what_is_measured_under_load_and_the_money_holds_it() {
    let rig = Rig::calm().await;
    large(&rig.world, "many.raw", 34).await;
    let plan = rig.plan(&url("many.raw"), &[&url("copy.raw")], Options::default()).await;
    let DestinationKind::Copied { parts, .. } = &plan.items[0].destinations[0].kind else { panic!("a copy") };
    assert_eq!((parts.count, parts.most), (272, 1500));
    let client = rig.engine(None).await;
    let job = start(&client, &plan).await;
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    // Here copies take no time at all: parts get longer, four times at a look.
    let asked = rig.asked("UploadPartCopy");
    assert!((32..272).contains(&asked), "{asked} parts");
    assert_eq!(rig.asked("CreateMultipartUpload"), 1, "one upload, whatever its parts are");
    assert!(said(&rig, job).iter().any(|(_, text)| text.contains("under load")), "{:?}", said(&rig, job));
    assert_same(&rig.world, "many.raw", "copy.raw").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_s3_makes_the_lanes_go_down_and_come_back() {
    let throttle = Rule { skip: 30, times: Some(20), ..only("UploadPartCopy", rule(Fault::ThrottleAccount, 1.0)) };
    let rig = Rig::calm().await;
    large(&rig.world, "twelve.raw", 12).await;
    rig.world.running.sandbox.set_faults(faults(vec![throttle]));
    let client = rig.engine(None).await;
    let options = Options { part_size: Some(Bytes::mib(72)), ..Options::default() };
    let plan = rig.plan(&url("twelve.raw"), &[&url("copy.raw")], options).await;
    let job = start(&client, &plan).await;
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_eq!(row.troubles.throttles(), 20);
    let moves: Vec<(u32, u32)> = said(&rig, job)
        .into_iter()
        .filter(|(topic, _)| *topic == Topic::Lanes)
        .filter_map(|(_, text)| {
            let (from, rest) = text.split_once(" → ")?;
            Some((from.parse().ok()?, rest.split(':').next()?.parse().ok()?))
        })
        .collect();
    let down = moves.iter().position(|(from, to)| to < from).expect("it went down");
    let (before, low) = moves[down];
    assert_eq!(low, before / 2, "halved once for all that were on their way: {moves:?}");
    // Lines that are alike are folded into one, so not every step is there; the way down and the way up are.
    let lowest = moves[down..].iter().map(|(from, to)| *from.min(to)).min().expect("moves");
    let later = moves[down..].iter().filter(|(from, to)| to > from).map(|(_, to)| *to).max().unwrap_or_default();
    assert!(later > lowest, "and came back: {moves:?}");
    assert!(later <= 64, "never past its pace: {moves:?}");
    assert_same(&rig.world, "twelve.raw", "copy.raw").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_hangs_holds_up_no_other_part() {
    let rig = Rig::calm().await;
    large(&rig.world, "six.raw", 6).await;
    let hang = Rule { times: Some(1), ..only("UploadPartCopy", rule(Fault::Hang, 1.0)) };
    rig.world.running.sandbox.set_faults(faults(vec![hang]));
    let client = rig.engine(None).await;
    let plan = rig.plan(&url("six.raw"), &[&url("copy.raw")], Options::default()).await;
    let job = start(&client, &plan).await;
    let all_but_one = Bytes(Bytes::gib(6).0 - Bytes::mib(128).0);
    row_when(&client, job, |row| row.destinations[0].bytes == all_but_one).await;
    client.send(Command::Cancel(job, LeftOvers::CleanUp)).await.expect("cancelled");
    let row = row_when(&client, job, at_rest).await;
    assert_eq!((row.state, uploads(&rig.world).await), (JobState::Cancelled, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_copy_goes_on_with_the_parts_that_it_has() {
    let rig = Rig::calm().await;
    large(&rig.world, "six.raw", 6).await;
    rig.world.running.sandbox.set_faults(faults(vec![slow(100)]));
    let client = rig.engine(None).await;
    let options = Options { concurrency: Some(4), ..Options::default() };
    let plan = rig.plan(&url("six.raw"), &[&url("copy.raw")], options).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.destinations[0].bytes >= Bytes::gib(1)).await;
    client.send(Command::Pause(job)).await.expect("paused");
    let row = row_when(&client, job, at_rest).await;
    assert_eq!((row.state, uploads(&rig.world).await), (JobState::Paused, 1));
    assert_eq!(row.left_overs, [LeftOver::Upload(url("copy.raw"))]);
    rig.heal();
    client.send(Command::Resume(job)).await.expect("it goes on");
    let row = row_when(&client, job, |row| row.state == JobState::Done || row.state == JobState::Failed).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let asked = rig.asked("UploadPartCopy");
    assert!((48..=48 + 4).contains(&asked), "{asked}: at most what was on its way is copied again");
    assert_eq!((rig.asked("CreateMultipartUpload"), uploads(&rig.world).await), (1, 0));
    assert_same(&rig.world, "six.raw", "copy.raw").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_killed_goes_on_in_another_process() {
    let rig = Rig::calm().await;
    large(&rig.world, "six.raw", 6).await;
    rig.world.running.sandbox.set_faults(faults(vec![slow(100)]));
    let args = ["copy", "--yes", "--foreground", "--concurrency", "4", &url("six.raw"), &url("copy.raw")];
    let mut child = rig.world.floe(&args).stderr(std::process::Stdio::null()).spawn().expect("floe runs");
    while rig.asked("UploadPartCopy") < 12 {
        assert!(child.try_wait().expect("looked at").is_none(), "it runs");
        tokio::task::yield_now().await;
    }
    child.kill().expect("killed");
    child.wait().expect("gone");
    rig.heal();
    let (code, json, stderr) = rig.world.json(&["jobs", "resume", "--foreground", "-o", "json"]).await;
    assert_eq!((code, json["state"].as_str()), (0, Some("done")), "{stderr}");
    let asked = rig.asked("UploadPartCopy");
    assert!((48..=48 + 8).contains(&asked), "{asked}");
    assert_eq!((rig.asked("CreateMultipartUpload"), uploads(&rig.world).await), (1, 0));
    assert_same(&rig.world, "six.raw", "copy.raw").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_gone_is_begun_anew_and_that_is_said() {
    let rig = Rig::calm().await;
    large(&rig.world, "six.raw", 6).await;
    rig.world.running.sandbox.set_faults(faults(vec![slow(100)]));
    let client = rig.engine(None).await;
    let plan = rig.plan(&url("six.raw"), &[&url("copy.raw")], Options::default()).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.destinations[0].bytes > Bytes::ZERO).await;
    client.send(Command::Pause(job)).await.expect("paused");
    row_when(&client, job, at_rest).await;
    let listed = s3(&rig.world).list_multipart_uploads().bucket(BUCKET).send().await.expect("a list");
    let id = listed.uploads()[0].upload_id().expect("an id").to_owned();
    let gone = s3(&rig.world).abort_multipart_upload().bucket(BUCKET).key("copy.raw").upload_id(id).send().await;
    gone.expect("given up by somebody else");
    rig.heal();
    client.send(Command::Resume(job)).await.expect("it goes on");
    let row = row_when(&client, job, |row| row.state == JobState::Done || row.state == JobState::Failed).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert!(said(&rig, job).iter().any(|(_, text)| text.contains("begun anew")));
    assert_eq!(rig.asked("CreateMultipartUpload"), 2);
    assert_same(&rig.world, "six.raw", "copy.raw").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_fails_waits_for_its_siblings_and_leaves_no_upload() {
    let rig = Rig::calm().await;
    large(&rig.world, "six.raw", 6).await;
    let deny = Rule { skip: 9, times: Some(1), ..only("UploadPartCopy", rule(Fault::Deny, 1.0)) };
    rig.world.running.sandbox.set_faults(faults(vec![deny, slow(50)]));
    let client = rig.engine(None).await;
    let row = rig.copy(&client, &url("six.raw"), &[&url("copy.raw")], Options::default()).await;
    assert_eq!((row.state, row.destinations[0].state), (JobState::Failed, DestinationState::Failed));
    let error = row.error.expect("why");
    assert!(error.what.contains("part") && error.has_code("AccessDenied"), "{error}");
    assert_eq!(uploads(&rig.world).await, 0, "nothing that is paid for is left");
    assert_eq!(rig.asked("AbortMultipartUpload"), 1, "once, because nothing was on its way any more");
    let asked = rig.asked("UploadPartCopy");
    assert!(asked < 48, "{asked}: nothing was begun after the failure");
    assert_eq!(rig.asked("CompleteMultipartUpload"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_changes_fails_the_copy_and_says_what_changed() {
    let rig = Rig::calm().await;
    large(&rig.world, "six.raw", 6).await;
    rig.world.running.sandbox.set_faults(faults(vec![slow(100)]));
    let client = rig.engine(None).await;
    let options = Options { concurrency: Some(2), ..Options::default() };
    let plan = rig.plan(&url("six.raw"), &[&url("copy.raw")], options).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.destinations[0].bytes > Bytes::ZERO).await;
    put(&rig.world, "six.raw", b"another one").await;
    let row = row_when(&client, job, at_rest).await;
    assert_eq!(row.state, JobState::Failed);
    let error = row.error.expect("why").to_string();
    assert!(
        error.contains("changed while it was copied") && error.contains("now ") && error.contains("11 B"),
        "{error}"
    );
    assert_eq!(uploads(&rig.world).await, 0);
    // And one that changed between plan and run.
    put(&rig.world, "a.raw", b"one").await;
    let plan = rig.plan(&url("a.raw"), &[&url("b.raw")], Options::default()).await;
    put(&rig.world, "a.raw", b"two").await;
    let row = end(&client, start(&client, &plan).await).await;
    assert!(row.error.expect("why").to_string().contains("changed"), "{:?}", row.state);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_inside_a_200_and_a_lost_answer_are_no_success_and_no_failure() {
    let rig = Rig::calm().await;
    put(&rig.world, "a.raw", b"bytes").await;
    large(&rig.world, "six.raw", 6).await;
    let once = |api: &str, fault| Rule { times: Some(1), ..only(api, rule(fault, 1.0)) };
    rig.world.running.sandbox.set_faults(faults(vec![
        once("CopyObject", Fault::LateError),
        once("CopyObject", Fault::ResetAfter),
        once("UploadPartCopy", Fault::LateError),
        once("CompleteMultipartUpload", Fault::ResetAfter),
    ]));
    done(&rig, "a.raw", "b.raw", Options::default()).await;
    assert_eq!(bytes(&rig.world, "b.raw").await, b"bytes");
    let row = done(&rig, "six.raw", "copy.raw", Options::default()).await;
    assert!(row.troubles.retries >= 2);
    assert_same(&rig.world, "six.raw", "copy.raw").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_level_of_proof_is_what_it_says() {
    let rig = Rig::calm().await;
    large(&rig.world, "six.raw", 6).await;
    put(&rig.world, "a.raw", &vec![7; 9_000_000]).await;
    let level = |verify| Options { verify, force_copy: true, ..Options::default() };
    for (verify, evidence) in [
        (Verify::None, Evidence::Claimed),
        (Verify::Listing, Evidence::Service),
        (Verify::Checksum, Evidence::Service),
        (Verify::Full, Evidence::ReRead),
    ] {
        let row = done(&rig, "a.raw", "b.raw", level(verify)).await;
        assert_eq!(row.destinations[0].evidence, evidence, "{verify:?}");
    }
    assert_eq!(rig.asked("GetObject"), 6, "three pieces of each");

    // Only checksums of its parts: nothing that the whole could be compared by.
    let s3 = s3(&rig.world);
    let begun = s3.create_multipart_upload().bucket(BUCKET).key("parts.raw").checksum_algorithm("SHA256".into());
    let id = begun.send().await.expect("begun").upload_id.expect("an id");
    let part = s3.upload_part().bucket(BUCKET).key("parts.raw").upload_id(&id).part_number(1);
    let part = part.checksum_algorithm("SHA256".into()).body(ByteStream::from_static(b"one part")).send().await;
    let part = part.expect("a part");
    let named = CompletedPart::builder().part_number(1).set_e_tag(part.e_tag).set_checksum_sha256(part.checksum_sha256);
    let parts = CompletedMultipartUpload::builder().parts(named.build()).build();
    let ended = s3.complete_multipart_upload().bucket(BUCKET).key("parts.raw").upload_id(&id).multipart_upload(parts);
    ended.send().await.expect("put together");
    let refused = rig.plan(&url("parts.raw"), &[&url("c.raw")], level(Verify::Checksum)).await.refusal();
    assert!(refused.expect("refused").what.contains("no checksum of the whole"));
    let row = done(&rig, "parts.raw", "c.raw", level(Verify::Listing)).await;
    assert_eq!(row.destinations[0].evidence, Evidence::Claimed, "size is no proof, and is not called one");
    let row = done(&rig, "parts.raw", "c.raw", level(Verify::Full)).await;
    assert_eq!(row.destinations[0].evidence, Evidence::ReRead);
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_stays_what_it_was_or_gets_more() {
    let rig = Rig::calm().await;
    let put = s3(&rig.world).put_object().bucket(BUCKET).key("a.raw").body(ByteStream::from_static(b"secret"));
    put.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(KEY).send().await.expect("written");
    done(&rig, "a.raw", "b.raw", Options::default()).await;
    let there = head(&rig.world, "b.raw").await;
    assert_eq!(
        (there.server_side_encryption(), there.ssekms_key_id()),
        (Some(&ServerSideEncryption::AwsKms), Some(KEY))
    );
    let far = "s3://floe-vault-eu-west-1/b.raw";
    let plan = rig.plan(&url("a.raw"), &[far], Options::default()).await;
    let DestinationKind::Copied { encryption, .. } = &plan.items[0].destinations[0].kind else { panic!("a copy") };
    assert!(encryption.contains("alias/aws/s3"), "{encryption}");
    let transfer = plan.cost.parts.iter().find(|part| part.name == "transfer us-east-1 → eu-west-1");
    assert!(transfer.is_some(), "{:?}", plan.cost.parts);
    let client = rig.engine(None).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
}

/// Half a GiB from two regions whose transfer costs differ, and within one: the table of `assets/prices.toml`, read here by
/// its lines, is what each pair costs.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_between_two_regions_is_priced_by_that_pair() {
    let rig = Rig::calm().await;
    let table = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/prices.toml")).expect("the table");
    let out_of = |region: &str| -> f64 {
        let lines = table.lines().skip_while(|line| *line != format!("[regions.{region}]"));
        let out = lines.skip(1).take_while(|line| !line.starts_with('[')).find_map(|line| line.strip_prefix("out = "));
        out.and_then(|price| price.trim().parse().ok()).expect("a price")
    };
    assert!(out_of("sa-east-1") > 5.0 * out_of("us-east-1"), "a flat price would be seen");
    let there = "s3://floe-vault-sa-east-1/there.raw";
    done_to(&rig, IMAGE, there).await;
    for (from, to, source) in [
        ("us-east-1", "us-west-2", url(IMAGE)),
        ("us-east-1", "sa-east-1", url(IMAGE)),
        ("sa-east-1", "us-east-1", there.to_owned()),
        ("sa-east-1", "eu-west-1", there.to_owned()),
        ("us-east-1", "us-east-1", url(IMAGE)),
    ] {
        let plan = rig.plan(&source, &[&format!("s3://floe-vault-{to}/priced.raw")], Options::default()).await;
        let transfers: Vec<_> = plan.cost.parts.iter().filter(|part| part.name.starts_with("transfer")).collect();
        if from == to {
            assert!(transfers.iter().all(|part| part.usd.value.0 == 0.0), "{transfers:?}");
            continue;
        }
        assert_eq!(transfers.len(), 1, "{transfers:?}");
        assert_eq!(
            (transfers[0].name.as_str(), transfers[0].unit.as_str()),
            (&*format!("transfer {from} → {to}"), "GiB")
        );
        let usd = 0.5 * out_of(from);
        assert!((transfers[0].usd.value.0 - usd).abs() < 1e-9, "{from} → {to}: {:?}, not {usd}", transfers[0]);
    }
}

async fn done_to(rig: &Rig, from: &str, to: &str) {
    let client = rig.engine(None).await;
    let row = rig.copy(&client, &url(from), &[to], Options::default()).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    client.send(Command::Shutdown).await.expect("it ends");
}
