//! Each key of the operating screens, as an update: what it changes and what it asks the world to do.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use floe::engine::protocol::{Answer, Command, Lanes, LeftOvers};
use floe::error::Error;
use floe::ids::JobId;
use floe::plan::{Finding, Level, Plan, Strategy, Verify};
use floe::tui::clock::Now;
use floe::tui::effect::Effect;
use floe::tui::model::{Mode, Model};
use floe::tui::msg::Msg;
use floe::tui::overlay::Overlay;
use floe::tui::quiet::Quiet;
use floe::tui::screen::Screen;
use floe::tui::screen::plan::{Figure, Knob, Sheet, Stage};
use floe::tui::theme::Theme;
use floe::tui::update::{update, wants};
use floe::units::Bytes;

use super::{draw, example, planned, planned_with, text, transfers};

/// A hand: presses keys, each half a second after the one before, so that no gate minds.
struct Hand {
    model: Model,
    now: Now,
}

impl Hand {
    fn on(model: Model) -> Self {
        Self { model, now: example::now().later(Duration::from_secs(1)) }
    }

    fn key(&mut self, code: KeyCode) -> Vec<Effect> {
        self.now = self.now.later(Duration::from_millis(500));
        update(&mut self.model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)), self.now)
    }

    fn press(&mut self, keys: &str) -> Vec<Effect> {
        keys.chars().flat_map(|c| self.key(KeyCode::Char(c))).collect()
    }

    fn commands(&mut self, keys: &str) -> Vec<String> {
        commands(&self.press(keys))
    }

    fn said(&self) -> &str {
        self.model.toast.as_ref().map_or("", |toast| &toast.text)
    }

    fn plan(&self) -> &Plan {
        self.model.plan.plan().unwrap()
    }
}

fn commands(effects: &[Effect]) -> Vec<String> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Engine(command) => match &**command {
                Command::Run { .. } => Some("Run".to_owned()),
                other => Some(format!("{other:?}")),
            },
            _ => None,
        })
        .collect()
}

fn cheap() -> Plan {
    example::plan_of(11_264, &example::machine())
}

#[test]
fn arrows_turn_the_knob_and_zero_brings_it_back() {
    let mut hand = Hand::on(planned());
    let made = hand.plan().clone();
    assert_eq!(hand.model.plan.knob, Knob::Lanes);
    hand.key(KeyCode::Left);
    assert_eq!(hand.plan().choices.lanes_max, made.choices.lanes_max / 2);
    assert!(hand.plan().memory.total < made.memory.total, "half the lanes hold less");
    hand.key(KeyCode::Tab);
    assert_eq!(hand.model.plan.knob, Knob::Budget);
    hand.key(KeyCode::Left);
    assert_eq!(hand.plan().choices.budget, Bytes::mib(128));
    hand.key(KeyCode::Tab);
    hand.key(KeyCode::Tab);
    hand.key(KeyCode::Right);
    assert_eq!(hand.plan().operation.options.verify, Verify::Checksum);
    hand.key(KeyCode::Right);
    assert_eq!(hand.plan().operation.options.verify, Verify::Full);
    assert!(hand.plan().cost.once.value.0 > made.cost.once.value.0, "every block read back is paid for");
    hand.key(KeyCode::Right);
    assert_eq!(hand.plan().operation.options.verify, Verify::Full, "the scale ends");
    hand.press("0");
    assert_eq!(hand.plan(), &made);
    hand.key(KeyCode::BackTab);
    assert_eq!(hand.model.plan.knob, Knob::Pace);
}

#[test]
fn a_plan_cannot_be_started_by_a_key_that_was_meant_for_the_screen_before() {
    let mut model = planned_with(cheap());
    let early = example::now().later(Duration::from_millis(399));
    let key = Msg::Key(KeyEvent::new(KeyCode::Char('S'), KeyModifiers::NONE));
    assert!(update(&mut model, key.clone(), early).is_empty());
    assert_eq!(model.screen, Screen::Plan);
    // 200 ms of silence later it counts.
    let effects = update(&mut model, key, early.later(Duration::from_millis(250)));
    assert_eq!(commands(&effects), ["Run"]);
    assert_eq!(model.screen, Screen::Transfers);
}

