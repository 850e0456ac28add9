//! One frame: two fixed lines on top, the screen, two fixed lines at the bottom, overlays over all.
//!
//! Pure: the same model, area, theme and moment give the same buffer. Survives any size from 1×1 on. Every
//! line is built from parts with a rank; what does not fit goes by rank, never by cutting a word.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{Clear, Widget};

use super::action::{self, Action, Scope};
use super::clock::Now;
use super::model::{Mode, Model};
use super::overlay;
use super::screen::Screen;
use super::text;
use super::theme::{Role, Theme};
use super::widget::spark;
use super::widget::table::put;

/// Lines above and below the screen.
pub const FRAME_LINES: u16 = 4;
/// Below this a screen is one pane and a sentence.
pub const SMALL: (u16, u16) = (60, 18);

/// Draws everything.
pub fn view(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let area = area.intersection(buf.area);
    Clear.render(area, buf);
    let body = body(area);
    if area.height > FRAME_LINES {
        header(model, line_of(area, 0), buf, theme, now);
        tabs(model, line_of(area, 1), buf, theme, now);
        (model.screen.page().view)(model, body, buf, theme, now);
        overlay::view(model, body, buf, theme, now);
        command_line(model, line_of(area, area.height - 2), buf, theme, now);
    } else {
        (model.screen.page().view)(model, area, buf, theme, now);
    }
    if area.height > 1 {
        hints(model, line_of(area, area.height - 1), buf, theme);
    }
    super::theme::finish(buf, theme);
}

/// Where the screen is drawn.
#[must_use]
pub fn body(area: Rect) -> Rect {
    Rect { y: area.y + 2.min(area.height), height: area.height.saturating_sub(FRAME_LINES), ..area }
}

fn line_of(area: Rect, n: u16) -> Rect {
    Rect { y: area.y + n, height: 1, ..area }
}

/// A part of a line: text, role, rank (the highest goes first when there is no room).
struct Part(String, Role, u8);

/// Writes parts from the left and from the right, leaving out by rank until they fit with a gap.
fn spread(mut left: Vec<Part>, mut right: Vec<Part>, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let length = |parts: &[Part]| parts.iter().map(|p| text::width(&p.0)).sum::<usize>();
    let room = usize::from(area.width).saturating_sub(2);
    while length(&left) + length(&right) + 2 > room {
        let worst = left.iter().chain(&right).map(|p| p.2).max().unwrap_or(0);
        if worst == 0 {
            break;
        }
        match right.iter().rposition(|p| p.2 == worst) {
            Some(at) => drop(right.remove(at)),
            None => {
                let Some(at) = left.iter().rposition(|p| p.2 == worst) else { break };
                left.remove(at);
            }
        }
    }
    let mut x = area.x + 1;
    for Part(what, role, _) in &left {
        put(x, what, theme.style(*role), area, buf);
        x = x.saturating_add(u16::try_from(text::width(what)).unwrap_or(u16::MAX));
    }
    let mut x = area.right().saturating_sub(u16::try_from(length(&right) + 1).unwrap_or(u16::MAX)).max(x + 1);
    for Part(what, role, _) in &right {
        put(x, what, theme.style(*role), area, buf);
        x = x.saturating_add(u16::try_from(text::width(what)).unwrap_or(u16::MAX));
    }
}

/// `ARMED delete 27 min`.
fn armed(model: &Model, now: Now) -> String {
    let left = model.armed.as_ref().map_or(0, |armed| armed.until.saturating_sub(now.mono).as_secs().div_ceil(60));
    format!("ARMED delete {left} min")
}

fn header(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let mut left = vec![Part("floe".into(), Role::Title, 0), Part("  ".into(), Role::Text, 0)];
    left.push(Part(who(model), Role::Accent, 1));
    if let Some(alias) = alias(model) {
        left.push(Part(format!(" {alias}"), Role::Text, 6));
    }
    left.push(Part(format!(" · {}", where_(model)), Role::Text, 4));
    let (mode, role) = match model.mode {
        Mode::ReadOnly => ("READ-ONLY".to_owned(), Role::Good),
        Mode::Safe => ("SAFE".to_owned(), Role::Good),
        Mode::Armed => (armed(model, now), Role::Armed),
    };
    left.push(Part(" · ".into(), Role::Dim, 2));
    left.push(Part(mode, role, 2));
    let right = match model.quiet {
        None => jobs_and_budget(model, theme),
        // Nothing that would pass for a figure of now.
        Some(quiet) if area.width < SMALL.0 => vec![Part(quiet.short(now), Role::Bad, 0)],
        Some(quiet) => vec![Part(quiet.said(now), Role::Bad, 0)],
    };
    spread(left, right, area, buf, theme);
}

