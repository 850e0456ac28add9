//! Keys of one profile: resolved by the SDK, kept while they are valid, pinned to one account.
//!
//! A *named* profile is resolved by itself, never by the default chain, which would prefer keys that happen to
//! be in the environment. Files are read again at every renewal, so that a fresh sign-in is found without a
//! restart; keys that turn out to belong to another account are refused, whoever signed in meanwhile.
//!
//! Whether keys have ended is for AWS to say: by our clock, which may be set while a job runs, they only *seem* to, and
//! then newer ones are asked for. When there are none, those in hand are used until they are refused.

mod roles;

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_types::SdkConfig;

use super::classify::{self, Said};
use super::clock::Clock;
use super::http::Http;
use super::profiles::{Files, WebIdentity};
use super::settings::{FixedProfile, ShellKeys};
use super::surroundings::{Shell, Surroundings};
use super::wire;
use crate::error::{Class, Error, Result};
use crate::ids::{AccountId, Profile, Region};

/// Renewed this long before their end, so that a request signed now is still good when it arrives.
const MARGIN: Duration = Duration::from_secs(60);
/// Refused keys are not asked for again within this time: 256 lanes must not stampede a sign-in service.
const RENEWAL_PAUSE: Duration = Duration::from_secs(2);
/// Keys that came with their end behind them are asked for again after so long: with a clock that is a day ahead all of
/// them do, and a role is not assumed anew every two seconds for that.
const ENDED_PAUSE: Duration = Duration::from_secs(60);
/// A sign-in service or a credential program that is silent for longer is an error, not a wait.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(30);
/// A good answer is late by seconds under load, never by minutes: so far off it is our clock. AWS bears five.
const SURELY_OFF_MILLIS: u64 = 4 * 60_000;
/// Instance metadata answers within a hop or not at all.
const METADATA_DEADLINE: Duration = Duration::from_secs(1);

/// Where the keys come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A profile of the shared files, by itself.
    Named(Profile),
    /// No profile was named, and the shell has keys of its own.
    Shell(ShellSlot),
    /// No profile was named: the token of a file, as pods have it.
    Token(WebIdentity),
    /// No profile was named: default profile, container, instance.
    Chain,
    /// The sandbox's own.
    Fixed(FixedProfile),
}

/// Where keys of a shell are kept, in memory only: a front fills it from its environment, an engine with what fronts
/// hand over. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct ShellSlot(Arc<RwLock<Option<ShellKeys>>>);

impl ShellSlot {
    pub(super) fn new(keys: Option<ShellKeys>) -> Self {
        Self(Arc::new(RwLock::new(keys)))
    }
    pub(super) fn get(&self) -> Option<ShellKeys> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    pub(super) fn set(&self, keys: ShellKeys) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(keys);
    }
}

/// Who keys belong to.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) account: AccountId,
    /// The partition of its ARN.
    pub(super) partition: String,
}

/// The keys of one profile. Cheap to clone; clones share what is cached.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    source: Source,
    seed: Region,
    http: Http,
    /// Without credentials: what STS is asked with.
    base: SdkConfig,
    surroundings: Surroundings,
    /// Whether these surroundings are this process's own.
    own: bool,
    /// The clock that everything with these keys is signed by.
    clock: Clock,
    held: RwLock<Option<Held>>,
    /// One renewal at a time.
    renewing: tokio::sync::Mutex<()>,
    pinned: OnceLock<AccountId>,
}

#[derive(Debug, Clone)]
struct Held {
    credentials: Credentials,
    since: Instant,
    refused: bool,
    /// Ended by our clock when they came: either that is wrong, or nobody has better ones. AWS decides.
    ended: bool,
}

impl Held {
    fn new(credentials: Credentials, now: SystemTime) -> Self {
        let ended = !lives(&credentials, now);
        Self { credentials, since: Instant::now(), refused: false, ended }
    }

    /// `now` by a clock that may be set, `passed` by one that nobody sets.
    fn is_good_at(&self, now: SystemTime, passed: Duration) -> bool {
        let lives = lives(&self.credentials, now) || (self.ended && passed < ENDED_PAUSE);
        (lives && !self.refused) || passed < RENEWAL_PAUSE
    }
}

fn lives(credentials: &Credentials, now: SystemTime) -> bool {
    credentials.expiry().is_none_or(|end| end > now.checked_add(MARGIN).unwrap_or(now))
}

