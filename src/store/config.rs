//! The configuration: `~/.config/floe/config.toml` of the user, `/etc/floe/config.toml` of the machine.
//!
//! A key that is not known is an error that names those that are: a misspelt `read_onyl` must not leave a door
//! open. The machine's limits clamp what the user set, and every clamp is told ([`Clamp`]), so that nobody
//! wonders why a value does not count. Read once at the start, by the command line, for itself and the deck.

use std::fmt;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::bandwidth::Bandwidth;
use crate::error::{Error, Result};
use crate::ids::{AccountId, Profile, Region};
use crate::units::{Bytes, parse_age, parse_bytes};

/// The version of both files.
pub const VERSION: u32 = 1;

/// Where the machine's limits stand. Fixed, because a limit that its user can move is none.
pub const MACHINE_FILE: &str = "/etc/floe/config.toml";

/// A commented sample with every key.
pub const SAMPLE: &str = include_str!("../../assets/config.sample.toml");

/// What the user's file says; absent keys have no opinion.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// [`VERSION`], when it is said.
    pub version: Option<u32>,
    /// The profile where nothing else names one.
    pub profile: Option<Profile>,
    /// The region where nothing else names one.
    pub region: Option<Region>,
    /// The engine's budget.
    #[serde(deserialize_with = "size")]
    pub memory: Option<Bytes>,
    /// Bytes a second of all jobs together.
    pub bandwidth: Option<Bandwidth>,
    /// Lanes of one job at most.
    pub concurrency: Option<u32>,
    /// Where floe runs: a region or `outside`.
    pub runs_in: Option<String>,
    /// Refuse every call that changes something.
    pub read_only: bool,
    /// The same for these profiles only.
    pub read_only_profiles: Vec<Profile>,
    /// The deck's palette, by its name.
    pub theme: Option<String>,
    /// Plain borders and glyphs.
    pub ascii: bool,
    /// Whether the deck explains its glyphs; absent: until the user closes it.
    pub legend: Option<bool>,
    /// A command to run on a job's events, JSON on its input.
    pub on_event: Option<String>,
    /// Dollars above which the whole dollars are typed.
    pub ask_above_usd: Option<f64>,
    /// Items that one plan removes at most.
    pub max_delete: Option<u32>,
    /// What is younger is never an orphan.
    #[serde(deserialize_with = "age")]
    pub orphan_min_age: Option<SignedDuration>,
    /// From when on the backup of a volume that is still there counts as stale.
    #[serde(deserialize_with = "age")]
    pub orphan_stale_after: Option<SignedDuration>,
    /// Tags that keep a thing: `KEY` or `KEY=VALUE`.
    pub orphan_keep_tags: Vec<String>,
    /// Accounts in which things may be orphans; none: any.
    pub orphan_accounts: Vec<AccountId>,
}

/// What the machine's file allows; absent keys limit nothing.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// [`VERSION`], when it is said.
    pub version: Option<u32>,
    /// The budget at most.
    #[serde(deserialize_with = "size")]
    pub max_memory: Option<Bytes>,
    /// Lanes of one job at most.
    pub max_lanes: Option<u32>,
    /// Nothing is changed from this machine.
    pub read_only: bool,
    /// Items that one plan removes at most.
    pub max_delete: Option<u32>,
    /// The accounts that may be used; absent: any.
    pub accounts_allowed: Option<Vec<AccountId>>,
}

/// A value that the machine's file lowered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clamp {
    /// Which setting, as it is written: `--memory`, `max_delete`.
    pub setting: &'static str,
    /// What was asked for.
    pub asked: String,
    /// What is in force.
    pub allowed: String,
}

impl fmt::Display for Clamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} is more than {MACHINE_FILE} allows: {} counts", self.setting, self.asked, self.allowed)
    }
}

/// A file format of floe's: its keys are known by name.
trait Keys: DeserializeOwned {
    const KEYS: &'static [&'static str];
    fn version(&self) -> Option<u32>;
}

impl Keys for Config {
    const KEYS: &'static [&'static str] = &[
        "version",
        "profile",
        "region",
        "memory",
        "bandwidth",
        "concurrency",
        "runs_in",
        "read_only",
        "read_only_profiles",
        "theme",
        "ascii",
        "legend",
        "on_event",
        "ask_above_usd",
        "max_delete",
        "orphan_min_age",
        "orphan_stale_after",
        "orphan_keep_tags",
        "orphan_accounts",
    ];
    fn version(&self) -> Option<u32> {
        self.version
    }
}

impl Keys for Limits {
    const KEYS: &'static [&'static str] =
        &["version", "max_memory", "max_lanes", "read_only", "max_delete", "accounts_allowed"];
    fn version(&self) -> Option<u32> {
        self.version
    }
}

