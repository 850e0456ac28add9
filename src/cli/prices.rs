//! `floe prices`: the table that plans and meters calculate with, and how sure each cell of it is; with `--live` what
//! the Pricing API says of it now.

use std::collections::BTreeMap;

use serde::Serialize;

use super::args::{Format, Prices};
use super::resolve::Resolved;
use super::table::{self, Side};
use super::{Code, say};
use crate::address::Place;
use crate::error::{Error, Result};
use crate::ids::Region;
use crate::plan::prices::{Live, update};
use crate::plan::{self, Api};
use crate::store::atomic;
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
    /// And to the internet, in the first tier of a month.
    internet: Cell,
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
    /// A GiB read.
    retrieval: Cell,
    /// Days that an object is paid for at least.
    min_days: u32,
}

/// The whole table.
#[derive(Debug, Serialize)]
struct Table {
    as_of: String,
    source: &'static str,
    regions: Vec<Row>,
}

/// Prints it.
///
/// # Errors
/// The region that was named has no row; with `--live`, as AWS answers.
pub async fn run(args: Prices, resolved: &Resolved) -> Result<Code> {
    if args.billed {
        return super::billed::run(&args, resolved).await;
    }
    let bundled = plan::Prices::bundled();
    let known: Vec<&Region> = bundled.regions().collect();
    let regions = match &resolved.named_region {
        Some(region) if known.contains(&region) || args.live => vec![region],
        Some(region) => {
            return Err(Error::usage(format!("the table has no prices of {region}"))
                .todo("plans there say `?` for what is not known; floe prices lists the regions that are"));
        }
        None => known,
    };
    let live = if args.live { Some(ask(&regions, &args, resolved).await?) } else { None };
    if let (Some(path), Some(live)) = (&args.update_table, &live) {
        atomic::write(path, update::table(live)?.as_bytes())?;
        let count = live.regions.len();
        resolved.say.note(&format!("{} holds what AWS told of {count} regions now", path.display()));
    }
    let prices = plan::Prices::with(live.as_ref());
    let rows = regions.into_iter().filter(|region| live.as_ref().is_none_or(|live| live.regions.contains_key(*region)));
    let table = Table {
        as_of: prices.date(),
        source: if live.is_some() { "live" } else { "bundled" },
        regions: rows.map(|region| row(&prices, region)).collect(),
    };
    match resolved.output {
        Format::Json => table::json(&table)?,
        Format::Csv => table::csv(&HEADS, table.regions.iter().map(cells))?,
        Format::Table | Format::Ids | Format::Html => say::page(&text(&table))?,
    }
    Ok(0)
}

/// Asks AWS, or takes what it said in the last seven days; `--refresh` asks in any case. Of many regions those that AWS
/// does not know are left out, and said.
async fn ask(regions: &[&Region], args: &Prices, resolved: &Resolved) -> Result<Live> {
    let world = resolved.open().await?;
    let aws = &world.aws;
    let session = resolved.session(&world, &Place { profile: None, region: aws.home_region(None) }).await?;
    let spot = plan::prices::Spot::at(&world.state.cache()?);
    let name = aws.world().text();
    if args.refresh {
        spot.forget(&name);
    }
    let mut all = Live::default();
    // What is said of many regions is said once, with all their names.
    let mut said: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut failed = None;
    for region in regions {
        match update::live(&session, &name, std::slice::from_ref(*region), &spot, crate::wall::now()).await {
            Ok(one) => all.merge(one),
            // Without the permission nothing more is to be had of the others.
            Err(error) if error.aws.is_some() || regions.len() == 1 => return Err(error),
            Err(error) => {
                said.entry(error.what.replace(region.as_str(), REGIONS)).or_default().push(region.as_str());
                failed = Some(error);
            }
        }
    }
    for (what, regions) in &said {
        resolved.say.warn(&what.replace(REGIONS, &regions.join(", ")));
    }
    match failed {
        Some(error) if all.regions.is_empty() => Err(error),
        _ => Ok(all),
    }
}

/// Where the regions stand in what is said of them.
const REGIONS: &str = "{regions}";

const HEADS: [&str; 12] =
    ["region", "snapshot", "gp3", "gp2", "io1", "st1", "sc1", "out", "internet", "list", "get", "put"];

fn row(prices: &plan::Prices, region: &Region) -> Row {
    let request = |api| Cell::of(prices.request(api, region));
    let class = |class: &str| {
        let price = prices.s3(class, region);
        Class {
            month: Cell::of(price.month),
            put: Cell::of(price.put),
            get: Cell::of(price.get),
            retrieval: Cell::of(price.retrieval),
            min_days: price.min_days,
        }
    };
    Row {
        region: region.clone(),
        snapshot: Cell::of(prices.snapshot_month(region)),
        volumes: VOLUMES
            .into_iter()
            .map(|kind| (kind, Cell::of(prices.volume_month(region, kind, 1.0, None, None))))
            .collect(),
        out: Cell::of(prices.out(region)),
        internet: Cell::of(prices.to_internet(region)),
        list: request(Api::List),
        get: request(Api::Get),
        put: request(Api::Put),
        s3: prices.classes().map(|name| (name.to_owned(), class(name))).collect(),
    }
}

fn cells(row: &Row) -> Vec<String> {
    let mut cells = vec![row.region.to_string(), row.snapshot.text()];
    cells.extend(VOLUMES.iter().map(|kind| row.volumes[kind].text()));
    cells.extend([&row.out, &row.internet, &row.list, &row.get, &row.put].map(Cell::text));
    cells
}

fn text(table: &Table) -> String {
    let column = |head: &'static str| (head, if head == "region" { Side::Left } else { Side::Right });
    let mut text = table::render(&HEADS.map(column), table.regions.iter().map(cells));
    text.push_str(
        "\n\nIn US dollars: a GiB-month of snapshots and volumes, a GiB out to another region and to the internet (the first \
         tier of a month), one request or block.\n",
    );
    if let [only] = table.regions.as_slice() {
        let columns = [
            ("s3 class", Side::Left),
            ("month", Side::Right),
            ("put", Side::Right),
            ("get", Side::Right),
            ("read GiB", Side::Right),
            ("least days", Side::Right),
        ];
        let rows = only.s3.iter().map(|(name, class)| {
            let cells = [&class.month, &class.put, &class.get, &class.retrieval].map(Cell::text);
            let mut row = vec![name.clone()];
            row.extend(cells);
            row.push(class.min_days.to_string());
            row
        });
        text.push_str(&format!("\n{}\n\n", table::render(&columns, rows)));
    }
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
        let prices = plan::Prices::bundled();
        let rows: Vec<Row> = prices.regions().map(|region| row(prices, region)).collect();
        assert!(rows.len() > 30);
        let mexico = rows.iter().find(|row| row.region.as_str() == "mx-central-1").ok_or("no row")?;
        assert!(mexico.out.usd.is_none() && mexico.out.label == Sure::Unknown);
        Ok(())
    }
}
