//! What an accepted plan may do: the only key that opens a mutating call in `aws/`.
//!
//! Made when a person (or `--yes`) accepts a plan, kept in `job.json`, ended with the job (DESIGN §3,
//! rule 11). It names the account, the endpoint, the calls and, for what exists already, the very ids.
//! A call outside it is refused before anything is sent.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ids::AccountId;

/// Every call that changes something, as IAM names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Call {
    /// `ebs:StartSnapshot`: makes something new.
    StartSnapshot,
    /// `ebs:PutSnapshotBlock`, on a snapshot of this job.
    PutSnapshotBlock,
    /// `ebs:CompleteSnapshot`, on a snapshot of this job.
    CompleteSnapshot,
    /// `ec2:CopySnapshot`: makes something new.
    CopySnapshot,
    /// `ec2:CopyImage`: makes something new.
    CopyImage,
    /// `ec2:DeregisterImage`: of an image that the job made or the plan listed.
    DeregisterImage,
    /// `ec2:CreateTags`, on results of this job.
    CreateTags,
    /// `ec2:DeleteSnapshot`: of what the job made or the plan listed.
    DeleteSnapshot,
    /// `ec2:DeleteVolume`: of what the plan listed.
    DeleteVolume,
    /// `ec2:CreateSnapshot`: of a volume that the plan would delete.
    CreateSnapshot,
    /// `ec2:RestoreSnapshotFromRecycleBin`.
    RestoreSnapshot,
    /// `ec2:RestoreImageFromRecycleBin`.
    RestoreImage,
    /// `s3:PutObject`: objects under a root that the plan names, and uploads of them in parts.
    PutObject,
    /// `s3:PutObjectTagging`, of objects under a root that the plan names.
    PutObjectTagging,
    /// `s3:AbortMultipartUpload`, of uploads of this job.
    AbortMultipartUpload,
    /// `s3:DeleteObject`: of what the job made and did not complete.
    DeleteObject,
}

impl Call {
    /// The IAM action.
    #[must_use]
    pub const fn action(self) -> &'static str {
        match self {
            Self::StartSnapshot => "ebs:StartSnapshot",
            Self::PutSnapshotBlock => "ebs:PutSnapshotBlock",
            Self::CompleteSnapshot => "ebs:CompleteSnapshot",
            Self::CopySnapshot => "ec2:CopySnapshot",
            Self::CopyImage => "ec2:CopyImage",
            Self::DeregisterImage => "ec2:DeregisterImage",
            Self::CreateTags => "ec2:CreateTags",
            Self::DeleteSnapshot => "ec2:DeleteSnapshot",
            Self::DeleteVolume => "ec2:DeleteVolume",
            Self::CreateSnapshot => "ec2:CreateSnapshot",
            Self::RestoreSnapshot => "ec2:RestoreSnapshotFromRecycleBin",
            Self::RestoreImage => "ec2:RestoreImageFromRecycleBin",
            Self::PutObject => "s3:PutObject",
            Self::PutObjectTagging => "s3:PutObjectTagging",
            Self::AbortMultipartUpload => "s3:AbortMultipartUpload",
            Self::DeleteObject => "s3:DeleteObject",
        }
    }
}

/// A permission that one accepted plan gives to one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// SHA-256 of the plan, in hex: the plan that was shown is the plan that runs.
    pub plan_hash: String,
    /// The accounts that may be changed: one per destination profile.
    pub accounts: Vec<AccountId>,
    /// The custom endpoint the plan was made for, if any.
    pub endpoint: Option<String>,
    /// The calls it may make.
    pub calls: Vec<Call>,
    /// Ids of things that exist already and may be touched; what the job makes is added as it is made.
    pub ids: Vec<String>,
    /// Who accepted: the user name of the process, and how (`S on the plan screen`, `--yes`).
    pub who: String,
    /// When.
    pub when: Timestamp,
}

impl Grant {
    /// Allows `call` on `resource` in `account`, or says why not. `StartSnapshot` has no resource yet.
    ///
    /// # Errors
    /// A refusal (exit 5) that names what is outside the grant.
    pub fn check(&self, call: Call, account: &AccountId, resource: Option<&str>) -> Result<()> {
        let refuse = |why: String| {
            Err(Error::refused(format!("{} is outside what plan {} may do: {why}", call.action(), self.short_hash())))
        };
        if !self.calls.contains(&call) {
            return refuse("the plan does not contain this call".to_owned());
        }
        if !self.accounts.contains(account) {
            return refuse(format!("account {} is not one of the plan's", account.grouped()));
        }
        match resource {
            Some(id) if !self.ids.iter().any(|known| known == id) => refuse(format!("{id} is not one of its ids")),
            _ => Ok(()),
        }
    }

