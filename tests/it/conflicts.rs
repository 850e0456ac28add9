//! Writers that meet at one key of S3: what a conditional write does when somebody writes or removes the key meanwhile.
//! AWS wants a new upload after a conflict of CompleteMultipartUpload, and the same request again after one of PutObject.

use floe::engine::protocol::{Command, JobState};
use floe::plan::{Options, Verify};
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::units::Bytes;

use crate::archives::s3;
use crate::copied;
use crate::objects::{self, BUCKET, IMAGE, KEY, assert_is, cut, image, object, put, requests, seen, tight};
use crate::rig::{Rig, end, only, row_when, rule, start};

fn conflict() -> Fault {
    let code = "ConditionalRequestConflict".to_owned();
    Fault::Refuse { status: 409, code, reason: None, message: "a conflicting operation".to_owned() }
}

fn set(rig: &Rig, rules: Vec<Rule>) {
    rig.world.running.sandbox.set_faults(Faults { rules, ..Faults::default() });
}

/// The first request that puts the parts together waits.
fn slow_end() -> Rule {
    only("CompleteMultipartUpload", Rule { times: Some(1), ..rule(Fault::Delay { ms: 3000, jitter: 0 }, 1.0) })
}

/// Somebody writes the key and removes what they wrote.
async fn written_and_removed(rig: &Rig, key: &str) {
    put(rig, key, b"somebody's").await;
    s3(&rig.world).delete_object().bucket(BUCKET).key(key).send().await.expect("removed");
}

