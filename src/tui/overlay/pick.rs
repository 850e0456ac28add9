//! Choosing profiles or regions: type to narrow, `space` marks several, `enter` uses what is marked or under the cursor.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

use crate::aws::ProfileKind;
use crate::ids::{Profile, Region};
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::model::Model;
use crate::tui::overlay::Overlay;
use crate::tui::screen::Screen;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::table::{Cell, Head, Look, heads, put, row};
use crate::tui::widget::{centred, panel};

/// What is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Profiles.
    Profiles,
    /// Regions.
    Regions,
}

/// One open picker.
#[derive(Debug)]
pub struct State {
    /// What is chosen.
    pub what: What,
    /// What can be chosen.
    pub names: Vec<String>,
    /// What is marked.
    pub marked: Vec<String>,
    /// The row under the cursor.
    pub cursor: usize,
}

/// The profile picker, as things stand.
#[must_use]
pub fn profiles(model: &Model) -> State {
    let names: Vec<String> = model.profiles.iter().map(name_of).collect();
    let marked: Vec<String> = model.chosen_profiles.iter().map(ToString::to_string).collect();
    let cursor = names.iter().position(|n| marked.first() == Some(n)).unwrap_or(0);
    let marked = if marked.len() > 1 { marked } else { Vec::new() };
    State { what: What::Profiles, names, marked, cursor }
}

/// The region picker, as things stand: regions of the catalog and those that are chosen.
#[must_use]
pub fn regions(model: &Model) -> State {
    let mut names: Vec<String> = model.known_regions.iter().map(ToString::to_string).collect();
    for region in model.regions().into_iter().chain(&model.chosen_regions) {
        let name = region.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.sort();
    let marked = model.chosen_regions.iter().map(ToString::to_string).collect();
    State { what: What::Regions, names, marked, cursor: 0 }
}

/// How a profile is shown: keys of the environment have no name.
#[must_use]
pub fn name_of(profile: &crate::aws::ProfileInfo) -> String {
    profile.name.as_ref().map_or_else(|| "(environment)".to_owned(), ToString::to_string)
}

/// The profile of that name as it is now: the list may have been read again since the picker was opened.
fn profile<'a>(model: &'a Model, name: &str) -> Option<&'a crate::aws::ProfileInfo> {
    model.profiles.iter().find(|profile| name_of(profile) == name)
}

/// How it gets credentials, in a word or two.
#[must_use]
pub const fn kind_word(kind: ProfileKind) -> &'static str {
    match kind {
        ProfileKind::Keys => "keys",
        ProfileKind::Sso => "SSO",
        ProfileKind::Login => "aws login",
        ProfileKind::Role => "role",
        ProfileKind::Process => "process",
        ProfileKind::WebIdentity => "web identity",
        ProfileKind::Environment => "environment",
        ProfileKind::Metadata => "metadata",
        ProfileKind::Sandbox => "sandbox",
        ProfileKind::None => "nothing",
    }
}

/// A key for the picker.
pub fn key(model: &mut Model, key: KeyEvent, now: Now) -> Vec<Effect> {
    let Some(Overlay::Pick(state)) = model.overlays.last_mut() else { return Vec::new() };
    let last = state.names.len().saturating_sub(1);
    match key.code {
        KeyCode::Esc | KeyCode::Char('q') => {
            model.overlays.pop();
        }
        KeyCode::Down | KeyCode::Char('j') => state.cursor = (state.cursor + 1).min(last),
        KeyCode::Up | KeyCode::Char('k') => state.cursor = state.cursor.saturating_sub(1),
        KeyCode::Home | KeyCode::Char('g') => state.cursor = 0,
        KeyCode::End | KeyCode::Char('G') => state.cursor = last,
        KeyCode::Char(' ') => {
            if let Some(name) = state.names.get(state.cursor).cloned() {
                match state.marked.iter().position(|m| *m == name) {
                    Some(at) => drop(state.marked.remove(at)),
                    None => state.marked.push(name),
                }
                state.cursor = (state.cursor + 1).min(last);
            }
        }
        KeyCode::Char('u') => state.marked.clear(),
        KeyCode::Char('y') => return copy_mend(model, now),
        KeyCode::Enter => return accept(model, now),
        _ => {}
    }
    Vec::new()
}

fn copy_mend(model: &mut Model, now: Now) -> Vec<Effect> {
    let Some(Overlay::Pick(State { what: What::Profiles, cursor, names, .. })) = model.overlays.last() else {
        return Vec::new();
    };
    let mend = names.get(*cursor).and_then(|name| profile(model, name)?.mend.clone());
    match mend {
        Some(mend) => {
            model.say(now, format!("copied `{mend}` (OSC 52)"));
            vec![Effect::Copy(mend)]
        }
        None => {
            model.refuse(now, "this profile needs no mending");
            Vec::new()
        }
    }
}

