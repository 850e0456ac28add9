//! Turns a drawn buffer into a picture: one SVG `<text>` per run of equal style.
//!
//! Pure and deterministic: the same buffer gives the same bytes, so a test can tell when a picture in
//! `screenshots/` no longer shows what the deck draws. Box lines, blocks and shades are drawn as shapes, not
//! as glyphs: no font's metrics can tear seams into a gauge or a border. Called by the tests that keep the
//! pictures; the deck itself never draws SVG.

use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr;

/// Width of a cell in pixels; DejaVu Sans Mono advances 0.602 em, so 15 px text is 9.03 wide.
const CELL_W: f64 = 9.0;
/// Height of a cell in pixels.
const CELL_H: f64 = 19.0;
/// Where the baseline stands in a cell.
const BASELINE: f64 = 14.2;
/// Font size in pixels.
const FONT_PX: f64 = 14.95;
/// Part of a cell's height that blocks leave free above and below.
const AIR: f64 = 0.08;
/// Room around the screen.
const MARGIN: f64 = 14.0;

/// The sixteen colours of the pictured terminal, and its own two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette {
    /// Behind everything.
    pub background: [u8; 3],
    /// Text without a colour.
    pub foreground: [u8; 3],
    /// ANSI 0 to 15.
    pub ansi: [[u8; 3]; 16],
}

impl Palette {
    /// A quiet dark terminal.
    pub const DARK: Self = Self {
        background: [0x0f, 0x14, 0x1b],
        foreground: [0xc9, 0xd3, 0xdf],
        ansi: [
            [0x1b, 0x22, 0x2c],
            [0xf0, 0x71, 0x78],
            [0x8c, 0xcf, 0x7e],
            [0xe5, 0xb5, 0x67],
            [0x6c, 0xb0, 0xf5],
            [0xc6, 0x94, 0xe8],
            [0x5f, 0xc7, 0xc9],
            [0xc9, 0xd3, 0xdf],
            [0x5f, 0x6c, 0x7b],
            [0xff, 0x8b, 0x92],
            [0xa8, 0xe4, 0x9a],
            [0xf7, 0xcd, 0x85],
            [0x8d, 0xc4, 0xff],
            [0xd9, 0xaf, 0xf5],
            [0x82, 0xdf, 0xe0],
            [0xf2, 0xf6, 0xfa],
        ],
    };

    /// What a colour looks like here; `None` stands for the terminal's own.
    fn rgb(&self, color: Color) -> Option<[u8; 3]> {
        Some(match color {
            Color::Reset => return None,
            Color::Rgb(r, g, b) => [r, g, b],
            Color::Indexed(n @ 0..16) => self.ansi[usize::from(n)],
            Color::Indexed(n @ 16..232) => {
                let n = n - 16;
                [n / 36, n / 6 % 6, n % 6].map(|level| if level == 0 { 0 } else { 55 + 40 * level })
            }
            Color::Indexed(n) => [8 + 10 * (n - 232); 3],
            Color::Black => self.ansi[0],
            Color::Red => self.ansi[1],
            Color::Green => self.ansi[2],
            Color::Yellow => self.ansi[3],
            Color::Blue => self.ansi[4],
            Color::Magenta => self.ansi[5],
            Color::Cyan => self.ansi[6],
            Color::Gray => self.ansi[7],
            Color::DarkGray => self.ansi[8],
            Color::LightRed => self.ansi[9],
            Color::LightGreen => self.ansi[10],
            Color::LightYellow => self.ansi[11],
            Color::LightBlue => self.ansi[12],
            Color::LightMagenta => self.ansi[13],
            Color::LightCyan => self.ansi[14],
            Color::White => self.ansi[15],
        })
    }
}

/// What a cell looks like once colours, reversal and dimming are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    fg: [u8; 3],
    bg: [u8; 3],
    bold: bool,
    italic: bool,
    underline: bool,
}

fn mix(a: [u8; 3], b: [u8; 3], part: f64) -> [u8; 3] {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mix of two bytes is a byte")]
    let one = |x: u8, y: u8| (f64::from(x) * part + f64::from(y) * (1.0 - part)).round() as u8;
    [one(a[0], b[0]), one(a[1], b[1]), one(a[2], b[2])]
}