#[test]
fn no_plan_is_started_in_a_read_only_deck() {
    let mut hand = Hand::on(planned_with(cheap()));
    hand.model.mode = Mode::ReadOnly;
    assert!(hand.press("S").is_empty());
    assert!(hand.said().contains("READ-ONLY"), "{}", hand.said());
}

#[test]
fn what_runs_is_what_was_shown_and_only_once() {
    let mut hand = Hand::on(planned_with(cheap()));
    hand.key(KeyCode::Left);
    let shown = hand.plan().clone();
    let effects = hand.press("S");
    let Some(Effect::Engine(command)) = effects.last() else { panic!("{effects:?}") };
    let Command::Run { plan, grant } = &**command else { panic!("{command:?}") };
    assert_eq!(**plan, shown);
    assert_eq!(grant.plan_hash, shown.hash().unwrap());
    hand.model.screen = Screen::Plan;
    assert!(hand.press("S").is_empty(), "a plan runs once");
    assert!(hand.said().contains("runs once"), "{}", hand.said());
    let run = command.clone();
    update(&mut hand.model, Msg::Answered(run.clone(), Ok(Answer::Jobs(vec![JobId(17)]))), hand.now);
    assert_eq!(hand.said(), "job 17 started");
    update(&mut hand.model, Msg::Answered(run, Err(Error::failed("the engine is gone"))), hand.now);
    assert_eq!(commands(&hand.press("S")), ["Run"], "what was not taken may be tried again");
}

#[test]
fn a_turned_budget_goes_to_the_engine_before_the_run() {
    let mut hand = Hand::on(planned_with(cheap()));
    hand.key(KeyCode::Tab);
    hand.key(KeyCode::Left);
    let expected = format!("Memory({:?})", Bytes::mib(128));
    assert_eq!(hand.commands("S"), [expected, "Run".to_owned()]);
}

#[test]
fn a_dear_plan_asks_for_its_dollars_and_enter_alone_does_nothing() {
    let mut hand = Hand::on(planned());
    assert!(hand.press("S").is_empty());
    assert!(matches!(hand.model.overlays.last(), Some(Overlay::Confirm(_))));
    assert!(hand.key(KeyCode::Enter).is_empty());
    assert!(hand.press("58").is_empty());
    assert!(hand.key(KeyCode::Enter).is_empty(), "not the whole of it");
    hand.press("7");
    assert_eq!(commands(&hand.key(KeyCode::Enter)), ["Run"]);
    let mut hand = Hand::on(planned());
    hand.press("S");
    hand.key(KeyCode::Esc);
    assert!(hand.model.overlays.is_empty());
    assert_eq!(hand.model.screen, Screen::Plan, "esc leaves everything as it is");
}

#[test]
fn a_refused_plan_says_why_and_does_not_start() {
    let mut plan = cheap();
    plan.findings.push(Finding {
        level: Level::Refused,
        text: "the source is encrypted and the result would not be".to_owned(),
        todo: Some("--allow-decrypt".to_owned()),
    });
    let mut hand = Hand::on(planned_with(plan));
    assert!(hand.press("S").is_empty());
    assert_eq!(hand.said(), "the source is encrypted and the result would not be: --allow-decrypt");
    let mut hand = Hand::on(planned_with(cheap()));
    hand.model.mode = Mode::ReadOnly;
    assert!(hand.press("S").is_empty());
    assert!(hand.said().starts_with("READ-ONLY"), "{}", hand.said());
}

#[test]
fn a_budget_that_is_too_small_is_refused_while_it_is_turned() {
    let mut hand = Hand::on(planned_with(example::plan_of(
        11_264,
        &floe::plan::Machine { budget: Some(Bytes::kib(700)), ..example::machine() },
    )));
    assert!(hand.plan().refusal().is_some());
    hand.key(KeyCode::Tab);
    for _ in 0..3 {
        hand.key(KeyCode::Right);
    }
    assert!(hand.plan().refusal().is_none(), "8 MiB move a block");
    assert_eq!(hand.commands("S").last().map(String::as_str), Some("Run"));
}

