//! Roles that a profile names, assumed by a client of ours and not by the SDK's own provider.
//!
//! That one asks STS where the environment of its process says. A background engine has the environment of nobody, and an
//! endpoint of a flag is in none: here a role is assumed where the profile's other calls go, as the front was told.
//! Invariants: what the shared files say is read as the SDK reads it, so that whatever this does not understand goes to the
//! SDK, which says what is wrong; keys of a shell's environment are taken in the shell's own process only.

use std::time::SystemTime;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_sts::types::Credentials as Given;

use super::Keys;
use crate::aws::classify;
use crate::aws::profiles::{Files, Role, Roles, WebIdentity, without_role};
use crate::aws::wire;
use crate::error::{Class, Error, Result};
use crate::ids::Profile;

/// What STS is told of a session that nobody named.
const SESSION: &str = "floe";

impl Keys {
    /// The keys of a named profile: its own, or those of the roles that it assumes with others'.
    pub(super) async fn of_profile(&self, profile: &Profile) -> Result<Credentials> {
        let Some(Roles { base, bare, web, roles }) = Files::read(&self.inner.surroundings).roles(profile.as_str())
        else {
            return self.of_files(profile.as_str(), false).await.map_err(|error| self.missing(&error));
        };
        let mut keys = match &web {
            Some(web) => self.by_token(web).await?,
            None => self.of_files(&base, bare).await.map_err(|error| self.missing(&error))?,
        };
        for role in &roles {
            keys = self.assume(role, keys).await?;
        }
        Ok(keys)
    }

    /// Keys of a role that is assumed with the token of a file.
    pub(super) async fn by_token(&self, web: &WebIdentity) -> Result<Credentials> {
        let shown = web.token_file.display();
        let token = tokio::fs::read_to_string(&web.token_file).await.map_err(|cause| {
            self.not_given(Error::io(format!("the token of its web identity cannot be read: {shown}"), &cause))
        })?;
        let asked =
            self.sts(None).assume_role_with_web_identity().role_arn(&web.role_arn).web_identity_token(token.trim());
        let answer = asked.role_session_name(web.session.as_deref().unwrap_or(SESSION)).send().await;
        let answer =
            answer.map_err(|error| self.refused_role("sts:AssumeRoleWithWebIdentity", &web.role_arn, &error))?;
        self.given(&web.role_arn, answer.credentials)
    }

    async fn assume(&self, role: &Role, keys: Credentials) -> Result<Credentials> {
        let asked = self.sts(Some(keys)).assume_role().role_arn(&role.arn).set_external_id(role.external_id.clone());
        let asked =
            asked.set_duration_seconds(role.seconds).role_session_name(role.session.as_deref().unwrap_or(SESSION));
        let answer = asked.send().await.map_err(|error| {
            let refused = self.refused_role("sts:AssumeRole", &role.arn, &error);
            if role.needs_code && refused.has_code("AccessDenied") {
                return refused.todo(
                    "its role wants the code of an MFA device, which the aws CLI asks for: \
                     eval \"$(aws configure export-credentials --format env --profile NAME)\", then without --profile",
                );
            }
            refused
        })?;
        self.given(&role.arn, answer.credentials)
    }

    fn given(&self, role: &str, given: Option<Given>) -> Result<Credentials> {
        let unusable = || self.not_given(Error::failed(format!("STS gave no keys of {role} that can be used")));
        let given = given.ok_or_else(unusable)?;
        let ends = SystemTime::try_from(given.expiration).map_err(|_| unusable())?;
        let token = Some(given.session_token);
        Ok(Credentials::new(given.access_key_id, given.secret_access_key, token, Some(ends), "floe-role"))
    }

