//! Buckets that keep versions: what S3 copies is the version that its plan saw, whatever was written or removed since.
#![expect(clippy::panic, reason = "helpers of tests fail the test")]

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use floe::engine::protocol::{Command, JobState};
use floe::plan::{DestinationKind, Level, Options, Plan, SourceKind};
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::units::Bytes;

use crate::archives::s3;
use crate::copied::{BUCKET, bytes, head, large, put, uploads, url};
use crate::rig::{Rig, at_rest, end, only, row_when, rule, start};
use crate::support::{BLOCK, Contents, World, sha256};

async fn versioning(world: &World, status: BucketVersioningStatus) {
    let to = VersioningConfiguration::builder().status(status).build();
    s3(world).put_bucket_versioning().bucket(BUCKET).versioning_configuration(to).send().await.expect("set");
}

/// A bucket that keeps versions, and the first two of one key.
async fn versioned() -> (Rig, String) {
    let rig = Rig::calm().await;
    versioning(&rig.world, BucketVersioningStatus::Enabled).await;
    put(&rig.world, "a.raw", b"the first").await;
    let first = head(&rig.world, "a.raw").await.version_id.expect("a version");
    (rig, first)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_keeps_versions_as_s3_does() {
    let (rig, first) = versioned().await;
    let s3 = s3(&rig.world);
    put(&rig.world, "a.raw", b"the second").await;
    let get = |version: Option<&str>| {
        let asked = s3.get_object().bucket(BUCKET).key("a.raw").set_version_id(version.map(str::to_owned));
        async { asked.send().await.expect("it is there").body.collect().await.expect("its body").into_bytes() }
    };
    assert_eq!(&get(None).await[..], b"the second");
    assert_eq!(&get(Some(&first)).await[..], b"the first");
    // Tags are of one version.
    let tag = aws_sdk_s3::types::Tag::builder().key("k").value("v").build().expect("a tag");
    let tags = aws_sdk_s3::types::Tagging::builder().tag_set(tag).build().expect("tags");
    s3.put_object_tagging().bucket(BUCKET).key("a.raw").version_id(&first).tagging(tags).send().await.expect("tagged");
    let tags = s3.get_object_tagging().bucket(BUCKET).key("a.raw").send().await.expect("tags");
    assert!(tags.tag_set().is_empty());
    // A removal leaves a marker, behind which everything is still there.
    let removed = s3.delete_object().bucket(BUCKET).key("a.raw").send().await.expect("removed");
    assert_eq!(removed.delete_marker(), Some(true));
    let marker = removed.version_id().expect("its id").to_owned();
    let gone = s3.get_object().bucket(BUCKET).key("a.raw").send().await.expect_err("it is not found");
    let raw = gone.raw_response().expect("an answer");
    assert_eq!((gone.code(), raw.headers().get("x-amz-delete-marker")), (Some("NoSuchKey"), Some("true")));
    let not = s3.get_object().bucket(BUCKET).key("a.raw").version_id(&marker).send().await.expect_err("a marker");
    assert_eq!(not.code(), Some("MethodNotAllowed"));
    let copy = |version: &str| {
        let from = format!("{BUCKET}/a.raw?versionId={version}");
        s3.copy_object().bucket(BUCKET).key("b.raw").copy_source(from).send()
    };
    assert_eq!(copy(&marker).await.expect_err("a marker").code(), Some("InvalidRequest"));
    assert_eq!(copy("nonesuch").await.expect_err("none").code(), Some("NoSuchVersion"));
    let copied = copy(&first).await.expect("copied");
    assert_eq!(copied.copy_source_version_id(), Some(&*first));
    assert_eq!(bytes(&rig.world, "b.raw").await, b"the first");
    // Without its marker the newest is found again; what is removed by its id is gone.
    s3.delete_object().bucket(BUCKET).key("a.raw").version_id(&marker).send().await.expect("removed");
    assert_eq!(&get(None).await[..], b"the second");
    let second = head(&rig.world, "a.raw").await.version_id.expect("a version");
    s3.delete_object().bucket(BUCKET).key("a.raw").version_id(&second).send().await.expect("removed");
    assert_eq!(&get(None).await[..], b"the first");
    // Suspended: what is written has no id and replaces only what has none.
    versioning(&rig.world, BucketVersioningStatus::Suspended).await;
    for text in [b"the third", b"the forth"] {
        put(&rig.world, "a.raw", text).await;
        assert_eq!(head(&rig.world, "a.raw").await.version_id(), Some("null"));
    }
    assert_eq!(&get(Some("null")).await[..], b"the forth");
    assert_eq!(&get(Some(&first)).await[..], b"the first");
    let told = s3.get_bucket_versioning().bucket(BUCKET).send().await.expect("told");
    assert_eq!(told.status(), Some(&BucketVersioningStatus::Suspended));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_outlive_the_sandbox() {
    use floe::sandbox::Options;
    use floe::sandbox::store::Keep;
    let dir = tempfile::tempdir().expect("a directory");
    let options = || Options { keep: Keep::Disk(dir.path().to_owned()), ..Options::default() };
    let mut first = None;
    for start in 0..3 {
        let world = World::new(options()).await;
        let s3 = s3(&world);
        if start == 0 {
            versioning(&world, BucketVersioningStatus::Enabled).await;
            put(&world, "kept", b"the first").await;
            first = head(&world, "kept").await.version_id;
            put(&world, "kept", b"the second").await;
            s3.delete_object().bucket(BUCKET).key("kept").send().await.expect("removed");
        }
        let asked = s3.get_object().bucket(BUCKET).key("kept");
        assert_eq!(asked.clone().send().await.expect_err("behind a marker").code(), Some("NoSuchKey"));
        let got = asked.set_version_id(first.clone()).send().await.expect("the version");
        assert_eq!(&got.body.collect().await.expect("its body").into_bytes()[..], b"the first", "start {start}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_replaced_since_the_plan_is_copied_as_the_plan_saw_it() {
    let (rig, first) = versioned().await;
    let client = rig.engine(None).await;
    let plan = rig.plan(&url("a.raw"), &[&url("b.raw")], Options::default()).await;
    assert!(plan.findings.iter().any(|found| found.text.contains(&first)), "the plan names what it pins");
    put(&rig.world, "a.raw", b"another one").await;
    s3(&rig.world).delete_object().bucket(BUCKET).key("a.raw").send().await.expect("behind a marker");
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_eq!(bytes(&rig.world, "b.raw").await, b"the first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_was_removed_meanwhile_is_named() {
    let (rig, first) = versioned().await;
    let client = rig.engine(None).await;
    let remove = |key: &'static str, id: String| {
        let s3 = s3(&rig.world);
        async move { s3.delete_object().bucket(BUCKET).key(key).version_id(id).send().await.expect("removed") }
    };
    // Between plan and run, …
    let plan = rig.plan(&url("a.raw"), &[&url("b.raw")], Options::default()).await;
    put(&rig.world, "a.raw", b"another one").await;
    remove("a.raw", first.clone()).await;
    let row = end(&client, start(&client, &plan).await).await;
    let error = format!("{:?}", row.error);
    assert!(row.state == JobState::Failed && error.contains(&format!("version {first} of")), "{error}");
    assert!(error.contains("make a new plan"), "{error}");
    // … and in the middle of a copy of parts.
    large(&rig.world, "six.raw", 6).await;
    let pinned = head(&rig.world, "six.raw").await.version_id.expect("a version");
    let slow = only("UploadPartCopy", rule(Fault::Delay { ms: 100, jitter: 0 }, 1.0));
    rig.world.running.sandbox.set_faults(Faults { rules: vec![slow], ..Faults::default() });
    let options = Options { concurrency: Some(2), ..Options::default() };
    let plan = rig.plan(&url("six.raw"), &[&url("copy.raw")], options).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.destinations[0].bytes > Bytes::ZERO).await;
    remove("six.raw", pinned.clone()).await;
    let row = row_when(&client, job, at_rest).await;
    let error = row.error.expect("why").to_string();
    assert!(row.state == JobState::Failed && error.contains(&format!("version {pinned} of")), "{error}");
    assert_eq!(uploads(&rig.world).await, 0, "nothing is left of it");
}

/// Under a key of KMS an ETag says nothing of the bytes: copies and uploads into it are proved by checksums.
#[tokio::test(flavor = "multi_thread")]
async fn under_a_key_of_kms_nothing_is_held_against_an_etag() {
    const KMS: &str = "arn:aws:kms:us-east-1:111122223333:key/0a1b2c3d-0000-4000-8000-000000000001";
    let (rig, _) = versioned().await;
    large(&rig.world, "six.raw", 6).await;
    let client = rig.engine(None).await;
    let options = Options { kms_key: Some(KMS.to_owned()), ..Options::default() };
    for from in ["a.raw", "six.raw"] {
        let to = format!("kms-{from}");
        let row = rig.copy(&client, &url(from), &[&url(&to)], options.clone()).await;
        assert_eq!(row.state, JobState::Done, "{:?}", row.error);
        let (one, other) = (head(&rig.world, from).await, head(&rig.world, &to).await);
        assert_ne!(one.e_tag(), other.e_tag());
        assert_eq!(one.checksum_crc64_nvme(), other.checksum_crc64_nvme());
        assert_eq!(other.ssekms_key_id(), Some(KMS));
        // Known to be the same though their ETags differ: nothing is copied twice.
        let row = rig.copy(&client, &url(from), &[&url(&to)], options.clone()).await;
        assert_eq!((row.state, row.bytes_written), (JobState::Done, Bytes::ZERO), "{:?}", row.error);
    }
}

/// A raw image of so many blocks, each of one value; its bytes and what an independent reader must find.
async fn raw_image(rig: &Rig, key: &str, blocks: u8, salt: u8) -> Vec<u8> {
    let image: Vec<u8> = (0..blocks).flat_map(|block| vec![block.wrapping_mul(3) ^ salt; BLOCK]).collect();
    let to = s3(&rig.world).put_object().bucket(BUCKET).key(key).body(image.clone().into());
    to.send().await.expect("written");
    image
}

/// An image that is overwritten, and then hidden by a removal, in the middle of its copy and between two runs of it: the
/// copy is of the version that the plan saw.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_overwritten_while_it_is_copied_goes_on_from_its_version() {
    let rig = Rig::calm().await;
    versioning(&rig.world, BucketVersioningStatus::Enabled).await;
    let image = raw_image(&rig, "disk.img", 60, 1).await;
    let first = head(&rig.world, "disk.img").await.version_id.expect("a version");
    let slow = only("GetObject", rule(Fault::Delay { ms: 500, jitter: 0 }, 1.0));
    let back = rig.world.path("back.img");
    let options = Options { concurrency: Some(2), ..Options::default() };
    let plan = rig.plan(&url("disk.img"), &["eu-west-1:", back.to_str().expect("text")], options).await;
    assert!(plan.findings.iter().any(|found| found.text.contains(&first)), "the plan names what it pins");
    rig.world.running.sandbox.set_faults(Faults { rules: vec![slow], ..Faults::default() });
    let client = rig.engine(None).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.blocks_done.0 > 4).await;
    let other = raw_image(&rig, "disk.img", 1, 77).await;
    row_when(&client, job, |row| row.blocks_done.0 > 10).await;
    client.send(Command::Pause(job)).await.expect("it pauses");
    assert_eq!(end(&client, job).await.state, JobState::Paused);
    s3(&rig.world).delete_object().bucket(BUCKET).key("disk.img").send().await.expect("behind a marker");
    rig.heal();
    client.send(Command::Resume(job)).await.expect("it goes on");
    let row = row_when(&client, job, |row| at_rest(row) && row.state != JobState::Paused).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let made = std::fs::read(&back).expect("the image");
    assert!(made == image && !made.starts_with(&other), "the file is the version of the plan");
    let truth: Contents = (0u32..).zip(image.chunks(BLOCK).map(sha256)).collect();
    assert!(rig.copied(&row, 0).await == truth, "and so is the snapshot");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_an_image_that_is_removed_meanwhile_is_named() {
    let rig = Rig::calm().await;
    versioning(&rig.world, BucketVersioningStatus::Enabled).await;
    raw_image(&rig, "disk.img", 60, 1).await;
    let first = head(&rig.world, "disk.img").await.version_id.expect("a version");
    let slow = only("GetObject", rule(Fault::Delay { ms: 500, jitter: 0 }, 1.0));
    let options = Options { concurrency: Some(2), ..Options::default() };
    let plan = rig.plan(&url("disk.img"), &["eu-west-1:"], options).await;
    rig.world.running.sandbox.set_faults(Faults { rules: vec![slow], ..Faults::default() });
    let client = rig.engine(None).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.blocks_done.0 > 4).await;
    raw_image(&rig, "disk.img", 1, 77).await;
    let gone = s3(&rig.world).delete_object().bucket(BUCKET).key("disk.img").version_id(&first);
    gone.send().await.expect("removed");
    let row = row_when(&client, job, at_rest).await;
    assert_eq!(row.state, JobState::Failed, "{row:?}");
    let error = row.error.expect("why").to_string();
    assert!(error.contains(&format!("version {first} of s3://{BUCKET}/disk.img is not there any more")), "{error}");
    let pending = rig.world.made_by_floe("prod", "eu-west-1").await;
    let completed =
        |made: &aws_sdk_ec2::types::Snapshot| made.state() == Some(&aws_sdk_ec2::types::SnapshotState::Completed);
    assert!(!pending.iter().any(completed), "nothing is completed");
}

/// An image in a bucket that keeps versions, none of which may be read.
async fn without_its_versions() -> (Rig, Vec<u8>) {
    let rig = Rig::calm().await;
    versioning(&rig.world, BucketVersioningStatus::Enabled).await;
    let image = raw_image(&rig, "disk.img", 60, 1).await;
    rig.world.running.sandbox.set_faults(denied(Vec::new()));
    (rig, image)
}

fn denied(mut rules: Vec<Rule>) -> Faults {
    rules.push(only("GetObjectVersion", rule(Fault::Deny, 1.0)));
    Faults { rules, ..Faults::default() }
}

/// The plan reads what is there now, says by what that is pinned, and what would have to be allowed.
fn is_pinned_by_its_etag(plan: &Plan) {
    let SourceKind::Object { version, etag, .. } = &plan.items[0].source.kind else { panic!("an object") };
    assert_eq!(*version, None);
    let said = plan.findings.iter().find(|found| found.text.contains("is pinned by its ETag")).expect("it is said");
    assert_eq!(said.level, Level::Warning);
    assert!(said.text.contains(&**etag) && said.text.contains("its version may not be read"), "{said:?}");
    assert!(said.todo.as_deref().is_some_and(|todo| todo.contains("s3:GetObjectVersion")), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_versions_may_not_be_read_an_image_is_pinned_by_its_etag() {
    let (rig, image) = without_its_versions().await;
    let told = head(&rig.world, "disk.img").await;
    let version = told.version_id.expect("a version");
    let by_version = s3(&rig.world).get_object().bucket(BUCKET).key("disk.img").version_id(version).send().await;
    assert_eq!(by_version.expect_err("denied").code(), Some("AccessDenied"));
    let back = rig.world.path("back.img");
    let client = rig.engine(None).await;
    let plan = rig.plan(&url("disk.img"), &[back.to_str().expect("text")], Options::default()).await;
    is_pinned_by_its_etag(&plan);
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert!(std::fs::read(&back).expect("the image") == image);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_without_its_version_that_is_replaced_ends_its_copy_and_is_named() {
    let (rig, _) = without_its_versions().await;
    let back = rig.world.path("back.img");
    let options = Options { concurrency: Some(2), ..Options::default() };
    let plan = rig.plan(&url("disk.img"), &["eu-west-1:", back.to_str().expect("text")], options).await;
    is_pinned_by_its_etag(&plan);
    let slow = only("GetObject", rule(Fault::Delay { ms: 500, jitter: 0 }, 1.0));
    rig.world.running.sandbox.set_faults(denied(vec![slow]));
    let client = rig.engine(None).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.blocks_done.0 > 4).await;
    raw_image(&rig, "disk.img", 60, 77).await;
    let row = row_when(&client, job, at_rest).await;
    assert_eq!(row.state, JobState::Failed, "{row:?}");
    let error = row.error.expect("why");
    assert!(error.to_string().contains(&format!("s3://{BUCKET}/disk.img")), "{error}");
    assert!(error.todo.as_deref().is_some_and(|todo| todo.contains("make a new plan")), "{error}");
    assert!(!back.exists(), "no file of two images");
    let made = rig.world.made_by_floe("prod", "eu-west-1").await;
    let completed =
        |made: &&aws_sdk_ec2::types::Snapshot| made.state() == Some(&aws_sdk_ec2::types::SnapshotState::Completed);
    assert_eq!(made.iter().filter(completed).count(), 0, "nothing is completed");
}

/// Of what S3 copies itself: the plan pins no version, says so, and what would have to be allowed.
fn is_copied_by_its_etag(plan: &Plan, action: &str) {
    let version = match &plan.items[0].destinations[0].kind {
        DestinationKind::Copied { version, .. } => version.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(version, None);
    let said: Vec<_> = plan.findings.iter().filter(|found| found.text.contains("is pinned by its ETag")).collect();
    let [said] = said.as_slice() else { panic!("{said:?}") };
    assert!(said.level == Level::Warning && said.text.contains("its version may not be read"), "{said:?}");
    assert!(said.todo.as_deref().is_some_and(|todo| todo.contains(action)), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_versions_may_not_be_read_s3_copies_what_has_the_etag_of_the_plan() {
    let (rig, first) = versioned().await;
    large(&rig.world, "six.raw", 6).await;
    rig.world.running.sandbox.set_faults(denied(Vec::new()));
    let from = format!("{BUCKET}/a.raw?versionId={first}");
    let by_version = s3(&rig.world).copy_object().bucket(BUCKET).key("b.raw").copy_source(from).send().await;
    assert_eq!(by_version.expect_err("denied").code(), Some("AccessDenied"));
    let client = rig.engine(None).await;
    for (from, to) in [("a.raw", "b.raw"), ("six.raw", "copy.raw")] {
        let plan = rig.plan(&url(from), &[&url(to)], Options::default()).await;
        is_copied_by_its_etag(&plan, "s3:GetObjectVersion ");
        let row = end(&client, start(&client, &plan).await).await;
        assert_eq!(row.state, JobState::Done, "{:?}", row.error);
        assert_eq!(
            head(&rig.world, to).await.checksum_crc64_nvme(),
            head(&rig.world, from).await.checksum_crc64_nvme()
        );
    }
    assert_eq!(bytes(&rig.world, "b.raw").await, b"the first");
    // Tags of a version are a permission of their own, which counts where there are tags.
    let tag = aws_sdk_s3::types::Tag::builder().key("k").value("v").build().expect("a tag");
    let tags = aws_sdk_s3::types::Tagging::builder().tag_set(tag).build().expect("tags");
    s3(&rig.world).put_object_tagging().bucket(BUCKET).key("a.raw").tagging(tags).send().await.expect("tagged");
    let rules = vec![only("GetObjectVersionTagging", rule(Fault::Deny, 1.0))];
    rig.world.running.sandbox.set_faults(Faults { rules, ..Faults::default() });
    let plan = rig.plan(&url("a.raw"), &[&url("c.raw")], Options::default()).await;
    is_copied_by_its_etag(&plan, "s3:GetObjectVersionTagging");
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let tags = s3(&rig.world).get_object_tagging().bucket(BUCKET).key("c.raw").send().await.expect("tags");
    assert_eq!(tags.tag_set().len(), 1, "tags come along");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_its_version_that_is_replaced_ends_its_copy_inside_s3() {
    let (rig, _) = versioned().await;
    large(&rig.world, "six.raw", 6).await;
    let client = rig.engine(None).await;
    let ends = |error: &floe::error::Error, key: &str| {
        let said = error.to_string();
        assert!(said.contains(&format!("s3://{BUCKET}/{key} changed while it was copied")), "{said}");
        assert!(error.todo.as_deref().is_some_and(|todo| todo.contains("make a new plan")), "{error:?}");
    };
    // Between plan and run, …
    rig.world.running.sandbox.set_faults(denied(Vec::new()));
    let plan = rig.plan(&url("a.raw"), &[&url("b.raw")], Options::default()).await;
    put(&rig.world, "a.raw", b"another one").await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Failed);
    ends(&row.error.expect("why"), "a.raw");
    // … and in the middle of a copy of parts.
    let slow = only("UploadPartCopy", rule(Fault::Delay { ms: 1_000, jitter: 0 }, 1.0));
    rig.world.running.sandbox.set_faults(denied(vec![slow]));
    let options = Options { concurrency: Some(2), ..Options::default() };
    let plan = rig.plan(&url("six.raw"), &[&url("copy.raw")], options).await;
    let job = start(&client, &plan).await;
    row_when(&client, job, |row| row.destinations[0].bytes > Bytes::ZERO).await;
    put(&rig.world, "six.raw", b"another one").await;
    let row = row_when(&client, job, at_rest).await;
    assert_eq!(row.state, JobState::Failed);
    ends(&row.error.expect("why"), "six.raw");
    assert_eq!(uploads(&rig.world).await, 0, "nothing is left of it");
    for key in ["b.raw", "copy.raw"] {
        let found = s3(&rig.world).head_object().bucket(BUCKET).key(key).send().await;
        assert!(found.is_err(), "{key} is not there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_below_a_prefix_are_copied_by_their_etags_where_versions_may_not_be_read() {
    let rig = Rig::calm().await;
    versioning(&rig.world, BucketVersioningStatus::Enabled).await;
    for n in 0..5 {
        put(&rig.world, &format!("tree/{n}"), format!("object {n}").as_bytes()).await;
    }
    rig.world.running.sandbox.set_faults(denied(Vec::new()));
    let options = Options { recursive: true, ..Options::default() };
    let plan = rig.plan(&url("tree/"), &[&url("there/")], options).await;
    let kind = &plan.items[0].destinations[0].kind;
    assert!(matches!(kind, DestinationKind::CopiedTree { by_etag: true, .. }), "{kind:?}");
    let said = plan.findings.iter().find(|found| found.text.contains("by their ETags alone")).expect("it is said");
    assert!(
        said.level == Level::Warning && said.todo.as_deref().is_some_and(|todo| todo.contains("s3:GetObjectVersion"))
    );
    let client = rig.engine(None).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    for n in 0..5 {
        assert_eq!(bytes(&rig.world, &format!("there/{n}")).await, format!("object {n}").as_bytes());
    }
}
