//! What ties snapshots together, for the pictures: the database of the example and its three older snapshots.

use floe::ids::JobId;
use floe::inventory::archives::{ArchiveRow, Inspected, Missing};
use floe::inventory::elsewhere::{Copy, Proof, Where};
use floe::inventory::{Kind, Rows, SnapshotRow, Update};
use floe::plan::compare::{CELLS, Tally};
use floe::plan::count::Counted;
use floe::store::copies::Held;
use floe::tui::figures::{Count, What};
use floe::tui::model::Model;
use floe::tui::msg::Msg;
use floe::tui::screen::{archives, compare, elsewhere, lineage};
use floe::tui::update::update;
use floe::units::{Blocks, Bytes};

use super::example;
use super::world::{ago, origin, snapshot, snapshots};

const DAY: u64 = 86_400;

/// The database's snapshots, oldest first.
fn family() -> Vec<SnapshotRow> {
    let here = origin("us-east-1");
    let ids = ["018e6cc1d58b09a74", "019d40b6f1ae77c20", "01b7e2d90c4418a3f", "01c55a9e07b3d2f48"];
    let full = [29_779_558u64, 30_828_135, 31_247_565, example::TOTAL];
    let ages = [42 * DAY, 28 * DAY, 14 * DAY, DAY / 4];
    let row = |n: usize| SnapshotRow {
        id: format!("snap-{}", ids[n]).parse().unwrap(),
        name: Some("db-data".to_owned()),
        volume: Some("vol-0b77e1c2a90d4f318".parse().unwrap()),
        size: Bytes::gib(16_384),
        full: Some(Blocks(full[n]).bytes()),
        started: ago(ages[n]),
        ..snapshot(&here, 0, 0)
    };
    (0..4).map(row).collect()
}

fn told(mut model: Model) -> (Model, Vec<SnapshotRow>) {
    let rows = family();
    let look = model.look;
    let origin = rows[0].origin.clone();
    for told in
        [Update::Page(origin.clone(), Rows::Snapshots(rows.clone())), Update::Done(origin, Kind::Snapshots, ago(4))]
    {
        update(&mut model, Msg::Inventory(look, told), example::now());
    }
    (model, rows)
}

/// Changes of a database: hot tables in front, a log that moves, some tables that grew and some that went.
fn changes(added: u32, removed: u32, changed: u32) -> Count {
    let mut cells = vec![Tally::default(); CELLS];
    let mut seed = 1u64;
    for (n, cell) in cells.iter_mut().enumerate() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let dice = (seed >> 33) % 100;
        *cell = match n {
            30..120 if dice < 80 => Tally { changed, ..Tally::default() },
            300..340 => Tally { changed: changed * 2, ..Tally::default() },
            560..640 if dice < 30 => Tally { changed, ..Tally::default() },
            760..790 => Tally { removed, ..Tally::default() },
            900..960 => Tally { added, ..Tally::default() },
            _ => Tally::default(),
        };
    }
    let sum = cells.iter().fold([0u64; 3], |[a, c, r], cell| {
        [a + u64::from(cell.added), c + u64::from(cell.changed), r + u64::from(cell.removed)]
    });
    let [added, changed, removed] = sum.map(Blocks);
    let counted = Counted { volume: Bytes::gib(16_384), blocks: added + changed + removed, added, changed, removed };
    Count { counted, cells }
}

fn counted(model: &mut Model, older: &SnapshotRow, newer: &SnapshotRow, count: Count) {
    update(model, Msg::Counted(What::delta(older, newer), Box::new(Ok(count))), example::now());
}

fn held(row: &SnapshotRow) -> Held {
    Held { region: row.origin.region.clone(), id: row.id.clone() }
}

fn copy(of: &SnapshotRow, at: Where, proof: Proof, since: u64) -> Copy {
    Copy { of: held(of), at, is_base: proof.is_proved(), proof, since: ago(since), unique: None }
}

