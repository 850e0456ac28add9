//! Sessions: who we are, where, and over which HTTP client.
//!
//! One [`Aws`] per world, one identity per profile (its keys, pinned to the account that STS named), one
//! [`Session`] per (profile, region). All of them are made once and kept; nothing is sent before it is needed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::context::{Context, Own};
use super::credentials::{Keys, ShellSlot, Source};
use super::http::{CONNECT_TIMEOUT, Http};
use super::profiles::{self, Files, ProfilesVersion};
use super::settings::{FixedProfile, Introduction, ProfileInfo, Profiles, Settings, ShellKeys, WorldId};
use super::surroundings::{Endpoints, Shell, Surroundings};
use super::{Ebs, Ec2, S3};
use crate::error::{Class, Error, Result};
use crate::ids::{AccountId, Profile, Region};
use crate::rows::{Origin, RegionRow};

/// Control-plane calls: one attempt may take this long (a page of 1,000 rows takes seconds), and this many are made:
/// describes of many regions at once are throttled now and then.
const CONTROL_ATTEMPTS: u32 = 5;
const CONTROL_ATTEMPT: Duration = Duration::from_secs(30);

/// One world. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Aws {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    http: Http,
    /// The keys of the shell that this world is seen from.
    shell: ShellSlot,
    /// Endpoints by profile: as captured elsewhere, or as the SDK resolved them here.
    endpoints: Mutex<BTreeMap<String, Endpoints>>,
    /// Whether this process's own environment counts: not in an engine that serves other shells.
    own: bool,
    identities: Mutex<HashMap<Option<Profile>, Arc<OnceCell<Identity>>>>,
    sessions: Mutex<HashMap<(Option<Profile>, Region), Session>>,
}

/// One profile: its keys, its account, and what its part of the config says of endpoints.
#[derive(Debug, Clone)]
struct Identity {
    keys: Keys,
    base: SdkConfig,
    account: AccountId,
    partition: String,
    regions: Arc<OnceCell<Arc<Vec<RegionRow>>>>,
}

impl Aws {
    /// Builds the shared HTTP client (proxy and roots from the environment). Nothing is sent.
    ///
    /// # Errors
    /// A CA bundle or proxy setting that cannot be used.
    pub fn new(settings: Settings) -> Result<Self> {
        let keys = ShellKeys::of_process(|name| std::env::var(name).ok());
        Self::open(settings, keys, true)
    }

    /// The world that a front sees, opened in another process: nothing of this process's environment counts.
    ///
    /// # Errors
    /// As [`Aws::new`].
    pub fn introduced(introduction: Introduction) -> Result<Self> {
        Self::open(introduction.settings, introduction.keys, false)
    }

