//! Every colour, by role; no other file of the deck names one.
//!
//! A state also has a glyph and a word, so a theme may be without any colour at all. [`finish`] runs over
//! the finished buffer: under `NO_COLOR` it strips what is left of colours (crossterm would write a reset
//! that erases the reversed cursor row), and on request it turns every drawing glyph into ASCII.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

/// What a cell is, not how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Plain text.
    Text,
    /// Less important: labels, old rows, units.
    Dim,
    /// Hardly there: rest of a gauge, rules.
    Faint,
    /// Panel titles and column heads.
    Title,
    /// Where the eye should go: names, the address being typed.
    Accent,
    /// The row under the cursor.
    Cursor,
    /// A marked row.
    Marked,
    /// A key in hints.
    Key,
    /// Complete, proved.
    Good,
    /// Needs you.
    Warn,
    /// Failed.
    Bad,
    /// New, advice, loading.
    Fresh,
    /// Filled part of gauges and bars.
    Gauge,
    /// A second filled part (range, moving).
    GaugeSoft,
    /// Panel borders.
    Border,
    /// The border of the panel that has the cursor.
    BorderFocus,
    /// The current tab.
    Tab,
    /// The mode badge when something can be lost.
    Armed,
}

impl Role {
    /// All of them: for tests and the style maps of pictures.
    pub const ALL: [Self; 18] = [
        Self::Text,
        Self::Dim,
        Self::Faint,
        Self::Title,
        Self::Accent,
        Self::Cursor,
        Self::Marked,
        Self::Key,
        Self::Good,
        Self::Warn,
        Self::Bad,
        Self::Fresh,
        Self::Gauge,
        Self::GaugeSoft,
        Self::Border,
        Self::BorderFocus,
        Self::Tab,
        Self::Armed,
    ];
}

/// Which palette.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Palette {
    /// The terminal's own 16 colours on its own ground: right on light and dark.
    #[default]
    Terminal,
    /// For dark grounds.
    Dark,
    /// For light grounds.
    Light,
    /// Blue and orange instead of green and red (deuteranopia, protanopia), for dark grounds.
    ColourBlind,
    /// No colours: bold, dim, reverse.
    Mono,
}

impl Palette {
    /// All of them, as `:set theme` names them.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("terminal", Self::Terminal),
        ("dark", Self::Dark),
        ("light", Self::Light),
        ("colour-blind", Self::ColourBlind),
        ("mono", Self::Mono),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, palette)| *palette == self).map_or("terminal", |(name, _)| name)
    }
}

/// How many colours the terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Depth {
    /// The 16 of the terminal's palette.
    #[default]
    Sixteen,
    /// The 256 of xterm.
    TwoFiftySix,
    /// 24 bits.
    True,
}

/// A palette at a depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Theme {
    /// Which palette.
    pub palette: Palette,
    /// How many colours.
    pub depth: Depth,
    /// Plain ASCII borders, bars and glyphs, on request.
    pub ascii: bool,
}

/// What the environment says of the terminal; read once, by the one who starts the deck.
#[derive(Debug, Clone, Default)]
pub struct TerminalHints {
    /// `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// `COLORTERM`.
    pub colorterm: Option<String>,
    /// `TERM`.
    pub term: Option<String>,
    /// `COLORFGBG`: what some terminals say of their own two colours, as `15;0` or `0;default;15`.
    pub colorfgbg: Option<String>,
    /// What the config or `FLOE_THEME` asks for.
    pub palette: Option<Palette>,
    /// What the config or `FLOE_ASCII` asks for.
    pub ascii: bool,
}

impl TerminalHints {
    /// Whether the terminal says that its ground is light: the last of its numbers is white, light or not.
    fn is_light(&self) -> bool {
        let ground = self.colorfgbg.as_deref().and_then(|said| said.rsplit(';').next());
        matches!(ground, Some("7" | "15"))
    }
}

impl Theme {
    /// The theme for a terminal: `NO_COLOR` counts, then a wish, then a light ground that the terminal tells of;
    /// `COLORTERM` and `TERM` say how many colours there are.
    #[must_use]
    pub fn detect(hints: &TerminalHints) -> Self {
        let term = hints.term.as_deref().unwrap_or_default();
        let depth = match hints.colorterm.as_deref() {
            Some("truecolor" | "24bit") => Depth::True,
            _ if term.ends_with("-direct") => Depth::True,
            _ if term.contains("256") => Depth::TwoFiftySix,
            _ => Depth::Sixteen,
        };
        let mono = hints.no_color || matches!(term, "dumb" | "vt100" | "vt220" | "linux-m");
        let unasked = if hints.is_light() { Palette::Light } else { Palette::default() };
        let palette = if mono { Palette::Mono } else { hints.palette.unwrap_or(unasked) };
        Self { palette, depth, ascii: hints.ascii || term == "dumb" }
    }

