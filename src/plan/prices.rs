//! The bundled price table: dated, per region, with the cells that are not certain marked.
//!
//! A region or cell that is missing is *unknown*, never zero. Live prices replace rows later; the look-ups
//! stay the same, so the estimate and the running meter always use one source.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::ids::Region;
use crate::units::{Quantity, Usd};

/// List prices. All per unit: one request, one GiB, one GiB-month.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    version: u32,
    /// Date of the table.
    pub as_of: String,
    requests: Requests,
    internet: Internet,
    pairs: BTreeMap<String, f64>,
    volume: Volume,
    s3: BTreeMap<String, S3Row>,
    regions: BTreeMap<Region, Row>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct S3Row {
    month: f64,
    put: f64,
    get: f64,
    #[serde(default)]
    approx: bool,
}

/// What one storage class of S3 costs: a GiB-month, a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct S3Price {
    /// One GiB for a month.
    pub month: Quantity<Usd>,
    /// One object or part written.
    pub put: Quantity<Usd>,
    /// One read.
    pub get: Quantity<Usd>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Requests {
    list: f64,
    get: f64,
    put: f64,
    certain_in: Vec<Region>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Internet {
    out: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Volume {
    gp3_iops: f64,
    gp3_mibps: f64,
    io_iops: f64,
    standard: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    snapshot: Option<f64>,
    gp3: Option<f64>,
    gp2: Option<f64>,
    io1: Option<f64>,
    st1: Option<f64>,
    sc1: Option<f64>,
    out: Option<f64>,
    #[serde(default)]
    approx: Vec<String>,
}

/// Which EBS direct request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// One page listed.
    List,
    /// One block got.
    Get,
    /// One block put.
    Put,
}

const BUNDLED: &str = include_str!("../../assets/prices.toml");

#[expect(clippy::expect_used, reason = "the table is compiled in, and a test reads it")]
static TABLE: LazyLock<Prices> = LazyLock::new(|| toml::from_str(BUNDLED).expect("the bundled price table parses"));

impl Prices {
    /// The table that floe ships.
    #[must_use]
    pub fn bundled() -> &'static Self {
        &TABLE
    }

    /// Version of the table's format.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// One EBS direct request. The prices are list prices in us-east-1 and taken as approximate elsewhere.
    #[must_use]
    pub fn request(&self, api: Api, region: &Region) -> Quantity<Usd> {
        let price = Usd(match api {
            Api::List => self.requests.list,
            Api::Get => self.requests.get,
            Api::Put => self.requests.put,
        });
        if self.requests.certain_in.contains(region) { Quantity::exact(price) } else { Quantity::estimate(price) }
    }

    /// A storage class of S3. List prices in us-east-1, approximate elsewhere; a class that is not in the table is unknown.
    #[must_use]
    pub fn s3(&self, class: &str, region: &Region) -> S3Price {
        let Some(row) = self.s3.get(class) else {
            return S3Price { month: Quantity::unknown(), put: Quantity::unknown(), get: Quantity::unknown() };
        };
        let certain = self.requests.certain_in.contains(region) && !row.approx;
        let price = |usd: f64| if certain { Quantity::exact(Usd(usd)) } else { Quantity::estimate(Usd(usd)) };
        S3Price { month: price(row.month), put: price(row.put), get: price(row.get) }
    }

    /// The regions that have a row.
    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        self.regions.keys()
    }

    /// The storage classes of S3 that have a row.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.s3.keys().map(String::as_str)
    }

    /// One GiB out of a region to any other one that no cheaper pair is known for.
    #[must_use]
    pub fn out(&self, from: &Region) -> Quantity<Usd> {
        self.cell(from, "out", |row| row.out)
    }

    fn cell(&self, region: &Region, name: &str, pick: fn(&Row) -> Option<f64>) -> Quantity<Usd> {
        match self.regions.get(region).and_then(|row| pick(row).map(|price| (row, price))) {
            None => Quantity::unknown(),
            Some((row, price)) if row.approx.iter().any(|a| a == name) => Quantity::estimate(Usd(price)),
            Some((_, price)) => Quantity::exact(Usd(price)),
        }
    }

    /// One GiB-month of a snapshot in the standard tier.
    #[must_use]
    pub fn snapshot_month(&self, region: &Region) -> Quantity<Usd> {
        self.cell(region, "snapshot", |row| row.snapshot)
    }

    /// One month of a volume of that type and size; provisioned IOPS and throughput included.
    #[must_use]
    pub fn volume_month(
        &self,
        region: &Region,
        kind: &str,
        gib: f64,
        iops: Option<u32>,
        mibps: Option<u32>,
    ) -> Quantity<Usd> {
        let base = match kind {
            "gp3" => self.cell(region, "gp3", |row| row.gp3),
            "gp2" => self.cell(region, "gp2", |row| row.gp2),
            "io1" | "io2" => self.cell(region, "io1", |row| row.io1),
            "st1" => self.cell(region, "st1", |row| row.st1),
            "sc1" => self.cell(region, "sc1", |row| row.sc1),
            "standard" => Quantity::estimate(Usd(self.volume.standard)),
            _ => Quantity::unknown(),
        };
        let over = |value: Option<u32>, free: u32| f64::from(value.unwrap_or(0).saturating_sub(free));
        let extra = match kind {
            "gp3" => over(iops, 3000) * self.volume.gp3_iops + over(mibps, 125) * self.volume.gp3_mibps,
            "io1" | "io2" => over(iops, 0) * self.volume.io_iops,
            _ => 0.0,
        };
        Quantity { value: Usd(base.value.0 * gib + extra), sure: base.sure }
    }

    /// One GiB out of `from` to another region; nothing within one.
    #[must_use]
    pub fn between(&self, from: &Region, to: &Region) -> Quantity<Usd> {
        if from == to {
            return Quantity::exact(Usd(0.0));
        }
        if let Some(price) = self.pairs.get(&format!("{from}>{to}")) {
            return Quantity::exact(Usd(*price));
        }
        self.out(from)
    }

    /// One GiB out to the internet: the first tier of the month, so an estimate.
    #[must_use]
    pub fn to_internet(&self) -> Quantity<Usd> {
        Quantity::estimate(Usd(self.internet.out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Sure;

    #[test]
    fn the_table_says_what_it_knows_and_what_it_does_not() -> Result<(), String> {
        let prices = Prices::bundled();
        assert_eq!(prices.version(), 1);
        let (use1, use2): (Region, Region) = ("us-east-1".parse()?, "us-east-2".parse()?);
        let nowhere: Region = "xx-nowhere-9".parse()?;
        assert_eq!(prices.snapshot_month(&use1), Quantity::exact(Usd(0.05)));
        assert_eq!(prices.snapshot_month(&use2).sure, Sure::Estimate);
        assert_eq!(prices.snapshot_month(&nowhere).sure, Sure::Unknown);
        assert_eq!(prices.between(&use1, &use2), Quantity::exact(Usd(0.01)));
        assert_eq!(prices.between(&use1, &use1), Quantity::exact(Usd(0.0)));
        assert_eq!(prices.request(Api::Get, &use1), Quantity::exact(Usd(0.000_003)));
        assert_eq!(prices.request(Api::Get, &use2).sure, Sure::Estimate);
        assert!((prices.volume_month(&use1, "gp3", 100.0, Some(4000), Some(125)).value.0 - 13.0).abs() < 1e-9);
        Ok(())
    }
}
