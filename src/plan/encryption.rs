//! Whether what is made will be encrypted, with what, and why: the user guide's tables. What an account does by default
//! it may not tell; then the copy goes on where the rest decides it, or says that it is not known until it is started.

use crate::aws::{EncryptionDefault, Session};
use crate::error::{Class, Error, Result};
use crate::inventory::{ImageDisk, SnapshotRow};
use crate::plan::make::Maker;
use crate::plan::model::{Finding, Level, SourcePlan};

/// What is asked of AWS, what comes of it, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Encryption {
    /// `Some(true)` where encryption is asked for; `None` leaves it to the account's default.
    pub ask: Option<bool>,
    /// Whether the result will be encrypted; `None` where only its start tells.
    pub result: Option<bool>,
    /// In words.
    pub words: String,
}

impl Encryption {
    fn new(ask: Option<bool>, result: Option<bool>, words: impl Into<String>) -> Self {
        Self { ask, result, words: words.into() }
    }

    fn asked(key: &str) -> Result<Self> {
        kms_key_arn(key)?;
        Ok(Self::new(Some(true), Some(true), format!("encrypted with {key}, as asked")))
    }

    /// Of a new snapshot without a parent.
    fn of_new(default: &Default, from_encrypted: bool, decrypt: bool) -> Self {
        let key = default.key();
        match (default.on(), from_encrypted) {
            (Some(true), _) => Self::new(None, Some(true), format!("encrypted by default there, with {key}")),
            (_, true) if !decrypt => {
                Self::new(Some(true), Some(true), format!("encrypted with {key}, because the source is encrypted"))
            }
            (Some(false), true) => {
                Self::new(None, Some(false), "not encrypted, though the source is: allowed by --allow-decrypt")
            }
            (Some(false), false) => Self::new(None, Some(false), "not encrypted, like the source"),
            (None, _) => Self::new(None, None, UNTOLD),
        }
    }

    /// Of disks that CopyImage copies: it never decrypts.
    fn of_disks(default: &Default, disks: &[ImageDisk]) -> Self {
        let key = default.key();
        let (some, all) = (disks.iter().any(|disk| disk.encrypted), disks.iter().all(|disk| disk.encrypted));
        match (default.on(), some, all) {
            (Some(true), ..) => Self::new(None, Some(true), format!("encrypted by default there, with {key}")),
            (_, _, true) => {
                Self::new(None, Some(false), format!("encrypted with {key}, because the source is encrypted"))
            }
            (Some(false), true, false) => {
                let words = format!("its encrypted disks with {key}, the others not, like the source");
                Self::new(None, Some(false), words)
            }
            (Some(false), false, false) => Self::new(None, Some(false), "not encrypted, like the source"),
            (None, ..) => Self::new(None, None, UNTOLD),
        }
    }
}

const UNTOLD: &str = "encrypted only if the account encrypts by default there, which is not told";

/// What an account does with new snapshots when it is not asked.
enum Default {
    Told(EncryptionDefault),
    /// It may not be asked, or the service does not know the question.
    Untold(Error),
}

impl Default {
    /// Asks.
    ///
    /// # Errors
    /// What may get better, or closes the region altogether.
    async fn of(session: &Session) -> Result<Self> {
        match session.ec2().encryption_default().await {
            Ok(told) => Ok(Self::Told(told)),
            Err(error) if error.class == Class::Permanent && !error.has_code("OptInRequired") => {
                Ok(Self::Untold(error))
            }
            Err(error) => Err(error),
        }
    }

    const fn on(&self) -> Option<bool> {
        match self {
            Self::Told(told) => Some(told.on),
            Self::Untold(_) => None,
        }
    }

    fn key(&self) -> &str {
        match self {
            Self::Told(EncryptionDefault { key: Some(key), .. }) => key,
            _ => "the account's default key there",
        }
    }

    /// What there is to say where the result hangs on it.
    fn warning(&self, session: &Session) -> Option<Finding> {
        let Self::Untold(error) = self else { return None };
        let text = format!("{}: {error}; the answer to its start tells", session.region());
        Some(Finding { level: Level::Warning, text, todo: error.todo.clone() })
    }
}

