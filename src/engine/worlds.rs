//! The worlds that an engine works in: each the AWS of one front's surroundings, opened once and kept.
//!
//! Invariant: the engine's own environment is never a credential source. A front introduces its world with a
//! command, a job keeps it (without a secret), and keys of a shell live here in memory only; fresh ones of the
//! same account reach every world that waits for them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::blocks::lock;
use super::spec::Spec;
use crate::aws::{Aws, Introduction, Settings};
use crate::error::{Error, Result};

/// Clones are the same worlds.
#[derive(Debug, Clone)]
pub(super) struct Worlds {
    /// The front's own, of an engine that lives in a front.
    own: Option<Aws>,
    known: Arc<Mutex<BTreeMap<String, Aws>>>,
    /// Counts introductions: who waits for credentials looks again.
    fresh: Arc<watch::Sender<u64>>,
}

impl Worlds {
    /// Of an engine in a front's process (`own`), or in one of its own.
    pub(super) fn new(own: Option<Aws>) -> Self {
        Self { own, known: Arc::default(), fresh: Arc::new(watch::channel(0).0) }
    }

    /// Wakes whenever a front has introduced itself.
    pub(super) fn fresh(&self) -> watch::Receiver<u64> {
        self.fresh.subscribe()
    }

    /// Takes what a front says of its world: opens it when it is new, hands its keys to all of their account.
    pub(super) fn introduce(&self, introduction: &Introduction) -> Result<()> {
        if self.own.is_none() {
            let mut known = lock(&self.known);
            let key = key(&introduction.settings)?;
            if let Some(keys) = &introduction.keys {
                let shell = &introduction.settings.surroundings.shell;
                for aws in known.values().filter(|aws| aws.settings().surroundings.shell == *shell) {
                    aws.hand(keys);
                }
            }
            if let Entry::Vacant(free) = known.entry(key) {
                free.insert(Aws::introduced(introduction.clone())?);
            }
        }
        self.fresh.send_modify(|count| *count += 1);
        Ok(())
    }

    /// The world of a job: the one in whose process we are, which must be the same; else the job's own.
    pub(super) fn of(&self, spec: &Spec) -> Result<Aws> {
        if let Some(own) = &self.own {
            spec.must_be_in(&own.world())?;
            return Ok(own.clone());
        }
        let settings = spec.settings.as_ref().ok_or_else(|| {
            Error::refused(format!("job {} belongs to a sandbox that lived in its command", spec.job))
                .todo(format!("floe --sandbox jobs resume {}", spec.job))
        })?;
        let mut known = lock(&self.known);
        let key = key(settings)?;
        if let Some(aws) = known.get(&key) {
            return Ok(aws.clone());
        }
        let aws = Aws::introduced(Introduction { settings: settings.clone(), keys: None })?;
        known.insert(key, aws.clone());
        Ok(aws)
    }

    /// Whether a job could run here at all.
    pub(super) fn check(&self, spec: &Spec) -> Result<()> {
        match &self.own {
            Some(own) => spec.must_be_in(&own.world()),
            None if spec.settings.is_none() => self.of(spec).map(|_| ()),
            None => Ok(()),
        }
    }
}

/// Equal surroundings are one world, whatever the passwords of their proxies.
fn key(settings: &Settings) -> Result<String> {
    serde_json::to_string(&settings.without_secrets())
        .map_err(|e| Error::failed(format!("could not name the world of a front: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::{Shell, ShellKeys, Surroundings};

    fn front(account: &str, key: &str) -> Introduction {
        let shell = Shell::Keys(account.parse().ok());
        let surroundings = Surroundings { shell, ..Surroundings::of_process(|_| None) };
        let keys = ShellKeys {
            access_key_id: key.to_owned(),
            secret_access_key: "s".to_owned(),
            session_token: None,
            expires: None,
        };
        Introduction { settings: Settings { surroundings, ..Settings::default() }, keys: Some(keys) }
    }

    #[test]
    fn two_shells_of_two_accounts_are_two_worlds_and_fresh_keys_reach_their_own() -> Result<()> {
        let worlds = Worlds::new(None);
        let woken = worlds.fresh();
        worlds.introduce(&front("111122223333", "A"))?;
        worlds.introduce(&front("444455556666", "B"))?;
        worlds.introduce(&front("111122223333", "A2"))?;
        let known = lock(&worlds.known);
        assert_eq!(known.len(), 2);
        assert_eq!(*woken.borrow(), 3);
        let held: Vec<_> = known.values().filter_map(Aws::shell_key_id).collect();
        assert_eq!(held, ["A2", "B"], "each account has its own, the latest");
        Ok(())
    }
}
