//! The region under World's cursor: what is there, how the account is set up there, and what bounds a copy.
//!
//! What the lists do not tell is asked for one region at a time, when the cursor comes to rest on it, and kept for ten
//! minutes. Each answer stands alone: what is denied says which action it would take, and the others are shown.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::aws::{Billed, EncryptionDefault, PublicSharing};
use crate::error::{Error, Result};
use crate::ids::Region;
use crate::inventory::Origin;
use crate::plan::{QuotaFact, quota_codes as codes};
use crate::rows::BinRule;
use crate::tui::catalog::{Load, TALLY_ENCRYPTED, TALLY_LOOSE, TALLY_LOOSE_GIB, TALLY_PENDING};
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::model::Model;
use crate::tui::screen::Screen;
use crate::tui::text;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::panel;
use crate::tui::widget::table::put;
use crate::units::{Bytes, Quantity, Usd, counted, grouped};

/// Lines of the panel, the most useful first,
pub const LINES: u16 = 6;
/// and without which it is not worth its frame.
pub const LINES_LEAST: u16 = 4;
/// So long an answer is good.
const FRESH: Duration = Duration::from_mins(10);

/// How an account is set up in a region.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What is encrypted without being asked.
    pub encryption: Result<EncryptionDefault>,
    /// What may be public.
    pub sharing: Result<PublicSharing>,
    /// What the Recycle Bin keeps of deleted snapshots.
    pub bin: Result<Vec<BinRule>>,
    /// What bounds copies.
    pub quotas: Vec<QuotaFact>,
}

/// What was asked and told, by region.
#[derive(Debug, Default)]
pub struct Setups {
    asking: Option<Arc<Origin>>,
    /// With the moment and the look in which it was told.
    told: HashMap<Arc<Origin>, (Duration, u64, Setup)>,
}

impl Setups {
    /// An answer came.
    pub fn keep(&mut self, of: &Arc<Origin>, setup: Setup, look: u64, now: Now) {
        self.asking.take_if(|asking| asking == of);
        self.told.insert(Arc::clone(of), (now.mono, look, setup));
    }

    fn of(&self, origin: &Arc<Origin>) -> Option<&Setup> {
        self.told.get(origin).map(|(.., setup)| setup)
    }

    fn is_fresh(&self, origin: &Arc<Origin>, look: u64, now: Now) -> bool {
        let told = self.told.get(origin);
        told.is_some_and(|(at, told, _)| *told == look && now.mono.saturating_sub(*at) < FRESH)
    }
}

/// Asks for the region under the cursor, unless it is known. One whose lists were refused is not asked more.
pub fn ask(model: &mut Model, now: Now) -> Vec<Effect> {
    if model.screen != Screen::World || !model.overlays.is_empty() {
        return Vec::new();
    }
    let Some(origin) = model.world.current().cloned() else { return Vec::new() };
    let is_there = matches!(model.catalog.snapshots.of(&origin).map(|shard| &shard.load), Some(Load::Done(_)));
    let setups = &mut model.world.setups;
    if !is_there || setups.asking.as_ref() == Some(&origin) || setups.is_fresh(&origin, model.look, now) {
        return Vec::new();
    }
    setups.asking = Some(Arc::clone(&origin));
    vec![Effect::AskSetup(origin)]
}

/// What Cost Explorer said of a region.
fn billed(told: &Billed, region: &Region) -> String {
    let usd = told.regions.get(region).copied().unwrap_or(Usd(0.0));
    let sure = if told.estimated { "≈" } else { "=" };
    let all = told.total();
    format!("snapshots {sure} {usd} of {all} in the 30 days to {} (Cost Explorer)", told.until)
}

/// What an answer says, or which action it would take.
fn said<T>(answer: &Result<T>, say: impl FnOnce(&T) -> String, unknown: &str) -> String {
    match answer {
        Ok(told) => say(told),
        Err(error) => format!("{unknown} ? ({})", why(error)),
    }
}

fn why(error: &Error) -> String {
    match &error.aws {
        Some(told) if told.status == Some(403) => "denied".to_owned(),
        Some(told) => told.name().into_owned(),
        None => "no answer".to_owned(),
    }
}

fn defaults(setup: &Setup) -> String {
    let encrypted = |told: &EncryptionDefault| match (told.on, &told.key) {
        (true, Some(key)) => format!("encrypted by default, {}", key_name(key)),
        (true, None) => "encrypted by default".to_owned(),
        (false, _) => "not encrypted by default".to_owned(),
    };
    let shared = |told: &PublicSharing| {
        let words = match told {
            PublicSharing::Unblocked => "public sharing possible",
            PublicSharing::NoNew => "no new public ones",
            PublicSharing::Blocked => "public sharing blocked",
        };
        words.to_owned()
    };
    let parts = [
        said(&setup.encryption, encrypted, "encryption"),
        said(&setup.sharing, shared, "public sharing"),
        said(&setup.bin, |rules| kept(rules), "Recycle Bin"),
    ];
    parts.join(" · ")
}