impl Keys {
    /// Those of a profile; `own` where the surroundings are those of this process.
    pub(super) fn new(
        source: Source,
        seed: Region,
        http: Http,
        base: SdkConfig,
        (surroundings, own): (Surroundings, bool),
    ) -> Self {
        let inner = Inner {
            source,
            seed,
            http,
            base,
            surroundings,
            own,
            clock: Clock::default(),
            held: RwLock::new(None),
            renewing: tokio::sync::Mutex::new(()),
            pinned: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Keys that are good now; on the hot path a read lock and a reference count.
    ///
    /// # Errors
    /// [`Class::Credentials`] with the command that mends them; refused when they are another account's.
    pub(super) async fn get(&self) -> Result<Credentials> {
        if let Some(credentials) = self.good() {
            return Ok(credentials);
        }
        let _one = self.inner.renewing.lock().await;
        if let Some(credentials) = self.good() {
            return Ok(credentials);
        }
        let credentials = match Box::pin(self.resolve_by_right_clock()).await {
            Ok(credentials) => credentials,
            Err(error) => return self.still().ok_or(error),
        };
        self.check_account(&credentials).await?;
        let held = Held::new(credentials.clone(), self.inner.clock.now());
        *self.inner.held.write().unwrap_or_else(PoisonError::into_inner) = Some(held);
        Ok(credentials)
    }

    fn good(&self) -> Option<Credentials> {
        let held = self.inner.held.read().unwrap_or_else(PoisonError::into_inner);
        let (held, now) = (held.as_ref()?, self.inner.clock.now());
        held.is_good_at(now, held.since.elapsed()).then(|| held.credentials.clone())
    }

    /// Those in hand, for another while, where nobody but our clock says that they have ended: it may have been set.
    fn still(&self) -> Option<Credentials> {
        let mut held = self.inner.held.write().unwrap_or_else(PoisonError::into_inner);
        let held = held.as_mut().filter(|held| !held.refused)?;
        (held.ended, held.since) = (true, Instant::now());
        Some(held.credentials.clone())
    }

    /// The clock that everything with these keys is signed by: clones share what it learns.
    pub(super) fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// AWS refused them: the next [`Keys::get`] reads the files again.
    pub(super) fn refused(&self) {
        if let Some(held) = self.inner.held.write().unwrap_or_else(PoisonError::into_inner).as_mut() {
            held.refused = true;
        }
    }

    /// When the keys that are held now end; `None` for keys without an end, or none yet.
    pub(super) fn end(&self) -> Option<SystemTime> {
        self.inner.held.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.credentials.expiry()
    }

    /// Who the keys belong to, told by STS; from now on they must stay that account's.
    pub(super) async fn pin(&self) -> Result<Caller> {
        let credentials = self.get().await?;
        let caller = self.identify(credentials).await?;
        let pinned = self.inner.pinned.get_or_init(|| caller.account.clone());
        if *pinned != caller.account {
            return Err(self.other_account(pinned, &caller.account));
        }
        let said = match (&self.inner.source, &self.inner.surroundings.shell) {
            (Source::Fixed(fixed), _) => Some(&fixed.account),
            (Source::Shell(_), Shell::Keys(account)) => account.as_ref(),
            _ => None,
        };
        match said.filter(|account| **account != caller.account) {
            Some(account) => Err(self.other_account(account, &caller.account)),
            None => Ok(caller),
        }
    }

    async fn check_account(&self, credentials: &Credentials) -> Result<()> {
        let Some(pinned) = self.inner.pinned.get() else { return Ok(()) };
        let same_key = {
            let held = self.inner.held.read().unwrap_or_else(PoisonError::into_inner);
            held.as_ref().is_some_and(|held| held.credentials.access_key_id() == credentials.access_key_id())
        };
        if same_key {
            return Ok(());
        }
        let caller = self.identify(credentials.clone()).await?;
        if caller.account == *pinned { Ok(()) } else { Err(self.other_account(pinned, &caller.account)) }
    }

    fn other_account(&self, pinned: &AccountId, now: &AccountId) -> Error {
        Error::refused(format!(
            "{} belongs to account {} now; this work was begun in account {}",
            self.name(),
            now.grouped(),
            pinned.grouped()
        ))
        .todo("sign in to the first account again; work in the other one is started anew")
    }

    async fn identify(&self, credentials: Credentials) -> Result<Caller> {
        match Box::pin(self.ask_who(credentials.clone())).await {
            Err(error) if error.class == Class::ClockSkew && self.learn() => Box::pin(self.ask_who(credentials)).await,
            // STS's client puts itself right between its tries, and tells nobody: the next service would refuse us.
            told => told.inspect(|_| {
                if self.inner.http.skew_ms().is_some_and(|ahead| ahead.unsigned_abs() >= SURELY_OFF_MILLIS) {
                    self.learn();
                }
            }),
        }
    }

    /// Puts our clock right by the answer that came last, which was refused.
    fn learn(&self) -> bool {
        self.inner.http.skew_ms().is_some_and(|ahead| self.inner.clock.is_ahead_by(ahead))
    }

    /// STS where this profile's calls go, by these keys or by none.
    fn sts(&self, credentials: Option<Credentials>) -> aws_sdk_sts::Client {
        let config = aws_sdk_sts::config::Builder::from(&self.inner.base)
            .region(aws_sdk_sts::config::Region::new(self.inner.seed.to_string()))
            .identity_cache(aws_sdk_sts::config::IdentityCache::no_cache())
            .time_source(self.inner.clock.clone());
        let config = match credentials {
            Some(credentials) => config.credentials_provider(credentials),
            None => config,
        };
        aws_sdk_sts::Client::from_conf(config.build())
    }

    async fn ask_who(&self, credentials: Credentials) -> Result<Caller> {
        let what = || format!("could not learn which account {} belongs to", self.name());
        let answer = self.sts(Some(credentials)).get_caller_identity().send().await.map_err(|error| {
            wire::sdk_error("sts:GetCallerIdentity", &error, what(), &self.inner.seed, &|| self.mend())
        })?;
        let account = answer.account().and_then(|account| account.parse().ok()).ok_or_else(|| Error::failed(what()))?;
        let partition = answer.arn().and_then(|arn| arn.split(':').nth(1)).unwrap_or("aws").to_owned();
        Ok(Caller { account, partition })
    }

    /// As [`Keys::resolve`]; when a role could not be assumed because our clock is off, it is put right and tried again.
    async fn resolve_by_right_clock(&self) -> Result<Credentials> {
        match self.resolve().await {
            Err(_) if self.learn() => self.resolve().await,
            resolved => resolved,
        }
    }

    async fn resolve(&self) -> Result<Credentials> {
        let resolving = async {
            match &self.inner.source {
                Source::Fixed(fixed) => Ok(Credentials::new(
                    &fixed.access_key_id,
                    &fixed.secret_access_key,
                    fixed.session_token.clone(),
                    None,
                    "floe-sandbox",
                )),
                Source::Shell(slot) => match slot.get() {
                    Some(keys) => Ok(Credentials::new(
                        keys.access_key_id,
                        keys.secret_access_key,
                        keys.session_token,
                        keys.expires.map(SystemTime::from),
                        "shell",
                    )),
                    None => Err(self.missing(&CredentialsError::not_loaded("the shell that has the keys is not here"))),
                },
                Source::Named(profile) => self.of_profile(profile).await,
                Source::Token(web) => self.by_token(web).await,
                Source::Chain => self.of_chain().await.map_err(|error| self.missing(&error)),
            }
        };
        match tokio::time::timeout(RESOLVE_DEADLINE, resolving).await {
            Ok(resolved) => resolved,
            Err(_) => Err(Error::classed(
                Class::Credentials,
                format!("{} gave no credentials within {} s", self.name(), RESOLVE_DEADLINE.as_secs()),
            )
            .todo(self.mend())
            .of_profile(self.profile())),
        }
    }

    /// The default chain; of another process's surroundings without the environment, which is not theirs.
    async fn of_chain(&self) -> std::result::Result<Credentials, CredentialsError> {
        let metadata = aws_config::imds::Client::builder()
            .configure(&self.provider_config())
            .max_attempts(1)
            .connect_timeout(METADATA_DEADLINE)
            .read_timeout(METADATA_DEADLINE)
            .build();
        if !self.inner.own {
            let config = self.provider_config();
            let container = aws_config::ecs::EcsCredentialsProvider::builder().configure(&config).build();
            let instance = ImdsCredentialsProvider::builder().configure(&config).imds_client(metadata).build();
            let chain = CredentialsProviderChain::first_try("EcsContainer", container);
            return chain.or_else("Ec2InstanceMetadata", instance).provide_credentials().await;
        }
        let chain = DefaultCredentialsChain::builder()
            .configure(self.provider_config())
            .region(aws_types::region::Region::new(self.inner.seed.to_string()))
            .imds_client(metadata)
            .build()
            .await;
        chain.provide_credentials().await
    }

    fn provider_config(&self) -> ProviderConfig {
        ProviderConfig::without_region()
            .with_http_client(self.inner.http.sdk())
            .with_time_source(self.inner.clock.clone())
            .with_region(Some(aws_types::region::Region::new(self.inner.seed.to_string())))
    }

    fn missing(&self, cause: &CredentialsError) -> Error {
        let why = match cause {
            CredentialsError::CredentialsNotLoaded(_) if matches!(self.inner.source, Source::Chain) => {
                "there are no credentials: no keys in the environment, no default profile, no instance role".to_owned()
            }
            other => format!("{} gave no credentials: {}", self.name(), wire::chain(other)),
        };
        Error::classed(Class::Credentials, why).todo(self.mend()).of_profile(self.profile())
    }

    /// `profile prod`, or what stands in for a name.
    fn name(&self) -> String {
        match &self.inner.source {
            Source::Named(profile) => format!("profile {profile}"),
            Source::Fixed(fixed) => format!("profile {}", fixed.name),
            Source::Shell(_) => "the shell's keys".to_owned(),
            Source::Token(_) => "the web identity".to_owned(),
            Source::Chain => "the default credentials".to_owned(),
        }
    }

    /// The command that gives fresh ones.
    pub(super) fn mend(&self) -> String {
        match &self.inner.source {
            Source::Named(profile) => Files::read(&self.inner.surroundings).mend(profile.as_str()),
            Source::Fixed(_) => "start the sandbox again".to_owned(),
            Source::Token(web) => format!("look at {} and at the trust of {}", web.token_file.display(), web.role_arn),
            Source::Shell(_) => {
                "export fresh AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN".to_owned()
            }
            Source::Chain => {
                let files = Files::read(&self.inner.surroundings);
                match files.names().first() {
                    Some(name) if name != "default" => {
                        format!("name a profile: --profile {}", files.names().join(" | --profile "))
                    }
                    Some(name) => files.mend(name),
                    None => {
                        "aws configure sso, or aws configure; or try it without an account: floe --sandbox".to_owned()
                    }
                }
            }
        }
    }

    /// The error for an answer of a service, with the command that mends these keys where they are the cause.
    pub(super) fn error(&self, said: Said, what: String, region: &Region) -> Error {
        self.noticed(classify::error(said, what, region, &|| self.mend()))
    }

    /// The same for an error of an SDK client.
    pub(super) fn sdk_error<E>(
        &self,
        operation: &'static str,
        error: &wire::SdkError<E>,
        what: String,
        region: &Region,
    ) -> Error
    where
        E: aws_sdk_ebs::error::ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.noticed(wire::sdk_error(operation, error, what, region, &|| self.mend()))
    }

    /// What was said of these keys: whoever waits for others says whose.
    pub(super) fn noticed(&self, error: Error) -> Error {
        if error.class != Class::Credentials {
            return error;
        }
        self.refused();
        error.of_profile(self.profile())
    }

    fn profile(&self) -> Option<&Profile> {
        match &self.inner.source {
            Source::Named(profile) => Some(profile),
            Source::Fixed(fixed) => Some(&fixed.name),
            Source::Shell(_) | Source::Token(_) | Source::Chain => None,
        }
    }
}

impl ProvideCredentials for Keys {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { self.get().await.map_err(CredentialsError::provider_error) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of an hour, looked at by clocks that are right, a day ahead and a day behind when they come, and by those that
    /// jump afterwards.
    #[test]
    fn a_clock_that_is_off_neither_ends_keys_for_good_nor_asks_for_them_without_end() {
        let (hour, day, seconds) = (Duration::from_secs(3_600), Duration::from_secs(86_400), Duration::from_secs);
        let real = crate::wall::system();
        let keys = || Credentials::new("a", "b", None, Some(real + hour), "test");
        let right = Held::new(keys(), real);
        assert!(right.is_good_at(real + seconds(1_800), seconds(1_800)));
        assert!(!right.is_good_at(real + hour, hour), "renewed before they end");
        assert!(!right.is_good_at(real + day, seconds(10)), "a clock that jumps ahead asks once for newer ones …");
        let ahead = Held::new(keys(), real + day);
        assert!(ahead.is_good_at(real + day + seconds(50), seconds(50)), "… and then not for every request");
        assert!(!ahead.is_good_at(real + day + seconds(61), seconds(61)));
        assert!(ahead.is_good_at(real + seconds(120), seconds(120)), "put right, they count as long as they live");
        let behind = Held::new(keys(), real - day);
        assert!(behind.is_good_at(real - day + hour, hour), "AWS says when they have ended:");
        let refused = |held: Held| Held { refused: true, ..held };
        assert!(!refused(behind).is_good_at(real - day + hour, hour));
        assert!(!refused(ahead).is_good_at(real + day + seconds(10), seconds(10)), "a refusal counts at once");
        let for_good = Held::new(Credentials::new("a", "b", None, None, "test"), real + day);
        assert!(for_good.is_good_at(real - day, seconds(1)) && for_good.is_good_at(real + day + day, day));
    }
}
