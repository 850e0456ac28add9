//! The `floe …` command that does the same as a plan: what `y` copies and the footer shows.

use crate::plan::{OmitZeros, Operation, Pace, Strategy, Verify};

/// The command of an operation; only what differs from the defaults is written.
#[must_use]
pub fn command_of(operation: &Operation) -> String {
    let options = &operation.options;
    let mut words = vec!["floe".to_owned(), "copy".to_owned()];
    if operation.sources.len() > 1 {
        words.push("--each".to_owned());
    }
    words.extend(operation.sources.iter().chain(&operation.destinations).map(|a| quoted(&a.to_string())));
    let mut flag = |name: &str, value: String| words.extend([name.to_owned(), quoted(&value)]);
    if let Some(lanes) = options.concurrency {
        flag("--concurrency", lanes.to_string());
    }
    if let Some(memory) = options.memory {
        flag("--memory", format!("{}MiB", memory.0 / (1024 * 1024)));
    }
    if let Some(limit) = &options.bandwidth {
        flag("--bandwidth", limit.to_string());
    }
    match options.pace {
        Pace::Balanced => {}
        other => flag("--pace", pace_word(other).to_owned()),
    }
    match options.strategy {
        Strategy::Direct => {}
        // The time implies it.
        Strategy::Native if options.complete_within.is_some() => {}
        Strategy::Native => flag("--strategy", "native".to_owned()),
        Strategy::Auto => flag("--strategy", "auto".to_owned()),
    }
    if let Some(within) = options.complete_within {
        flag("--complete-within", within.to_string());
    }
    if let Some(name) = &options.name {
        flag("--name", name.clone());
    }
    match options.verify {
        Verify::Listing => {}
        other => flag("--verify", verify_word(other).to_owned()),
    }
    match options.omit_zeros {
        OmitZeros::Holes => {}
        OmitZeros::Off => flag("--omit-zeros", "off".to_owned()),
        OmitZeros::All => flag("--omit-zeros", "all".to_owned()),
    }
    if let Some(key) = &options.kms_key {
        flag("--kms-key", key.clone());
    }
    if let Some(text) = &options.description {
        flag("--description", text.clone());
    }
    if let Some(class) = &options.storage_class {
        flag("--storage-class", class.clone());
    }
    if let Some(size) = options.part_size {
        flag("--part-size", format!("{}MiB", size.0 >> 20));
    }
    for glob in &options.include {
        flag("--include", glob.clone());
    }
    for glob in &options.exclude {
        flag("--exclude", glob.clone());
    }
    for (key, value) in &options.tags {
        flag("--tag", format!("{key}={value}"));
    }
    for (on, name) in [
        (options.force, "--force"),
        (options.chain, "--chain"),
        (options.allow_changed, "--allow-changed"),
        (options.allow_decrypt, "--allow-decrypt"),
        (options.allow_gaps, "--allow-gaps"),
        (options.recursive, "--recursive"),
        (options.force_copy, "--force-copy"),
    ] {
        if on {
            words.push(name.to_owned());
        }
    }
    words.join(" ")
}

/// A pace as it is written on the command line.
pub const fn pace_word(pace: Pace) -> &'static str {
    match pace {
        Pace::Balanced => "balanced",
        Pace::Aggressive => "aggressive",
        Pace::Conservative => "conservative",
        Pace::CostEfficient => "cost-efficient",
    }
}

/// A level of proof as it is written on the command line.
pub const fn verify_word(verify: Verify) -> &'static str {
    match verify {
        Verify::None => "none",
        Verify::Listing => "listing",
        Verify::Checksum => "checksum",
        Verify::Full => "full",
    }
}

/// For a POSIX shell: bare where every character is harmless, else in single quotes.
fn quoted(word: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "@:/._-+=,%".contains(c);
    if !word.is_empty() && word.chars().all(harmless) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::plan::Options;

    #[test]
    fn only_what_differs_from_the_defaults_is_written() -> crate::error::Result<()> {
        let mut operation = Operation {
            sources: vec![Address::source("prod@us-east-1:snap-01c55a9e07b3d2f48")?],
            destinations: vec![Address::destination("prod@eu-west-1:")?],
            options: Options::default(),
        };
        assert_eq!(command_of(&operation), "floe copy prod@us-east-1:snap-01c55a9e07b3d2f48 prod@eu-west-1:");
        operation.options.verify = Verify::Full;
        operation.options.concurrency = Some(64);
        operation.options.tags = vec![("Owner".into(), "it's ours".into())];
        assert!(
            command_of(&operation)
                .ends_with(r"prod@eu-west-1: --concurrency 64 --verify full --tag 'Owner=it'\''s ours'")
        );
        Ok(())
    }
}