fn look(cell: &Cell, palette: &Palette) -> Look {
    let mut fg = palette.rgb(cell.fg).unwrap_or(palette.foreground);
    let mut bg = palette.rgb(cell.bg).unwrap_or(palette.background);
    let has = |modifier| cell.modifier.contains(modifier);
    if has(Modifier::DIM) {
        fg = mix(fg, bg, 0.55);
    }
    if has(Modifier::REVERSED) {
        std::mem::swap(&mut fg, &mut bg);
    }
    if has(Modifier::HIDDEN) {
        fg = bg;
    }
    Look { fg, bg, bold: has(Modifier::BOLD), italic: has(Modifier::ITALIC), underline: has(Modifier::UNDERLINED) }
}

fn hex(c: [u8; 3]) -> String {
    format!("#{:02x}{:02x}{:02x}", c[0], c[1], c[2])
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
}

/// A number without a tail of zeros, so that files stay small.
fn num(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A rectangle in fractions of a cell, and how much of the foreground covers it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Piece {
    x: f64,
    y: f64,
    w: f64,
    h: f64,
    cover: f64,
}

const fn piece(x: f64, y: f64, w: f64, h: f64) -> Piece {
    Piece { x, y, w, h, cover: 1.0 }
}

/// Arms of the light box lines: left, right, up, down.
const fn arms(c: char) -> Option<(bool, bool, bool, bool)> {
    Some(match c {
        '─' => (true, true, false, false),
        '│' => (false, false, true, true),
        '┌' | '╭' => (false, true, false, true),
        '┐' | '╮' => (true, false, false, true),
        '└' | '╰' => (false, true, true, false),
        '┘' | '╯' => (true, false, true, false),
        '├' => (false, true, true, true),
        '┤' => (true, false, true, true),
        '┬' => (true, true, false, true),
        '┴' => (true, true, true, false),
        '┼' => (true, true, true, true),
        _ => return None,
    })
}

/// The shapes of a glyph that is drawn rather than written.
fn shapes(symbol: &str) -> Option<Vec<Piece>> {
    let mut chars = symbol.chars();
    let (Some(c), None) = (chars.next(), chars.next()) else { return None };
    let line = 1.2 / CELL_W;
    let rule = 1.2 / CELL_H;
    if let Some((left, right, up, down)) = arms(c) {
        let (mx, my) = (0.5 - line / 2.0, 0.5 - rule / 2.0);
        let mut out = Vec::with_capacity(2);
        if left || right {
            let from = if left { 0.0 } else { mx };
            let to = if right { 1.0 } else { mx + line };
            out.push(piece(from, my, to - from, rule));
        }
        if up || down {
            let from = if up { 0.0 } else { my };
            let to = if down { 1.0 } else { my + rule };
            out.push(piece(mx, from, line, to - from));
        }
        return Some(out);
    }
    let code = u32::from(c);
    let eighths = |n: u32| f64::from(n) / 8.0;
    let pieces = match code {
        0x2580 => vec![piece(0.0, 0.0, 1.0, 0.5)],
        0x2581..=0x2588 => {
            let h = eighths(code - 0x2580);
            vec![piece(0.0, 1.0 - h, 1.0, h)]
        }
        0x2589..=0x258f => vec![piece(0.0, 0.0, eighths(0x2590 - code), 1.0)],
        0x2590 => vec![piece(0.5, 0.0, 0.5, 1.0)],
        0x2591..=0x2593 => {
            vec![Piece { cover: [0.22, 0.42, 0.62][(code - 0x2591) as usize], ..piece(0.0, 0.0, 1.0, 1.0) }]
        }
        0x2594 => vec![piece(0.0, 0.0, 1.0, 0.125)],
        0x2595 => vec![piece(0.875, 0.0, 0.125, 1.0)],
        0x2596..=0x259f => quadrants(code),
        0x2800..=0x28ff => braille(code - 0x2800),
        _ => return None,
    };
    // Half blocks stand at the ends of a reversed word: they belong to it.
    let whole = matches!(c, '▌' | '▐');
    Some(if whole { pieces } else { pieces.into_iter().map(breathing).collect() })
}

/// Blocks keep a little air above and below, so that gauges in neighbouring lines stay two gauges.
fn breathing(p: Piece) -> Piece {
    Piece { y: AIR + p.y * (1.0 - 2.0 * AIR), h: p.h * (1.0 - 2.0 * AIR), ..p }
}

/// Upper left, upper right, lower left, lower right, as bits 0 to 3.
fn quadrants(code: u32) -> Vec<Piece> {
    const BITS: [u8; 10] = [0b0100, 0b1000, 0b0001, 0b1101, 0b1001, 0b0111, 0b1011, 0b0010, 0b0110, 0b1110];
    let bits = BITS[(code - 0x2596) as usize];
    (0..4u8)
        .filter(|n| bits & (1 << n) != 0)
        .map(|n| piece(0.5 * f64::from(n % 2), 0.5 * f64::from(n / 2), 0.5, 0.5))
        .collect()
}

/// The dots of a Braille cell, as small squares.
fn braille(bits: u32) -> Vec<Piece> {
    const AT: [(f64, f64); 8] =
        [(0.0, 0.0), (0.0, 1.0), (0.0, 2.0), (1.0, 0.0), (1.0, 1.0), (1.0, 2.0), (0.0, 3.0), (1.0, 3.0)];
    let (w, h) = (2.0 / CELL_W, 2.0 / CELL_H);
    AT.iter()
        .enumerate()
        .filter(|(n, _)| bits & (1 << n) != 0)
        .map(|(_, (x, y))| piece(0.25 + x * 0.5 - w / 2.0, 0.125 + y * 0.25 - h / 2.0, w, h))
        .collect()
}

/// Draws `buffer` as a self-contained SVG.
#[must_use]
pub fn render(buffer: &Buffer, palette: &Palette, title: &str) -> String {
    let area = buffer.area;
    let (width, height) =
        (f64::from(area.width) * CELL_W + 2.0 * MARGIN, f64::from(area.height) * CELL_H + 2.0 * MARGIN);
    let mut out = String::with_capacity(96 * 1024);
    let _ = writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}" font-family="'DejaVu Sans Mono','JetBrains Mono',Menlo,Consolas,monospace" font-size="{FONT_PX}">"#,
        w = num(width),
        h = num(height),
    );
    out.push_str("<title>");
    escape(title, &mut out);
    let _ = writeln!(out, "</title>");
    let _ = writeln!(
        out,
        r##"<rect width="{}" height="{}" rx="9" fill="{}"/>"##,
        num(width),
        num(height),
        hex(palette.background)
    );
    for row in 0..area.height {
        let line: Vec<&Cell> = (0..area.width).filter_map(|x| buffer.cell((area.x + x, area.y + row))).collect();
        let looks: Vec<Look> = line.iter().map(|cell| look(cell, palette)).collect();
        let top = MARGIN + f64::from(row) * CELL_H;
        backgrounds(&looks, palette, top, &mut out);
        drawn(&line, &looks, top, &mut out);
        written(&line, &looks, top, &mut out);
    }
    out.push_str("</svg>\n");
    out
}

