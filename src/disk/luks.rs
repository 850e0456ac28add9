//! LUKS, both formats: what can be known without the key (the on-disk format specifications 1.2.3 and 2).

use super::model::{Content, Kind};
use super::raw::Raw;
use super::view::View;
use crate::error::Result;

/// Bytes of the second format's header that are read at most; cryptsetup makes 16 KiB.
const MOST: usize = 64 * 1024;
const BINARY: usize = 4096;

pub(super) async fn read(view: &View<'_>, front: Raw<'_>) -> Result<Option<Content>> {
    if !front.is(0, b"LUKS\xba\xbe") {
        return Ok(None);
    }
    Ok(match front.u16_be(6) {
        Some(1) => first(front),
        Some(2) => second(view, front).await?,
        _ => None,
    })
}

fn first(front: Raw<'_>) -> Option<Content> {
    let (cipher, mode) = (front.text(8, 32)?, front.text(40, 32)?);
    // A slot is in use when its first word says so.
    let slots = (0..8).filter(|n| front.u32_be(208 + 48 * n) == Some(0x00AC_71F3)).count();
    let bits = front.u32_be(108)?.saturating_mul(8);
    Some(Content {
        uuid: front.text(168, 40),
        notes: vec![format!("{cipher}-{mode}, {bits} bits"), keys(slots)],
        ..Content::new(Kind::Luks1)
    })
}

async fn second(view: &View<'_>, front: Raw<'_>) -> Result<Option<Content>> {
    let mut out = Content { label: front.text(24, 48), uuid: front.text(168, 40), ..Content::new(Kind::Luks2) };
    let size = front.u64_be(8).and_then(|size| usize::try_from(size).ok()).unwrap_or_default().min(MOST);
    let Some(text) = size.checked_sub(BINARY).filter(|length| *length > 0) else { return Ok(Some(out)) };
    let json = view.at_most(BINARY as u64, text).await?;
    let end = json.iter().position(|byte| *byte == 0).unwrap_or(json.len());
    match serde_json::from_slice::<serde_json::Value>(&json[..end]) {
        Ok(json) => {
            if let Some(cipher) = json["segments"]["0"]["encryption"].as_str() {
                out.notes.push(cipher.chars().filter(|c| !c.is_control()).take(64).collect());
            }
            out.notes.push(keys(json["keyslots"].as_object().map_or(0, serde_json::Map::len)));
        }
        Err(_) => out.notes.push("its table of keys cannot be read".to_owned()),
    }
    Ok(Some(out))
}

fn keys(slots: usize) -> String {
    format!("{slots} key{}", if slots == 1 { "" } else { "s" })
}
