//! ListSnapshotBlocks and ListChangedBlocks: pages of ascending indexes with their tokens.
//!
//! Both walk the volume chunk by chunk and stop at the page's size or after so many chunks, so that a request's work
//! is bounded also where little is listed; that gives the short and empty pages of the real service, and
//! `short_pages_permille` and `empty_pages_permille` give more of them.

use std::fmt::Write as _;

use http::{Response, StatusCode};

use super::tokens::{Owner, Token};
use super::{Answer, Refusal, Route, json, parameter, readable, snapshot_id};
use crate::sandbox::body::Body;
use crate::sandbox::content::{Content, Origins, next_chunk};
use crate::sandbox::faults::{Faults, Rotation};
use crate::sandbox::synth::{CHUNK, mix, scaled};
use crate::sandbox::{Caller, Sandbox};
use crate::units::BLOCK_BYTES;

/// Chunks that one page looks at: the blocks of 2 TiB.
const CHUNKS_PER_PAGE: u32 = 8192;

/// What a page asks for.
struct Page {
    start: u32,
    most: usize,
    number: u32,
}

/// One entry: its index, and whether the first and the second snapshot have a token for it.
type Entry = (u32, bool, bool);

/// A page and where the next one starts.
struct Found {
    entries: Vec<Entry>,
    next: Option<u32>,
}

fn page(sandbox: &Sandbox, owner: Owner, query: Option<&str>) -> Result<Page, Refusal> {
    let wrong = |name: &str| Refusal::invalid("INVALID_PARAMETER_VALUE", format!("The value of {name} is not valid."));
    let most = match parameter(query, "maxResults") {
        Some(text) => {
            text.parse().ok().filter(|most| (100..=10_000).contains(most)).ok_or_else(|| wrong("MaxResults"))?
        }
        None => 10_000,
    };
    let start = match parameter(query, "startingBlockIndex") {
        Some(text) => {
            let index = text.parse::<i32>().ok().and_then(|index| u32::try_from(index).ok());
            index.ok_or_else(|| wrong("StartingBlockIndex"))?
        }
        None => 0,
    };
    let Some(token) = parameter(query, "pageToken").filter(|token| !token.is_empty()) else {
        return Ok(Page { start, most, number: 0 });
    };
    // A page token wins over StartingBlockIndex.
    let refused = || Refusal::invalid("INVALID_PAGE_TOKEN", "The provided page token is invalid or expired.");
    let token = Token::open(&token, owner).ok_or_else(refused)?;
    if token.expires_ms <= sandbox.now().as_millisecond() {
        return Err(refused());
    }
    Ok(Page { start: token.index, most, number: token.generation })
}

/// Shortens a page as chance has it. The last page number keeps an empty page from following itself for ever.
fn shortened(faults: &Faults, page: &Page) -> usize {
    let dice = mix(mix(faults.seed, u64::from(page.start)), u64::from(page.number));
    let roll = scaled(dice, 1000);
    let empty = u64::from(faults.empty_pages_permille.min(900));
    if roll < empty {
        0
    } else if roll < empty + u64::from(faults.short_pages_permille) {
        1 + scaled(mix(dice, 1), page.most as u64 - 1) as usize
    } else {
        page.most
    }
}

fn walk(first: Option<&Content>, second: &Content, blocks: u32, page: &Page, most: usize) -> std::io::Result<Found> {
    let end = blocks.div_ceil(CHUNK);
    let mut entries = Vec::with_capacity(most.min(page.most));
    let (mut before, mut after): (Origins, Origins) = ([0; CHUNK as usize], [0; CHUNK as usize]);
    let mut chunk = page.start / CHUNK;
    let last = chunk.saturating_add(CHUNKS_PER_PAGE);
    if most == 0 && page.start < blocks {
        return Ok(Found { entries, next: Some(page.start) });
    }
    loop {
        if first.is_none() {
            chunk = next_chunk(second, chunk, end);
        }
        if chunk >= end {
            return Ok(Found { entries, next: None });
        }
        if chunk >= last {
            return Ok(Found { entries, next: Some(chunk * CHUNK) });
        }
        second.fill(chunk, &mut after)?;
        if let Some(first) = first {
            first.fill(chunk, &mut before)?;
        }
        for (index, (before, after)) in (chunk * CHUNK..).zip(before.iter().zip(&after)) {
            // Without a first snapshot `before` is all zeros, and what is listed differs from it.
            if before == after || index < page.start {
                continue;
            }
            if entries.len() == most {
                return Ok(Found { entries, next: Some(index) });
            }
            entries.push((index, *before != 0, *after != 0));
        }
        chunk += 1;
    }
}

