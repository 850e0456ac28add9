//! Names that an address can be completed with: files and directories of this machine, buckets.
//!
//! Asked for by an effect the first time they are of use, and never twice; where they cannot be had there is no
//! completion, and no noise about it.

use std::collections::HashMap;
use std::path::PathBuf;

use super::effect::Effect;
use super::model::Model;
use crate::address::Role;
use crate::ids::Profile;

/// Directories kept at most: one line rarely walks through more.
const DIRECTORIES: usize = 32;

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it is, in a word: `directory`, `device`, `file`.
    pub kind: &'static str,
}

/// What is known so far; what was asked for and is not there yet is empty.
#[derive(Debug, Default)]
pub struct Names {
    directories: HashMap<String, Vec<Entry>>,
    buckets: HashMap<Option<Profile>, Vec<String>>,
}

impl Names {
    /// The entries of a directory came.
    pub fn directory(&mut self, typed: String, entries: Vec<Entry>) {
        self.directories.insert(typed, entries);
    }

    /// The buckets of a profile came.
    pub fn buckets(&mut self, profile: Option<Profile>, names: Vec<String>) {
        self.buckets.insert(profile, names);
    }

    /// Files come and go: the next line looks again.
    pub fn forget_files(&mut self) {
        self.directories.clear();
    }
}

/// The directory of a path as it is typed, with its slash, and the rest.
fn parted(word: &str) -> Option<(&str, &str)> {
    let is_path = word.starts_with(['/', '.', '~']);
    let at = word.rfind('/').filter(|_| is_path)?;
    Some(word.split_at(at + 1))
}

/// Whose bucket a word begins to name, and what of it is typed.
fn bucket(word: &str) -> Option<(Option<Profile>, &str)> {
    let (profile, rest) = match word.split_once("@s3") {
        Some((profile, _)) => (Some(profile.parse().ok()?), &word[profile.len() + 1..]),
        None => (None, word),
    };
    let typed = rest.strip_prefix("s3://").or_else(|| "s3://".starts_with(rest).then_some(""))?;
    (rest.starts_with("s3") && !typed.contains('/')).then_some((profile, typed))
}

/// Asks for what the word could be completed with, when nobody did yet.
pub fn wanted(model: &mut Model, word: &str) -> Vec<Effect> {
    if let Some((typed, _)) = parted(word) {
        let known = &mut model.names.directories;
        if known.contains_key(typed) || known.len() >= DIRECTORIES {
            return Vec::new();
        }
        known.insert(typed.to_owned(), Vec::new());
        return vec![Effect::ListDirectory { typed: typed.to_owned(), path: PathBuf::from(typed) }];
    }
    let Some((profile, _)) = bucket(word) else { return Vec::new() };
    let profile = profile.or_else(|| model.profile().cloned());
    if model.names.buckets.contains_key(&profile) {
        return Vec::new();
    }
    model.names.buckets.insert(profile.clone(), Vec::new());
    vec![Effect::ListBuckets(profile)]
}

/// What the word could become at that end of a copy, and what that would be.
#[must_use]
pub fn completions(model: &Model, word: &str, role: Role) -> Vec<(String, String)> {
    if let Some((typed, start)) = parted(word) {
        let entries = model.names.directories.get(typed).map(Vec::as_slice).unwrap_or_default();
        // Hidden ones only when their dot is typed, as shells do.
        let fits =
            |entry: &&Entry| entry.name.starts_with(start) && (start.starts_with('.') || !entry.name.starts_with('.'));
        let whole = |entry: &Entry| {
            let slash = if entry.kind == "directory" { "/" } else { "" };
            let what = match entry.kind {
                "file" if role == Role::Source => "a file: a raw image, block by block".to_owned(),
                "file" => "a file that is there: onto a copy, or --force".to_owned(),
                kind => format!("a {kind} of this machine"),
            };
            (format!("{typed}{}{slash}", entry.name), what)
        };
        return entries.iter().filter(fits).map(whole).collect();
    }
    let Some((profile, start)) = bucket(word) else { return Vec::new() };
    let shown = profile.as_ref().map_or_else(String::new, |profile| format!("{profile}@"));
    let names = model.names.buckets.get(&profile.or_else(|| model.profile().cloned()));
    let fits = names.into_iter().flatten().filter(|name| name.starts_with(start));
    fits.map(|name| (format!("{shown}s3://{name}/"), "a bucket of the account".to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_apart_as_they_are_typed() {
        assert_eq!(parted("./da"), Some(("./", "da")));
        assert_eq!(parted("/dev/nv"), Some(("/dev/", "nv")));
        assert_eq!(parted("~/"), Some(("~/", "")));
        assert_eq!((parted("eu-west-1:"), parted("s3://a/b"), parted(".")), (None, None, None));
        assert_eq!(bucket("s3://va"), Some((None, "va")));
        assert_eq!(bucket("dr@s3://va").map(|(p, t)| (p.map(|p| p.to_string()), t)), Some((Some("dr".into()), "va")));
        assert_eq!((bucket("s3://vault/x"), bucket("s"), bucket("eu")), (None, None, None));
        assert_eq!(bucket("s3"), Some((None, "")));
    }

    #[test]
    fn nothing_is_asked_for_twice_and_what_is_denied_is_no_completion() {
        let mut model = Model::default();
        assert!(matches!(wanted(&mut model, "./x").as_slice(), [Effect::ListDirectory { typed, .. }] if typed == "./"));
        assert!(wanted(&mut model, "./xy").is_empty());
        let file = |name: &str, kind| Entry { name: name.to_owned(), kind };
        let entries = vec![file("data", "directory"), file("disk.img", "file"), file(".hidden", "file")];
        model.names.directory("./".to_owned(), entries);
        let words = |model: &Model, word: &str| {
            completions(model, word, Role::Destination).into_iter().map(|c| c.0).collect::<Vec<_>>()
        };
        assert_eq!(words(&model, "./d"), ["./data/", "./disk.img"]);
        assert_eq!(words(&model, "./"), ["./data/", "./disk.img"]);
        assert_eq!(words(&model, "./.h"), ["./.hidden"]);

        assert!(matches!(wanted(&mut model, "s3:").as_slice(), [Effect::ListBuckets(None)]));
        assert!(wanted(&mut model, "s3://v").is_empty());
        assert!(words(&model, "s3://v").is_empty(), "denied, or on its way: silence");
        model.names.buckets(None, vec!["vault".to_owned(), "other".to_owned()]);
        assert_eq!(words(&model, "s3://v"), ["s3://vault/"]);
    }
}
