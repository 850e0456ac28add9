//! What somebody may have put where an image is to be made: links, pipes, rings of links, other names of other files. What
//! was there before is there afterwards, or the image is, and nothing else was touched.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::Command;

use floe::sandbox::faults::{Fault, Faults, Rule};

use crate::background::until;
use crate::support::{World, assert_image, sha256};

/// 64 blocks.
const SMALL: &str = "us-east-1:snap-0feed000000b00701";
const ID: &str = "snap-0feed000000b00701";

fn sum(path: &Path) -> [u8; 32] {
    sha256(&fs::read(path).expect("it can be read"))
}

fn image_of(path: &Path, fill: u8) -> [u8; 32] {
    fs::write(path, vec![fill; 1 << 20]).expect("an image");
    sum(path)
}

async fn copied(world: &World, from: &str, to: &Path, more: &[&str]) -> (i32, String) {
    let to = to.display().to_string();
    let output = world.run(&[&["copy", from, &to, "--yes"], more].concat()).await;
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Nothing of a job lies beside the image.
fn left_over(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).expect("a directory").flatten();
    names.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| name.ends_with(".part")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_followed_to_where_it_leads_and_stays_a_link() {
    let world = World::calm().await;
    let truth = world.contents("prod", "us-east-1", ID).await;
    let (near, far) = (world.path("near"), world.path("far"));
    fs::create_dir(&near).and_then(|()| fs::create_dir(&far)).expect("directories");
    for (name, leads, there) in [("to-nothing", "../far/new.img", false), ("to-a-file", "../far/old.img", true)] {
        let (link, real) = (near.join(name), near.join(leads));
        symlink(leads, &link).expect("a link");
        if there {
            let before = image_of(&real, 7);
            let (code, said) = copied(&world, SMALL, &link, &[]).await;
            assert!(code == 5 && said.contains("exists and holds 1 MiB"), "{name}: {code} {said}");
            assert_eq!(sum(&real), before, "{name}");
        }
        // A second link onto the first.
        let second = near.join(format!("{name}-again"));
        symlink(&link, &second).expect("a link");
        let (code, said) = copied(&world, SMALL, &second, &["--force"]).await;
        assert_eq!(code, 0, "{name}: {said}");
        for link in [&link, &second] {
            assert!(fs::symlink_metadata(link).expect("there").is_symlink(), "{name}: it is a link still");
        }
        assert_image(&real, 1, &truth);
        assert!(left_over(&near).is_empty() && left_over(&far).is_empty(), "{name}");
    }
    let ring = near.join("ring");
    symlink("ring", &ring).expect("a ring");
    let (code, said) = copied(&world, SMALL, &ring, &["--force"]).await;
    assert!(code == 2 && said.contains("cannot be a file"), "{code} {said}");
    assert!(fs::symlink_metadata(&ring).expect("there").is_symlink());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_two_names_loses_only_the_one_that_was_asked_for_and_the_source_none() {
    let world = World::calm().await;
    let truth = world.contents("prod", "us-east-1", ID).await;
    let (precious, name) = (world.path("precious.img"), world.path("name.img"));
    let before = image_of(&precious, 9);
    fs::hard_link(&precious, &name).expect("a second name");
    let (code, said) = copied(&world, SMALL, &name, &[]).await;
    assert_eq!(code, 5, "{said}");
    let (code, said) = copied(&world, SMALL, &name, &["--force"]).await;
    assert_eq!(code, 0, "{said}");
    assert_image(&name, 1, &truth);
    assert_eq!(sum(&precious), before, "the other name has what it had");

    // The source by each of its names: another hard link, a link, itself.
    let (other, link) = (world.path("other.img"), world.path("link.img"));
    fs::hard_link(&precious, &other).and_then(|()| symlink(&precious, &link)).expect("names");
    for to in [&other, &link, &precious] {
        let (code, said) = copied(&world, &precious.display().to_string(), to, &["--force"]).await;
        assert!(code == 5 && said.contains("is the source itself"), "{}: {code} {said}", to.display());
        assert_eq!(sum(&precious), before);
    }

    // Two names of one file as two destinations.
    let (one, again) = (world.path("one.img"), world.path("again.img"));
    symlink(&one, &again).expect("a link");
    fs::create_dir(world.path("x")).expect("a directory");
    for to in [again.clone(), world.path("x/../one.img")] {
        let to = to.display().to_string();
        let output = world.run(&["copy", SMALL, &one.display().to_string(), &to, "--yes"]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{to}: {said}");
        assert!(said.contains("is named twice as a destination"), "{to}: {said}");
    }
    assert!(!one.exists());
}

/// The partial file of a job as the source of another one: while it is written, and afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_job_is_writing_is_no_source_and_what_it_left_is_called_unfinished() {
    let slow = Rule::of(Fault::Delay { ms: 60, jitter: 0 }).on("GetSnapshotBlock");
    let world = World::with(Faults { rules: vec![slow], ..Faults::default() }).await;
    let output = world.run(&["copy", SMALL, "./copy.img", "--yes", "--detach", "--concurrency", "2"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let part = until("its partial file", async || {
        let name = left_over(&world.path(".")).pop()?;
        Some(world.path(&name))
    })
    .await;
    let (code, said) = copied(&world, &part.display().to_string(), Path::new("us-west-2:"), &[]).await;
    assert!(code == 5 && said.contains("is being written by a job of floe's"), "{code} {said}");
    assert_eq!(world.run(&["jobs", "pause", "1"]).await.status.code(), Some(0));
    let (code, plan, said) = world.json(&["plan", &part.display().to_string(), "us-west-2:", "-o", "json"]).await;
    assert_eq!(code, 0, "{said}");
    let warned = plan["findings"].as_array().expect("findings").iter().any(|found| {
        found["level"] == "warning" && found["text"].as_str().is_some_and(|text| text.contains("has not finished"))
    });
    assert!(warned, "{plan}");
    world.running.sandbox.set_faults(Faults::default());
    assert_eq!(world.run(&["jobs", "resume", "1"]).await.status.code(), Some(0));
    assert_image(&world.path("copy.img"), 1, &world.contents("prod", "us-east-1", ID).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_a_directory_and_what_is_no_file_are_refused_at_either_end() {
    let world = World::calm().await;
    let pipe = world.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    // Nobody is at the other end: whoever opened it would hang.
    let (code, said) = copied(&world, SMALL, &pipe, &["--force"]).await;
    assert!(code == 5 && said.contains("neither a file nor a device"), "{code} {said}");
    let (code, said) = copied(&world, &pipe.display().to_string(), Path::new("us-west-2:"), &[]).await;
    assert!(code == 2 && said.contains("neither a file nor a block device"), "{code} {said}");
    let link = world.path("to-a-pipe");
    symlink(&pipe, &link).expect("a link");
    let (code, said) = copied(&world, SMALL, &link, &["--force"]).await;
    assert!(code == 5 && said.contains("neither a file nor a device"), "{code} {said}");

    let dir = world.path("dir");
    fs::create_dir(&dir).expect("a directory");
    let (code, said) = copied(&world, SMALL, &dir, &["--force"]).await;
    assert!(code == 2 && said.contains("is a directory"), "{code} {said}");
    let (code, said) = copied(&world, SMALL, Path::new("/dev/full"), &["--force"]).await;
    assert!(code == 5 && said.contains("neither a file nor a device"), "{code} {said}");
    let (code, said) = copied(&world, "/dev/full", Path::new("us-west-2:"), &[]).await;
    assert!(code == 2 && said.contains("neither a file nor a block device"), "{code} {said}");
    assert_eq!(fs::symlink_metadata(&pipe).expect("there").size(), 0);
}