fn journal(rig: &Rig, job: floe::ids::JobId) -> String {
    std::fs::read_to_string(rig.world.path(&format!("state/jobs/{job}/events.ndjson"))).expect("a journal")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_key_is_touched_while_it_is_put_together_is_uploaded_anew() {
    for gathered in [1, 3] {
        let rig = Rig::calm().await;
        let client = rig.engine(None).await;
        let image = image(&rig, "disk.img", 65, &[(12, 16)]);
        // Of temporary objects, the last request that puts parts together is the object's own.
        let ends = if gathered == 1 { 0 } else { 3 };
        set(&rig, vec![Rule { skip: ends, ..slow_end() }]);
        let plan = cut(rig.plan(&image, &[IMAGE], Options { verify: Verify::Full, ..tight() }).await, 10, gathered);
        let job = start(&client, &plan).await;
        seen(|| requests(&rig, "CompleteMultipartUpload") > ends).await;
        written_and_removed(&rig, KEY).await;
        let row = end(&client, job).await;
        assert_eq!(row.state, JobState::Done, "{:?}", row.error);
        assert_is(&rig, &image).await;
        assert_eq!(requests(&rig, "CreateMultipartUpload"), 2 * (1 + ends), "one upload more, and no third");
        assert!(journal(&rig, job).contains("everything is written again"), "it is said");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_without_end_fail_with_the_reason_and_leave_no_upload() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let image = image(&rig, "disk.img", 25, &[]);
    set(&rig, vec![only("CompleteMultipartUpload", rule(conflict(), 1.0))]);
    let job = start(&client, &rig.plan(&image, &[IMAGE], tight()).await).await;
    let row = end(&client, job).await;
    let error = format!("{:?}", row.error);
    assert!(row.state == JobState::Failed && error.contains("ConditionalRequestConflict"), "{error}");
    assert!(error.contains("somebody works on this key"), "{error}");
    assert_eq!((requests(&rig, "CreateMultipartUpload"), objects::uploads(&rig.world).await), (3, 0));
    // Once they are gone, it is resumed, and everything is sent again.
    rig.heal();
    client.send(Command::Resume(job)).await.expect("it goes on");
    let row = row_when(&client, job, |row| row.state == JobState::Done).await;
    assert_eq!(row.error, None);
    assert_is(&rig, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_to_be_replaced_and_is_gone_by_then_is_not_written() {
    let rig = Rig::calm().await;
    let client = rig.engine(None).await;
    let image = image(&rig, "disk.img", 25, &[]);
    put(&rig, KEY, b"somebody's").await;
    set(&rig, vec![slow_end()]);
    let force = Options { force: true, ..tight() };
    let job = start(&client, &rig.plan(&image, &[IMAGE], force.clone()).await).await;
    seen(|| requests(&rig, "CompleteMultipartUpload") > 0).await;
    s3(&rig.world).delete_object().bucket(BUCKET).key(KEY).send().await.expect("removed");
    let row = end(&client, job).await;
    let error = row.error.expect("why").to_string();
    assert!(row.state == JobState::Failed && error.contains("was removed since the plan was made"), "{error}");
    assert!(crate::archives::keys(&rig.world, KEY).await.is_empty(), "nothing is there");
    // And before the job began: nothing is sent at all.
    put(&rig, KEY, b"somebody's").await;
    let plan = rig.plan(&image, &[IMAGE], force).await;
    s3(&rig.world).delete_object().bucket(BUCKET).key(KEY).send().await.expect("removed");
    let sent = requests(&rig, "UploadPart");
    let row = end(&client, start(&client, &plan).await).await;
    assert!(row.error.expect("why").to_string().contains("was removed since the plan was made"));
    assert_eq!(requests(&rig, "UploadPart"), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_inside_s3_whose_key_is_touched_is_uploaded_anew() {
    let rig = Rig::calm().await;
    copied::large(&rig.world, "six.raw", 6).await;
    set(&rig, vec![slow_end()]);
    let client = rig.engine(None).await;
    let plan = rig.plan(&copied::url("six.raw"), &[&copied::url("copy.raw")], Options::default()).await;
    let job = start(&client, &plan).await;
    seen(|| requests(&rig, "CompleteMultipartUpload") > 0).await;
    written_and_removed(&rig, "copy.raw").await;
    let row = end(&client, job).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    assert_eq!((requests(&rig, "CreateMultipartUpload"), objects::uploads(&rig.world).await), (2, 0));
    assert_eq!(row.destinations[0].bytes, Bytes::gib(6), "what was given up does not count");
    copied::assert_same(&rig.world, "six.raw", "copy.raw").await;
    assert!(copied::said(&rig, job).iter().any(|(_, text)| text.contains("a new upload is begun")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_whose_writes_meet_others_sends_them_again() {
    let rig = Rig::calm().await;
    set(&rig, vec![only("PutObject", Rule { times: Some(3), ..rule(conflict(), 1.0) })]);
    crate::archives::archive(&rig, crate::rig::SMALL, Options::default()).await;
    let truth = rig.world.contents("prod", "us-east-1", "snap-0feed000000b00701").await;
    assert!(crate::archives::archived(&rig.world, crate::archives::ROOT).await == truth);
}

/// The sandbox itself, by the SDK: a conflict is told once there is one, and its upload is worth nothing afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_makes_nothing_of_an_upload_that_met_a_removal() {
    use aws_sdk_s3::error::ProvideErrorMetadata as _;
    use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
    let rig = Rig::calm().await;
    let client = s3(&rig.world);
    let begun = client.create_multipart_upload().bucket(BUCKET).key("k").send().await.expect("begun");
    let id = begun.upload_id().expect("an id");
    let part = client.upload_part().bucket(BUCKET).key("k").upload_id(id).part_number(1);
    let part = part.body(b"part".to_vec().into()).send().await.expect("a part");
    let part = CompletedPart::builder().part_number(1).set_e_tag(part.e_tag).build();
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    let complete = || {
        let asked = client.complete_multipart_upload().bucket(BUCKET).key("k").upload_id(id);
        asked.multipart_upload(parts.clone()).if_none_match("*").send()
    };
    set(&rig, vec![slow_end()]);
    let met = tokio::spawn(complete());
    seen(|| requests(&rig, "CompleteMultipartUpload") > 0).await;
    written_and_removed(&rig, "k").await;
    for told in [met.await.expect("answered"), complete().await] {
        let told = told.expect_err("a conflict");
        assert_eq!(told.code(), Some("ConditionalRequestConflict"));
    }
    assert_eq!(objects::uploads(&rig.world).await, 1, "it is there, and paid for, until it is given up");
    let put = client.put_object().bucket(BUCKET).key("k").body(b"x".to_vec().into()).if_none_match("*");
    put.send().await.expect("a write that began later");
    assert_eq!(object(&rig.world, "k").await, b"x");
}