    /// The style of a role.
    #[must_use]
    pub fn style(&self, role: Role) -> Style {
        let shape = shape(role);
        let [dark, light, blind] = colours(role);
        let rgb = match self.palette {
            Palette::Mono => return if role == Role::Dim { shape.add_modifier(Modifier::DIM) } else { shape },
            Palette::Terminal => None,
            Palette::Dark => dark,
            Palette::Light => light,
            Palette::ColourBlind => blind,
        };
        let colour = match (self.palette, self.depth) {
            (Palette::Terminal, _) | (_, Depth::Sixteen) => sixteen(role, self.palette),
            (_, Depth::TwoFiftySix) => rgb.map(nearest_256),
            (_, Depth::True) => rgb.map(|[r, g, b]| Color::Rgb(r, g, b)),
        };
        match colour {
            Some(colour) if role == Role::Cursor => shape.fg(colour),
            Some(colour) => shape.fg(colour),
            None => shape,
        }
    }
}

/// What a role has beside colour.
fn shape(role: Role) -> Style {
    match role {
        Role::Title | Role::Key | Role::Bad => Style::new().add_modifier(Modifier::BOLD),
        Role::Cursor | Role::Tab => Style::new().add_modifier(Modifier::REVERSED),
        Role::Armed => Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD),
        _ => Style::new(),
    }
}

/// The terminal's own colours; `None` is its plain foreground, which is legible on any ground. On a light one yellow and
/// cyan are not, in most terminals.
fn sixteen(role: Role, palette: Palette) -> Option<Color> {
    let (blind, light) = (palette == Palette::ColourBlind, palette == Palette::Light);
    Some(match role {
        Role::Text | Role::Title | Role::Cursor | Role::Tab => return None,
        Role::Dim | Role::Faint | Role::Border => Color::DarkGray,
        Role::Accent | Role::Fresh | Role::BorderFocus | Role::Key if light => Color::Blue,
        Role::Accent | Role::Fresh | Role::BorderFocus | Role::Key => Color::Cyan,
        Role::Marked | Role::Warn if light => Color::Magenta,
        Role::Marked | Role::Warn => Color::Yellow,
        Role::Good | Role::Gauge if blind => Color::Blue,
        Role::Good | Role::Gauge => Color::Green,
        Role::GaugeSoft => Color::Blue,
        Role::Bad | Role::Armed if blind => Color::Yellow,
        Role::Bad | Role::Armed => Color::Red,
    })
}

/// Dark, light and colour-blind values; each keeps a contrast of 4.5 on its ground where it carries words.
fn colours(role: Role) -> [Option<[u8; 3]>; 3] {
    match role {
        Role::Text | Role::Cursor | Role::Tab => [None, None, None],
        Role::Title => [Some([0xe6, 0xed, 0xf3]), Some([0x1f, 0x23, 0x28]), Some([0xe6, 0xed, 0xf3])],
        Role::Dim => [Some([0x8b, 0x94, 0x9e]), Some([0x59, 0x63, 0x6e]), Some([0x9a, 0xa4, 0xae])],
        Role::Faint => [Some([0x48, 0x4f, 0x58]), Some([0xaf, 0xb8, 0xc1]), Some([0x50, 0x58, 0x62])],
        Role::Border => [Some([0x48, 0x54, 0x63]), Some([0x9a, 0xa5, 0xb1]), Some([0x50, 0x5c, 0x6b])],
        Role::BorderFocus => [Some([0x6c, 0xb6, 0xff]), Some([0x09, 0x69, 0xda]), Some([0x6c, 0xb6, 0xff])],
        Role::Accent => [Some([0x79, 0xc0, 0xff]), Some([0x09, 0x50, 0xae]), Some([0x79, 0xc0, 0xff])],
        Role::Key => [Some([0x79, 0xc0, 0xff]), Some([0x09, 0x50, 0xae]), Some([0x79, 0xc0, 0xff])],
        Role::Marked => [Some([0xe3, 0xb3, 0x41]), Some([0x7d, 0x4e, 0x00]), Some([0xf0, 0xe4, 0x42])],
        Role::Warn => [Some([0xe3, 0xb3, 0x41]), Some([0x7d, 0x4e, 0x00]), Some([0xf0, 0xe4, 0x42])],
        Role::Good => [Some([0x56, 0xd3, 0x64]), Some([0x11, 0x63, 0x29]), Some([0x56, 0xb4, 0xe9])],
        Role::Bad => [Some([0xff, 0x7b, 0x72]), Some([0xb3, 0x1d, 0x28]), Some([0xff, 0x9d, 0x3c])],
        Role::Fresh => [Some([0x7e, 0xe0, 0xd6]), Some([0x0b, 0x5f, 0x66]), Some([0xcc, 0xb8, 0xff])],
        Role::Gauge => [Some([0x56, 0xd3, 0x64]), Some([0x1a, 0x7f, 0x37]), Some([0x56, 0xb4, 0xe9])],
        Role::GaugeSoft => [Some([0x58, 0xa6, 0xff]), Some([0x54, 0x8c, 0xd8]), Some([0xe6, 0x9f, 0x00])],
        Role::Armed => [Some([0xff, 0x7b, 0x72]), Some([0xb3, 0x1d, 0x28]), Some([0xff, 0x9d, 0x3c])],
    }
}

