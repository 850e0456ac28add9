//! What of this machine matters to floe: open files, room for ledgers, logout, the engine, what jobs left behind.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::Check;
use crate::cli::attach;
use crate::cli::resolve::{Resolved, World};
use crate::engine::logout::{AtLogout, Host};
use crate::engine::{self, Holder};
use crate::plan::choices::pace_lanes;
use crate::plan::{Pace, clock};
use crate::store::StateDir;
use crate::units::{Bytes, counted, grouped};

/// Open files besides those of the lanes: jobs, ledgers, journals, sockets, the terminal.
const OTHER_FILES: u64 = 128;
/// A ledger keeps a digest and a few bits for each block of 512 KiB.
const LEDGER_PER_TIB: Bytes = Bytes::mib(72);
/// Below this nothing can be begun.
const NO_ROOM: Bytes = Bytes::mib(64);
/// Below this a large copy may have to wait for room.
const LITTLE_ROOM: Bytes = Bytes::gib(1);
/// An engine answers within this.
const ANSWER: Duration = Duration::from_secs(3);

pub(super) async fn all(world: &World, resolved: &Resolved) -> Vec<Check> {
    let holder = engine::holder(&world.state);
    let mut checks = vec![open_files(resolved.config.concurrency), room(&world.state)];
    checks.push(private(&world.state));
    checks.push(logout(resolved, holder.as_ref()));
    checks.push(the_engine(world, holder).await);
    checks.push(left_overs(&world.state));
    checks
}

fn open_files(concurrency: Option<u32>) -> Check {
    let (limit, hard) = (getrlimit(Resource::Nofile).current, getrlimit(Resource::Nofile).maximum);
    let lanes = u64::from(concurrency.unwrap_or(pace_lanes(Pace::Balanced).1));
    files_for(limit, hard, lanes)
}

/// A lane has a connection to read and one to write.
fn files_for(limit: Option<u64>, hard: Option<u64>, lanes: u64) -> Check {
    const WHAT: &str = "open files";
    let needed = 2 * lanes + OTHER_FILES;
    let Some(limit) = limit else { return Check::good(WHAT, "no limit") };
    let said = format!("the limit is {}; {lanes} lanes take up to {}", grouped(limit), grouped(needed));
    if limit >= needed {
        return Check::good(WHAT, said);
    }
    let fits = limit.saturating_sub(OTHER_FILES) / 2;
    let raise = match hard {
        Some(hard) if hard < needed => {
            "raise the hard limit in /etc/security/limits.conf (or LimitNOFILE= of the service)".to_owned()
        }
        _ => format!("ulimit -n {needed}"),
    };
    if fits == 0 {
        Check::bad(WHAT, said).todo(raise)
    } else {
        Check::note(WHAT, said).todo(format!("{raise}, or --concurrency {fits}"))
    }
}

fn room(state: &StateDir) -> Check {
    match rustix::fs::statvfs(state.root()) {
        Ok(disk) => room_for(Bytes(disk.f_bavail.saturating_mul(disk.f_frsize)), state),
        Err(error) => Check::note("room", format!("{} was not measured: {error}", state.root().display())),
    }
}

fn room_for(free: Bytes, state: &StateDir) -> Check {
    let tib = free.0 / LEDGER_PER_TIB.0;
    let said = format!("{free} free in {}: ledgers of {} TiB of copies", state.root().display(), grouped(tib));
    let todo = "free some space there, or name another place with --state-dir DIR";
    if free < NO_ROOM {
        Check::bad("room", said).todo(todo)
    } else if free < LITTLE_ROOM {
        Check::note("room", said).todo(todo)
    } else {
        Check::good("room", said)
    }
}

/// The check of the state directory.
const STATE: &str = "state";

/// floe makes its directory for its owner alone; one that was there before has the mode that somebody gave it.
fn private(state: &StateDir) -> Check {
    let root = state.root();
    match std::fs::metadata(root) {
        Ok(of) => private_by(of.mode(), of.uid() == rustix::process::getuid().as_raw(), root),
        Err(error) => Check::note(STATE, format!("{} was not looked at: {error}", root.display())),
    }
}

fn private_by(mode: u32, own: bool, root: &Path) -> Check {
    let todo = || format!("chmod 700 {}", root.display());
    let shown = format!("{} (mode {:04o})", root.display(), mode & 0o7777);
    match mode & 0o077 {
        _ if !own => Check::note(STATE, format!("{shown} belongs to another user, who can change what jobs believe"))
            .todo("name another place with --state-dir DIR"),
        others if others & 0o022 != 0 => {
            Check::note(STATE, format!("others can change what jobs believe in {shown}")).todo(todo())
        }
        others if others != 0 => Check::note(STATE, format!("others can read names of jobs in {shown}")).todo(todo()),
        _ => Check::good(STATE, format!("{shown} is its owner's alone")),
    }
}

