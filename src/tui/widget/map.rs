//! The block map: a whole volume in a few lines, each cell a range of block indexes.
//!
//! The map comes from the engine in at most 1,024 cells and is folded or stretched to the space there is;
//! the size of a drawn cell is always told. Folding never hides trouble and never shows a range as done that
//! is not. Pure functions; used by the transfers screen.

use ratatui::text::{Line, Span};

use super::super::theme::{Role, Theme};
use crate::engine::protocol::Cell;

/// How a cell is drawn.
#[must_use]
pub const fn glyph(cell: Cell, ascii: bool) -> (char, Role) {
    match (cell, ascii) {
        (Cell::Unknown, _) => (' ', Role::Faint),
        (Cell::Hole, false) => ('░', Role::Faint),
        (Cell::Hole, true) => ('_', Role::Faint),
        (Cell::ToDo, false) => ('·', Role::Dim),
        (Cell::ToDo, true) => ('.', Role::Dim),
        (Cell::Moving, false) => ('▓', Role::GaugeSoft),
        (Cell::Moving, true) => ('+', Role::GaugeSoft),
        (Cell::Done, false) => ('█', Role::Gauge),
        (Cell::Done, true) => ('#', Role::Gauge),
        (Cell::Trouble, _) => ('!', Role::Bad),
    }
}

/// What several neighbours are together: the one that needs to be seen.
#[must_use]
pub fn folded(cells: &[Cell]) -> Cell {
    let any = |kind| cells.contains(&kind);
    if any(Cell::Trouble) {
        Cell::Trouble
    } else if any(Cell::Moving) {
        Cell::Moving
    } else if any(Cell::ToDo) {
        Cell::ToDo
    } else if any(Cell::Unknown) {
        Cell::Unknown
    } else if any(Cell::Done) {
        Cell::Done
    } else if any(Cell::Hole) {
        Cell::Hole
    } else {
        Cell::Unknown
    }
}

/// Exactly `room` cells out of however many there are; empty stays empty.
#[must_use]
pub fn fit(cells: &[Cell], room: usize) -> Vec<Cell> {
    if cells.is_empty() {
        return Vec::new();
    }
    (0..room)
        .map(|n| {
            let from = n * cells.len() / room;
            let to = ((n + 1) * cells.len()).div_ceil(room).max(from + 1);
            folded(&cells[from..to.min(cells.len())])
        })
        .collect()
}

/// Block indexes in one drawn cell.
#[must_use]
pub fn blocks_per_drawn_cell(cells: usize, blocks_per_cell: u32, room: usize) -> u64 {
    if room == 0 { 0 } else { (cells as u64 * u64::from(blocks_per_cell)).div_ceil(room as u64) }
}

/// The map in `height` lines of `width` cells, one span per run of equal cells.
#[must_use]
pub fn lines(theme: &Theme, cells: &[Cell], width: usize, height: usize) -> Vec<Line<'static>> {
    let drawn = fit(cells, width * height);
    (0..height)
        .map(|line| {
            let row = drawn.get(line * width..(line + 1) * width).unwrap_or_default();
            Line::from(row.chunk_by(|a, b| a == b).map(|run| span(theme, run)).collect::<Vec<_>>())
        })
        .collect()
}

fn span(theme: &Theme, run: &[Cell]) -> Span<'static> {
    let (symbol, role) = glyph(run.first().copied().unwrap_or(Cell::Unknown), theme.ascii);
    Span::styled(symbol.to_string().repeat(run.len()), theme.style(role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_never_hides_trouble_and_never_invents_an_end() {
        assert_eq!(folded(&[Cell::Done, Cell::Trouble, Cell::Done]), Cell::Trouble);
        assert_eq!(folded(&[Cell::Done, Cell::ToDo]), Cell::ToDo);
        assert_eq!(folded(&[Cell::Done, Cell::Moving, Cell::ToDo]), Cell::Moving);
        assert_eq!(folded(&[Cell::Done, Cell::Unknown]), Cell::Unknown);
        assert_eq!(folded(&[Cell::Done, Cell::Hole]), Cell::Done);
        assert_eq!(folded(&[Cell::Hole, Cell::Hole]), Cell::Hole);
        assert_eq!(folded(&[]), Cell::Unknown);
    }

    #[test]
    fn any_number_of_cells_fits_any_room() {
        for have in [0, 1, 2, 7, 232, 1024] {
            for room in [0, 1, 3, 116, 232, 1024, 2000] {
                let fitted = fit(&vec![Cell::Done; have], room);
                assert_eq!(fitted.len(), if have == 0 { 0 } else { room }, "{have} in {room}");
                assert!(fitted.iter().all(|c| *c == Cell::Done));
            }
        }
    }

    #[test]
    fn every_source_cell_is_in_some_drawn_cell() {
        for room in 1..300 {
            for bad in [0, 1, 511, 1022, 1023] {
                let mut cells = vec![Cell::Done; 1024];
                cells[bad] = Cell::Trouble;
                assert!(fit(&cells, room).contains(&Cell::Trouble), "{bad} lost in {room}");
            }
        }
    }

    #[test]
    fn a_cell_says_how_many_blocks_it_stands_for() {
        assert_eq!(blocks_per_drawn_cell(1024, 32_768, 232), 144_632);
        assert_eq!(blocks_per_drawn_cell(0, 0, 0), 0);
    }

    #[test]
    fn lines_have_the_asked_shape() {
        let theme = Theme::default();
        let drawn = lines(&theme, &[Cell::Done, Cell::Moving, Cell::ToDo, Cell::Hole], 2, 2);
        assert_eq!(drawn.iter().map(ToString::to_string).collect::<Vec<_>>(), ["█▓", "·░"]);
        assert_eq!(lines(&theme, &[], 4, 1).len(), 1);
    }
}
