//! What of a front's environment counts for AWS: files, roots, proxy, endpoints. Captured once, without a secret.
//!
//! The background engine serves fronts of many shells. Its own environment is that of whoever started it, so it
//! is never asked: a front captures its own, sends it along, and a job keeps it. A front works from its own
//! capture as well, so there is one path.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use hyper_util::client::proxy::matcher::Matcher;
use serde::{Deserialize, Serialize};

use super::profiles::WebIdentity;
use crate::error::{Error, Result};
use crate::ids::{AccountId, Region};

/// The services that floe asks, as their endpoint variables name them (`AWS_ENDPOINT_URL_…`).
const SERVICES: [&str; 7] = ["EBS", "EC2", "STS", "S3", "Service Quotas", "Pricing", "Cost Explorer"];

/// A front's surroundings. Equal ones are one world for the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surroundings {
    /// Where the home directory is: `~/.aws` and the sign-in cache.
    pub home: PathBuf,
    /// `AWS_CONFIG_FILE`, or its default.
    pub config_file: PathBuf,
    /// `AWS_SHARED_CREDENTIALS_FILE`, or its default.
    pub credentials_file: PathBuf,
    /// `AWS_PROFILE`, for what a profile's part of the config says where none is named.
    pub profile: Option<String>,
    /// `AWS_REGION`, `AWS_DEFAULT_REGION`.
    pub region: Option<Region>,
    /// `AWS_CA_BUNDLE`, absolute.
    pub ca_bundle: Option<PathBuf>,
    /// The proxy variables.
    pub proxy: Proxy,
    /// `AWS_ENDPOINT_URL_EBS`, `AWS_ENDPOINT_URL`: an endpoint for everything makes another world of it.
    pub endpoint: Option<String>,
    /// Endpoints by profile (`""` where none is named), as the SDK resolved them in the front.
    pub endpoints: BTreeMap<String, Endpoints>,
    /// Whether the shell that it was captured in has keys of its own, and of which account once that is known.
    pub shell: Shell,
    /// `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`: where a pod's keys come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_identity: Option<WebIdentity>,
}

/// Keys in the environment: they come before everything but a named profile, and only their shell has them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shell {
    /// There are none.
    #[default]
    NoKeys,
    /// There are, of this account once STS named it.
    Keys(Option<AccountId>),
}

/// The proxy variables as they were set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Proxy {
    https: Option<String>,
    http: Option<String>,
    all: Option<String>,
    no: Option<String>,
}

/// Where one profile's services are asked, when not at AWS's own names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Endpoints {
    /// `AWS_ENDPOINT_URL` or the profile's `endpoint_url`.
    all: Option<String>,
    /// `AWS_ENDPOINT_URL_EBS` and its like, or the profile's `services` section.
    services: BTreeMap<String, String>,
    fips: bool,
    dual_stack: bool,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self::of_process(|name| std::env::var(name).ok())
    }
}

impl Surroundings {
    /// Captures what the variables say; endpoints are added as profiles are used.
    #[must_use]
    pub fn of_process(env: impl Fn(&str) -> Option<String>) -> Self {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        let home = env("HOME").map(PathBuf::from).unwrap_or_default();
        let file = |variable: &str, default: &str| {
            env(variable).map_or_else(|| home.join(".aws").join(default), |path| expand(Path::new(&path), &home))
        };
        let either = |upper: &str, lower: &str| env(upper).or_else(|| env(lower));
        Self {
            config_file: file("AWS_CONFIG_FILE", "config"),
            credentials_file: file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
            profile: env("AWS_PROFILE"),
            region: ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| env(name)?.parse().ok()),
            ca_bundle: env("AWS_CA_BUNDLE").map(|path| std::path::absolute(&path).unwrap_or_else(|_| path.into())),
            proxy: Proxy {
                https: either("HTTPS_PROXY", "https_proxy"),
                // Set by a web server for its children, `HTTP_PROXY` is a client's header: not to be believed.
                http: env("http_proxy").or_else(|| env("HTTP_PROXY").filter(|_| env("REQUEST_METHOD").is_none())),
                all: either("ALL_PROXY", "all_proxy"),
                no: either("NO_PROXY", "no_proxy"),
            },
            endpoint: env("AWS_ENDPOINT_URL_EBS")
                .or_else(|| env("AWS_ENDPOINT_URL"))
                .filter(|_| env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_none_or(|v| !v.eq_ignore_ascii_case("true"))),
            endpoints: BTreeMap::new(),
            web_identity: env("AWS_WEB_IDENTITY_TOKEN_FILE").zip(env("AWS_ROLE_ARN")).map(|(file, role_arn)| {
                WebIdentity {
                    role_arn,
                    token_file: expand(Path::new(&file), &home),
                    session: env("AWS_ROLE_SESSION_NAME"),
                }
            }),
            shell: if env("AWS_ACCESS_KEY_ID").is_some() { Shell::Keys(None) } else { Shell::NoKeys },
            home,
        }
    }

    /// The same as a job keeps it: a proxy's password stays with the fronts.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        let bare = |url: &Option<String>| url.as_deref().map(without_userinfo);
        let proxy = Proxy {
            https: bare(&self.proxy.https),
            http: bare(&self.proxy.http),
            all: bare(&self.proxy.all),
            no: self.proxy.no.clone(),
        };
        Self { proxy, ..self.clone() }
    }
}

