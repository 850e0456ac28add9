//! What goes wrong on request: faults, limits and the rules of the house that real AWS leaves open.
//!
//! [`Faults`] is plain data: it comes from flags or a file, and is replaced while the sandbox runs through
//! `POST /_sandbox/faults`. Which requests are hit is decided by a seeded sequence per rule, so a run repeats.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::synth::mix;

/// Everything that can be turned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Seeds which requests are hit and where pages end.
    pub seed: u64,
    /// What goes wrong; the first rule that hits a request decides, delays add up.
    pub rules: Vec<Rule>,
    /// Request rates above which it throttles. Empty: never.
    pub limits: Vec<Limit>,
    /// When the tokens of earlier listings stop working.
    pub rotate: Rotation,
    /// How long block tokens live, in seconds. AWS: 7 days.
    pub token_seconds: u64,
    /// How long page tokens live, in seconds. AWS: 60 minutes.
    pub page_token_seconds: u64,
    /// How many pages of 1000 are short.
    pub short_pages_permille: u16,
    /// How many pages of 1000 are empty, with a token.
    pub empty_pages_permille: u16,
    /// How long PutSnapshotBlock answers 404 after StartSnapshot, in milliseconds.
    pub unseen_ms: u64,
    /// How long a snapshot stays pending after CompleteSnapshot, in milliseconds.
    pub completing_ms: u64,
    /// How long CopySnapshot takes, in milliseconds.
    #[serde(default = "copying")]
    pub copying_ms: u64,
    /// How far the server's clock is ahead, in milliseconds.
    pub clock_ms: i64,
    /// How far states and expiries are ahead of that, in milliseconds; signatures do not see it.
    pub advance_ms: i64,
    /// Keep the bytes of synthetic blocks that are written back, instead of a reference to them.
    pub keep_bytes: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            seed: 1,
            rules: Vec::new(),
            limits: Vec::new(),
            rotate: Rotation::Never,
            token_seconds: 7 * 24 * 3600,
            page_token_seconds: 3600,
            short_pages_permille: 100,
            empty_pages_permille: 20,
            unseen_ms: 0,
            completing_ms: 300,
            copying_ms: copying(),
            clock_ms: 0,
            advance_ms: 0,
            keep_bytes: false,
        }
    }
}

/// When older block tokens of a snapshot stop working (AWS leaves it open).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rotation {
    /// At their expiry only.
    #[default]
    Never,
    /// When a new listing starts (a request without a page token).
    Listing,
    /// With every page.
    Page,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What.
    pub fault: Fault,
    /// Only this operation (`GetSnapshotBlock`), or what needs this permission (`GetObjectVersion`); all when absent.
    #[serde(default)]
    pub api: Option<String>,
    /// Only requests that name this snapshot, or this key of S3.
    #[serde(default)]
    pub snapshot: Option<String>,
    /// Only requests signed for this region.
    #[serde(default)]
    pub region: Option<String>,
    /// How likely, from 0 to 1.
    #[serde(default = "certain")]
    pub chance: f64,
    /// How many matching requests pass unharmed first.
    #[serde(default)]
    pub skip: u64,
    /// How many requests are hit at most.
    #[serde(default)]
    pub times: Option<u64>,
}

fn copying() -> u64 {
    1500
}

fn certain() -> f64 {
    1.0
}

