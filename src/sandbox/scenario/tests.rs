//! What the built-in scenarios promise to their users and to other tests.

use std::collections::BTreeSet;

use super::*;
use crate::ids::{AccountId, Region, SnapshotId};
use crate::sandbox::model::{OptIn, RegionState, Share, Snapshot, SnapshotState, Tier};
use crate::units::Blocks;

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn builtin(name: &str) -> Model {
    load_at(Some(Path::new(name)), now()).unwrap()
}

fn region<'m>(model: &'m Model, profile: &str, region: &str) -> &'m RegionState {
    let region: Region = region.parse().unwrap();
    let account = model.accounts.values().find(|a| a.profile.as_ref().is_some_and(|p| p.as_str() == profile));
    account.unwrap().regions.get(&region).unwrap()
}

fn snapshot<'m>(region: &'m RegionState, id: &str) -> &'m Snapshot {
    &region.snapshots[&id.parse::<SnapshotId>().unwrap()]
}

fn all(model: &Model) -> impl Iterator<Item = &Snapshot> {
    model.accounts.values().flat_map(|a| a.regions.values()).flat_map(|r| r.snapshots.values())
}

#[test]
fn every_builtin_scenario_is_valid_and_says_what_it_is() {
    for (name, about) in catalogue() {
        assert!(!about.is_empty(), "{name}");
        let model = builtin(name);
        let with_profile = model.accounts.values().filter(|account| account.profile.is_some());
        assert!(with_profile.clone().count() > 0, "{name}");
        for account in with_profile {
            assert!(!account.keys.is_empty(), "{name} {}", account.id);
            assert!(account.regions.contains_key(&account.home), "{name} {}", account.id);
        }
    }
    assert_eq!(load_at(None, now()).unwrap().accounts.len(), builtin("default").accounts.len());
}

#[test]
fn the_default_has_the_snapshots_that_the_screens_show() {
    let model = builtin("default");
    let use1 = region(&model, "prod", "us-east-1");
    let db = snapshot(use1, "snap-01c55a9e07b3d2f48");
    assert_eq!((db.size_gib, db.content.listed()), (16_384, Blocks(31_318_565)));
    assert_eq!(db.tags.get("Name").map(String::as_str), Some("db-data"));
    assert_eq!((now().duration_since(db.started).as_hours(), db.encryption.is_some()), (6, true));
    let older = ["snap-01b7e2d90c4418a3f", "snap-019d40b6f1ae77c20", "snap-018e6cc1d58b09a74"];
    let chain: Vec<&Snapshot> = std::iter::once(db).chain(older.iter().map(|id| snapshot(use1, id))).collect();
    for pair in chain.windows(2) {
        assert!(pair[0].started > pair[1].started && pair[0].content.listed() > pair[1].content.listed());
        assert_eq!(pair[0].encryption, pair[1].encryption, "one lineage, one data key");
    }
    assert!(chain[1].is_shared_with(&"998877665544".parse::<AccountId>().unwrap()));
    let image = use1.images.values().find(|image| image.state == "disabled").unwrap();
    assert_eq!(image.mappings[0].snapshot.as_ref(), Some(&db.id));
    let web = snapshot(use1, "snap-0f3c91d2a77b01e44");
    assert_eq!((web.size_gib, web.full_size().0), (8, 11_264 * 524_288));
    for (id, blocks) in [
        ("snap-0feed0000000da7a3", 1500),
        ("snap-0feed000000f00101", 2048),
        ("snap-0feed000000e00000", 0),
        ("snap-0feed000000b00701", 64),
    ] {
        let small = snapshot(use1, id);
        assert_eq!(
            (small.size_gib, small.content.listed(), &small.state),
            (1, Blocks(blocks), &SnapshotState::Completed)
        );
    }
}

#[test]
fn the_default_has_one_of_every_kind() {
    let model = builtin("default");
    let own = || {
        let accounts = model.accounts.values().filter(|a| a.profile.is_some());
        accounts.flat_map(|a| a.regions.values()).flat_map(|r| r.snapshots.values())
    };
    let count = own().count();
    assert!((380..=460).contains(&count), "{count} snapshots");
    let some = |what: &str, test: &dyn Fn(&Snapshot) -> bool| assert!(own().any(test), "no {what}");
    some("archived", &|s| s.tier == Tier::Archive);
    some("pending", &|s| s.state == SnapshotState::Pending && s.progress == 63 && s.completed.is_none());
    some("failed", &|s| matches!(&s.state, SnapshotState::Error(why) if why.contains("KMS")));
    some("copy", &|s| s.volume_id.is_placeholder() && s.transfer_type.as_deref() == Some("standard"));
    some("time-based copy", &|s| s.transfer_type.as_deref() == Some("time-based"));
    for tag in
        ["aws:backup:source-resource", "aws:dlm:lifecycle-policy-id", "velero.io/backup", "CSIVolumeSnapshotName"]
    {
        some(tag, &|s| s.tags.contains_key(tag));
    }
    some("left-over of an image", &|s| {
        let here = model.accounts[&s.owner].regions.values().find(|r| r.snapshots.contains_key(&s.id)).unwrap();
        let image = s.description.split(" for ").nth(1).unwrap_or("");
        s.description.starts_with("Created by CreateImage") && !here.images.keys().any(|id| id.as_str() == image)
    });
    let public = all(&model).filter(|s| s.shared.contains(&Share::All)).count();
    assert_eq!(public, 4, "public ones belong to amazon");
    let prod = model.accounts.values().find(|a| a.alias == "acme-prod").unwrap();
    let open = prod.regions.values().filter(|r| r.opt_in != OptIn::NotOptedIn).count();
    assert_eq!((open, prod.regions.len()), (6, 8));
    let states: BTreeSet<&str> =
        prod.regions.values().flat_map(|r| r.images.values()).map(|i| i.state.as_str()).collect();
    assert_eq!(states, BTreeSet::from(["available", "disabled"]));
    assert!(all(&model).all(|s| s.started < now() && s.completed.is_none_or(|at| s.started <= at && at <= now())));
}

