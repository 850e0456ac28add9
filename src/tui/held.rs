//! What is under the cursor stays what it is: when the terminal gets smaller, when lists are read again, when newer things
//! come above it. And what decides something is seen at any size.

use std::time::Duration;

use super::clock::Now;
use super::model::Model;
use super::msg::Msg;
use super::overlay::Overlay;
use super::screen::Screen;
use super::testing::{deck, frame, now, press, profiles, settle, when};
use super::update::update;
use crate::error::Error;
use crate::store::audit::{Entry, Event, Told};

/// Large, usual, small, tiny, and back.
const SIZES: [(u16, u16); 5] = [(120, 40), (80, 24), (60, 20), (40, 10), (120, 40)];

fn resized(model: &mut Model, size: (u16, u16), now: Now) -> Vec<String> {
    update(model, Msg::Resize(size.0, size.1), now);
    settle(model, now);
    frame(model, now)
}

#[test]
fn the_row_under_the_cursor_is_seen_at_every_size_and_is_the_same_row() {
    for keys in [&["2"][..], &["3"], &["4"], &["1"], &["2", "/", "w", "e", "b"], &["2", "/", "w", "e", "b", "enter"]] {
        let (mut model, mut now) = (deck(120, 40), now());
        press(&mut model, keys, &mut now);
        press(&mut model, &["down"; 11], &mut now);
        let before = model.list().and_then(super::list::List::current);
        for size in SIZES {
            let shown = resized(&mut model, size, now);
            assert!(shown.iter().any(|line| line.contains('▶')), "{keys:?} at {size:?}:\n{}", shown.join("\n"));
            assert_eq!(model.list().and_then(super::list::List::current), before, "{keys:?} at {size:?}");
        }
    }
}

#[test]
fn what_lies_over_a_screen_is_there_again_when_the_terminal_is_as_large_as_before() {
    for keys in
        [&["2", "?"][..], &["2", "enter"], &["2", "i"], &["!"], &[":", "c"], &["E"], &["P"], &["R"], &["2", "c", "e"]]
    {
        let (mut model, mut now) = (deck(120, 40), now());
        press(&mut model, keys, &mut now);
        now = now.later(Duration::from_secs(6));
        let before = resized(&mut model, SIZES[0], now);
        for size in SIZES {
            let shown = resized(&mut model, size, now);
            if keys == ["!"] {
                let all = shown.join("\n");
                assert!(all.contains("type 9012, then") && all.contains('▏'), "{size:?}: what is asked is seen\n{all}");
            }
        }
        assert_eq!(resized(&mut model, SIZES[0], now), before, "{keys:?}");
    }
}

#[test]
fn why_a_line_cannot_be_read_is_told_to_its_end() {
    for (width, height) in [(120, 40), (80, 24), (40, 14)] {
        let (mut model, mut now) = (deck(width, height), now());
        press(&mut model, &["2", "/"], &mut now);
        for c in "colour:red".chars() {
            press(&mut model, &[c.to_string().as_str()], &mut now);
        }
        let why = model.snapshots.list.filter.error.clone().expect("an unknown key");
        told(&model, &why, now);
        press(&mut model, &["esc", "c"], &mut now);
        for c in "eu-west-1".chars() {
            press(&mut model, &[c.to_string().as_str()], &mut now);
        }
        press(&mut model, &["enter"], &mut now);
        let Some(Overlay::Address(state)) = model.overlays.last() else { panic!("the line stays open") };
        let error = state.error.clone().expect("it could be two things");
        told(&model, &format!("{} {}", error.what, error.todo.expect("what would be one")), now);
    }
}

/// Every word of a sentence is on the screen.
#[track_caller]
fn told(model: &Model, said: &str, now: Now) {
    let drawn = frame(model, now).join(" ").replace(['│', '·'], " ");
    let words: Vec<&str> = drawn.split_whitespace().collect();
    let missing: Vec<&str> = said.split_whitespace().filter(|word| *word != "·" && !words.contains(word)).collect();
    assert!(missing.is_empty(), "{missing:?} of {said}\n{}", frame(model, now).join("\n"));
}

#[test]
fn an_error_that_comes_while_another_is_read_leaves_the_cursor_on_that_one() {
    let (mut model, mut now) = (deck(120, 36), now());
    model.problems.clear();
    let error = |what: &str| Error::failed(what).todo(format!("mend {what}"));
    model.keep_problem(now, error("the first"));
    press(&mut model, &["E"], &mut now);
    update(&mut model, Msg::Failed(error("a second")), now);
    let effects = press(&mut model, &["y"], &mut now);
    assert!(
        matches!(effects.as_slice(), [super::effect::Effect::Copy(text)] if text == "mend the first"),
        "{effects:?}"
    );
    press(&mut model, &["x"], &mut now);
    let left: Vec<&str> = model.problems.iter().map(|problem| problem.error.what.as_str()).collect();
    assert_eq!(left, ["a second"], "what was read is what was dropped");
}

#[test]
fn each_error_is_read_to_its_end_where_it_takes_many_lines() {
    let (mut model, mut now) = (deck(44, 14), now());
    model.problems.clear();
    for n in 0..6 {
        let what =
            format!("number {n}: the snapshots of eu-central-1 could not be listed, because nobody answered there");
        model.keep_problem(now, Error::failed(what).todo(format!("look whether the network of {n} is there, then r")));
    }
    press(&mut model, &["E"], &mut now);
    for n in (0..6).rev() {
        let problem = model.problems[n].error.clone();
        told(&model, &format!("▶ ✗ {problem} → {}", problem.todo.clone().expect("a remedy")), now);
        press(&mut model, &["j"], &mut now);
    }
}

#[test]
fn the_cursor_stays_with_its_profile_when_profiles_are_read_again() {
    let mut model = Model { size: (80, 24), ..Model::default() };
    let mut now = now();
    update(&mut model, Msg::Profiles(profiles(), Vec::new()), now);
    press(&mut model, &["j"], &mut now);
    assert_eq!(model.screen, Screen::Start);
    let mut more = profiles();
    let first = more[0].clone();
    more.insert(0, crate::aws::ProfileInfo { name: "audit".parse().ok(), ..first });
    update(&mut model, Msg::Profiles(more, Vec::new()), now);
    assert!(frame(&model, now).iter().any(|line| line.contains("▶ dr")), "{}", frame(&model, now).join("\n"));
}

#[test]
fn the_cursor_stays_with_its_line_when_the_audit_log_grows() {
    let (mut model, mut now) = (deck(120, 36), now());
    let entry = |id: &str| Entry {
        id: id.to_owned(),
        region: "us-east-1".parse().ok(),
        back_until: Some(when(86_400)),
        ..Entry::new(Event::Done, "ops", "")
    };
    let mut entries = vec![entry("snap-00000000000000001"), entry("snap-00000000000000002")];
    press(&mut model, &["7", "a"], &mut now);
    update(&mut model, Msg::Audit(Box::new(Ok(Told { entries: entries.clone(), unread: 0 }))), now);
    press(&mut model, &["j"], &mut now);
    entries.push(entry("snap-00000000000000003"));
    update(&mut model, Msg::Audit(Box::new(Ok(Told { entries, unread: 0 }))), now);
    let effects = press(&mut model, &["u"], &mut now);
    let [super::effect::Effect::Restore(of)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(of[0].1.id(), "snap-00000000000000001");
}