fn who(model: &Model) -> String {
    let account = |profile: Option<&crate::ids::Profile>| {
        model.catalog.origins.iter().find(|o| o.profile.as_ref() == profile).map(|o| o.account.clone())
    };
    let sandbox = if model.sandbox { "sandbox " } else { "" };
    match model.chosen_profiles.as_slice() {
        [] => match account(None) {
            Some(account) => format!("{sandbox}{}", account.grouped()),
            None => format!("{sandbox}no profile"),
        },
        [one] => match account(Some(one)) {
            Some(account) => format!("{sandbox}{one} {}", account.grouped()),
            None => format!("{sandbox}{one}"),
        },
        [first, rest @ ..] => format!("{sandbox}{first} + {} more", rest.len()),
    }
}

/// What people call the account, where one is looked at and its profile is not called so already.
fn alias(model: &Model) -> Option<&str> {
    let profile = match model.chosen_profiles.as_slice() {
        [] => None,
        [one] => Some(one),
        _ => return None,
    };
    let origin = model.catalog.origins.iter().find(|origin| origin.profile.as_ref() == profile)?;
    model.alias(&origin.account).filter(|alias| profile.is_none_or(|profile| profile.as_str() != *alias))
}

fn where_(model: &Model) -> String {
    match model.chosen_regions.as_slice() {
        [] => match model.regions().len() {
            0 => "all regions".to_owned(),
            n => format!("all {n} regions"),
        },
        [one] => one.to_string(),
        [a, b] => format!("{a} {b}"),
        many => format!("{} regions", many.len()),
    }
}

fn jobs_and_budget(model: &Model, theme: &Theme) -> Vec<Part> {
    let Some(status) = &model.status else { return vec![Part("no jobs".into(), Role::Dim, 6)] };
    let open = status.jobs.iter().filter(|job| !job.state.is_over()).count() as u64;
    let mut parts = vec![Part(text::count(open, "job"), Role::Text, 3)];
    if open > 0 {
        parts.push(Part(format!(" · {}", status.rate), Role::Text, 3));
        parts.push(Part(format!(" {}", spark::text(theme, &status.rate_history, 8, None)), Role::Gauge, 7));
    }
    let budget = &status.budget;
    parts.push(Part(format!(" · budget {:.0}/{:.0} MiB", budget.used.as_mib(), budget.limit.as_mib()), Role::Text, 5));
    parts
}

/// Which tab a screen belongs to, its digit and its name.
const TABS: [(Screen, char, &str); 7] = [
    (Screen::World, '1', "World"),
    (Screen::Snapshots, '2', "Snapshots"),
    (Screen::Volumes, '3', "Volumes"),
    (Screen::Images, '4', "AMIs"),
    (Screen::Orphans, '5', "Orphans"),
    (Screen::Transfers, '6', "Transfers"),
    (Screen::Log, '7', "Log"),
];

/// Blanks between tabs.
const GAP: usize = 2;

