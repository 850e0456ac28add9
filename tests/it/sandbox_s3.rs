//! The sandbox's S3 as AWS's own SDK sees it.

use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
    CreateBucketConfiguration, GlacierJobParameters, ObjectAttributes, RestoreRequest, StorageClass, Tier,
};
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::sandbox::store::Keep;
use floe::sandbox::{Options, Running, serve};

const VAULT: &str = "floe-vault-us-east-1";
const IMAGE: &str = "images/base-debian-13.raw";
const MIB: usize = 1 << 20;
const HUGE: &str = r#"
version = 1
seed = 3
[[account]]
id = "111122223333"
alias = "prod"
profile = "prod"
home = "us-east-1"
user = "user/me"
[[region]]
name = "us-east-1"
accounts = ["prod"]
[[bucket]]
at = "prod@us-east-1"
name = "huge"
[[bucket.object]]
key = "six"
mib = 6144
fill = 0.5
"#;
type Raw = aws_sdk_s3::config::http::HttpResponse;

struct Cloud(Running);

impl Cloud {
    async fn new() -> Self {
        Self(serve(Options::default()).await.expect("the sandbox serves"))
    }

    fn s3(&self, region: &'static str) -> Client {
        let keys = self.0.sandbox.profiles().into_iter().find(|keys| keys.name.as_str() == "prod").expect("prod");
        let credentials = Credentials::new(keys.access_key_id, keys.secret, keys.session_token, None, "sandbox");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .endpoint_url(self.0.url())
            .force_path_style(true)
            .credentials_provider(credentials)
            .retry_config(RetryConfig::disabled());
        Client::from_conf(config.build())
    }

    fn faults(&self, rule: Rule) {
        self.0.sandbox.set_faults(Faults { rules: vec![rule], ..Faults::default() });
    }
}

fn bytes(length: usize, salt: usize) -> Vec<u8> {
    (0..length).map(|n| ((n * 31 + n / 977) ^ salt) as u8).collect()
}

/// Status and code of a refusal.
fn refusal<T: std::fmt::Debug, E: ProvideErrorMetadata>(answer: Result<T, SdkError<E, Raw>>) -> (u16, String) {
    let error = answer.expect_err("a refusal");
    let status = error.raw_response().map_or(0, |raw| raw.status().as_u16());
    (status, error.code().unwrap_or("no code").to_owned())
}