impl Maker<'_> {
    /// Of a new snapshot of this source, and what is to be said of it.
    pub(super) async fn encryption(
        &self,
        session: &Session,
        source: &SourcePlan,
    ) -> Result<(Encryption, Option<Finding>)> {
        let options = &self.operation.options;
        if let Some(key) = &options.kms_key {
            return Ok((Encryption::asked(key)?, None));
        }
        let default = Default::of(session).await?;
        let of = Encryption::of_new(&default, source.kind.is_encrypted(), options.allow_decrypt);
        let warning = default.warning(session).filter(|_| of.result.is_none());
        Ok((of, warning))
    }

    /// Of the disks of an image: what becomes of those that are not encrypted yet.
    pub(super) async fn image_encryption(&mut self, session: &Session, disks: &[ImageDisk]) -> Result<Encryption> {
        let options = &self.operation.options;
        if let Some(key) = &options.kms_key {
            return Encryption::asked(key);
        }
        let default = Default::of(session).await?;
        let of = Encryption::of_disks(&default, disks);
        if disks.iter().any(|disk| disk.encrypted) && options.allow_decrypt {
            let text = "--allow-decrypt changes nothing: AWS never decrypts what it copies".to_owned();
            self.findings.push(Finding { level: Level::Note, text, todo: None });
        }
        if of.result.is_none() {
            self.findings.extend(default.warning(session));
        }
        Ok(of)
    }

    /// On a parent: its key, or none.
    pub(super) async fn inherited(
        &mut self,
        session: &Session,
        parent: &SnapshotRow,
        source: &SourcePlan,
    ) -> Result<Encryption> {
        let options = &self.operation.options;
        if let Some(key) = &options.kms_key {
            return Err(Error::usage(format!("--kms-key {key}: a snapshot on a parent has its parent's key, or none"))
                .todo("leave --kms-key out, or leave the parent out"));
        }
        if parent.encrypted {
            let key = parent.kms_key.as_deref().unwrap_or("its parent's key");
            return Ok(Encryption::new(None, Some(true), format!("encrypted with {key}, as its parent is")));
        }
        if source.kind.is_encrypted() && !options.allow_decrypt {
            let (address, id) = (&source.address, &parent.id);
            return Err(Error::refused(format!(
                "{address} is encrypted and its parent {id} is not: the result would be in the clear"
            ))
            .todo("name an encrypted parent, or none; --allow-decrypt goes on"));
        }
        let default = Default::of(session).await?;
        if default.on() == Some(true) {
            let (id, region) = (&parent.id, session.region());
            return Err(Error::refused(format!(
                "{id} is not encrypted, and {region} encrypts by default: AWS refuses a snapshot on it"
            ))
            .todo(format!("make an encrypted copy first: floe copy {region}:{id} {region}:")));
        }
        // Where it encrypts by default after all, AWS refuses the start.
        self.findings.extend(default.warning(session));
        let words = match source.kind.is_encrypted() {
            true => "not encrypted, though the source is: allowed by --allow-decrypt",
            false => "not encrypted, as its parent",
        };
        Ok(Encryption::new(None, Some(false), words))
    }
}

/// Refuses what is no ARN of a key.
fn kms_key_arn(key: &str) -> Result<()> {
    if key.starts_with("arn:") && key.contains(":key/") {
        return Ok(());
    }
    Err(Error::usage(format!("`{key}` is not a key ARN"))
        .todo("StartSnapshot takes only arn:aws:kms:REGION:ACCOUNT:key/…, no alias and no bare id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(on: bool) -> Default {
        Default::Told(EncryptionDefault { on, key: Some("alias/ours".to_owned()) })
    }

    fn untold() -> Default {
        Default::Untold(Error::failed("not allowed"))
    }

    #[test]
    fn what_an_account_does_not_tell_is_asked_for_or_left_open() {
        let of = |default: &Default, from, decrypt| {
            let of = Encryption::of_new(default, from, decrypt);
            (of.ask, of.result)
        };
        for decrypt in [false, true] {
            for from in [false, true] {
                assert_eq!(of(&told(true), from, decrypt), (None, Some(true)));
            }
            assert_eq!(of(&told(false), false, decrypt), (None, Some(false)));
            assert_eq!(of(&untold(), false, decrypt), (None, None));
        }
        assert_eq!(of(&told(false), true, false), (Some(true), Some(true)));
        assert_eq!(of(&told(false), true, true), (None, Some(false)));
        assert_eq!(of(&untold(), true, false), (Some(true), Some(true)));
        assert_eq!(of(&untold(), true, true), (None, None));
        assert!(Encryption::of_new(&untold(), true, false).words.contains("the account's default key there"));
    }

    #[test]
    fn the_key_of_an_order_is_an_arn() {
        assert!(Encryption::asked("arn:aws:kms:us-east-1:123456789012:key/1").is_ok());
        for key in ["alias/mine", "1234", "arn:aws:kms:us-east-1:123456789012:alias/mine"] {
            assert!(Encryption::asked(key).is_err(), "{key}");
        }
    }
}