/// The nearest of xterm's 6×6×6 cube and 24 greys.
fn nearest_256([r, g, b]: [u8; 3]) -> Color {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let step = |v: u8| (0..6u8).min_by_key(|i| STEPS[usize::from(*i)].abs_diff(v)).unwrap_or(0);
    let (cr, cg, cb) = (step(r), step(g), step(b));
    let far = |p: [u8; 3]| -> u32 { [r, g, b].iter().zip(p).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum() };
    let cube = [STEPS[usize::from(cr)], STEPS[usize::from(cg)], STEPS[usize::from(cb)]];
    let mean = (u16::from(r) + u16::from(g) + u16::from(b)) / 3;
    let grey = u8::try_from((mean.saturating_sub(3) / 10).min(23)).unwrap_or(23);
    let grey_value = 8 + grey * 10;
    if far([grey_value; 3]) < far(cube) {
        Color::Indexed(232 + grey)
    } else {
        Color::Indexed(16 + 36 * cr + 6 * cg + cb)
    }
}

/// The last hand on a finished frame.
pub fn finish(buf: &mut Buffer, theme: &Theme) {
    let mono = theme.palette == Palette::Mono;
    if !mono && !theme.ascii {
        return;
    }
    for cell in &mut buf.content {
        if mono {
            cell.fg = Color::Reset;
            cell.bg = Color::Reset;
            cell.underline_color = Color::Reset;
        }
        if theme.ascii && !cell.symbol().is_ascii() {
            let plain = ascii(cell.symbol());
            cell.set_symbol(plain);
        }
    }
}

