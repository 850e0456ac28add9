//! The operating screens as text and as styles, at two sizes; their sums; and every size there is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use floe::engine::protocol::Status;
use floe::error::Error;
use floe::ids::JobId;
use floe::plan::{Finding, Level};
use floe::tui::model::Model;
use floe::tui::msg::Msg;
use floe::tui::screen::Screen;
use floe::tui::screen::plan::{Figure, Sheet};
use floe::tui::theme::{Depth, Palette, Theme};
use floe::tui::update::update;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{example, planned, planned_with, text, transfers};

/// Only the screen, without the frame around it.
fn body(model: &Model, width: u16, height: u16, theme: &Theme) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    (model.screen.page().view)(model, area, &mut buffer, theme, example::now());
    buffer
}

/// One letter per style, and which style that is.
fn styles(buffer: &Buffer) -> String {
    let mut letters = BTreeMap::new();
    let mut legend = String::new();
    let mut map = String::new();
    for y in 0..buffer.area.height {
        for x in 0..buffer.area.width {
            let cell = &buffer[(x, y)];
            let name = format!("{:?} on {:?} {:?}", cell.fg, cell.bg, cell.modifier);
            let next = char::from(b'a' + u8::try_from(letters.len()).unwrap());
            let letter = *letters.entry(name.clone()).or_insert_with(|| {
                let _ = writeln!(legend, "{next} {name}");
                next
            });
            map.push(if cell.symbol() == " " && letter == 'a' { ' ' } else { letter });
        }
        let end = map.trim_end().len();
        map.truncate(end);
        map.push('\n');
    }
    format!("{map}{legend}")
}

fn golden(name: &str, model: &Model) {
    for (width, height) in [(120, 32), (80, 20)] {
        let buffer = body(model, width, height, &Theme::default());
        insta::assert_snapshot!(format!("{name}_{width}x{height}"), text(&buffer));
        insta::assert_snapshot!(format!("{name}_{width}x{height}_styles"), styles(&buffer));
    }
}

fn heard(status: Status) -> Model {
    let mut model = Model { screen: Screen::Transfers, ..Model::default() };
    update(&mut model, Msg::Status(Arc::new(status)), example::now());
    model
}

fn selected(job: u32) -> Model {
    let mut model = transfers();
    model.transfers.cursor = Some(JobId(job));
    model
}

fn refused() -> Model {
    let mut plan = example::plan();
    plan.findings.push(Finding {
        level: Level::Refused,
        text: "the source is encrypted and the result would not be".to_owned(),
        todo: Some("--allow-decrypt, or a key: --kms-key".to_owned()),
    });
    planned_with(plan)
}

fn log() -> Model {
    let mut model = transfers();
    model.screen = Screen::Log;
    let error =
        Error::failed("the credentials of profile dr ended while job 13 ran").todo("aws sso login --profile dr");
    model.keep_problem(example::now(), error);
    model
}

fn making() -> Model {
    let mut model = Model::default();
    floe::tui::screen::plan::open(&mut model, example::plan().operation, example::now());
    model
}

fn failed() -> Model {
    let mut model = making();
    let error = Error::failed("snap-01c55a9e07b3d2f48 is not in eu-west-1").todo("us-east-1:snap-01c55a9e07b3d2f48");
    update(&mut model, Msg::Planned(1, Err(error)), example::now());
    model
}

fn sheet(sheet: Sheet) -> Model {
    let mut model = planned();
    model.plan.sheet = sheet;
    model
}

fn graph() -> Model {
    let mut model = transfers();
    model.transfers.graph = true;
    model
}

fn job() -> Model {
    let mut model = transfers();
    model.screen = Screen::Job;
    model
}

fn all() -> Vec<(&'static str, Model)> {
    vec![
        ("plan", planned()),
        ("plan_refused", refused()),
        ("plan_making", making()),
        ("plan_failed", failed()),
        ("plan_memory", sheet(Sheet::Formula(Figure::Memory))),
        ("plan_money", sheet(Sheet::Formula(Figure::Money))),
        ("plan_time", sheet(Sheet::Formula(Figure::Time))),
        ("plan_checks", sheet(Sheet::Checks)),
        ("transfers", transfers()),
        ("transfers_waiting", selected(13)),
        ("transfers_done", selected(12)),
        ("transfers_graph", graph()),
        ("transfers_nothing", Model { screen: Screen::Transfers, ..Model::default() }),
        ("job", job()),
        ("log", log()),
    ]
}

#[test]
fn screens_look_as_they_did() {
    for (name, model) in all() {
        golden(name, &model);
    }
}

#[test]
fn no_size_is_too_small_or_too_large() {
    let plain = Theme { palette: Palette::Mono, depth: Depth::Sixteen, ascii: true };
    for (name, model) in all() {
        for width in (1..=200).step_by(11).chain([2, 3, 5, 8, 60, 79, 80, 81, 99, 100, 119, 120]) {
            for height in [1, 2, 3, 4, 5, 7, 10, 13, 17, 20, 32, 60] {
                let drawn = body(&model, width, height, &plain);
                assert_eq!(drawn.area, Rect::new(0, 0, width, height), "{name}");
            }
        }
    }
}