/// The ways in which a request can fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Answer later, by so many milliseconds and up to `jitter` more.
    Delay {
        /// Always.
        ms: u64,
        /// At random on top.
        #[serde(default)]
        jitter: u64,
    },
    /// 500.
    InternalError,
    /// S3: 200, and an error in the body. Other services: 500.
    LateError,
    /// 503.
    Unavailable,
    /// The connection is reset before anything is done.
    ResetBefore,
    /// The connection is reset after the work is done.
    ResetAfter,
    /// No answer, ever.
    Hang,
    /// The answer's body ends half-way.
    Cut,
    /// One byte of the answer's body is another.
    Corrupt,
    /// The answer's body comes at this rate.
    Slow {
        /// Bytes per second.
        bytes_per_second: u64,
    },
    /// The snapshot's own limit.
    ThrottleSnapshot,
    /// The account's limit.
    ThrottleAccount,
    /// The limit of something behind the API (KMS).
    ThrottleDependency,
    /// Not allowed.
    Deny,
    /// KMS refuses the snapshot's key.
    DenyKey,
    /// This very error, in the form of the service that was asked.
    Refuse {
        /// HTTP status.
        status: u16,
        /// `ValidationException`, …; empty for an answer that is not the service's own (a proxy's page).
        code: String,
        /// `INVALID_BLOCK`, …
        #[serde(default)]
        reason: Option<String>,
        /// For people.
        #[serde(default)]
        message: String,
    },
    /// A lie: a block or an object is acknowledged and thrown away.
    Lose,
    /// A lie: whatever count and checksum a completion names, or a put to S3, they are accepted.
    Believe,
    /// A lie: a listing leaves out its first block.
    Omit,
    /// A copy of AWS's own is taken on, and ends in error.
    FailLater,
}

/// A rate above which requests are throttled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// The operation.
    pub api: String,
    /// Whose rate: each snapshot's, or the account's in a region.
    pub of: LimitOf,
    /// Requests per second.
    pub per_second: f64,
    /// Requests at once after a pause; a tenth of a second's worth when absent.
    #[serde(default)]
    pub burst: Option<f64>,
}

/// Whose rate is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitOf {
    /// Each snapshot: `RequestThrottledException`, `RESOURCE_LEVEL_THROTTLE`.
    Snapshot,
    /// The account in a region: `ThrottlingException`.
    Account,
}

impl Faults {
    /// The default quotas of AWS (Service Quotas, code `ebs`).
    #[must_use]
    pub fn aws_limits() -> Vec<Limit> {
        let limit = |api: &str, of, per_second| Limit { api: api.into(), of, per_second, burst: None };
        vec![
            limit("GetSnapshotBlock", LimitOf::Snapshot, 1000.0),
            limit("GetSnapshotBlock", LimitOf::Account, 1000.0),
            limit("PutSnapshotBlock", LimitOf::Snapshot, 1000.0),
            limit("PutSnapshotBlock", LimitOf::Account, 1000.0),
            limit("ListSnapshotBlocks", LimitOf::Account, 50.0),
            limit("ListChangedBlocks", LimitOf::Account, 50.0),
            limit("StartSnapshot", LimitOf::Account, 10.0),
            limit("CompleteSnapshot", LimitOf::Account, 10.0),
        ]
    }

    /// The share `chance` of the requests of `api` (all, when absent) fails, in every way in turn.
    #[must_use]
    pub fn storm(api: Option<&str>, chance: f64) -> Vec<Rule> {
        let ways = [
            Fault::InternalError,
            Fault::Unavailable,
            Fault::ResetBefore,
            Fault::ResetAfter,
            Fault::Hang,
            Fault::Cut,
            Fault::Corrupt,
            Fault::ThrottleSnapshot,
            Fault::ThrottleAccount,
        ];
        let share = chance / ways.len() as f64;
        ways.into_iter().map(|fault| Rule { chance: share, api: api.map(str::to_owned), ..Rule::of(fault) }).collect()
    }
}

impl Rule {
    /// This fault, always and everywhere.
    #[must_use]
    pub fn of(fault: Fault) -> Self {
        Self { fault, api: None, snapshot: None, region: None, chance: 1.0, skip: 0, times: None }
    }
    /// Only for this operation.
    #[must_use]
    pub fn on(self, api: &str) -> Self {
        Self { api: Some(api.into()), ..self }
    }
    /// Only for requests signed for this region.
    #[must_use]
    pub fn within(self, region: &str) -> Self {
        Self { region: Some(region.into()), ..self }
    }
    /// At most so often.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }
    /// With this likelihood.
    #[must_use]
    pub fn chance(self, chance: f64) -> Self {
        Self { chance, ..self }
    }

