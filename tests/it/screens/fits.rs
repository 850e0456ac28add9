//! What is shown is whole: sheets keep their columns and are reached to their end, errors keep their words, names have
//! room beside the figures.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use floe::error::Error;
use floe::tui::model::Model;
use floe::tui::msg::Msg;
use floe::tui::screen::plan::{Figure, Sheet};
use floe::tui::theme::Theme;
use floe::tui::update::update;

use super::{clearing, draw, example, planned, text};

const FIGURES: [Figure; 3] = [Figure::Memory, Figure::Money, Figure::Time];

fn sized(mut model: Model, width: u16, height: u16) -> Model {
    update(&mut model, Msg::Resize(width, height), example::now());
    model
}

fn shown(model: &Model) -> String {
    text(&draw(model, model.size.0, model.size.1, &Theme::default(), example::now()))
}

fn key(model: &mut Model, code: KeyCode, times: u64) {
    for n in 0..times {
        let now = example::now().later(Duration::from_millis(500 + n * 30));
        update(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)), now);
    }
}

/// The lines of what lies over the plan, without its borders.
fn sheet(figure: Figure, width: u16) -> Vec<String> {
    let mut model = sized(planned(), width, 60);
    model.plan.sheet = Sheet::Formula(figure);
    let drawn = shown(&model);
    let title = match figure {
        Figure::Memory => "┌ Memory: formula",
        Figure::Money => "┌ Money: prices",
        Figure::Time => "┌ Time: formula",
    };
    let lines: Vec<Vec<char>> = drawn.lines().map(|line| line.chars().collect()).collect();
    let (top, left) = (0..)
        .zip(drawn.lines())
        .find_map(|(n, line)| Some((n, line[..line.find(title)?].chars().count())))
        .expect("the sheet is open");
    let inside = |line: &Vec<char>| {
        let rest: String = line.iter().skip(left + 1).collect();
        rest.split('│').next().unwrap_or_default().trim_end().to_owned()
    };
    let end = |line: &&Vec<char>| line.get(left) == Some(&'│');
    lines[top + 1..].iter().take_while(end).map(inside).collect()
}

#[test]
fn a_sheet_says_the_same_words_at_every_width_and_goes_on_below_its_columns() {
    let words = |lines: &[String]| lines.join(" ").split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for figure in FIGURES {
        let whole = words(&sheet(figure, 160));
        for width in [70, 80, 90, 100, 120] {
            let lines = sheet(figure, width);
            let told = words(&lines);
            // Where it is narrow, regions are called as lists call them.
            let differ = whole.iter().filter(|word| !told.contains(word)).collect::<Vec<_>>();
            let regions = |word: &&&String| word.ends_with("-1");
            assert!(differ.iter().all(|word| regions(&word)), "{width}: {differ:?}\n{}", lines.join("\n"));
            assert_eq!(told.len(), whole.len(), "{width}: {lines:?}");
        }
    }
    // The dollars of each line end where the sums below them end.
    for width in [80, 100, 120] {
        let lines = sheet(Figure::Money, width);
        let money = lines.iter().filter(|line| line.contains(" × $") || line.starts_with(" = "));
        let ends: Vec<usize> = money.map(|line| line.chars().count()).collect();
        assert_eq!(lines.iter().filter(|line| line.trim().is_empty()).count(), 1, "{width}: {}", lines.join("\n"));
        assert!(ends.len() > 8 && ends.iter().all(|end| *end == ends[0]), "{width}: {ends:?}\n{}", lines.join("\n"));
    }
    let memory = sheet(Figure::Memory, 70);
    let at = memory.iter().position(|line| line.trim_start().starts_with("ledger cache")).expect("a long line");
    let column = memory[at].find("bits").expect("what it is");
    assert_eq!(memory[at + 1].len() - memory[at + 1].trim_start().len(), column, "{}", memory.join("\n"));
}

#[test]
fn a_sheet_that_is_taller_than_the_screen_says_so_and_is_read_to_its_end_and_back() {
    let mut model = sized(planned(), 80, 20);
    model.plan.sheet = Sheet::Formula(Figure::Time);
    let first = shown(&model);
    assert!(first.contains(" more line") && !first.contains("listed back"), "{first}");
    key(&mut model, KeyCode::Char('j'), 200);
    let last = shown(&model);
    assert!(!last.contains(" more line") && last != first, "{last}");
    key(&mut model, KeyCode::Char('k'), 1);
    assert_ne!(shown(&model), last, "a held key went no farther than the end");
    key(&mut model, KeyCode::Tab, 1);
    assert!(shown(&model).contains("blocks in flight"), "the next figure begins at its top: {}", shown(&model));
    key(&mut model, KeyCode::Esc, 1);
    assert!(model.plan.sheet == Sheet::None && model.plan.top == 0);
}

#[test]
fn what_a_plan_failed_of_is_told_to_its_last_word() {
    let what =
        "`prod@eu-west-1:` makes a snapshot, and the changes from snap-01b7e2d90c4418a3f on go onto a copy of it";
    let todo = "onto its copy: floe copy prod@us-east-1:snap-01b7e2d90c4418a3f..snap-01c55a9e07b3d2f48 REGION:snap-C+";
    for width in [60, 80, 120] {
        let mut model = sized(Model::default(), width, 24);
        floe::tui::screen::plan::open(&mut model, example::plan().operation, example::now());
        update(&mut model, Msg::Planned(1, Err(Error::usage(what).todo(todo))), example::now());
        let drawn = shown(&model);
        let told: Vec<&str> = drawn.split(|c: char| c.is_whitespace() || c == '│').collect();
        for word in what.split(' ').chain(todo.split(' ')) {
            // One that is wider than the screen is cut, and shows it.
            let cut = || told.iter().any(|shown| shown.ends_with('…') && word.starts_with(shown.trim_end_matches('…')));
            assert!(told.contains(&word) || cut(), "{width}: {word}\n{drawn}");
        }
    }
}

#[test]
fn names_are_whole_in_the_lists_of_clearing() {
    let names = ["build-tmp", "jenkins", "etl-stage", "web-root"];
    for width in [80, 120, 200] {
        let orphans = shown(&sized(clearing::orphans(), width, 40));
        for name in names {
            assert!(orphans.contains(&format!(" {name} ")), "{width}: {name}\n{orphans}");
        }
    }
    let deletion = shown(&sized(clearing::deletion(), 120, 40));
    assert!(deletion.contains(" jenkins "), "{deletion}");
}

#[test]
fn what_is_paused_is_not_called_waiting_and_a_state_is_not_its_own_reason() {
    use floe::engine::protocol::JobState;
    let mut status = example::status();
    let before = status.jobs.iter().filter(|job| job.state == JobState::Waiting).count();
    for job in status.jobs.iter_mut().filter(|job| job.state == JobState::Running) {
        (job.state, job.why) = (JobState::Paused, JobState::Paused.word().to_owned());
        assert_eq!(job.shown_why(), "");
    }
    let paused = status.jobs.iter().filter(|job| job.state == JobState::Paused).count();
    let mut model = Model { screen: floe::tui::screen::Screen::Transfers, ..Model::default() };
    update(&mut model, Msg::Status(std::sync::Arc::new(status)), example::now());
    let drawn = shown(&sized(model, 120, 36));
    let title = drawn.lines().find(|line| line.contains(" Transfers ─")).unwrap_or_default();
    assert!(title.contains(&format!("{before} waiting · {paused} paused")), "{title}");
}
