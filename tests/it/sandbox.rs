//! The sandbox as the SDK's own EBS client finds it: every rule of EBS direct, every fault, and what a restart keeps.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod faults;
mod keeping;
mod reading;
mod writing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ebs::Client;
use aws_sdk_ebs::config::retry::RetryConfig;
use aws_sdk_ebs::config::{BehaviorVersion, Credentials, Region as SdkRegion, StalledStreamProtectionConfig};
use aws_sdk_ebs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ebs::primitives::ByteStream;
use aws_sdk_ebs::types::{ChecksumAggregationMethod, ChecksumAlgorithm};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use floe::sandbox::content::Content;
use floe::sandbox::faults::Faults;
use floe::sandbox::model::{AccessKey, Account, Model, OptIn, RegionState, Snapshot, SnapshotState, Tags, Tier};
use floe::sandbox::synth::{Shape, Synthetic};
use floe::sandbox::{Options, Running, Sandbox, serve_sandbox};
use sha2::{Digest as _, Sha256};

/// Three versions of one small chain, a stranger, and a large one with an exact number of blocks.
pub const FIRST: &str = "snap-0aaaaaaaaaaaaaaa0";
pub const SECOND: &str = "snap-0aaaaaaaaaaaaaaa1";
pub const THIRD: &str = "snap-0aaaaaaaaaaaaaaa2";
pub const STRANGER: &str = "snap-0bbbbbbbbbbbbbbb0";
pub const LARGE: &str = "snap-0cccccccccccccccc";
pub const ENCRYPTED: &str = "snap-0ddddddddddddddd0";
pub const LARGE_BLOCKS: u32 = 31_318_565;

pub fn chain(seed: u64, version: u32, gib: u32, allocated: u32) -> Content {
    let shape = Shape {
        gib,
        allocated,
        growth: 7,
        churn_permille: 400,
        zero_permille: 50,
        compressible_permille: 300,
        ..Shape::default()
    };
    Content::Synthetic(Synthetic { seed, version, shape })
}

fn snapshot(id: &str, owner: &str, gib: u32, content: Content) -> Snapshot {
    Snapshot {
        id: id.parse().unwrap(),
        owner: owner.parse().unwrap(),
        volume_id: "vol-0123456789abcdef0".parse().unwrap(),
        started: jiff::Timestamp::from_second(1_790_000_000).unwrap(),
        completed: None,
        state: SnapshotState::Completed,
        progress: 100,
        size_gib: gib,
        description: String::new(),
        tags: Tags::default(),
        encryption: None,
        tier: Tier::Standard,
        transfer_type: None,
        shared: Vec::new(),
        upload: None,
        tiering: None,
        archived: None,
        copying: None,
        content,
    }
}

fn account(id: &str, profile: &str) -> Account {
    let regions = ["eu-west-1", "us-east-1"].map(|name| {
        let name: floe::ids::Region = name.parse().unwrap();
        (name.clone(), RegionState::new(name, OptIn::NotRequired))
    });
    Account {
        id: id.parse().unwrap(),
        alias: profile.into(),
        profile: Some(profile.parse().unwrap()),
        home: "eu-west-1".parse().unwrap(),
        user: "user/test".into(),
        keys: vec![AccessKey { id: format!("AKIA{id}"), secret: format!("secret of {id}"), session: None }],
        regions: BTreeMap::from(regions),
    }
}

pub const OURS: &str = "111122223333";
pub const THEIRS: &str = "444455556666";

pub fn model() -> Model {
    let mut ours = account(OURS, "prod");
    let region = ours.regions.get_mut(&"eu-west-1".parse().unwrap()).unwrap();
    let mut encrypted = snapshot(ENCRYPTED, OURS, 1, chain(99, 0, 1, 10));
    encrypted.encryption = Some(floe::sandbox::model::Encryption {
        key_arn: format!("arn:aws:kms:eu-west-1:{OURS}:key/parent"),
        data_key_id: "d".into(),
    });
    for snapshot in [
        snapshot(FIRST, OURS, 3, chain(1, 0, 3, 4000)),
        snapshot(SECOND, OURS, 3, chain(1, 1, 3, 4000)),
        snapshot(THIRD, OURS, 3, chain(1, 2, 3, 4000)),
        snapshot(STRANGER, OURS, 1, chain(2, 0, 1, 100)),
        snapshot(LARGE, OURS, 16_384, chain(3, 0, 16_384, LARGE_BLOCKS)),
        encrypted,
    ] {
        region.snapshots.insert(snapshot.id.clone(), snapshot);
    }
    Model {
        accounts: [ours, account(THEIRS, "dr")].into_iter().map(|account| (account.id.clone(), account)).collect(),
        ..Model::default()
    }
}

/// A sandbox in this process, in memory.
pub async fn sandbox(faults: Faults) -> Running {
    let options = Options { faults, ..Options::default() };
    let sandbox = Sandbox::with_model(&options, model()).unwrap();
    serve_sandbox(Arc::new(sandbox), options.listen).await.unwrap()
}

/// Without the house rules that make a test slower or less exact: no pause after completion, whole pages.
pub fn calm() -> Faults {
    Faults { completing_ms: 0, short_pages_permille: 0, empty_pages_permille: 0, ..Faults::default() }
}