fn told(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn an_object_comes_back_whole_in_ranges_and_under_conditions() {
    let cloud = Cloud::new().await;
    let s3 = cloud.s3("us-east-1");
    let sent = bytes(3 * MIB + 17, 1);
    let put = s3.put_object().bucket(VAULT).key("a/b c+d.raw").body(sent.clone().into()).metadata("owner", "me");
    let put = put.tagging("k=v%20w&l=").storage_class(StorageClass::StandardIa).send().await.unwrap();
    assert!(put.checksum_crc32().is_some(), "what the SDK sends by itself");
    let etag = put.e_tag().unwrap();
    let got = s3.get_object().bucket(VAULT).key("a/b c+d.raw").checksum_mode(ChecksumMode::Enabled).send().await;
    let got = got.unwrap();
    assert_eq!((got.e_tag(), got.tag_count(), got.content_length()), (Some(etag), Some(2), Some(sent.len() as i64)));
    assert_eq!(got.storage_class(), Some(&StorageClass::StandardIa));
    assert_eq!(got.metadata().unwrap()["owner"], "me");
    assert!(got.body.collect().await.unwrap().into_bytes() == sent, "every byte");
    for (range, expected) in
        [("bytes=5-8", 5..9), ("bytes=-3", sent.len() - 3..sent.len()), ("bytes=3145728-", 3145728..sent.len())]
    {
        let part = s3.get_object().bucket(VAULT).key("a/b c+d.raw").range(range).if_match(etag).send().await.unwrap();
        let said = format!("bytes {}-{}/{}", expected.start, expected.end - 1, sent.len());
        assert_eq!(part.content_range(), Some(said.as_str()), "{range}");
        assert!(part.body.collect().await.unwrap().into_bytes() == sent[expected], "{range}");
    }
    let get = || s3.get_object().bucket(VAULT).key("a/b c+d.raw");
    assert_eq!(refusal(get().range("bytes=9999999-").send().await), told(416, "InvalidRange"));
    assert_eq!(refusal(get().if_match("\"other\"").send().await), told(412, "PreconditionFailed"));
    assert_eq!(refusal(get().if_none_match(etag).send().await).0, 304);
    assert_eq!(refusal(s3.get_object().bucket(VAULT).key("a").send().await), told(404, "NoSuchKey"));
    let put = || s3.put_object().bucket(VAULT).key("a/b c+d.raw").body(b"2".to_vec().into());
    assert_eq!(refusal(put().if_none_match("*").send().await), told(412, "PreconditionFailed"));
    assert_eq!(refusal(put().if_match("\"other\"").send().await), told(412, "PreconditionFailed"));
    put().if_match(etag).send().await.unwrap();
    let now = s3.head_object().bucket(VAULT).key("a/b c+d.raw").send().await.unwrap();
    assert_eq!(now.content_length(), Some(1));
}

#[tokio::test]
async fn a_streamed_body_carries_its_checksum_behind_it_and_lands_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("image");
    let sent = bytes(2 * MIB + 5, 3);
    std::fs::write(&file, &sent).unwrap();
    let options = Options { keep: Keep::Disk(dir.path().join("state")), ..Options::default() };
    let cloud = Cloud(serve(options.clone()).await.unwrap());
    let s3 = cloud.s3("us-east-1");
    for algorithm in [ChecksumAlgorithm::Crc64Nvme, ChecksumAlgorithm::Sha256, ChecksumAlgorithm::Crc32C] {
        let body = ByteStream::from_path(&file).await.unwrap();
        let put = s3.put_object().bucket(VAULT).key("image").checksum_algorithm(algorithm.clone()).body(body);
        let put = put.send().await.unwrap();
        let said = [put.checksum_crc64_nvme(), put.checksum_sha256(), put.checksum_crc32_c()];
        assert_eq!(said.iter().flatten().count(), 1, "{algorithm:?}: {said:?}");
    }
    let wrong = s3.put_object().bucket(VAULT).key("image").checksum_crc32("AAAAAA==").body(b"other".to_vec().into());
    assert_eq!(refusal(wrong.send().await), told(400, "BadDigest"));
    cloud.0.shutdown().await;
    let cloud = Cloud(serve(options).await.unwrap());
    let got = cloud.s3("us-east-1").get_object().bucket(VAULT).key("image").send().await.unwrap();
    assert!(got.body.collect().await.unwrap().into_bytes() == sent, "as it was put, by another process");
}

