//! How archives are drawn: a row each, and below it what is known of the one under the cursor.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::Stage;
use crate::error::Error;
use crate::inventory::archives::{ArchiveRow, Found, Inspected};
use crate::tui::clock::Now;
use crate::tui::model::Model;
use crate::tui::screen::detail::{self, DetailLine, wrapped};
use crate::tui::screen::rows::lines;
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;
use crate::tui::widget::table::{self, Cell, Head, Look};
use crate::units::{Bytes, counted};

/// Draws it.
pub fn view(model: &Model, body: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let below = match body.height {
        0..12 => 0,
        12..24 => 8,
        _ => 13,
    };
    let upper = Rect { height: body.height - below, ..body };
    rows(model, upper, buf, theme, now);
    let lower = Rect { y: upper.bottom(), height: below, ..body };
    if lower.height > 2 {
        close(model, lower, buf, theme, now);
    }
}

fn heads(width: u16) -> Vec<Head> {
    let inner = width.saturating_sub(2 + table::GUTTER);
    let wide = inner >= 105;
    let fixed = 11 + 9 + 9 + 6 + 14 + if wide { 23 + 15 } else { 0 };
    let id = inner.saturating_sub(fixed + 1).clamp(10, 46);
    let mut out = vec![Head::left("ARCHIVE", id, None), Head::left("KIND", 10, None)];
    if wide {
        out.push(Head::left("ONTO", 22, None));
    }
    out.push(Head::right("VOLUME", 8, None));
    out.push(Head::right("STORED", 8, None));
    out.push(Head::right("AGE", 5, None));
    if wide {
        out.push(Head::left("CLASS", 14, None));
    }
    out.push(Head::left("STATE", 13, None));
    out
}

fn rows(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let state = &model.archives;
    let title =
        state.prefix.as_ref().map_or_else(|| "Archives".to_owned(), |prefix| format!("Archives below {prefix}"));
    let sum: Bytes = state.rows.iter().filter_map(|row| row.stored_bytes).fold(Bytes::ZERO, |sum, bytes| sum + bytes);
    let unknown = state.rows.iter().any(|row| row.stored_bytes.is_none());
    let right = match (&state.stage, unknown) {
        (Stage::Listed, false) => format!("= {} stored", text::size(sum)),
        (Stage::Listed, true) => format!("≥ {} stored", text::size(sum)),
        _ => "e another prefix".to_owned(),
    };
    let inner = panel(&title, &right, true, area, buf, theme);
    let heads = heads(area.width);
    let first = Rect { height: inner.height.min(1), ..inner };
    table::heads(&heads, None, first, buf, theme);
    let body = Rect { y: inner.y + first.height, height: inner.height.saturating_sub(1), ..inner };
    for (n, line) in lines(state.cursor, state.rows.len(), body) {
        let row = &state.rows[n];
        let look = Look { cursor: n == state.cursor.0, ..Look::default() };
        let cells: Vec<Cell> = heads.iter().map(|head| cell(model, row, head.title, now)).collect();
        table::row(&heads, &cells, look, line, buf, theme);
    }
    if state.rows.is_empty() {
        nothing(&state.stage, body, buf, theme);
    }
}

/// Why there is no row.
fn nothing(stage: &Stage, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let mut out: Vec<DetailLine> = Vec::new();
    let width = usize::from(area.width).saturating_sub(4);
    match stage {
        Stage::Nothing => wrapped("e asks below which prefix: s3://bucket/prefix/", width, Role::Dim, &mut out),
        Stage::Listing => wrapped("◐ listing", width, Role::Fresh, &mut out),
        Stage::Listed => wrapped(
            "no archive lies right below this prefix: floe copy snap-… s3://bucket/prefix/ writes one",
            width,
            Role::Dim,
            &mut out,
        ),
        Stage::Failed(error) => trouble(error, width, &mut out),
    }
    detail::draw(&out, Rect { x: area.x + 1, width: area.width.saturating_sub(1), ..area }, buf, theme);
}

/// An error and the one thing to do.
fn trouble(error: &Error, width: usize, out: &mut Vec<DetailLine>) {
    wrapped(&format!("✗ {error}"), width, Role::Bad, out);
    if let Some(todo) = &error.todo {
        wrapped(todo, width, Role::Text, out);
    }
}

fn cell(model: &Model, row: &ArchiveRow, head: &str, now: Now) -> Cell {
    let size = |bytes: Option<Bytes>| bytes.map_or_else(|| Cell::with("?", Role::Dim), |b| Cell::new(text::size(b)));
    match head {
        "ARCHIVE" => Cell::id(row.id.as_str()),
        "KIND" => Cell::new(row.kind.as_str()),
        "ONTO" => row.base.as_ref().map_or_else(|| Cell::with("–", Role::Dim), |base| Cell::id(base.as_str())),
        "VOLUME" => size(row.volume_bytes),
        "STORED" => size(row.stored_bytes),
        "AGE" => Cell::new(row.made.map_or_else(|| "?".to_owned(), |made| text::age(made, now))),
        "CLASS" => match model.archives.of(row) {
            Some(Ok(known)) if !known.classes.is_empty() => Cell::new(class(known)),
            _ => Cell::with("? enter", Role::Dim),
        },
        _ => {
            let (said, role) = state(model, row);
            Cell::with(said, role)
        }
    }
}

