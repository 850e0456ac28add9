//! The quotas that a copy meets, by their codes: what they are called, what they are by default, and which of them more
//! can be asked for (Service Quotas, service `ebs`, November 2026).

use crate::aws::Session;
use crate::plan::model::QuotaFact;

/// One of them.
pub(super) struct Known {
    pub code: &'static str,
    pub name: &'static str,
    pub default: f64,
    pub adjustable: bool,
}

const fn known(code: &'static str, name: &'static str, default: f64, adjustable: bool) -> Known {
    Known { code, name, default, adjustable }
}

/// Their codes in Service Quotas.
pub mod codes {
    /// Get, per account and region.
    pub const GET_ACCOUNT: &str = "L-C125AE42";
    /// Get, per snapshot.
    pub const GET_SNAPSHOT: &str = "L-028ACFB9";
    /// Put, per account and region.
    pub const PUT_ACCOUNT: &str = "L-AFAE1BE8";
    /// Put, per snapshot.
    pub const PUT_SNAPSHOT: &str = "L-1774F84A";
    /// Snapshots that are not completed, per account and region.
    pub const PENDING: &str = "L-94D7AB7D";
}

/// Get, per account and region.
pub(super) const GET_ACCOUNT: Known = known(codes::GET_ACCOUNT, "GetSnapshotBlock requests per account", 1000.0, true);
/// Get, per snapshot.
pub(super) const GET_SNAPSHOT: Known =
    known(codes::GET_SNAPSHOT, "GetSnapshotBlock requests per snapshot", 1000.0, false);
/// Put, per account and region.
pub(super) const PUT_ACCOUNT: Known = known(codes::PUT_ACCOUNT, "PutSnapshotBlock requests per account", 1000.0, true);
/// Put, per snapshot.
pub(super) const PUT_SNAPSHOT: Known =
    known(codes::PUT_SNAPSHOT, "PutSnapshotBlock requests per snapshot", 1000.0, false);
/// Snapshots that are not completed, per account and region.
pub(super) const PENDING: Known = known(codes::PENDING, "Pending snapshots per account", 100.0, false);

/// The value where Service Quotas told it, and what is known in any case.
pub(super) type Answer = (Option<f64>, QuotaFact);

/// Asks what is in force there; the value only where Service Quotas told it, and what is known of it in any case.
pub(super) async fn ask(session: &Session, quota: &Known) -> Answer {
    let told = session.quota(quota.code).await;
    let fact = QuotaFact {
        code: quota.code.to_owned(),
        name: quota.name.to_owned(),
        value: told.unwrap_or(quota.default),
        region: session.region().to_string(),
        told: told.is_some(),
        adjustable: quota.adjustable,
    };
    (told, fact)
}

/// What reading from snapshots there meets: of the account, of one snapshot.
pub(super) async fn of_reading(session: &Session) -> [Answer; 2] {
    tokio::join!(ask(session, &GET_ACCOUNT), ask(session, &GET_SNAPSHOT)).into()
}

/// What writing snapshots there meets: of the account, of one snapshot, of those that are pending.
pub(super) async fn of_writing(session: &Session) -> [Answer; 3] {
    tokio::join!(ask(session, &PUT_ACCOUNT), ask(session, &PUT_SNAPSHOT), ask(session, &PENDING)).into()
}

/// All of them, in the order in which they are shown. Asked once per session, as for plans.
pub async fn of_region(session: &Session) -> Vec<QuotaFact> {
    let (reading, writing) = tokio::join!(of_reading(session), of_writing(session));
    reading.into_iter().chain(writing).map(|(_, fact)| fact).collect()
}
