//! `--live-prices` (in the deck `:prices live`) against the sandbox's price list, whose prices are its own: told, refused,
//! not to be reached, not to be understood, and kept for seven days. Whatever happens a plan is made, and says by which
//! prices.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use floe::address::Address;
use floe::plan::{Operation, Options};
use floe::sandbox::faults::{Fault, Faults, Rule};
use floe::tui::clock::Now;
use floe::tui::effect::Effect;
use floe::tui::model::Model;
use floe::tui::msg::Msg;
use floe::tui::screen;
use floe::tui::update::update;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::asks::{Asking, drawn};
use crate::rig::Rig;
use crate::support::{WEB_DATA, World};
use crate::weighed::{plan, requests};

/// One PutSnapshotBlock in eu-west-1: as floe ships it, and as the sandbox lists it.
const SHIPPED: f64 = 0.000_006;
const LISTED: f64 = 0.000_007_2;

async fn planned(world: &World) -> Value {
    let source = format!("us-east-1:{WEB_DATA}");
    plan(world, &[&source, "eu-west-1:", "--runs-in", "eu-west-1", "--live-prices"]).await
}

/// What a plan takes a Put to cost, and of when it says its prices are.
fn put(plan: &Value) -> (f64, String) {
    let parts = plan["cost"]["parts"].as_array().expect("parts");
    let put = parts.iter().find(|part| part["name"] == "Put in eu-west-1").expect("a line");
    let each = put["usd"].as_f64().expect("usd") / put["quantity"].as_f64().expect("a quantity");
    (each, plan["cost"]["prices_as_of"].as_str().expect("a date").to_owned())
}

fn is_listed(plan: &Value) {
    let (each, date) = put(plan);
    assert!((each - LISTED).abs() < 1e-12 && date.ends_with("(live)"), "{each} of {date}: {plan}");
}

/// By the table, and why.
fn is_shipped(plan: &Value, why: &str) {
    let (each, date) = put(plan);
    assert!((each - SHIPPED).abs() < 1e-12 && !date.contains("live"), "{each} of {date}");
    let findings = plan["findings"].as_array().expect("findings");
    let said = findings.iter().filter_map(|finding| finding["text"].as_str());
    let said = said.clone().find(|text| text.starts_with("prices are those of the table of 2"));
    assert!(said.is_some(), "nothing is said of prices: {findings:#?}");
    let said = said.unwrap_or_default();
    assert!(said.contains("because AWS could not be asked") && said.contains(why), "{said}");
}

fn trouble(world: &World, fault: Option<Fault>) {
    let rules = fault.into_iter().map(|fault| Rule::of(fault).on("GetProducts")).collect();
    world.running.sandbox.set_faults(Faults { rules, ..Faults::default() });
}