/// An alias as it is; of a key's id the tail, which tells keys apart.
fn key_name(key: &str) -> String {
    match key.rsplit_once("key/") {
        Some((_, id)) => format!("key {}", text::tail(id, 12)),
        None => key.to_owned(),
    }
}

/// For how long what is deleted can be brought back.
fn kept(rules: &[BinRule]) -> String {
    let Some(longest) = rules.iter().max_by_key(|rule| (rule.tags.is_empty(), rule.days)) else {
        return "no Recycle Bin: what is deleted is gone".to_owned();
    };
    let days = counted(u64::from(longest.days), "day");
    match (longest.tags.is_empty(), longest.except.is_empty()) {
        (true, true) => format!("Recycle Bin {days}"),
        (true, false) => format!("Recycle Bin {days} for most"),
        (false, _) => format!("Recycle Bin up to {days}, by tags"),
    }
}

/// What bounds copies there; `≈` where Service Quotas did not say what is in force.
fn bounds(quotas: &[QuotaFact], pending: u64) -> String {
    let of = |code: &str| quotas.iter().find(|fact| fact.code == code).map(value);
    let rates = |whose: &str, get: &str, put: &str| Some(format!("{whose}: Get {}/s, Put {}/s", of(get)?, of(put)?));
    let parts = [
        rates("a snapshot", codes::GET_SNAPSHOT, codes::PUT_SNAPSHOT),
        rates("all together", codes::GET_ACCOUNT, codes::PUT_ACCOUNT),
        of(codes::PENDING).map(|most| format!("{} of {most} pending", grouped(pending))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn value(fact: &QuotaFact) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a quota, a whole number")]
    let value = grouped(fact.value as u64);
    format!("{}{value}", if fact.told { "" } else { "≈ " })
}

/// The label and the text of each line.
fn lines(model: &Model, origin: &Arc<Origin>) -> Vec<(&'static str, String, Role)> {
    let c = &model.catalog;
    let (Some(snapshots), Some(volumes)) = (c.snapshots.of(origin), c.volumes.of(origin)) else { return Vec::new() };
    let prices = crate::plan::Prices::bundled();
    let gib = |q: Quantity<Usd>| {
        q.known().map_or_else(|| "? (no price known)".to_owned(), |p| format!("${:.4} a GiB-month", p.0))
    };
    let size = |bytes: Bytes| text::size(bytes);
    let profile = origin.profile.as_ref().map_or("of the environment", |p| p.as_str());
    let (setup, bounds) = match model.world.setups.of(origin) {
        Some(setup) => {
            ((defaults(setup), Role::Text), (bounds(&setup.quotas, snapshots.tally[TALLY_PENDING]), Role::Text))
        }
        None => (("?".to_owned(), Role::Dim), ("?".to_owned(), Role::Dim)),
    };
    vec![
        (
            "snapshots",
            format!(
                "{}, {} encrypted · all blocks of all of them {}, stored at most that",
                grouped(snapshots.sums.rows),
                grouped(snapshots.tally[TALLY_ENCRYPTED]),
                size(snapshots.sums.bytes)
            ),
            Role::Text,
        ),
        (
            "volumes",
            format!(
                "{} of {}, {} unattached ({} GiB)",
                grouped(volumes.sums.rows),
                size(volumes.sums.bytes),
                volumes.tally[TALLY_LOOSE],
                grouped(volumes.tally[TALLY_LOOSE_GIB])
            ),
            Role::Text,
        ),
        ("defaults", setup.0, setup.1),
        ("quotas", bounds.0, bounds.1),
        (
            "prices",
            format!("snapshots {} · table of {}", gib(prices.snapshot_month(&origin.region)), prices.as_of),
            Role::Text,
        ),
        ("account", format!("{} · profile {profile}", origin.account.grouped()), Role::Text),
    ]
}

/// Draws the panel.
pub fn draw(model: &Model, area: Rect, buf: &mut Buffer, theme: &Theme) {
    if area.height == 0 {
        return;
    }
    let Some(origin) = model.world.current() else {
        panel("Region", "", false, area, buf, theme);
        return;
    };
    let inner = panel(origin.region.as_str(), "enter its snapshots", false, area, buf, theme);
    let billed = model.world.billed.as_ref().map(|told| ("billed", billed(told, &origin.region), Role::Text));
    for (n, (label, value, role)) in (0u16..inner.height).zip(billed.into_iter().chain(lines(model, origin))) {
        let at = Rect { y: inner.y + n, height: 1, ..inner };
        put(at.x + 1, label, theme.style(Role::Dim), at, buf);
        put(at.x + 13, &text::clauses(&value, usize::from(at.width).saturating_sub(14)), theme.style(role), at, buf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{AwsDetail, Class};
    use crate::tui::msg::Msg;
    use crate::tui::testing::{deck, frame, now, origin, press};
    use crate::tui::update::update;

    fn setup() -> Setup {
        let fact = |code: &str, value: f64, told: bool| QuotaFact {
            code: code.to_owned(),
            name: String::new(),
            value,
            region: "us-east-1".to_owned(),
            told,
            adjustable: false,
        };
        let rule = |days, except: &[&str], tags: &[&str]| BinRule {
            id: "r".to_owned(),
            days,
            tags: tags.iter().map(|key| ((*key).to_owned(), None)).collect(),
            except: except.iter().map(|key| ((*key).to_owned(), None)).collect(),
        };
        Setup {
            encryption: Ok(EncryptionDefault { on: true, key: Some("alias/ebs-prod".to_owned()) }),
            sharing: Ok(PublicSharing::Blocked),
            bin: Ok(vec![rule(14, &["purge"], &[]), rule(30, &[], &["team"])]),
            quotas: vec![
                fact(codes::GET_ACCOUNT, 5000.0, true),
                fact(codes::GET_SNAPSHOT, 1000.0, false),
                fact(codes::PUT_SNAPSHOT, 1000.0, true),
                fact(codes::PENDING, 100.0, true),
            ],
        }
    }

    fn asked(effects: &[Effect]) -> Vec<String> {
        let asked = effects.iter().filter_map(|effect| match effect {
            Effect::AskSetup(of) => Some(of.region.to_string()),
            _ => None,
        });
        asked.collect()
    }

    fn shown(model: &Model) -> String {
        frame(model, now()).join("\n")
    }

    #[test]
    fn a_region_is_asked_about_once_in_ten_minutes_and_again_by_a_new_look() {
        let mut model = deck(120, 40);
        let mut now = now();
        let here = model.world.current().cloned().unwrap();
        assert!(model.world.setups.asking.as_ref() == Some(&here), "as soon as its lists are here");
        assert!(asked(&press(&mut model, &["E", "esc"], &mut now)).is_empty(), "asked already");
        update(&mut model, Msg::Setup(here.clone(), Box::new(setup())), now);
        assert!(asked(&press(&mut model, &["E", "esc"], &mut now)).is_empty(), "told");
        let next = asked(&press(&mut model, &["down", "down"], &mut now));
        assert_eq!(next, ["eu-west-1"], "the one between them is still loading");
        assert!(asked(&press(&mut model, &["up", "up"], &mut now)).is_empty(), "still known");
        now = now.later(FRESH);
        assert_eq!(asked(&press(&mut model, &["E", "esc"], &mut now)), [here.region.to_string()]);
    }

    #[test]
    fn nothing_of_another_world_stays() {
        let mut model = deck(120, 40);
        let here = model.world.current().cloned().unwrap();
        update(&mut model, Msg::Setup(here.clone(), Box::new(setup())), now());
        let (profiles, profile) = (model.profiles.clone(), here.profile.clone());
        update(&mut model, Msg::World { profiles, profile, sandbox: true, memory: Default::default() }, now());
        assert!(model.world.setups.of(&here).is_none() && model.world.setups.asking.is_none());
    }

    #[test]
    fn what_is_told_is_shown_and_what_is_denied_does_not_hide_the_rest() {
        let mut model = deck(120, 40);
        let here = model.world.current().cloned().unwrap();
        update(&mut model, Msg::Setup(here.clone(), Box::new(setup())), now());
        let text = shown(&model);
        let line = "encrypted by default, alias/ebs-prod · public sharing blocked · Recycle Bin 14 days for most";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("a snapshot: Get ≈ 1,000/s, Put 1,000/s · 0 of 100 pending"), "{text}");
        let denied = AwsDetail { code: "UnauthorizedOperation".into(), status: Some(403), ..AwsDetail::default() };
        let denied = Error { aws: Some(Box::new(denied)), class: Class::Permanent, ..Error::failed("no") };
        let some = Setup { sharing: Err(denied), ..setup() };
        update(&mut model, Msg::Setup(here, Box::new(some)), now());
        let text = shown(&model);
        assert!(text.contains("alias/ebs-prod · public sharing ? (denied) · Recycle Bin 14"), "{text}");
        assert_eq!(kept(&[]), "no Recycle Bin: what is deleted is gone");
    }

    #[test]
    fn a_region_whose_lists_are_not_complete_or_denied_is_not_asked_about() {
        let mut model = deck(120, 40);
        for region in ["eu-central-1", "me-south-1"] {
            let place = model.world.rows.iter().position(|row| row.origin.as_ref() == Some(&origin(region)));
            let Some(place) = place else { continue };
            model.world.list.cursor = place;
            assert!(ask(&mut model, now()).is_empty(), "{region}");
        }
    }
}
