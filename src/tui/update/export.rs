//! `w`: the rows shown, as CSV and JSON, with the fields that `floe ls` prints.

use serde::Serialize;

use crate::error::Error;
use crate::tui::catalog::{Record, Table};
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::list::List;
use crate::tui::model::Model;
use crate::tui::screen::Screen;

/// Ids of the marked rows, or of the one under the cursor.
#[must_use]
pub fn chosen_ids(model: &Model) -> Vec<String> {
    fn ids<T: Record>(list: &List, table: &Table<T>) -> Vec<String> {
        list.chosen().into_iter().filter_map(|at| table.get(at)).map(|row| row.id().to_string()).collect()
    }
    match model.screen {
        Screen::Snapshots => ids(&model.snapshots.list, &model.catalog.snapshots),
        Screen::Volumes => ids(&model.volumes.list, &model.catalog.volumes),
        Screen::Images => ids(&model.images.list, &model.catalog.images),
        Screen::Orphans => ids(&model.orphans.list, &model.orphans.table),
        Screen::World => model.world.current().map(|origin| origin.region.to_string()).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Writes the rows shown: all fields as JSON, the plain ones as CSV.
pub fn rows(model: &mut Model, now: Now) -> Vec<Effect> {
    let stamp = now.wall.strftime("%Y%m%d-%H%M%S").to_string();
    let (name, made) = match model.screen {
        Screen::Snapshots => ("snapshots", both(&model.snapshots.list, &model.catalog.snapshots)),
        Screen::Volumes => ("volumes", both(&model.volumes.list, &model.catalog.volumes)),
        Screen::Images => ("images", both(&model.images.list, &model.catalog.images)),
        Screen::Orphans => {
            let (list, table) = (&model.orphans.list, &model.orphans.table);
            let shown = list.index.shown.iter().filter_map(|at| table.get(*at)?.judged(now.wall));
            ("orphans", tables(&shown.collect::<Vec<_>>()))
        }
        Screen::World => ("regions", crate::tui::screen::world::export(model)),
        _ => return Vec::new(),
    };
    match made {
        Ok((csv, json)) => [("csv", csv), ("json", json)]
            .into_iter()
            .map(|(end, contents)| Effect::Write { path: format!("floe-{name}-{stamp}.{end}").into(), contents })
            .collect(),
        Err(why) => {
            model.trouble(now, Error::failed(format!("the rows could not be written out: {why}")));
            Vec::new()
        }
    }
}

type Both = Result<(String, String), String>;

fn both<T: Record + Serialize>(list: &List, table: &Table<T>) -> Both {
    tables(&list.index.shown.iter().filter_map(|at| table.get(*at)).collect::<Vec<_>>())
}

/// CSV and JSON of any rows. CSV takes the scalar fields in their order, the origin spread out in front.
///
/// # Errors
/// A row that cannot be serialised, in the serialiser's words.
pub fn tables<T: Serialize>(rows: &[T]) -> Both {
    let json = serde_json::to_string_pretty(rows).map_err(|e| e.to_string())?;
    let values: Vec<serde_json::Value> = serde_json::from_str(&json).map_err(|e| e.to_string())?;
    let mut csv = csv::Writer::from_writer(Vec::new());
    let mut heads: Vec<String> = Vec::new();
    for value in &values {
        let flat = flatten(value);
        if heads.is_empty() {
            heads = flat.iter().map(|(name, _)| name.clone()).collect();
            csv.write_record(&heads).map_err(|e| e.to_string())?;
        }
        csv.write_record(flat.iter().map(|(_, cell)| cell)).map_err(|e| e.to_string())?;
    }
    let bytes = csv.into_inner().map_err(|e| e.to_string())?;
    Ok((String::from_utf8(bytes).map_err(|e| e.to_string())?, json))
}

fn flatten(value: &serde_json::Value) -> Vec<(String, String)> {
    use serde_json::Value;
    let mut out = Vec::new();
    let Value::Object(fields) = value else { return out };
    for (name, field) in fields {
        match field {
            Value::Object(_) => out.extend(flatten(field)),
            Value::Null => out.push((name.clone(), String::new())),
            // A cell that starts like a formula must stay a text in a spreadsheet.
            Value::String(text) if text.starts_with(['=', '+', '-', '@']) => {
                out.push((name.clone(), format!("'{text}")))
            }
            Value::String(text) => out.push((name.clone(), text.clone())),
            other => out.push((name.clone(), other.to_string())),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::testing::{origin, snapshot};

    #[test]
    fn every_row_has_the_same_columns_and_no_cell_is_a_formula() {
        let here = origin("us-east-1");
        let mut rows: Vec<_> = (0..20).map(|n| snapshot(&here, n)).collect();
        rows[3].name = Some("=HYPERLINK(1)".to_owned());
        let (csv_text, json) = tables(&rows).unwrap();
        let mut reader = csv::Reader::from_reader(csv_text.as_bytes());
        let name = reader.headers().unwrap().iter().position(|h| h == "name").unwrap();
        let read: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(read.len(), 20);
        assert_eq!(&read[3][name], "'=HYPERLINK(1)");
        assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&json).unwrap().len(), 20);
    }
}