/// ListSnapshotBlocks.
pub(super) fn blocks(sandbox: &Sandbox, caller: &Caller, route: &Route, query: Option<&str>, omit: bool) -> Answer {
    let id = snapshot_id(&route.snapshot)?;
    let page = page(sandbox, owner_of_pages(caller, id.as_str(), ""), query)?;
    let (content, size) = {
        let model = sandbox.model();
        let found = readable(&model, caller, &id)?;
        (found.content.clone(), found.size_gib)
    };
    let most = sandbox.with_faults(|faults| shortened(faults, &page));
    let found = walk(None, &content, size.saturating_mul(2048), &page, most).map_err(|e| Refusal::internal(&e))?;
    let tokens = Tokens::new(sandbox, caller, &[id.as_str()], &page);
    let mut out = format!("{{\"BlockSize\":{BLOCK_BYTES},\"Blocks\":[");
    for (n, (index, ..)) in found.entries.iter().skip(usize::from(omit)).enumerate() {
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{{\"BlockIndex\":{index},\"BlockToken\":\"");
        tokens.append(0, *index, &mut out);
        out.push_str("\"}");
    }
    Ok(finish(out, &tokens, size, &page, found.next, owner_of_pages(caller, id.as_str(), "")))
}

/// ListChangedBlocks.
pub(super) fn changed(sandbox: &Sandbox, caller: &Caller, route: &Route, query: Option<&str>, omit: bool) -> Answer {
    let second = snapshot_id(&route.snapshot)?;
    let missing = || Refusal::invalid("INVALID_PARAMETER_VALUE", "FirstSnapshotId must be specified.");
    let first = snapshot_id(&parameter(query, "firstSnapshotId").ok_or_else(missing)?)?;
    let owner = owner_of_pages(caller, second.as_str(), first.as_str());
    let page = page(sandbox, owner, query)?;
    let (before, after, size) = {
        let model = sandbox.model();
        let (before, after) = (readable(&model, caller, &first)?, readable(&model, caller, &second)?);
        (before.content.clone(), after.content.clone(), after.size_gib.max(before.size_gib))
    };
    if before.lineage() != after.lineage() {
        let message = format!("The snapshots '{first}' and '{second}' are not related.");
        return Err(Refusal::invalid("UNRELATED_SNAPSHOTS", message));
    }
    let most = sandbox.with_faults(|faults| shortened(faults, &page));
    let found =
        walk(Some(&before), &after, size.saturating_mul(2048), &page, most).map_err(|e| Refusal::internal(&e))?;
    let tokens = Tokens::new(sandbox, caller, &[first.as_str(), second.as_str()], &page);
    let mut out = format!("{{\"BlockSize\":{BLOCK_BYTES},\"ChangedBlocks\":[");
    for (n, (index, in_first, in_second)) in found.entries.iter().skip(usize::from(omit)).enumerate() {
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{{\"BlockIndex\":{index}");
        for (which, name, has) in [(0, "FirstBlockToken", in_first), (1, "SecondBlockToken", in_second)] {
            if *has {
                let _ = write!(out, ",\"{name}\":\"");
                tokens.append(which, *index, &mut out);
                out.push('"');
            }
        }
        out.push('}');
    }
    Ok(finish(out, &tokens, size, &page, found.next, owner))
}

fn owner_of_pages(caller: &Caller, second: &str, first: &str) -> Owner {
    Owner::page(caller.account.as_str(), caller.region.as_str(), second, first)
}

/// The tokens of one page: of one snapshot, or of the first and the second.
struct Tokens {
    owners: Vec<(Owner, u32)>,
    expires_ms: i64,
    page_expires_ms: i64,
}

impl Tokens {
    fn new(sandbox: &Sandbox, caller: &Caller, snapshots: &[&str], page: &Page) -> Self {
        let (rotate, life, page_life) =
            sandbox.with_faults(|faults| (faults.rotate, faults.token_seconds, faults.page_token_seconds));
        let turns = rotate == Rotation::Page || (rotate == Rotation::Listing && page.number == 0);
        let owner = |id: &&str| {
            let owner = Owner::block(caller.account.as_str(), caller.region.as_str(), id);
            (owner, sandbox.generation(id, turns))
        };
        let now = sandbox.now().as_millisecond();
        let after = |seconds: u64| now.saturating_add_unsigned(seconds.saturating_mul(1000));
        Self {
            owners: snapshots.iter().map(owner).collect(),
            expires_ms: after(life),
            page_expires_ms: after(page_life),
        }
    }

    fn append(&self, which: usize, index: u32, out: &mut String) {
        let (owner, generation) = self.owners[which];
        Token { index, expires_ms: self.expires_ms, generation }.seal_into(owner, out);
    }
}

fn finish(mut out: String, tokens: &Tokens, size: u32, page: &Page, next: Option<u32>, owner: Owner) -> Response<Body> {
    let seconds = tokens.expires_ms as f64 / 1000.0;
    let _ = write!(out, "],\"ExpiryTime\":{seconds:.3},\"VolumeSize\":{size}");
    if let Some(index) = next {
        let generation = page.number.saturating_add(1);
        let token = Token { index, expires_ms: tokens.page_expires_ms, generation }.seal(owner);
        let _ = write!(out, ",\"NextToken\":\"{token}\"");
    }
    out.push('}');
    json(StatusCode::OK, out)
}