#[test]
fn attachments_and_instances_agree() {
    for name in ["default", "huge"] {
        let model = builtin(name);
        for here in model.accounts.values().flat_map(|a| a.regions.values()) {
            for volume in here.volumes.values() {
                assert_eq!(volume.state == "in-use", !volume.attachments.is_empty());
                for attachment in &volume.attachments {
                    let pair = (attachment.device.clone(), volume.id.clone());
                    assert!(here.instances[&attachment.instance].volumes.contains(&pair), "{}", volume.id);
                }
            }
            let attached: usize = here.instances.values().map(|i| i.volumes.len()).sum();
            assert_eq!(attached, here.volumes.values().map(|v| v.attachments.len()).sum::<usize>());
        }
    }
}

#[test]
fn the_same_moment_gives_the_same_model() {
    let text = |model: &Model| {
        let rows: Vec<String> = all(model).map(|s| format!("{s:?}")).collect();
        rows.join("\n")
    };
    assert_eq!(text(&builtin("default")), text(&builtin("default")));
    let later = load_at(None, now() + jiff::SignedDuration::from_hours(5)).unwrap();
    let ids = |model: &Model| all(model).map(|s| s.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&builtin("default")), ids(&later), "only times move");
}

#[test]
fn the_huge_one_has_200_000_snapshots_that_share_their_tags() {
    let model = builtin("huge");
    assert_eq!(all(&model).count(), 200_000);
    let mut tags = BTreeSet::new();
    all(&model).for_each(|s| {
        tags.insert(std::sync::Arc::as_ptr(&s.tags) as usize);
    });
    assert_eq!(tags.len(), 5_000, "one set of tags for each volume");
}

#[test]
fn files_that_make_no_sense_are_refused_with_the_place() {
    let head = "version = 1\nseed = 1\n[[account]]\nid = \"111122223333\"\nalias = \"a\"\nprofile = \"p\"\n\
                home = \"us-east-1\"\nuser = \"user/x\"\n[[region]]\nname = \"us-east-1\"\naccounts = [\"p\"]\n";
    let volume = "[[volume]]\nat = \"p@us-east-1\"\nname = \"v\"\n";
    assert!(parse(head, "t", now()).is_ok());
    for (rest, why) in [
        ("[[volume]]\nat = \"q@us-east-1\"\nname = \"v\"\ngib = 1\n".to_owned(), "no account called q"),
        ("[[volume]]\nat = \"p@eu-west-1\"\nname = \"v\"\ngib = 1\n".to_owned(), "p has no region eu-west-1"),
        (format!("{volume}gib = 0\n"), "1 to 65536 GiB"),
        (format!("{volume}gib = 1\nblocks = 2049\nsnapshots = {{ count = 1 }}\n"), "2048 blocks"),
        (format!("{volume}gib = 1\nblocks = 10\ngrows = 9\nsnapshots = {{ count = 3 }}\n"), "grow by 9"),
        (format!("{volume}gib = 1\nstate = \"in-use\"\n"), "an instance is named exactly when"),
        (format!("{volume}gib = 1\nstate = \"in-use\"\ninstance = \"i\"\n"), "no instance of that name"),
        (format!("{volume}gib = 1\n{volume}gib = 2\n"), "two volumes called v"),
        (format!("{volume}gib = 1\nsnapshots = {{ count = 1, newest = \"soon\" }}\n"), "not an age"),
        (format!("{volume}gib = 1\ncolour = 3\n"), "colour"),
        ("[[image]]\nat = \"p@us-east-1\"\nname = \"i\"\nof = [\"v\"]\n".to_owned(), "no volume called v"),
        ("[[copy]]\nfrom = \"p@us-east-1\"\nof = \"v\"\nto = \"p@us-east-1\"\n".to_owned(), "no volume called v"),
        (format!("{volume}gib = 1\nsnapshots = {{ count = 600000 }}\n"), "more than 500000"),
    ] {
        let error = parse(&format!("{head}{rest}"), "t", now()).unwrap_err();
        assert!(error.what.contains(why), "{why} is not in: {}", error.what);
        assert_eq!(error.kind.exit_code(), 2);
    }
    let other = parse("version = 9\nseed = 1\naccount = []\nregion = []\n", "t", now()).unwrap_err();
    assert!(other.what.contains("version 9"), "{}", other.what);
    let missing = load_at(Some(Path::new("/nowhere/at/all.toml")), now()).unwrap_err();
    assert!(missing.todo.as_deref().is_some_and(|todo| todo.contains("default, empty, denied, huge")));
}