fn tab_texts(model: &Model, counts: bool) -> Vec<(Screen, String)> {
    let of = |screen| match screen {
        Screen::Job => Screen::Transfers,
        Screen::Compare | Screen::Lineage | Screen::Elsewhere | Screen::Archives => Screen::Snapshots,
        other => other,
    };
    // A plan belongs to the list that it was made from, however many screens lie between.
    let is_plan = |screen: &Screen| matches!(screen, Screen::Plan | Screen::Removal);
    let from = || model.back.iter().rev().find(|screen| !is_plan(screen)).copied().unwrap_or(Screen::Snapshots);
    let current = of(if is_plan(&model.screen) { from() } else { model.screen });
    let count = |screen: Screen| -> String {
        let listed = |total: String, list: &super::list::List| {
            if list.filter.parsed.is_some() {
                format!("{}/{total}", crate::units::grouped(list.len() as u64))
            } else {
                total
            }
        };
        match screen {
            Screen::Snapshots => listed(model.catalog.snapshots.count_text(), &model.snapshots.list),
            Screen::Volumes => listed(model.catalog.volumes.count_text(), &model.volumes.list),
            Screen::Images => listed(model.catalog.images.count_text(), &model.images.list),
            Screen::Orphans => orphans(model),
            Screen::Transfers => model.jobs().iter().filter(|j| !j.state.is_over()).count().to_string(),
            Screen::Log => model.problems.len().to_string(),
            _ => String::new(),
        }
    };
    TABS.iter()
        .map(|(screen, digit, name)| {
            let n = if counts { count(*screen) } else { String::new() };
            let n = if n == "0" || n.is_empty() { String::new() } else { format!(" {n}") };
            let here = *screen == current;
            let (open, close) = if here { ("▐", "▌") } else { ("", "") };
            (*screen, format!("{open}{digit} {name}{n}{close}"))
        })
        .collect()
}

/// `37+`: more may come. `≤ 37`: some are not asked about yet.
fn orphans(model: &Model) -> String {
    let all = model.orphans.all();
    if all.found + all.open == 0 { String::new() } else { all.to_string() }
}

fn tabs(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let texts = fitting_tabs(model, area.width);
    let mut x = area.x.saturating_add(1);
    for (_, what) in &texts {
        let here = what.starts_with('▐');
        let inner = what.trim_matches(['▐', '▌']);
        if here {
            put(x, "▐", theme.style(Role::Tab).remove_modifier(ratatui::style::Modifier::REVERSED), area, buf);
            put(x + 1, inner, theme.style(Role::Tab), area, buf);
            let end = x + u16::try_from(text::width(what)).unwrap_or(1) - 1;
            put(end, "▌", theme.style(Role::Tab).remove_modifier(ratatui::style::Modifier::REVERSED), area, buf);
        } else {
            put(x, what, theme.style(Role::Text), area, buf);
        }
        x = x.saturating_add(u16::try_from(text::width(what) + GAP).unwrap_or(u16::MAX));
    }
    let note = (model.screen.page().note)(model, now);
    let width = u16::try_from(text::width(&note)).unwrap_or(u16::MAX);
    if !note.is_empty() && x.saturating_add(width).saturating_add(2) <= area.right() {
        put(area.right() - width - 1, &note, theme.style(Role::Dim), area, buf);
    }
}

fn fitting_tabs(model: &Model, width: u16) -> Vec<(Screen, String)> {
    let length = |tabs: &[(Screen, String)]| tabs.iter().map(|(_, t)| text::width(t) + GAP).sum::<usize>();
    let full = tab_texts(model, true);
    if length(&full) + 2 <= usize::from(width) {
        return full;
    }
    let plain = tab_texts(model, false);
    if length(&plain) + 2 <= usize::from(width) {
        return plain;
    }
    // No room for the names of the others: their digits still say where one can go.
    plain
        .into_iter()
        .map(
            |(screen, text)| {
                if text.starts_with('▐') { (screen, text) } else { (screen, text.chars().take(1).collect()) }
            },
        )
        .collect()
}

/// The screen whose tab is at a column.
#[must_use]
pub fn tab_at(model: &Model, width: u16, column: u16) -> Option<Screen> {
    let mut x = 1usize;
    for (screen, what) in fitting_tabs(model, width) {
        let end = x + text::width(&what);
        if (x..end).contains(&usize::from(column)) {
            return Some(screen);
        }
        x = end + GAP;
    }
    None
}