impl Config {
    /// Reads the user's file: `named` (which must exist), else the default place (which need not).
    ///
    /// # Errors
    /// Usage, with the line and what was expected.
    pub fn load(named: Option<&Path>) -> Result<Self> {
        match named {
            Some(path) => read(path)?.ok_or_else(|| {
                Error::usage(format!("there is no config file {}", path.display()))
                    .todo("name one that exists, or leave --config out")
            }),
            None => match default_path() {
                Some(path) => Ok(read(&path)?.unwrap_or_default()),
                None => Ok(Self::default()),
            },
        }
    }

    /// Whether nothing may be changed with this profile.
    #[must_use]
    pub fn is_read_only(&self, profile: Option<&Profile>) -> bool {
        self.read_only || profile.is_some_and(|p| self.read_only_profiles.contains(p))
    }
}

impl Limits {
    /// Reads the machine's file; without one nothing is limited.
    ///
    /// # Errors
    /// Usage, with the line and what was expected: a limit that cannot be read is not lifted.
    pub fn load() -> Result<Self> {
        Self::load_from(Path::new(MACHINE_FILE))
    }

    /// The same from another place, for tests.
    ///
    /// # Errors
    /// As [`Limits::load`].
    pub fn load_from(path: &Path) -> Result<Self> {
        Ok(read(path)?.unwrap_or_default())
    }

    /// Lowers `asked` to the budget that is allowed.
    pub fn clamp_memory(&self, asked: &mut Bytes, clamps: &mut Vec<Clamp>) {
        if let Some(max) = self.max_memory.filter(|max| *asked > *max) {
            clamps.push(Clamp { setting: "memory", asked: asked.to_string(), allowed: max.to_string() });
            *asked = max;
        }
    }

    /// Lowers `asked` to the lanes that are allowed; with no wish the limit itself is the cap.
    pub fn clamp_lanes(&self, asked: &mut Option<u32>, clamps: &mut Vec<Clamp>) {
        let Some(max) = self.max_lanes else { return };
        if let Some(lanes) = asked.filter(|lanes| *lanes > max) {
            clamps.push(Clamp { setting: "concurrency", asked: lanes.to_string(), allowed: max.to_string() });
        }
        *asked = Some(asked.map_or(max, |lanes| lanes.min(max)));
    }

    /// The items that one plan may remove: the user's number or 100, at most the machine's.
    pub fn clamp_delete(&self, asked: Option<u32>, clamps: &mut Vec<Clamp>) -> u32 {
        let asked = asked.unwrap_or(100);
        match self.max_delete.filter(|max| asked > *max) {
            Some(max) => {
                clamps.push(Clamp { setting: "max_delete", asked: asked.to_string(), allowed: max.to_string() });
                max
            }
            None => asked,
        }
    }

    /// Refuses an account that this machine may not use.
    ///
    /// # Errors
    /// Refused (exit 5), naming the file that says so.
    pub fn check_account(&self, account: &AccountId) -> Result<()> {
        match &self.accounts_allowed {
            Some(allowed) if !allowed.contains(account) => Err(Error::refused(format!(
                "account {} may not be used from this machine: accounts_allowed in {MACHINE_FILE} does not name it",
                account.grouped()
            ))
            .todo("use a profile of an account that is named there")),
            _ => Ok(()),
        }
    }
}

/// `~/.config/floe/config.toml`, by the XDG rules; `None` without a home.
#[must_use]
pub fn default_path() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    etcetera::choose_base_strategy().ok().map(|base| base.config_dir().join("floe").join("config.toml"))
}

/// `None` when there is no such file.
fn read<T: Keys>(path: &Path) -> Result<Option<T>> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, path).map(Some),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => {
            let mut error = Error::io(format!("could not read {}", path.display()), &cause);
            error.kind = crate::error::Kind::Usage;
            Err(error)
        }
    }
}

fn parse<T: Keys>(text: &str, path: &Path) -> Result<T> {
    let known = || format!("the keys are {}", T::KEYS.join(", "));
    let at = |error: &toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Error::usage(format!("{} line {line}: {}", path.display(), error.message().trim()))
    };
    let table: toml::Table = toml::from_str(text).map_err(|e| at(&e).todo("mend that line, or comment it out"))?;
    if let Some(key) = table.keys().find(|key| !T::KEYS.contains(&key.as_str())) {
        let line = text.lines().position(|line| line.trim_start().starts_with(key.as_str())).map_or(1, |at| at + 1);
        return Err(Error::usage(format!("{} line {line}: `{key}` is not a key", path.display())).todo(known()));
    }
    let value: T = toml::from_str(text).map_err(|e| at(&e).todo(known()))?;
    match value.version() {
        None | Some(VERSION) => Ok(value),
        Some(other) => {
            Err(Error::usage(format!("{} has version {other}, and this floe reads version {VERSION}", path.display()))
                .todo("use the floe that it was written for"))
        }
    }
}