    /// Adds what the job has just made, so that it may be written, completed and, if it fails, removed.
    pub fn extend(&mut self, id: impl Into<String>) {
        let id = id.into();
        if !self.ids.contains(&id) {
            self.ids.push(id);
        }
    }

    /// The first sixteen hex digits, as `7f3a-91c0-5e2d-0b17`.
    #[must_use]
    pub fn short_hash(&self) -> String {
        short_hash(&self.plan_hash)
    }
}

/// Hex digits of a short form: 64 bits. Whoever could make plan files until one has the short form of another would need
/// months for these; 32 bits took an afternoon.
const SHORT: usize = 16;

/// `7f3a91c05e2d0b17…` as `7f3a-91c0-5e2d-0b17`.
#[must_use]
pub fn short_hash(hex: &str) -> String {
    let Some(short) = hex.get(..SHORT) else { return hex.to_owned() };
    let groups: Vec<&str> = (0..SHORT).step_by(4).filter_map(|at| short.get(at..at + 4)).collect();
    groups.join("-")
}

/// Hex digits of the short form that builds before this one wrote down.
const SHORT_ONCE: &str = "7f3a-91c0";

/// Whether a line that was written down names this plan, whose short form is `short`: by that, or by the eight digits
/// that earlier builds used. What they began is gone on with; 32 bits are enough to find it again in one's own log, where
/// nobody chooses the plans, and never to accept one.
#[must_use]
pub fn is_written(name: &str, short: &str) -> bool {
    let once = name.len() == SHORT_ONCE.len() && short.len() > name.len() && short.starts_with(name);
    name == short || once
}

/// Whether `typed` names the plan of that hash: its short form or more of it, dashes or none.
#[must_use]
pub fn names(typed: &str, hex: &str) -> bool {
    let typed: String = typed.chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase();
    typed.len() >= SHORT && hex.starts_with(&typed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_opens_only_what_it_names() -> Result<(), String> {
        let account: AccountId = "123456789012".parse()?;
        let other: AccountId = "210987654321".parse()?;
        let mut grant = Grant {
            plan_hash: "7f3a91c05e2d0b17aa".into(),
            accounts: vec![account.clone()],
            endpoint: None,
            calls: vec![Call::StartSnapshot, Call::PutSnapshotBlock],
            ids: Vec::new(),
            who: "ops".into(),
            when: Timestamp::UNIX_EPOCH,
        };
        assert!(grant.check(Call::StartSnapshot, &account, None).is_ok());
        assert!(grant.check(Call::StartSnapshot, &other, None).is_err());
        assert!(grant.check(Call::DeleteSnapshot, &account, None).is_err());
        assert!(grant.check(Call::PutSnapshotBlock, &account, Some("snap-0abc1234")).is_err());
        grant.extend("snap-0abc1234");
        assert!(grant.check(Call::PutSnapshotBlock, &account, Some("snap-0abc1234")).is_ok());
        assert_eq!(grant.short_hash(), "7f3a-91c0-5e2d-0b17");
        Ok(())
    }

    #[test]
    fn lines_of_earlier_builds_name_their_plan_and_no_other() {
        let short = "7f3a-91c0-5e2d-0b17";
        assert!(is_written(short, short) && is_written(SHORT_ONCE, short));
        for other in ["", "7f3a", "7f3a-91c1", "7f3a-91c0-5e2d", "7f3a-91c0-5e2d-0b18", "7f3a91c0"] {
            assert!(!is_written(other, short), "{other}");
        }
    }

    #[test]
    fn less_than_64_bits_name_no_plan() {
        let hash = "7f3a91c05e2d0b17aa55";
        assert!(names(&short_hash(hash), hash), "what is printed is taken");
        for taken in ["7f3a91c05e2d0b17", "7F3A-91C0-5E2D-0B17", "7f3a91c05e2d0b17aa", hash] {
            assert!(names(taken, hash), "{taken}");
        }
        for refused in ["", "7f3a-91c0", "7f3a91c05e2d0b1", "7f3a-91c0-5e2d-0b18", "7f3a91c05e2d0b17aa550"] {
            assert!(!names(refused, hash), "{refused}");
        }
    }
}
