//! The profiles of the shared config files, read without any network: names, kinds, regions, and whether they
//! could be used right now.
//!
//! This reader only describes; keys are resolved by the SDK (`credentials.rs`), so a file that it cannot
//! describe is never a reason to refuse. Called by the start page, the pickers and the errors that list names.

mod roles;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;

pub use self::roles::WebIdentity;
pub(super) use self::roles::{Role, Roles, without_role};
use super::settings::{ProfileInfo, ProfileKind};
use super::surroundings::{Shell, Surroundings};
use crate::ids::{AccountId, Profile, Region};

type Section = BTreeMap<String, String>;

/// What the two files hold, merged as the AWS CLI merges them.
#[derive(Debug, Default)]
pub(super) struct Files {
    profiles: BTreeMap<String, Section>,
    sso_sessions: BTreeMap<String, Section>,
    sso_cache: PathBuf,
}

/// The files' state, to notice a change cheaply: equal values mean that nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfilesVersion(Vec<(PathBuf, Option<SystemTime>)>);

/// The version now: two `stat` calls and one of the sign-in cache.
pub(super) fn version(around: &Surroundings) -> ProfilesVersion {
    let watched = vec![around.config_file.clone(), around.credentials_file.clone(), around.home.join(".aws/sso/cache")];
    let modified = |path: &PathBuf| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    ProfilesVersion(watched.into_iter().map(|path| (path.clone(), modified(&path))).collect())
}

impl Files {
    /// Reads them; a missing file is an empty one.
    pub(super) fn read(around: &Surroundings) -> Self {
        let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let cache = around.home.join(".aws/sso/cache");
        Self::parse(&text(&around.config_file), &text(&around.credentials_file), cache)
    }

    fn parse(config: &str, credentials: &str, sso_cache: PathBuf) -> Self {
        let mut files = Self { sso_cache, ..Self::default() };
        for (head, section) in sections(config) {
            match (named(&head, true), head.split_whitespace().nth(1)) {
                (Some(name), _) => files.profiles.entry(name).or_default().extend(section),
                (None, Some(name)) if head.starts_with("sso-session") => {
                    files.sso_sessions.entry(name.to_owned()).or_default().extend(section);
                }
                _ => {}
            }
        }
        // Keys in the credentials file win over the same keys in the config file.
        for (head, section) in sections(credentials) {
            files.profiles.entry(head).or_default().extend(section);
        }
        files
    }

    /// Whether the files know the profile.
    pub(super) fn has(&self, profile: &Profile) -> bool {
        self.profiles.contains_key(profile.as_str())
    }

    /// Whether the profile has a source of credentials.
    pub(super) fn has_keys(&self, profile: &str) -> bool {
        self.kind(profile) != ProfileKind::None
    }