    fn open(settings: Settings, keys: Option<ShellKeys>, own: bool) -> Result<Self> {
        let inner = Inner {
            http: Http::new(&settings)?,
            shell: ShellSlot::new(keys),
            endpoints: Mutex::new(settings.surroundings.endpoints.clone()),
            own,
            identities: Mutex::default(),
            sessions: Mutex::default(),
            settings,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What another process needs to open this world; `None` for a sandbox, which no other process sees so. Keys of
    /// the shell are in it where they were used here, or where `keys` wants them tried.
    pub async fn introduction(&self, keys: bool) -> Option<Introduction> {
        if matches!(self.inner.settings.profiles, Profiles::Fixed(_)) {
            return None;
        }
        let held = self.inner.shell.get();
        let unnamed = self.inner.settings.profile.is_none();
        if keys && unnamed && held.is_some() {
            // Whether they are good is found out here; if not, the engine goes on with what it has.
            let _ = self.session(None, self.home_region(None).as_ref()).await;
        }
        let account = lock(&self.inner.identities).get(&None).and_then(|cell| cell.get().map(|id| id.account.clone()));
        let keys = held.filter(|_| account.is_some());
        let mut settings = self.inner.settings.clone();
        settings.surroundings.endpoints.clone_from(&lock(&self.inner.endpoints));
        settings.surroundings.shell = if keys.is_some() { Shell::Keys(account) } else { Shell::NoKeys };
        Some(Introduction { settings, keys })
    }

    /// Hands over fresh keys of a shell; they are used once those in hand are refused or end.
    pub fn hand(&self, keys: &ShellKeys) {
        self.inner.shell.set(keys.clone());
    }

    /// The id of the shell's key that is held, for tests.
    #[cfg(test)]
    pub(crate) fn shell_key_id(&self) -> Option<String> {
        self.inner.shell.get().map(|keys| keys.access_key_id)
    }

    /// The settings it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    fn surroundings(&self) -> &Surroundings {
        &self.inner.settings.surroundings
    }

    fn files(&self) -> Files {
        Files::read(self.surroundings())
    }

    /// How far AWS's clock was ahead of this machine's at the last answer, in milliseconds; none before the first.
    #[must_use]
    pub fn clock_skew_ms(&self) -> Option<i64> {
        self.inner.http.skew_ms()
    }

    /// What jobs record of it.
    #[must_use]
    pub fn world(&self) -> WorldId {
        let settings = &self.inner.settings;
        let endpoint = match settings.profiles {
            Profiles::Fixed(_) => Some(WorldId::SANDBOX.to_owned()),
            Profiles::Shared => settings.endpoint.clone().or_else(|| settings.surroundings.endpoint.clone()),
        };
        let region = self.seed_region(self.resolve_profile(None).as_ref());
        let partition = region.map_or("aws", |region| region.partition()).to_owned();
        WorldId { endpoint, partition }
    }

    /// Every profile that could be used, without any network.
    #[must_use]
    pub fn profiles(&self) -> Vec<ProfileInfo> {
        match &self.inner.settings.profiles {
            Profiles::Shared => self.files().infos(crate::wall::now(), self.surroundings()),
            Profiles::Fixed(fixed) => fixed.iter().map(FixedProfile::info).collect(),
        }
    }

    /// Changes when the files behind [`Aws::profiles`] do: three `stat` calls.
    #[must_use]
    pub fn profiles_version(&self) -> ProfilesVersion {
        match self.inner.settings.profiles {
            Profiles::Shared => profiles::version(self.surroundings()),
            Profiles::Fixed(_) => ProfilesVersion::default(),
        }
    }

    /// The profile that counts where an address names none; in the sandbox the first of the scenario.
    #[must_use]
    pub fn resolve_profile(&self, named: Option<&Profile>) -> Option<Profile> {
        let settings = &self.inner.settings;
        named.or(settings.profile.as_ref()).cloned().or_else(|| match &settings.profiles {
            Profiles::Fixed(fixed) => fixed.first().map(|profile| profile.name.clone()),
            Profiles::Shared => None,
        })
    }

    /// The region that counts for a profile where an address names none: flag, environment, profile.
    #[must_use]
    pub fn seed_region(&self, profile: Option<&Profile>) -> Option<Region> {
        let settings = &self.inner.settings;
        if let Profiles::Fixed(fixed) = &settings.profiles {
            let of_profile = fixed.iter().find(|fixed| Some(&fixed.name) == profile).map(|fixed| fixed.region.clone());
            return settings.region.clone().or(of_profile);
        }
        settings.region.clone().or_else(|| settings.surroundings.region.clone()).or_else(|| {
            let named = settings.surroundings.profile.as_deref();
            self.files().region(profile.map(Profile::as_str).or(named).unwrap_or("default"))
        })
    }

    /// The session of a profile in a region (defaults from the settings), its account named by STS once
    /// and pinned. Cached: the same pair gives the same session.
    ///
    /// # Errors
    /// Usage for an unknown profile or no region; [`crate::error::Class::Credentials`] for missing or ended credentials.
    pub async fn session(&self, profile: Option<&Profile>, region: Option<&Region>) -> Result<Session> {
        let profile = self.resolve_profile(profile);
        let source = self.source(profile.as_ref())?;
        let region = region.cloned().or_else(|| self.seed_region(profile.as_ref())).ok_or_else(|| {
            Error::usage("no region is known").todo("name one: REGION:… in the address, --region, AWS_REGION")
        })?;
        let key = (profile.clone(), region.clone());
        if let Some(session) = lock(&self.inner.sessions).get(&key) {
            return Ok(session.clone());
        }
        let cell = Arc::clone(lock(&self.inner.identities).entry(profile.clone()).or_default());
        // Once a profile, and deep below whoever asks: it has its own place rather than a part of every caller's stack.
        let identity = cell.get_or_try_init(|| Box::pin(self.identify(profile.as_ref(), source, &region))).await?;
        let session = self.session_of(profile, region, identity).await?;
        Ok(lock(&self.inner.sessions).entry(key).or_insert(session).clone())
    }

    /// The regions of a profile's account, asked once.
    ///
    /// # Errors
    /// Those of [`Aws::session`]; and as classified.
    pub async fn regions(&self, profile: Option<&Profile>) -> Result<Arc<Vec<RegionRow>>> {
        let session = self.session(profile, self.home_region(profile).as_ref()).await?;
        let profile = self.resolve_profile(profile);
        let cell =
            lock(&self.inner.identities).get(&profile).and_then(|cell| cell.get().map(|known| known.regions.clone()));
        let cell = cell.unwrap_or_default();
        cell.get_or_try_init(|| async { session.ec2().regions().await.map(Arc::new) }).await.map(Arc::clone)
    }

    /// Where the account as a whole is asked: the seed region, else the first of the commercial partition.
    #[must_use]
    pub fn home_region(&self, profile: Option<&Profile>) -> Option<Region> {
        let profile = self.resolve_profile(profile);
        self.seed_region(profile.as_ref()).or_else(|| "us-east-1".parse().ok())
    }

    /// Whether the account has that region; an account that may not list its regions has them all.
    ///
    /// # Errors
    /// Usage, with the regions that exist or how to enable this one.
    pub async fn check_region(&self, profile: Option<&Profile>, region: &Region) -> Result<()> {
        let rows = match self.regions(profile).await {
            Ok(rows) => rows,
            Err(error) if error.aws.is_some() && error.class == Class::Permanent => return Ok(()),
            Err(error) => return Err(error),
        };
        match rows.iter().find(|row| row.name == *region) {
            Some(row) if row.is_enabled() => Ok(()),
            Some(_) => Err(Error::usage(format!("the account has not enabled {region}"))
                .todo(format!("aws account enable-region --region-name {region}, or choose another"))),
            None => {
                let names: Vec<&str> =
                    rows.iter().filter(|row| row.is_enabled()).map(|row| row.name.as_str()).collect();
                Err(Error::usage(format!("there is no region {region}"))
                    .todo(format!("the regions are {}", names.join(", "))))
            }
        }
    }

    /// Where a profile's keys come from; an unknown name is refused with the names that exist.
    fn source(&self, profile: Option<&Profile>) -> Result<Source> {
        let unknown = |profile: &Profile, names: &[String]| {
            let error = Error::usage(format!("there is no profile {profile}"));
            if names.is_empty() {
                error.todo("no profiles are configured: aws configure sso, or aws configure")
            } else {
                error.todo(format!("the profiles are {}", names.join(", ")))
            }
        };
        match (&self.inner.settings.profiles, profile) {
            (Profiles::Shared, None) if self.surroundings().shell != Shell::NoKeys => {
                Ok(Source::Shell(self.inner.shell.clone()))
            }
            // Another shell's default profile is in its files; this process's environment would name others. A role is
            // assumed where the settings say, which the chain does not know.
            (Profiles::Shared, None) if self.takes_default() => {
                "default".parse().map(Source::Named).map_err(Error::failed)
            }
            (Profiles::Shared, None) => match &self.surroundings().web_identity {
                Some(web) if !self.files().has_keys("default") => Ok(Source::Token(web.clone())),
                _ => Ok(Source::Chain),
            },
            (Profiles::Shared, Some(profile)) => {
                let files = self.files();
                if files.has(profile) {
                    Ok(Source::Named(profile.clone()))
                } else {
                    Err(unknown(profile, &files.names()))
                }
            }
            (Profiles::Fixed(_), None) => Err(Error::failed("the sandbox's scenario has no profile")),
            (Profiles::Fixed(fixed), Some(profile)) => {
                let found = fixed.iter().find(|fixed| fixed.name == *profile).cloned();
                let names: Vec<String> = fixed.iter().map(|fixed| fixed.name.to_string()).collect();
                found.map(Source::Fixed).ok_or_else(|| unknown(profile, &names))
            }
        }
    }

    fn takes_default(&self) -> bool {
        let files = self.files();
        files.roles("default").is_some() || (!self.inner.own && files.has_keys("default"))
    }

    async fn identify(&self, profile: Option<&Profile>, source: Source, region: &Region) -> Result<Identity> {
        let seed = self.seed_region(profile).unwrap_or_else(|| region.clone());
        let base = self.base_config(profile, &seed).await?;
        let around = (self.surroundings().clone(), self.inner.own);
        let keys = Keys::new(source, seed, self.inner.http.clone(), base.clone(), around);
        let caller = keys.pin().await?;
        Ok(Identity { keys, base, account: caller.account, partition: caller.partition, regions: Arc::default() })
    }

    /// Endpoints and options of a profile, without any credentials.
    async fn base_config(&self, profile: Option<&Profile>, seed: &Region) -> Result<SdkConfig> {
        let settings = &self.inner.settings;
        let mut builder = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(self.inner.http.sdk())
            .region(aws_config::Region::new(seed.to_string()))
            .retry_config(RetryConfig::standard().with_max_attempts(CONTROL_ATTEMPTS))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_attempt_timeout(CONTROL_ATTEMPT)
                    .build(),
            );
        match settings.profiles {
            // A sandbox reads neither ~/.aws nor the environment, not even for endpoints.
            Profiles::Fixed(_) => builder.set_endpoint_url(settings.endpoint.clone()),
            Profiles::Shared => {
                self.endpoints(profile).await?.apply(&mut builder, settings.endpoint.as_deref());
                &mut builder
            }
        };
        Ok(builder.build())
    }

