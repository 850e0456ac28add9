//! Asking AWS for its prices: what a region's cells are called in the price list, and how they are kept and dated.
//!
//! Usage types are matched whole, after the region's billing code: `EBS:SnapshotUsage.outposts` and
//! `EBS:SnapshotUsageUnderBilling` stand beside `EBS:SnapshotUsage` and are something else.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;

use super::Prices;
use super::told::{Live, OneRegion, Spot, Told, ToldS3, day};
use crate::aws::{Product, Session};
use crate::error::{Error, Result};
use crate::ids::Region;

/// Questions under way at once: the API throttles hard.
const AT_ONCE: usize = 3;

/// One question about a region: service, its filters beside the region, and which attribute names the region.
type Question = (&'static str, &'static [(&'static str, &'static str)], &'static str);

const QUESTIONS: [Question; 7] = [
    ("AmazonEC2", &[("productFamily", "Storage Snapshot")], "regionCode"),
    ("AmazonEC2", &[("productFamily", "EBS direct API Requests")], "regionCode"),
    ("AmazonEC2", &[("productFamily", "Storage")], "regionCode"),
    ("AmazonS3", &[("productFamily", "Storage")], "regionCode"),
    ("AmazonS3", &[("productFamily", "API Request")], "regionCode"),
    ("AWSDataTransfer", &[("transferType", "InterRegion Outbound")], "fromRegionCode"),
    ("AWSDataTransfer", &[("transferType", "AWS Outbound")], "fromRegionCode"),
];

/// Classes of S3, and what their usage types are called: storage, requests that write and read, retrieval.
const CLASSES: [(&str, &str, &str, &str, &str); 6] = [
    ("STANDARD", "TimedStorage-ByteHrs", "Requests-Tier1", "Requests-Tier2", ""),
    ("STANDARD_IA", "TimedStorage-SIA-ByteHrs", "Requests-SIA-Tier1", "Requests-SIA-Tier2", "Retrieval-SIA"),
    ("ONEZONE_IA", "TimedStorage-ZIA-ByteHrs", "Requests-ZIA-Tier1", "Requests-ZIA-Tier2", "Retrieval-ZIA"),
    ("GLACIER_IR", "TimedStorage-GIR-ByteHrs", "Requests-GIR-Tier1", "Requests-GIR-Tier2", "Retrieval-SIA-GIR"),
    ("GLACIER", "TimedStorage-GlacierByteHrs", "Requests-GLACIER-Tier1", "", "Standard-Retrieval-Bytes"),
    ("DEEP_ARCHIVE", "TimedStorage-GDA-ByteHrs", "Requests-GDA-Tier1", "", ""),
];

/// What the price list says of one region.
///
/// # Errors
/// As [`Session::products`]; failed where AWS answered and none of it is a price that is known.
pub(super) async fn ask(session: &Session, region: &Region) -> Result<OneRegion> {
    // Made before they are streamed: a closure that makes them would have to be general over every lifetime.
    let questions: Vec<_> = QUESTIONS.iter().map(|question| products(session, region, question)).collect();
    let mut asked = stream::iter(questions).buffered(AT_ONCE);
    let mut products = Vec::new();
    while let Some(answer) = asked.next().await {
        products.extend(answer?);
    }
    let told = read(region, &products);
    if told == OneRegion::default() {
        return Err(Error::failed(format!("the price list knows nothing of {region}")));
    }
    Ok(told)
}

async fn products(session: &Session, region: &Region, (service, filters, names): &Question) -> Result<Vec<Product>> {
    let mut all = filters.to_vec();
    all.push((names, region.as_str()));
    session.products(service, &all).await
}

/// Makes cells of products.
pub(super) fn read(region: &Region, products: &[Product]) -> OneRegion {
    let mut out = OneRegion::default();
    for product in products {
        let Some(usd) = product.price() else { continue };
        let to = product.attributes.get("toRegionCode").and_then(|to| to.parse::<Region>().ok());
        let kind = product.attributes.get("transferType").map_or("", String::as_str);
        match (kind, to) {
            ("InterRegion Outbound", Some(to)) if to != *region => {
                out.pairs.insert(to, usd);
            }
            ("AWS Outbound", _) if product.usage() == "DataTransfer-Out-Bytes" => {
                out.internet.clone_from(&product.tiers)
            }
            _ => cell(&mut out.told, product.usage(), usd),
        }
    }
    out.told.out = commonest(out.pairs.values().copied());
    out
}

fn cell(told: &mut Told, usage: &str, usd: f64) {
    let cell = match usage {
        "EBS:SnapshotUsage" => &mut told.snapshot,
        "EBS:SnapshotArchiveStorage" => &mut told.archive,
        "EBS:SnapshotArchiveRetrieval" => &mut told.retrieval,
        "EBS:directAPI.snapshot.List" => &mut told.list,
        "EBS:directAPI.snapshot.Get" => &mut told.get,
        "EBS:directAPI.snapshot.Put" => &mut told.put,
        "EBS:VolumeUsage.gp3" => &mut told.gp3,
        "EBS:VolumeUsage.gp2" => &mut told.gp2,
        "EBS:VolumeUsage.piops" => &mut told.io1,
        "EBS:VolumeUsage.st1" => &mut told.st1,
        "EBS:VolumeUsage.sc1" => &mut told.sc1,
        _ => {
            for (class, month, put, get, retrieval) in CLASSES {
                let row = |told: &mut Told, set: fn(&mut ToldS3) -> &mut Option<f64>| {
                    *set(told.s3.entry(class.to_owned()).or_default()) = Some(usd);
                };
                match usage {
                    "" => {}
                    _ if usage == month => row(told, |row| &mut row.month),
                    _ if usage == put => row(told, |row| &mut row.put),
                    _ if usage == get => row(told, |row| &mut row.get),
                    _ if usage == retrieval => row(told, |row| &mut row.retrieval),
                    _ => {}
                }
            }
            return;
        }
    };
    *cell = Some(usd);
}

/// The price that most pairs have.
fn commonest(prices: impl Iterator<Item = f64>) -> Option<f64> {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for usd in prices {
        *counts.entry(usd.to_bits()).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(bits, _)| f64::from_bits(bits))
}

/// What was told of these regions: kept ones of the last seven days, the others asked for now, and kept.
///
/// # Errors
/// As [`Session::products`]; what was told before the error is kept, and nothing is answered.
pub async fn live(session: &Session, world: &str, regions: &[Region], spot: &Spot, now: Timestamp) -> Result<Live> {
    let mut live = Live::default();
    let mut fresh = BTreeMap::new();
    let mut failed = None;
    for region in regions {
        if let Some((day, one)) = spot.of(world, region, now) {
            live.add(region, &day, &one);
            continue;
        }
        match ask(session, region).await {
            Ok(one) => {
                live.add(region, &day(now), &one);
                fresh.insert(region.clone(), one);
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    if !fresh.is_empty() {
        spot.keep(world, &fresh, now)?;
    }
    failed.map_or(Ok(live), Err)
}

/// The table as a file: the one that floe ships, with every cell that AWS told in its place, and the date of that day.
///
/// # Errors
/// The result is no table.
pub fn table(live: &Live) -> Result<String> {
    let broken = |why: String| Error::failed(format!("the price table cannot be written: {why}"));
    let mut table: toml::Table = toml::from_str(super::BUNDLED).map_err(|error| broken(error.to_string()))?;
    table.insert("as_of".to_owned(), live.as_of.clone().into());
    let place = |table: &mut toml::Table, path: &[&str], usd: Option<f64>| {
        let (Some(usd), [path @ .., last]) = (usd, path) else { return };
        let mut at = table;
        for name in path {
            let next = at.entry((*name).to_owned()).or_insert_with(|| toml::Table::new().into());
            let Some(next) = next.as_table_mut() else { return };
            at = next;
        }
        at.insert((*last).to_owned(), usd.into());
        if let Some(approx) = at.get_mut("approx").and_then(toml::Value::as_array_mut) {
            approx.retain(|name| name.as_str() != Some(last));
        }
    };
    for (region, told) in &live.regions {
        let cells = [
            ("snapshot", told.snapshot),
            ("gp3", told.gp3),
            ("gp2", told.gp2),
            ("io1", told.io1),
            ("st1", told.st1),
            ("sc1", told.sc1),
            ("out", told.out),
            ("list", told.list),
            ("get", told.get),
            ("put", told.put),
        ];
        for (name, usd) in cells {
            place(&mut table, &["regions", region.as_str(), name], usd);
        }
        if region.as_str() == "us-east-1" {
            for (class, row) in &told.s3 {
                for (name, usd) in
                    [("month", row.month), ("put", row.put), ("get", row.get), ("retrieval", row.retrieval)]
                {
                    place(&mut table, &["s3", class, name], usd);
                }
            }
        }
    }
    for (pair, usd) in &live.pairs {
        let from = pair.split_once('>').and_then(|(from, _)| from.parse::<Region>().ok());
        let usual = from.and_then(|from| live.regions.get(&from)).and_then(|told| told.out);
        // Only what is not the region's usual price has a line of its own.
        if usual.is_some_and(|usual| (usual - usd).abs() > 1e-9) {
            place(&mut table, &["pairs", pair], Some(*usd));
        }
    }
    for (region, tiers) in &live.internet {
        let tiers: Vec<toml::Value> = tiers
            .iter()
            .map(|(end, usd)| vec![if *end == f64::MAX { f64::INFINITY } else { *end }, *usd].into())
            .collect();
        if let Some(all) = table["internet"]["regions"].as_table_mut() {
            all.insert(region.to_string(), tiers.into());
        }
    }
    let text = toml::to_string(&table).map_err(|error| broken(error.to_string()))?;
    toml::from_str::<Prices>(&text).map_err(|error| broken(error.to_string()))?;
    let head: String =
        super::BUNDLED.lines().take_while(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    Ok(format!("{head}\n{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(attributes: &[(&str, &str)], tiers: &[(f64, f64)]) -> Product {
        Product {
            attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            tiers: tiers.to_vec(),
        }
    }

    fn told() -> OneRegion {
        let one = |usage: &str, usd: f64| product(&[("usagetype", usage)], &[(f64::MAX, usd)]);
        let way = |usage: &str, to: &str, usd: f64| {
            let attributes = [("usagetype", usage), ("transferType", "InterRegion Outbound"), ("toRegionCode", to)];
            product(&attributes, &[(f64::MAX, usd)])
        };
        let products = [
            one("EUW1-EBS:SnapshotUsage", 0.051),
            one("EU-EBS:SnapshotUsage.outposts", 0.027),
            one("EU-EBS:SnapshotUsageUnderBilling", 0.0),
            one("EU-EBS:directAPI.snapshot.Get", 0.000_003_3),
            one("EU-Requests-SIA-Tier1", 0.000_010),
            way("EU-USE1-AWS-Out-Bytes", "us-east-1", 0.02),
            way("EU-APN1-AWS-Out-Bytes", "ap-northeast-1", 0.02),
            way("EU-EUC1-AWS-Out-Bytes", "eu-central-1", 0.015),
            product(
                &[("usagetype", "EU-DataTransfer-Out-Bytes"), ("transferType", "AWS Outbound")],
                &[(1.0, 0.0), (10_240.0, 0.09), (f64::MAX, 0.085)],
            ),
        ];
        read(&"eu-west-1".parse().expect("a region"), &products)
    }

    #[test]
    fn products_become_cells_and_what_looks_alike_does_not() {
        let told = told();
        assert_eq!((told.told.snapshot, told.told.get, told.told.put), (Some(0.051), Some(0.000_003_3), None));
        assert_eq!(told.told.s3["STANDARD_IA"].put, Some(0.000_010));
        assert_eq!((told.told.out, told.pairs.len()), (Some(0.02), 3));
        assert_eq!(told.internet.len(), 3);
    }

    #[test]
    fn the_table_takes_what_was_told_and_keeps_the_rest() {
        let mut live = Live::default();
        let region: Region = "eu-west-1".parse().expect("a region");
        live.add(&region, "2026-11-27", &told());
        let text = table(&live).expect("a table");
        let prices: Prices = toml::from_str(&text).expect("it is one");
        assert_eq!(prices.as_of, "2026-11-27");
        let bundled = Prices::bundled();
        assert!((prices.snapshot_month(&region).value.0 - 0.051).abs() < 1e-12);
        assert!((prices.between(&region, &"eu-central-1".parse().expect("a region")).value.0 - 0.015).abs() < 1e-12);
        assert!((prices.egress(&region, 0.0, 2.0).value.0 - 0.09).abs() < 1e-12, "the first GB is free there");
        let other: Region = "sa-east-1".parse().expect("a region");
        assert_eq!(prices.snapshot_month(&other), bundled.snapshot_month(&other));
        assert_eq!(prices.s3("GLACIER", &other), bundled.s3("GLACIER", &other));
        assert!(text.starts_with("# List prices"));
    }
}
