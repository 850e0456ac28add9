//! Proof of a destination: it is listed and read back, and compared with the ledger.
//!
//! Invariants: as many blocks are read at once as the job has lanes, within its memory, under the limits of bytes a
//! second and the limiters of the destination itself, all as they are turned meanwhile; how far it is goes into the
//! journal, and a resume goes on from there. Called by the sinks, while their destination is `checking`; what an earlier
//! run read of a source that can change is compared in the same way.

mod base;
mod course;
mod image;
mod listed;
mod object;
mod on_parent;
mod read;
mod room;
mod source;
mod whole;

pub(super) use self::base::Base;
pub(super) use self::course::inside;
pub(super) use self::listed::Listed;
pub(super) use self::object::Image;
pub(super) use self::on_parent::OnParent;
pub(super) use self::room::Room;
pub(super) use self::source::source_again;
pub(super) use self::whole::Whole;
use crate::engine::protocol::Evidence;
use crate::units::Digest;

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Proof {
    /// Who vouches for the destination.
    pub evidence: Evidence,
    /// SHA-256 of the whole image, when all of it was read in order.
    pub image: Option<Digest>,
}

impl From<Evidence> for Proof {
    fn from(evidence: Evidence) -> Self {
        Self { evidence, image: None }
    }
}
