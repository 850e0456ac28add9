//! What the end-to-end tests share: a sandbox of their own, the real binary against it, and a reader that is not
//! floe's: the SDK's client, asked for every block.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_sdk_ebs::config::{BehaviorVersion, Region};
use aws_sdk_ebs::primitives::ByteStream;
use aws_sdk_ebs::types::ChecksumAlgorithm;
use aws_sdk_ec2::types::SnapshotState;
use floe::aws::{Profiles, Settings};
use floe::sandbox::faults::Faults;
use floe::sandbox::{Options, ProfileKeys, Running, serve};
use floe::units::Digest;
use futures_util::{StreamExt, stream};
use tempfile::TempDir;

/// SHA-256 of each block, by index.
pub type Contents = BTreeMap<u32, [u8; 32]>;

/// The bytes of a block.
pub const BLOCK: usize = 524_288;

/// The small snapshot of the default scenario that tests copy: 1 GiB in us-east-1.
pub const WEB_DATA: &str = "snap-0feed0000000da7a3";

/// A sandbox on loopback with a home and a state directory for the clients.
pub struct World {
    pub running: Running,
    pub dir: TempDir,
}

impl World {
    /// The default scenario in memory, with these faults.
    pub async fn with(faults: Faults) -> Self {
        Self::new(Options { faults, ..Options::default() }).await
    }

    /// The default scenario in memory, without faults.
    pub async fn calm() -> Self {
        Self::with(Faults::default()).await
    }

    /// A built-in scenario in memory, without faults.
    pub async fn of(scenario: &str) -> Self {
        Self::new(Options { scenario: Some(scenario.into()), ..Options::default() }).await
    }

    /// One with these options.
    pub async fn new(options: Options) -> Self {
        let running = serve(options).await.expect("the sandbox serves");
        Self { running, dir: tempfile::tempdir().expect("a temporary directory") }.settled()
    }

    /// Writes the shared config that gives the binary its profiles.
    fn settled(self) -> Self {
        let aws = self.dir.path().join(".aws");
        std::fs::create_dir_all(&aws).expect("a home");
        let (mut config, mut keys) = (String::new(), String::new());
        for profile in self.running.sandbox.profiles() {
            config += &format!("[profile {}]\nregion = {}\n", profile.name, profile.region);
            let token = profile.session_token.map(|t| format!("aws_session_token = {t}\n")).unwrap_or_default();
            keys += &format!(
                "[{}]\naws_access_key_id = {}\naws_secret_access_key = {}\n{token}",
                profile.name, profile.access_key_id, profile.secret
            );
        }
        std::fs::write(aws.join("config"), config).expect("config");
        std::fs::write(aws.join("credentials"), keys).expect("credentials");
        self
    }

    /// A path in this world's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// floe with these arguments, against this sandbox, as profile `prod`.
    pub fn floe(&self, args: &[&str]) -> Command {
        self.floe_at(&self.running.url(), args)
    }

    /// The same, where the sandbox is reached through something else.
    pub fn floe_at(&self, endpoint: &str, args: &[&str]) -> Command {
        let mut command = bare_floe(self.dir.path());
        command.args(args).args(["--endpoint-url", endpoint]).env("AWS_PROFILE", "prod");
        command
    }

    /// Runs it to its end, off the runtime's threads.
    pub async fn run(&self, args: &[&str]) -> Output {
        let mut command = self.floe(args);
        tokio::task::spawn_blocking(move || command.output().expect("floe runs")).await.expect("it ends")
    }

    /// Runs it and reads the JSON object of its last line.
    pub async fn json(&self, args: &[&str]) -> (i32, serde_json::Value, String) {
        let output = self.run(args).await;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = stdout.lines().last().unwrap_or_default();
        let json = serde_json::from_str(last).unwrap_or_default();
        (output.status.code().unwrap_or(-1), json, stderr)
    }

