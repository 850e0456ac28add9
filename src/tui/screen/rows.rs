//! A cursor over a short list that a screen makes itself: moving, and which rows are in sight.

use ratatui::layout::Rect;

/// Where the cursor is, of how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor(pub usize);

impl Cursor {
    /// So many rows on; stops at both ends.
    pub fn step(&mut self, by: isize, rows: usize) {
        self.0 = self.0.saturating_add_signed(by).min(rows.saturating_sub(1));
    }

    /// The first row in sight when `height` lines show them: the cursor stays in the middle of a long list.
    #[must_use]
    pub fn top(self, height: usize, rows: usize) -> usize {
        self.0.saturating_sub(height / 2).min(rows.saturating_sub(height))
    }
}

/// The lines of an area one by one, with the number of the row that each shows.
pub fn lines(cursor: Cursor, rows: usize, area: Rect) -> impl Iterator<Item = (usize, Rect)> {
    let height = usize::from(area.height);
    let top = cursor.top(height, rows);
    (0..area.height)
        .map(move |y| (top + usize::from(y), Rect { y: area.y + y, height: 1, ..area }))
        .take_while(move |(n, _)| *n < rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_always_in_sight_and_never_past_an_end() {
        for rows in 0..30usize {
            for height in 0..12u16 {
                for at in 0..rows.max(1) {
                    let mut cursor = Cursor(at);
                    let shown: Vec<usize> = lines(cursor, rows, Rect::new(0, 0, 9, height)).map(|(n, _)| n).collect();
                    assert_eq!(shown.len(), rows.min(usize::from(height)));
                    assert!(height == 0 || rows == 0 || shown.contains(&at), "{at} of {rows} in {height}");
                    cursor.step(99, rows);
                    assert_eq!(cursor.0, rows.saturating_sub(1));
                    cursor.step(-99, rows);
                    assert_eq!(cursor.0, 0);
                }
            }
        }
    }
}
