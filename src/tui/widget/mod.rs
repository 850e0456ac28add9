//! Small things that screens draw with. Each is a function of what it is given.

pub mod gauge;
pub mod map;
pub mod segments;
pub mod spark;
pub mod stack;
pub mod sums;
pub mod table;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Widget};

use super::theme::{Role, Theme};

/// A bordered panel: its title on the left of the top border, how to act on it on the right. Gives the inside.
///
/// When there is no room for both, the right one loses what stands after its dots, the last first, and goes at the end.
pub fn panel(title: &str, right: &str, focus: bool, area: Rect, buf: &mut Buffer, theme: &Theme) -> Rect {
    let border = theme.style(if focus { Role::BorderFocus } else { Role::Border });
    let mut block = Block::bordered().border_style(border);
    let room = usize::from(area.width).saturating_sub(4);
    if !title.is_empty() && room > 2 {
        let title = super::text::clip(title, room.saturating_sub(2));
        block = block.title_top(Line::from(Span::styled(format!(" {title} "), theme.style(Role::Title))));
    }
    let fits = |right: &str| super::text::width(title) + super::text::width(right) + 6 < room;
    let mut right = right;
    while !right.is_empty() && !fits(right) {
        right = right.rsplit_once(" · ").map_or("", |(first, _)| first);
    }
    if !right.is_empty() {
        let right = Line::from(Span::styled(format!(" {right} "), theme.style(Role::Dim))).right_aligned();
        block = block.title_top(right);
    }
    let inner = block.inner(area);
    block.render(area, buf);
    inner
}

/// A rectangle of at most that size in the middle of another.
#[must_use]
pub fn centred(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}

/// Writes one line of styled text at a place, cut at the area's right edge.
pub fn line(x: u16, y: u16, line: &Line, area: Rect, buf: &mut Buffer) {
    if y < area.bottom() && x < area.right() {
        buf.set_line(x, y, line, area.right() - x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_of_a_panel_loses_its_last_words_first() {
        let top = |width: u16| {
            let area = Rect::new(0, 0, width, 2);
            let mut buf = Buffer::empty(area);
            panel("Plan", "e edit · esc back, nothing is lost", true, area, &mut buf, &Theme::default());
            (0..width).map(|x| buf[(x, 0)].symbol()).collect::<String>()
        };
        assert!(top(60).ends_with(" e edit · esc back, nothing is lost ┐"), "{}", top(60));
        assert!(top(40).ends_with(" e edit ┐"), "{}", top(40));
        assert!(top(16).ends_with("─┐"), "{}", top(16));
    }
}