#[tokio::test]
async fn an_upload_in_parts_is_as_strict_as_s3() {
    let cloud = Cloud::new().await;
    let s3 = cloud.s3("us-east-1");
    let create = s3.create_multipart_upload().bucket(VAULT).key("big").checksum_algorithm(ChecksumAlgorithm::Crc64Nvme);
    let id = create.checksum_type(ChecksumType::FullObject).send().await.unwrap().upload_id().unwrap().to_owned();
    let (first, last) = (bytes(5 * MIB, 5), bytes(1000, 6));
    let mut parts = Vec::new();
    for (number, body) in [(2, first.clone()), (7, last.clone())] {
        let part = s3.upload_part().bucket(VAULT).key("big").upload_id(&id).part_number(number).body(body.into());
        let part = part.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).send().await.unwrap();
        let (tag, sum) = (part.e_tag().unwrap(), part.checksum_crc64_nvme().unwrap());
        parts.push(CompletedPart::builder().part_number(number).e_tag(tag).checksum_crc64_nvme(sum).build());
    }
    let complete = |parts: &[CompletedPart]| {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.to_vec())).build();
        s3.complete_multipart_upload().bucket(VAULT).key("big").upload_id(&id).multipart_upload(parts)
    };
    let listed = s3.list_parts().bucket(VAULT).key("big").upload_id(&id).max_parts(1).send().await.unwrap();
    assert_eq!((listed.parts().len(), listed.is_truncated()), (1, Some(true)));
    let turned: Vec<_> = parts.iter().rev().cloned().collect();
    assert_eq!(refusal(complete(&turned).send().await), told(400, "InvalidPartOrder"));
    let forged = CompletedPart::builder().part_number(2).e_tag("\"0\"").build();
    assert_eq!(refusal(complete(&[forged]).send().await), told(400, "InvalidPart"));
    assert_eq!(refusal(complete(&parts).checksum_crc64_nvme("AAAAAAAAAAA=").send().await), told(400, "BadDigest"));
    assert_eq!(refusal(complete(&parts).mpu_object_size(3).send().await), told(400, "InvalidRequest"));
    let done = complete(&parts).if_none_match("*").send().await.unwrap();
    assert!(done.e_tag().unwrap().ends_with("-2\""), "{:?}", done.e_tag());
    assert_eq!(refusal(complete(&parts).send().await), told(404, "NoSuchUpload"));
    let got = s3.get_object().bucket(VAULT).key("big").checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(got.checksum_crc64_nvme(), done.checksum_crc64_nvme());
    assert!(got.body.collect().await.unwrap().into_bytes() == [first, last].concat());
    let second = s3.get_object().bucket(VAULT).key("big").part_number(2).send().await.unwrap();
    assert_eq!((second.content_length(), second.parts_count()), (Some(1000), Some(2)));

    let id = s3.create_multipart_upload().bucket(VAULT).key("small").send().await.unwrap().upload_id.unwrap();
    let mut parts = Vec::new();
    for number in [1, 2] {
        let part = s3.upload_part().bucket(VAULT).key("small").upload_id(&id).part_number(number);
        let part = part.body(b"few".to_vec().into()).send().await.unwrap();
        parts.push(CompletedPart::builder().part_number(number).e_tag(part.e_tag().unwrap()).build());
    }
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = s3.complete_multipart_upload().bucket(VAULT).key("small").upload_id(&id).multipart_upload(parts);
    assert_eq!(refusal(complete.send().await), told(400, "EntityTooSmall"));
    let uploads = || s3.list_multipart_uploads().bucket(VAULT).prefix("s").send();
    assert_eq!(uploads().await.unwrap().uploads().len(), 1);
    s3.abort_multipart_upload().bucket(VAULT).key("small").upload_id(&id).send().await.unwrap();
    assert_eq!(uploads().await.unwrap().uploads().len(), 0);
}

#[tokio::test]
async fn more_than_five_gib_is_copied_in_parts_and_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("huge.toml");
    std::fs::write(&scenario, HUGE).unwrap();
    let options =
        Options { scenario: Some(scenario), keep: Keep::Disk(dir.path().join("state")), ..Options::default() };
    let cloud = Cloud(serve(options).await.unwrap());
    let s3 = cloud.s3("us-east-1");
    let source = s3.head_object().bucket("huge").key("six").checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(source.content_length(), Some(6 << 30));
    let whole = s3.copy_object().bucket("huge").key("copy").copy_source("huge/six").send().await;
    assert_eq!(refusal(whole), told(400, "InvalidRequest"));
    let create = s3.create_multipart_upload().bucket("huge").key("copy").checksum_type(ChecksumType::FullObject);
    let create = create.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).send().await.unwrap();
    let id = create.upload_id().unwrap();
    let mut parts = Vec::new();
    for number in 1..=4_i64 {
        let (from, to) = ((number - 1) * (3 << 29), number * (3 << 29) - 1);
        let copy = s3.upload_part_copy().bucket("huge").key("copy").upload_id(id).part_number(number as i32);
        let copy = copy.copy_source("huge/six").copy_source_range(format!("bytes={from}-{to}"));
        let changed = copy.clone().copy_source_if_match("\"other\"").send().await;
        assert_eq!(refusal(changed), told(412, "PreconditionFailed"));
        let copied = copy.copy_source_if_match(source.e_tag().unwrap()).send().await.unwrap();
        let copied = copied.copy_part_result().unwrap();
        let part = CompletedPart::builder().part_number(number as i32).e_tag(copied.e_tag().unwrap());
        parts.push(part.checksum_crc64_nvme(copied.checksum_crc64_nvme().unwrap()).build());
    }
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = s3.complete_multipart_upload().bucket("huge").key("copy").upload_id(id).multipart_upload(parts);
    let done = complete.send().await.unwrap();
    assert_eq!(done.checksum_crc64_nvme(), source.checksum_crc64_nvme(), "the same bytes, by another way of cutting");
    let (mine, theirs) = ("bytes=3221225000-3221226999", dir.path().join("state/s3/data"));
    let range = |key: &str| s3.get_object().bucket("huge").key(key).range(mine).send();
    let (a, b) = (range("six").await.unwrap().body.collect(), range("copy").await.unwrap().body.collect());
    assert!(a.await.unwrap().into_bytes() == b.await.unwrap().into_bytes());
    assert_eq!(std::fs::read_dir(theirs).unwrap().count(), 0, "a copy shares what its source lies in");
}