#[expect(clippy::cast_precision_loss, reason = "columns of a terminal")]
fn left(column: usize) -> f64 {
    MARGIN + column as f64 * CELL_W
}

fn rect(x: f64, y: f64, w: f64, h: f64, fill: [u8; 3], out: &mut String) {
    let _ = writeln!(
        out,
        r#"<rect x="{}" y="{}" width="{}" height="{}" fill="{}"/>"#,
        num(x),
        num(y),
        num(w),
        num(h),
        hex(fill)
    );
}

/// One rectangle per run of equal background.
fn backgrounds(looks: &[Look], palette: &Palette, top: f64, out: &mut String) {
    let mut from = 0;
    while from < looks.len() {
        let bg = looks[from].bg;
        let to = (from..looks.len()).find(|&n| looks[n].bg != bg).unwrap_or(looks.len());
        if bg != palette.background {
            rect(left(from), top, left(to) - left(from), CELL_H, bg, out);
        }
        from = to;
    }
}

/// Lines, blocks, shades and dots; pieces that continue the one before are joined.
fn drawn(line: &[&Cell], looks: &[Look], top: f64, out: &mut String) {
    let mut open: Option<(f64, f64, f64, f64, [u8; 3])> = None;
    for (at, cell) in line.iter().enumerate() {
        let Some(pieces) = shapes(cell.symbol()) else { continue };
        let look = looks[at];
        for p in pieces {
            let (x, y) = (left(at) + p.x * CELL_W, top + p.y * CELL_H);
            let (w, h) = (p.w * CELL_W, p.h * CELL_H);
            let fill = mix(look.fg, look.bg, p.cover);
            match &mut open {
                Some((ox, oy, ow, oh, of))
                    if (*ox + *ow - x).abs() < 0.01
                        && (*oy - y).abs() < 0.01
                        && (*oh - h).abs() < 0.01
                        && *of == fill =>
                {
                    *ow += w;
                }
                _ => {
                    if let Some((x, y, w, h, fill)) = open.replace((x, y, w, h, fill)) {
                        rect(x, y, w, h, fill, out);
                    }
                }
            }
        }
    }
    if let Some((x, y, w, h, fill)) = open {
        rect(x, y, w, h, fill, out);
    }
}

