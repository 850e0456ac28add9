//! The operating screens as text and as styles, at two sizes; their sums; and every size there is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

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

use super::{clearing, draw, example, planned, planned_with, text, transfers};

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

/// A job that has stood still for a while.
fn stalled() -> Model {
    use floe::engine::protocol::{Cause, Stall};
    let mut status = example::status();
    let job = status.jobs.iter_mut().find(|j| j.job == JobId(14)).unwrap();
    (job.rate, job.left_seconds, job.why) = (floe::units::Rate(0.0), None, "KMS throttled".to_owned());
    job.stall = Some(Stall {
        cause: Cause::Kms,
        word: job.why.clone(),
        seconds: 12.0,
        text: "no bytes for 12 s, 40 throttles at KMS level, rate of Put per account eu-west-1 1,000 → 610/s"
            .to_owned(),
    });
    status.rate = status.jobs.iter().map(|job| job.rate).sum();
    heard(status)
}

/// A paused one whose snapshot will not wait for ever.
fn dying() -> Model {
    let mut status = example::status();
    let job = status.jobs.iter_mut().find(|j| j.job == JobId(14)).unwrap();
    (job.rate, job.left_seconds, job.why) = (floe::units::Rate(0.0), None, "paused".to_owned());
    job.state = floe::engine::protocol::JobState::Paused;
    job.expires = Some(example::now().wall + jiff::SignedDuration::from_secs(71 * 3600 + 58 * 60));
    status.rate = status.jobs.iter().map(|job| job.rate).sum();
    let mut model = heard(status);
    model.transfers.cursor = Some(JobId(14));
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

pub(super) fn all() -> Vec<(&'static str, Model)> {
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
        ("transfers_stalled", stalled()),
        ("transfers_dying", dying()),
        ("transfers_graph", graph()),
        ("transfers_nothing", Model { screen: Screen::Transfers, ..Model::default() }),
        ("job", job()),
        ("log", log()),
        ("orphans", clearing::orphans()),
        ("deletion", clearing::deletion()),
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
        check(&cells(0, 22), "= in the budget");
        check(&cells(0, 22), "= process peak");
        check(&cells(23, 51), "= once");
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

/// What plans of these jobs say of the process together, from the parts of the plans: its base once, the rest of each,
/// and of the budget no more than there is.
fn said_together(plans: &[floe::plan::Plan], budget: f64) -> f64 {
    let sum = |counts: &dyn Fn(&floe::plan::MemoryPart) -> bool| -> f64 {
        let parts = plans.iter().flat_map(|plan| &plan.memory.parts).filter(|part| counts(part));
        parts.map(|part| part.bytes.as_mib()).sum()
    };
    let process = sum(&|part| part.name == "process") / plans.len() as f64;
    let budgeted = sum(&|part| part.in_budget);
    let held = if plans.len() > 1 { budgeted.min(budget) } else { budgeted };
    process + sum(&|part| !part.in_budget && part.name != "process") + held
}

#[test]
fn what_was_said_of_the_process_is_that_of_all_jobs_that_run_in_it() {
    let gauge = |drawn: &str| -> Vec<f64> {
        let line = drawn.lines().find(|l| l.contains("PROCESS")).unwrap();
        numbers(line.split("PROCESS").nth(1).unwrap())
    };
    let plans = [
        example::plan(),
        example::plan_of_file(11_264, "/root/web-root.img"),
        example::plan_of_file(2_048_000, "/srv/nfs.img"),
    ];
    // Whatever is under the cursor: three are at work, one is queued, one is done.
    for job in [13, 14, 15, 16] {
        let drawn = text(&body(&selected(job), 120, 32, &Theme::default()));
        assert_eq!(gauge(&drawn), [231.0, said_together(&plans, 256.0).round()], "{drawn}");
    }
    let sheet = text(&draw(&holders(3), 120, 60, &Theme::default(), example::now()));
    let line = sheet.lines().find(|l| l.starts_with("│   said ≤")).unwrap();
    let found = numbers(line);
    let three = [example::plan(), example::plan(), example::plan()];
    assert!((found[0] - said_together(&three, 256.0)).abs() < 0.051, "{line}");
    assert!((found[2] + found[3] + found[4] - found[0]).abs() < 1.5, "{line}");

    // One alone is held to its own plan.
    let mut status = example::status();
    status.jobs.retain(|job| ![13, 15].contains(&job.job.0));
    let drawn = text(&body(&heard(status.clone()), 120, 32, &Theme::default()));
    assert_eq!(gauge(&drawn), [231.0, said_together(&plans[..1], 256.0).round()], "{drawn}");
    // Where nothing was said of one of them, nothing is said of all.
    status.jobs[0].state = floe::engine::protocol::JobState::Running;
    status.jobs[0].predicted = floe::engine::protocol::Predicted::default();
    assert!(text(&body(&heard(status), 120, 32, &Theme::default())).contains("231 MiB · peak 244"));
}

#[test]
fn a_job_that_was_not_alone_is_compared_with_what_was_said_of_all() {
    let mut status = example::status();
    let job = status.jobs.iter_mut().find(|job| job.job == JobId(12)).unwrap();
    (job.peak_rss, job.said_at_peak) = (floe::units::Bytes::mib(230), Some(floe::units::Bytes::mib(260)));
    let mut model = heard(status);
    model.transfers.cursor = Some(JobId(12));
    let drawn = text(&body(&model, 120, 36, &Theme::default()));
    assert!(drawn.contains("230 MiB at the peak · said ≤ 260 ✓"), "{drawn}");
}

#[test]
fn what_the_embedded_aws_takes_is_not_held_against_what_was_said() {
    let mut status = example::status();
    for job in &mut status.jobs {
        job.embedded = true;
    }
    let job = status.jobs.iter_mut().find(|job| job.job == JobId(12)).unwrap();
    job.peak_rss = floe::units::Bytes::mib(2300);
    let mut model = heard(status);
    model.transfers.cursor = Some(JobId(12));
    let drawn = text(&body(&model, 140, 36, &Theme::default()));
    let line = drawn.lines().find(|line| line.contains("2300 MiB")).unwrap();
    assert!(line.contains("2300 MiB with the sandbox · said ≤ 95"), "{line}");
    assert!(!line.contains("more") && !line.contains('✓'), "{line}");
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
    // A hundred frames, in seconds of this thread's processor, which other work on the machine does not lengthen: far
    // above what they take, far below what a bug in windowing would take.
    let spent = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let model = transfers();
    let begun = spent();
    for _ in 0..100 {
        body(&model, 200, 60, &Theme::default());
    }
    let took = spent().tv_sec - begun.tv_sec;
    assert!(took < 10, "{took} s");
}

#[test]
fn a_job_that_stands_still_says_why_on_its_row_at_every_width() {
    let model = stalled();
    let row = |width, height| {
        let drawn = text(&body(&model, width, height, &Theme::default()));
        (drawn.lines().find(|line| line.contains("▶ 14") || line.contains("▶  14")).unwrap().to_owned(), drawn)
    };
    let (wide, all) = row(120, 36);
    assert!(wide.contains("no bytes for 12 s") && wide.contains("KMS throttled"), "{wide}");
    assert!(all.contains("! no bytes for 12 s, 40 throttles at KMS level, rate of Put"), "{all}");
    let (narrow, all) = row(80, 24);
    assert!(narrow.contains("KMS throttled 12 s"), "{narrow}");
    assert!(all.contains("no bytes for 12 s, 40 throttles"), "{all}");
}

#[test]
fn a_paused_job_says_when_its_snapshot_would_die() {
    let model = dying();
    for (width, height) in [(120, 36), (80, 24)] {
        let drawn = text(&body(&model, width, height, &Theme::default()));
        let row = drawn.lines().find(|line| line.contains("▶")).unwrap();
        assert!(row.contains("dies in 2 d 23 h"), "{row}");
        assert!(drawn.contains("gives its pending snapshot up in 2 d 23 h"), "{drawn}");
    }
}

#[test]
fn who_turned_what_last_is_said_below_and_beside_its_gauge() {
    let drawn = text(&body(&transfers(), 120, 36, &Theme::default()));
    assert!(drawn.contains("last turned 08:52 by ops at pts/3: the budget to 256 MiB"), "{drawn}");
    let mut status = example::status();
    let turned = status.turned.clone().map(|turned| floe::engine::protocol::Turned {
        setting: floe::engine::protocol::Dial::Lanes,
        job: Some(JobId(14)),
        what: "lanes of job 14 to 64".to_owned(),
        ..turned
    });
    let job = status.jobs.iter_mut().find(|j| j.job == JobId(14)).unwrap();
    job.turned.extend(turned);
    let drawn = text(&body(&heard(status), 120, 40, &Theme::default()));
    let beside = drawn.lines().position(|line| line.contains("LANES")).unwrap();
    let said: String = drawn.lines().skip(beside).take(6).collect();
    assert!(said.contains("last turned 08:52 by ops at pts/3:") && said.contains("lanes of job 14 to 64"), "{drawn}");
}

/// The sheet behind `i` over these jobs.
fn holders(jobs: usize) -> Model {
    let mut status = example::status();
    let template = status.jobs.iter().find(|j| j.job == JobId(14)).unwrap().clone();
    status.jobs = (0..jobs)
        .map(|n| {
            let mut job = template.clone();
            job.job = JobId(u32::try_from(n).unwrap() + 1);
            for (at, (_, bytes)) in (1u64..).zip(&mut job.holds.parts) {
                bytes.0 = bytes.0 / 7 + 77_777 * at * (n as u64 + 1);
            }
            job.held = job.holds.parts.iter().map(|(_, bytes)| *bytes).sum();
            job
        })
        .collect();
    status.budget.used = status.jobs.iter().map(|job| job.held).sum();
    let mut model = heard(status);
    model.overlays.push(floe::tui::overlay::Overlay::Holders(Default::default()));
    model
}

#[test]
fn holders_of_memory_add_up_in_rows_and_columns_to_the_gauge() {
    for jobs in [1usize, 2, 5, 12] {
        for (width, height) in [(120, 60), (80, 60)] {
            let model = holders(jobs);
            let drawn = text(&draw(&model, width, height, &Theme::default(), example::now()));
            let figures = |line: &str| -> Vec<f64> {
                let cells: String = line.trim_start_matches('│').chars().skip(23).collect();
                cells.split_whitespace().map_while(|word| word.parse().ok()).collect()
            };
            let table: Vec<&str> = drawn.lines().skip_while(|l| !l.contains("MiB NOW")).skip(1).collect();
            let sum_at = table.iter().position(|line| line.contains("= held of the budget")).unwrap();
            let (rows, sum) = (table[..sum_at].iter().map(|l| figures(l)).collect::<Vec<_>>(), figures(table[sum_at]));
            let used = model.status.as_ref().unwrap().budget.used.as_mib();
            assert!((sum[0] - used).abs() < 0.051, "{sum:?} is not {used}\n{drawn}");
            assert_eq!(rows.len(), 3, "{drawn}");
            for at in 0..sum.len() {
                let column: f64 = rows.iter().map(|row| row[at]).sum();
                assert!((column - sum[at]).abs() < 0.001, "column {at} of {jobs} jobs\n{drawn}");
            }
            for row in rows.iter().chain([&sum]) {
                assert!((row[1..].iter().sum::<f64>() - row[0]).abs() < 0.001, "{row:?}\n{drawn}");
            }
            // And on to the process.
            let after = |name: &str| figures(table.iter().find(|l| l.contains(name)).unwrap())[0];
            let rest = if drawn.contains("+ base") { after("+ base") } else { -after("not touched yet") };
            let process = sum[0] + after("+ kept") + after("+ ledger") + rest;
            assert!((process - after("= process")).abs() < 0.001, "{process}\n{drawn}");
        }
    }
}

#[test]
fn the_sheet_of_memory_looks_as_it_did() {
    let mut model = transfers();
    model.overlays.push(floe::tui::overlay::Overlay::Holders(Default::default()));
    for (width, height) in [(120, 36), (80, 24)] {
        let drawn = text(&draw(&model, width, height, &Theme::default(), example::now()));
        insta::assert_snapshot!(format!("holders_{width}x{height}"), drawn);
    }
}