#[tokio::test]
async fn copies_take_metadata_along_or_not_and_keep_checksums() {
    let cloud = Cloud::new().await;
    let s3 = cloud.s3("us-east-1");
    let put = s3.put_object().bucket(VAULT).key("src").body(bytes(100_000, 9).into()).metadata("a", "1").tagging("t=1");
    put.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.unwrap();
    let copy = || s3.copy_object().bucket(VAULT).copy_source(format!("{VAULT}/src"));
    assert_eq!(refusal(copy().key("src").send().await), told(400, "InvalidRequest"));
    copy().key("src").storage_class(StorageClass::StandardIa).send().await.unwrap();
    copy().key("kept").send().await.unwrap();
    let replace = copy().key("replaced").metadata_directive("REPLACE".into()).metadata("b", "2");
    replace.tagging_directive("REPLACE".into()).tagging("u=2").send().await.unwrap();
    let head = |key: &'static str| {
        let head = s3.head_object().bucket(VAULT).key(key).checksum_mode(ChecksumMode::Enabled).send();
        async { head.await.unwrap() }
    };
    let (src, kept, replaced) = (head("src").await, head("kept").await, head("replaced").await);
    assert_eq!(src.storage_class(), Some(&StorageClass::StandardIa));
    assert_eq!((kept.metadata().unwrap()["a"].as_str(), kept.storage_class()), ("1", None));
    assert_eq!(replaced.metadata().unwrap().keys().collect::<Vec<_>>(), ["b"]);
    assert!(src.checksum_sha256().is_some() && src.checksum_sha256() == kept.checksum_sha256());
    assert_eq!(src.e_tag(), kept.e_tag());
    let tags = s3.get_object_tagging().bucket(VAULT).key("replaced").send().await.unwrap();
    assert_eq!(tags.tag_set()[0].key(), "u");
    let attributes = s3.get_object_attributes().bucket(VAULT).key(IMAGE);
    let attributes = attributes.object_attributes(ObjectAttributes::Checksum);
    let attributes = attributes.object_attributes(ObjectAttributes::ObjectSize);
    let attributes = attributes.object_attributes(ObjectAttributes::ObjectParts).send().await.unwrap();
    assert_eq!(attributes.object_size(), Some(512 << 20));
    assert_eq!(attributes.object_parts().unwrap().total_parts_count(), Some(8));
    assert!(attributes.checksum().unwrap().checksum_crc64_nvme().is_some());
}

