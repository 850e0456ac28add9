//! Whether this host lets a background engine live when its user logs out.
//!
//! systemd-logind ends the processes of a session when `KillUserProcesses` says so, and the user's own manager with
//! everything below it unless the user lingers. Read from files only, below a root that tests can name.

use std::fs;
use std::path::{Path, PathBuf};

use crate::plan::{Finding, Level};

/// What becomes of the engine at logout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AtLogout {
    /// It lives on, and why.
    Lives(String),
    /// It is ended: why, and what to do about it.
    Ends {
        /// Who would end it.
        why: String,
        /// The remedy.
        todo: String,
    },
    /// The host does not say.
    Unknown(String),
}

/// A host, seen from its root directory.
#[derive(Debug, Clone)]
pub struct Host {
    /// `/`, but for tests.
    pub root: PathBuf,
    /// The user's name.
    pub user: String,
    /// The process whose place counts: a running engine's, else this one's, because an engine is started from here.
    pub pid: Option<u32>,
}

impl Host {
    /// This host, for the engine that runs in process `pid`, or for one that would be started from here.
    #[must_use]
    pub fn here(pid: Option<u32>) -> Self {
        let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
        let user = user.or_else(|| std::env::var("LOGNAME").ok()).unwrap_or_else(|| "root".to_owned());
        Self { root: PathBuf::from("/"), user, pid }
    }

    /// What becomes of the engine at logout.
    #[must_use]
    pub fn at_logout(&self) -> AtLogout {
        if !self.root.join("run/systemd/system").is_dir() {
            return AtLogout::Lives("this host has no systemd that ends processes at logout".to_owned());
        }
        let process = self.pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
        let Ok(place) = fs::read_to_string(self.root.join("proc").join(process).join("cgroup")) else {
            return AtLogout::Unknown("its control group cannot be read".to_owned());
        };
        if place.contains("/user@") {
            self.below_the_users_manager()
        } else if place.contains("/session-") {
            self.in_a_session()
        } else {
            AtLogout::Lives("it runs outside of any login".to_owned())
        }
    }

    fn lingers(&self) -> bool {
        self.root.join("var/lib/systemd/linger").join(&self.user).exists()
    }

    fn below_the_users_manager(&self) -> AtLogout {
        if self.lingers() {
            return AtLogout::Lives(format!("{} lingers", self.user));
        }
        AtLogout::Ends {
            why: format!(
                "systemd ends everything of {} at the last logout, because {} does not linger",
                self.user, self.user
            ),
            todo: format!("loginctl enable-linger {}", self.user),
        }
    }

    fn in_a_session(&self) -> AtLogout {
        let setting = self.logind();
        let spared =
            setting.excluded.contains(&self.user) || (!setting.only.is_empty() && !setting.only.contains(&self.user));
        match setting.kill {
            Some(true) if !spared => AtLogout::Ends {
                why: "systemd-logind ends the processes of a session at its logout (KillUserProcesses=yes)".to_owned(),
                todo: format!(
                    "loginctl enable-linger {}, then run the engine as a service of the user: systemctl --user enable --now floe-engine",
                    self.user
                ),
            },
            None if !spared => AtLogout::Unknown("logind.conf does not say whether KillUserProcesses is on".to_owned()),
            _ => AtLogout::Lives("systemd-logind leaves its processes alone at logout".to_owned()),
        }
    }

    /// The setting in force: the first main file that there is, then the drop-ins by name, each in the first place
    /// that has one of that name.
    fn logind(&self) -> Logind {
        const PLACES: [&str; 4] = ["etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd"];
        let places = PLACES.map(|place| self.root.join(place));
        let mut logind = Logind::default();
        if let Some(text) = places.iter().find_map(|place| fs::read_to_string(place.join("logind.conf")).ok()) {
            logind.read(&text, true);
        }
        let mut drop_ins = std::collections::BTreeMap::new();
        for place in places.iter().rev() {
            for entry in fs::read_dir(place.join("logind.conf.d")).into_iter().flatten().flatten() {
                if entry.path().extension().is_some_and(|end| end == "conf") {
                    drop_ins.insert(entry.file_name(), entry.path());
                }
            }
        }
        for path in drop_ins.values() {
            logind.read(&fs::read_to_string(path).unwrap_or_default(), false);
        }
        logind
    }
}

#[derive(Debug)]
struct Logind {
    kill: Option<bool>,
    only: Vec<String>,
    excluded: Vec<String>,
}

impl Default for Logind {
    fn default() -> Self {
        Self { kill: None, only: Vec::new(), excluded: vec!["root".to_owned()] }
    }
}

