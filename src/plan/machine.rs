//! The machine that floe runs on: its memory, its limits, and where it stands.
//!
//! Read once per plan. The default budget follows from it (DESIGN §3, rule 2), and so does what a byte of
//! transfer costs: the same copy has one price in the source's region and another from a laptop.

use serde::{Deserialize, Serialize};

use crate::aws::Instance;
use crate::ids::Region;
use crate::plan::prices::Spot;
use crate::store::copies::Copies;
use crate::store::routes::Routes;
use crate::units::Bytes;

/// The default budget: enough for 240 blocks in flight, small beside anything that floe would run on.
pub const DEFAULT_BUDGET: Bytes = Bytes::mib(256);

/// Where the data passes through.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum RunsIn {
    /// Nobody said, and there is no instance metadata: the dear case, so that no bill surprises.
    #[default]
    Assumed,
    /// Outside AWS, as told.
    Outside,
    /// On an instance in this region, as told.
    Region(Region),
    /// On an instance in this region, as its own metadata say.
    Metadata(Region),
}

impl RunsIn {
    /// Reads `--runs-in`: a region, or `outside`.
    ///
    /// # Errors
    /// A sentence that names both forms.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "outside" {
            return Ok(Self::Outside);
        }
        text.parse()
            .map(Self::Region)
            .map_err(|_| format!("`{text}` is neither a region (like eu-west-1) nor `outside`"))
    }

    /// The region, when it is one.
    #[must_use]
    pub const fn region(&self) -> Option<&Region> {
        match self {
            Self::Region(region) | Self::Metadata(region) => Some(region),
            Self::Assumed | Self::Outside => None,
        }
    }

    /// In a sentence, after "floe runs": `in eu-west-1 (instance metadata)`, `outside AWS`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let place = self.text();
        if self.region().is_some() { format!("in {place}") } else { place }
    }

    /// As a plan shows it, and as routes are known by.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Assumed => "outside AWS (assumed; --runs-in REGION if not)".to_owned(),
            Self::Outside => "outside AWS".to_owned(),
            Self::Region(region) => region.to_string(),
            Self::Metadata(region) => format!("{region} (instance metadata)"),
        }
    }
}

/// What floe runs on, as far as it bounds how fast a copy can be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Cores; 0 where that is not known.
    pub cores: u32,
    /// SHA-256 on one core, MiB a second, as measured here; 0 where it was not.
    pub sha256: f64,
    /// The type of the instance, as its metadata say.
    pub kind: Option<String>,
    /// What its network carries all the time, in Gbit/s, as DescribeInstanceTypes tells it.
    pub network: Option<f64>,
    /// Why the network is not known, though the type is.
    pub network_unknown: Option<String>,
    /// Whether it has no public address: its way out is a NAT gateway or an endpoint, and both are charged.
    pub private: bool,
}

impl Host {
    /// This machine: its cores, and how fast one of them hashes.
    #[must_use]
    pub fn here() -> Self {
        static RATE: std::sync::OnceLock<f64> = std::sync::OnceLock::new();
        let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX));
        Self { cores, sha256: *RATE.get_or_init(hashing), ..Self::default() }
    }
}

/// SHA-256 on one core: the best of some short runs, because others may use the core meanwhile. Five milliseconds.
#[expect(clippy::cast_precision_loss, reason = "a MiB")]
fn hashing() -> f64 {
    const HASHED: usize = 1024 * 1024;
    const RUNS: usize = 8;
    let bytes = vec![0x5a_u8; HASHED];
    let run = || {
        let began = std::time::Instant::now();
        std::hint::black_box(crate::units::Digest::of(std::hint::black_box(&bytes)));
        began.elapsed().as_secs_f64()
    };
    let best = (0..RUNS).map(|_| run()).fold(f64::INFINITY, f64::min);
    HASHED as f64 / (1024.0 * 1024.0) / best.max(1e-6)
}

