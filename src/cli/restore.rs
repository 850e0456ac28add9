//! `floe restore`: brings back what the Recycle Bin keeps, or lists it.

use super::args::{Format, Restore};
use super::resolve::{Resolved, World};
use super::table::{self, Side};
use super::{Code, say};
use crate::address::{Address, Place};
use crate::engine::daemon::user;
use crate::engine::removal::{self, Restored};
use crate::error::{Error, Result};
use crate::plan::removal::Target;
use crate::rows::BinnedRow;

/// Restores, or lists.
///
/// # Errors
/// Usage for what cannot be restored; refused where nothing may be made.
pub async fn run(args: Restore, resolved: &Resolved) -> Result<Code> {
    let world = resolved.open().await?;
    if args.list {
        return list(&args.addresses, &world, resolved).await;
    }
    let targets = args.addresses.iter().map(|word| Target::at(word)).collect::<Result<Vec<_>>>()?;
    let who = format!("{} (floe restore)", user());
    if let Some(by) = resolved.read_only {
        let error = Error::refused(format!("nothing is brought back: {by} says read-only"));
        removal::refused(&world.state, &who, "", &error)?;
        return Err(error);
    }
    for (place, _) in &targets {
        let session = resolved.session(&world, place).await?;
        if resolved.config.is_read_only(session.profile()) {
            return Err(Error::refused("nothing is brought back: the config says read-only"));
        }
    }
    let restoration = removal::restore(&world.aws, &world.state, &targets, &who).await?;
    print(&restoration.rows, resolved)?;
    if let Some(error) = &restoration.unwritten {
        say::error(error);
    }
    Ok(restoration.exit_code())
}

fn print(rows: &[Restored], resolved: &Resolved) -> Result<()> {
    let cells = rows.iter().map(|row| {
        let why = row.reason.clone().unwrap_or_default();
        vec![row.outcome.to_owned(), row.id.to_string(), row.region.clone(), why]
    });
    match resolved.output {
        Format::Json => table::json(&rows),
        Format::Csv => table::csv(&["outcome", "id", "region", "reason"], cells),
        Format::Table | Format::Ids | Format::Html => {
            let columns = [("outcome", Side::Left), ("id", Side::Left), ("region", Side::Left), ("", Side::Left)];
            table::print(&columns, cells)
        }
    }
}

async fn list(places: &[String], world: &World, resolved: &Resolved) -> Result<Code> {
    let mut rows: Vec<BinnedRow> = Vec::new();
    let places = if places.is_empty() {
        vec![Place::default()]
    } else {
        let place = |text: &String| match text.parse::<Address>()? {
            Address::NewSnapshot(place) => Ok(place),
            other => Err(Error::usage(format!("`{other}` is no place to list")).todo("write [PROFILE@]REGION:")),
        };
        places.iter().map(place).collect::<Result<_>>()?
    };
    for place in &places {
        rows.extend(removal::binned(&resolved.session(world, place).await?).await?);
    }
    let day = |at: Option<jiff::Timestamp>| at.map(|at| at.strftime("%Y-%m-%d %H:%M").to_string()).unwrap_or_default();
    let cells = rows.iter().map(|row| {
        let name = row.name.clone().unwrap_or_else(|| row.description.clone());
        vec![row.id.clone(), row.origin.region.to_string(), day(row.entered), day(row.exits), name]
    });
    match resolved.output {
        Format::Json => table::json(&rows)?,
        Format::Csv => table::csv(&["id", "region", "entered", "exits", "name"], cells)?,
        Format::Table | Format::Ids | Format::Html if rows.is_empty() => say::stderr("The Recycle Bin is empty."),
        Format::Table | Format::Ids | Format::Html => {
            let left = |head| (head, Side::Left);
            table::print(&[left("id"), left("region"), left("deleted"), left("kept until"), left("name")], cells)?;
        }
    }
    Ok(0)
}
