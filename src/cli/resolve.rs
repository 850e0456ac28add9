//! What was typed, the environment and the config, resolved once into what counts.
//!
//! The order is: address, flag, environment, config, profile. [`Resolved`] is a value of its own type, so that no
//! verb can look at a raw flag and forget the rest. Nothing is asked of AWS here; [`Resolved::open`] is the
//! step that opens the state directory and the world.

use std::path::PathBuf;

use super::args::{Everywhere, Format};
use super::say::Say;
use crate::address::Place;
use crate::aws::{Aws, Profiles, Session, Settings, Surroundings};
use crate::error::{Class, Error, Kind, Result};
use crate::ids::{Profile, Region};
use crate::plan::{Machine, RunsIn};
use crate::store::StateDir;
use crate::store::config::{Clamp, Config, Limits};
use crate::units::{Bytes, Usd};

/// Everything that counts, decided.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// How results are printed.
    pub output: Format,
    /// Where notes go.
    pub say: Say,
    /// The user's file.
    pub config: Config,
    /// Where it is, when it was named.
    pub config_file: Option<PathBuf>,
    /// The machine's file.
    pub limits: Limits,
    /// The profile where an address names none.
    pub profile: Option<Profile>,
    /// The region where an address names none.
    pub region: Option<Region>,
    /// The region that `--region` named.
    pub named_region: Option<Region>,
    /// One endpoint for everything.
    pub endpoint: Option<String>,
    /// Nothing may be changed, and who says so.
    pub read_only: Option<&'static str>,
    /// Whether the embedded AWS is used, and with which scenario.
    pub sandbox: Option<Scenario>,
    /// The state directory, when one was named.
    pub state_dir: Option<PathBuf>,
}

/// What the embedded AWS is to hold; `None` for the default.
pub type Scenario = Option<String>;

/// A world that was opened: the state directory and AWS (or the embedded one, which lives as long as this).
#[derive(Debug)]
pub struct World {
    /// Where jobs and caches of this world live.
    pub state: StateDir,
    /// AWS.
    pub aws: Aws,
    /// Keeps the embedded AWS served.
    #[cfg(feature = "sandbox")]
    pub endpoint: Option<crate::sandbox::Endpoint>,
}

impl Resolved {
    /// Resolves; `env` reads a variable (empty ones count as unset).
    ///
    /// # Errors
    /// Usage: a config or a variable that cannot be read.
    pub fn new(flags: &Everywhere, env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        let config = Config::load(flags.config.as_deref())?;
        let limits = Limits::load()?;
        Self::with(flags, env, config, limits)
    }