#[test]
fn a_saved_plan_reads_back_as_the_plan_that_was_shown() {
    let mut hand = Hand::on(planned());
    let effects = hand.press("w");
    let [Effect::Write { path, contents }] = effects.as_slice() else { panic!("{effects:?}") };
    assert!(path.to_string_lossy().starts_with("plan-"));
    let read: Plan = serde_json::from_str(contents).unwrap();
    assert_eq!(&read, hand.plan());
}

#[test]
fn editing_asks_for_the_destinations_and_plans_again() {
    let mut hand = Hand::on(planned());
    hand.press("e");
    hand.press(" nonsense");
    assert!(hand.key(KeyCode::Enter).is_empty());
    assert!(matches!(hand.model.overlays.last(), Some(Overlay::Ask(ask)) if ask.error.is_some()));
    for _ in 0.."nonsense".len() {
        hand.key(KeyCode::Backspace);
    }
    hand.press("./disk.img");
    let effects = hand.key(KeyCode::Enter);
    let [Effect::MakePlan { operation, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    let to: Vec<String> = operation.destinations.iter().map(ToString::to_string).collect();
    assert_eq!(to, ["prod@eu-west-1:", "./disk.img"]);
    assert!(matches!(hand.model.plan.stage, Stage::Making));
}

/// What is known of the example before AWS has answered: the same, its blocks an upper bound.
fn previewed(width: u16, height: u16) -> Hand {
    let mut hand = Hand::on(Model { size: (width, height), ..Model::default() });
    let early = cheap();
    floe::tui::screen::plan::open(&mut hand.model, early.operation.clone(), hand.now);
    update(&mut hand.model, Msg::Previewed(1, Box::new(early)), hand.now);
    hand
}

#[test]
fn a_preview_is_explained_as_one_and_the_sheet_goes_on_with_the_plan() {
    let mut hand = previewed(120, 36);
    let shown = |hand: &Hand| text(&draw(&hand.model, 120, 36, &Theme::default(), hand.now));
    for figure in [Figure::Memory, Figure::Money, Figure::Time] {
        hand.press("i");
        assert_eq!(hand.model.plan.sheet, Sheet::Formula(figure), "{}", hand.said());
        let drawn = shown(&hand);
        let title = drawn.lines().find(|line| line.contains("◐ preview")).unwrap_or_default();
        assert!(title.contains("inputs") || title.contains("prices of"), "{drawn}");
        assert!(drawn.contains("│ ◐ A preview, from what is known here: AWS is being asked."), "{drawn}");
    }
    update(&mut hand.model, Msg::Planned(1, Ok(Box::new(example::plan()))), hand.now);
    let drawn = shown(&hand);
    assert_eq!(hand.model.plan.sheet, Sheet::Formula(Figure::Time));
    assert!(drawn.contains("31,318,565") && !drawn.contains("preview"), "{drawn}");
    hand.key(KeyCode::Esc);

    let mut hand = previewed(120, 36);
    hand.key(KeyCode::Enter);
    assert!(shown(&hand).contains("◐ preview ") && hand.model.plan.sheet == Sheet::Checks, "{}", shown(&hand));
    // Without a plan there is nothing to explain: the keys are the screen's again.
    update(&mut hand.model, Msg::Planned(1, Err(Error::failed("no such snapshot"))), hand.now);
    assert_eq!(hand.model.plan.sheet, Sheet::None);
    let before = hand.model.screen;
    hand.key(KeyCode::Esc);
    assert_ne!(hand.model.screen, before, "one esc goes back");
}

#[test]
fn an_enter_that_is_pressed_twice_asks_for_the_plan_and_for_nothing_else() {
    let mut hand = previewed(120, 36);
    let enter = Msg::Key(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE));
    update(&mut hand.model, enter.clone(), hand.now.later(Duration::from_millis(180)));
    assert_eq!(hand.model.plan.sheet, Sheet::None);
    update(&mut hand.model, enter, hand.now.later(Duration::from_millis(420)));
    assert_eq!(hand.model.plan.sheet, Sheet::Checks);
}

#[test]
fn what_is_turned_on_a_preview_holds_when_the_plan_comes() {
    let mut hand = previewed(120, 36);
    let early = hand.model.plan.figures().unwrap().choices.lanes_max;
    hand.key(KeyCode::Left);
    assert_eq!(hand.model.plan.figures().unwrap().choices.lanes_max, early / 2, "{}", hand.said());
    hand.key(KeyCode::Tab);
    assert_eq!(hand.model.plan.knob, Knob::Budget);
    assert!(hand.press("S").is_empty() && hand.said().contains("still being made"), "{}", hand.said());
    let made = cheap();
    update(&mut hand.model, Msg::Planned(1, Ok(Box::new(made.clone()))), hand.now);
    assert_eq!(hand.plan().choices.lanes_max, made.choices.lanes_max / 2);
    let shown = hand.plan().clone();
    let effects = hand.press("S");
    let Some(Effect::Engine(command)) = effects.last() else { panic!("{effects:?}") };
    assert!(matches!(&**command, Command::Run { plan, .. } if **plan == shown), "{command:?}");
    // And what was not turned is the plan as it was made.
    let mut hand = previewed(120, 36);
    hand.key(KeyCode::Left);
    hand.press("0");
    update(&mut hand.model, Msg::Planned(1, Ok(Box::new(made.clone()))), hand.now);
    assert_eq!(hand.plan(), &made);
}

#[test]
fn an_answer_to_an_older_question_is_dropped() {
    let mut hand = Hand::on(planned());
    let effects = floe::tui::screen::plan::open(&mut hand.model, example::plan().operation, hand.now);
    assert_eq!(effects.len(), 1);
    update(&mut hand.model, Msg::Planned(0, Ok(Box::new(cheap()))), hand.now);
    assert!(matches!(hand.model.plan.stage, Stage::Making));
}

#[test]
fn strategies_say_why_they_cannot_be_taken() {
    let mut hand = Hand::on(planned());
    hand.press("1");
    assert!(hand.said().contains("the one that is shown"), "{}", hand.said());
    hand.press("5");
    assert_eq!(hand.said(), "there is no alternative 5");
    hand.press("Q");
    assert!(hand.said().contains("S starts it"), "{}", hand.said());
    assert_eq!(hand.press("2").len(), 1, "the native copy: the plan is made again with it");
    assert!(matches!(hand.model.plan.stage, Stage::Making));
    let mut hand = Hand::on(planned());
    assert_eq!(hand.press("3").len(), 1, "the same within a time");
    let options = hand.model.plan.operation.as_ref().map(|operation| operation.options.clone()).expect("an operation");
    assert_eq!(
        (options.strategy, options.complete_within.map(|time| time.to_string())),
        (Strategy::Native, Some("8h45m".to_owned()))
    );
}

#[test]
fn sheets_lie_over_the_figures_and_esc_closes_them_first() {
    let mut hand = Hand::on(planned());
    hand.press("i");
    assert_eq!(hand.model.plan.sheet, Sheet::Formula(Figure::Memory));
    hand.press("i");
    assert_eq!(hand.model.plan.sheet, Sheet::Formula(Figure::Money));
    hand.key(KeyCode::Tab);
    assert_eq!(hand.model.plan.sheet, Sheet::Formula(Figure::Time));
    hand.key(KeyCode::Esc);
    assert_eq!((hand.model.plan.sheet, hand.model.screen), (Sheet::None, Screen::Plan));
    hand.key(KeyCode::Enter);
    assert_eq!(hand.model.plan.sheet, Sheet::Checks);
    hand.key(KeyCode::Esc);
    hand.key(KeyCode::Esc);
    assert_eq!(hand.model.screen, Screen::Snapshots);
}

#[test]
fn lane_keys_add_up_between_two_pictures() {
    let mut hand = Hand::on(transfers());
    assert_eq!(
        hand.commands("+=-a"),
        [
            "Lanes(JobId(14), Pinned(160))",
            "Lanes(JobId(14), Pinned(200))",
            "Lanes(JobId(14), Pinned(160))",
            "Lanes(JobId(14), Auto)"
        ]
    );
    let mut hand = Hand::on(transfers());
    hand.press("++++++++");
    assert!(hand.said().contains("its cap"), "{}", hand.said());
    let last = format!("{:?}", Command::Lanes(JobId(14), Lanes::Pinned(230)));
    assert_eq!(hand.commands("+"), [last]);
}

#[test]
fn marks_are_what_keys_act_on() {
    let mut hand = Hand::on(transfers());
    assert_eq!(
        hand.commands("  p"),
        ["Watch(Some(JobId(15)))", "Watch(Some(JobId(16)))", "Pause(JobId(14))", "Pause(JobId(15))"]
    );
    assert_eq!(hand.model.transfers.marks.len(), 2);
    hand.press("u");
    assert!(hand.model.transfers.marks.is_empty());
    assert_eq!(hand.commands("p"), ["Pause(JobId(16))"], "without marks the row under the cursor");
}

#[test]
fn what_is_paused_is_resumed_and_what_is_over_says_so() {
    let mut status = example::status();
    let paused = status.jobs.iter_mut().find(|job| job.job == JobId(14)).unwrap();
    paused.state = floe::engine::protocol::JobState::Paused;
    let mut hand = Hand::on(Model { screen: Screen::Transfers, ..Model::default() });
    let now = hand.now;
    update(&mut hand.model, Msg::Status(Arc::new(status)), now);
    hand.model.transfers.cursor = Some(JobId(14));
    assert_eq!(hand.commands("p"), ["Resume(JobId(14))"]);
    assert!(hand.commands("+").is_empty());
    assert_eq!(hand.said(), "job 14 is paused: it has no lanes now");
    hand.model.transfers.cursor = Some(JobId(12));
    assert!(hand.commands("px").is_empty());
    assert_eq!(hand.said(), "job 12 is done: there is nothing to cancel");
}

#[test]
fn cancelling_keeps_with_a_key_and_cleans_up_with_the_number() {
    let mut hand = Hand::on(transfers());
    let keep = format!("{:?}", Command::Cancel(JobId(14), LeftOvers::Keep));
    assert_eq!(hand.commands("xk"), [keep]);
    let mut hand = Hand::on(transfers());
    assert!(hand.commands("xc").is_empty());
    assert!(hand.key(KeyCode::Enter).is_empty());
    assert!(hand.press("13").is_empty());
    assert!(hand.key(KeyCode::Enter).is_empty(), "the wrong number");
    hand.key(KeyCode::Backspace);
    hand.press("4");
    let clean = format!("{:?}", Command::Cancel(JobId(14), LeftOvers::CleanUp));
    assert_eq!(commands(&hand.key(KeyCode::Enter)), [clean]);
    let mut hand = Hand::on(transfers());
    hand.model.mode = Mode::ReadOnly;
    assert!(hand.press("x").is_empty() && hand.model.overlays.is_empty());
}

#[test]
fn the_budget_is_typed_and_never_below_its_floor() {
    let mut hand = Hand::on(transfers());
    hand.press("m");
    let clear = KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL);
    update(&mut hand.model, Msg::Key(clear), hand.now);
    hand.press("1MiB");
    assert!(hand.key(KeyCode::Enter).is_empty());
    assert!(matches!(hand.model.overlays.last(), Some(Overlay::Ask(ask)) if ask.error.is_some()));
    update(&mut hand.model, Msg::Key(clear), hand.now);
    hand.press("128MiB");
    let effects = hand.key(KeyCode::Enter);
    let asked = Command::Memory(Bytes::mib(128));
    assert_eq!(commands(&effects), [format!("{asked:?}")]);
    let answer = Answer::Effective { value: Bytes::mib(130).0, why: Some("two jobs run".to_owned()) };
    update(&mut hand.model, Msg::Answered(Box::new(asked), Ok(answer)), hand.now);
    assert_eq!(hand.said(), "the budget is 130 MiB now: two jobs run");
}