impl Logind {
    /// Takes what a file says; a main file names its built-in default in a comment.
    fn read(&mut self, text: &str, main: bool) {
        for line in text.lines().map(str::trim) {
            let (line, comment) = line.strip_prefix('#').map_or((line, false), |rest| (rest.trim(), true));
            let Some((key, value)) = line.split_once('=') else { continue };
            let users = || value.split_whitespace().map(str::to_owned).collect();
            match (key.trim(), comment) {
                ("KillUserProcesses", false) => self.kill = Some(is_yes(value)),
                ("KillUserProcesses", true) if main => self.kill = self.kill.or(Some(is_yes(value))),
                ("KillOnlyUsers", false) => self.only = users(),
                ("KillExcludeUsers", false) => self.excluded = users(),
                _ => {}
            }
        }
    }
}

fn is_yes(value: &str) -> bool {
    matches!(value.trim().to_ascii_lowercase().as_str(), "yes" | "true" | "on" | "1" | "y" | "t")
}

/// What a plan for the background engine has to say about logout.
#[must_use]
pub fn finding(host: &Host) -> Option<Finding> {
    match host.at_logout() {
        AtLogout::Ends { why, todo } => Some(Finding {
            level: Level::Note,
            text: format!("the job stops when you log out: {why}; it goes on with the next engine"),
            todo: Some(todo),
        }),
        AtLogout::Lives(_) | AtLogout::Unknown(_) => None,
    }
}

/// Whether `root` is where a host's files are looked for.
#[must_use]
pub fn at(root: &Path, user: &str) -> Host {
    Host { root: root.to_owned(), user: user.to_owned(), pid: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "0::/user.slice/user-1000.slice/session-4.scope\n";
    const MANAGER: &str = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/term.scope\n";

    struct Fake(tempfile::TempDir);

    impl Fake {
        fn new(cgroup: &str) -> Self {
            let fake = Self(tempfile::tempdir().expect("a directory"));
            fs::create_dir_all(fake.0.path().join("run/systemd/system")).expect("a directory");
            fake.with("proc/self/cgroup", cgroup)
        }
        fn with(self, path: &str, text: &str) -> Self {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("written");
            self
        }
        fn says(&self, user: &str) -> AtLogout {
            at(self.0.path(), user).at_logout()
        }
        fn ends(&self, user: &str) -> bool {
            matches!(self.says(user), AtLogout::Ends { .. })
        }
    }

    #[test]
    fn without_systemd_nothing_ends_it() {
        let root = tempfile::tempdir().expect("a directory");
        assert!(matches!(at(root.path(), "ops").at_logout(), AtLogout::Lives(_)));
        assert!(finding(&at(root.path(), "ops")).is_none());
        let service = Fake::new("0::/system.slice/cron.service\n");
        assert!(matches!(service.says("ops"), AtLogout::Lives(_)));
    }

    #[test]
    fn a_session_ends_with_its_processes_where_logind_says_so() {
        assert!(matches!(Fake::new(SESSION).says("ops"), AtLogout::Unknown(_)));
        let default = |value: &str| {
            Fake::new(SESSION).with("usr/lib/systemd/logind.conf", &format!("[Login]\n#KillUserProcesses={value}\n"))
        };
        assert!(!default("no").ends("ops"));
        assert!(default("yes").ends("ops"));
        assert!(!default("yes").ends("root"), "root is excluded unless it is said otherwise");
        assert!(default("no").with("etc/systemd/logind.conf", "KillUserProcesses=yes").ends("ops"));
        let over = default("no").with("etc/systemd/logind.conf.d/50-kill.conf", "[Login]\nKillUserProcesses = yes\n");
        assert!(over.ends("ops"), "a drop-in counts last");
        let only = over.with("run/systemd/logind.conf.d/60-only.conf", "KillOnlyUsers=guest\n");
        assert!(!only.ends("ops") && only.ends("guest"));
        // Lingering alone does not save what is in the session: a service of the user is what does.
        let kept = default("yes").with("var/lib/systemd/linger/ops", "");
        let todo = match kept.says("ops") {
            AtLogout::Ends { todo, .. } => todo,
            other => format!("{other:?}"),
        };
        assert!(todo.contains("enable-linger") && todo.contains("systemctl --user"), "{todo}");
    }

    #[test]
    fn below_the_users_manager_it_is_lingering_that_counts() {
        let host = Fake::new(MANAGER);
        assert!(host.ends("ops"));
        let found = finding(&at(host.0.path(), "ops")).expect("to know");
        assert_eq!(found.level, Level::Note);
        assert_eq!(found.todo.as_deref(), Some("loginctl enable-linger ops"));
        assert!(!host.with("var/lib/systemd/linger/ops", "").ends("ops"));
    }
}
