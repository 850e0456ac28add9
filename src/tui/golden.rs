//! The browsing screens as they are drawn, text and style: a change of a picture is a change to be seen.

use super::clock::Now;
use super::model::Model;
use super::msg::Msg;
use super::testing::{deck, frame, now, press, profiles, style_map};
use super::update::update;

/// Text, then style, of a deck after some keys.
fn picture(width: u16, height: u16, keys: &[&str]) -> String {
    let mut model = deck(width, height);
    let mut now = now();
    press(&mut model, keys, &mut now);
    both(&model, now)
}

fn both(model: &Model, now: Now) -> String {
    format!("{}\n\n{}", frame(model, now).join("\n"), style_map(model, now))
}

fn start(width: u16, height: u16, found: bool) -> String {
    let mut model = Model { size: (width, height), ..Model::default() };
    let profiles = if found { profiles() } else { Vec::new() };
    let looked_at = vec!["~/.aws/config: read · ~/.aws/credentials: not there".to_owned()];
    update(&mut model, Msg::Profiles(profiles, looked_at), now());
    both(&model, now())
}

macro_rules! pictures {
    ($($name:ident: $keys:expr;)*) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!(concat!(stringify!($name), "_120x36"), picture(120, 36, &$keys));
            insta::assert_snapshot!(concat!(stringify!($name), "_80x24"), picture(80, 24, &$keys));
        }
    )*};
}

pictures! {
    world: [];
    snapshots: ["2"];
    snapshots_marked_and_filtered: ["2", "space", "space", "/", "w", "e", "b", "enter"];
    a_filter_being_typed: ["2", "/", "w", "e", "b"];
    snapshot_opened: ["2", "j", "enter"];
    volumes: ["3"];
    images: ["4"];
    address_line: ["2", "c", "e", "u"];
    palette: [":", "c", "o", "p"];
    help: ["2", "?"];
    errors: ["E"];
    profiles_picker: ["P"];
    regions_picker: ["R", "space"];
}

/// Text, then style, of the screens of what ties snapshots together.
macro_rules! ties {
    ($($name:ident: $made:path;)*) => {$(
        #[test]
        fn $name() {
            for (width, height) in [(120, 36), (80, 24)] {
                let (model, now) = $made(width, height);
                insta::assert_snapshot!(format!("{}_{width}x{height}", stringify!($name)), both(&model, now));
            }
        }
    )*};
}

ties! {
    compare: super::ties::compared_and_copied;
    compare_counting: super::ties::counting;
    compare_unrelated: super::ties::unrelated;
    lineage: super::ties::walked;
    elsewhere: super::ties::elsewhere;
    archives: super::ties::archives;
    archives_denied: super::ties::archives_denied;
    orphans: super::screen::orphans::tests::sure;
    orphans_not_sure: super::screen::orphans::tests::not_sure;
    orphans_marked: super::screen::orphans::journey::marked_and_exact;
    deletion: super::screen::orphans::journey::deletion;
    deletion_stopped: super::screen::orphans::journey::stopped;
}

#[test]
fn start_page() {
    insta::assert_snapshot!("start_120x36", start(120, 36, true));
    insta::assert_snapshot!("start_80x24", start(80, 24, true));
    insta::assert_snapshot!("start_without_profiles_120x36", start(120, 36, false));
    insta::assert_snapshot!("start_without_profiles_80x24", start(80, 24, false));
}

#[test]
fn below_60_by_18_there_is_one_pane_and_a_sentence() {
    insta::assert_snapshot!("snapshots_58x16", picture(58, 16, &["2"]));
    insta::assert_snapshot!("world_40x12", picture(40, 12, &[]));
}
