//! The first page of a first run: profiles, what each needs, what was looked at, the way into the sandbox.
//!
//! It waits for nothing: profiles come from files alone, and it looks again by itself when they change.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::action::{Action, Scope, always};
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::model::Model;
use crate::tui::overlay::pick::{kind_word, name_of, use_profiles};
use crate::tui::screen::{Page, Screen};
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;
use crate::tui::widget::table::{self, Cell, Head, Look, put};

/// What the screen keeps.
#[derive(Debug, Default)]
pub struct State {
    /// The profile under the cursor.
    pub cursor: usize,
    /// Whether the sandbox is being opened.
    pub opening: bool,
}

const HERE: Scope = Scope::Screen(Screen::Start);

/// What can be done here.
pub const ACTIONS: &[Action] = &[
    HERE.look(
        "start.use",
        "use profile",
        &["enter"],
        10,
        "Open the profile under the cursor.",
        needs_profile,
        |m, now| {
            let name = m.profiles.get(m.start.cursor).map(name_of);
            use_profiles(m, &name.into_iter().collect::<Vec<_>>(), now)
        },
    ),
    HERE.look(
        "start.sandbox",
        "sandbox",
        &["s"],
        12,
        "Open the embedded AWS: nothing is asked of real AWS, nothing costs.",
        opening,
        |m, now| {
            m.start.opening = true;
            m.say(now, "opening the sandbox");
            vec![Effect::OpenSandbox]
        },
    ),
    HERE.look(
        "start.mend",
        "copy the mending command",
        &["y"],
        14,
        "Copy the command that would make the profile usable.",
        needs_mend,
        |m, now| {
            let Some(mend) = m.profiles.get(m.start.cursor).and_then(|p| p.mend.clone()) else { return Vec::new() };
            m.say(now, format!("copied `{mend}` (OSC 52)"));
            vec![Effect::Copy(mend)]
        },
    ),
    HERE.look(
        "start.again",
        "look again",
        &["r"],
        16,
        "Look for profiles again; it also happens by itself when ~/.aws changes.",
        always,
        |_, _| vec![Effect::LookAtProfiles],
    ),
    HERE.look("start.down", "down", &["down", "j"], 0, "The next profile.", always, |m, _| step(m, 1)),
    HERE.look("start.up", "up", &["up", "k"], 0, "The profile before.", always, |m, _| step(m, -1)),
];

fn step(model: &mut Model, by: isize) -> Vec<Effect> {
    let last = model.profiles.len().saturating_sub(1);
    model.start.cursor = model.start.cursor.saturating_add_signed(by).min(last);
    Vec::new()
}

/// The cursor stays with its profile when `~/.aws` was read again.
pub fn keep_cursor(model: &mut Model, fresh: &[crate::aws::ProfileInfo]) {
    let here = model.profiles.get(model.start.cursor).map(name_of);
    if let Some(at) = here.and_then(|here| fresh.iter().position(|profile| name_of(profile) == here)) {
        model.start.cursor = at;
    }
}

fn needs_profile(model: &Model) -> Option<String> {
    model
        .profiles
        .is_empty()
        .then(|| "there is no profile yet: `aws configure sso` makes one, s opens the sandbox".to_owned())
}

fn needs_mend(model: &Model) -> Option<String> {
    let mend = model.profiles.get(model.start.cursor).and_then(|p| p.mend.as_ref());
    mend.is_none().then(|| "this profile needs no mending".to_owned())
}

fn opening(model: &Model) -> Option<String> {
    model.start.opening.then(|| "the sandbox is being opened".to_owned())
}

/// The door.
pub const PAGE: Page = Page {
    title: "Start",
    is_list: false,
    actions: ACTIONS,
    view,
    note: |model, _| match model.start.opening {
        true => "◐ opening the sandbox".to_owned(),
        false => text::count(model.profiles.len() as u64, "profile"),
    },
    command: |model| match model.profiles.get(model.start.cursor).and_then(|p| p.name.as_ref()) {
        Some(name) => format!("floe --profile {name}"),
        None => "floe --sandbox".to_owned(),
    },
    hear: |model, msg, _| {
        if matches!(msg, crate::tui::msg::Msg::World { .. } | crate::tui::msg::Msg::Failed(_)) {
            model.start.opening = false;
        }
        model.start.cursor = model.start.cursor.min(model.profiles.len().saturating_sub(1));
        Vec::new()
    },
    key: Page::no_key,
    mouse: on_mouse,
};

fn on_mouse(model: &mut Model, event: MouseEvent, body: Rect, _: Now) -> Vec<Effect> {
    let first = body.y + 2;
    if event.kind == MouseEventKind::Down(MouseButton::Left) && event.row >= first {
        let row = usize::from(event.row - first);
        if row < model.profiles.len() {
            model.start.cursor = row;
        }
    }
    Vec::new()
}