    fn with(flags: &Everywhere, env: impl Fn(&str) -> Option<String>, config: Config, limits: Limits) -> Result<Self> {
        let sandbox = sandbox_of(flags);
        // Keys in the environment come before the config's profile, and a named profile would pass them over.
        let keys = env("AWS_ACCESS_KEY_ID").is_some();
        let profile = match (&flags.profile, &sandbox) {
            (Some(profile), _) => Some(profile.clone()),
            // The sandbox brings its own profiles; the environment's are of another world.
            (None, Some(_)) => None,
            (None, None) => match first(&env, &["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])? {
                Some(profile) => Some(profile),
                None if keys => None,
                None => config.profile.clone(),
            },
        };
        let region = match &flags.region {
            Some(region) => Some(region.clone()),
            None if sandbox.is_some() => None,
            None => first(&env, &["AWS_REGION", "AWS_DEFAULT_REGION"])?.or_else(|| config.region.clone()),
        };
        let read_only = if flags.read_only {
            Some("--read-only")
        } else if env("FLOE_READ_ONLY")
            .is_some_and(|v| !matches!(v.to_ascii_lowercase().as_str(), "0" | "false" | "no"))
        {
            Some("FLOE_READ_ONLY")
        } else if limits.read_only {
            Some(crate::store::config::MACHINE_FILE)
        } else if config.is_read_only(profile.as_ref()) {
            Some("the config")
        } else {
            None
        };
        Ok(Self {
            output: flags.output.unwrap_or_default(),
            say: Say { quiet: flags.quiet },
            profile,
            region,
            named_region: flags.region.clone(),
            endpoint: flags.endpoint_url.clone(),
            read_only,
            sandbox,
            state_dir: flags.state_dir.clone(),
            config,
            config_file: flags.config.clone(),
            limits,
        })
    }

    /// Says what the machine's file lowered.
    pub fn tell(&self, clamps: &[Clamp]) {
        for clamp in clamps {
            self.say.warn(&clamp.to_string());
        }
    }

    /// The machine and the budget that a plan is made for: `memory` of the command, else the config's, else the
    /// default; the machine's limit holds for all three.
    ///
    /// # Errors
    /// Usage: `runs_in` is neither a region nor `outside`.
    pub fn machine(&self, runs_in: Option<&str>, memory: Option<Bytes>) -> Result<Machine> {
        let runs_in = match runs_in.or(self.config.runs_in.as_deref()) {
            Some(text) => RunsIn::parse(text).map_err(Error::usage)?,
            None => RunsIn::default(),
        };
        let mut machine = Machine::read(runs_in, memory.or(self.config.memory));
        let mut budget = machine.budget();
        let mut clamps = Vec::new();
        self.limits.clamp_memory(&mut budget, &mut clamps);
        self.tell(&clamps);
        machine.budget = Some(budget);
        Ok(machine)
    }

    /// The sum above which whole dollars are typed: the config's, else the default.
    #[must_use]
    pub fn ask_above(&self) -> Usd {
        self.config.ask_above_usd.map_or(Usd(100.0), Usd)
    }

    /// The settings of real AWS, or of a custom endpoint.
    fn settings(&self) -> Settings {
        Settings {
            profiles: Profiles::Shared,
            profile: self.profile.clone(),
            region: self.region.clone(),
            endpoint: self.endpoint.clone(),
            read_only: self.read_only.is_some(),
            surroundings: Surroundings::default(),
        }
    }

    /// Opens the state directory and the world. Must run inside a Tokio runtime.
    ///
    /// # Errors
    /// The state directory is not writable, the sandbox cannot be served, or a CA bundle or proxy cannot be used.
    pub async fn open(&self) -> Result<World> {
        let state = StateDir::open(self.state_dir.as_deref())?;
        #[cfg(feature = "sandbox")]
        if let Some(scenario) = &self.sandbox {
            return self.open_sandbox(&state, scenario.as_deref()).await;
        }
        Ok(World {
            state,
            aws: Aws::new(self.settings())?,
            #[cfg(feature = "sandbox")]
            endpoint: None,
        })
    }

    #[cfg(feature = "sandbox")]
    async fn open_sandbox(&self, state: &StateDir, scenario: Option<&str>) -> Result<World> {
        let options = crate::sandbox::Options {
            scenario: scenario.map(super::sandbox::scenario_file).transpose()?,
            ..crate::sandbox::Options::default()
        };
        let endpoint = crate::sandbox::join_or_serve(state.root(), &options).await?;
        let profiles: Vec<crate::aws::FixedProfile> = endpoint.profiles.iter().map(super::sandbox::fixed).collect();
        let first = profiles.first().map(|profile| profile.name.clone());
        let settings = Settings {
            profiles: Profiles::Fixed(profiles),
            profile: self.profile.clone().or(first),
            endpoint: Some(endpoint.url.clone()),
            ..self.settings()
        };
        Ok(World { state: state.sandbox()?, aws: Aws::new(settings)?, endpoint: Some(endpoint) })
    }
}

/// How long the answer to an error may take to become a better one.
const EXPLAIN_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

impl World {
    /// Makes a refusal of credentials, or silence, in a region that does not exist say so: AWS itself answers both
    /// alike, and a region that was never enabled has no name in DNS.
    pub async fn explain(&self, place: &Place, error: Error) -> Error {
        let suspect = matches!(error.class, Class::Credentials | Class::Transient | Class::Congestion);
        let Some(region) = place.region.as_ref().or(error.region.as_ref()).filter(|_| suspect) else { return error };
        let asked = tokio::time::timeout(EXPLAIN_WITHIN, self.aws.check_region(place.profile.as_ref(), region)).await;
        match asked {
            Ok(Err(better)) if better.kind == Kind::Usage => better,
            _ => error,
        }
    }
}

impl Resolved {
    /// The session of a place, in an account that this machine may use.
    ///
    /// # Errors
    /// As [`Aws::session`]; refused (exit 5) for an account that the machine's file does not allow.
    pub async fn session(&self, world: &World, place: &Place) -> Result<Session> {
        let session = match world.aws.session(place.profile.as_ref(), place.region.as_ref()).await {
            Ok(session) => session,
            Err(error) => return Err(world.explain(place, error).await),
        };
        if self.sandbox.is_none() {
            self.limits.check_account(session.account())?;
        }
        Ok(session)
    }
}

#[cfg(feature = "sandbox")]
fn sandbox_of(flags: &Everywhere) -> Option<Scenario> {
    (flags.sandbox || flags.scenario.is_some()).then(|| flags.scenario.clone())
}
#[cfg(not(feature = "sandbox"))]
fn sandbox_of(_: &Everywhere) -> Option<Scenario> {
    None
}

/// The first variable that is set, read as what it should be.
fn first<T: std::str::FromStr<Err = String>>(
    env: impl Fn(&str) -> Option<String>,
    names: &[&str],
) -> Result<Option<T>> {
    for name in names {
        if let Some(value) = env(name) {
            return value
                .parse()
                .map(Some)
                .map_err(|why| Error::usage(format!("{name}: {why}")).todo(format!("mend {name}, or unset it")));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(flags: &Everywhere, env: &[(&str, &str)], config: Config) -> Result<Resolved> {
        let look = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Resolved::with(flags, look, config, Limits::default())
    }
    fn text<T: ToString>(value: &Option<T>) -> Option<String> {
        value.as_ref().map(ToString::to_string)
    }

    #[test]
    fn a_flag_counts_before_the_environment_and_that_before_the_config() -> Result<()> {
        let config = || Config { profile: "conf".parse().ok(), region: "eu-west-1".parse().ok(), ..Config::default() };
        let flags =
            Everywhere { profile: "flag".parse().ok(), region: "sa-east-1".parse().ok(), ..Everywhere::default() };
        let env = [("AWS_PROFILE", "env"), ("AWS_REGION", "us-east-1"), ("AWS_DEFAULT_REGION", "us-west-2")];

        let all = resolve(&flags, &env, config())?;
        assert_eq!((text(&all.profile).as_deref(), text(&all.region).as_deref()), (Some("flag"), Some("sa-east-1")));
        let no_flags = resolve(&Everywhere::default(), &env, config())?;
        assert_eq!(
            (text(&no_flags.profile).as_deref(), text(&no_flags.region).as_deref()),
            (Some("env"), Some("us-east-1"))
        );
        let older = resolve(&Everywhere::default(), &env[2..], config())?;
        assert_eq!(
            (text(&older.profile).as_deref(), text(&older.region).as_deref()),
            (Some("conf"), Some("us-west-2"))
        );
        let keys = resolve(&Everywhere::default(), &[("AWS_ACCESS_KEY_ID", "AKIA")], config())?;
        assert_eq!((text(&keys.profile).as_deref(), text(&keys.region).as_deref()), (None, Some("eu-west-1")));
        Ok(())
    }

    #[test]
    fn a_variable_that_cannot_be_read_is_named() {
        let error =
            resolve(&Everywhere::default(), &[("AWS_REGION", "mars")], Config::default()).expect_err("no region");
        assert_eq!(error.kind.exit_code(), 2);
        assert!(error.what.contains("AWS_REGION") && error.what.contains("`mars`"), "{}", error.what);
    }

    #[test]
    fn read_only_comes_from_any_side_and_says_which() -> Result<()> {
        let of = |value| {
            resolve(&Everywhere::default(), &[("FLOE_READ_ONLY", value)], Config::default()).map(|r| r.read_only)
        };
        assert_eq!(of("1")?, Some("FLOE_READ_ONLY"));
        assert_eq!(of("please")?, Some("FLOE_READ_ONLY"));
        assert_eq!(of("0")?, None);
        let config = Config { read_only_profiles: "prod".parse().into_iter().collect(), ..Config::default() };
        assert_eq!(resolve(&Everywhere::default(), &[("AWS_PROFILE", "prod")], config)?.read_only, Some("the config"));
        Ok(())
    }

    #[cfg(feature = "sandbox")]
    #[test]
    fn the_sandbox_does_not_see_profiles_of_the_environment() -> Result<()> {
        let flags = Everywhere { sandbox: true, ..Everywhere::default() };
        let env = [("AWS_PROFILE", "real"), ("AWS_REGION", "eu-north-1")];
        let resolved = resolve(&flags, &env, Config::default())?;
        assert!(resolved.profile.is_none() && resolved.region.is_none() && resolved.sandbox.is_some());
        Ok(())
    }
}
