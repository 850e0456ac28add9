//! Settings of the account in the region: encryption of what is new, and what may be public.

use super::{Ask, Fault};

/// Whether new volumes and snapshots are encrypted without being asked to.
pub fn encryption_by_default(ask: &Ask<'_>) -> Result<String, Fault> {
    ask.ready()?;
    ask.region(|region| {
        let on = region.settings.encrypt_by_default;
        Ok(ask.answer("GetEbsEncryptionByDefault", |xml| {
            xml.text("ebsEncryptionByDefault", on);
            if on {
                xml.text("sseType", "sse-kms");
            } else {
                xml.text("sseType", "none");
            }
        }))
    })
}

/// The key that they are encrypted with: the customer's, or the alias of AWS's own.
pub fn default_key(ask: &Ask<'_>) -> Result<String, Fault> {
    ask.ready()?;
    ask.region(|region| {
        let key = region.settings.default_key_arn.as_deref().unwrap_or("alias/aws/ebs");
        Ok(ask.answer("GetEbsDefaultKmsKeyId", |xml| xml.text("kmsKeyId", key)))
    })
}

/// Whether snapshots may be shared with everybody.
pub fn public_sharing(ask: &Ask<'_>) -> Result<String, Fault> {
    ask.ready()?;
    ask.region(|region| {
        Ok(ask.answer("GetSnapshotBlockPublicAccessState", |xml| {
            xml.text("state", region.settings.public_sharing.name());
            xml.text("managedBy", "account");
        }))
    })
}
