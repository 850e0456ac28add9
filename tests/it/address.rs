//! Addresses: every line of the table, fifty nasty inputs, and two properties (what is shown can be typed;
//! nothing that is typed panics).

use floe::address::{Address, Place, Role};
use proptest::prelude::*;

const SNAP: &str = "snap-01c55a9e07b3d2f48";
const OLD: &str = "snap-0abc1234";

fn kind(address: &Address) -> &'static str {
    match address {
        Address::Path(_) => "path",
        Address::Null => "null",
        Address::Snapshot(..) => "snapshot",
        Address::Delta(..) => "delta",
        Address::Image(..) => "image",
        Address::NewSnapshot(_) => "new",
        Address::OnParent(..) => "on-parent",
        Address::Archive(..) => "archive",
        Address::Object(..) => "object",
    }
}

#[track_caller]
fn reads(text: &str, expected: &str, shown: &str) {
    let address: Address = text.parse().expect(text);
    assert_eq!(kind(&address), expected, "{text}");
    assert_eq!(address.to_string(), shown, "{text}");
}

#[test]
fn every_line_of_the_table_reads_as_it_says() {
    // 1: a path, whatever follows
    reads("/dev/nvme1n1", "path", "/dev/nvme1n1");
    reads("./us-east-1:", "path", "./us-east-1:");
    reads("../a@b:c", "path", "../a@b:c");
    reads("~/disk.img", "path", "~/disk.img");
    reads("file:disk", "path", "./disk");
    reads("file:///dev/sdb", "path", "/dev/sdb");
    reads("/dev/null", "null", "null:");
    reads("file:/dev/null", "null", "null:");
    // 2: S3 without a profile, whatever @ the key holds
    reads("s3://vault/a@s3://b/", "archive", "s3://vault/a@s3://b/");
    reads("s3://vault/me@home.img", "object", "s3://vault/me@home.img");
    // 3: split at the last @, for S3 at the first "@s3://"
    reads(&format!("prod@us-east-1:{SNAP}"), "snapshot", &format!("prod@us-east-1:{SNAP}"));
    reads(&format!("me@corp@us-east-1:{SNAP}"), "snapshot", &format!("me@corp@us-east-1:{SNAP}"));
    reads(OLD, "snapshot", OLD);
    reads(&format!("prod@{OLD}"), "snapshot", &format!("prod@{OLD}"));
    reads(&format!("{OLD}..{SNAP}"), "delta", &format!("{OLD}..{SNAP}"));
    reads(&format!("dr@eu-west-1:{OLD}..{SNAP}"), "delta", &format!("dr@eu-west-1:{OLD}..{SNAP}"));
    reads("us-gov-west-1:ami-0abc1234", "image", "us-gov-west-1:ami-0abc1234");
    reads("eu-west-1:", "new", "eu-west-1:");
    reads("dr@eu-west-1:", "new", "dr@eu-west-1:");
    reads(&format!("eu-west-1:{SNAP}+"), "on-parent", &format!("eu-west-1:{SNAP}+"));
    reads("s3://vault/ebs/", "archive", "s3://vault/ebs/");
    reads("s3://vault/", "archive", "s3://vault/");
    reads("dr@s3://vault/x@s3://y/", "archive", "dr@s3://vault/x@s3://y/");
    reads("s3://vault/disk.raw", "object", "s3://vault/disk.raw");
    // 4: ARNs are the same as the short form
    reads(&format!("arn:aws:ec2:us-east-1::snapshot/{SNAP}"), "snapshot", &format!("us-east-1:{SNAP}"));
    reads(
        &format!("arn:aws-cn:ec2:cn-north-1:123456789012:snapshot/{SNAP}"),
        "snapshot",
        &format!("cn-north-1:{SNAP}"),
    );
    reads("arn:aws:ec2:us-east-1::image/ami-0abc1234", "image", "us-east-1:ami-0abc1234");
    reads("arn:aws:s3:::vault/ebs/", "archive", "s3://vault/ebs/");
    reads("arn:aws:s3:::vault/a:b.img", "object", "s3://vault/a:b.img");
    // 5
    reads("null:", "null", "null:");
    // 6: a word with a dot or a slash, no : or @
    reads("disk.img", "path", "./disk.img");
    reads("images/disk", "path", "./images/disk");
    reads("eu-west-1.img", "path", "./eu-west-1.img");
    reads(&format!("{OLD}.img"), "path", &format!("./{OLD}.img"));
    reads("..", "path", "./..");
}

