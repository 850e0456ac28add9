//! What the config and the machine's file allow in this deck: resolved by the command line, handed in, never read here.
//!
//! `update` asks it before a plan is started, before rows are shown and before anything is turned; nothing else
//! of the deck knows where a limit comes from.

use std::sync::Arc;

use crate::error::Result;
use crate::ids::{AccountId, Profile};
use crate::inventory::verdict::Policy;
use crate::plan::{DestinationKind, Knobs, Plan};
use crate::store::config::Limits;
use crate::units::{Bytes, Usd};

/// The rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Makes and removes nothing, whatever the profile.
    pub read_only: bool,
    /// Profiles with which nothing is made or removed.
    pub read_only_profiles: Vec<Profile>,
    /// Above this a plan starts only after its whole dollars were typed.
    pub ask_above: Usd,
    /// Lanes of a job at most, where the plan's own line says nothing.
    pub concurrency: Option<u32>,
    /// Items that one plan removes at most, as the config says.
    pub max_delete: Option<u32>,
    /// The machine's limits.
    pub limits: Limits,
    /// A command for events of jobs, JSON on its input.
    pub on_event: Option<String>,
    /// What is never an orphan.
    pub policy: Arc<Policy>,
    /// Whether glyphs are explained, where the user has not said so in the deck.
    pub legend: Option<bool>,
}

/// Asked from this sum on, where the config says nothing.
pub const ASK_ABOVE: Usd = Usd(100.0);

impl Default for Rules {
    fn default() -> Self {
        Self {
            read_only: false,
            read_only_profiles: Vec::new(),
            ask_above: ASK_ABOVE,
            concurrency: None,
            max_delete: None,
            limits: Limits::default(),
            on_event: None,
            policy: Arc::default(),
            legend: None,
        }
    }
}

impl Rules {
    /// Whether a deck that looks with these profiles makes nothing: one of them suffices.
    #[must_use]
    pub fn is_read_only(&self, profiles: &[Profile]) -> bool {
        self.read_only || profiles.iter().any(|profile| self.read_only_profiles.contains(profile))
    }

    /// Refuses an account that the machine's file does not name; the sandbox has accounts of its own.
    ///
    /// # Errors
    /// Refused, naming the file.
    pub fn check_account(&self, account: &AccountId, sandbox: bool) -> Result<()> {
        if sandbox { Ok(()) } else { self.limits.check_account(account) }
    }

    /// Refuses a plan that reads from or writes to an account that may not be used.
    ///
    /// # Errors
    /// As [`Rules::check_account`].
    pub fn check_plan(&self, plan: &Plan, sandbox: bool) -> Result<()> {
        let sources = plan.items.iter().filter_map(|item| item.source.account.as_ref());
        let destinations = plan.items.iter().flat_map(|item| &item.destinations).filter_map(|to| to.account.as_ref());
        sources.chain(destinations).try_for_each(|account| self.check_account(account, sandbox))
    }

    /// The destination of a plan that a read-only profile would write to, as it is written.
    #[must_use]
    pub fn read_only_destination(&self, plan: &Plan) -> Option<String> {
        let writes = plan.items.iter().flat_map(|item| &item.destinations);
        let mut writes = writes.filter(|to| !matches!(to.kind, DestinationKind::Null));
        writes
            .find(|to| to.profile.as_ref().is_some_and(|profile| self.read_only_profiles.contains(profile)))
            .map(|to| to.address.to_string())
    }

    /// Items that one plan removes at most.
    #[must_use]
    pub fn max_delete(&self) -> u32 {
        self.limits.clamp_delete(self.max_delete, &mut Vec::new())
    }

    /// Lanes that may be asked for, and whether that is less than was asked.
    #[must_use]
    pub fn lanes(&self, asked: u32) -> (u32, bool) {
        let most = self.limits.max_lanes.unwrap_or(u32::MAX).max(1);
        (asked.min(most), asked > most)
    }

    /// The knobs of a plan as far as the machine allows them.
    #[must_use]
    pub fn clamp(&self, asked: Knobs) -> Knobs {
        Knobs {
            concurrency: asked.concurrency.map(|lanes| self.lanes(lanes).0),
            budget: asked.budget.map(|budget| self.limits.max_memory.map_or(budget, |most| budget.min(most))),
            ..asked
        }
    }

    /// The budget that may be asked for.
    ///
    /// # Errors
    /// A sentence with the limit and the file.
    pub fn check_budget(&self, asked: Bytes) -> std::result::Result<Bytes, String> {
        match self.limits.max_memory.filter(|most| asked > *most) {
            Some(most) => Err(format!("{} allows at most {most}", crate::store::config::MACHINE_FILE)),
            None => Ok(asked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_limits_lanes_and_memory() {
        let limits = Limits { max_lanes: Some(16), max_memory: Some(Bytes::mib(512)), ..Limits::default() };
        let rules = Rules { limits, ..Rules::default() };
        assert_eq!((rules.lanes(8), rules.lanes(64)), ((8, false), (16, true)));
        assert_eq!(rules.check_budget(Bytes::mib(512)), Ok(Bytes::mib(512)));
        assert!(rules.check_budget(Bytes::gib(1)).is_err_and(|why| why.contains("512 MiB") && why.contains("/etc/")));
        assert_eq!(Rules::default().lanes(1024), (1024, false));
    }

    #[test]
    fn one_read_only_profile_makes_the_deck_read_only() {
        let of = |name: &str| name.parse::<Profile>().unwrap();
        let rules = Rules { read_only_profiles: vec![of("prod")], ..Rules::default() };
        assert!(rules.is_read_only(&[of("dev"), of("prod")]));
        assert!(!rules.is_read_only(&[of("dev")]));
        assert!(!rules.is_read_only(&[]));
    }

    #[test]
    fn an_account_that_is_not_named_is_refused_but_not_in_the_sandbox() {
        let account: AccountId = "210987654321".parse().unwrap();
        let limits = Limits { accounts_allowed: Some(vec!["123456789012".parse().unwrap()]), ..Limits::default() };
        let rules = Rules { limits, ..Rules::default() };
        assert!(rules.check_account(&account, false).is_err_and(|e| e.kind.exit_code() == 5));
        assert!(rules.check_account(&account, true).is_ok());
    }
}