#[test]
fn i_tells_who_holds_memory_and_any_key_closes_it() {
    for screen in [Screen::Transfers, Screen::Job] {
        let mut hand = Hand::on(transfers());
        hand.model.screen = screen;
        hand.press("i");
        assert!(matches!(hand.model.overlays.last(), Some(Overlay::Holders(_))));
        hand.press("jjk");
        assert!(matches!(hand.model.overlays.last(), Some(Overlay::Holders(state)) if state.top == 1));
        hand.key(KeyCode::Esc);
        assert!(hand.model.overlays.is_empty());
    }
}

#[test]
fn the_queue_is_ordered_and_only_the_queue() {
    let mut hand = Hand::on(transfers());
    assert!(hand.commands("[").is_empty());
    assert_eq!(hand.said(), "job 14 is running: only queued jobs have an order");
    hand.model.transfers.cursor = Some(JobId(16));
    assert_eq!(hand.commands("[]"), ["Reorder(JobId(16), -1)", "Reorder(JobId(16), 1)"]);
}

#[test]
fn moving_asks_the_engine_to_tell_of_the_job_under_the_cursor() {
    let mut hand = Hand::on(transfers());
    assert_eq!(hand.commands("j"), ["Watch(Some(JobId(15)))"]);
    assert_eq!(hand.commands("k"), ["Watch(Some(JobId(14)))"]);
    assert!(hand.commands("k").is_empty(), "the first row is the end");
    assert_eq!(hand.commands("G"), ["Watch(Some(JobId(12)))"]);
    assert_eq!(hand.commands("g"), ["Watch(Some(JobId(14)))"]);
}

