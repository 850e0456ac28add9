//! What every call of a session needs: where it goes, with which keys, by which clock, and what it may do.
//!
//! Invariant: a mutating call passes the gate ([`Context::allow`]) before anything is sent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_config::SdkConfig;
use aws_types::service_config::ServiceConfigKey;

use super::classify::{self, Said};
use super::clock::Clock;
use super::credentials::Keys;
use super::http::Http;
use super::session::lock;
use super::settings::WorldId;
use super::wire;
use crate::error::{Class, Error, Result};
use crate::grant::{Call, Grant};
use crate::ids::Region;
use crate::rows::Origin;

/// What every call of a session needs. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Context {
    inner: Arc<ContextInner>,
}

/// What one is made of.
#[derive(Debug)]
pub(super) struct Own {
    pub origin: Arc<Origin>,
    pub endpoint: Option<String>,
    pub world: WorldId,
    pub read_only: bool,
    pub keys: Keys,
    pub http: Http,
    /// Endpoints and options of the profile, without credentials.
    pub base: SdkConfig,
}

#[derive(Debug)]
struct ContextInner {
    own: Own,
    quotas: Mutex<HashMap<String, Option<f64>>>,
}

impl Context {
    /// Nothing was asked yet.
    pub(super) fn new(own: Own) -> Self {
        Self { inner: Arc::new(ContextInner { own, quotas: Mutex::default() }) }
    }

    pub(super) fn region(&self) -> &Region {
        &self.inner.own.origin.region
    }
    pub(super) fn origin(&self) -> &Arc<Origin> {
        &self.inner.own.origin
    }
    pub(super) fn keys(&self) -> &Keys {
        &self.inner.own.keys
    }
    pub(super) fn clock(&self) -> &Clock {
        self.inner.own.keys.clock()
    }
    pub(super) fn http(&self) -> &Http {
        &self.inner.own.http
    }

    /// What every client of this session is configured with: its region, keys and clock.
    pub(super) fn sdk(&self) -> SdkConfig {
        let mut builder = self.inner.own.base.to_builder();
        builder.set_region(Some(aws_config::Region::new(self.region().to_string())));
        builder.set_credentials_provider(Some(aws_credential_types::provider::SharedCredentialsProvider::new(
            self.inner.own.keys.clone(),
        )));
        builder.set_identity_cache(Some(aws_sdk_ebs::config::IdentityCache::no_cache()));
        builder.set_time_source(Some(aws_types::sdk_config::SharedTimeSource::new(self.clock().clone())));
        builder.build()
    }

    /// Where EBS direct is asked: the one endpoint of the settings, else the standard variables and profile keys,
    /// else the region's own.
    pub(super) async fn ebs_endpoint(&self) -> Result<String> {
        use aws_sdk_ebs::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
        let broken = |why: String| Error::usage(format!("the endpoint of EBS direct cannot be used: {why}"));
        let base = &self.inner.own.base;
        let of_service = || {
            let key = ServiceConfigKey::builder().service_id("EBS").env("AWS_ENDPOINT_URL").profile("endpoint_url");
            base.service_config()?.load_config(key.build().ok()?)
        };
        let endpoint =
            self.inner.own.endpoint.clone().or_else(of_service).or_else(|| base.endpoint_url().map(str::to_owned));
        let params = Params::builder()
            .region(self.region().as_str())
            .use_fips(base.use_fips().unwrap_or(false))
            .use_dual_stack(base.use_dual_stack().unwrap_or(false))
            .set_endpoint(endpoint)
            .build()
            .map_err(|error| broken(error.to_string()))?;
        let resolved =
            DefaultResolver::new().resolve_endpoint(&params).await.map_err(|error| broken(error.to_string()))?;
        Ok(resolved.url().trim_end_matches('/').to_owned())
    }

    /// Whether its names are those of FIPS endpoints.
    pub(super) fn uses_fips(&self) -> bool {
        self.inner.own.base.use_fips().unwrap_or(false) && self.endpoint_of("EBS").is_none()
    }

    /// Where the Recycle Bin's rules are asked for: as [`Context::ebs_endpoint`], whose names differ in the service only.
    pub(super) async fn bin_endpoint(&self) -> Result<String> {
        use aws_sdk_ebs::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
        let broken = |why: String| Error::usage(format!("the endpoint of the Recycle Bin cannot be used: {why}"));
        let base = &self.inner.own.base;
        if let Some(named) = self.endpoint_of("rbin") {
            return Ok(named.trim_end_matches('/').to_owned());
        }
        let params = Params::builder()
            .region(self.region().as_str())
            .use_fips(base.use_fips().unwrap_or(false))
            .use_dual_stack(base.use_dual_stack().unwrap_or(false))
            .build()
            .map_err(|error| broken(error.to_string()))?;
        let resolved =
            DefaultResolver::new().resolve_endpoint(&params).await.map_err(|error| broken(error.to_string()))?;
        Ok(resolved.url().trim_end_matches('/').replacen("://ebs", "://rbin", 1))
    }