/// Records of copies: the database's, two web servers', and one whose copy was deleted.
fn copied(model: &mut Model, rows: &[SnapshotRow]) {
    let there = |n: u64| Where::Snapshot(held(&snapshot(&origin("eu-west-1"), 1, n)));
    let home = |n: u64| snapshot(&origin("us-east-1"), 0, n);
    let copies = vec![
        copy(&rows[2], there(7), Proof::Copied(JobId(12)), 13 * DAY),
        copy(&rows[1], Where::File("/backup/db-data.img".into()), Proof::Verified, 20 * DAY),
        copy(&home(40), there(9), Proof::Copied(JobId(9)), 2 * DAY),
        copy(&home(41), there(11), Proof::Copied(JobId(8)), 3 * DAY),
        copy(
            &home(42),
            Where::Snapshot(Held {
                region: "us-west-2".parse().unwrap(),
                id: "snap-0dead00000c0ffee1".parse().unwrap(),
            }),
            Proof::Copied(JobId(4)),
            90 * DAY,
        ),
    ];
    update(model, Msg::Copies(copies), example::now());
}

/// The last two of the database, compared.
pub fn compared() -> Model {
    let (mut model, rows) = told(snapshots());
    copied(&mut model, &rows);
    compare::open(&mut model, rows[3].clone(), rows[2].clone(), example::now());
    counted(&mut model, &rows[2], &rows[3], changes(4_000, 2_400, 5_100));
    model
}

/// Its chain, two steps counted.
pub fn chain() -> Model {
    let (mut model, rows) = told(snapshots());
    copied(&mut model, &rows);
    counted(&mut model, &rows[0], &rows[1], changes(9_000, 100, 3_700));
    counted(&mut model, &rows[1], &rows[2], changes(5_000, 1_800, 4_900));
    lineage::open(&mut model, &rows[2], example::now());
    model
}

/// All volumes, those with copies at the end, where the cursor is.
pub fn everywhere() -> Model {
    let (mut model, rows) = told(snapshots());
    copied(&mut model, &rows);
    elsewhere::open(&mut model, example::now());
    let at = model.elsewhere.rows.iter().position(|row| row.name.as_deref() == Some("db-data") && row.proved.is_some());
    model.elsewhere.cursor.step(isize::try_from(at.unwrap()).unwrap(), model.elsewhere.rows.len());
    model
}

/// A vault with archives of the database and others.
pub fn vault() -> Model {
    let (mut model, rows) = told(snapshots());
    archives::list(&mut model, "s3://vault/ebs/".parse().unwrap());
    let prefix = model.archives.prefix.clone().unwrap();
    let row = |id: String, kind: &str, gib: u64, blocks: u64, age: u64, source: String| ArchiveRow {
        address: format!("s3://vault/ebs/{id}/"),
        base: id.split_once("..").and_then(|(base, _)| base.parse().ok()),
        id,
        kind: kind.to_owned(),
        volume_bytes: Some(Bytes::gib(gib)),
        blocks: Some(Blocks(blocks)),
        stored_bytes: Some(Bytes(blocks * 524_288 / 100 * 41)),
        made: Some(ago(age)),
        source: Some(source),
        trouble: None,
    };
    let of = |n: usize| format!("prod@us-east-1:{}", rows[n].id);
    let step = |n: usize| format!("{}..{}", rows[n - 1].id, rows[n].id);
    let bare = |id: &str, kind: &str, why: &str| ArchiveRow {
        volume_bytes: None,
        blocks: None,
        stored_bytes: None,
        made: None,
        source: None,
        trouble: Some(why.to_owned()),
        ..row(id.to_owned(), kind, 0, 0, 0, String::new())
    };
    let listed = vec![
        row(rows[0].id.to_string(), "whole", 16_384, 29_779_558, 41 * DAY, of(0)),
        row(step(1), "delta", 16_384, 796_540, 27 * DAY, format!("prod@us-east-1:{}", step(1))),
        row(step(2), "delta", 16_384, 823_296, 13 * DAY, format!("prod@us-east-1:{}", step(2))),
        row("build-tmp-8f2c11d0".to_owned(), "file", 64, 88_211, 3 * DAY, "./build-tmp.img".to_owned()),
        bare("snap-0f70aa91be2d6c2b4", "unfinished", "it has no manifest: its job was not finished"),
        bare("snap-0d4f0a2286bc17e59", "unreadable", "could not read its manifest (s3:GetObject AccessDenied 403)"),
    ];
    let checked = listed[3].address.clone();
    update(&mut model, Msg::Archives(prefix, Box::new(Ok(listed))), example::now());
    let known =
        Inspected { chain: Vec::new(), classes: vec!["STANDARD_IA".to_owned()], missing: Some(Missing::default()) };
    update(&mut model, Msg::Inspected(checked, Box::new(Ok(known))), example::now());
    model
}
