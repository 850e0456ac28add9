//! The pictures in `screenshots/`, drawn from the real views. `FLOE_UPDATE=1 cargo test --test it pictures`
//! draws them anew; without it, a picture that no longer shows what the deck draws is a failure.

use std::path::{Path, PathBuf};

use floe::tui::model::Model;
use floe::tui::svg::{self, Palette};
use floe::tui::theme::{self, Depth, Theme};
use resvg::{tiny_skia, usvg};

use super::{clearing, draw, example, planned, ties, transfers, world};

const SIZES: [(u16, u16); 2] = [(120, 36), (80, 24)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn theme() -> Theme {
    Theme { palette: theme::Palette::Dark, depth: Depth::True, ascii: false }
}

pub(super) fn all() -> Vec<(&'static str, &'static str, Model)> {
    vec![
        ("start", "floe: the first page of a first run", dressed(world::start())),
        ("world", "floe: all regions at a glance", dressed(world::world())),
        ("snapshots", "floe: snapshots of all regions, filtered", dressed(world::snapshots())),
        ("compare", "floe: two snapshots compared", dressed(ties::compared())),
        ("lineage", "floe: the chain of one volume", dressed(ties::chain())),
        ("elsewhere", "floe: where else every volume is", dressed(ties::everywhere())),
        ("archives", "floe: archives in S3", dressed(ties::vault())),
        ("orphans", "floe: what nothing refers to, and what it would free", dressed(clearing::orphans())),
        ("deletion", "floe: what would be removed, before anything is", dressed(clearing::deletion())),
        ("plan", "floe: what a copy would do, before it is done", dressed(world::with_inventory(planned()))),
        ("transfers", "floe: what runs, how fast, and why not faster", world::with_inventory(transfers())),
    ]
}

/// As the pictured terminal has it: its theme, and the jobs in the header.
fn dressed(mut model: Model) -> Model {
    let status = std::sync::Arc::new(example::status());
    floe::tui::update::update(&mut model, floe::tui::msg::Msg::Status(status), example::now());
    model
}

fn png(svg: &str) -> Vec<u8> {
    let mut options = usvg::Options { font_family: "DejaVu Sans Mono".to_owned(), ..usvg::Options::default() };
    let fonts = options.fontdb_mut();
    for file in ["DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf"] {
        fonts.load_font_data(std::fs::read(root().join("assets/fonts").join(file)).unwrap());
    }
    fonts.set_monospace_family("DejaVu Sans Mono");
    let tree = usvg::Tree::from_str(svg, &options).unwrap();
    let size = tree.size().to_int_size().scale_by(2.0).unwrap();
    let mut pixels = tiny_skia::Pixmap::new(size.width(), size.height()).unwrap();
    resvg::render(&tree, tiny_skia::Transform::from_scale(2.0, 2.0), &mut pixels.as_mut());
    pixels.encode_png().unwrap()
}

#[test]
fn pictures_show_what_the_deck_draws() {
    let update = std::env::var_os("FLOE_UPDATE").is_some();
    let folder = root().join("screenshots");
    let mut stale = Vec::new();
    for (name, title, mut model) in all() {
        for (width, height) in SIZES {
            let size = floe::tui::msg::Msg::Resize(width, height);
            floe::tui::update::update(&mut model, size, example::now());
            model.theme = theme();
            let svg = svg::render(&draw(&model, width, height, &theme(), example::now()), &Palette::DARK, title);
            let file = folder.join(format!("{name}-{width}x{height}.svg"));
            if update {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&file, &svg).unwrap();
                std::fs::write(file.with_extension("png"), png(&svg)).unwrap();
            } else if std::fs::read_to_string(&file).ok().as_deref() != Some(&svg)
                || !file.with_extension("png").exists()
            {
                stale.push(file);
            }
        }
    }
    assert!(stale.is_empty(), "stale: {stale:?}\ndraw them anew: FLOE_UPDATE=1 cargo test --test it pictures");
}
