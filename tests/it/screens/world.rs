//! The account behind the pictures: seventeen regions, thousands of snapshots, all from arithmetic.

use std::sync::Arc;
use std::time::Duration;

use floe::aws::{EncryptionDefault, ProfileInfo, ProfileKind, PublicSharing};
use floe::inventory::{ImageRow, Kind, Origin, RegionRow, Rows, SnapshotRow, State, Tier, Update, VolumeRow};
use floe::plan::{QuotaFact, quota_codes as codes};
use floe::rows::BinRule;
use floe::tui::clock::Now;
use floe::tui::model::Model;
use floe::tui::msg::Msg;
use floe::tui::screen::Screen;
use floe::tui::screen::world_region::Setup;
use floe::tui::update::{look, update, wants};
use floe::units::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::example;

/// Region, snapshots, volumes, images.
const REGIONS: [(&str, u64, u64, u64); 17] = [
    ("us-east-1", 6_914, 901, 118),
    ("eu-west-1", 2_208, 388, 41),
    ("us-west-2", 1_530, 244, 22),
    ("eu-central-1", 3_420, 212, 17),
    ("ap-southeast-2", 411, 66, 9),
    ("sa-east-1", 207, 31, 3),
    ("ap-northeast-1", 96, 19, 2),
    ("us-east-2", 42, 12, 0),
    ("me-south-1", 0, 0, 0),
    ("ap-northeast-2", 0, 0, 0),
    ("ap-northeast-3", 0, 0, 0),
    ("ap-south-1", 0, 0, 0),
    ("ap-southeast-1", 0, 0, 0),
    ("ca-central-1", 0, 0, 0),
    ("eu-north-1", 0, 0, 0),
    ("eu-west-3", 0, 0, 0),
    ("us-west-1", 0, 0, 0),
];
const NAMES: [(&str, u64); 8] = [
    ("db-data", 16_384),
    ("web-root", 8),
    ("k8s-pvc-4", 100),
    ("jenkins", 500),
    ("nfs-old", 2_048),
    ("etl-stage", 100),
    ("build-tmp", 64),
    ("app-41", 30),
];

pub(super) fn origin(region: &str) -> Arc<Origin> {
    Arc::new(Origin {
        profile: Some("prod".parse().unwrap()),
        account: "123456789012".parse().unwrap(),
        region: region.parse().unwrap(),
    })
}

pub(super) fn ago(seconds: u64) -> Timestamp {
    example::now().wall - SignedDuration::from_secs(i64::try_from(seconds).unwrap())
}

