//! From text to terms.

use jiff::Timestamp;

use super::{Bound, KEYS, Op, Term, Test};
use crate::error::{Error, Result};
use crate::units::{Bytes, parse_age, parse_bytes};

const VERDICTS: [&str; 6] = ["in-use", "managed", "protected", "stale", "orphan", "unknown"];

/// All terms of a filter.
pub(super) fn terms(text: &str, now: Timestamp) -> Result<Vec<Term>> {
    let mut terms = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (token, after) = token(rest)?;
        if let Some(term) = term(&token, now)? {
            terms.push(term);
        }
        rest = after.trim_start();
    }
    Ok(terms)
}

/// One part of the text, its quotes taken off.
#[derive(Debug, Default)]
struct Token {
    text: String,
    negated: bool,
    /// Where the key ends, when an unquoted colon is there.
    colon: Option<usize>,
    /// Where unquoted bars are.
    bars: Vec<usize>,
}

fn token(text: &str) -> Result<(Token, &str)> {
    let mut token = Token::default();
    let mut quote = None;
    let start = text.strip_prefix('!');
    token.negated = start.is_some();
    let text = start.unwrap_or(text);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => token.text.push(c),
            (None, '"' | '\'') if opens(&token) => quote = Some(c),
            (None, c) if c.is_whitespace() => return Ok((token, &text[at..])),
            (None, c) => {
                match c {
                    ':' if token.colon.is_none() && token.bars.is_empty() => token.colon = Some(token.text.len()),
                    '|' => token.bars.push(token.text.len()),
                    _ => {}
                }
                token.text.push(c);
            }
        }
    }
    if quote.is_some() {
        return Err(Error::usage(format!("the filter `{text}` has an open quote")).todo("close it"));
    }
    Ok((token, ""))
}

/// A quote opens at the start of a word or value; within one it is a letter (`it's`).
fn opens(token: &Token) -> bool {
    let end = token.text.len();
    end == 0
        || token.colon.is_some_and(|colon| end == colon + 1)
        || token.bars.last().is_some_and(|bar| end == bar + 1)
        || token.text.ends_with(['=', '>', '<'])
}

impl Token {
    /// The alternatives from `from` on, in lower case; empty ones are left out.
    fn values(&self, from: usize) -> Vec<String> {
        let mut values = Vec::new();
        let mut start = from;
        for bar in self.bars.iter().copied().chain([self.text.len()]) {
            values.push(self.text[start..bar].to_lowercase());
            start = bar + 1;
        }
        values.retain(|value| !value.is_empty());
        values
    }
}

fn term(token: &Token, now: Timestamp) -> Result<Option<Term>> {
    let Some(colon) = token.colon else {
        let words = token.values(0);
        return Ok((!words.is_empty()).then_some(Term { negated: token.negated, test: Test::Word(words) }));
    };
    let key = token.text[..colon].to_lowercase();
    if !KEYS.contains(&key.as_str()) {
        return Err(Error::usage(format!("`{}` is not a filter key", &token.text[..colon]))
            .todo(format!("the keys are {}; put quotes around a word that holds a colon", KEYS.join(" "))));
    }
    let values = token.values(colon + 1);
    if values.is_empty() {
        // `size:` while it is being typed: no value yet, so nothing is filtered by it.
        return Ok(None);
    }
    Ok(Some(Term { negated: token.negated, test: test(&key, values, now)? }))
}

fn test(key: &str, values: Vec<String>, now: Timestamp) -> Result<Test> {
    Ok(match key {
        "name" => Test::Name(values),
        "region" => Test::Region(values),
        "state" => Test::State(values),
        "tier" => Test::Tier(known(key, values, &["standard", "archive"])?),
        "verdict" => Test::Verdict(known(key, values, &VERDICTS)?),
        "used-by" => Test::UsedBy(values),
        "size" => Test::Size(bounds(key, &values, bytes)?),
        "full" => Test::Full(bounds(key, &values, bytes)?),
        "frees" => Test::Frees(bounds(key, &values, bytes)?),
        "usd" => Test::Usd(bounds(key, &values, usd)?),
        "age" => Test::Born(values.iter().map(|value| born(value, now)).collect::<Result<_>>()?),
        _ => tag(values),
    })
}

/// `K`, `K=V`, `K=V|W`.
fn tag(mut values: Vec<String>) -> Test {
    let first = values.remove(0);
    match first.split_once('=') {
        Some((key, value)) => {
            values.insert(0, value.to_owned());
            Test::Tag { key: key.to_owned(), values }
        }
        None => Test::Tag { key: first, values: Vec::new() },
    }
}

/// The beginning of a known word is enough for what is typed by hand.
fn known(key: &str, values: Vec<String>, words: &[&str]) -> Result<Vec<String>> {
    let find = |value: &String| {
        let word = words
            .iter()
            .find(|word| *word == value)
            .or_else(|| words.iter().find(|word| word.starts_with(value.as_str())));
        word.map(|word| (*word).to_owned()).ok_or_else(|| {
            Error::usage(format!("`{key}:{value}` matches nothing"))
                .todo(format!("{key} is one of {}", words.join(" ")))
        })
    };
    values.iter().map(find).collect()
}

fn bounds<T>(key: &str, values: &[String], read: fn(&str) -> Option<T>) -> Result<Vec<Bound<T>>> {
    let bound = |value: &String| {
        let (op, plain) = op(value);
        let value = read(plain).ok_or_else(|| {
            let example = if key == "usd" { "usd:>1.50" } else { "size:>500GiB" };
            Error::usage(format!("`{key}:{value}` is not understood")).todo(format!("write it like {example}"))
        })?;
        Ok(Bound { op: op.unwrap_or(Op::Equal), value })
    };
    values.iter().map(bound).collect()
}

fn op(value: &str) -> (Option<Op>, &str) {
    let ops = [(">=", Op::MoreOrEqual), ("<=", Op::LessOrEqual), (">", Op::More), ("<", Op::Less), ("=", Op::Equal)];
    let found = ops.iter().find_map(|(sign, op)| Some((Some(*op), value.strip_prefix(sign)?)));
    let (op, plain) = found.unwrap_or((None, value));
    (op, plain.trim())
}

/// A size; a bare number counts GiB, as AWS sizes volumes.
fn bytes(text: &str) -> Option<u64> {
    match text.parse::<u64>() {
        Ok(gib) => gib.checked_mul(Bytes::gib(1).0),
        Err(_) => parse_bytes(text).ok().map(|bytes| bytes.0),
    }
}

fn usd(text: &str) -> Option<f64> {
    text.trim_start_matches('$').parse().ok().filter(|usd: &f64| usd.is_finite())
}

/// `>90d`: born more than 90 days ago. An age without a sign is refused: nothing is exactly 90 days old.
fn born(value: &str, now: Timestamp) -> Result<Bound<Timestamp>> {
    let wrong = || {
        Error::usage(format!("`age:{value}` is not understood")).todo("write it like age:>90d or age:<12h (m h d w y)")
    };
    let (op, plain) = op(value);
    let age = parse_age(plain).ok_or_else(wrong)?;
    let value = now.checked_sub(age).map_err(|_| wrong())?;
    let op = match op.ok_or_else(wrong)? {
        Op::Less => Op::More,
        Op::LessOrEqual => Op::MoreOrEqual,
        Op::Equal => return Err(wrong()),
        Op::MoreOrEqual => Op::LessOrEqual,
        Op::More => Op::Less,
    };
    Ok(Bound { op, value })
}
