//! What a world is made of: where credentials come from, what counts where an address names nothing, and what a
//! front hands the engine so that it opens the same one.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::surroundings::Surroundings;
use crate::ids::{AccountId, Profile, Region};

/// What a command line, the environment and the config resolved to, before anything is asked of AWS.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Settings {
    /// Where credentials come from. Only [`Profiles::Shared`] is ever written down.
    #[serde(skip)]
    pub profiles: Profiles,
    /// The profile that counts where an address names none (`--profile`, `AWS_PROFILE`).
    pub profile: Option<Profile>,
    /// The region that counts where an address names none (`--region`, `AWS_REGION`).
    pub region: Option<Region>,
    /// One endpoint for all services (`--endpoint-url`, the sandbox); the standard per-service variables
    /// are honoured where this is absent.
    pub endpoint: Option<String>,
    /// Refuse every mutating call (`--read-only`, `FLOE_READ_ONLY`).
    pub read_only: bool,
    /// The environment of the front that asks.
    pub surroundings: Surroundings,
}

impl Settings {
    /// As a job keeps them.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        Self { surroundings: self.surroundings.without_secrets(), ..self.clone() }
    }
}

/// Where credentials come from.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Profiles {
    /// The shared config files and the environment, as every AWS tool does. A profile that is *named* is
    /// resolved by itself, never by the default chain, which would prefer keys in the environment.
    #[default]
    Shared,
    /// The sandbox's own: `~/.aws` is not read.
    Fixed(Vec<FixedProfile>),
}

/// A profile with its keys, as the sandbox hands them out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FixedProfile {
    /// Its name.
    pub name: Profile,
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key (of a sandbox: no secret at all).
    pub secret_access_key: String,
    /// The token of temporary keys.
    #[serde(default)]
    pub session_token: Option<String>,
    /// The account it belongs to.
    pub account: AccountId,
    /// Its default region.
    pub region: Region,
}

/// How a profile gets its credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileKind {
    /// Keys in the file.
    Keys,
    /// IAM Identity Center.
    Sso,
    /// `aws login`.
    Login,
    /// Assumes a role from another profile.
    Role,
    /// `credential_process`.
    Process,
    /// Web identity token file.
    WebIdentity,
    /// Keys in the environment.
    Environment,
    /// Instance or container metadata.
    Metadata,
    /// The embedded AWS.
    Sandbox,
    /// A profile without any source of credentials.
    None,
}

/// One profile as the start page and the picker show it; found without any network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProfileInfo {
    /// Its name; `None` for keys in the environment.
    pub name: Option<Profile>,
    /// How it gets credentials.
    pub kind: ProfileKind,
    /// Its region, when it has one.
    pub region: Option<Region>,
    /// The account, when the files say so.
    pub account: Option<AccountId>,
    /// What is known of its state, in words: `signed in until 14:02`, `sign-in needed`, `keys`.
    pub state: String,
    /// Whether it can be used as it is.
    pub usable: bool,
    /// The command that would mend it.
    pub mend: Option<String>,
}

/// What a job records of its world, so that it is refused in another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorldId {
    /// The custom endpoint, if any; `sandbox` for the embedded AWS, whatever its port today.
    pub endpoint: Option<String>,
    /// `aws`, `aws-cn`, …
    pub partition: String,
}

impl WorldId {
    /// What the embedded AWS is called, whatever its port today.
    pub(super) const SANDBOX: &'static str = "sandbox";

    /// Whether it is the embedded AWS.
    #[must_use]
    pub fn is_sandbox(&self) -> bool {
        self.endpoint.as_deref() == Some(Self::SANDBOX)
    }

    /// In one word or two, for records.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{} ({})", self.endpoint.as_deref().unwrap_or("AWS"), self.partition)
    }
}

impl FixedProfile {
    pub(super) fn info(&self) -> ProfileInfo {
        ProfileInfo {
            name: Some(self.name.clone()),
            kind: ProfileKind::Sandbox,
            region: Some(self.region.clone()),
            account: Some(self.account.clone()),
            state: "sandbox".to_owned(),
            usable: true,
            mend: None,
        }
    }
}

/// Keys of a shell, on their way to the engine: in memory only, and never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShellKeys {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: String,
    /// The token of temporary keys.
    pub session_token: Option<String>,
    /// When they end, where the shell knows (`AWS_CREDENTIAL_EXPIRATION`).
    pub expires: Option<Timestamp>,
}

impl fmt::Debug for ShellKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShellKeys").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl ShellKeys {
    /// The keys in the environment, when there are any.
    #[must_use]
    pub fn of_process(env: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        Some(Self {
            access_key_id: env("AWS_ACCESS_KEY_ID")?,
            secret_access_key: env("AWS_SECRET_ACCESS_KEY").or_else(|| env("SECRET_ACCESS_KEY"))?,
            session_token: env("AWS_SESSION_TOKEN"),
            expires: env("AWS_CREDENTIAL_EXPIRATION").and_then(|end| end.parse().ok()),
        })
    }
}

/// What a front sends with a command that needs AWS, so that the engine opens the very same world.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Introduction {
    /// The front's settings, its surroundings captured.
    pub settings: Settings,
    /// The keys of its shell, when they are what counts there.
    pub keys: Option<ShellKeys>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_shell_are_never_shown() {
        let env = [("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "hidden")];
        let look = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let keys = ShellKeys::of_process(look).expect("keys");
        let settings = Settings { surroundings: Surroundings::of_process(look), ..Settings::default() };
        let shown = format!("{:?}", Introduction { settings, keys: Some(keys) });
        assert!(!shown.contains("hidden") && !shown.contains("AKIAEXAMPLE"), "{shown}");
        assert!(ShellKeys::of_process(|name| (name == "AWS_ACCESS_KEY_ID").then(|| "AKIA".to_owned())).is_none());
    }
}
