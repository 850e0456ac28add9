//! Roles that are assumed for a profile, and with whose keys, as the shared files say it and the SDK reads it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Files, named};

/// A role that is assumed with a token in a file, as pods have it. Nothing of it is a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebIdentity {
    /// The role.
    pub role_arn: String,
    /// Where the token is; it is read anew each time.
    pub token_file: PathBuf,
    /// What the session is called.
    pub session: Option<String>,
}

/// A role that is assumed with other keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::aws) struct Role {
    pub arn: String,
    pub external_id: Option<String>,
    pub session: Option<String>,
    /// How long its keys are to last, where the profile says so.
    pub seconds: Option<i32>,
    /// Whether the profile names an MFA device.
    pub needs_code: bool,
}

/// How a profile comes to its keys where roles are assumed for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::aws) struct Roles {
    /// The profile whose own keys the first role is assumed with …
    pub base: String,
    /// … though it names a role itself …
    pub bare: bool,
    /// … or the token that stands for keys.
    pub web: Option<WebIdentity>,
    /// In the order in which they are assumed.
    pub roles: Vec<Role>,
}

/// What makes a role of a profile; the rest of its section says where its own keys are.
const OF_ROLES: [&str; 6] =
    ["role_arn", "source_profile", "role_session_name", "external_id", "duration_seconds", "mfa_serial"];

impl Files {
    /// The roles that are assumed for a profile; none where there are none, and where the files make no sense.
    pub(in crate::aws) fn roles(&self, profile: &str) -> Option<Roles> {
        let (mut roles, mut seen, mut at) = (Vec::new(), Vec::new(), profile);
        loop {
            let section = self.profiles.get(at).filter(|_| !seen.contains(&at))?;
            let of = |key: &str| section.get(key).cloned().filter(|value| !value.is_empty());
            let (arn, token) = (of("role_arn"), of("web_identity_token_file"));
            let own = |bare: bool, web: Option<WebIdentity>, mut roles: Vec<Role>| {
                roles.reverse();
                Some(Roles { base: at.to_owned(), bare, web, roles })
            };
            // Keys of a profile that others assume roles with come before its own role.
            if !seen.is_empty() && of("aws_access_key_id").is_some() {
                return own(arn.is_some(), None, roles);
            }
            match (arn, token) {
                (Some(role_arn), Some(file)) => {
                    let web = WebIdentity { role_arn, token_file: file.into(), session: of("role_session_name") };
                    return own(false, Some(web), roles);
                }
                (None, _) => return if roles.is_empty() { None } else { own(false, None, roles) },
                (Some(arn), None) => roles.push(Role {
                    arn,
                    external_id: of("external_id"),
                    session: of("role_session_name"),
                    seconds: of("duration_seconds").and_then(|seconds| seconds.parse().ok()),
                    needs_code: of("mfa_serial").is_some(),
                }),
            }
            match (section.get("source_profile"), section.get("credential_source")) {
                (Some(source), None) if source != at => {
                    seen.push(at);
                    at = source;
                }
                (Some(_), None) | (None, Some(_)) => return own(true, None, roles),
                _ => return None,
            }
        }
    }
}

/// The text of a shared file without what makes a role of that profile: what is left gives its own keys.
pub(in crate::aws) fn without_role(text: &str, profile: &str, is_config: bool) -> String {
    let mut inside = false;
    let keeps = |line: &&str| {
        if let Some(head) = line.trim().strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            inside = named(head.trim(), is_config).as_deref() == Some(profile);
        }
        let key = line.split_once('=').map(|(key, _)| key.trim().to_ascii_lowercase());
        !(inside && key.is_some_and(|key| OF_ROLES.contains(&key.as_str())))
    };
    text.lines().filter(keeps).flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: &str = "
[profile keys]
aws_access_key_id = AKIA
aws_secret_access_key = s
[profile one]
role_arn = arn:aws:iam::1:role/One
source_profile = keys
external_id = x
duration_seconds = 7200
[profile two]
role_arn = arn:aws:iam::2:role/Two
source_profile = one
role_session_name = me
mfa_serial = arn:aws:iam::1:mfa/me
[profile self]
role_arn = arn:aws:iam::3:role/Three
source_profile = self
aws_access_key_id = AKIA3
aws_secret_access_key = s3
[profile by-self]
role_arn = arn:aws:iam::4:role/Four
source_profile = self
[profile machine]
role_arn = arn:aws:iam::5:role/Five
credential_source = Ec2InstanceMetadata
[profile pod]
role_arn = arn:aws:iam::6:role/Six
web_identity_token_file = /var/run/token
[profile by-pod]
role_arn = arn:aws:iam::7:role/Seven
source_profile = pod
[profile round]
role_arn = arn:aws:iam::8:role/Eight
source_profile = about
[profile about]
role_arn = arn:aws:iam::9:role/Nine
source_profile = round
[profile lost]
role_arn = arn:aws:iam::9:role/Nine
source_profile = nobody
[profile neither]
role_arn = arn:aws:iam::9:role/Nine
[profile both]
role_arn = arn:aws:iam::9:role/Nine
source_profile = keys
credential_source = Environment
";

    #[test]
    fn roles_are_assumed_one_with_the_keys_of_the_other_as_the_files_say() {
        let files = Files::parse(CHAIN, "", PathBuf::new());
        let of = |profile: &str| {
            let Roles { base, bare, web, roles } = files.roles(profile)?;
            let arns: Vec<String> = roles.into_iter().map(|role| role.arn.chars().skip(13).take(1).collect()).collect();
            Some((base, bare, web.is_some(), arns.concat()))
        };
        let is = |base: &str, bare, web, arns: &str| Some((base.to_owned(), bare, web, arns.to_owned()));
        assert_eq!(of("keys"), None, "no role");
        assert_eq!(of("one"), is("keys", false, false, "1"));
        assert_eq!(of("two"), is("keys", false, false, "12"), "the inner one first");
        assert_eq!(of("self"), is("self", true, false, "3"));
        assert_eq!(of("by-self"), is("self", true, false, "4"), "keys before a role of its own");
        assert_eq!(of("machine"), is("machine", true, false, "5"));
        assert_eq!(of("pod"), is("pod", false, true, ""));
        assert_eq!(of("by-pod"), is("pod", false, true, "7"));
        for nonsense in ["round", "lost", "neither", "both", "nobody"] {
            assert_eq!(of(nonsense), None, "{nonsense}: the SDK says what is wrong");
        }
        let two = files.roles("two").expect("roles").roles;
        assert_eq!((two[0].external_id.as_deref(), two[0].seconds, two[0].needs_code), (Some("x"), Some(7200), false));
        assert_eq!((two[1].session.as_deref(), two[1].seconds, two[1].needs_code), (Some("me"), None, true));
    }

    #[test]
    fn without_its_role_a_profile_gives_its_own_keys_and_the_others_are_as_they_were() {
        let files = Files::parse(&without_role(CHAIN, "self", true), "", PathBuf::new());
        let bare = files.profiles.get("self").expect("it is there");
        assert_eq!(bare.keys().collect::<Vec<_>>(), ["aws_access_key_id", "aws_secret_access_key"]);
        assert!(files.roles("self").is_none() && files.roles("two").is_some());
        let text = "[self]\nrole_arn = x\naws_access_key_id = A\n[profile self]\nrole_arn = y\n";
        assert_eq!(without_role(text, "self", false), "[self]\naws_access_key_id = A\n[profile self]\nrole_arn = y\n");
    }
}
