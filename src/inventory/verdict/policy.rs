//! What the house itself wants kept: read from the config, the same for the command line and the deck.

use jiff::SignedDuration;

use crate::ids::AccountId;
use crate::rows::Tag;
use crate::store::config::Config;

/// The tag that keeps a thing from ever being an orphan, whatever the config says.
pub const KEEP: &str = "floe:keep";

/// The policy in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What is younger is left alone: it may be on its way to its use.
    pub min_age: SignedDuration,
    /// From this age on a backup of a volume that still exists is stale rather than in use.
    pub stale_after: SignedDuration,
    /// Tags that keep a thing: a key, or a key with its value.
    pub keep: Vec<(String, Option<String>)>,
    /// Accounts in which things may be orphans; empty: any.
    pub accounts: Vec<AccountId>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            min_age: SignedDuration::from_hours(24 * 7),
            stale_after: SignedDuration::from_hours(24 * 90),
            keep: vec![(KEEP.to_owned(), None)],
            accounts: Vec::new(),
        }
    }
}

impl Policy {
    /// What the config says, the default for the rest.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let mut policy = Self::default();
        policy.min_age = config.orphan_min_age.unwrap_or(policy.min_age);
        policy.stale_after = config.orphan_stale_after.unwrap_or(policy.stale_after);
        policy.keep.extend(config.orphan_keep_tags.iter().map(|text| match text.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (text.clone(), None),
        }));
        policy.accounts.clone_from(&config.orphan_accounts);
        policy
    }

    /// The tag that keeps a thing, if one of its tags does.
    #[must_use]
    pub fn keeps<'t>(&self, tags: &'t [Tag]) -> Option<&'t Tag> {
        let is = |(key, value): &&Tag| {
            self.keep.iter().any(|(k, v)| k == key && v.as_ref().is_none_or(|wanted| wanted == value))
        };
        tags.iter().find(is)
    }
}

/// `12 d`, `5 h`: one unit, for texts.
pub(super) fn span(span: SignedDuration) -> String {
    let hours = span.as_hours().max(0);
    if hours < 48 { format!("{hours} h") } else { format!("{} d", hours / 24) }
}