/// One ASCII character for every glyph that floe draws; names keep their letters where they have any.
fn ascii(symbol: &str) -> &'static str {
    match symbol {
        "─" | "━" | "–" | "—" => "-",
        "│" | "┃" | "▏" | "▌" | "▐" => "|",
        "┌" | "┐" | "└" | "┘" | "├" | "┤" | "┬" | "┴" | "┼" | "╭" | "╮" | "╰" | "╯" => "+",
        "█" | "▇" | "▆" => "#",
        "▓" | "▅" => "=",
        "▒" | "▄" => "+",
        "░" | "▃" | "▂" => "-",
        "·" | "▁" => ".",
        "●" | "◉" => "*",
        "◐" => "o",
        "◌" => ".",
        "◍" => "w",
        "✓" => "v",
        "✗" => "x",
        "▲" | "△" => "^",
        "▼" | "▽" => "V",
        "◆" => "+",
        "▶" | "→" | "▸" => ">",
        "◂" | "←" => "<",
        "↑" => "^",
        "↓" => "v",
        "≤" => "<",
        "≥" => ">",
        "≈" => "~",
        "×" => "x",
        "…" => ".",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;

    fn hints(colorterm: Option<&str>, term: &str) -> TerminalHints {
        TerminalHints { colorterm: colorterm.map(str::to_owned), term: Some(term.to_owned()), ..Default::default() }
    }

    #[test]
    fn the_depth_follows_the_terminal() {
        assert_eq!(Theme::detect(&hints(Some("truecolor"), "xterm")).depth, Depth::True);
        assert_eq!(Theme::detect(&hints(None, "xterm-256color")).depth, Depth::TwoFiftySix);
        assert_eq!(Theme::detect(&hints(None, "xterm")).depth, Depth::Sixteen);
        let no_color = TerminalHints { no_color: true, palette: Some(Palette::Dark), ..hints(None, "xterm") };
        assert_eq!(Theme::detect(&no_color).palette, Palette::Mono);
        assert!(Theme::detect(&hints(None, "dumb")).ascii);
    }

    #[test]
    fn a_light_ground_that_the_terminal_tells_of_has_the_light_theme_unless_another_is_wished() {
        let of = |said: &str, palette| {
            let hints = TerminalHints { colorfgbg: Some(said.to_owned()), palette, ..hints(None, "xterm-256color") };
            Theme::detect(&hints).palette
        };
        assert_eq!(["0;15", "0;default;15", "0;7"].map(|said| of(said, None)), [Palette::Light; 3]);
        assert_eq!(["15;0", "default;default", "", "7;0"].map(|said| of(said, None)), [Palette::Terminal; 4]);
        assert_eq!(of("0;15", Some(Palette::Dark)), Palette::Dark);
        let light = Theme { palette: Palette::Light, depth: Depth::Sixteen, ascii: false };
        for role in Role::ALL {
            let pale = [Color::Yellow, Color::Cyan, Color::Gray, Color::White].map(Some);
            assert!(!pale.contains(&light.style(role).fg), "{role:?}");
        }
    }

    #[test]
    fn without_colours_the_cursor_row_is_still_reversed() {
        let theme = Theme { palette: Palette::Mono, ..Theme::default() };
        let mut buf = Buffer::empty(Rect::new(0, 0, 3, 1));
        buf.set_string(0, 0, "abc", Style::new().fg(Color::Red).add_modifier(Modifier::REVERSED));
        finish(&mut buf, &theme);
        assert_eq!(buf[(0, 0)].fg, Color::Reset);
        assert!(buf[(0, 0)].modifier.contains(Modifier::REVERSED));
        for role in Role::ALL {
            let style = theme.style(role);
            assert!(style.fg.is_none() && style.bg.is_none(), "{role:?} has a colour in the mono theme");
        }
    }

    #[test]
    fn words_keep_a_contrast_of_4_5_on_their_ground() {
        fn luminance(rgb: [u8; 3]) -> f64 {
            let part = |v: u8| {
                let v = f64::from(v) / 255.0;
                if v <= 0.03928 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * part(rgb[0]) + 0.7152 * part(rgb[1]) + 0.0722 * part(rgb[2])
        }
        fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
            let (a, b) = (luminance(a), luminance(b));
            (a.max(b) + 0.05) / (a.min(b) + 0.05)
        }
        fn indexed(n: u8) -> [u8; 3] {
            let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
            match n {
                232.. => [8 + 10 * (n - 232); 3],
                _ => [(n - 16) / 36, (n - 16) / 6 % 6, (n - 16) % 6].map(level),
            }
        }
        let grounds = [[0x0d, 0x11, 0x17], [0xff, 0xff, 0xff], [0x0d, 0x11, 0x17]];
        for role in Role::ALL {
            // Rules and borders carry no words; a soft gauge has its figure beside it.
            if matches!(role, Role::Faint | Role::Border | Role::GaugeSoft) {
                continue;
            }
            for (colour, ground) in colours(role).into_iter().zip(grounds) {
                let Some(colour) = colour else { continue };
                let Color::Indexed(nearest) = nearest_256(colour) else { panic!("{role:?}") };
                for colour in [colour, indexed(nearest)] {
                    assert!(contrast(colour, ground) >= 4.5, "{role:?} {colour:02x?} on {ground:02x?}");
                }
            }
        }
    }

    #[test]
    fn good_and_bad_differ_for_every_eye_and_depth() {
        for (_, palette) in Palette::NAMES {
            for depth in [Depth::Sixteen, Depth::TwoFiftySix, Depth::True] {
                let theme = Theme { palette, depth, ascii: false };
                assert_ne!(theme.style(Role::Good), theme.style(Role::Bad), "{palette:?} {depth:?}");
            }
        }
    }

    #[test]
    fn ascii_leaves_no_glyph_behind() {
        let theme = Theme { ascii: true, ..Theme::default() };
        let mut buf = Buffer::empty(Rect::new(0, 0, 30, 1));
        buf.set_string(0, 0, "┌─┐│●◐◌◍✓✗▲◆█▓░·≤≥≈▶…→×▼◂▸", Style::new());
        finish(&mut buf, &theme);
        assert!(buf.content.iter().all(|cell| cell.symbol().is_ascii() && cell.symbol() != "?"));
    }
}