/// The SDK's client, without retries of its own.
pub fn client_at(url: &str, account: &str, secret: &str) -> Client {
    let config = aws_sdk_ebs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(SdkRegion::new("eu-west-1"))
        .credentials_provider(Credentials::new(format!("AKIA{account}"), secret, None, None, "test"))
        .endpoint_url(url)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    Client::from_conf(config)
}

pub fn client(running: &Running) -> Client {
    client_at(&running.url(), OURS, &format!("secret of {OURS}"))
}

/// Status, code and reason as they stood on the wire.
pub fn refusal<T: std::fmt::Debug, E>(result: Result<T, SdkError<E, HttpResponse>>) -> (u16, String, String)
where
    E: ProvideErrorMetadata + std::fmt::Debug,
{
    let error = result.expect_err("a refusal");
    let Some(raw) = error.raw_response() else { panic!("no answer: {error:?}") };
    let body: serde_json::Value = serde_json::from_slice(raw.body().bytes().unwrap_or_default()).unwrap_or_default();
    let code = raw.headers().get("x-amzn-ErrorType").unwrap_or_default().to_owned();
    assert!(raw.headers().get("x-amzn-RequestId").is_some(), "every answer has a request id");
    (raw.status().as_u16(), code, body["Reason"].as_str().unwrap_or_default().to_owned())
}

pub fn validation(reason: &str) -> (u16, String, String) {
    (400, "ValidationException".into(), reason.into())
}

pub fn sha(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(Sha256::digest(bytes))
}

/// The LINEAR checksum of blocks in index order, computed by another SHA-256 than the server's.
pub fn linear<'a>(blocks: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut all = Sha256::new();
    for block in blocks {
        all.update(Sha256::digest(block));
    }
    base64_simd::STANDARD.encode_to_string(all.finalize())
}

pub fn block(fill: u8) -> Vec<u8> {
    (0..524_288u32).map(|n| fill ^ (n % 251) as u8).collect()
}

pub async fn start(client: &Client, gib: i64, parent: Option<&str>) -> String {
    let started =
        client.start_snapshot().volume_size(gib).set_parent_snapshot_id(parent.map(str::to_owned)).send().await;
    started.unwrap().snapshot_id().unwrap().to_owned()
}

pub async fn put(
    client: &Client,
    id: &str,
    index: i32,
    bytes: Vec<u8>,
) -> Result<(), SdkError<aws_sdk_ebs::operation::put_snapshot_block::PutSnapshotBlockError, HttpResponse>> {
    let checksum = sha(&bytes);
    let answer = client
        .put_snapshot_block()
        .snapshot_id(id)
        .block_index(index)
        .data_length(524_288)
        .checksum(&checksum)
        .checksum_algorithm(ChecksumAlgorithm::ChecksumAlgorithmSha256)
        .block_data(ByteStream::from(bytes))
        .send()
        .await?;
    assert_eq!(answer.checksum(), Some(checksum.as_str()));
    Ok(())
}

pub async fn complete(
    client: &Client,
    id: &str,
    count: i32,
    checksum: Option<String>,
) -> Result<String, SdkError<aws_sdk_ebs::operation::complete_snapshot::CompleteSnapshotError, HttpResponse>> {
    let has = checksum.is_some();
    let answer = client
        .complete_snapshot()
        .snapshot_id(id)
        .changed_blocks_count(count)
        .set_checksum(checksum)
        .set_checksum_algorithm(has.then_some(ChecksumAlgorithm::ChecksumAlgorithmSha256))
        .set_checksum_aggregation_method(has.then_some(ChecksumAggregationMethod::ChecksumAggregationLinear))
        .send()
        .await?;
    Ok(answer.status().unwrap().as_str().to_owned())
}

/// All blocks of a snapshot with their tokens, following every page.
pub async fn list(client: &Client, id: &str) -> Vec<(i32, String)> {
    let (mut all, mut token) = (Vec::new(), None);
    loop {
        let page = client.list_snapshot_blocks().snapshot_id(id).set_next_token(token).send().await.unwrap();
        assert_eq!(page.block_size(), Some(524_288));
        assert!(page.expiry_time().is_some());
        all.extend(page.blocks().iter().map(|b| (b.block_index().unwrap(), b.block_token().unwrap().to_owned())));
        match page.next_token() {
            Some(next) => token = Some(next.to_owned()),
            None => return all,
        }
    }
}

type GetError = SdkError<aws_sdk_ebs::operation::get_snapshot_block::GetSnapshotBlockError, HttpResponse>;

/// A block, with its checksum checked against its bytes.
pub async fn get(client: &Client, id: &str, index: i32, token: &str) -> Result<Vec<u8>, GetError> {
    let answer = client.get_snapshot_block().snapshot_id(id).block_index(index).block_token(token).send().await?;
    let said = answer.checksum().unwrap().to_owned();
    assert_eq!(answer.data_length(), Some(524_288));
    let bytes = tokio::time::timeout(Duration::from_secs(20), answer.block_data.collect()).await.unwrap().unwrap();
    let bytes = bytes.into_bytes().to_vec();
    assert_eq!(sha(&bytes), said);
    Ok(bytes)
}