/// One `<text>` per run of equal style; `textLength` keeps the columns whatever font the viewer has.
fn written(line: &[&Cell], looks: &[Look], top: f64, out: &mut String) {
    let plain = |cell: &Cell| shapes(cell.symbol()).is_none();
    let mut at = 0;
    while at < line.len() {
        if !plain(line[at]) || line[at].symbol().trim().is_empty() {
            at += 1;
            continue;
        }
        let look = looks[at];
        let same = |n: usize| {
            let other = looks[n];
            other.fg == look.fg
                && other.bold == look.bold
                && other.italic == look.italic
                && other.underline == look.underline
        };
        let (mut end, mut text, mut stop) = (at, String::new(), at);
        while end < line.len() && plain(line[end]) && (same(end) || line[end].symbol() == " ") {
            let symbol = line[end].symbol();
            // One gap joins words of a sentence; two end the run, so that columns hold without the font.
            if symbol == " " && line.get(end + 1).is_none_or(|next| next.symbol() == " ") {
                break;
            }
            text.push_str(symbol);
            end += symbol.width().max(1);
            if symbol != " " {
                stop = end;
            }
        }
        let length = left(stop) - left(at);
        let _ = write!(
            out,
            r#"<text x="{}" y="{}" textLength="{}" fill="{}" xml:space="preserve""#,
            num(left(at)),
            num(top + BASELINE),
            num(length),
            hex(look.fg)
        );
        if look.bold {
            out.push_str(r#" font-weight="bold""#);
        }
        if look.italic {
            out.push_str(r#" font-style="italic""#);
        }
        out.push('>');
        escape(text.trim_end(), out);
        out.push_str("</text>\n");
        if look.underline {
            rect(left(at), top + BASELINE + 2.0, length, 1.0, look.fg, out);
        }
        at = end.max(at + 1);
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    fn picture(lines: &[&str]) -> String {
        render(&Buffer::with_lines(lines.iter().copied()), &Palette::DARK, "a <test>")
    }

    #[test]
    fn the_same_buffer_gives_the_same_bytes() {
        assert_eq!(picture(&["┌ a ┐", "└───┘"]), picture(&["┌ a ┐", "└───┘"]));
    }

    #[test]
    fn text_is_escaped_and_keeps_its_columns() {
        let svg = picture(&["a<b & c"]);
        assert!(svg.contains("a&lt;b &amp; c</text>"), "{svg}");
        assert!(svg.contains(&format!("textLength=\"{}\"", num(7.0 * CELL_W))));
        assert!(svg.contains("<title>a &lt;test&gt;</title>"));
    }

    #[test]
    fn a_border_is_one_shape_and_no_glyph() {
        let svg = picture(&["────────"]);
        assert!(!svg.contains("<text"), "{svg}");
        assert_eq!(svg.matches("<rect").count(), 2, "the ground and one line: {svg}");
    }

    #[test]
    fn gauges_have_no_seams() {
        let svg = picture(&["████░░"]);
        assert_eq!(svg.matches("<rect").count(), 3, "{svg}");
        let quarter = shapes("▂").map(|p| p[0].h / (1.0 - 2.0 * AIR));
        assert_eq!(quarter, Some(0.25));
        assert_eq!(shapes("▙").map(|p| p.len()), Some(3));
        assert_eq!(shapes("⣿").map(|p| p.len()), Some(8));
        assert_eq!(shapes("⠀").map(|p| p.len()), Some(0));
        assert_eq!(shapes("●"), None);
    }

    #[test]
    fn reversed_cells_swap_and_dim_ones_fade() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 3, 1));
        buffer.set_string(0, 0, "x", Style::new().add_modifier(Modifier::REVERSED));
        buffer.set_string(1, 0, "y", Style::new().add_modifier(Modifier::DIM));
        let palette = Palette::DARK;
        let reversed = look(&buffer[(0, 0)], &palette);
        assert_eq!((reversed.fg, reversed.bg), (palette.background, palette.foreground));
        assert_ne!(look(&buffer[(1, 0)], &palette).fg, palette.foreground);
        assert_eq!(palette.rgb(Color::Indexed(231)), Some([255; 3]));
        assert_eq!(palette.rgb(Color::Indexed(232)), Some([8; 3]));
    }

    #[test]
    fn an_empty_buffer_is_a_picture_too() {
        let svg = render(&Buffer::empty(Rect::ZERO), &Palette::DARK, "");
        assert!(svg.ends_with("</svg>\n"));
    }
}
