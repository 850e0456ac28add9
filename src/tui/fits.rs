//! What a user sees is whole: nothing is offered that cannot be, and no screen forgets where it is.

use std::time::Duration;

use super::msg::Msg;
use super::screen::Screen;
use super::testing::{deck, frame, now, origin, press};
use super::update::update;
use crate::inventory::{RegionRow, Update as Told};

#[test]
fn a_region_that_the_account_has_not_opted_into_is_offered_nowhere() {
    let (mut model, mut now) = (deck(120, 36), now());
    let place = origin("us-east-1");
    let row = |name: &str, opt_in: &str| RegionRow { name: name.parse().unwrap(), opt_in: opt_in.to_owned() };
    let rows = vec![row("af-south-1", "not-opted-in"), row("ap-south-1", "opt-in-not-required")];
    let told = Told::Regions(place.profile.clone(), place.account.clone(), rows);
    let look = model.look;
    update(&mut model, Msg::Inventory(look, told), now);
    press(&mut model, &["2", "c", "a"], &mut now);
    let offered = frame(&model, now).join("\n");
    assert!(offered.contains("ap-south-1:") && !offered.contains("af-south-1"), "{offered}");
    press(&mut model, &["esc", "R"], &mut now);
    let picked = frame(&model, now).join("\n");
    assert!(picked.contains("ap-south-1") && !picked.contains("af-south-1"), "{picked}");
}

#[test]
fn a_plan_belongs_to_the_tab_that_it_was_made_from_whatever_lies_between() {
    let now = now().later(Duration::from_secs(1));
    for (way, tab) in [
        (&[Screen::Snapshots, Screen::Compare][..], "▐2 Snapshots"),
        (&[Screen::Snapshots, Screen::Lineage, Screen::Plan], "▐2 Snapshots"),
        (&[Screen::Images], "▐4 AMIs"),
        (&[Screen::World, Screen::Transfers, Screen::Job], "▐6 Transfers"),
    ] {
        for screen in [Screen::Plan, Screen::Removal] {
            let mut model = deck(120, 36);
            model.screen = screen;
            model.back = way.to_vec();
            let tabs = frame(&model, now)[1].clone();
            assert!(tabs.contains(tab), "{way:?}: {tabs}");
        }
    }
}

#[test]
fn a_list_that_waits_says_for_what() {
    let (mut model, mut now) = (deck(120, 36), now());
    press(&mut model, &["5"], &mut now);
    let shown = frame(&model, now);
    assert!(shown[4].contains("◐ what nothing refers to is known when"), "{}", shown[4]);
    assert!(!shown[4].contains("asking which regions"), "{}", shown[4]);
}
