//! A disk under journals and ledgers that refuses, when a test wants it to: full, or read-only from one moment on.
//!
//! Only in builds with debug assertions, and only while the file exists that `FLOE_AILING_DISK` names; in a release there
//! is nothing. The file says `ERRNO [WORD]`: once something that holds the word was to be written (anything, without one),
//! that write and all after it fail with the number, until the file is gone. `PATH.met` is made at the first.

use std::io;

/// Whether what is about to be written is refused.
#[cfg(debug_assertions)]
pub(super) fn write(what: &str) -> io::Result<()> {
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};
    static SWITCH: OnceLock<Option<PathBuf>> = OnceLock::new();
    static ILL: AtomicBool = AtomicBool::new(false);
    let Some(switch) = SWITCH.get_or_init(|| std::env::var_os("FLOE_AILING_DISK").map(PathBuf::from)) else {
        return Ok(());
    };
    let Ok(text) = std::fs::read_to_string(switch) else {
        ILL.store(false, Ordering::Relaxed);
        return Ok(());
    };
    let (errno, word) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let Ok(errno) = errno.parse() else { return Ok(()) };
    if !ILL.load(Ordering::Relaxed) {
        if !what.contains(word) {
            return Ok(());
        }
        ILL.store(true, Ordering::Relaxed);
        let _ = std::fs::write(switch.with_extension("met"), what);
    }
    Err(io::Error::from_raw_os_error(errno))
}

/// A release has no such disk.
#[cfg(not(debug_assertions))]
#[expect(clippy::unnecessary_wraps, reason = "as in builds for tests")]
pub(super) const fn write(_: &str) -> io::Result<()> {
    Ok(())
}