fn heads(width: u16) -> Vec<Head> {
    let inner = width.saturating_sub(5);
    let name = if inner >= 90 { 18 } else { 12.min(inner) };
    let mut out = vec![Head::left("PROFILE", name, None), Head::left("KIND", 9, None)];
    if inner >= 90 {
        out.push(Head::left("ACCOUNT", 14, None));
        out.push(Head::left("REGION", 14, None));
    }
    let used: u16 = out.iter().map(|h| h.width + 1).sum();
    let rest = inner.saturating_sub(used);
    // `● signed in until 09:55` is not cut where half the room is enough for it.
    let state = (rest * 2 / 5).max(24.min(rest / 2)).clamp(8, 26);
    out.push(Head::left("STATE", state, None));
    out.push(Head::left("TO USE IT", rest.saturating_sub(state + 2).max(1), None));
    out
}

fn view(model: &Model, body: Rect, buf: &mut Buffer, theme: &Theme, _: Now) {
    let notes = notes(model);
    // Nothing is chosen and nothing was looked at: the sandbox was asked for by name.
    let alone = model.start.opening && model.profiles.is_empty() && model.looked_at.is_empty();
    let below =
        if body.height >= 14 && !alone { u16::try_from(notes.len() + 2).unwrap_or(2).min(body.height / 2) } else { 0 };
    let upper = Rect { height: body.height - below, ..body };
    let (title, right) =
        if alone { ("Sandbox", "in this process") } else { ("Choose a profile", "enter uses it · s the sandbox") };
    let inner = panel(title, right, true, upper, buf, theme);
    let columns = heads(upper.width);
    if alone {
        let lines = [
            "◐ opening the sandbox …",
            "",
            "An AWS inside floe: real AWS is not asked and nothing costs; copies run and are kept.",
            "A large scenario takes some seconds, the first time most of all. q quits.",
        ];
        write(&lines, inner, buf, theme);
    } else if model.profiles.is_empty() {
        let lines = [
            "No profile was found, and no keys in the environment.",
            "",
            "s   opens the sandbox: an AWS inside floe, 400 snapshots in 6 regions.",
            "    Real AWS is not asked and nothing costs; copies run and are kept.",
            "",
            "aws configure sso    makes a profile for IAM Identity Center",
            "aws configure        makes one with access keys",
            "",
            "This page looks again by itself when ~/.aws changes.",
        ];
        write(&lines, inner, buf, theme);
    } else {
        let line0 = Rect { height: inner.height.min(1), ..inner };
        table::heads(&columns, None, line0, buf, theme);
        let lines = usize::from(inner.height).saturating_sub(1);
        let top = (model.start.cursor + 1).saturating_sub(lines);
        for (line, (n, info)) in model.profiles.iter().enumerate().skip(top).take(lines).enumerate() {
            let at = Rect { y: inner.y + 1 + u16::try_from(line).unwrap_or(0), height: 1, ..inner };
            let look = Look { cursor: n == model.start.cursor, ..Look::default() };
            let cells: Vec<Cell> = columns.iter().map(|head| cell(info, head.title)).collect();
            table::row(&columns, &cells, look, at, buf, theme);
        }
    }
    if below > 0 {
        let area = Rect { y: upper.bottom(), height: below, ..body };
        let inner = panel("What was looked at", "it looks again when ~/.aws changes", false, area, buf, theme);
        for (n, line) in (0u16..inner.height).zip(&notes) {
            let at = Rect { y: inner.y + n, height: 1, ..inner };
            put(at.x + 1, &text::words(line, usize::from(at.width).saturating_sub(2)), theme.style(Role::Dim), at, buf);
        }
    }
}

fn write(lines: &[&str], area: Rect, buf: &mut Buffer, theme: &Theme) {
    for (n, line) in (0u16..area.height).zip(lines) {
        let at = Rect { y: area.y + n, height: 1, ..area };
        put(at.x + 2, &text::words(line, usize::from(at.width).saturating_sub(3)), theme.style(Role::Text), at, buf);
    }
}

fn notes(model: &Model) -> Vec<String> {
    let mut out = model.looked_at.clone();
    if out.is_empty() {
        out.push("nothing yet".to_owned());
    }
    out.push("instance metadata: asked only when a profile says so".to_owned());
    out
}

fn cell(info: &crate::aws::ProfileInfo, head: &str) -> Cell {
    match head {
        "PROFILE" => Cell::new(name_of(info)),
        "KIND" => Cell::new(kind_word(info.kind)),
        "ACCOUNT" => Cell::new(info.account.as_ref().map_or_else(|| "?".to_owned(), crate::ids::AccountId::grouped)),
        "REGION" => Cell::new(info.region.as_ref().map_or_else(|| "none set".to_owned(), ToString::to_string)),
        "STATE" if info.usable => Cell::with(format!("● {}", info.state), Role::Good),
        "STATE" => Cell::with(format!("! {}", info.state), Role::Warn),
        _ if info.usable => Cell::with("enter", Role::Key),
        _ => Cell::with(info.mend.clone().unwrap_or_else(|| "floe doctor".to_owned()), Role::Fresh),
    }
}
