//! What was learnt beside the items and stays the same while knobs are turned: where floe runs and on what, what AWS
//! told of prices and quotas, what earlier jobs on the route took, and copies that a delta could go onto.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::plan::machine::{Host, RunsIn};
use crate::plan::prices::Live;
use crate::store::routes::Past;
use crate::units::{Blocks, Quantity};

/// Facts of a plan; none of them is needed for it to be one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Where the data passes through.
    pub runs_in: RunsIn,
    /// What floe runs on.
    pub host: Host,
    /// Whether FIPS endpoints are used.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fips: bool,
    /// Prices that AWS told, of the regions in play.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<Live>,
    /// Quotas that count here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<QuotaFact>,
    /// What jobs took that went this way before, the newest first: of a group the way of its first job.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<Past>,
    /// The same of jobs of a group that do not go the way of its first, by the names of their routes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub elsewhere: BTreeMap<String, Vec<Past>>,
    /// The same result as a delta on a copy that is there already.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deltas: Vec<KnownDelta>,
}

/// A quota, and who says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuotaFact {
    /// Its code in Service Quotas.
    pub code: String,
    /// Its name there.
    pub name: String,
    /// In force in that region; by default where nobody could be asked.
    pub value: f64,
    /// The region.
    pub region: String,
    /// Whether Service Quotas told it.
    pub told: bool,
    /// Whether more can be asked for.
    pub adjustable: bool,
}

/// A delta that leads to the same result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownDelta {
    /// What would be planned instead.
    pub operation: Operation,
    /// `delta on snap-0c14…9e2b`.
    pub name: String,
    /// Blocks that it moves.
    pub blocks: Quantity<Blocks>,
}
