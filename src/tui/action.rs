//! One definition per action: keymap, hints, help, palette and the README's table are all read off it.
//!
//! An action that cannot be used now stays in its place and says why (`disabled`); nothing is hidden.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::clock::Now;
use super::effect::Effect;
use super::model::Model;

/// Where an action's keys count. A key is looked up in the screen, then in lists (where the screen is one),
/// then everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// On every screen.
    Everywhere,
    /// On every screen that is a list.
    Lists,
    /// On one screen only.
    Screen(super::screen::Screen),
}

/// Why an action cannot be used now, as a sentence to show.
pub type Why = fn(&Model) -> Option<String>;
/// What an action does.
pub type Run = fn(&mut Model, Now) -> Vec<Effect>;

/// One for each danger, so that what an action may do is the first word of its row in a table of actions. Arguments
/// are the fields of [`Action`], in their order.
macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident: $danger:ident;)*) => {
        impl Scope {$(
            $(#[$doc])*
            #[expect(clippy::too_many_arguments, reason = "a row of the table of actions, in the order of its fields")]
            #[must_use]
            pub const fn $name(
                self,
                id: &'static str,
                title: &'static str,
                keys: &'static [&'static str],
                hint: u8,
                doc: &'static str,
                disabled: Why,
                run: Run,
            ) -> Action {
                Action { id, title, keys, scope: self, danger: Danger::$danger, hint, doc, disabled, run }
            }
        )*}
    };
}

rows! {
    /// An action here by which nothing is lost.
    look: Look;
    /// An action here that makes something new.
    make: Make;
    /// An action here that replaces something.
    replace: Replace;
    /// An action here that removes something, or leads to it.
    remove: Remove;
}

/// What could be lost (SCREENS.md, "The gate").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Danger {
    /// Nothing.
    Look,
    /// Nothing that exists; something new is made.
    Make,
    /// What is replaced.
    Replace,
    /// What is removed.
    Remove,
}

/// One thing that can be done.
#[derive(Debug)]
pub struct Action {
    /// `snapshots.copy`: stable, for tests and the palette's memory.
    pub id: &'static str,
    /// The verb in hints: `copy`.
    pub title: &'static str,
    /// `c`, `D`, `enter`, `space`, `ctrl-d`, `tab`, `pgup`, `f1`; any of them.
    pub keys: &'static [&'static str],
    /// Where.
    pub scope: Scope,
    /// How dangerous.
    pub danger: Danger,
    /// Place in the hint bar, from the left; 0 is never shown there.
    pub hint: u8,
    /// One sentence for help and README.
    pub doc: &'static str,
    /// Why it cannot be used now, as a sentence to show.
    pub disabled: Why,
    /// Does it.
    pub run: Run,
}

/// For actions that can always be used.
#[must_use]
pub fn always(_: &Model) -> Option<String> {
    None
}

/// How a key event is written: `c`, `D`, `ctrl-d`, `enter`.
#[must_use]
pub fn key_name(key: KeyEvent) -> Option<String> {
    let name = match key.code {
        KeyCode::Char(' ') => "space".to_owned(),
        KeyCode::Char(c) => c.to_string(),
        KeyCode::Enter => "enter".to_owned(),
        KeyCode::Esc => "esc".to_owned(),
        KeyCode::Tab => "tab".to_owned(),
        KeyCode::BackTab => "backtab".to_owned(),
        KeyCode::Up => "up".to_owned(),
        KeyCode::Down => "down".to_owned(),
        KeyCode::Left => "left".to_owned(),
        KeyCode::Right => "right".to_owned(),
        KeyCode::PageUp => "pgup".to_owned(),
        KeyCode::PageDown => "pgdn".to_owned(),
        KeyCode::Home => "home".to_owned(),
        KeyCode::End => "end".to_owned(),
        KeyCode::Backspace => "backspace".to_owned(),
        KeyCode::Delete => "del".to_owned(),
        KeyCode::F(n) => format!("f{n}"),
        _ => return None,
    };
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        Some(format!("ctrl-{name}"))
    } else if key.modifiers.contains(KeyModifiers::ALT) {
        Some(format!("alt-{name}"))
    } else {
        Some(name)
    }
}

/// The action that a key stands for on the current screen.
#[must_use]
pub fn find(model: &Model, key: KeyEvent) -> Option<&'static Action> {
    let name = key_name(key)?;
    in_scope(model).find(|action| action.keys.contains(&name.as_str()))
}

/// Every action that can be reached from the current screen, the screen's own first.
pub fn in_scope(model: &Model) -> impl Iterator<Item = &'static Action> + use<> {
    let page = model.screen.page();
    let lists: &'static [Action] = if page.is_list { super::list::actions::ACTIONS } else { &[] };
    page.actions.iter().chain(lists).chain(super::update::everywhere::ACTIONS)
}

/// Every action there is.
pub fn all() -> impl Iterator<Item = &'static Action> {
    super::screen::Screen::ALL
        .iter()
        .flat_map(|screen| screen.page().actions)
        .chain(super::list::actions::ACTIONS)
        .chain(super::update::everywhere::ACTIONS)
}

/// The table of keys for the README, in Markdown; a test holds the README to it.
#[must_use]
pub fn key_table() -> String {
    let mut out = String::from("| where | keys | what |\n| --- | --- | --- |\n");
    let mut seen: Vec<&str> = Vec::new();
    for action in all() {
        // The same action on two screens is one line, under the first.
        if seen.contains(&action.id) {
            continue;
        }
        seen.push(action.id);
        let place = match action.scope {
            Scope::Everywhere => "everywhere",
            Scope::Lists => "lists",
            Scope::Screen(screen) => screen.page().title,
        };
        let keys: Vec<String> = action.keys.iter().map(|key| format!("`{}`", key.replace('|', "\\|"))).collect();
        out.push_str(&format!("| {place} | {} | {} |\n", keys.join(" "), action.doc));
    }
    out
}