    /// The endpoints of a profile: as they came with the settings, else as the SDK resolves them from this
    /// process's environment and files.
    async fn endpoints(&self, profile: Option<&Profile>) -> Result<Endpoints> {
        let name = profile.map_or("", Profile::as_str);
        if let Some(known) = lock(&self.inner.endpoints).get(name) {
            return Ok(known.clone());
        }
        if !self.inner.own {
            return Ok(Endpoints::default());
        }
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(self.inner.http.sdk())
            .region(aws_config::Region::new("us-east-1"))
            .no_credentials();
        if let Some(profile) = profile {
            loader = loader.profile_name(profile.as_str());
        }
        let endpoints = Endpoints::of(&loader.load().await)?;
        lock(&self.inner.endpoints).insert(name.to_owned(), endpoints.clone());
        Ok(endpoints)
    }

    async fn session_of(&self, profile: Option<Profile>, region: Region, identity: &Identity) -> Result<Session> {
        if region.partition() != identity.partition && self.inner.settings.endpoint.is_none() {
            return Err(Error::usage(format!(
                "{region} is in partition {}; {} belongs to {}",
                region.partition(),
                profile.as_ref().map_or_else(|| "these credentials".to_owned(), |name| format!("profile {name}")),
                identity.partition
            ))
            .todo("name a profile of that partition: PROFILE@REGION:…"));
        }
        let context = Context::new(Own {
            origin: Arc::new(Origin { profile: profile.clone(), account: identity.account.clone(), region }),
            endpoint: self.inner.settings.endpoint.clone(),
            world: self.world(),
            read_only: self.inner.settings.read_only,
            keys: identity.keys.clone(),
            http: self.inner.http.clone(),
            base: identity.base.clone(),
        });
        let (ebs, ec2) = (Ebs::new(context.clone()).await?, Ec2::new(context.clone()));
        Ok(Session { inner: Arc::new(SessionInner { s3: S3::new(context.clone()), context, ebs, ec2 }) })
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One profile in one region, pinned to its account. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Session {
    inner: Arc<SessionInner>,
}

#[derive(Debug)]
struct SessionInner {
    context: Context,
    ebs: Ebs,
    ec2: Ec2,
    s3: S3,
}

impl Session {
    /// Where rows of this session come from.
    #[must_use]
    pub fn origin(&self) -> &Arc<Origin> {
        self.inner.context.origin()
    }
    /// The profile, when one was named.
    #[must_use]
    pub fn profile(&self) -> Option<&Profile> {
        self.origin().profile.as_ref()
    }
    /// The region.
    #[must_use]
    pub fn region(&self) -> &Region {
        self.inner.context.region()
    }
    /// The account that STS named.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.origin().account
    }
    /// The time as AWS has it, as far as this machine's clock was ever refused: what is held against times that AWS tells.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::try_from(self.inner.context.clock().now()).unwrap_or_else(|_| crate::wall::now())
    }
    /// The EBS direct APIs here.
    #[must_use]
    pub fn ebs(&self) -> &Ebs {
        &self.inner.ebs
    }
    /// EC2 here.
    #[must_use]
    pub fn ec2(&self) -> &Ec2 {
        &self.inner.ec2
    }
    /// S3 here.
    #[must_use]
    pub fn s3(&self) -> &S3 {
        &self.inner.s3
    }
    /// The rules of the Recycle Bin here, by which what is deleted is kept.
    ///
    /// # Errors
    /// As classified.
    pub async fn bin_rules(&self, keeps: super::bin::Keeps) -> Result<Vec<crate::rows::BinRule>> {
        super::bin::rules(&self.inner.context, keeps).await
    }
    /// What people call the account; none where it has no alias.
    ///
    /// # Errors
    /// As classified: whoever shows it goes by the number then.
    pub async fn account_alias(&self) -> Result<Option<String>> {
        super::aliases::alias(&self.inner.context).await
    }
    /// When the credentials that are held now end, if they do.
    #[must_use]
    pub fn credentials_end(&self) -> Option<Timestamp> {
        self.inner.context.keys().end().and_then(|end| Timestamp::try_from(end).ok())
    }
    /// Whether there are good credentials now: what a job that waits for them asks from time to time. Reads
    /// the files again and checks that the account is still the same.
    ///
    /// # Errors
    /// [`crate::error::Class::Credentials`] with the command that mends them.
    pub async fn check_credentials(&self) -> Result<()> {
        self.inner.context.keys().get().await.map(|_| ())
    }
    /// Everything of a service's price list that these filters leave, `(field, value)`.
    ///
    /// # Errors
    /// As classified, after the retries that its class allows; in a partition that has no price list.
    pub async fn products(&self, service: &str, filters: &[(&str, &str)]) -> Result<Vec<super::Product>> {
        super::pricing::products(&self.inner.context, service, filters).await
    }
    /// Whether AWS's FIPS endpoints are asked; an endpoint of the settings is whatever it is.
    #[must_use]
    pub fn uses_fips(&self) -> bool {
        self.inner.context.uses_fips()
    }
    /// What snapshots were billed in the thirty days before `today`, by region: each call costs [`super::BILL_REQUEST`].
    ///
    /// # Errors
    /// As classified; without `ce:GetCostAndUsage`, and where Cost Explorer has nothing yet.
    pub async fn billed(&self, today: jiff::civil::Date) -> Result<super::Billed> {
        super::costs::billed(&self.inner.context, today).await
    }
    /// The value in force of an `ebs` quota, live where allowed, else `None` (the caller knows the default).
    /// Asked once per session.
    pub async fn quota(&self, code: &str) -> Option<f64> {
        self.inner.context.quota(code).await
    }
}