    /// Whatever keeps STS from giving keys is waited for like a sign-in that ended; a clock that is off is named.
    fn refused_role<E>(&self, operation: &'static str, role: &str, error: &wire::SdkError<E>) -> Error
    where
        E: aws_sdk_sts::error::ProvideErrorMetadata + std::error::Error + 'static,
    {
        let what = format!("could not assume {role}");
        let error = wire::sdk_error(operation, error, what, &self.inner.seed, &|| self.mend());
        let clock = error.class == Class::ClockSkew;
        let error = self.not_given(error);
        if clock { error.todo(format!("{}, then try again", classify::CLOCK)) } else { error }
    }

    fn not_given(&self, cause: Error) -> Error {
        let todo = cause.todo.clone().unwrap_or_else(|| self.mend());
        let cause = cause.during(format!("{} gave no credentials", self.name()));
        Error { class: Class::Credentials, ..cause }.todo(todo).of_profile(self.profile())
    }

    /// What the files themselves give; `bare` without the role that the profile names.
    async fn of_files(&self, profile: &str, bare: bool) -> std::result::Result<Credentials, CredentialsError> {
        let around = &self.inner.surroundings;
        let (config, credentials) = (EnvConfigFileKind::Config, EnvConfigFileKind::Credentials);
        // One of the two is enough: who signs in has no keys in a file, and who has keys may name the region elsewhere.
        let files = [(config, &around.config_file), (credentials, &around.credentials_file)].into_iter();
        let files = files.filter(|(_, path)| path.exists()).fold(EnvConfigFiles::builder(), |files, (kind, path)| {
            if !bare {
                return files.with_file(kind, path);
            }
            let text = std::fs::read_to_string(path).unwrap_or_default();
            files.with_contents(kind, without_role(&text, profile, matches!(kind, EnvConfigFileKind::Config)))
        });
        let mut provider = ProfileFileCredentialsProvider::builder()
            .configure(&self.provider_config())
            .profile_files(files.build())
            .profile_name(profile);
        if !self.inner.own {
            provider = provider.with_custom_provider("Environment", Elsewhere);
        }
        provider.build().provide_credentials().await
    }
}

/// Stands for the environment of a shell that is not this process's.
#[derive(Debug)]
struct Elsewhere;

impl ProvideCredentials for Elsewhere {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded(
            "its keys are in the environment of a shell, which the background engine does not see: --foreground keeps the \
             job in that shell",
        )))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use crate::aws::{Aws, Introduction, Settings, Surroundings};

    /// An STS that gives keys for a token and says whose they are; what it was asked, in order.
    async fn sts() -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, heard) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let asked = asked.clone();
                tokio::spawn(async move {
                    let mut text = Vec::new();
                    let mut piece = [0; 4096];
                    while !String::from_utf8_lossy(&text).contains("Version=2011-06-15") {
                        match stream.read(&mut piece).await {
                            Ok(read) if read > 0 => text.extend_from_slice(&piece[..read]),
                            _ => return,
                        }
                    }
                    let text = String::from_utf8_lossy(&text).into_owned();
                    let result = if text.contains("Action=AssumeRoleWithWebIdentity") {
                        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
                         <AccessKeyId>ASIAPOD</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t\
                         </SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
                         </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
                    } else {
                        "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:sts::111122223333:\
                         assumed-role/Pod/floe</Arn><UserId>AROA:floe</UserId><Account>111122223333</Account>\
                         </GetCallerIdentityResult></GetCallerIdentityResponse>"
                    };
                    let head =
                        format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", result.len());
                    let _ = stream.write_all((head + result).as_bytes()).await;
                    let _ = asked.send(text);
                });
            }
        });
        (url, heard)
    }

    /// As an engine sees the front of a pod: its token is in a file, its role in the front's environment, and where STS is
    /// asked the front says.
    #[tokio::test]
    async fn a_pods_front_is_served_by_an_engine_with_the_token_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().join("token");
        std::fs::write(&token, "the-token\n").unwrap();
        let (url, mut heard) = sts().await;
        let env = [
            ("HOME", dir.path().display().to_string()),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token.display().to_string()),
            ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/Pod".to_owned()),
        ];
        let of = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
        let settings =
            Settings { endpoint: Some(url), surroundings: Surroundings::of_process(of), ..Settings::default() };
        let introduction = Introduction { settings, keys: None };
        // On its way to the engine it is written down.
        let text = serde_json::to_string(&introduction).unwrap();
        assert!(!text.contains("the-token"));
        let aws = Aws::introduced(serde_json::from_str(&text).unwrap()).unwrap();
        let session = aws.session(None, Some(&"eu-west-1".parse().unwrap())).await.unwrap();
        assert_eq!(session.account().as_str(), "111122223333");
        let first = heard.recv().await.unwrap();
        assert!(first.contains("WebIdentityToken=the-token") && first.contains("role%2FPod"), "{first}");
        assert!(!first.to_ascii_lowercase().contains("authorization:"), "a token needs no signature: {first}");
        let second = heard.recv().await.unwrap();
        assert!(second.contains("Action=GetCallerIdentity") && second.contains("Credential=ASIAPOD/"), "{second}");
    }
}