/// What a plan needs to know of the machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// Memory of the machine.
    pub memory: Bytes,
    /// Memory that is free to take now.
    pub available: Bytes,
    /// Limit of the cgroup, when it is below the machine's memory.
    pub cgroup: Option<Bytes>,
    /// Cores.
    pub cores: u32,
    /// Where the data passes through.
    pub runs_in: RunsIn,
    /// The engine's budget, when the command or the config says so.
    pub budget: Option<Bytes>,
    /// What floe knows of the copies it made here; nothing without it.
    pub copies: Option<Copies>,
    /// What it runs on.
    pub host: Host,
    /// Where live prices are kept, when they are wanted.
    pub prices: Option<Spot>,
    /// What jobs took before, by their route; nothing without it.
    pub routes: Option<Routes>,
}

impl Machine {
    /// Asks the operating system.
    #[must_use]
    pub fn read(runs_in: RunsIn, budget: Option<Bytes>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX));
        let (memory, available, cgroup) = match sysinfo::System::new() {
            Ok(mut system) => {
                system.refresh_memory();
                let memory = Bytes(system.total_memory());
                let limit = system.cgroup_limits().map(|limits| Bytes(limits.total_memory));
                (memory, Bytes(system.available_memory()), limit.filter(|limit| limit.0 > 0 && *limit < memory))
            }
            // Nothing is known: a plan then has no outer limit to compare with, and the default budget.
            Err(_) => (Bytes(u64::MAX), Bytes(u64::MAX), None),
        };
        Self {
            memory,
            available,
            cgroup,
            cores,
            runs_in,
            budget,
            copies: None,
            host: Host::here(),
            prices: None,
            routes: None,
        }
    }

    /// Puts it where its own metadata say it is, unless somebody said where.
    pub fn locate(&mut self, instance: Option<Instance>) {
        let Some(instance) = instance else { return };
        self.host.kind = instance.kind;
        self.host.private = instance.private;
        if self.runs_in == RunsIn::Assumed {
            self.runs_in = RunsIn::Metadata(instance.region);
        }
    }

    /// The tightest outer limit and its name.
    #[must_use]
    pub fn limit(&self) -> (Bytes, &'static str) {
        self.cgroup.map_or((self.memory, "machine"), |limit| (limit, "cgroup"))
    }

    /// The budget in force: as told, else 256 MiB, or an eighth of the machine or cgroup where that is less.
    #[must_use]
    pub fn budget(&self) -> Bytes {
        self.budget.unwrap_or_else(|| DEFAULT_BUDGET.min(Bytes(self.limit().0.0 / 8)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(memory: Bytes, cgroup: Option<Bytes>) -> Machine {
        Machine {
            memory,
            available: memory,
            cgroup,
            cores: 2,
            runs_in: RunsIn::Assumed,
            budget: None,
            copies: None,
            host: Host::default(),
            prices: None,
            routes: None,
        }
    }

    #[test]
    fn the_budget_follows_the_tightest_limit() {
        assert_eq!(machine(Bytes::gib(24), None).budget(), DEFAULT_BUDGET);
        assert_eq!(machine(Bytes::gib(1), None).budget(), Bytes::mib(128));
        assert_eq!(machine(Bytes::gib(24), Some(Bytes::mib(512))).budget(), Bytes::mib(64));
    }

    #[test]
    fn where_it_runs_is_a_region_or_outside() {
        assert_eq!(RunsIn::parse("outside"), Ok(RunsIn::Outside));
        assert!(RunsIn::parse("eu-west-1").is_ok_and(|r| r.region().is_some()));
        assert!(RunsIn::parse("here").is_err());
        let said = |place: &str| RunsIn::parse(place).map(|place| format!("floe runs {}", place.sentence()));
        assert_eq!(said("eu-west-1").as_deref(), Ok("floe runs in eu-west-1"));
        assert_eq!(said("outside").as_deref(), Ok("floe runs outside AWS"));
    }
}