#[test]
fn a_frozen_picture_stays_while_the_engine_goes_on() {
    let mut hand = Hand::on(transfers());
    hand.press("f");
    let mut later = example::status();
    later.jobs.retain(|job| job.job == JobId(12));
    update(&mut hand.model, Msg::Status(Arc::new(later)), hand.now);
    assert_eq!(hand.model.transfers.frozen.as_ref().map(|s| s.jobs.len()), Some(5));
    hand.key(KeyCode::Esc);
    assert!(hand.model.transfers.frozen.is_none());
    assert_eq!(hand.model.screen, Screen::Transfers);
}

#[test]
fn enter_opens_the_job_and_arrows_walk_its_segments() {
    let mut hand = Hand::on(transfers());
    hand.key(KeyCode::Enter);
    assert_eq!(hand.model.screen, Screen::Job);
    hand.press("jj");
    assert_eq!(hand.model.job.segment, 2);
    hand.press("G");
    assert_eq!(hand.model.job.segment, 16);
    hand.press("t");
    assert!(hand.model.transfers.graph);
    hand.key(KeyCode::Esc);
    hand.key(KeyCode::Esc);
    assert_eq!(hand.model.screen, Screen::Transfers);
    let effects = hand.press("V");
    assert!(
        matches!(effects.as_slice(), [Effect::Copy(text)] if text.starts_with("floe verify prod@us-east-1:snap-01c5"))
    );
    hand.press("b");
    (0..20).for_each(|_| drop(hand.key(KeyCode::Backspace)));
    hand.press("50MiB/s");
    let effects = hand.key(KeyCode::Enter);
    let asked = matches!(effects.as_slice(), [Effect::Engine(command)]
        if matches!(&**command, Command::Bandwidth(Some(JobId(14)), Some(limit)) if limit.to_string() == "50MiB/s"));
    assert!(asked, "{effects:?}");
}

