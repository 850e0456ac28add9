//! A scenario file into a model: accounts and regions first, then what lies in them.
//!
//! Names are how the parts of a file refer to each other; the [`Builder`] remembers what each name became until the
//! model is whole, and answers a name that it does not know with a sentence that says where it stood.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};

use super::chance::Chance;
use super::format::{AccountSpec, Age, BinSpec, Place, RegionSpec, Scenario, VERSION};
use crate::ids::{AccountId, ImageId, InstanceId, Region, SnapshotId, VolumeId};
use crate::sandbox::model::{
    AccessKey, Account, BinRule, Encryption, Model, RegionState, Session, Settings, Share, Snapshot,
};

/// Snapshots in one scenario: more would not fit the memory that a sandbox may take.
const MAX_SNAPSHOTS: usize = 500_000;

pub type Result<T> = std::result::Result<T, String>;

/// A name in a place: `prod@us-east-1` and `web-root`.
type Named = (AccountId, Region, String);

/// The model so far, and what the names in the file stand for.
pub struct Builder<'s> {
    pub scenario: &'s Scenario,
    /// The hour in which it is now: ages count from here, so that processes that start within an hour (one serves,
    /// the others join, each reads the scenario) agree on all times.
    pub now: Timestamp,
    pub model: Model,
    accounts: BTreeMap<&'s str, AccountId>,
    /// Snapshots of a volume, newest first.
    series: HashMap<Named, Vec<SnapshotId>>,
    /// What is attached to an instance: device and volume.
    pub attached: HashMap<Named, Vec<(String, VolumeId)>>,
    pub images: HashMap<Named, ImageId>,
    made: usize,
}

/// A place of the file that exists.
#[derive(Debug, Clone)]
pub struct Spot {
    pub account: AccountId,
    pub region: Region,
    /// Everything made up there grows from here.
    pub chance: Chance,
}

/// The model that `scenario` describes at `now`.
pub fn model(scenario: &Scenario, now: Timestamp) -> Result<Model> {
    if scenario.version != VERSION {
        return Err(format!("its format is version {}, this build reads version {VERSION}", scenario.version));
    }
    let hour = now.as_second().rem_euclid(3600);
    let hour = Timestamp::from_second(now.as_second() - hour).unwrap_or(now);
    let mut builder = Builder {
        scenario,
        now: hour,
        model: Model::default(),
        accounts: scenario.account.iter().map(|spec| (spec.name(), spec.id.clone())).collect(),
        series: HashMap::new(),
        attached: HashMap::new(),
        images: HashMap::new(),
        made: 0,
    };
    if builder.accounts.len() != scenario.account.len() {
        return Err("two accounts have the same name".to_owned());
    }
    for spec in &scenario.account {
        builder.account(spec, now)?;
    }
    for spec in &scenario.region {
        builder.regions(spec)?;
    }
    for spec in &scenario.volume {
        builder.volumes(spec).map_err(|why| format!("volume {}: {why}", spec.name))?;
    }
    for spec in &scenario.copy {
        builder.copies(spec).map_err(|why| format!("copy of {}: {why}", spec.of))?;
    }
    for spec in &scenario.image {
        builder.images(spec).map_err(|why| format!("image {}: {why}", spec.name))?;
    }
    for spec in &scenario.template {
        builder.template(spec).map_err(|why| format!("template {}: {why}", spec.name))?;
    }
    for spec in &scenario.instance {
        builder.instances(spec).map_err(|why| format!("instance {}: {why}", spec.name))?;
    }
    for spec in &scenario.bucket {
        builder.bucket(spec).map_err(|why| format!("bucket {}: {why}", spec.name))?;
    }
    match builder.attached.keys().next() {
        Some((_, _, name)) => Err(format!("a volume is attached to {name}, but there is no instance of that name")),
        None => Ok(builder.model),
    }
}

impl<'s> Builder<'s> {
    fn account(&mut self, spec: &AccountSpec, now: Timestamp) -> Result<()> {
        let key = match (&spec.profile, spec.session_ends) {
            (None, _) => None,
            (Some(_), ends) => Some(access_key(Chance::new(self.scenario.seed).of(spec.id.as_str()), ends, now)),
        };
        let account = Account {
            id: spec.id.clone(),
            alias: spec.alias.clone(),
            profile: spec.profile.as_deref().map(str::parse).transpose()?,
            home: spec.home.clone(),
            user: spec.user.clone(),
            keys: key.into_iter().collect(),
            regions: BTreeMap::new(),
        };
        match self.model.accounts.insert(spec.id.clone(), account) {
            None => Ok(()),
            Some(twice) => Err(format!("account {} is there twice", twice.id)),
        }
    }

    fn regions(&mut self, spec: &RegionSpec) -> Result<()> {
        for name in &spec.accounts {
            let id = self.account_id(name)?;
            let mut region = RegionState::new(spec.name.clone(), spec.opt_in);
            region.zones = spec.zones.chars().collect();
            region.settings = Settings {
                encrypt_by_default: spec.encrypt_by_default,
                default_key_arn: spec.default_key.as_deref().map(|key| self.key_arn(&id, &spec.name, key)),
                public_sharing: spec.public_sharing,
                denied: spec.denied,
                latency_ms: spec.latency_ms,
                quotas: spec.quotas.clone(),
                bin_rules: self.bin_rules(&id, spec),
            };
            let account = self.model.accounts.get_mut(&id).ok_or_else(|| format!("no account {id}"))?;
            if account.regions.insert(spec.name.clone(), region).is_some() {
                return Err(format!("{name} has the region {} twice", spec.name));
            }
        }
        Ok(())
    }