fn accept(model: &mut Model, now: Now) -> Vec<Effect> {
    let Some(Overlay::Pick(state)) = model.overlays.pop() else { return Vec::new() };
    let mut chosen = state.marked;
    match state.what {
        What::Regions => {
            let regions: Vec<Region> = chosen.iter().filter_map(|name| name.parse().ok()).collect();
            if regions == model.chosen_regions {
                model.say(now, "the regions stay as they are; space marks the ones to look at");
                return Vec::new();
            }
            let profiles = model.chosen_profiles.clone();
            crate::tui::update::look(model, profiles, regions)
        }
        What::Profiles => {
            if chosen.is_empty() {
                chosen.extend(state.names.get(state.cursor).cloned());
            }
            use_profiles(model, &chosen, now)
        }
    }
}

/// Looks with these profiles; one that needs mending first says how.
pub fn use_profiles(model: &mut Model, names: &[String], now: Now) -> Vec<Effect> {
    for name in names {
        if let Some(profile) = profile(model, name)
            && !profile.usable
        {
            let mend = profile.mend.as_deref().unwrap_or("see floe doctor");
            let why = format!("{name} cannot be used yet ({}): {mend}", profile.state);
            model.refuse(now, why);
            return Vec::new();
        }
    }
    let profiles: Vec<Profile> = names.iter().filter_map(|name| name.parse().ok()).collect();
    let regions = model.chosen_regions.clone();
    model.back.clear();
    model.screen = Screen::World;
    crate::tui::update::look(model, profiles, regions)
}

/// Draws it in the middle.
pub fn view(model: &Model, state: &State, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let height = u16::try_from(state.names.len() + 3).unwrap_or(u16::MAX).max(5);
    let (title, width) = match state.what {
        What::Profiles => ("Profiles", 100),
        What::Regions => ("Regions", 60),
    };
    let area = centred(area, width, height.min(area.height));
    Clear.render(area, buf);
    let right = match (state.what, state.marked.len()) {
        (What::Regions, 0) => "none marked: all regions".to_owned(),
        (_, 0) => "space marks several".to_owned(),
        (_, n) => format!("{n} marked"),
    };
    let inner = panel(title, &right, true, area, buf, theme);
    let columns: Vec<Head> = match state.what {
        What::Profiles => vec![
            // As wide as the frame allows: how it is signed in is not cut before the name is.
            Head::left("PROFILE", if inner.width < 98 { 14 } else { 20 }, None),
            Head::left("KIND", if inner.width < 98 { 7 } else { 12 }, None),
            Head::left("ACCOUNT", 14, None),
            Head::left("REGION", 14, None),
            Head::left("STATE", inner.width.saturating_sub(if inner.width < 98 { 57 } else { 68 }).min(30), None),
        ],
        What::Regions => {
            vec![Head::left("REGION", 20, None), Head::left("CODE", 8, None), Head::right("SNAPSHOTS", 10, None)]
        }
    };
    heads(&columns, None, inner, buf, theme);
    let lines = usize::from(inner.height).saturating_sub(1);
    let top = (state.cursor + 1).saturating_sub(lines);
    for (line, (n, name)) in state.names.iter().enumerate().skip(top).take(lines).enumerate() {
        let at = Rect { y: inner.y + 1 + u16::try_from(line).unwrap_or(0), height: 1, ..inner };
        let look = Look { cursor: n == state.cursor, marked: state.marked.contains(name), ..Look::default() };
        row(&columns, &cells(model, state, name), look, at, buf, theme);
    }
    if state.names.is_empty() {
        let at = Rect { y: inner.y + 1.min(inner.height), height: inner.height.saturating_sub(1), ..inner };
        put(at.x + 3, "nothing to choose from yet", theme.style(Role::Dim), at, buf);
    }
}

fn cells(model: &Model, state: &State, name: &str) -> Vec<Cell> {
    match state.what {
        What::Profiles => {
            let Some(info) = profile(model, name) else { return vec![Cell::new(name)] };
            let role = if info.usable { Role::Good } else { Role::Warn };
            vec![
                Cell::new(name),
                Cell::new(kind_word(info.kind)),
                Cell::new(info.account.as_ref().map(crate::ids::AccountId::grouped).unwrap_or_default()),
                Cell::new(info.region.as_ref().map(ToString::to_string).unwrap_or_default()),
                Cell::with(format!("{} {}", if info.usable { "●" } else { "!" }, info.state), role),
            ]
        }
        What::Regions => {
            let count: u64 = model
                .catalog
                .snapshots
                .shards
                .iter()
                .filter(|s| s.origin.region.as_str() == name)
                .map(|s| s.sums.rows)
                .sum();
            let short = name.parse::<Region>().map(|r| r.short()).unwrap_or_default();
            vec![Cell::new(name), Cell::new(short), Cell::new(crate::units::grouped(count))]
        }
    }
}
