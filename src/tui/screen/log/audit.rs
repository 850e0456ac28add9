//! The audit log in the deck: newest first, one line a line; what the Recycle Bin keeps comes back from here.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::address::Place;
use crate::plan::removal::Target;
use crate::store::audit::{Entry, Event, Told};
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::model::{Mode, Model};
use crate::tui::text::{left, words};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::{line, panel as bordered};

/// What is shown, newest first: all words of the filter in any of its fields.
pub(super) fn lines(model: &Model) -> impl Iterator<Item = &Entry> {
    let words: Vec<String> = model.log.filter.split_whitespace().map(str::to_lowercase).collect();
    model.log.audit.entries.iter().rev().filter(move |entry| {
        let text = format!("{} {}", sentence(entry), entry.who).to_lowercase();
        words.iter().all(|word| text.contains(word))
    })
}

fn sentence(entry: &Entry) -> String {
    let call = entry.call.split(':').next_back().unwrap_or_default();
    let region = entry.region.as_ref().map(crate::ids::Region::short).unwrap_or_default();
    let code = if entry.code.is_empty() { String::new() } else { format!(" ({})", entry.code) };
    let verdict = if entry.verdict.is_empty() { String::new() } else { format!(" · {}", entry.verdict) };
    format!("{} {call} {region} {}{verdict} {}{code} {}", entry.id, entry.name, entry.text, entry.plan)
}

fn current(model: &Model) -> Option<&Entry> {
    lines(model).nth(model.log.back)
}

/// The log was read again: the cursor stays on its line, though newer ones stand above it.
pub(super) fn heard(model: &mut Model, told: &Told) {
    let here = current(model).filter(|_| model.log.auditing).cloned();
    model.log.audit = told.clone();
    if let Some(at) = here.and_then(|here| lines(model).position(|entry| *entry == here)) {
        model.log.back = at;
    }
}

/// Why the line under the cursor brings nothing back.
pub(super) fn cannot_restore(model: &Model) -> Option<String> {
    if !model.log.auditing {
        return Some("a shows the audit log first".to_owned());
    }
    if model.mode == Mode::ReadOnly {
        return Some("READ-ONLY: this deck makes nothing".to_owned());
    }
    match current(model) {
        Some(entry) if entry.event == Event::Done && entry.back_until.is_some() => None,
        Some(_) => Some("the Recycle Bin keeps nothing of this line".to_owned()),
        None => Some("there is no line".to_owned()),
    }
}

pub(super) fn restore(model: &mut Model, _: Now) -> Vec<Effect> {
    let Some(entry) = current(model) else { return Vec::new() };
    // The profile of that time is not written down: the one of the account is known from what is looked at.
    let of = |origin: &&std::sync::Arc<crate::inventory::Origin>| Some(&origin.account) == entry.account.as_ref();
    let profile = model.catalog.origins.iter().find(of).and_then(|origin| origin.profile.clone());
    let place = Place { profile, region: entry.region.clone() };
    entry.id.parse::<Target>().map(|target| vec![Effect::Restore(vec![(place, target)])]).unwrap_or_default()
}

pub(super) fn panel(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height < 3 {
        return;
    }
    let count = lines(model).count();
    let unread = match model.log.audit.unread {
        0 => String::new(),
        n => format!(" · {n} that cannot be read"),
    };
    let filter = if model.log.typing || !model.log.filter.is_empty() {
        format!("  / {}{}", model.log.filter, if model.log.typing { "_" } else { "" })
    } else {
        String::new()
    };
    let title = format!("Audit log {count}{unread}{filter}");
    let inner = bordered(&title, "u brings back · a events", true, area, buf, theme);
    let room = usize::from(inner.width.saturating_sub(2));
    let height = usize::from(inner.height);
    let top = model.log.back.saturating_sub(height.saturating_sub(1));
    if count == 0 {
        let text = Line::styled("nothing was removed yet", theme.style(Role::Dim));
        line(inner.x + 1, inner.y, &text, inner, buf);
    }
    for (n, (at, entry)) in (0..inner.height).zip(lines(model).enumerate().skip(top)) {
        let role = match entry.event {
            _ if at == model.log.back => Role::Cursor,
            Event::Done => Role::Good,
            Event::Failed | Event::Refused => Role::Bad,
            Event::Skipped => Role::Warn,
            Event::Accepted | Event::Intent | Event::Ended => Role::Dim,
        };
        let when = entry.at.strftime("%m-%d %H:%M:%S");
        let text = format!("{when} {} {}", left(entry.event.name(), 8), sentence(entry));
        let text = Line::from(Span::styled(words(&text, room), theme.style(role)));
        line(inner.x + 1, inner.y + n, &text, Rect { width: inner.width.saturating_sub(1), ..inner }, buf);
    }
}
