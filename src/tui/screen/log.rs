//! What happened, newest first: events of jobs and errors until they are mended, folded by kind.
//!
//! Errors stand above in one pattern: what failed and where, what is safe, the one thing to do. Events are
//! collected from every picture of the engine, so that changing the watched job loses none that was seen.

use std::collections::VecDeque;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseEvent, MouseEventKind};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::engine::protocol::{Event, Tone};
use crate::tui::action::{Action, Scope, always};
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::model::{Model, Problem};
use crate::tui::msg::Msg;
use crate::tui::screen::transfers::engine::wrapped;
use crate::tui::screen::transfers::panels::event_line;
use crate::tui::screen::{Page, Screen};
use crate::tui::text::{age, clauses, words};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::stack::{Want, heights};
use crate::tui::widget::{line, panel};

mod audit;

/// Events kept at most; the journals of the jobs keep all.
const KEPT: usize = 2_000;

/// What the screen keeps.
#[derive(Debug, Default)]
pub struct State {
    /// Events seen, oldest first, at most 2,000.
    pub events: VecDeque<Event>,
    /// Events that were dropped to keep that bound.
    pub dropped: u64,
    /// The words that must all be in a line.
    pub filter: String,
    /// Whether the filter is being typed.
    pub typing: bool,
    /// Only what needs a look.
    pub loud: bool,
    /// Rows scrolled back from the newest.
    pub back: usize,
    /// The error under the cursor.
    pub problem: usize,
    /// Whether the audit log is shown in the place of the events.
    pub auditing: bool,
    /// Its latest lines.
    pub audit: crate::store::audit::Told,
}

const HERE: Scope = Scope::Screen(Screen::Log);

/// What can be done here.
pub const ACTIONS: &[Action] = &[
    HERE.look("log.filter", "filter", &["/"], 1, "Only lines with all of these words.", always, |model, _| {
        model.log.typing = true;
        Vec::new()
    }),
    HERE.look("log.loud", "only trouble", &["t"], 7, "Only what needed a look.", always, |model, _| {
        model.log.loud = !model.log.loud;
        model.log.back = 0;
        Vec::new()
    }),
    HERE.look(
        "log.audit",
        "audit log",
        &["a"],
        2,
        "Who removed what, when and why; or the events again.",
        always,
        |model, _| {
            model.log.auditing = !model.log.auditing;
            model.log.back = 0;
            if model.log.auditing { vec![Effect::ReadAudit] } else { Vec::new() }
        },
    ),
    HERE.make(
        "log.restore",
        "bring back",
        &["u"],
        8,
        "Bring back what the line of the audit log says was deleted, from the Recycle Bin.",
        audit::cannot_restore,
        audit::restore,
    ),
    HERE.look("log.next-error", "next error", &["tab"], 3, "The next error.", always, |model, _| {
        let count = model.problems.len().max(1);
        model.log.problem = (model.log.problem + 1) % count;
        Vec::new()
    }),
    HERE.look(
        "log.copy",
        "copy what to do",
        &["enter"],
        4,
        "Copy the one thing to do about the error.",
        |model| match problem(model) {
            None => Some("there is no error".to_owned()),
            Some(p) if p.error.todo.is_none() => {
                Some("nothing is known to do about it; its request id helps AWS Support".to_owned())
            }
            Some(_) => None,
        },
        |model, now| {
            let Some(todo) = problem(model).and_then(|p| p.error.todo.clone()) else { return Vec::new() };
            model.say(now, format!("copied: {todo}"));
            vec![Effect::Copy(todo)]
        },
    ),
    HERE.look(
        "log.mended",
        "mended",
        &["x"],
        5,
        "Take the error off the list; it comes back if it happens again.",
        |model| problem(model).is_none().then(|| "there is no error".to_owned()),
        |model, _| {
            if model.log.problem < model.problems.len() {
                model.problems.remove(model.log.problem);
            }
            model.log.problem = model.log.problem.min(model.problems.len().saturating_sub(1));
            Vec::new()
        },
    ),
    HERE.look(
        "log.write",
        "write",
        &["w"],
        6,
        "Write what is shown as text.",
        |model| matching(model).next().is_none().then(|| "there is nothing to write".to_owned()),
        |model, now| {
            let lines: Vec<String> = matching(model)
                .map(|e| {
                    format!(
                        "{} {} {}: {}\n",
                        e.at,
                        e.job.map_or_else(|| "-".to_owned(), |j| j.to_string()),
                        e.subject,
                        e.text
                    )
                })
                .collect();
            let name = format!("floe-log-{}.txt", now.wall.strftime("%Y%m%d-%H%M%S"));
            vec![Effect::Write { path: name.into(), contents: lines.concat() }]
        },
    ),
    HERE.look("log.down", "older", &["down", "j"], 0, "Older lines.", always, |model, _| scroll(model, 1)),
    HERE.look("log.up", "newer", &["up", "k"], 0, "Newer lines.", always, |model, _| scroll(model, -1)),
    HERE.look("log.page-down", "older page", &["ctrl-d", "pgdn"], 0, "Ten lines older.", always, |model, _| {
        scroll(model, 10)
    }),
    HERE.look("log.page-up", "newer page", &["ctrl-u", "pgup"], 0, "Ten lines newer.", always, |model, _| {
        scroll(model, -10)
    }),
    HERE.look("log.last", "oldest", &["G", "end"], 0, "The oldest line that is kept.", always, |model, _| {
        scroll(model, 10_000)
    }),
    HERE.look("log.first", "newest", &["g", "home"], 0, "The newest line.", always, |model, _| scroll(model, -10_000)),
    HERE.look("log.back", "back", &["esc"], 9, "Drop the filter, else back.", always, |model, _| {
        if model.log.filter.is_empty() && !model.log.loud {
            model.go_back();
        }
        model.log.filter.clear();
        model.log.loud = false;
        Vec::new()
    }),
];

