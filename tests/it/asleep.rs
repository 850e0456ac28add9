//! What lies in an archive class of S3 is not read before it was brought back, and the plan says so before anything runs.

use aws_sdk_s3::types::{RestoreRequest, StorageClass};
use floe::engine::protocol::JobState;
use floe::plan::Options;

use crate::archives::{self, ARCHIVE, BUCKET, ROOT};
use crate::rig::{Rig, SMALL, end, start};
use crate::support::assert_image;

async fn bring_back(rig: &Rig, key: &str) {
    let days = RestoreRequest::builder().days(2).build();
    let asked = archives::s3(&rig.world).restore_object().bucket(BUCKET).key(key).restore_request(days);
    asked.send().await.expect("restored");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_asleep_is_refused_until_all_of_it_was_brought_back() {
    let rig = Rig::calm().await;
    let options = Options { storage_class: Some("GLACIER".to_owned()), concurrency: Some(16), ..Options::default() };
    archives::archive(&rig, SMALL, options).await;
    let segments = archives::segments(&rig.world, ROOT).await;
    assert!(segments.len() > 1, "{segments:?}");
    for key in &segments {
        let (code, _, stderr) = rig.world.json(&["plan", ARCHIVE, "null:", "-o", "json"]).await;
        assert_eq!(code, 5, "{stderr}");
        assert!(stderr.contains("GLACIER") && stderr.contains("restore-object"), "{stderr}");
        let (code, _, stderr) = rig.world.json(&["verify", ARCHIVE]).await;
        assert!(code == 1 && stderr.contains("brought back"), "{code} {stderr}");
        bring_back(&rig, key).await;
    }
    let image = rig.world.path("back.img");
    let plan = rig.plan(ARCHIVE, &[image.to_str().expect("text")], Options::default()).await;
    let client = rig.engine(None).await;
    let row = end(&client, start(&client, &plan).await).await;
    assert_eq!(row.state, JobState::Done, "{:?}", row.error);
    let truth = rig.world.contents("prod", "us-east-1", "snap-0feed000000b00701").await;
    assert_image(&image, 1, &truth);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_asleep_is_refused_until_it_was_brought_back() {
    let rig = Rig::calm().await;
    let put = archives::s3(&rig.world).put_object().bucket(BUCKET).key("raw/cold.img");
    let put = put.storage_class(StorageClass::DeepArchive).body(vec![7u8; 524_288].into());
    put.send().await.expect("written");
    let object = format!("s3://{BUCKET}/raw/cold.img");
    let (code, _, stderr) = rig.world.json(&["plan", &object, "null:", "-o", "json"]).await;
    assert!(code == 5 && stderr.contains("DEEP_ARCHIVE"), "{code} {stderr}");
    bring_back(&rig, "raw/cold.img").await;
    let (code, found, stderr) =
        rig.world.json(&["copy", &object, "null:", "--yes", "--foreground", "-o", "json", "-q"]).await;
    assert_eq!((code, &found["blocks"]), (0, &serde_json::json!(1)), "{stderr}");
}
