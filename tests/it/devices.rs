//! Block devices at both ends of a copy: real ones, each over a file of the test. A machine that may make none shows
//! nothing here, and says so.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Contents, World, assert_image, disk, sha256};

const GIB: u64 = 1 << 30;

/// A loop device; it is gone with the value.
pub struct Loop {
    device: PathBuf,
    file: PathBuf,
}

impl Loop {
    /// Over a new, empty file of that length; `None` where nobody may make one.
    pub fn new(file: PathBuf, length: u64) -> Option<Self> {
        File::create(&file).and_then(|file| file.set_len(length)).expect("a file");
        let made = Command::new("losetup").args(["--find", "--show"]).arg(&file).output();
        let made = made.ok().filter(|output| output.status.success());
        let Some(made) = made else {
            // Said, because nothing was shown.
            #[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
            {
                eprintln!("this machine lets nobody make a loop device: a test of devices was not run");
            }
            return None;
        };
        let device = PathBuf::from(String::from_utf8_lossy(&made.stdout).trim());
        Some(Self { device, file })
    }

    pub fn name(&self) -> String {
        self.device.display().to_string()
    }

    pub fn fill(&self, at: u64, bytes: &[u8]) {
        let device = File::options().write(true).open(&self.device).expect("the device");
        device.write_all_at(bytes, at).expect("written");
        device.sync_all().expect("synced");
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.device).output();
    }
}

/// What a device of the volume's size, with 1 MiB behind it, must hold.
pub fn assert_device(device: &Loop, contents: &Contents, behind: &[u8]) {
    let held = File::open(&device.device).expect("the device");
    let mut tail = vec![0; behind.len()];
    held.read_exact_at(&mut tail, GIB).expect("what lies behind the volume");
    assert_eq!(tail, behind, "what lies behind the volume is left as it is");
    let volume = device.file.with_extension("volume");
    std::fs::copy(&device.file, &volume).expect("a copy");
    File::options().write(true).open(&volume).and_then(|file| file.set_len(GIB)).expect("cut");
    assert_image(&volume, 1, contents);
    let _ = std::fs::remove_file(volume);
}

async fn run(world: &World, args: &[&str], code: i32) -> String {
    let output = world.run(args).await;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_written_to_a_device_that_was_used_before() {
    let world = World::calm().await;
    let Some(device) = Loop::new(world.path("used.loop"), GIB + (1 << 20)) else { return };
    device.fill(0, &[0xEE; 4096]);
    device.fill(700 * (1 << 20), &[0xDD; 100_000]);
    device.fill(GIB, &[0xCC; 4096]);
    let id = disk(&world, "us-east-1", &[(0, 7), (3, 8), (2047, 9)]).await;
    let source = format!("us-east-1:{id}");
    let refused = run(&world, &["copy", &source, &device.name(), "--yes"], 5).await;
    assert!(refused.contains("is not empty") && refused.contains("--force"), "{refused}");
    let args = ["copy", &source, &device.name(), "--yes", "--force", "--verify", "full", "-o", "json"];
    let (code, json, text) = world.json(&args).await;
    assert_eq!(code, 0, "{text}");
    assert_eq!(json["destinations"][0]["evidence"], "re-read", "{json}");
    let truth = world.contents("prod", "us-east-1", &id).await;
    assert_eq!(truth.len(), 3);
    assert_device(&device, &truth, &[0xCC; 4096]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_copied_whole_whatever_its_size() {
    let world = World::calm().await;
    let Some(device) = Loop::new(world.path("source.loop"), 8 * (1 << 20) + 1536) else { return };
    device.fill(524_288, &[1; 4096]);
    device.fill(8 * (1 << 20), &[2; 1536]);
    let (code, json, text) = world.json(&["copy", &device.name(), "eu-west-1:", "--yes", "-o", "json"]).await;
    assert_eq!(code, 0, "{text}");
    let address = json["destinations"][0]["address"].as_str().expect("an address");
    let copied = world.contents("prod", "eu-west-1", address.rsplit(':').next().expect("an id")).await;
    let mut bytes = std::fs::read(&device.file).expect("the file behind it");
    bytes.resize(17 * 524_288, 0);
    let wanted: Contents = (0..).zip(bytes.chunks(524_288).map(sha256)).collect();
    assert_eq!(copied, wanted, "every block of the device, zero or not, the last one padded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_in_use_is_never_written_to_and_read_only_when_that_is_allowed() {
    let world = World::calm().await;
    let Some(device) = Loop::new(world.path("held.loop"), GIB) else { return };
    let id = disk(&world, "us-east-1", &[(1, 1)]).await;
    let source = format!("us-east-1:{id}");
    let exclusive = i32::try_from(rustix::fs::OFlags::EXCL.bits()).expect("a flag");
    let holder = OpenOptions::new().read(true).custom_flags(exclusive).open(&device.device).expect("held");
    let name = device.name();
    for force in [&[][..], &["--force"]] {
        let args = [&["copy", &source, &name, "--yes"], force].concat();
        let refused = run(&world, &args, 5).await;
        assert!(refused.contains("never written to"), "{refused}");
    }
    let refused = run(&world, &["copy", &device.name(), "null:", "--yes"], 5).await;
    assert!(refused.contains("changes while it is read"), "{refused}");
    let allowed = run(&world, &["copy", &device.name(), "null:", "--yes", "--allow-changed"], 0).await;
    assert!(allowed.contains("may be torn"), "{allowed}");
    drop(holder);
    run(&world, &["copy", &device.name(), "null:", "--yes"], 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_too_small_or_is_the_source_itself_is_refused() {
    let world = World::calm().await;
    let Some(device) = Loop::new(world.path("small.loop"), GIB - 4096) else { return };
    let id = disk(&world, "us-east-1", &[(1, 1)]).await;
    let small = run(&world, &["copy", &format!("us-east-1:{id}"), &device.name(), "--yes"], 2).await;
    assert!(small.contains("at least as large"), "{small}");
    let itself = run(&world, &["copy", &device.name(), &device.name(), "--yes", "--force"], 5).await;
    assert!(itself.contains("the source itself"), "{itself}");
    let other = Path::new("/dev/full").display().to_string();
    let odd = run(&world, &["copy", &format!("us-east-1:{id}"), &other, "--yes", "--force"], 5).await;
    assert!(odd.contains("neither a file nor a device"), "{odd}");
}