#[test]
fn the_graph_keeps_a_point_every_five_seconds() {
    let mut hand = Hand::on(transfers());
    for second in 0..60i64 {
        let mut status = example::status();
        status.at += jiff::SignedDuration::from_secs(second);
        update(&mut hand.model, Msg::Status(Arc::new(status)), hand.now);
    }
    assert_eq!(hand.model.transfers.samples.len(), 12);
}

#[test]
fn the_log_keeps_each_event_once_and_filters_by_words() {
    let mut hand = Hand::on(transfers());
    update(&mut hand.model, Msg::Status(Arc::new(example::status())), hand.now);
    assert_eq!(hand.model.log.events.len(), 5, "the second picture brought nothing new");
    hand.model.screen = Screen::Log;
    hand.press("/reset");
    assert_eq!(hand.model.log.filter, "reset");
    hand.key(KeyCode::Enter);
    let effects = hand.press("w");
    assert!(matches!(effects.as_slice(), [Effect::Write { contents, .. }] if contents.lines().count() == 1));
    hand.key(KeyCode::Esc);
    assert!(hand.model.log.filter.is_empty() && hand.model.screen == Screen::Log);
    hand.press("t");
    let effects = hand.press("w");
    assert!(matches!(effects.as_slice(), [Effect::Write { contents, .. }] if contents.lines().count() == 2));
}

