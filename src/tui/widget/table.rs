//! Rows under heads: only the rows on screen are ever built.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::tui::text;
use crate::tui::theme::{Role, Theme};

/// Columns before the first cell: a space, the glyph of cursor or mark, a space.
pub const GUTTER: u16 = 3;

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its title.
    pub title: &'static str,
    /// Columns it takes; one blank follows.
    pub width: u16,
    /// Numbers stand right.
    pub right: bool,
    /// Which of the list's columns a click on it sorts by.
    pub sort: Option<usize>,
}

impl Head {
    /// Words, standing left.
    #[must_use]
    pub const fn left(title: &'static str, width: u16, sort: Option<usize>) -> Self {
        Self { title, width, right: false, sort }
    }
    /// Numbers, standing right.
    #[must_use]
    pub const fn right(title: &'static str, width: u16, sort: Option<usize>) -> Self {
        Self { title, width, right: true, sort }
    }
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Its text.
    pub text: String,
    /// Its role, when it is not that of the row.
    pub role: Option<Role>,
    /// Ids lose their head, all else its tail.
    pub tail: bool,
}

impl Cell {
    /// Plain.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), role: None, tail: false }
    }
    /// With a role.
    pub fn with(text: impl Into<String>, role: Role) -> Self {
        Self { role: Some(role), ..Self::new(text) }
    }
    /// An id.
    pub fn id(text: impl Into<String>) -> Self {
        Self { tail: true, ..Self::new(text) }
    }
}

/// How a row looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// The cursor is on it.
    pub cursor: bool,
    /// It is marked.
    pub marked: bool,
    /// It is from an earlier look.
    pub old: bool,
    /// It was not there at the earlier look.
    pub new: bool,
}

/// Writes the heads; the sorted one carries its direction.
pub fn heads(heads: &[Head], sorted: Option<(usize, bool)>, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let mut x = area.x.saturating_add(GUTTER);
    for head in heads {
        let arrow = match sorted {
            Some((column, descending)) if head.sort == Some(column) => {
                if descending {
                    "▼"
                } else {
                    "▲"
                }
            }
            _ => "",
        };
        let width = usize::from(head.width);
        let title = match (arrow.is_empty(), head.title.len() + 2 <= width) {
            (true, _) => head.title.to_owned(),
            (false, true) => format!("{} {arrow}", head.title),
            (false, false) => format!("{}{arrow}", text::clip(head.title, width.saturating_sub(1))),
        };
        let cell = if head.right { text::right(&title, width) } else { text::left(&title, width) };
        put(x, &cell, theme.style(Role::Dim), area, buf);
        x = x.saturating_add(head.width + 1);
    }
}

/// Writes one row in the first line of `area`.
pub fn row(heads: &[Head], cells: &[Cell], look: Look, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let base = if look.marked {
        Role::Marked
    } else if look.old {
        Role::Dim
    } else {
        Role::Text
    };
    let glyph = match look {
        Look { cursor: true, marked: false, .. } => "▶",
        Look { marked: true, .. } => "✓",
        Look { new: true, .. } => "▲",
        _ => " ",
    };
    let glyph_role = if look.marked {
        Role::Marked
    } else if look.new {
        Role::Fresh
    } else {
        Role::Accent
    };
    put(area.x.saturating_add(1), glyph, theme.style(glyph_role), area, buf);
    let mut x = area.x.saturating_add(GUTTER);
    for (head, cell) in heads.iter().zip(cells) {
        let width = usize::from(head.width);
        let cut = if cell.tail { text::tail(&cell.text, width) } else { text::words(&cell.text, width) };
        let shown = if head.right { text::right(&cut, width) } else { text::left(&cut, width) };
        let role = if look.old && cell.role.is_none_or(|r| r == Role::Text) { base } else { cell.role.unwrap_or(base) };
        put(x, &shown, theme.style(role), area, buf);
        x = x.saturating_add(head.width + 1);
    }
    if look.cursor {
        under_cursor(Rect { height: 1, ..area }, buf, theme);
    }
}

/// The row under the cursor. Reversing colours would paint each word's own colour as a block: it has one look.
pub fn under_cursor(area: Rect, buf: &mut Buffer, theme: &Theme) {
    buf.set_style(area.intersection(buf.area), Style::reset().patch(theme.style(Role::Cursor)));
}

/// The column to sort by under a click, `x` counted from the area's left edge.
#[must_use]
pub fn column_at(heads: &[Head], x: u16) -> Option<usize> {
    let mut at = GUTTER;
    for head in heads {
        if (at..at + head.width).contains(&x) {
            return head.sort;
        }
        at += head.width + 1;
    }
    None
}

/// Text at a place of the first line of `area`, cut at its right edge.
pub fn put(x: u16, what: &str, style: Style, area: Rect, buf: &mut Buffer) {
    if area.height > 0 && x < area.right() && x >= area.x {
        buf.set_stringn(x, area.y, what, usize::from(area.right() - x), style);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: [Head; 2] = [Head::left("ID", 6, Some(0)), Head::right("SIZE", 6, Some(3))];

    fn text_of(buf: &Buffer) -> String {
        buf.content.iter().map(ratatui::buffer::Cell::symbol).collect()
    }

    #[test]
    fn numbers_stand_right_and_ids_keep_their_tail() {
        let area = Rect::new(0, 0, 17, 1);
        let mut buf = Buffer::empty(area);
        row(
            &HEADS,
            &[Cell::id("snap-0abc1234"), Cell::new("8 GiB")],
            Look::default(),
            area,
            &mut buf,
            &Theme::default(),
        );
        assert_eq!(text_of(&buf), "   …c1234  8 GiB ");
    }

    #[test]
    fn the_sorted_head_shows_its_direction_and_clicks_find_it() {
        let area = Rect::new(0, 0, 17, 1);
        let mut buf = Buffer::empty(area);
        heads(&HEADS, Some((3, true)), area, &mut buf, &Theme::default());
        assert_eq!(text_of(&buf), "   ID     SIZE ▼ ");
        assert_eq!(column_at(&HEADS, 4), Some(0));
        assert_eq!(column_at(&HEADS, 15), Some(3));
        assert_eq!(column_at(&HEADS, 0), None);
    }
}