impl Proxy {
    /// For a client that asks `https://` addresses, or a custom endpoint.
    ///
    /// # Errors
    /// Usage: a variable does not hold a URL.
    pub(super) fn config(&self, endpoint: Option<&str>) -> Result<ProxyConfig> {
        let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
        let (name, url) = match (plain, &self.https, &self.http, &self.all) {
            (false, Some(url), ..) => ("HTTPS_PROXY", url),
            (true, _, Some(url), _) => ("HTTP_PROXY", url),
            (.., Some(url)) => ("ALL_PROXY", url),
            _ => return Ok(ProxyConfig::disabled()),
        };
        let full = with_scheme(url);
        let made = if plain { ProxyConfig::http(full.as_str()) } else { ProxyConfig::https(full.as_str()) };
        let shown = without_userinfo(url);
        let made = made.map_err(|error| Error::usage(format!("{name} cannot be used: `{shown}`: {error}")))?;
        Ok(match &self.no {
            Some(rules) => made.no_proxy(rules),
            None => made,
        })
    }

    /// What stands before `https://` addresses, for connections that floe opens itself.
    pub(super) fn matcher(&self) -> Matcher {
        let url = self.https.as_ref().or(self.all.as_ref()).map(|url| with_scheme(url)).unwrap_or_default();
        Matcher::builder().https(url).no(self.no.clone().unwrap_or_default()).build()
    }
}

/// As every tool takes it: without a scheme it is an HTTP proxy.
fn with_scheme(proxy: &str) -> String {
    if proxy.contains("://") { proxy.to_owned() } else { format!("http://{proxy}") }
}

impl Endpoints {
    /// Takes what the SDK resolved from the environment and the profile.
    ///
    /// # Errors
    /// Usage: an endpoint is no URL.
    pub(super) fn of(config: &aws_types::SdkConfig) -> Result<Self> {
        let of_service = |id: &&str| {
            let key = ServiceConfigKey::builder().service_id(id).env("AWS_ENDPOINT_URL").profile("endpoint_url");
            let url = config.service_config()?.load_config(key.build().ok()?)?;
            Some(((*id).to_owned(), url))
        };
        let endpoints = Self {
            all: config.endpoint_url().map(str::to_owned),
            services: SERVICES.iter().filter_map(of_service).collect(),
            fips: config.use_fips().unwrap_or(false),
            dual_stack: config.use_dual_stack().unwrap_or(false),
        };
        match endpoints.services.values().chain(&endpoints.all).find(|url| url.parse::<http::Uri>().is_err()) {
            Some(url) => Err(Error::usage(format!("the endpoint `{url}` is no URL"))
                .todo("mend AWS_ENDPOINT_URL… or the profile's endpoint_url")),
            None => Ok(endpoints),
        }
    }

    /// Sets them; `named` is the one endpoint of a flag, which counts before all of them.
    pub(super) fn apply(&self, builder: &mut aws_types::sdk_config::Builder, named: Option<&str>) {
        builder.set_endpoint_url(named.map(str::to_owned).or_else(|| self.all.clone()));
        builder.set_use_fips(Some(self.fips));
        builder.set_use_dual_stack(Some(self.dual_stack));
        if named.is_none() {
            builder.set_service_config(Some(ByService(self.services.clone())));
        }
    }
}

#[derive(Debug)]
struct ByService(BTreeMap<String, String>);

impl LoadServiceConfig for ByService {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        (key.env() == "AWS_ENDPOINT_URL").then(|| self.0.get(key.service_id()).cloned()).flatten()
    }
}

fn expand(path: &Path, home: &Path) -> PathBuf {
    let path = path.strip_prefix("~").map_or_else(|_| path.to_owned(), |rest| home.join(rest));
    std::path::absolute(&path).unwrap_or(path)
}

/// `http://user:password@proxy:3128` without what stands before the `@`.
fn without_userinfo(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(env: &[(&str, &str)]) -> Surroundings {
        Surroundings::of_process(|name| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn they_hold_no_secret_and_equal_ones_are_one_world() {
        let shell = [
            ("HOME", "/home/ops"),
            ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "verysecret"),
            ("AWS_SESSION_TOKEN", "tokensecret"),
            ("HTTPS_PROXY", "http://me:proxysecret@proxy:3128"),
            ("AWS_CONFIG_FILE", "~/other/config"),
        ];
        let here = with(&shell);
        assert_eq!(here.shell, Shell::Keys(None));
        assert_eq!(here.config_file, Path::new("/home/ops/other/config"));
        let kept = serde_json::to_string(&here.without_secrets()).expect("json");
        for secret in ["verysecret", "tokensecret", "proxysecret", "AKIAEXAMPLE"] {
            assert!(!kept.contains(secret), "{kept}");
        }
        assert!(kept.contains("http://proxy:3128"), "{kept}");
        assert_eq!(with(&shell), here);
        let read: Surroundings = serde_json::from_str(&kept).expect("reads back");
        assert_eq!(read, here.without_secrets());
    }

    #[test]
    fn the_proxy_follows_the_scheme_of_what_is_asked() {
        let both = with(&[("HTTPS_PROXY", "http://far:1"), ("HTTP_PROXY", "near:2"), ("NO_PROXY", "localhost")]);
        let shown = |endpoint| format!("{:?}", both.proxy.config(endpoint).expect("a proxy"));
        assert!(shown(None).contains("far") && shown(Some("https://x")).contains("far"), "{}", shown(None));
        assert!(shown(Some("http://x")).contains("near"));
        assert!(with(&[]).proxy.config(None).expect("none").is_disabled());
        let error = with(&[("HTTPS_PROXY", "ftp://me:secret@x")]).proxy.config(None).expect_err("no proxy");
        assert!(error.what.contains("HTTPS_PROXY") && !error.what.contains("secret"), "{}", error.what);
    }
}