/// Numbers of a text, thousands joined.
fn numbers(line: &str) -> Vec<f64> {
    line.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ','))
        .filter_map(|word| word.trim_matches(['.', ',']).replace(',', "").parse().ok())
        .collect()
}

fn last(line: &str) -> f64 {
    *numbers(line).last().unwrap_or_else(|| panic!("no number in {line}"))
}

#[test]
fn rows_of_the_transfers_add_up_to_the_rate_of_all() {
    for (a, b) in [(486.0, 45.0), (300.5, 200.5), (3.17, 2.77), (33.33, 33.34)] {
        let mut status = example::status();
        let mib = 1024.0 * 1024.0;
        for (job, rate) in [(14, a), (15, b)] {
            status.jobs.iter_mut().find(|j| j.job == JobId(job)).unwrap().rate = floe::units::Rate(rate * mib);
        }
        let total: f64 = status.jobs.iter().map(|job| job.rate.0 / mib).sum();
        let drawn = text(&body(&heard(status), 120, 32, &Theme::default()));
        let rows: Vec<f64> =
            drawn.lines().skip(2).take(2).map(|line| last(line.split("MiB/s").next().unwrap_or(""))).collect();
        let places = if total >= 9.95 { 1.0 } else { 10.0 };
        let (sum, wanted) = (rows.iter().sum::<f64>(), (total * places).round() / places);
        assert!((sum - wanted).abs() < 0.001, "{rows:?} are not {wanted}");
    }
}

#[test]
fn segments_add_up_to_the_job() {
    let segments = example::segments();
    let blocks: u64 = segments.iter().map(|s| s.done.0).sum();
    assert_eq!(blocks, example::DONE);
    let drawn = text(&body(&transfers(), 120, 32, &Theme::default()));
    let table: Vec<&str> =
        drawn.lines().skip_while(|l| !l.contains("Segments 17")).skip(2).take_while(|l| !l.starts_with('└')).collect();
    let mut sum = 0.0;
    for line in &table {
        let line: String = line.chars().take(69).collect();
        sum += if line.contains(" more, ") {
            last(&line)
        } else {
            let after = line.split_once('%').unwrap().1;
            numbers(after)[0]
        };
    }
    assert!((sum - 486.0).abs() < 0.001, "{sum}\n{}", table.join("\n"));
}

#[test]
fn a_plans_parts_add_up_to_its_sums() {
    for blocks in [1, 7, 2_048, 823_296, 5_000_001, example::TOTAL] {
        let plan = example::plan_of(blocks, &example::machine());
        let drawn = text(&body(&planned_with(plan), 120, 32, &Theme::default()));
        let rows: Vec<String> = drawn
            .lines()
            .skip_while(|l| !l.starts_with("┌ Parts"))
            .skip(2)
            .take_while(|l| !l.starts_with('└'))
            .map(|l| l.chars().skip(1).take(51).collect())
            .collect();
        let cells = |from: usize, to: usize| -> Vec<String> {
            rows.iter().map(|r| r.chars().skip(from).take(to - from).collect()).collect()
        };
        let check = |cells: &[String], sum_at: &str| {
            let mut sum = 0.0;
            for cell in cells {
                if cell.trim_start().starts_with('=') {
                    if cell.contains(sum_at) {
                        assert!((last(cell) - sum).abs() < 0.000_05, "{sum} is not{cell} of {blocks}\n{drawn}");
                        return;
                    }
                    continue;
                }
                sum += last(cell);
            }
            panic!("no {sum_at} in {cells:?}");
        };
        check(&cells(0, 24), "= in the budget");
        check(&cells(0, 24), "= process peak");
        check(&cells(25, 51), "= once");
    }
}

#[test]
fn a_jobs_dollars_are_the_same_in_its_row_and_in_its_gauge() {
    let drawn = text(&body(&transfers(), 120, 32, &Theme::default()));
    let row = drawn.lines().find(|l| l.contains("▶")).unwrap();
    let gauge = drawn.lines().find(|l| l.contains("MONEY")).unwrap();
    let spent = floe::units::Usd(example::dollars(example::DONE)).to_string();
    assert!(row.contains(spent.trim_start_matches('$')) && gauge.contains(&spent), "{row}\n{gauge}");
}

#[test]
fn a_running_job_is_never_drawn_full() {
    let mut status = example::status();
    let job = status.jobs.iter_mut().find(|j| j.job == JobId(14)).unwrap();
    job.blocks_done = floe::units::Blocks(example::TOTAL);
    let drawn = text(&body(&heard(status), 120, 32, &Theme::default()));
    let row = drawn.lines().find(|l| l.contains("▶")).unwrap();
    assert!(row.contains("99 %") && row.contains("█░"), "{row}");
    assert!(drawn.contains("99.9 %"));
}

#[test]
fn drawing_a_screen_is_quick_enough_for_thirty_a_second() {
    // A hundred frames: far above any noise, far below what a bug in windowing would take.
    let model = transfers();
    let begun = std::time::Instant::now();
    for _ in 0..100 {
        body(&model, 200, 60, &Theme::default());
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