    fn matches(&self, call: &Call<'_>) -> bool {
        let is = |want: &Option<String>, have: Option<&str>| want.as_deref().is_none_or(|want| have == Some(want));
        let asked = is(&self.api, Some(call.api)) || self.api.as_deref() == call.action;
        asked && is(&self.snapshot, call.snapshot) && is(&self.region, Some(call.region))
    }
}

impl FromStr for Rule {
    type Err = String;

    /// `FAULT[=VALUE][@API][/SNAPSHOT][:CHANCE%][*TIMES]`: `delay=80+40`, `reset-after@PutSnapshotBlock:1%`,
    /// `slow=1048576`, `hang@GetSnapshotBlock/snap-0abc1234*1`, `refuse=400+ValidationException+INVALID_BLOCK`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |what: &str| format!("`{text}` is not a fault: {what}; write it like reset-after@PutSnapshotBlock:1%");
        let (rest, times) = match text.rsplit_once('*') {
            Some((rest, n)) => (rest, Some(n.parse().map_err(|_| wrong("the count after * is not a number"))?)),
            None => (text, None),
        };
        let (rest, chance) = match rest.rsplit_once(':') {
            Some((rest, share)) => {
                let share: f64 =
                    share.trim_end_matches('%').parse().map_err(|_| wrong("the chance is not a number"))?;
                (rest, share / 100.0)
            }
            None => (rest, 1.0),
        };
        if !(0.0..=1.0).contains(&chance) {
            return Err(wrong("the chance is not between 0% and 100%"));
        }
        let (rest, snapshot) = match rest.split_once('/') {
            Some((rest, id)) => (rest, Some(id.to_owned())),
            None => (rest, None),
        };
        let (rest, api) = match rest.split_once('@') {
            Some((rest, api)) => (rest, Some(api.to_owned())),
            None => (rest, None),
        };
        let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong("its value is not a number"));
        let fault = match name {
            "delay" => {
                let (ms, jitter) = value.split_once('+').unwrap_or((value, "0"));
                Fault::Delay { ms: number(ms)?, jitter: number(jitter)? }
            }
            "slow" => Fault::Slow { bytes_per_second: number(value)?.max(1) },
            "internal-error" | "500" => Fault::InternalError,
            "late-error" => Fault::LateError,
            "unavailable" | "503" => Fault::Unavailable,
            "reset-before" => Fault::ResetBefore,
            "reset-after" => Fault::ResetAfter,
            "hang" => Fault::Hang,
            "cut" => Fault::Cut,
            "corrupt" => Fault::Corrupt,
            "throttle-snapshot" => Fault::ThrottleSnapshot,
            "throttle-account" => Fault::ThrottleAccount,
            "throttle-dependency" => Fault::ThrottleDependency,
            "deny" => Fault::Deny,
            "deny-key" => Fault::DenyKey,
            "refuse" => {
                let mut parts = value.splitn(3, '+');
                let status = parts.next().and_then(|text| text.parse().ok());
                let status = status.filter(|status| (400..600).contains(status));
                let mut word = || parts.next().unwrap_or_default().to_owned();
                let (code, reason) = (word(), Some(word()).filter(|reason| !reason.is_empty()));
                let status = status.ok_or_else(|| wrong("an error has a status from 400 to 599"))?;
                Fault::Refuse { status, code, reason, message: String::new() }
            }
            "lose" => Fault::Lose,
            "believe" => Fault::Believe,
            "omit" => Fault::Omit,
            "fail-later" => Fault::FailLater,
            _ => return Err(wrong("its name is unknown")),
        };
        Ok(Self { fault, api, snapshot, region: None, chance, skip: 0, times })
    }
}

