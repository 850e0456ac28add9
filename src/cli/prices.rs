//! `floe prices`: the table that plans and meters calculate with, and how sure each cell of it is.

use std::collections::BTreeMap;

use serde::Serialize;

use super::args::Format;
use super::resolve::Resolved;
use super::table::{self, Side};
use super::{Code, say};
use crate::error::{Error, Result};
use crate::ids::Region;
use crate::plan::{Api, Prices};
use crate::units::{Quantity, Sure, Usd};

/// What a volume of one GiB is asked for by.
const VOLUMES: [&str; 5] = ["gp3", "gp2", "io1", "st1", "sc1"];

/// A cell: dollars, and how sure; nothing where it is not known.
#[derive(Debug, Serialize)]
struct Cell {
    usd: Option<f64>,
    label: Sure,
}

impl Cell {
    fn of(price: Quantity<Usd>) -> Self {
        Self { label: price.sure, usd: price.known().map(|usd| usd.0) }
    }

    /// Without the noise of fixed decimals: prices run from tenths of a dollar to a ten-millionth.
    fn text(&self) -> String {
        match self.usd {
            None => "?".to_owned(),
            Some(usd) if self.label == Sure::Estimate => format!("≈ {}", plain(usd)),
            Some(usd) => plain(usd),
        }
    }
}

/// A price in as many decimals as it has.
fn plain(usd: f64) -> String {
    let text = format!("{usd:.8}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// One region.
#[derive(Debug, Serialize)]
struct Row {
    region: Region,
    /// A GiB-month of a snapshot.
    snapshot: Cell,
    /// A GiB-month of a volume, by its type.
    volumes: BTreeMap<&'static str, Cell>,
    /// A GiB out of it to another region.
    out: Cell,
    /// One request or block of the EBS direct APIs.
    list: Cell,
    get: Cell,
    put: Cell,
    /// S3, by storage class.
    s3: BTreeMap<String, Class>,
}

#[derive(Debug, Serialize)]
struct Class {
    month: Cell,
    put: Cell,
    get: Cell,
}

/// The whole table.
#[derive(Debug, Serialize)]
struct Table {
    as_of: String,
    source: &'static str,
    regions: Vec<Row>,
    /// A GiB to the internet.
    internet: Cell,
}

/// Prints it.
///
/// # Errors
/// The region that was named has no row.
pub fn run(resolved: &Resolved) -> Result<Code> {
    let prices = Prices::bundled();
    let known: Vec<&Region> = prices.regions().collect();
    let regions = match &resolved.named_region {
        Some(region) if known.contains(&region) => vec![region],
        Some(region) => {
            return Err(Error::usage(format!("the table has no prices of {region}"))
                .todo("plans there say `?` for what is not known; floe prices lists the regions that are"));
        }
        None => known,
    };
    let table = Table {
        as_of: prices.as_of.clone(),
        source: "bundled",
        regions: regions.into_iter().map(|region| row(prices, region)).collect(),
        internet: Cell::of(prices.to_internet()),
    };
    match resolved.output {
        Format::Json => table::json(&table)?,
        Format::Csv => table::csv(&HEADS, table.regions.iter().map(cells))?,
        Format::Table | Format::Ids | Format::Html => say::result(&text(&table))?,
    }
    Ok(0)
}

const HEADS: [&str; 11] = ["region", "snapshot", "gp3", "gp2", "io1", "st1", "sc1", "out", "list", "get", "put"];

fn row(prices: &Prices, region: &Region) -> Row {
    let request = |api| Cell::of(prices.request(api, region));
    let class = |class: &str| {
        let price = prices.s3(class, region);
        Class { month: Cell::of(price.month), put: Cell::of(price.put), get: Cell::of(price.get) }
    };
    Row {
        region: region.clone(),
        snapshot: Cell::of(prices.snapshot_month(region)),
        volumes: VOLUMES
            .into_iter()
            .map(|kind| (kind, Cell::of(prices.volume_month(region, kind, 1.0, None, None))))
            .collect(),
        out: Cell::of(prices.out(region)),
        list: request(Api::List),
        get: request(Api::Get),
        put: request(Api::Put),
        s3: prices.classes().map(|name| (name.to_owned(), class(name))).collect(),
    }
}

fn cells(row: &Row) -> Vec<String> {
    let mut cells = vec![row.region.to_string(), row.snapshot.text()];
    cells.extend(VOLUMES.iter().map(|kind| row.volumes[kind].text()));
    cells.extend([&row.out, &row.list, &row.get, &row.put].map(Cell::text));
    cells
}

fn text(table: &Table) -> String {
    let column = |head: &'static str| (head, if head == "region" { Side::Left } else { Side::Right });
    let mut text = table::render(&HEADS.map(column), table.regions.iter().map(cells));
    text.push_str(
        "\n\nIn US dollars: a GiB-month of snapshots and volumes, a GiB out to another region, one request or block.\n",
    );
    if let [only] = table.regions.as_slice() {
        let columns = [("s3 class", Side::Left), ("month", Side::Right), ("put", Side::Right), ("get", Side::Right)];
        let rows = only
            .s3
            .iter()
            .map(|(name, class)| vec![name.clone(), class.month.text(), class.put.text(), class.get.text()]);
        text.push_str(&format!("\n{}\n\n", table::render(&columns, rows)));
    }
    text.push_str(&format!("A GiB to the internet: {}, the first tier of a month.\n", table.internet.text()));
    text.push_str(&format!("List prices of {}; ≈ is not certain, ? is not known.", table.as_of));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_show_the_decimals_that_they_have_and_how_sure_they_are() {
        assert_eq!(
            (plain(0.05).as_str(), plain(0.000_000_6).as_str(), plain(1.0).as_str()),
            ("0.05", "0.0000006", "1")
        );
        let cell = |price| Cell::of(price).text();
        assert_eq!(cell(Quantity::exact(Usd(0.02))), "0.02");
        assert_eq!(cell(Quantity::estimate(Usd(0.02))), "≈ 0.02");
        assert_eq!(cell(Quantity::unknown()), "?");
    }

    #[test]
    fn every_region_of_the_table_has_a_row_and_the_unknown_stays_unknown() -> Result<(), String> {
        let prices = Prices::bundled();
        let rows: Vec<Row> = prices.regions().map(|region| row(prices, region)).collect();
        assert!(rows.len() > 30);
        let mexico = rows.iter().find(|row| row.region.as_str() == "mx-central-1").ok_or("no row")?;
        assert!(mexico.out.usd.is_none() && mexico.out.label == Sure::Unknown);
        Ok(())
    }
}