fn command_line(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    if let Some(toast) = &model.toast {
        let (glyph, role) = if toast.bad { ("!", Role::Warn) } else { ("·", Role::Fresh) };
        let said = text::clauses(&format!("{glyph} {}", toast.text), usize::from(area.width).saturating_sub(2));
        put(area.x + 1, &said, theme.style(role), area, buf);
        return;
    }
    if let Some(quiet) = model.quiet {
        let line = format!("! {}", quiet.line(model.status.as_deref(), now));
        let said = text::clauses(&line, usize::from(area.width).saturating_sub(2));
        put(area.x + 1, &said, theme.style(Role::Bad), area, buf);
        return;
    }
    if model.size.0 < SMALL.0 || model.size.1 < SMALL.1 {
        let said =
            format!("{}×{} shows the list; {}×{} and up shows the rest", model.size.0, model.size.1, SMALL.0, SMALL.1);
        let short = format!("small: {}×{} shows more", SMALL.0, SMALL.1);
        let least = format!("make it {}×{}", SMALL.0, SMALL.1);
        let fits = |said: &&String| text::width(said) + 2 <= usize::from(area.width);
        put(area.x + 1, [&said, &short].into_iter().find(fits).unwrap_or(&least), theme.style(Role::Dim), area, buf);
        return;
    }
    let command = (model.screen.page().command)(model);
    let room = usize::from(area.width).saturating_sub(2);
    let left = vec![Part(text::clip(&command, room), Role::Dim, 0)];
    let has_ids = matches!(model.screen, Screen::Snapshots | Screen::Volumes | Screen::Images | Screen::Orphans);
    let right = if has_ids { "y copies the id, Y this command" } else { "y copies this command" };
    spread(left, vec![Part(right.into(), Role::Dim, 1)], area, buf, theme);
}

fn hints(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if let Some(overlay) = model.overlays.last() {
        let keys: Vec<(String, String, bool)> =
            overlay.hints().iter().map(|(k, t)| ((*k).to_owned(), (*t).to_owned(), true)).collect();
        draw_hints(&keys, &[], area, buf, theme);
        return;
    }
    let mut shown: Vec<&'static Action> = Vec::new();
    for action in action::in_scope(model).filter(|a| a.hint > 0) {
        let off = action.scope == Scope::Lists && (action.disabled)(model).is_some();
        if !off && !shown.iter().any(|a| a.keys.first() == action.keys.first()) {
            shown.push(action);
        }
    }
    shown.sort_by_key(|a| a.hint);
    let hint = |a: &&'static Action| {
        ((*a.keys.first().unwrap_or(&"")).to_owned(), a.title.to_owned(), (a.disabled)(model).is_none())
    };
    let (left, right): (Vec<_>, Vec<_>) = shown.iter().partition(|a| a.hint < RIGHT);
    draw_hints(
        &left.into_iter().map(hint).collect::<Vec<_>>(),
        &right.into_iter().map(hint).collect::<Vec<_>>(),
        area,
        buf,
        theme,
    );
}

/// Hints from this place on stand at the right end and go last.
pub const RIGHT: u8 = 90;

fn draw_hints(
    left: &[(String, String, bool)],
    right: &[(String, String, bool)],
    area: Rect,
    buf: &mut Buffer,
    theme: &Theme,
) {
    let length = |h: &(String, String, bool)| text::width(&h.0) + text::width(&h.1) + 3;
    let mut room = usize::from(area.width).saturating_sub(1);
    let mut right_fits: Vec<_> = Vec::new();
    for hint in right.iter().rev() {
        if length(hint) <= room {
            room -= length(hint);
            right_fits.insert(0, hint);
        }
    }
    let mut x = area.x + 1;
    let styles = |usable: bool| -> (Style, Style) {
        if usable {
            (theme.style(Role::Key), theme.style(Role::Text))
        } else {
            (theme.style(Role::Dim), theme.style(Role::Dim))
        }
    };
    let mut draw = |x: &mut u16, hint: &(String, String, bool)| {
        let (key, word) = styles(hint.2);
        put(*x, &hint.0, key, area, buf);
        let after = *x + u16::try_from(text::width(&hint.0)).unwrap_or(0) + 1;
        put(after, &hint.1, word, area, buf);
        *x = after.saturating_add(u16::try_from(text::width(&hint.1)).unwrap_or(0) + 2);
    };
    for hint in left {
        if length(hint) > room {
            break;
        }
        room -= length(hint);
        draw(&mut x, hint);
    }
    let taken: usize = right_fits.iter().copied().map(length).sum();
    let mut x = area.right().saturating_sub(u16::try_from(taken).unwrap_or(0)).saturating_add(1).max(x);
    for hint in right_fits {
        draw(&mut x, hint);
    }
}