fn class(known: &Inspected) -> String {
    match known.classes.as_slice() {
        [one] => one.clone(),
        many => format!("{} classes", many.len()),
    }
}

/// Glyph and word.
fn state(model: &Model, row: &ArchiveRow) -> (String, Role) {
    if model.archives.looking.as_ref() == Some(&row.address) {
        return ("◐ looking".to_owned(), Role::Fresh);
    }
    match (row.kind.as_str(), model.archives.of(row)) {
        ("unfinished", _) => ("◌ unfinished".to_owned(), Role::Warn),
        ("damaged" | "unreadable", _) => (format!("✗ {}", row.kind), Role::Bad),
        (_, Some(Err(_))) => ("✗ see below".to_owned(), Role::Bad),
        (_, Some(Ok(Inspected { missing: Some(missing), .. }))) if missing.is_empty() => {
            ("✓ complete".to_owned(), Role::Good)
        }
        (_, Some(Ok(Inspected { missing: Some(_), .. }))) => ("✗ has gaps".to_owned(), Role::Bad),
        ("fsp", _) => ("? no index".to_owned(), Role::Dim),
        _ => ("● committed".to_owned(), Role::Text),
    }
}

/// What is known of the one under the cursor.
fn close(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme, now: Now) {
    let Some(row) = model.archives.current() else {
        panel("Archive", "", false, area, buf, theme);
        return;
    };
    let inner = panel(&row.id, "enter looks closely · s checks for gaps · c restores", false, area, buf, theme);
    let width = usize::from(inner.width).saturating_sub(2);
    let mut out: Vec<DetailLine> = Vec::new();
    let mut say = |label: &str, what: String| out.push((format!("{label:<10} {what}"), Role::Text));
    say("SOURCE", row.source.clone().unwrap_or_else(|| "? not said".to_owned()));
    let blocks = row.blocks.map_or_else(
        || "?".to_owned(),
        |blocks| format!("= {}, {}", counted(blocks.0, "block"), text::size(blocks.bytes())),
    );
    let made = row.made.map_or_else(|| "?".to_owned(), |made| made.strftime("%Y-%m-%d %H:%M UTC").to_string());
    say("HOLDS", format!("{blocks}, made {made}"));
    if let Some(why) = &row.trouble {
        wrapped(&format!("✗ {why}"), width, Role::Bad, &mut out);
    }
    match model.archives.of(row) {
        None if model.archives.looking.as_ref() == Some(&row.address) => {
            out.push(("◐ looking".to_owned(), Role::Fresh));
        }
        None => out.push(("? chain, encryption, tags, class: enter asks, three requests or so".to_owned(), Role::Dim)),
        Some(Err(error)) => trouble(error, width, &mut out),
        Some(Ok(known)) => inspected(known, now, &mut out),
    }
    detail::draw(&out, inner, buf, theme);
}

fn inspected(known: &Inspected, now: Now, out: &mut Vec<DetailLine>) {
    let mut say = |label: &str, what: String, role: Role| out.push((format!("{label:<10} {what}"), role));
    match &known.missing {
        Some(missing) if missing.is_empty() => {
            say("GAPS", "✓ none: every object that the index names is there, at its length".to_owned(), Role::Good);
        }
        Some(missing) => {
            say("GAPS", format!("✗ {}: {}", counted(missing.blocks.0, "block"), missing.text()), Role::Bad)
        }
        None => say("GAPS", "? s checks".to_owned(), Role::Dim),
    }
    say("CLASS", if known.classes.is_empty() { "?".to_owned() } else { known.classes.join(", ") }, Role::Text);
    if let Some(top) = known.chain.last() {
        let encryption = &top.manifest.encryption;
        let was = match (&encryption.key, encryption.encrypted) {
            (Some(key), _) => format!("the source was encrypted with {key}"),
            (None, true) => "the source was encrypted, its key was not told".to_owned(),
            (None, false) => "the source was not encrypted".to_owned(),
        };
        say("KEY", was, Role::Text);
        say("DIGEST", format!("LINEAR {}", top.manifest.linear.hex()), Role::Dim);
        let tags: Vec<String> = top.manifest.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        say("TAGS", if tags.is_empty() { "none".to_owned() } else { tags.join("  ") }, Role::Text);
    }
    if known.chain.len() > 1 {
        say("CHAIN", format!("restoring reads {}", text::count(known.chain.len() as u64, "archive")), Role::Text);
        out.extend(known.chain.iter().map(|found| (link(found, now), Role::Text)));
    }
}

fn link(found: &Found, now: Now) -> String {
    let manifest = &found.manifest;
    let what = if manifest.base.is_some() { "+" } else { "" };
    format!(
        "  {what}{}, {}, {} old",
        manifest.archive,
        counted(manifest.blocks.0, "block"),
        text::age(manifest.made, now)
    )
}
