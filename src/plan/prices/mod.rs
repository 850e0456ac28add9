//! The price table: dated, per region, with the cells that are not certain marked.
//!
//! A region or cell that is missing is *unknown*, never zero. The bundled table is the floor; what AWS told for an
//! account's regions ([`Live`]) lies over it, and a plan keeps that part, so that the estimate, a turned knob and the
//! running meter calculate with one set of prices.

mod told;
pub mod update;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::ids::Region;
use crate::rows::Tier;
use crate::units::{Quantity, Usd};

pub use told::{Live, Spot, Told, ToldS3};

/// List prices. All per unit: one request, one GiB, one GiB-month.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    version: u32,
    /// Date of the table.
    pub as_of: String,
    requests: Requests,
    internet: Internet,
    kms: Kms,
    archive_tier: ArchiveTier,
    route: Route,
    explorer: Explorer,
    pairs: BTreeMap<String, f64>,
    volume: Volume,
    s3: BTreeMap<String, S3Row>,
    regions: BTreeMap<Region, Row>,
    /// What AWS told since, over all of it.
    #[serde(skip)]
    live: Option<Live>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct S3Row {
    month: f64,
    put: f64,
    get: f64,
    #[serde(default)]
    retrieval: f64,
    #[serde(default)]
    min_days: u32,
    #[serde(default)]
    min_kib: u32,
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
    /// One GiB read, beside the request.
    pub retrieval: Quantity<Usd>,
    /// An object is paid for so many days at least.
    pub min_days: u32,
    /// And as if it had so many KiB at least.
    pub min_kib: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Requests {
    list: f64,
    get: f64,
    put: f64,
    certain_in: Vec<Region>,
}

/// Up to so many GiB of a month, the price of each.
type Tiers = Vec<(f64, f64)>;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Internet {
    tiers: Tiers,
    certain_in: Vec<Region>,
    like_us: Vec<Region>,
    regions: BTreeMap<Region, Tiers>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kms {
    request: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArchiveTier {
    of_standard: f64,
    retrieval: f64,
    min_days: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    nat_gib: f64,
    endpoint_gib: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Explorer {
    request: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Volume {
    gp3_iops: f64,
    gp3_mibps: f64,
    io_iops: f64,
    standard: f64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    snapshot: Option<f64>,
    gp3: Option<f64>,
    gp2: Option<f64>,
    io1: Option<f64>,
    st1: Option<f64>,
    sc1: Option<f64>,
    out: Option<f64>,
    /// Of EBS direct, where they are told apart by region.
    list: Option<f64>,
    get: Option<f64>,
    put: Option<f64>,
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

/// The archive tier of EBS in a region.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TierPrice {
    /// One GiB of the full snapshot for a month.
    pub month: Quantity<Usd>,
    /// One GiB brought back.
    pub retrieval: Quantity<Usd>,
    /// It is paid for so many days at least.
    pub min_days: u32,
}

const BUNDLED: &str = include_str!("../../../assets/prices.toml");

#[expect(clippy::expect_used, reason = "the table is compiled in, and a test reads it")]
static TABLE: LazyLock<Prices> = LazyLock::new(|| toml::from_str(BUNDLED).expect("the bundled price table parses"));

impl Prices {
    /// The table that floe ships.
    #[must_use]
    pub fn bundled() -> &'static Self {
        &TABLE
    }

    /// The table with what AWS told over it; just the table where it told nothing.
    #[must_use]
    pub fn with(live: Option<&Live>) -> Cow<'static, Self> {
        match live {
            None => Cow::Borrowed(Self::bundled()),
            Some(live) => Cow::Owned(Self { live: Some(live.clone()), ..Self::bundled().clone() }),
        }
    }

    /// Version of the table's format.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The date that figures are shown with.
    #[must_use]
    pub fn date(&self) -> String {
        match &self.live {
            Some(live) => format!("{} (live)", live.as_of),
            None => self.as_of.clone(),
        }
    }

    fn told(&self, region: &Region) -> Option<&Told> {
        self.live.as_ref()?.regions.get(region)
    }

    /// One EBS direct request. Where a region has no price of its own, us-east-1's stands for it, approximate.
    #[must_use]
    pub fn request(&self, api: Api, region: &Region) -> Quantity<Usd> {
        let own = |list: Option<f64>, get: Option<f64>, put: Option<f64>| match api {
            Api::List => list,
            Api::Get => get,
            Api::Put => put,
        };
        let told = self.told(region).and_then(|told| own(told.list, told.get, told.put));
        if let Some(usd) = told.or_else(|| self.regions.get(region).and_then(|row| own(row.list, row.get, row.put))) {
            return Quantity::exact(Usd(usd));
        }
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
            let unknown = Quantity::unknown();
            return S3Price { month: unknown, put: unknown, get: unknown, retrieval: unknown, min_days: 0, min_kib: 0 };
        };
        let certain = self.requests.certain_in.contains(region) && !row.approx;
        let told = self.told(region).and_then(|told| told.s3.get(class)).copied().unwrap_or_default();
        let price = |live: Option<f64>, usd: f64| match live {
            Some(live) => Quantity::exact(Usd(live)),
            None if certain || usd == 0.0 => Quantity::exact(Usd(usd)),
            None => Quantity::estimate(Usd(usd)),
        };
        S3Price {
            month: price(told.month, row.month),
            put: price(told.put, row.put),
            get: price(told.get, row.get),
            retrieval: price(told.retrieval, row.retrieval),
            min_days: row.min_days,
            min_kib: row.min_kib,
        }
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
        self.cell(from, "out", |row| row.out, |told| told.out)
    }

    fn cell(
        &self,
        region: &Region,
        name: &str,
        pick: fn(&Row) -> Option<f64>,
        live: fn(&Told) -> Option<f64>,
    ) -> Quantity<Usd> {
        if let Some(usd) = self.told(region).and_then(live) {
            return Quantity::exact(Usd(usd));
        }
        match self.regions.get(region).and_then(|row| pick(row).map(|price| (row, price))) {
            None => Quantity::unknown(),
            Some((row, price)) if row.approx.iter().any(|a| a == name) => Quantity::estimate(Usd(price)),
            Some((_, price)) => Quantity::exact(Usd(price)),
        }
    }

    /// One GiB-month of a snapshot in the standard tier.
    #[must_use]
    pub fn snapshot_month(&self, region: &Region) -> Quantity<Usd> {
        self.cell(region, "snapshot", |row| row.snapshot, |told| told.snapshot)
    }

    /// One GiB-month of a snapshot where it is stored.
    #[must_use]
    pub fn stored_month(&self, tier: Tier, region: &Region) -> Quantity<Usd> {
        match tier {
            Tier::Standard => self.snapshot_month(region),
            Tier::Archive => self.archive_tier(region).month,
        }
    }

    /// The archive tier of EBS.
    #[must_use]
    pub fn archive_tier(&self, region: &Region) -> TierPrice {
        let standard = self.snapshot_month(region);
        let month = match self.told(region).and_then(|told| told.archive) {
            Some(usd) => Quantity::exact(Usd(usd)),
            None if standard.known().is_none() => Quantity::unknown(),
            None => Quantity::estimate(Usd(standard.value.0 * self.archive_tier.of_standard)),
        };
        let retrieval = match self.told(region).and_then(|told| told.retrieval) {
            Some(usd) => Quantity::exact(Usd(usd)),
            None => Quantity::estimate(Usd(self.archive_tier.retrieval)),
        };
        TierPrice { month, retrieval, min_days: self.archive_tier.min_days }
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
            "gp3" => self.cell(region, "gp3", |row| row.gp3, |told| told.gp3),
            "gp2" => self.cell(region, "gp2", |row| row.gp2, |told| told.gp2),
            "io1" | "io2" => self.cell(region, "io1", |row| row.io1, |told| told.io1),
            "st1" => self.cell(region, "st1", |row| row.st1, |told| told.st1),
            "sc1" => self.cell(region, "sc1", |row| row.sc1, |told| told.sc1),
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
        let pair = format!("{from}>{to}");
        let told = self.live.as_ref().and_then(|live| live.pairs.get(&pair));
        match told.or_else(|| self.pairs.get(&pair)) {
            Some(price) => Quantity::exact(Usd(*price)),
            None => self.out(from),
        }
    }

    fn tiers(&self, from: &Region) -> Option<(&Tiers, bool)> {
        if let Some(told) = self.live.as_ref().and_then(|live| live.internet.get(from)) {
            return Some((told, true));
        }
        let all = &self.internet;
        match all.regions.get(from) {
            Some(own) => Some((own, false)),
            None if all.certain_in.contains(from) => Some((&all.tiers, true)),
            None if all.like_us.contains(from) => Some((&all.tiers, false)),
            None => None,
        }
    }

    /// What `gib` to the internet cost when `before` went there this month: at most, because what others of the account
    /// sent makes the rest cheaper, never dearer.
    #[must_use]
    pub fn egress(&self, from: &Region, before: f64, gib: f64) -> Quantity<Usd> {
        let Some((tiers, certain)) = self.tiers(from) else { return Quantity::unknown() };
        let (mut usd, mut low, end) = (0.0, 0.0, before + gib);
        for (high, price) in tiers {
            usd += (end.min(*high) - before.max(low)).max(0.0) * price;
            low = *high;
        }
        if certain { Quantity::at_most(Usd(usd)) } else { Quantity::estimate(Usd(usd)) }
    }

    /// One GiB out of a region to the internet, in the first tier of the month.
    #[must_use]
    pub fn to_internet(&self, from: &Region) -> Quantity<Usd> {
        self.egress(from, 0.0, 1.0)
    }

    /// One request of KMS.
    #[must_use]
    pub const fn kms_request(&self) -> Quantity<Usd> {
        Quantity::exact(Usd(self.kms.request))
    }

    /// One GiB through a NAT gateway, and through an interface endpoint.
    #[must_use]
    pub const fn through(&self) -> (Quantity<Usd>, Quantity<Usd>) {
        (Quantity::estimate(Usd(self.route.nat_gib)), Quantity::estimate(Usd(self.route.endpoint_gib)))
    }

    /// One request of Cost Explorer.
    #[must_use]
    pub const fn explorer_request(&self) -> Usd {
        Usd(self.explorer.request)
    }
}

#[cfg(test)]
mod tests;
