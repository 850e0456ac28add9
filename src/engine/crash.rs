//! Places where a test ends this process as `kill -9` would: named, in the order of a copy's life.
//!
//! Only in builds with debug assertions, and only when `FLOE_CRASH_AT=NAME[:NTH]` is set; in a release there is
//! nothing. With `FLOE_CRASH_BY=TERM` it is told to end there instead, as an admin does it. What must hold after each of them: DESIGN §3, rule 7.

/// Where one can die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    /// StartSnapshot answered, and nobody wrote the id down.
    StartAnswered,
    /// The id is in the journal, nothing more.
    StartJournaled,
    /// A destination acknowledged a block; the ledger does not know.
    AcknowledgedBeforeLedger,
    /// A file's data is synced; the ledger does not know.
    SyncedBeforeLedger,
    /// CompleteSnapshot answered; the journal says `completing`.
    CompleteAnswered,
    /// The result is about to be listed or read back.
    Checking,
    /// A block was read back and found right; the journal does not know.
    Checked,
    /// A file is whole and still has its temporary name.
    BeforeRename,
    /// It has its name; the journal does not know.
    AfterRename,
    /// The audit log says what is about to be removed; the call is not made.
    RemovalIntent,
    /// It was answered; the audit log does not know.
    RemovalAnswered,
}

#[cfg(debug_assertions)]
impl Point {
    const fn name(self) -> &'static str {
        match self {
            Self::StartAnswered => "start-answered",
            Self::StartJournaled => "start-journaled",
            Self::AcknowledgedBeforeLedger => "acknowledged-before-ledger",
            Self::SyncedBeforeLedger => "synced-before-ledger",
            Self::CompleteAnswered => "complete-answered",
            Self::Checking => "checking",
            Self::Checked => "checked",
            Self::BeforeRename => "before-rename",
            Self::AfterRename => "after-rename",
            Self::RemovalIntent => "removal-intent",
            Self::RemovalAnswered => "removal-answered",
        }
    }
}

/// Dies here, when a test wants it.
#[cfg(debug_assertions)]
pub(super) fn here(point: Point) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static MET: AtomicU64 = AtomicU64::new(0);
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("FLOE_CRASH_AT").ok()?;
        let (name, nth) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), nth.parse().ok()?))
    });
    if let Some((name, nth)) = wanted
        && name == point.name()
        && MET.fetch_add(1, Ordering::Relaxed) + 1 == *nth
    {
        let asked = std::env::var_os("FLOE_CRASH_BY").is_some_and(|by| by == "TERM");
        let signal = if asked { rustix::process::Signal::TERM } else { rustix::process::Signal::KILL };
        let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
    }
}

/// A release has no such places.
#[cfg(not(debug_assertions))]
pub(super) const fn here(_: Point) {}