/// One request, as the rules see it.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The operation.
    pub api: &'a str,
    /// The permission that it needs, where that has another name: a version of an object is read under one of its own.
    pub action: Option<&'a str>,
    /// The snapshot that it names.
    pub snapshot: Option<&'a str>,
    /// The account in whose name it is made.
    pub account: &'a str,
    /// The region.
    pub region: &'a str,
}

/// What happens to one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fate {
    /// Milliseconds to wait first.
    pub delay_ms: u64,
    /// What goes wrong then.
    pub fault: Option<Fault>,
}

/// The faults in force and how often each has struck.
#[derive(Debug, Default)]
pub struct Misfortune {
    /// What is in force.
    pub faults: Faults,
    seen: Vec<(u64, u64)>,
    buckets: HashMap<(usize, String), (f64, Timestamp)>,
}

/// Buckets kept before those that are full are forgotten.
const BUCKETS: usize = 4096;

impl Misfortune {
    /// Puts other faults in force; counts start anew.
    pub fn replace(&mut self, faults: Faults) {
        *self = Self { seen: vec![(0, 0); faults.rules.len()], faults, buckets: HashMap::new() };
    }

    /// Decides about one request.
    pub fn fate(&mut self, call: &Call<'_>, now: Timestamp) -> Fate {
        let mut fate = Fate::default();
        self.seen.resize(self.faults.rules.len(), (0, 0));
        for (number, (rule, (seen, struck))) in self.faults.rules.iter().zip(&mut self.seen).enumerate() {
            if !rule.matches(call) {
                continue;
            }
            *seen += 1;
            let dice = mix(mix(self.faults.seed, number as u64), *seen);
            let strikes = (dice >> 11) as f64 / (1u64 << 53) as f64 <= rule.chance && rule.chance > 0.0;
            if *seen <= rule.skip || !strikes || rule.times.is_some_and(|times| *struck >= times) {
                continue;
            }
            if let Fault::Delay { ms, jitter } = rule.fault {
                *struck += 1;
                fate.delay_ms += ms + super::synth::scaled(mix(dice, 1), jitter + 1);
            } else if fate.fault.is_none() {
                *struck += 1;
                fate.fault = Some(rule.fault.clone());
            }
        }
        if fate.fault.is_none() {
            fate.fault = self.over_limit(call, now);
        }
        fate
    }

    /// Takes a token from each limit that the call falls under; all of them or none.
    fn over_limit(&mut self, call: &Call<'_>, now: Timestamp) -> Option<Fault> {
        let mut taken: Vec<(usize, String)> = Vec::new();
        for (number, limit) in self.faults.limits.iter().enumerate().filter(|(_, limit)| limit.api == call.api) {
            let key = match (limit.of, call.snapshot) {
                (LimitOf::Snapshot, Some(snapshot)) => format!("{}/{snapshot}", call.region),
                (LimitOf::Snapshot, None) => continue,
                (LimitOf::Account, _) => format!("{}/{}", call.account, call.region),
            };
            let burst = limit.burst.unwrap_or(limit.per_second / 10.0).max(1.0);
            let (tokens, at) = self.buckets.entry((number, key.clone())).or_insert((burst, now));
            let elapsed = (now.as_microsecond() - at.as_microsecond()).max(0) as f64 / 1e6;
            *tokens = (*tokens + elapsed * limit.per_second).min(burst);
            *at = now;
            if *tokens < 1.0 {
                let of = limit.of;
                for key in taken {
                    if let Some((tokens, _)) = self.buckets.get_mut(&key) {
                        *tokens += 1.0;
                    }
                }
                return Some(match of {
                    LimitOf::Snapshot => Fault::ThrottleSnapshot,
                    LimitOf::Account => Fault::ThrottleAccount,
                });
            }
            *tokens -= 1.0;
            taken.push((number, key));
        }
        if self.buckets.len() > BUCKETS {
            let recent = now.as_second() - 1;
            self.buckets.retain(|_, (_, at)| at.as_second() >= recent);
        }
        None
    }
}