    /// Where a service is asked, when not at AWS's own names: the one endpoint of the settings, else the standard
    /// variables and profile keys.
    pub(super) fn endpoint_of(&self, service: &str) -> Option<String> {
        let base = &self.inner.own.base;
        let of_service = || {
            let key = ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url");
            base.service_config()?.load_config(key.build().ok()?)
        };
        self.inner.own.endpoint.clone().or_else(of_service).or_else(|| base.endpoint_url().map(str::to_owned))
    }

    /// The gate of every mutating call: nothing is sent when it closes.
    pub(super) fn allow(&self, grant: &Grant, call: Call, resource: Option<&str>) -> Result<()> {
        if self.inner.own.read_only {
            return Err(Error::refused(format!("{} is not made: this floe is read-only", call.action()))
                .todo("start it without --read-only (FLOE_READ_ONLY)"));
        }
        let endpoint = grant.endpoint.as_deref();
        if endpoint != self.inner.own.endpoint.as_deref() && endpoint != self.inner.own.world.endpoint.as_deref() {
            return Err(Error::refused(format!(
                "{} is outside what plan {} may do: it was accepted for {}, this is {}",
                call.action(),
                grant.short_hash(),
                endpoint.unwrap_or("AWS itself"),
                self.inner.own.world.endpoint.as_deref().unwrap_or("AWS itself"),
            )));
        }
        grant.check(call, &self.inner.own.origin.account, resource)
    }

    /// The error for an answer that refused; learns the service's clock where that was the cause. When the
    /// clock was right all along, the refusal is of the credentials.
    pub(super) fn refused(&self, said: Said, date: Option<&str>, what: String) -> Error {
        let skewed = classify::classify(&said) == Class::ClockSkew;
        let mut error = self.inner.own.keys.error(said, what, self.region());
        if skewed && !date.is_some_and(|date| self.clock().learn(date)) {
            error.todo = Some(format!("{}, then try again", classify::CLOCK));
        }
        self.ended(error)
    }

    /// The same for an SDK client's error.
    pub(super) fn sdk_error<E>(&self, operation: &'static str, error: &wire::SdkError<E>, what: String) -> Error
    where
        E: aws_sdk_ebs::error::ProvideErrorMetadata + std::error::Error + 'static,
    {
        let classed = self.inner.own.keys.sdk_error(operation, error, what, self.region());
        if classed.class == Class::ClockSkew
            && let Some(date) = error.raw_response().and_then(|raw| raw.headers().get("date"))
        {
            self.clock().learn(date);
        }
        self.ended(classed)
    }

    /// EC2 has one word for a clock that is off and a session that ended: the clocks tell which.
    fn ended(&self, error: Error) -> Error {
        if error.class != Class::ClockSkew || !error.has_code("RequestExpired") || !self.clock().is_right() {
            return error;
        }
        let keys = &self.inner.own.keys;
        if self.http().skew_ms().is_none() {
            // Nobody has ever said what time it is.
            let todo = format!("{}; or, if it is right: {}", classify::CLOCK, keys.mend());
            return error.todo(todo);
        }
        keys.noticed(Error { class: Class::Credentials, ..error }.todo(keys.mend()))
    }

    /// The value in force of an `ebs` quota, live where allowed, else `None` (the caller knows the default).
    /// Asked once per session.
    pub(super) async fn quota(&self, code: &str) -> Option<f64> {
        if let Some(known) = lock(&self.inner.quotas).get(code) {
            return *known;
        }
        let value = self.ask_quota(code).await;
        lock(&self.inner.quotas).insert(code.to_owned(), value);
        value
    }

    async fn ask_quota(&self, code: &str) -> Option<f64> {
        let client = aws_sdk_servicequotas::Client::new(&self.sdk());
        let applied = client.get_service_quota().service_code("ebs").quota_code(code).send().await;
        match applied {
            Ok(answer) => answer.quota()?.value(),
            // Never changed for this account: the default is what counts.
            Err(error) if error.as_service_error().is_some_and(|e| e.is_no_such_resource_exception()) => {
                let default = client.get_aws_default_service_quota().service_code("ebs").quota_code(code).send().await;
                default.ok()?.quota()?.value()
            }
            Err(error) => {
                tracing::debug!(code, error = %wire::chain(&error), "quota not told");
                None
            }
        }
    }
}
