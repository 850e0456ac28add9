//! No operating screen cuts a word or a date, made up or on a sandbox. The browsing screens are swept beside their code.

#[path = "../../../src/tui/cut.rs"]
mod cut;

use floe::tui::screen::Screen;

use super::{drawn, example, pictures};
use crate::cleared::Deck;
use crate::rig::Rig;
use crate::support::World;

fn none(found: &[String]) {
    assert!(found.is_empty(), "{} lines cut a word:\n{}", found.len(), found.join("\n"));
}

#[test]
fn no_picture_cuts_a_word() {
    let drawn = drawn::all().into_iter();
    let pictures = pictures::all().into_iter().map(|(name, _, model)| (name, model));
    let found = drawn.chain(pictures).flat_map(|(name, mut model)| {
        let each = cut::SIZES.iter().flat_map(|size| cut::found(name, &mut model, *size, example::now()));
        each.collect::<Vec<_>>()
    });
    none(&found.collect::<Vec<_>>());
}

/// Each screen of a deck on a scenario, then what opens from it.
#[tokio::test(flavor = "multi_thread")]
async fn no_deck_on_a_scenario_cuts_a_word() {
    let mut found = Vec::new();
    for scenario in ["default", "clear", "denied"] {
        let rig = Rig::of(World::of(scenario).await);
        let mut deck = Deck::of(&rig);
        deck.model.chosen_regions.clear();
        deck.looked().await;
        deck.until("the lists", |model| model.catalog.finished).await;
        deck.press(&["5"]);
        deck.until("the verdicts", |model| model.orphans.finished && model.screen == Screen::Orphans).await;
        for keys in [&["1"][..], &["2"], &["3"], &["4"], &["5"], &["6"], &["7"], &["W"], &["E"]] {
            for opened in [&[][..], &["enter"], &["?"], &["j", "enter"], &["c"]] {
                deck.press(keys);
                deck.press(opened);
                let state = format!("{scenario}: {} {}", keys.join(" "), opened.join(" "));
                let now = deck.now;
                found.extend(cut::SIZES.iter().flat_map(|size| cut::found(&state, &mut deck.model, *size, now)));
                while !deck.model.overlays.is_empty() {
                    deck.press(&["esc"]);
                }
            }
        }
    }
    none(&found);
}
