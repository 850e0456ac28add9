//! Rows as a table for people, as CSV, or as JSON: one description of columns for the first two.
//!
//! Numbers stand right; every figure brings its unit. A cell's text is cleaned of control characters, because
//! names and tags are written by others.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use super::say;
use crate::error::{Error, Result};

/// Where a column's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A column: its head, and where its text stands.
pub type Column = (&'static str, Side);

/// Prints rows as a table without lines, as wide as it needs to be.
///
/// # Errors
/// Stdout cannot be written.
pub fn print(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> Result<()> {
    say::result(&render(columns, rows))
}

/// The same as text.
#[must_use]
pub fn render(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|(head, _)| Cell::new(head.to_uppercase())));
    for row in rows {
        table.add_row(row.iter().map(|cell| Cell::new(say::clean(cell).replace('\n', " "))));
    }
    for (column, (_, side)) in table.column_iter_mut().zip(columns) {
        column.set_padding((0, 2));
        column.set_cell_alignment(if *side == Side::Right { CellAlignment::Right } else { CellAlignment::Left });
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Prints rows as CSV with one header line.
///
/// # Errors
/// Stdout cannot be written.
pub fn csv(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Result<()> {
    let failed = |e: csv::Error| Error::failed(format!("could not write CSV: {e}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(heads).map_err(failed)?;
    for row in rows {
        writer.write_record(row.iter().map(|cell| inert(cell).into_owned())).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|e| Error::failed(format!("could not write CSV: {}", e.error())))?;
    say::document(&bytes)
}

/// A cell that no spreadsheet takes for a formula: names and tags are written by others. Figures stay as they are.
fn inert(cell: &str) -> std::borrow::Cow<'_, str> {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
    if is_formula { format!("'{cell}").into() } else { cell.into() }
}

/// Prints a value as one line of JSON.
///
/// # Errors
/// Stdout cannot be written.
pub fn json(value: &impl Serialize) -> Result<()> {
    say::result(&serde_json::to_string(value).map_err(|e| Error::failed(format!("could not write JSON: {e}")))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        let cells = ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "-12.5", "web", ""];
        assert_eq!(
            cells.map(|cell| inert(cell).into_owned()),
            ["'=1+1", "'@SUM(A1)", "'+cmd|' /C calc'!A0", "'-2+3", "-12.5", "web", ""]
        );
    }

    #[test]
    fn numbers_stand_right_and_names_do_not_steer() {
        let columns = [("id", Side::Left), ("size", Side::Right)];
        let text = render(&columns, [vec!["a\x1b[1m".into(), "8 GiB".into()], vec!["bbbb".into(), "500 GiB".into()]]);
        assert_eq!(text, "ID        SIZE\na\u{fffd}[1m    8 GiB\nbbbb   500 GiB");
    }
}