/// The door.
pub const PAGE: Page = Page {
    title: "Log",
    is_list: false,
    actions: ACTIONS,
    view,
    note: |model, _| match model.log.dropped {
        0 => format!("{} events", model.log.events.len()),
        n => format!("{} events, {n} older dropped", model.log.events.len()),
    },
    command: |_| "floe audit".to_owned(),
    hear,
    key,
    mouse: |model, event: MouseEvent, _, _| match event.kind {
        MouseEventKind::ScrollDown => scroll(model, 3),
        MouseEventKind::ScrollUp => scroll(model, -3),
        _ => Vec::new(),
    },
};

fn problem(model: &Model) -> Option<&Problem> {
    model.problems.get(model.log.problem.min(model.problems.len().saturating_sub(1)))
}

fn scroll(model: &mut Model, by: isize) -> Vec<Effect> {
    let count = if model.log.auditing { audit::lines(model).count() } else { matching(model).count() };
    model.log.back = model.log.back.saturating_add_signed(by).min(count.saturating_sub(1));
    Vec::new()
}

/// What is shown, newest first.
fn matching(model: &Model) -> impl Iterator<Item = &Event> {
    let words: Vec<String> = model.log.filter.split_whitespace().map(str::to_lowercase).collect();
    let loud = model.log.loud;
    model.log.events.iter().rev().filter(move |event| {
        let fits = |word: &String| {
            event.text.to_lowercase().contains(word)
                || event.subject.to_lowercase().contains(word)
                || event.job.is_some_and(|job| job.to_string() == *word)
        };
        (!loud || matches!(event.tone, Tone::Warning | Tone::Bad)) && words.iter().all(fits)
    })
}

/// Takes up what was not seen yet: an event is the same when job, moment, subject and text are; one that was
/// folded again only counts up.
fn hear(model: &mut Model, msg: &Msg, now: Now) -> Vec<Effect> {
    if let Msg::Audit(told) = msg {
        match &**told {
            Ok(told) => audit::heard(model, told),
            Err(error) => model.trouble(now, error.clone()),
        }
    }
    let Msg::Status(status) = msg else { return Vec::new() };
    let Some(detail) = &status.detail else { return Vec::new() };
    let log = &mut model.log;
    for event in &detail.events {
        let same = |known: &&mut Event| {
            known.at == event.at && known.job == event.job && known.subject == event.subject && known.text == event.text
        };
        if let Some(known) = log.events.iter_mut().rev().take_while(|known| known.at >= event.at).find(same) {
            known.count = event.count;
            continue;
        }
        let at = log.events.partition_point(|known| known.at <= event.at);
        log.events.insert(at, event.clone());
        if log.events.len() > KEPT {
            log.events.pop_front();
            log.dropped += 1;
        }
    }
    Vec::new()
}

/// While the filter is typed, letters are letters.
fn key(model: &mut Model, key: KeyEvent, _: Now) -> Option<Vec<Effect>> {
    let log = &mut model.log;
    if !log.typing {
        return None;
    }
    match key.code {
        KeyCode::Enter => log.typing = false,
        KeyCode::Esc => {
            log.typing = false;
            log.filter.clear();
        }
        KeyCode::Backspace => {
            log.filter.pop();
        }
        KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => log.filter.clear(),
        KeyCode::Char(c) if !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => log.filter.push(c),
        _ => return Some(Vec::new()),
    }
    log.back = 0;
    Some(Vec::new())
}

