//! Orphans and a deletion plan, for the pictures: the chain of a build server whose volume is gone, judged by the very
//! rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use floe::inventory::frees::{Chain, Walk, Whys};
use floe::inventory::relations::{Answers, Facts, Region, Told, Update};
use floe::inventory::verdict::{Judged, Policy, Thing, View};
use floe::inventory::{SnapshotRow, State, Tier, VolumeRow};
use floe::plan::removal::{Facts as Removable, RemovalPlan, Rules, Target, VERSION, decide};
use floe::rows::BinRule;
use floe::tui::effect::Effect;
use floe::tui::insides::Lives;
use floe::tui::model::Model;
use floe::tui::msg::Msg;
use floe::tui::screen::{orphans, removal};
use floe::tui::update::{update, wants};
use floe::units::Bytes;

use super::example;
use super::world::{ago, origin, snapshot, volume, with_inventory};

const DAY: u64 = 86_400;

fn known<T>(value: T) -> Told<T> {
    Told::Known { value, at: ago(40) }
}

/// Six snapshots of one volume that is gone, weekly; others of other volumes beside them.
fn rows() -> Vec<SnapshotRow> {
    let here = origin("us-west-2");
    let ids = [
        "0b9c2e7d11f4a8063",
        "03ee84c1a90d57b2f",
        "08c71d6f2be40a953",
        "0c5d20e19bb4711e0",
        "0f70aa13de96cc2b4",
        "0a9152b7c08f477de",
    ];
    let full = [212, 218, 221, 223, 229, 402];
    let mut out: Vec<SnapshotRow> = (0..6)
        .map(|n| SnapshotRow {
            id: format!("snap-{}", ids[n]).parse().unwrap(),
            name: Some("jenkins".to_owned()),
            volume: "vol-09d4e1f7720c3b8a5".parse().ok(),
            size: Bytes::gib(500),
            full: Some(Bytes::gib(full[n])),
            started: ago((412 - n as u64 * 7) * DAY),
            ..plain(snapshot(&here, 2, 900))
        })
        .collect();
    out.extend((0..5).map(|n| SnapshotRow {
        started: ago((120 + n * 60) * DAY),
        volume: format!("vol-0{:016x}", 0x77aa_0000 + n).parse().ok(),
        ..plain(snapshot(&here, 2, 700 + n))
    }));
    out
}

fn plain(row: SnapshotRow) -> SnapshotRow {
    SnapshotRow { tier: Tier::Standard, state: State::Completed, encrypted: true, tags: Vec::new(), ..row }
}

fn region() -> Arc<Region> {
    let here = origin("us-west-2");
    let mut snapshots = rows();
    let loose = VolumeRow {
        state: "available".to_owned(),
        attached_to: Vec::new(),
        name: Some("build-tmp".to_owned()),
        size: Bytes::gib(500),
        created: ago(97 * DAY),
        ..volume(&here, 2, 4)
    };
    // The newest of the chain is an image's still.
    let image = super::world::image_of(&here, &snapshots[5]);
    let shares = snapshots.iter().map(|row| (row.id.clone(), known(Vec::new()))).collect();
    snapshots.sort_by_key(|row| std::cmp::Reverse(row.started));
    let answers = Answers {
        templates: known(Vec::new()),
        versions: known(Vec::new()),
        public: known(Vec::new()),
        locks: known(Vec::new()),
        fast_restores: known(Vec::new()),
        tierings: known(Vec::new()),
        binned_snapshots: known(Vec::new()),
        binned_images: known(Vec::new()),
        snapshot_shares: shares,
        image_shares: [(image.id.clone(), known(Vec::new()))].into(),
        image_references: [(image.id.clone(), known(Vec::new()))].into(),
        ..Answers::default()
    };
    Arc::new(Region::new(Facts {
        origin: here,
        snapshots: known(Arc::new(snapshots)),
        volumes: known(Arc::new(vec![loose])),
        images: known(Arc::new(vec![image])),
        instances: known(Arc::new(Vec::new())),
        answers,
        jobs: known(Vec::new()),
        copies: Arc::default(),
    }))
}