/// Where prices are kept, and when they were asked for moved back.
fn age(world: &World, hours: i64) {
    let mut moved = 0;
    for directory in [".cache/floe", ".local/state/floe/cache", ".local/state/floe"] {
        let Ok(files) = std::fs::read_dir(world.path(directory)) else { continue };
        for file in files.filter_map(Result::ok).filter(|f| f.file_name().to_string_lossy().starts_with("prices-")) {
            let mut kept: Value = serde_json::from_slice(&std::fs::read(file.path()).expect("read")).expect("JSON");
            for region in kept["regions"].as_object_mut().expect("regions").values_mut() {
                region["asked"] = (Timestamp::now() - SignedDuration::from_hours(hours)).to_string().into();
                moved += 1;
            }
            std::fs::write(file.path(), kept.to_string()).expect("written");
        }
    }
    assert!(moved >= 2, "{moved} regions are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_aws_tells_is_kept_for_seven_days_and_then_asked_for_again() {
    let world = World::calm().await;
    is_listed(&planned(&world).await);
    let asked = || requests(&world, &["GetProducts"]);
    let first = asked();
    assert!(first > 0.0);
    // Six days later nobody is asked, and it does not matter whether anybody would answer.
    age(&world, 6 * 24);
    trouble(&world, Some(Fault::Deny));
    is_listed(&planned(&world).await);
    assert!((asked() - first).abs() < 0.5, "{} of {first}", asked());
    // On the eighth day they are too old to be believed.
    age(&world, 8 * 24);
    is_shipped(&planned(&world).await, "You are not authorized");
    assert!(asked() > first);
    trouble(&world, None);
    is_listed(&planned(&world).await);
    // Without the option the table counts, whatever is kept.
    let source = format!("us-east-1:{WEB_DATA}");
    let table = plan(&world, &[&source, "eu-west-1:", "--runs-in", "eu-west-1"]).await;
    assert!((put(&table).0 - SHIPPED).abs() < 1e-12, "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_that_are_refused_unreachable_or_unreadable_leave_the_table_and_say_why() {
    let world = World::calm().await;
    trouble(&world, Some(Fault::Deny));
    is_shipped(&planned(&world).await, "You are not authorized");
    // Nobody is there.
    trouble(&world, Some(Fault::ResetBefore));
    is_shipped(&planned(&world).await, "could not read the prices");
    // Half an answer, and one that is not the service's own.
    trouble(&world, Some(Fault::Cut));
    is_shipped(&planned(&world).await, "could not read the prices");
    let page = Fault::Refuse { status: 502, code: String::new(), reason: None, message: "<html>".to_owned() };
    trouble(&world, Some(page));
    is_shipped(&planned(&world).await, "could not read the prices");
    // Nothing of it was kept: the next answer counts.
    trouble(&world, None);
    is_listed(&planned(&world).await);
}

/// A deck with a plan open, and its side that does I/O.
struct Deck {
    model: Model,
    asking: Asking,
    now: Now,
}

impl Deck {
    async fn of(rig: &Rig) -> Self {
        let source = Address::source(&rig.source()).expect("a source");
        let to = Address::destination_of(&source, "eu-west-1:").expect("a destination");
        let operation = Operation { sources: vec![source], destinations: vec![to], options: Options::default() };
        let now = Now { mono: Duration::from_secs(100), wall: Timestamp::now() };
        let mut deck = Self { model: Model::default(), asking: Asking::of(rig), now };
        let effects = screen::plan::open(&mut deck.model, operation, now);
        deck.perform(effects).await;
        deck
    }

    /// Does what the loop does with effects, until the plan that they ask for is made.
    async fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if !matches!(effect, Effect::MakePlan { .. }) {
                self.asking.perform(effect);
                continue;
            }
            let planned = |told| matches!(told, Msg::Planned(..)).then_some(told);
            let told = self.asking.ask(effect, planned).await;
            update(&mut self.model, told, self.now);
        }
    }

    /// Types a command into the palette, and answers what is drawn once its plan is made.
    async fn typed(&mut self, command: &str) -> String {
        let keys = [':'].into_iter().chain(command.chars()).map(KeyCode::Char).chain([KeyCode::Enter]);
        let mut effects = Vec::new();
        for key in keys {
            effects = update(&mut self.model, Msg::Key(KeyEvent::new(key, KeyModifiers::NONE)), self.now);
        }
        assert!(effects.iter().any(|effect| matches!(effect, Effect::MakePlan { .. })), "{command}: {effects:?}");
        self.perform(effects).await;
        drawn(&self.model, self.now)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_live_typed_in_the_deck_makes_the_open_plan_anew_and_says_whose_prices_they_are() {
    let rig = Rig::calm().await;
    let asked = || requests(&rig.world, &["GetProducts"]);
    let mut deck = Deck::of(&rig).await;
    let table = drawn(&deck.model, deck.now);
    assert!(table.contains("prices of 2") && !table.contains("(live)") && asked() < 0.5, "{table}");
    // Refused, and not to be reached: the table's, and the plan says so on the screen that it is on.
    for (fault, why) in [(Fault::Deny, "authorized"), (Fault::ResetBefore, "could not read the prices")] {
        trouble(&rig.world, Some(fault));
        let shown = deck.typed("prices live").await;
        assert!(!shown.contains("(live)") && shown.contains("prices are those of the table of 2"), "{shown}");
        let findings = &deck.model.plan.plan().expect("a plan").findings;
        let said = findings.iter().find(|found| found.text.starts_with("prices are those of the table"));
        assert!(said.is_some_and(|said| said.text.contains(why)), "{said:?}");
    }
    trouble(&rig.world, None);
    let live = deck.typed("prices live").await;
    assert!(live.contains("(live)") && !live.contains("prices are those of the table"), "{live}");
    let cost = |deck: &Deck| {
        let plan = deck.model.plan.plan().expect("a plan");
        let put = plan.cost.parts.iter().find(|part| part.name == "Put in eu-west-1").expect("a line");
        put.usd.value.0 / put.quantity
    };
    assert!((cost(&deck) - LISTED).abs() < 1e-12);
    // Kept: nobody is asked again, and nobody need be there.
    let first = asked();
    trouble(&rig.world, Some(Fault::Deny));
    let kept = deck.typed("prices live").await;
    assert!(kept.contains("(live)") && (asked() - first).abs() < 0.5, "{kept}");
    // And back.
    let table = deck.typed("prices table").await;
    assert!(!table.contains("(live)") && (cost(&deck) - SHIPPED).abs() < 1e-12, "{table}");
}