fn view(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let room = usize::from(area.width.saturating_sub(4));
    let errors = error_lines(model, room, theme, now);
    let tall = |n: usize| u16::try_from(n).unwrap_or(u16::MAX).saturating_add(2);
    let wants = [
        Want {
            least: 3,
            most: if errors.is_empty() { 3 } else { tall(errors.len()).min((area.height / 2).max(3)) },
            worth: 9,
        },
        Want { least: 3, most: u16::MAX, worth: 8 },
    ];
    let heights = heights(area.height, &wants);
    let top = Rect { height: heights[0], ..area };
    if top.height > 0 {
        let hint = if errors.is_empty() { "" } else { "tab next · enter copies what to do · x mended" };
        let inner = panel(&format!("Errors {}", model.problems.len()), hint, !errors.is_empty(), top, buf, theme);
        let none = [Line::styled("none that is not mended", theme.style(Role::Dim))];
        for (n, text) in (0..inner.height).zip(if errors.is_empty() { &none[..] } else { &errors }) {
            line(inner.x + 1, inner.y + n, text, Rect { width: inner.width.saturating_sub(1), ..inner }, buf);
        }
    }
    let below = Rect { y: area.y + heights[0], height: heights[1], ..area };
    if model.log.auditing {
        audit::panel(model, below, buf, theme);
    } else {
        events_panel(model, below, buf, theme);
    }
}

fn events_panel(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height < 3 {
        return;
    }
    let log = &model.log;
    let count = matching(model).count();
    let loud = if log.loud { " · only trouble" } else { "" };
    let title = match (log.typing, log.filter.is_empty()) {
        (true, _) => format!("Events  / {}_", log.filter),
        (false, false) => format!("Events  / {} · {count} of {}", log.filter, log.events.len()),
        (false, true) => format!("Events {count}{loud}"),
    };
    let inner = panel(&title, "/ filter · t only trouble", log.typing || model.problems.is_empty(), area, buf, theme);
    let room = usize::from(inner.width.saturating_sub(2));
    if count == 0 {
        let text = if log.events.is_empty() {
            "no job has told anything yet · a: the audit log, of what was deleted or brought back"
        } else {
            "no line has all of these words: esc shows all"
        };
        line(inner.x + 1, inner.y, &Line::styled(clauses(text, room), theme.style(Role::Dim)), inner, buf);
    }
    let first = log.back.min(count.saturating_sub(usize::from(inner.height)));
    for (n, event) in (0..inner.height).zip(matching(model).skip(first)) {
        line(inner.x + 1, inner.y + n, &event_line(theme, event, room, true), inner, buf);
    }
}

/// One pattern for every error: what and where, AWS's words, what to do.
fn error_lines(model: &Model, room: usize, theme: &Theme, now: Now) -> Vec<Line<'static>> {
    let styled = |role: Role, text: String| Span::styled(text, theme.style(role));
    let mut out = Vec::new();
    let count = model.problems.len();
    let at = model.log.problem.min(count.saturating_sub(1));
    // The one under the cursor first: it is the one that is acted on.
    for (n, problem) in model.problems.iter().cycle().skip(at).take(count).enumerate() {
        let error = &problem.error;
        let mark = if n == 0 { "▶ " } else { "  " };
        let often = if problem.count > 1 { format!("  {}×, ", problem.count) } else { "  ".to_owned() };
        let ago = age(problem.at, now);
        let ago = if ago == "now" { ago } else { format!("{ago} ago") };
        let place = error.region.as_ref().map(|r| format!("{r}: ")).unwrap_or_default();
        let when = format!("{often}{ago}");
        let text = words(&format!("{place}{}", error.what), room.saturating_sub(4 + when.chars().count()));
        out.push(Line::from(vec![
            styled(Role::Accent, mark.to_owned()),
            styled(Role::Bad, "✗ ".to_owned()),
            styled(Role::Text, text),
            styled(Role::Dim, when),
        ]));
        if let Some(aws) = &error.aws {
            let reason = aws.reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
            let request = aws.request_id.as_ref().map(|id| format!(" · request {id}")).unwrap_or_default();
            let text = format!("{}: {}{reason} {}{request}", aws.operation, aws.name(), aws.message);
            out.push(Line::from(styled(Role::Dim, format!("    {}", words(&text, room.saturating_sub(4))))));
        }
        if let Some(todo) = &error.todo {
            for text in wrapped(todo, room.saturating_sub(6)) {
                out.push(Line::from(vec![styled(Role::Key, "    → ".to_owned()), styled(Role::Accent, text)]));
            }
        }
    }
    out
}
