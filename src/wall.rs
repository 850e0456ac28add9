//! The wall clock of the house: what floe takes for now, wherever it asks.
//!
//! Nobody else reads the machine's (a test sees to that), because it may be set while floe runs: by hand, by NTP, after a
//! suspend. How long something took or has to wait is measured by `Instant`, which nobody sets; what is compared with
//! times that others say goes by [`crate::age`] or by the clock that the service corrected.
//!
//! In builds with debug assertions the file that `FLOE_CLOCK_FILE` names sets it in a running process: it holds the seconds
//! by which the clock is off (`86400`, `-86400`); without the file it is right again. In a release there is nothing.

use std::time::SystemTime;

use jiff::{Timestamp, Zoned, tz::TimeZone};

/// Now.
#[must_use]
pub fn now() -> Timestamp {
    set(Timestamp::now())
}

/// Now, for those who sign and for keys that end.
#[must_use]
pub fn system() -> SystemTime {
    now().into()
}

/// Now, as the clock on this machine's wall shows it.
#[must_use]
pub fn here() -> Zoned {
    now().to_zoned(TimeZone::system())
}

#[cfg(debug_assertions)]
fn set(right: Timestamp) -> Timestamp {
    use std::path::PathBuf;
    use std::sync::OnceLock;
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let Some(file) = FILE.get_or_init(|| std::env::var_os("FLOE_CLOCK_FILE").map(PathBuf::from)) else { return right };
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let off = jiff::SignedDuration::from_secs(text.trim().parse().unwrap_or_default());
    right.checked_add(off).unwrap_or(right)
}

/// A release has the machine's clock and no other.
#[cfg(not(debug_assertions))]
const fn set(right: Timestamp) -> Timestamp {
    right
}
