//! Rows, moments and whole models for the tests of the deck.

use std::sync::Arc;

use jiff::Timestamp;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::aws::{ProfileInfo, ProfileKind};
use crate::ids::{AccountId, Profile, Region};
use crate::inventory::{ImageRow, Kind, Origin, RegionRow, Rows, SnapshotRow, State, Tier, Update as Told, VolumeRow};
use crate::tui::clock::Now;
use crate::tui::effect::Effect;
use crate::tui::model::Model;
use crate::tui::msg::Msg;
use crate::tui::screen::Screen;
use crate::tui::update::{update, wants};
use crate::units::Bytes;

/// `seconds` after the moment at which all tests take place.
pub fn when(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_763_640_000 + seconds).unwrap()
}

/// The same on both clocks.
pub fn now() -> Now {
    Now::at(when(0)).later(std::time::Duration::from_secs(60))
}

/// A region of the account that all tests look at.
pub fn origin(region: &str) -> Arc<Origin> {
    Arc::new(Origin {
        profile: Some("prod".parse::<Profile>().unwrap()),
        account: "123456789012".parse::<AccountId>().unwrap(),
        region: region.parse::<Region>().unwrap(),
    })
}

/// The snapshot of that number; all its fields follow from it.
pub fn snapshot(origin: &Arc<Origin>, n: u64) -> SnapshotRow {
    let names = ["web-root", "db-data", "k8s-pvc-4", "jenkins", "nfs-old", "etl-stage"];
    let size = Bytes::gib(8 << (n % 7));
    SnapshotRow {
        origin: origin.clone(),
        id: format!("snap-{:017x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15) & 0xffff_ffff_ffff).parse().unwrap(),
        name: (n % 11 != 7).then(|| names[(n % 6) as usize].to_owned()),
        owner: origin.account.clone(),
        volume: Some(format!("vol-{:017x}", n % 40 + 1).parse().unwrap()),
        size,
        full: Some(Bytes(size.0 / 8 * 5)),
        state: State::Completed,
        state_message: None,
        progress: None,
        started: when(-(n as i64) * 3_600 - 600),
        tier: Tier::Standard,
        encrypted: n.is_multiple_of(2),
        kms_key: None,
        data_key_id: None,
        description: String::new(),
        tags: vec![("env".to_owned(), if n.is_multiple_of(3) { "prod" } else { "dev" }.to_owned())],
    }
}

/// A volume; all its fields follow from the number.
pub fn volume(origin: &Arc<Origin>, n: u64) -> VolumeRow {
    VolumeRow {
        origin: origin.clone(),
        id: format!("vol-{n:017x}").parse().unwrap(),
        name: (!n.is_multiple_of(4)).then(|| format!("disk-{n}")),
        size: Bytes::gib(8 << (n % 6)),
        kind: if n.is_multiple_of(5) { "io2" } else { "gp3" }.to_owned(),
        state: if n.is_multiple_of(3) { "available" } else { "in-use" }.to_owned(),
        zone: format!("{}a", origin.region),
        attached_to: if n.is_multiple_of(3) { Vec::new() } else { vec![format!("i-{n:017x}").parse().unwrap()] },
        snapshot: None,
        iops: Some(3000),
        throughput: Some(125),
        encrypted: true,
        created: when(-(n as i64) * 86_400 - 60),
        tags: Vec::new(),
    }
}

/// An image of the snapshot of that number.
pub fn image(origin: &Arc<Origin>, n: u64) -> ImageRow {
    ImageRow {
        origin: origin.clone(),
        id: format!("ami-{n:017x}").parse().unwrap(),
        name: format!("web-golden-2025.{n}"),
        state: if n % 4 == 3 { "disabled" } else { "available" }.to_owned(),
        owner: origin.account.clone(),
        architecture: "x86_64".to_owned(),
        platform: "Linux/UNIX".to_owned(),
        public: false,
        snapshots: vec![snapshot(origin, n).id],
        size: Bytes::gib(8),
        created: Some(when(-(n as i64) * 86_400)),
        deprecated: (n % 4 == 1).then(|| when(-3_600)),
        last_launched: None,
        description: String::new(),
        tags: Vec::new(),
    }
}

/// Profiles as a machine has them: one that works, one that has to sign in.
pub fn profiles() -> Vec<ProfileInfo> {
    let info = |name: &str, kind, usable, state: &str, mend: Option<&str>| ProfileInfo {
        name: Some(name.parse().unwrap()),
        kind,
        region: Some("us-east-1".parse().unwrap()),
        account: Some("123456789012".parse().unwrap()),
        state: state.to_owned(),
        usable,
        mend: mend.map(str::to_owned),
    };
    vec![
        info("prod", ProfileKind::Sso, true, "signed in until 14:02", None),
        info("dr", ProfileKind::Sso, false, "sign-in needed", Some("aws sso login --profile dr")),
    ]
}

/// Sends messages until no list has anything left to do.
pub fn settle(model: &mut Model, now: Now) {
    for _ in 0..10_000 {
        if !wants(model, now).work {
            return;
        }
        update(model, Msg::Work, now);
    }
    panic!("the work never ends");
}

/// A deck on World: three regions complete, one loading, one denied.
pub fn deck(width: u16, height: u16) -> Model {
    let mut model = Model { profiles: profiles(), ..Model::default() };
    let now = now();
    update(&mut model, Msg::Resize(width, height), now);
    let effects = crate::tui::update::look(&mut model, vec!["prod".parse().unwrap()], Vec::new());
    assert!(matches!(effects.as_slice(), [crate::tui::effect::Effect::Look { .. }]));
    model.screen = Screen::World;
    let look = model.look;
    let tell = |model: &mut Model, told: Told| {
        update(model, Msg::Inventory(look, told), now);
    };
    let names = ["us-east-1", "eu-west-1", "us-west-2", "eu-central-1", "me-south-1"];
    let places: Vec<_> = names.iter().map(|name| origin(name)).collect();
    let rows = places.iter().map(|p| RegionRow { name: p.region.clone(), opt_in: "opted-in".to_owned() }).collect();
    tell(&mut model, Told::Regions(places[0].profile.clone(), places[0].account.clone(), rows));
    for (part, place) in (0u64..).zip(places.iter().take(4)) {
        let mine = |n: &u64| n % 4 == part;
        for kind in [Kind::Snapshots, Kind::Volumes, Kind::Images] {
            tell(&mut model, Told::Started(place.clone(), kind));
        }
        let snapshots = (0..120).filter(mine).map(|n| snapshot(place, n)).collect();
        tell(&mut model, Told::Page(place.clone(), Rows::Snapshots(snapshots)));
        tell(
            &mut model,
            Told::Page(place.clone(), Rows::Volumes((1..24).filter(mine).map(|n| volume(place, n)).collect())),
        );
        tell(
            &mut model,
            Told::Page(place.clone(), Rows::Images((0..12).filter(mine).map(|n| image(place, n)).collect())),
        );
        if part < 3 {
            for kind in [Kind::Snapshots, Kind::Volumes, Kind::Images] {
                tell(&mut model, Told::Done(place.clone(), kind, when(0)));
            }
        }
    }
    for kind in [Kind::Snapshots, Kind::Volumes, Kind::Images] {
        let error = crate::error::Error::failed("me-south-1 is closed by a policy")
            .todo("leave the region out with R, or ask for ec2:Describe* there")
            .in_region(&places[4].region);
        tell(&mut model, Told::Failed { origin: places[4].clone(), kind, error, denied: true });
    }
    settle(&mut model, now.later(std::time::Duration::from_secs(1)));
    model
}

/// The frame as text, a line each, blanks at line ends kept.
pub fn frame(model: &Model, now: Now) -> Vec<String> {
    let buf = drawn(model, now);
    let width = usize::from(buf.area.width.max(1));
    buf.content.chunks(width).map(|line| line.iter().map(ratatui::buffer::Cell::symbol).collect()).collect()
}

/// The frame as a buffer.
pub fn drawn(model: &Model, now: Now) -> ratatui::buffer::Buffer {
    let area = ratatui::layout::Rect::new(0, 0, model.size.0, model.size.1);
    let mut buf = ratatui::buffer::Buffer::empty(area);
    crate::tui::view::view(model, area, &mut buf, &model.theme, now);
    buf
}

/// Presses keys, each 100 ms after the one before, with all work done in between.
pub fn press(model: &mut Model, keys: &[&str], now: &mut Now) -> Vec<Effect> {
    let mut effects = Vec::new();
    for key in keys {
        *now = now.later(std::time::Duration::from_millis(100));
        effects.extend(update(model, Msg::Key(key_of(key)), *now));
        settle(model, *now);
    }
    effects
}

/// The event of a key's name.
pub fn key_of(name: &str) -> KeyEvent {
    if let Some(rest) = name.strip_prefix("ctrl-") {
        return KeyEvent::new(key_of(rest).code, KeyModifiers::CONTROL);
    }
    let code = match name {
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "backtab" => KeyCode::BackTab,
        "space" => KeyCode::Char(' '),
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "pgup" => KeyCode::PageUp,
        "pgdn" => KeyCode::PageDown,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        "backspace" => KeyCode::Backspace,
        "del" => KeyCode::Delete,
        other => KeyCode::Char(other.chars().next().unwrap()),
    };
    KeyEvent::new(code, KeyModifiers::NONE)
}

/// One letter a cell for how it looks: capital is bold, `#` reversed, `.` plain; blanks at line ends are cut.
pub fn style_map(model: &Model, now: Now) -> String {
    use ratatui::style::{Color, Modifier};
    let buf = drawn(model, now);
    let letter = |cell: &ratatui::buffer::Cell| {
        let colour = match cell.fg {
            _ if cell.modifier.contains(Modifier::REVERSED) => '#',
            Color::Reset => '.',
            Color::DarkGray => 'd',
            Color::Cyan => 'c',
            Color::Yellow => 'y',
            Color::Green => 'g',
            Color::Red => 'r',
            Color::Blue => 'b',
            _ => '?',
        };
        match (cell.modifier.contains(Modifier::BOLD), colour) {
            (true, '.') => 'B',
            (true, colour) => colour.to_ascii_uppercase(),
            (false, colour) => colour,
        }
    };
    let width = usize::from(buf.area.width.max(1));
    let lines = buf.content.chunks(width).map(|line| line.iter().map(letter).collect::<String>());
    lines.map(|line| line.trim_end_matches('.').to_owned()).collect::<Vec<_>>().join("\n")
}