/// Nasty inputs: what was typed, and the words its sentence must hold: the things that it could have been.
const NASTY: [(&str, &[&str]); 50] = [
    ("", &["empty", "snap-", "REGION:", "./name"]),
    (" ", &["a file, a region or a snapshot", "`./ `"]),
    ("-", &["pipe", "./-", "null:"]),
    ("~", &["./~", "REGION:"]),
    ("disk", &["./disk", "REGION:", "snap-"]),
    ("eu-west-1", &["did you mean `eu-west-1:`", "./eu-west-1"]),
    ("prod@eu-west-1", &["did you mean `prod@eu-west-1:`", "./prod@eu-west-1"]),
    ("eu-west-1a", &["availability zone", "eu-west-1:", "./eu-west-1a"]),
    ("eu-west-1a:", &["availability zone", "did you mean `eu-west-1:`"]),
    ("eu-west-1a:snap-0abc1234", &["did you mean `eu-west-1:snap-0abc1234`"]),
    ("EU-WEST-1:", &["lower case", "did you mean `eu-west-1:`"]),
    ("us-east:", &["`us-east` is not a region", "./us-east:"]),
    ("eu-west-123:", &["is not a region", "./eu-west-123:"]),
    (":", &["no region in front", "eu-west-1:", "./:"]),
    (":snap-0abc1234", &["no region in front", "./:snap-0abc1234"]),
    ("@us-east-1:", &["not a profile name", "PROFILE@"]),
    ("prod@", &["profile and nothing in it", "prod@REGION:", "./prod@"]),
    ("prod@disk.img", &["./prod@disk.img", "snap-"]),
    ("prod@:", &["no region in front"]),
    ("prod@null:", &["`null:` alone", "./prod@null:"]),
    ("null", &["`null:`", "./null"]),
    ("NULL:", &["`null:` alone", "./NULL:"]),
    ("null:x", &["`null:` alone", "./null:x"]),
    ("root@10.0.0.1:/srv/disk.img", &["`10.0.0.1` is not a region", "./root@10.0.0.1:/srv/disk.img"]),
    ("host:disk.img", &["`host` is not a region", "./host:disk.img"]),
    ("C:\\disk.img", &["`C` is not a region", "./C:\\disk.img"]),
    ("https://example.com/disk.img", &["URL", "./name"]),
    ("us-east-1:disk.img", &["`us-east-1:`", "us-east-1:snap-", "./us-east-1:disk.img"]),
    ("us-east-1:/dev/sdb", &["neither a snapshot nor an image", "./us-east-1:/dev/sdb"]),
    ("us-east-1:us-west-2:", &["neither a snapshot nor an image", "./us-east-1:us-west-2:"]),
    ("us-east-1: ", &["neither a snapshot nor an image"]),
    ("vol-0abc1234", &["volume", "make a snapshot", "./vol-0abc1234"]),
    ("us-east-1:vol-0abc1234", &["volume", "make a snapshot"]),
    ("i-0abc1234", &["instance", "snap-", "./i-0abc1234"]),
    ("snap-0abc123", &["8 or 17 hex digits", "./snap-0abc123"]),
    ("snap-0ABC1234", &["lower case: `snap-0abc1234`", "./snap-0ABC1234"]),
    ("snap-0abc1234:us-east-1", &["where the region belongs", "REGION:snap-0abc1234"]),
    ("snap-0abc1234++", &["8 or 17 hex digits"]),
    ("snap-0abc1234..", &["no second snapshot", "snap-0abc1234..snap-B"]),
    ("snap-0abc1234..snap-0abc1234", &["no changes against itself"]),
    ("snap-0abc1234..snap-xyz", &["`snap-xyz` is not a snapshot id", "./snap-0abc1234..snap-xyz"]),
    ("snap-0abc1234..snap-0abc1235+", &["delta or a new snapshot", "REGION:snap-C+"]),
    ("us-east-1:snap-0abc1234..eu-west-1:snap-0abc1235", &["names two places", "one region"]),
    ("snap-0abc1234..eu-west-1:snap-0abc1235", &["names two places", "REGION:snap-A..snap-B"]),
    ("ami-12", &["image id", "./ami-12"]),
    ("s3://vault", &["whole bucket", "s3://vault/", "s3://vault/key.img"]),
    ("s3://Vault_Of/x/", &["`Vault_Of` is not a bucket name", "s3://bucket/prefix/"]),
    ("s3:vault/ebs/", &["s3://bucket/prefix/", "./s3:vault/ebs/"]),
    ("arn:aws:ec2:cn-north-1::snapshot/snap-0abc1234", &["cn-north-1 is in partition aws-cn, not aws"]),
    ("arn:aws:ec2:us-east-1:123456789012:volume/vol-0abc1234", &["neither a snapshot nor an image", "arn:…:snapshot/"]),
];

#[test]
fn nasty_inputs_are_usage_errors_that_name_what_they_could_have_been() {
    for (text, words) in NASTY {
        let error = text.parse::<Address>().expect_err(text);
        assert_eq!(error.kind.exit_code(), 2, "{text:?}");
        let said = format!("{error} · {}", error.todo.as_deref().unwrap_or_default());
        assert!(error.todo.is_some(), "{text:?} says what to do: {said}");
        for word in words {
            assert!(said.contains(word), "{text:?} must name {word:?}, but says: {said}");
        }
        assert!(text.is_empty() || said.contains(text), "{text:?} is quoted in: {said}");
    }
}

