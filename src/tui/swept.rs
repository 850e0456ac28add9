//! No screen and no panel cuts a word or a date: every state that the other tests draw, at every usual size.

use super::clock::Now;
use super::cut;
use super::model::Model;
use super::msg::Msg;
use super::screen::orphans;
use super::testing::{deck, now, press, profiles};
use super::update::update;

/// What a state cuts, at each size, with the name of the state.
fn swept(state: &str, made: &dyn Fn(u16, u16) -> (Model, Now)) -> Vec<String> {
    let each = cut::SIZES.iter().flat_map(|&size| {
        let (mut model, now) = made(size.0, size.1);
        cut::found(state, &mut model, size, now)
    });
    each.collect()
}

fn start(width: u16, height: u16, found: bool) -> (Model, Now) {
    let mut model = Model { size: (width, height), ..Model::default() };
    let profiles = if found { profiles() } else { Vec::new() };
    update(&mut model, Msg::Profiles(profiles, vec!["~/.aws/config: read".to_owned()]), now());
    (model, now())
}

/// What follows keys on a deck of five regions.
const PRESSED: &[&[&str]] = &[
    &[],
    &["2"],
    &["2", "j", "enter"],
    &["2", "j", "d"],
    &["2", "space", "space", "/", "w", "e", "b", "enter"],
    &["2", "/", "w", "e", "b"],
    &["2", "c", "e", "u"],
    &["2", "C"],
    &["2", "?"],
    &["2", "i"],
    &["2", "L"],
    &["2", "X"],
    &["3"],
    &["3", "enter"],
    &["3", "?"],
    &["4"],
    &["4", "enter"],
    &["4", "?"],
    &["5"],
    &["5", "?"],
    &["6"],
    &["6", "?"],
    &["7"],
    &["7", "?"],
    &["?"],
    &[":", "c", "o", "p"],
    &[":"],
    &["E"],
    &["P"],
    &["R", "space"],
    &["W"],
    &["W", "?"],
    &["A"],
    &["!"],
    &["$"],
];

type Made = fn(u16, u16) -> (Model, Now);

const STATES: &[(&str, Made)] = &[
    ("start", |w, h| start(w, h, true)),
    ("start without profiles", |w, h| start(w, h, false)),
    ("compare", super::ties::compared_and_copied),
    ("compare counting", super::ties::counting),
    ("compare unrelated", super::ties::unrelated),
    ("lineage", super::ties::walked),
    ("elsewhere", super::ties::elsewhere),
    ("archives", super::ties::archives),
    ("archives denied", super::ties::archives_denied),
    ("orphans", orphans::tests::sure),
    ("orphans not sure", orphans::tests::not_sure),
    ("orphans marked", orphans::journey::marked_and_exact),
    ("deletion", orphans::journey::deletion),
    ("deletion stopped", orphans::journey::stopped),
];

#[test]
fn no_screen_cuts_a_word() {
    let mut found = Vec::new();
    for keys in PRESSED {
        let made = |width, height| {
            let (mut model, mut now) = (deck(width, height), now());
            press(&mut model, keys, &mut now);
            (model, now)
        };
        found.extend(swept(&keys.join(" "), &made));
    }
    for (name, made) in STATES {
        found.extend(swept(name, made));
        for more in ["?", "enter"] {
            let opened = |width, height| {
                let (mut model, mut now) = made(width, height);
                press(&mut model, &[more], &mut now);
                (model, now)
            };
            found.extend(swept(&format!("{name}, then {more}"), &opened));
        }
    }
    assert!(found.is_empty(), "{} lines cut a word:\n{}", found.len(), found.join("\n"));
}

#[test]
fn no_word_is_drawn_as_faintly_as_a_rule() {
    use super::theme::{Depth, Palette, Role, Theme};
    let theme = Theme { palette: Palette::Light, depth: Depth::True, ascii: false };
    let faint = [Role::Faint, Role::Border].map(|role| theme.style(role).fg);
    let mut found = Vec::new();
    let mut look = |name: &str, mut model: Model, now: Now| {
        model.theme = theme;
        let buf = super::testing::drawn(&model, now);
        let words = buf.content.iter().filter(|cell| faint.contains(&Some(cell.fg)));
        let letters: String =
            words.map(|cell| cell.symbol()).filter(|s| s.chars().all(char::is_alphanumeric)).collect();
        if !letters.is_empty() {
            found.push(format!("{name}: {letters}"));
        }
    };
    for keys in PRESSED {
        let (mut model, mut at) = (deck(120, 36), now());
        press(&mut model, keys, &mut at);
        look(&keys.join(" "), model, at);
    }
    for (name, made) in STATES {
        let (model, at) = made(120, 36);
        look(name, model, at);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
