//! `floe prices --billed`: what snapshots were billed in the last thirty days, by region, as Cost Explorer says.

use serde::Serialize;

use super::args::{Format, Prices};
use super::resolve::Resolved;
use super::table::{self, Side};
use super::{Code, say};
use crate::address::Place;
use crate::aws::{BILL_REQUEST, Billed};
use crate::error::Result;
use crate::ids::Region;
use crate::units::Usd;

/// What was billed in one region.
#[derive(Debug, Serialize)]
struct Row {
    region: Region,
    usd: Usd,
    from: String,
    until: String,
    /// Whether AWS may still change it.
    estimated: bool,
}

/// Says what the question costs, asks it when that is accepted, prints the answer.
///
/// # Errors
/// Refused where nobody can accept the price; as AWS answers.
pub async fn run(args: &Prices, resolved: &Resolved) -> Result<Code> {
    let question = format!("Ask Cost Explorer what was billed, for {BILL_REQUEST}?");
    if !resolved.say.confirm(&question, args.yes)? {
        resolved.say.note("not asked, nothing is charged");
        return Ok(0);
    }
    let world = resolved.open().await?;
    let region = world.aws.home_region(None);
    let session = resolved.session(&world, &Place { profile: None, region }).await?;
    let told = session.billed(crate::wall::now().to_zoned(jiff::tz::TimeZone::UTC).date()).await?;
    resolved.say.note(&format!("{} to ask", told.asked));
    let rows: Vec<Row> = told
        .regions
        .iter()
        .filter(|(region, _)| resolved.named_region.as_ref().is_none_or(|named| named == *region))
        .map(|(region, usd)| Row {
            region: region.clone(),
            usd: *usd,
            from: told.from.clone(),
            until: told.until.clone(),
            estimated: told.estimated,
        })
        .collect();
    match resolved.output {
        Format::Json => table::json(&rows)?,
        Format::Csv => table::csv(&["region", "usd", "from", "until", "estimated"], rows.iter().map(cells))?,
        Format::Table | Format::Ids | Format::Html => say::page(&text(&told, &rows))?,
    }
    Ok(0)
}

fn cells(row: &Row) -> Vec<String> {
    vec![
        row.region.to_string(),
        format!("{:.2}", row.usd.0),
        row.from.clone(),
        row.until.clone(),
        row.estimated.to_string(),
    ]
}

fn text(told: &Billed, rows: &[Row]) -> String {
    let columns = [("region", Side::Left), ("billed", Side::Right)];
    let table = table::render(&columns, rows.iter().map(|row| vec![row.region.to_string(), row.usd.to_string()]));
    let sum: Usd = rows.iter().map(|row| row.usd).sum();
    let estimated = if told.estimated { "; AWS may still change it" } else { "" };
    format!(
        "{table}\n{sum} for snapshots of the standard tier from {} to {} (the last day is not in it){estimated}.",
        told.from, told.until
    )
}