/// A size as people write it, or a plain number of bytes.
fn size<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Bytes>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Text(String),
        Number(u64),
    }
    match Size::deserialize(from)? {
        Size::Text(text) => parse_bytes(&text).map(Some).map_err(serde::de::Error::custom),
        Size::Number(bytes) => Ok(Some(Bytes(bytes))),
    }
}

/// An age as people write it: `7d`.
fn age<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<SignedDuration>, D::Error> {
    let text = String::deserialize(from)?;
    let wrong = || serde::de::Error::custom(format!("`{text}` is not an age; write it like 7d (m h d w y)"));
    parse_age(&text).map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> Result<Config> {
        parse(text, Path::new("config.toml"))
    }
    fn machine(text: &str) -> Result<Limits> {
        parse(text, Path::new("/etc/floe/config.toml"))
    }

    #[test]
    fn the_sample_reads_with_and_without_its_comments_and_shows_every_key() -> Result<()> {
        assert_eq!(user(SAMPLE)?, Config { version: Some(1), ..Config::default() });
        let set: String = SAMPLE
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|l| l.contains(" = ")).unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        let config = user(&set)?;
        assert_eq!(config.memory, Some(Bytes::mib(256)));
        assert_eq!(config.legend, Some(true));
        for key in Config::KEYS {
            assert!(set.lines().any(|line| line.starts_with(&format!("{key} = "))), "the sample leaves out {key}");
        }
        Ok(())
    }

    #[test]
    fn an_unknown_key_names_the_known_ones() {
        let error = user("version = 1\nread_onyl = true\n").expect_err("a misspelt key");
        assert_eq!(error.kind.exit_code(), 2);
        assert_eq!(error.what, "config.toml line 2: `read_onyl` is not a key");
        assert!(error.todo.is_some_and(|t| t.contains("read_only") && t.contains("on_event")));
        let error = machine("max_memroy = \"1GiB\"\n").expect_err("a misspelt limit");
        assert!(error.todo.is_some_and(|t| t.contains("accounts_allowed")));
    }

    #[test]
    fn wrong_values_and_versions_say_where() {
        let error = user("memory = \"lots\"\n").expect_err("no size");
        assert!(error.what.contains("line 1") && error.what.contains("`lots` is not a size"), "{}", error.what);
        let error = user("\n\nregion = \"mars\"\n").expect_err("no region");
        assert!(error.what.contains("line 3") && error.what.contains("`mars`"), "{}", error.what);
        assert!(user("version = 2\n").is_err_and(|e| e.what.contains("version 2")));
        assert!(user("version = ").is_err_and(|e| e.what.contains("line 1")));
        assert!(Config::load(Some(Path::new("/nonexistent/floe.toml"))).is_err_and(|e| e.kind.exit_code() == 2));
    }

    #[test]
    fn the_machine_clamps_and_says_so() -> Result<()> {
        let limits =
            machine("max_memory = \"1GiB\"\nmax_lanes = 16\nmax_delete = 10\naccounts_allowed = [\"123456789012\"]\n")?;
        let mut clamps = Vec::new();
        let (mut memory, mut lanes, mut none) = (Bytes::gib(4), Some(64), None);
        limits.clamp_memory(&mut memory, &mut clamps);
        limits.clamp_lanes(&mut lanes, &mut clamps);
        limits.clamp_lanes(&mut none, &mut clamps);
        assert_eq!((memory, lanes, none), (Bytes::gib(1), Some(16), Some(16)));
        assert_eq!(limits.clamp_delete(None, &mut clamps), 10);
        let told: Vec<String> = clamps.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "memory 4 GiB is more than /etc/floe/config.toml allows: 1 GiB counts",
                "concurrency 64 is more than /etc/floe/config.toml allows: 16 counts",
                "max_delete 100 is more than /etc/floe/config.toml allows: 10 counts",
            ]
        );
        let account = |t: &str| t.parse::<AccountId>().map_err(Error::usage);
        assert!(limits.check_account(&account("123456789012")?).is_ok());
        assert!(limits.check_account(&account("210987654321")?).is_err_and(|e| e.kind.exit_code() == 5));
        Ok(())
    }

    #[test]
    fn read_only_may_be_of_single_profiles() -> Result<()> {
        let config = user("read_only_profiles = [\"prod\"]\n")?;
        let profile = |t: &str| t.parse::<Profile>().map_err(Error::usage);
        assert!(config.is_read_only(Some(&profile("prod")?)));
        assert!(!config.is_read_only(Some(&profile("dev")?)));
        assert!(!config.is_read_only(None));
        Ok(())
    }
}