    fn keys(&self, profile: &str) -> ProfileKeys {
        let all = self.running.sandbox.profiles();
        all.into_iter().find(|keys| keys.name.as_str() == profile).expect("a profile of the scenario")
    }

    /// The reader that is not ours.
    pub fn ebs(&self, profile: &str, region: &str) -> aws_sdk_ebs::Client {
        let keys = self.keys(profile);
        let config = aws_sdk_ebs::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .endpoint_url(self.running.url())
            .region(Region::new(region.to_owned()))
            .credentials_provider(Credentials::new(keys.access_key_id, keys.secret, keys.session_token, None, "test"))
            .build();
        aws_sdk_ebs::Client::from_conf(config)
    }

    /// STS as the reader sees it.
    pub fn sts(&self, profile: &str) -> aws_sdk_sts::Client {
        let keys = self.keys(profile);
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .endpoint_url(self.running.url())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new(keys.access_key_id, keys.secret, keys.session_token, None, "test"))
            .build();
        aws_sdk_sts::Client::from_conf(config)
    }

    /// EC2 as the reader sees it.
    pub fn ec2(&self, profile: &str, region: &str) -> aws_sdk_ec2::Client {
        let keys = self.keys(profile);
        let config = aws_sdk_ec2::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .endpoint_url(self.running.url())
            .region(Region::new(region.to_owned()))
            .credentials_provider(Credentials::new(keys.access_key_id, keys.secret, keys.session_token, None, "test"))
            .build();
        aws_sdk_ec2::Client::from_conf(config)
    }

    /// Reads every block of a snapshot and hashes it.
    pub async fn contents(&self, profile: &str, region: &str, snapshot: &str) -> Contents {
        let ebs = self.ebs(profile, region);
        let (mut contents, mut page) = (Contents::new(), None);
        loop {
            let listed = ebs.list_snapshot_blocks().snapshot_id(snapshot).set_next_token(page).max_results(10_000);
            let listed = listed.send().await.expect("a page");
            let reads = listed.blocks().iter().map(|block| {
                let index = block.block_index().expect("an index");
                let token = block.block_token().expect("a token");
                let got = ebs.get_snapshot_block().snapshot_id(snapshot).block_index(index).block_token(token);
                async move {
                    let got = got.send().await.expect("a block");
                    let body = got.block_data.collect().await.expect("its body").into_bytes();
                    assert_eq!(body.len(), BLOCK);
                    (u32::try_from(index).expect("no index is negative"), sha256(&body))
                }
            });
            contents.extend(stream::iter(reads.collect::<Vec<_>>()).buffer_unordered(16).collect::<Vec<_>>().await);
            page = listed.next_token().map(str::to_owned);
            if page.is_none() {
                return contents;
            }
        }
    }

    /// Waits until a snapshot of `prod` is completed.
    pub async fn completed(&self, id: &str, region: &str) {
        self.completed_of("prod", id, region).await;
    }

    /// The same of another profile's account.
    pub async fn completed_of(&self, profile: &str, id: &str, region: &str) {
        let ec2 = self.ec2(profile, region);
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < Duration::from_secs(60), "{id} is not completed");
            let seen = ec2.describe_snapshots().snapshot_ids(id).send().await.expect("described");
            if seen.snapshots().iter().all(|snapshot| snapshot.state() == Some(&SnapshotState::Completed)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Snapshots in a region that carry floe's provenance tag.
    pub async fn made_by_floe(&self, profile: &str, region: &str) -> Vec<aws_sdk_ec2::types::Snapshot> {
        let all = self.ec2(profile, region).describe_snapshots().owner_ids("self").send().await.expect("snapshots");
        let ours = |snapshot: &&aws_sdk_ec2::types::Snapshot| {
            snapshot.tags().iter().any(|tag| tag.key().is_some_and(|key| key.starts_with("floe:")))
        };
        all.snapshots().iter().filter(ours).cloned().collect()
    }
}

