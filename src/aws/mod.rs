//! The only room that names an SDK crate: sessions, EC2, EBS direct, S3, quotas, prices.
//!
//! Everything above sees plain values. One [`Aws`] is one *world* (real AWS, a custom endpoint, or the
//! sandbox) with one shared HTTP client; a [`Session`] is one profile in one region, pinned to the account
//! that STS named for it. Mutating calls take a [`crate::grant::Grant`] and check it before anything is sent.

mod aliases;
mod bin;
mod blocks;
mod classify;
mod clock;
mod context;
mod costs;
mod credentials;
mod describe;
mod ebs;
mod ec2;
mod http;
mod lean;
mod metadata;
mod pricing;
mod profiles;
mod s3;
mod session;
mod settings;
mod surroundings;
mod walk;
mod wire;

pub use bin::Keeps;
pub use blocks::{Arriving, CORRUPT};
pub use costs::{Billed, REQUEST as BILL_REQUEST};
pub use ebs::{BlockEntry, BlockPage, ChangedEntry, ChangedPage, Ebs, StartSnapshot, Started};
pub use ec2::{CopyImage, CopySnapshot, Ec2, EncryptionDefault, Page, PublicSharing, Receipt, SnapshotState};
pub use metadata::{Instance, host_region, instance};
pub use pricing::Product;
pub use profiles::ProfilesVersion;
pub use s3::{
    CopiedPart, CopyAs, CopyFrom, Crc64, ImageHead, ImagePart, KEYS_A_PAGE, Keep, Over, PART_LEAST, PARTS_MAX, PIECE,
    Properties, Root, S3, S3Arriving, S3Bytes, S3Facts, S3Head, S3Object, S3Page, S3Part, S3Sum, Sse, is_conflict,
    is_precondition, needs_restore,
};
pub use session::{Aws, Session};
pub use settings::{FixedProfile, Introduction, ProfileInfo, ProfileKind, Profiles, Settings, ShellKeys, WorldId};
pub use surroundings::{Shell, Surroundings};
pub use walk::{Tokens, Walk};