/// What AWS lists of the chain, a GiB a letter: each week some of the week before was written over.
fn lives() -> Lives {
    let rows = rows();
    let refs: Vec<&SnapshotRow> = rows.iter().collect();
    let mut chain = Chain::of(&rows[0], &refs, &[]);
    chain.entangled = Whys::NONE;
    chain.answered(None);
    let stretch = chain.whole().unwrap();
    let mut walk = Walk::new(0, 500 * 2_048, false);
    let mut wrote = |from: u32, gib: u32| {
        (from * 2_048..(from + gib) * 2_048).for_each(|index| walk.event(index, true));
        walk.stepped();
    };
    // The first week's, then what each week wrote over; where they overlap, what was before is the older's alone.
    for (from, gib) in [(0, 212), (0, 150), (140, 30), (165, 15), (172, 40), (60, 340)] {
        wrote(from, gib);
    }
    let rule = BinRule { id: "rule".into(), days: 28, tags: Vec::new(), except: Vec::new() };
    Lives { chain, stretch, lives: walk.end(false), rules: Some(vec![rule]) }
}

fn settle(model: &mut Model) {
    let now = example::now().later(std::time::Duration::from_secs(1));
    while wants(model, now).work {
        update(model, Msg::Work, now);
    }
}

/// Three of a chain marked, exactly known.
pub fn orphans() -> Model {
    let (mut model, now) = (with_inventory(Model::default()), example::now());
    let effects = orphans::open(&mut model, now);
    let [Effect::Judge { number, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    let region = region();
    for told in [Update::Regions(1), Update::Bulk(Arc::clone(&region)), Update::Done(region), Update::Finished] {
        update(&mut model, Msg::Judged(*number, Box::new(told)), now);
    }
    let lives = lives();
    let ids = lives.stretch.ids.clone();
    let at = (origin("us-west-2"), ids[0].clone());
    update(&mut model, Msg::Freed(at, Box::new(Ok(lives))), now);
    settle(&mut model);
    for id in ids.iter().take(3) {
        let place = model.orphans.table.find(&id.to_string()).unwrap();
        model.orphans.list.marks.insert(place);
        model.orphans.list.show(place, now);
    }
    model.orphans.list.recount();
    settle(&mut model);
    model.toast = None;
    model
}

/// The deletion plan of these, and of a volume; the deck is armed.
pub fn deletion() -> Model {
    let (mut model, now) = (orphans(), example::now());
    update(&mut model, Msg::Alias("123456789012".parse().unwrap(), Some("acme-prod".to_owned())), now);
    let region = region();
    let policy = Policy::default();
    let view = View { region: &region, policy: &policy, now: now.wall };
    let wanted = |thing: &Thing<'_>| {
        model.orphans.list.marks.iter().any(|at| {
            model.orphans.table.get(*at).is_some_and(|row| thing.id() == *floe::tui::catalog::Record::id(row))
        }) || thing.id().starts_with("vol-")
    };
    let judged: Vec<Judged> = view.things().filter(wanted).map(|thing| view.judge(thing)).collect();
    let effects = removal::open_judged(&mut model, &judged, 0, Default::default());
    let [Effect::PlanRemoval { number, wanted }] = effects.as_slice() else { panic!("{effects:?}") };
    let mut facts = Removable::default();
    let rule = BinRule { id: "rule".into(), days: 28, tags: Vec::new(), except: Vec::new() };
    facts.snapshot_rules = Rules::Known(vec![rule]);
    facts.snapshots = region.snapshots().iter().map(|row| (row.id.clone(), row.clone())).collect();
    facts.volumes = region.volumes().iter().map(|row| (row.id.clone(), row.clone())).collect();
    let item = |(_, target): &(_, Target)| {
        let of = judged.iter().find(|judged| judged.id == target.id()).unwrap();
        let at = model.orphans.table.find(&of.id).unwrap();
        let row = model.orphans.table.get(at).unwrap();
        let of = Judged { frees: row.frees, usd_per_month: row.usd, ..of.clone() };
        decide(target, &of, &facts, &wanted.wishes, &BTreeSet::new())
    };
    let mut items: Vec<_> = wanted.targets.iter().map(item).collect();
    items.sort_by_key(|item| !item.back.is_final());
    let plan = RemovalPlan {
        version: VERSION,
        made: now.wall - jiff::SignedDuration::from_secs(4),
        by: "ops".into(),
        world: floe::aws::WorldId { endpoint: None, partition: "aws".into() },
        wishes: wanted.wishes.clone(),
        limit: 100,
        prices_as_of: "2026-09-21".into(),
        items,
        archive: None,
        together: Vec::new(),
    };
    update(&mut model, Msg::RemovalPlanned(*number, Box::new(Ok(plan))), now);
    model.arm("123456789012".parse().unwrap(), now);
    model.toast = None;
    model
}