fn logout(resolved: &Resolved, holder: Option<&Holder>) -> Check {
    const WHAT: &str = "logout";
    if resolved.sandbox.is_some() {
        return Check::good(WHAT, "jobs of the sandbox live in their own command");
    }
    match Host::here(holder.map(|holder| holder.pid)).at_logout() {
        AtLogout::Lives(why) => Check::good(WHAT, format!("the background engine outlives it: {why}")),
        AtLogout::Ends { why, todo } => {
            Check::note(WHAT, format!("the background engine ends with it: {why}")).todo(todo)
        }
        AtLogout::Unknown(why) => Check::note(WHAT, format!("not checked: {why}")),
    }
}

async fn the_engine(world: &World, holder: Option<Holder>) -> Check {
    const WHAT: &str = "engine";
    let Some(holder) = holder else {
        let lock = std::fs::read_to_string(world.state.root().join("engine.lock")).ok();
        let last = lock.and_then(|text| serde_json::from_str::<Holder>(&text).ok());
        return match last {
            Some(last) => {
                Check::good(WHAT, format!("none runs; the last one was process {}, its lock is free", last.pid))
            }
            None => Check::good(WHAT, "none runs; a copy starts one"),
        };
    };
    let who = format!("process {}, floe {}", holder.pid, holder.version);
    if holder.socket.is_none() {
        return Check::good(WHAT, format!("{who}, in a command's own process"));
    }
    match tokio::time::timeout(ANSWER, attach::running(world)).await {
        Ok(Ok(Some(attached))) => {
            let status = attached.engine.status().borrow().clone();
            let up = crate::age::of(status.engine_started, crate::wall::now()).as_secs_f64();
            let jobs = status.jobs.iter().filter(|job| job.state.is_active()).count() as u64;
            let said = format!("{who}, up {}, {} in hand", clock(up), counted(jobs, "job"));
            if holder.version == env!("CARGO_PKG_VERSION") {
                Check::good(WHAT, said)
            } else {
                let todo = format!(
                    "when its jobs are done: kill {}; the next command starts floe {}",
                    holder.pid,
                    env!("CARGO_PKG_VERSION")
                );
                Check::note(WHAT, said).todo(todo)
            }
        }
        Ok(Err(error)) => Check::failed(super::Level::Bad, WHAT, &error),
        Ok(Ok(None)) | Err(_) => Check::bad(WHAT, format!("{who}, holds the lock and does not answer"))
            .todo(format!("kill {}; its jobs go on with the next engine", holder.pid)),
    }
}

fn left_overs(state: &StateDir) -> Check {
    const WHAT: &str = "left-overs";
    let jobs = match engine::jobs(state) {
        Ok(jobs) => jobs,
        Err(error) => return Check::failed(super::Level::Bad, WHAT, &error),
    };
    let littered: Vec<_> = jobs.iter().filter(|job| job.is_littered()).collect();
    let Some(first) = littered.first() else { return Check::good(WHAT, "none") };
    let named: Vec<String> = littered
        .iter()
        .flat_map(|job| job.left_overs.iter().map(move |left| format!("{left} of job {}", job.job)))
        .collect();
    let shown = named.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
    let more = if named.len() > 3 { format!("; and {} more (floe jobs ls)", named.len() - 3) } else { String::new() };
    Check::note(WHAT, format!("{shown}{more}"))
        .todo(format!("floe jobs resume {0} goes on, floe jobs cancel {0} removes them", first.job))
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn files_are_counted_against_the_lanes() {
        assert_eq!(files_for(Some(1024), Some(4096), 256).level, Level::Good);
        assert_eq!(files_for(None, None, 256).level, Level::Good);
        let few = files_for(Some(256), Some(4096), 256);
        assert_eq!(few.level, Level::Note);
        assert_eq!(few.todo.as_deref(), Some("ulimit -n 640, or --concurrency 64"));
        let hard = files_for(Some(64), Some(64), 256);
        assert_eq!(hard.level, Level::Bad);
        assert!(hard.todo.is_some_and(|todo| todo.contains("limits.conf")));
    }

    #[test]
    fn a_state_directory_that_others_reach_is_named_with_what_they_can_do() {
        let of = |mode, own| private_by(mode, own, Path::new("/srv/floe"));
        assert_eq!(of(0o40_700, true).level, Level::Good);
        let read = of(0o40_755, true);
        assert!(read.level == Level::Note && read.text.contains("read") && read.text.contains("0755"), "{read:?}");
        for mode in [0o40_777, 0o41_777, 0o40_770] {
            let open = of(mode, true);
            assert!(open.level == Level::Note && open.text.contains("change"), "{open:?}");
            assert_eq!(open.todo.as_deref(), Some("chmod 700 /srv/floe"));
        }
        assert!(of(0o40_700, false).text.contains("another user"));
    }

    #[test]
    fn room_is_told_in_what_fits() -> crate::error::Result<()> {
        let temp = tempfile::tempdir().map_err(|e| crate::error::Error::io("temp", &e))?;
        let state = StateDir::open(Some(temp.path()))?;
        assert_eq!(room_for(Bytes::gib(100), &state).level, Level::Good);
        assert_eq!(room_for(Bytes::mib(700), &state).level, Level::Note);
        let full = room_for(Bytes::mib(1), &state);
        assert!(full.level == Level::Bad && full.todo.is_some_and(|todo| todo.contains("--state-dir")));
        Ok(())
    }
}