    /// All names, `default` first.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.profiles.keys().cloned().collect();
        names.sort_by_key(|name| (name != "default", name.clone()));
        names
    }

    /// The region that a profile names, its source profile's where it names none.
    pub(super) fn region(&self, profile: &str) -> Option<Region> {
        let section = self.profiles.get(profile)?;
        section.get("region").and_then(|region| region.parse().ok())
    }

    /// The command that would give a profile fresh credentials.
    pub(super) fn mend(&self, profile: &str) -> String {
        let flag = if profile == "default" { String::new() } else { format!(" --profile {profile}") };
        match self.kind(profile) {
            ProfileKind::Sso => format!("aws sso login{flag}"),
            ProfileKind::Login => {
                format!("aws login{flag} && eval \"$(aws configure export-credentials{flag} --format env)\"")
            }
            ProfileKind::Role => self
                .source_of(profile)
                .filter(|source| source != profile)
                .map_or_else(|| format!("aws sts get-caller-identity{flag}"), |source| self.mend(&source)),
            ProfileKind::Keys | ProfileKind::None => format!("aws configure{flag}"),
            _ => format!("aws sts get-caller-identity{flag}"),
        }
    }

    fn source_of(&self, profile: &str) -> Option<String> {
        self.profiles.get(profile)?.get("source_profile").cloned()
    }

    fn kind(&self, profile: &str) -> ProfileKind {
        let Some(section) = self.profiles.get(profile) else { return ProfileKind::None };
        let has = |key: &str| section.contains_key(key);
        if has("role_arn") && has("web_identity_token_file") {
            ProfileKind::WebIdentity
        } else if has("role_arn") {
            ProfileKind::Role
        } else if has("login_session") {
            ProfileKind::Login
        } else if has("sso_session") || has("sso_start_url") {
            ProfileKind::Sso
        } else if has("aws_access_key_id") {
            ProfileKind::Keys
        } else if has("credential_process") {
            ProfileKind::Process
        } else {
            ProfileKind::None
        }
    }

    /// Every profile as the pickers show it, keys in the environment first.
    pub(super) fn infos(&self, now: Timestamp, around: &Surroundings) -> Vec<ProfileInfo> {
        let from_environment = (around.shell != Shell::NoKeys).then(|| ProfileInfo {
            name: None,
            kind: ProfileKind::Environment,
            region: around.region.clone(),
            account: None,
            state: "keys in the environment".to_owned(),
            usable: true,
            mend: None,
        });
        from_environment.into_iter().chain(self.names().into_iter().filter_map(|name| self.info(&name, now))).collect()
    }

    fn info(&self, name: &str, now: Timestamp) -> Option<ProfileInfo> {
        let kind = self.kind(name);
        let (state, usable) = self.state(name, now, 0);
        Some(ProfileInfo {
            name: Some(name.parse().ok()?),
            kind,
            region: self.region(name).or_else(|| self.region(&self.source_of(name)?)),
            account: self.account(name),
            mend: (!usable).then(|| self.mend(name)),
            state,
            usable,
        })
    }

    /// The account where the file names one: an SSO account, a role's or a sign-in's ARN.
    fn account(&self, name: &str) -> Option<AccountId> {
        let section = self.profiles.get(name)?;
        let of_arn = |key: &str| section.get(key).and_then(|arn| arn.split(':').nth(4)).map(str::to_owned);
        section
            .get("sso_account_id")
            .or_else(|| section.get("aws_account_id"))
            .cloned()
            .or_else(|| of_arn("role_arn"))
            .or_else(|| of_arn("login_session"))
            .and_then(|account| account.parse().ok())
    }

    /// What is known of it without asking anybody. `depth` bounds circles of source profiles.
    fn state(&self, name: &str, now: Timestamp, depth: u8) -> (String, bool) {
        match self.kind(name) {
            ProfileKind::Keys => ("keys".to_owned(), true),
            ProfileKind::Process => ("asks a program".to_owned(), true),
            ProfileKind::WebIdentity => ("web identity".to_owned(), true),
            // The SDK reads these only with a feature that is off here; the aws CLI hands their keys out.
            ProfileKind::Login => ("aws login: through the aws CLI".to_owned(), false),
            ProfileKind::Sso => self.sso_state(name, now),
            ProfileKind::Role => match self.source_of(name) {
                Some(source) if depth < 4 && source != name => {
                    let (state, usable) = self.state(&source, now, depth + 1);
                    (format!("role by {source}: {state}"), usable)
                }
                Some(_) => ("role".to_owned(), true),
                None => ("role by the machine it runs on".to_owned(), true),
            },
            _ => ("no credentials".to_owned(), false),
        }
    }

    /// The cached sign-in: its file is found by what it says (start URL or session), not by its hashed name.
    fn sso_state(&self, name: &str, now: Timestamp) -> (String, bool) {
        let needed = ("sign-in needed".to_owned(), false);
        let Some(section) = self.profiles.get(name) else { return needed };
        let session = section.get("sso_session").and_then(|session| self.sso_sessions.get(session));
        let url = session.and_then(|session| session.get("sso_start_url")).or_else(|| section.get("sso_start_url"));
        let Some(url) = url else { return needed };
        let entries = std::fs::read_dir(&self.sso_cache).into_iter().flatten().flatten();
        let best = entries.filter_map(|entry| SsoToken::read(&entry.path(), url)).max_by_key(|token| token.expires);
        match best {
            Some(token) if token.expires > now => {
                let until = token.expires.to_zoned(jiff::tz::TimeZone::system());
                (format!("signed in until {}", until.strftime("%H:%M")), true)
            }
            Some(token) if token.renewable => ("signed in, to be renewed".to_owned(), true),
            Some(_) => ("sign-in ended".to_owned(), false),
            None => needed,
        }
    }
}

struct SsoToken {
    expires: Timestamp,
    renewable: bool,
}