#[tokio::test]
async fn buckets_are_in_one_region_and_listed_in_pages() {
    let cloud = Cloud::new().await;
    let (s3, west) = (cloud.s3("us-east-1"), cloud.s3("us-west-2"));
    let elsewhere = west.head_bucket().bucket(VAULT).send().await.expect_err("another region");
    let raw = elsewhere.raw_response().unwrap();
    assert_eq!((raw.status().as_u16(), raw.headers().get("x-amz-bucket-region")), (301, Some("us-east-1")));
    assert_eq!(refusal(west.get_object().bucket(VAULT).key(IMAGE).send().await), told(301, "PermanentRedirect"));
    let here = s3.head_bucket().bucket(VAULT).send().await.unwrap();
    assert_eq!(here.bucket_region(), Some("us-east-1"));
    let location = s3.get_bucket_location().bucket("floe-vault-eu-west-1").send().await.unwrap();
    assert_eq!(location.location_constraint(), Some(&BucketLocationConstraint::EuWest1));
    let make = |name: &str, constraint: Option<BucketLocationConstraint>| {
        let place = constraint.map(|at| CreateBucketConfiguration::builder().location_constraint(at).build());
        west.create_bucket().bucket(name).set_create_bucket_configuration(place).send()
    };
    assert_eq!(refusal(make("fresh", None).await), told(400, "IllegalLocationConstraintException"));
    make("fresh", Some(BucketLocationConstraint::UsWest2)).await.unwrap();
    let again = make("fresh", Some(BucketLocationConstraint::UsWest2)).await;
    assert_eq!(refusal(again), told(409, "BucketAlreadyOwnedByYou"));
    for key in ["a/1", "a/2", "b", "c d/3", "e"] {
        west.put_object().bucket("fresh").key(key).body(vec![1].into()).send().await.unwrap();
    }
    let mut pages = west.list_objects_v2().bucket("fresh").delimiter("/").into_paginator().page_size(2).send();
    let mut seen = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        assert!(page.key_count() <= Some(2));
        seen.extend(page.common_prefixes().iter().filter_map(|row| row.prefix()).map(str::to_owned));
        seen.extend(page.contents().iter().filter_map(|row| row.key()).map(str::to_owned));
    }
    seen.sort();
    assert_eq!(seen, ["a/", "b", "c d/", "e"]);
    let inside = west.list_objects_v2().bucket("fresh").prefix("a/").start_after("a/1").send().await.unwrap();
    assert_eq!(inside.contents().iter().filter_map(|row| row.key()).collect::<Vec<_>>(), ["a/2"]);
    assert_eq!(refusal(west.delete_bucket().bucket("fresh").send().await), told(409, "BucketNotEmpty"));
}

#[tokio::test]
async fn archived_objects_are_restored_first_and_faults_are_s3s_own() {
    let cloud = Cloud::new().await;
    let s3 = cloud.s3("us-east-1");
    let old = "images/retired-2019.raw";
    let get = |range: &str| s3.get_object().bucket(VAULT).key(old).range(range).send();
    assert_eq!(refusal(get("bytes=0-9").await), told(403, "InvalidObjectState"));
    let how = GlacierJobParameters::builder().tier(Tier::Standard).build().unwrap();
    let request = RestoreRequest::builder().days(1).glacier_job_parameters(how).build();
    s3.restore_object().bucket(VAULT).key(old).restore_request(request).send().await.unwrap();
    assert_eq!(get("bytes=0-9").await.unwrap().content_length(), Some(10));
    let head = s3.head_object().bucket(VAULT).key(old).send().await.unwrap();
    assert!(head.restore().unwrap().contains("ongoing-request=\"false\""));

    let put = || s3.put_object().bucket(VAULT).key("x").body(b"x".to_vec().into()).send();
    cloud.faults(Rule::of(Fault::ThrottleAccount).on("PutObject").times(1));
    assert_eq!(refusal(put().await), told(503, "SlowDown"));
    put().await.unwrap();
    let conflict =
        Fault::Refuse { status: 409, code: "ConditionalRequestConflict".into(), reason: None, message: String::new() };
    cloud.faults(Rule::of(conflict).on("PutObject"));
    assert_eq!(refusal(put().await), told(409, "ConditionalRequestConflict"));
    cloud.faults(Rule::of(Fault::LateError).on("CopyObject"));
    let copy = s3.copy_object().bucket(VAULT).key("y").copy_source(format!("{VAULT}/x")).send().await;
    assert_eq!(refusal(copy), told(200, "InternalError"), "an error in an answer that began well");
    cloud.faults(Rule::of(Fault::Cut).on("GetObject").times(1));
    let cut = s3.get_object().bucket(VAULT).key(IMAGE).range("bytes=0-3145727").send().await.unwrap();
    assert!(cut.body.collect().await.is_err(), "half a body is no body");
    cloud.faults(Rule::of(Fault::Corrupt).on("GetObject").times(1));
    let whole = s3.get_object().bucket(VAULT).key("x").checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert!(whole.body.collect().await.is_err(), "the SDK holds it against the checksum");
}
