//! A disk under the state directory that refuses, when a test wants it to: full, read-only, or failing once.
//!
//! Only in builds with debug assertions, and only while the file exists that `FLOE_AILING_DISK` names; in a release there
//! is nothing. The file says `[only] [once] [sync] ERRNO [WORD]`: once something that holds the word was to be written
//! (anything, without one), that write and all after it fail with the number, until the file is gone. With `sync` writes
//! are taken, and from that one on what fails is to make them durable; with `only` nothing fails but what holds the word
//! itself, and with `once` nothing after the first time. `PATH.met` is made at the first failure.
//!
//! What is written is named by what it is: a journal's or audit log's line by its text, `ledger`, any other file by its
//! path. What is synced is `journal`, `ledger`, `audit`, or a path. Called by whoever writes in the state directory.

use std::io;

/// Whether what is about to be written is refused.
pub(crate) fn write(what: &str) -> io::Result<()> {
    refused(false, what)
}

/// Whether the sync of what was written fails: then nothing of it may be thought to be on the disk.
pub(crate) fn sync(what: &str) -> io::Result<()> {
    refused(true, what)
}

/// What the switch says.
#[cfg(debug_assertions)]
#[derive(Debug, Default, PartialEq)]
struct Illness {
    errno: i32,
    word: String,
    syncs: bool,
    only: bool,
    once: bool,
}

#[cfg(debug_assertions)]
impl Illness {
    fn read(text: &str) -> Option<Self> {
        let mut illness = Self::default();
        let mut rest = text.trim();
        loop {
            let (first, more) = rest.split_once(' ').unwrap_or((rest, ""));
            match first {
                "sync" => illness.syncs = true,
                "only" => illness.only = true,
                "once" => illness.once = true,
                number => {
                    illness.errno = number.parse().ok()?;
                    more.clone_into(&mut illness.word);
                    return Some(illness);
                }
            }
            rest = more;
        }
    }

    /// What becomes of it by this, and whether it strikes.
    fn meets(&self, sync: bool, what: &str, so_far: Course) -> (Course, bool) {
        if self.once && so_far == Course::Struck {
            return (so_far, false);
        }
        let hit = what.contains(&self.word);
        if self.syncs && !sync {
            return (if hit && !self.only { so_far.max(Course::Armed) } else { so_far }, false);
        }
        let strikes = sync == self.syncs && (hit || so_far != Course::Waits && !self.only);
        (if strikes { Course::Struck } else { so_far }, strikes)
    }
}

/// How far it has come.
#[cfg(debug_assertions)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Course {
    #[default]
    Waits,
    /// The word was written: the next sync fails.
    Armed,
    Struck,
}

#[cfg(debug_assertions)]
fn refused(sync: bool, what: &str) -> io::Result<()> {
    use std::path::PathBuf;
    use std::sync::{Mutex, OnceLock, PoisonError};
    static SWITCH: OnceLock<Option<PathBuf>> = OnceLock::new();
    static COURSE: Mutex<Course> = Mutex::new(Course::Waits);
    #[cfg(test)]
    in_tests::refused(sync, what)?;
    let Some(switch) = SWITCH.get_or_init(|| std::env::var_os("FLOE_AILING_DISK").map(PathBuf::from)) else {
        return Ok(());
    };
    let mut course = COURSE.lock().unwrap_or_else(PoisonError::into_inner);
    let Ok(text) = std::fs::read_to_string(switch) else {
        *course = Course::Waits;
        return Ok(());
    };
    let Some(illness) = Illness::read(&text) else { return Ok(()) };
    let (next, strikes) = illness.meets(sync, what, *course);
    let first = *course != Course::Struck;
    *course = next;
    if !strikes {
        return Ok(());
    }
    if first {
        let _ = std::fs::write(switch.with_extension("met"), what);
    }
    Err(io::Error::from_raw_os_error(illness.errno))
}

/// A release has no such disk.
#[cfg(not(debug_assertions))]
#[expect(clippy::unnecessary_wraps, reason = "as in builds for tests")]
const fn refused(_: bool, _: &str) -> io::Result<()> {
    Ok(())
}

/// The same for unit tests, which share one process: the disk is ill for one thread only.
#[cfg(all(test, debug_assertions))]
pub(crate) mod in_tests {
    use std::cell::RefCell;
    use std::io;

    use super::{Course, Illness};

    thread_local! {
        static ILL: RefCell<Option<(Illness, Course)>> = const { RefCell::new(None) };
    }

    /// What this thread writes is refused as the text says, until it is told otherwise.
    pub(crate) fn ail(text: Option<&str>) {
        ILL.set(text.map(|text| (Illness::read(text).expect("an illness"), Course::Waits)));
    }

    pub(super) fn refused(sync: bool, what: &str) -> io::Result<()> {
        ILL.with_borrow_mut(|ill| {
            let Some((illness, course)) = ill else { return Ok(()) };
            let (next, strikes) = illness.meets(sync, what, *course);
            *course = next;
            if strikes { Err(io::Error::from_raw_os_error(illness.errno)) } else { Ok(()) }
        })
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    /// Which of these are refused, one after another; a sync is written with a `~` in front.
    fn refused(illness: &str, asked: &[&str]) -> String {
        let (illness, mut course) = (Illness::read(illness).expect("an illness"), Course::Waits);
        let mut told = String::new();
        for what in asked {
            let sync = what.starts_with('~');
            let (next, strikes) = illness.meets(sync, what.trim_start_matches('~'), course);
            course = next;
            told.push(if strikes { 'x' } else { '.' });
        }
        told
    }

    #[test]
    fn it_fails_what_it_was_told_to_and_nothing_else() {
        let asked = ["a", "~journal", "b c", "~ledger", "a", "~journal", "b c"];
        for (illness, told) in [
            ("28", "x.x.x.x"),
            ("28 b c\n", "..x.x.x"),
            ("only 28 b c", "..x...x"),
            ("once 28 b c", "..x...."),
            ("sync 28 b c", "...x.x."),
            ("once sync 5 b c", "...x..."),
            ("only sync 5 journal", ".x...x."),
            ("once only sync 5 journal", ".x....."),
        ] {
            assert_eq!(refused(illness, &asked), told, "{illness}");
        }
        assert!(Illness::read("many").is_none());
    }
}