    fn bin_rules(&self, account: &AccountId, spec: &RegionSpec) -> Vec<BinRule> {
        const ID: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let chance = Chance::new(self.scenario.seed).of(account.as_str()).of(spec.name.as_str()).of("bin");
        let tags = |tags: &BTreeMap<String, String>| {
            tags.iter()
                .map(|(key, value)| (key.clone(), Some(value.clone()).filter(|value| !value.is_empty())))
                .collect()
        };
        let rule = |(n, rule): (usize, &BinSpec)| BinRule {
            id: chance.of(&n.to_string()).letters(ID, 11),
            keeps: rule.keeps,
            days: rule.days,
            description: rule.description.clone(),
            tags: tags(&rule.tags),
            except: tags(&rule.except),
        };
        spec.bin.iter().enumerate().map(rule).collect()
    }

    pub fn account_id(&self, name: &str) -> Result<AccountId> {
        self.accounts.get(name).cloned().ok_or_else(|| format!("there is no account called {name}"))
    }

    /// The place, checked.
    pub fn spot(&self, place: &Place) -> Result<Spot> {
        let account = self.account_id(&place.account)?;
        let Place { account: name, region } = place;
        if self.model.region(&account, region).is_none() {
            return Err(format!("{name} has no region {region}"));
        }
        let chance = Chance::new(self.scenario.seed).of(account.as_str()).of(region.as_str());
        Ok(Spot { account, region: region.clone(), chance })
    }

    pub fn region(&mut self, spot: &Spot) -> Result<&mut RegionState> {
        self.model.region_mut(&spot.account, &spot.region).ok_or_else(|| format!("no region {}", spot.region))
    }

    /// The ARN of the key that the file calls `name`.
    pub fn key_arn(&self, account: &AccountId, region: &Region, name: &str) -> String {
        let id = Chance::new(self.scenario.seed).of(account.as_str()).of(region.as_str()).of("key").of(name).uuid();
        format!("arn:{}:kms:{region}:{account}:key/{id}", region.partition())
    }

    /// Encrypted with the key called `key`; `chance` decides the data key, one per lineage.
    pub fn encryption(&self, spot: &Spot, key: Option<&str>, chance: Chance) -> Option<Encryption> {
        let key_arn = self.key_arn(&spot.account, &spot.region, key?);
        Some(Encryption { key_arn, data_key_id: chance.of("data key").uuid() })
    }

    pub fn shares(&self, names: &[String]) -> Result<Vec<Share>> {
        let share = |name: &String| match name.as_str() {
            "all" => Ok(Share::All),
            name => self.account_id(name).map(Share::Account),
        };
        names.iter().map(share).collect()
    }

    /// Puts a snapshot where it belongs.
    pub fn keep(&mut self, spot: &Spot, snapshot: Snapshot) -> Result<()> {
        self.made += 1;
        if self.made > MAX_SNAPSHOTS {
            return Err(format!("more than {MAX_SNAPSHOTS} snapshots"));
        }
        match self.region(spot)?.snapshots.insert(snapshot.id.clone(), snapshot) {
            None => Ok(()),
            Some(twice) => Err(format!("{} is there twice", twice.id)),
        }
    }

    /// Remembers a volume's snapshots under its name.
    pub fn remember(&mut self, spot: &Spot, name: &str, newest_first: Vec<SnapshotId>) -> Result<()> {
        match self.series.insert(named(spot, name), newest_first) {
            None => Ok(()),
            Some(_) => Err(format!("two volumes called {name} in one place")),
        }
    }

    /// The `n`th newest snapshot of a volume.
    pub fn nth(&self, spot: &Spot, volume: &str, n: u32) -> Result<SnapshotId> {
        let series = self.series.get(&named(spot, volume));
        let series = series.ok_or_else(|| format!("there is no volume called {volume} in {}", spot.region))?;
        let missing = || format!("{volume} has {} snapshots, number {n} is asked for", series.len());
        series.get(n as usize).cloned().ok_or_else(missing)
    }

    /// `span` before now.
    pub fn ago(&self, span: SignedDuration) -> Timestamp {
        self.now.saturating_sub(span).unwrap_or(self.now)
    }
}

/// The key under which names are remembered.
pub fn named(spot: &Spot, name: &str) -> Named {
    (spot.account.clone(), spot.region.clone(), name.to_owned())
}

/// The id of the instance with this name: known before the instance is made.
pub fn instance_id(spot: &Spot, name: &str) -> Result<InstanceId> {
    spot.chance.of("instance").of(name).id("i").parse()
}

/// `{n}` and `{word}` in a name.
pub fn expand(name: &str, n: u32, chance: Chance) -> String {
    name.replace("{n}", &n.to_string()).replace("{word}", chance.of("word").word())
}

fn access_key(chance: Chance, ends: Option<Age>, now: Timestamp) -> AccessKey {
    const ID: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    const SECRET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let prefix = if ends.is_some() { "ASIA" } else { "AKIA" };
    AccessKey {
        id: format!("{prefix}{}", chance.of("key id").letters(ID, 16)),
        secret: chance.of("secret").letters(SECRET, 40),
        session: ends.map(|Age(span)| Session {
            token: chance.of("session").letters(SECRET, 180),
            expires: now.saturating_add(span).unwrap_or(now),
        }),
    }
}