impl SsoToken {
    fn read(path: &Path, url: &str) -> Option<Self> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Cached {
            start_url: Option<String>,
            access_token: Option<String>,
            expires_at: Option<String>,
            refresh_token: Option<String>,
            registration_expires_at: Option<String>,
        }
        if path.extension().is_none_or(|extension| extension != "json") {
            return None;
        }
        let cached: Cached = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        cached.access_token?;
        if cached.start_url?.trim_end_matches(['/', '#']) != url.trim_end_matches(['/', '#']) {
            return None;
        }
        let registered: Option<Timestamp> = cached.registration_expires_at.and_then(|at| at.parse().ok());
        Some(Self {
            expires: cached.expires_at?.parse().ok()?,
            renewable: cached.refresh_token.is_some() && registered.is_some_and(|until| until > crate::wall::now()),
        })
    }
}

/// The profile that a section is of.
fn named(head: &str, is_config: bool) -> Option<String> {
    let mut words = head.split_whitespace();
    match (words.next(), words.next()) {
        _ if !is_config => Some(head.trim().to_owned()),
        (Some("default"), None) => Some("default".to_owned()),
        (Some("profile"), Some(_)) => {
            let name = head.split_once(char::is_whitespace).map_or("", |(_, name)| name.trim());
            Some(name.trim_matches(['"', '\'']).to_owned())
        }
        _ => None,
    }
}

/// `[head]` and its `key = value` lines; nested (indented) values and comments are left out.
fn sections(text: &str) -> Vec<(String, Section)> {
    let mut all: Vec<(String, Section)> = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(head) = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            all.push((head.trim().to_owned(), Section::new()));
            continue;
        }
        if line.starts_with([' ', '\t']) {
            continue;
        }
        if let (Some((key, value)), Some((_, section))) = (trimmed.split_once('='), all.last_mut()) {
            let value = value.split(" #").next().unwrap_or_default().trim();
            section.insert(key.trim().to_ascii_lowercase(), value.to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
[default]
region = us-east-1
[profile prod]  # the real one
sso_session = corp
sso_account_id = 123456789012
region=eu-west-1
s3 =
  max_concurrent_requests = 20
[profile deploy]
role_arn = arn:aws:iam::210987654321:role/Deploy
source_profile = prod
[profile \"with space\"]
credential_process = /bin/creds
[profile web]
login_session = arn:aws:iam::111122223333:user/me
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1
";
    const CREDENTIALS: &str = "[default]\naws_access_key_id = AKIA\naws_secret_access_key = s\n";

    fn write_token(dir: &Path, expires: &str) {
        let text =
            format!(r#"{{"startUrl":"https://corp.awsapps.com/start/","accessToken":"t","expiresAt":"{expires}"}}"#);
        std::fs::write(dir.join("0a1b.json"), text).expect("a token file");
    }

    #[test]
    fn profiles_are_described_without_the_network() {
        let cache = tempfile::tempdir().expect("a directory");
        let files = Files::parse(CONFIG, CREDENTIALS, cache.path().to_owned());
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().expect("a time");
        let info = |name: &str| files.info(name, now).expect(name);

        assert_eq!(files.names(), ["default", "deploy", "prod", "web", "with space"]);
        assert_eq!((info("default").kind, info("default").usable), (ProfileKind::Keys, true));
        let prod = info("prod");
        assert_eq!(prod.kind, ProfileKind::Sso);
        assert_eq!(prod.region.map(|r| r.to_string()).as_deref(), Some("eu-west-1"));
        assert_eq!(prod.account.map(|a| a.to_string()).as_deref(), Some("123456789012"));
        assert_eq!(prod.state, "sign-in needed");
        assert_eq!(prod.mend.as_deref(), Some("aws sso login --profile prod"));
        let deploy = info("deploy");
        assert_eq!((deploy.kind, deploy.usable), (ProfileKind::Role, false));
        assert_eq!(deploy.mend.as_deref(), Some("aws sso login --profile prod"));
        assert_eq!(deploy.account.map(|a| a.to_string()).as_deref(), Some("210987654321"));
        assert_eq!(info("with space").kind, ProfileKind::Process);
        assert!(files.mend("web").starts_with("aws login --profile web && "), "{}", files.mend("web"));

        write_token(cache.path(), "2026-11-20T20:00:00Z");
        assert!(info("prod").usable && info("deploy").usable);
        write_token(cache.path(), "2026-11-20T02:00:00Z");
        assert_eq!(info("prod").state, "sign-in ended");
    }
}