#[test]
fn each_end_refuses_what_belongs_to_the_other() {
    let wrong_destinations: [(&str, &[&str]); 5] = [
        (OLD, &["`snap-0abc1234+` makes a new one on it", "REGION:", "--each"]),
        ("snap-0abc1234..snap-0abc1235", &["a source, not a destination"]),
        ("ami-0abc1234", &["a source, not a destination"]),
        ("s3://vault/ebs", &["an archive or a raw object", "s3://vault/ebs/", "s3://vault/ebs.img"]),
        ("arn:aws:ec2:us-east-1::snapshot/snap-0abc1234", &["cannot be written to"]),
    ];
    let wrong_sources: [(&str, &[&str]); 4] = [
        ("eu-west-1:", &["a destination, not a source", "eu-west-1:snap-"]),
        ("eu-west-1:snap-0abc1234+", &["a destination, not a source", "`eu-west-1:snap-0abc1234`"]),
        ("null:", &["nothing to read"]),
        ("/dev/null", &["nothing to read"]),
    ];
    let cases = wrong_destinations
        .iter()
        .map(|c| (Role::Destination, c))
        .chain(wrong_sources.iter().map(|c| (Role::Source, c)));
    for (role, (text, words)) in cases {
        let error = Address::for_role(text, role).expect_err(text);
        assert_eq!(error.kind.exit_code(), 2, "{text}");
        let said = format!("{error} · {}", error.todo.as_deref().unwrap_or_default());
        for word in *words {
            assert!(said.contains(word), "{text:?} must name {word:?}, but says: {said}");
        }
    }
    assert!(Address::source("s3://vault/ebs").is_ok(), "any key is a source");
}

#[test]
fn home_is_read_where_no_shell_did() {
    let address: Address = "file:~/a/b.img".parse().expect("a path");
    assert_eq!(address.with_home(std::path::Path::new("/home/x")).to_string(), "/home/x/a/b.img");
    let other: Address = "./~/b.img".parse().expect("a path");
    assert_eq!(other.with_home(std::path::Path::new("/home/x")).to_string(), "./~/b.img");
}

/// Pieces that addresses are made of, right and wrong, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("snap-0abc1234".to_owned()),
        Just("snap-".to_owned()),
        Just("ami-0abc1234".to_owned()),
        Just("us-east-1".to_owned()),
        Just("eu-west-1a".to_owned()),
        Just(":".to_owned()),
        Just("@".to_owned()),
        Just("..".to_owned()),
        Just("+".to_owned()),
        Just("s3://".to_owned()),
        Just("vault".to_owned()),
        Just("/".to_owned()),
        Just("./".to_owned()),
        Just("~/".to_owned()),
        Just("file:".to_owned()),
        Just("null:".to_owned()),
        Just("/dev/null".to_owned()),
        Just("arn:aws:ec2:".to_owned()),
        Just("arn:aws:s3:::".to_owned()),
        Just("prod".to_owned()),
        Just(".img".to_owned()),
        "\\PC{0,4}",
    ];
    proptest::collection::vec(piece, 0..7).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn what_is_shown_can_be_typed(text in pieces()) {
        if let Ok(address) = text.parse::<Address>() {
            let shown = address.to_string();
            prop_assert_eq!(shown.parse::<Address>().ok(), Some(address), "{} is shown as {}", text, shown);
        }
    }

    #[test]
    fn nothing_that_is_typed_panics(text in any::<String>()) {
        for role in [Role::Source, Role::Destination] {
            if let Err(error) = Address::for_role(&text, role) {
                prop_assert_eq!(error.kind.exit_code(), 2);
            }
        }
    }

    #[test]
    fn what_is_made_of_right_parts_reads_back(
        profile in proptest::option::of("[a-z][a-z0-9_@-]{0,8}"), region in proptest::option::of("[a-z]{2}-[a-z]{4}-[1-9]"),
        a in "snap-[0-9a-f]{17}", b in "snap-[0-9a-f]{8}", which in 0..4u8,
    ) {
        let place = Place { profile: profile.and_then(|p| p.parse().ok()), region: region.and_then(|r| r.parse().ok()) };
        let (a, b) = (a.parse().expect("an id"), b.parse().expect("an id"));
        let address = match which {
            0 => Address::Snapshot(place, a),
            1 => Address::Delta(place, a, b),
            2 => Address::OnParent(place, a),
            _ if place.region.is_some() => Address::NewSnapshot(place),
            _ => Address::Snapshot(place, b),
        };
        prop_assert_eq!(address.to_string().parse::<Address>().ok(), Some(address));
    }
}