/// Spreads a number over 64 bits, so that ids look like ids.
fn mixed(n: u64) -> u64 {
    let a = (n ^ 0x9e37_79b9).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (a ^ (a >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

fn id(n: u64) -> String {
    format!("0{:016x}", mixed(n))
}

/// Large things are rare: one in 512 is a database of 16 TiB.
fn kind_of(dice: u64) -> (&'static str, u64) {
    NAMES[match dice % 512 {
        0 => 0,
        1..5 => 4,
        5..20 => 3,
        20..60 => 2,
        60..110 => 5,
        110..200 => 6,
        200..330 => 7,
        _ => 1,
    }]
}

pub(super) fn snapshot(origin: &Arc<Origin>, region: u64, n: u64) -> SnapshotRow {
    let dice = mixed(region * 100_000 + n);
    let (name, gib) = kind_of(dice);
    let size = Bytes::gib(gib);
    let pending = region == 2 && n == 1;
    // As the plan of the example has it: one id tells one story on all pictures.
    let encrypted = (region == 0 && n == 0) || !dice.is_multiple_of(3);
    SnapshotRow {
        origin: origin.clone(),
        id: if region == 0 && n == 0 {
            "snap-01c55a9e07b3d2f48".parse().unwrap()
        } else {
            format!("snap-{}", id(region * 100_000 + n)).parse().unwrap()
        },
        name: (dice % 23 != 5).then(|| if region == 0 && n == 0 { "db-data" } else { name }.to_owned()),
        owner: origin.account.clone(),
        volume: Some(match (region, n) {
            (0, 0) => "vol-0b77e1c2a90d4f318".parse().unwrap(),
            _ => format!("vol-{}", id(9_000_000 + region * 1_000 + dice % 97)).parse().unwrap(),
        }),
        size: if region == 0 && n == 0 { Bytes::gib(16_384) } else { size },
        full: if region == 0 && n == 0 {
            Some(floe::units::Blocks(example::TOTAL).bytes())
        } else {
            (!pending).then(|| Bytes(size.0 / 100 * (40 + dice % 55)))
        },
        state: if pending {
            State::Pending
        } else if n % 613 == 77 {
            State::Error
        } else {
            State::Completed
        },
        state_message: None,
        progress: pending.then_some(63),
        started: ago(21_600 + n * 5_400 + dice % 5_000),
        tier: if dice % 41 == 3 { Tier::Archive } else { Tier::Standard },
        encrypted,
        kms_key: encrypted.then(|| "alias/ebs-prod".to_owned()),
        data_key_id: None,
        description: String::new(),
        tags: vec![("env".to_owned(), "prod".to_owned())],
    }
}

pub(super) fn volume(origin: &Arc<Origin>, region: u64, n: u64) -> VolumeRow {
    let dice = mixed(7_000_000 + region * 10_000 + n);
    let (name, gib) = NAMES[usize::try_from(dice % 8).unwrap()];
    VolumeRow {
        origin: origin.clone(),
        id: format!("vol-{}", id(9_000_000 + region * 1_000 + n)).parse().unwrap(),
        name: Some(name.to_owned()),
        size: Bytes::gib(gib.min(1_000)),
        kind: if dice.is_multiple_of(9) { "io2" } else { "gp3" }.to_owned(),
        state: if dice.is_multiple_of(37) { "available" } else { "in-use" }.to_owned(),
        zone: format!("{}a", origin.region),
        attached_to: if dice.is_multiple_of(37) { Vec::new() } else { vec![format!("i-{}", id(n)).parse().unwrap()] },
        snapshot: None,
        iops: Some(3000),
        throughput: Some(125),
        encrypted: true,
        created: ago(86_400 * (n % 400) + 3_600),
        tags: Vec::new(),
    }
}

fn image(origin: &Arc<Origin>, region: u64, n: u64) -> ImageRow {
    ImageRow {
        origin: origin.clone(),
        id: format!("ami-{}", id(5_000_000 + region * 1_000 + n)).parse().unwrap(),
        name: format!("web-golden-2026.{n}"),
        state: "available".to_owned(),
        owner: origin.account.clone(),
        architecture: "x86_64".to_owned(),
        platform: "Linux/UNIX".to_owned(),
        public: false,
        snapshots: vec![snapshot(origin, region, n * 7).id],
        size: Bytes::gib(8),
        created: Some(ago(n * 86_400)),
        deprecated: None,
        last_launched: None,
        description: String::new(),
        tags: Vec::new(),
    }
}

fn profiles() -> Vec<ProfileInfo> {
    let info = |name: &str, kind, account: &str, usable, state: &str, mend: Option<&str>| ProfileInfo {
        name: Some(name.parse().unwrap()),
        kind,
        region: Some("us-east-1".parse().unwrap()),
        account: Some(account.parse().unwrap()),
        state: state.to_owned(),
        usable,
        mend: mend.map(str::to_owned),
    };
    vec![
        info("prod", ProfileKind::Sso, "123456789012", true, "signed in until 09:55", None),
        info("dr", ProfileKind::Sso, "210987654321", false, "sign-in ended", Some("aws sso login --profile dr")),
        info("ci", ProfileKind::Role, "123456789012", true, "role from prod", None),
        info("lab", ProfileKind::Keys, "345678901234", true, "keys in the file", None),
    ]
}

/// An image of this snapshot.
pub(super) fn image_of(origin: &Arc<Origin>, row: &SnapshotRow) -> ImageRow {
    ImageRow { snapshots: vec![row.id.clone()], ..image(origin, 2, 3) }
}

/// The first page.
pub fn start() -> Model {
    let mut model = Model::default();
    let files = vec!["~/.aws/config".to_owned(), "~/.aws/credentials".to_owned()];
    update(&mut model, Msg::Profiles(profiles(), files), example::now());
    model
}

/// Fills a deck with the account.
pub fn with_inventory(mut model: Model) -> Model {
    let (screen, now) = (model.screen, example::now());
    update(&mut model, Msg::Resize(120, 36), now);
    update(&mut model, Msg::Profiles(profiles(), Vec::new()), now);
    look(&mut model, vec!["prod".parse().unwrap()], Vec::new());
    let number = model.look;
    let mut tell = |told: Update| {
        update(&mut model, Msg::Inventory(number, told), now);
    };
    let places: Vec<Arc<Origin>> = REGIONS.iter().map(|(name, ..)| origin(name)).collect();
    let rows = places.iter().map(|p| RegionRow { name: p.region.clone(), opt_in: "opted-in".to_owned() }).collect();
    tell(Update::Regions(places[0].profile.clone(), places[0].account.clone(), rows));
    for ((n, place), (name, snapshots, volumes, images)) in (0u64..).zip(&places).zip(REGIONS) {
        let kinds = [Kind::Snapshots, Kind::Volumes, Kind::Images];
        if name == "me-south-1" {
            for kind in kinds {
                let error = floe::error::Error::failed("me-south-1 is closed by a policy (explicit deny in an SCP)")
                    .todo("leave the region out with R, or ask for ec2:Describe* there");
                tell(Update::Failed { origin: place.clone(), kind, error, denied: true });
            }
            continue;
        }
        for kind in kinds {
            tell(Update::Started(place.clone(), kind));
        }
        tell(Update::Page(place.clone(), Rows::Snapshots((0..snapshots).map(|k| snapshot(place, n, k)).collect())));
        tell(Update::Page(place.clone(), Rows::Volumes((0..volumes).map(|k| volume(place, n, k)).collect())));
        tell(Update::Page(place.clone(), Rows::Images((0..images).map(|k| image(place, n, k)).collect())));
        for kind in kinds.into_iter().filter(|kind| name != "eu-central-1" || *kind != Kind::Snapshots) {
            tell(Update::Done(place.clone(), kind, ago(4 + n)));
        }
    }
    settle(&mut model, now);
    model.screen = screen;
    model.toast = None;
    model
}

fn settle(model: &mut Model, now: Now) {
    let now = now.later(Duration::from_secs(1));
    for _ in 0..100_000 {
        if !wants(model, now).work {
            return;
        }
        update(model, Msg::Work, now);
    }
    panic!("the work never ends");
}

/// How the account is set up in its main region.
fn setup() -> Setup {
    let fact = |code: &str, name: &str, value| QuotaFact {
        code: code.to_owned(),
        name: name.to_owned(),
        value,
        region: "us-east-1".to_owned(),
        told: true,
        adjustable: code == codes::GET_ACCOUNT || code == codes::PUT_ACCOUNT,
    };
    let rule = BinRule { id: "Kq1zEwtoWQF".to_owned(), days: 14, tags: Vec::new(), except: Vec::new() };
    Setup {
        encryption: Ok(EncryptionDefault { on: true, key: Some("alias/ebs-prod".to_owned()) }),
        sharing: Ok(PublicSharing::Blocked),
        bin: Ok(vec![rule]),
        quotas: vec![
            fact(codes::GET_ACCOUNT, "GetSnapshotBlock requests per account", 1_000.0),
            fact(codes::GET_SNAPSHOT, "GetSnapshotBlock requests per snapshot", 1_000.0),
            fact(codes::PUT_ACCOUNT, "PutSnapshotBlock requests per account", 5_000.0),
            fact(codes::PUT_SNAPSHOT, "PutSnapshotBlock requests per snapshot", 1_000.0),
            fact(codes::PENDING, "Pending snapshots per account", 100.0),
        ],
    }
}

/// All regions at a glance.
pub fn world() -> Model {
    let mut model = with_inventory(Model::default());
    model.screen = Screen::World;
    update(&mut model, Msg::Setup(origin("us-east-1"), Box::new(setup())), example::now());
    model
}

/// Snapshots of all regions.
pub fn snapshots() -> Model {
    let mut model = with_inventory(Model::default());
    model.screen = Screen::Snapshots;
    settle(&mut model, example::now());
    model
}