#[test]
fn errors_stay_until_mended_and_their_remedy_is_copied() {
    let mut hand = Hand::on(transfers());
    hand.model.screen = Screen::Log;
    let error = Error::failed("the credentials of profile dr ended").todo("aws sso login --profile dr");
    hand.model.keep_problem(hand.now, error.clone());
    hand.model.keep_problem(hand.now, error);
    assert_eq!(hand.model.problems.len(), 1, "folded");
    let effects = hand.key(KeyCode::Enter);
    assert!(matches!(effects.as_slice(), [Effect::Copy(text)] if text == "aws sso login --profile dr"));
    hand.press("x");
    assert!(hand.model.problems.is_empty());
    hand.press("x");
    assert_eq!(hand.said(), "there is no error");
}

#[test]
fn an_engine_that_does_not_answer_is_named_on_every_screen_until_it_does() {
    let mut hand = Hand::on(transfers());
    let since = hand.now.mono;
    hand.now = hand.now.later(Duration::from_secs(12));
    let silent = Quiet::Silent { pid: 4121, since, waiting: 0 };
    update(&mut hand.model, Msg::Contact(Some(silent)), hand.now);
    let theme = Theme::default();
    let drawn = |hand: &Hand, width, height| text(&draw(&hand.model, width, height, &theme, hand.now));
    let frame = drawn(&hand, 120, 36);
    let first = frame.lines().next().unwrap();
    assert!(first.contains("engine (pid 4121) has not answered for 12 s"), "{frame}");
    assert!(!first.contains("MiB/s"), "no figure that would pass for one of now: {frame}");
    let row = frame.lines().find(|line| line.contains("● running")).unwrap();
    assert!(row.contains("no answer 12 s") && !row.contains("MiB/s"), "{row}");
    assert!(frame.contains("figures of ") && frame.contains("kill -CONT 4121"), "{frame}");
    for (width, height) in [(80, 24), (58, 16), (40, 12), (20, 6), (1, 1)] {
        let frame = drawn(&hand, width, height);
        assert!(width < 58 || frame.contains("4121) has not answered for 12 s"), "{width}: {frame}");
    }
    // What is asked now is given to it, and that it waits is said.
    let commands = commands(&hand.press("p"));
    assert_eq!(commands.len(), 1, "{commands:?}");
    assert!(hand.said().contains("waits: engine (pid 4121) has not answered for 12 s"), "{}", hand.said());
    let waits = Quiet::Silent { pid: 4121, since, waiting: 1 };
    hand.now = hand.now.later(Duration::from_secs(8));
    update(&mut hand.model, Msg::Contact(Some(waits)), hand.now);
    assert!(drawn(&hand, 120, 36).contains("1 command waits"), "{}", drawn(&hand, 120, 36));
    assert_eq!(hand.model.problems.len(), 1, "it is kept once");
    // Each second says another number, and the frame is drawn for it.
    assert!(wants(&hand.model, hand.now).wake.is_some_and(|at| at <= hand.now.mono + Duration::from_secs(1)));

    update(&mut hand.model, Msg::Contact(None), hand.now);
    assert_eq!(hand.said(), "the engine answers again");
    let frame = drawn(&hand, 120, 36);
    assert!(!frame.contains("has not answered") && frame.contains("MiB/s"), "{frame}");

    update(&mut hand.model, Msg::Contact(Some(Quiet::Gone { pid: 4121 })), hand.now.later(Duration::from_secs(9)));
    assert!(drawn(&hand, 120, 36).contains("engine (pid 4121) has ended"), "{}", drawn(&hand, 120, 36));
}