/// How the library reaches this sandbox, with the profiles of its scenario.
pub fn settings(running: &Running) -> Settings {
    let profiles = running.sandbox.profiles().iter().map(floe::cli::sandbox::fixed).collect();
    Settings { profiles: Profiles::Fixed(profiles), endpoint: Some(running.url()), ..Settings::default() }
}

/// Puts one block as somebody who is not floe.
pub async fn put(ebs: &aws_sdk_ebs::Client, snapshot: &str, index: i32, fill: u8) {
    let data = vec![fill; BLOCK];
    let checksum = Digest(sha256(&data)).base64();
    let request = ebs.put_snapshot_block().snapshot_id(snapshot).block_index(index).block_data(ByteStream::from(data));
    let request = request.checksum(checksum).checksum_algorithm(ChecksumAlgorithm::ChecksumAlgorithmSha256);
    request.data_length(524_288).send().await.expect("a put");
}

/// A completed snapshot of 1 GiB with these blocks, each of one byte's value, not made by floe.
pub async fn disk(world: &World, region: &str, blocks: &[(i32, u8)]) -> String {
    disk_of(world, "prod", region, blocks).await
}

/// The same in the account of another profile.
pub async fn disk_of(world: &World, profile: &str, region: &str, blocks: &[(i32, u8)]) -> String {
    let ebs = world.ebs(profile, region);
    let id = ebs.start_snapshot().volume_size(1).send().await.expect("started").snapshot_id.expect("an id");
    for (index, fill) in blocks {
        put(&ebs, &id, *index, *fill).await;
    }
    let count = i32::try_from(blocks.len()).expect("a few");
    ebs.complete_snapshot().snapshot_id(&id).changed_blocks_count(count).send().await.expect("completed");
    world.completed_of(profile, &id, region).await;
    id
}

/// SHA-256 of a block. Not by the sha2 crate, which takes a minute for a gigabyte where it is not optimised.
pub fn sha256(block: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, block);
    digest.as_ref().try_into().expect("32 bytes")
}

/// floe with an own home and state directory, and nothing of this machine's AWS settings.
pub fn bare_floe(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_floe"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Hashes a file block by block. Where the file system keeps nothing of it, it reads as zeros: that is asked of the
/// kernel, because a gigabyte of them costs a second to read and hash, and hundreds of images are looked at.
pub fn file_contents(path: &Path) -> Vec<[u8; 32]> {
    use rustix::fs::{SeekFrom, seek};
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::open(path).expect("the image");
    let length = file.metadata().expect("its length").len();
    let block = BLOCK as u64;
    assert_eq!(length % block, 0, "an image of a volume has whole blocks");
    let mut bytes = vec![0u8; BLOCK];
    let mut digests = vec![sha256(&bytes); usize::try_from(length / block).expect("few")];
    let mut at = 0;
    while at < length {
        let data = match seek(&file, SeekFrom::Data(at)) {
            Err(rustix::io::Errno::NXIO) => break, // holes to its end
            found => found.expect("where data begins"),
        };
        let hole = seek(&file, SeekFrom::Hole(data)).expect("an end of the data");
        for index in data / block..hole.div_ceil(block) {
            file.read_exact_at(&mut bytes, index * block).expect("a block");
            digests[usize::try_from(index).expect("few")] = sha256(&bytes);
        }
        at = hole.next_multiple_of(block);
    }
    digests
}

/// Whether an image holds exactly these blocks and zeros everywhere else.
pub fn assert_image(path: &Path, volume_gib: usize, contents: &Contents) {
    let zero = sha256(&vec![0u8; BLOCK]);
    let image = file_contents(path);
    assert_eq!(image.len(), volume_gib * 2048, "the exact length of the volume");
    for (index, digest) in (0u32..).zip(&image) {
        assert_eq!(digest, contents.get(&index).unwrap_or(&zero), "block {index}");
    }
}
