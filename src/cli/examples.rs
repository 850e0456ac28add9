//! What to type, for each verb: the end of its help, and of its part of the manual.
//!
//! Kept beside the definitions, not in them, because a test reads every line with them: an example that floe itself would
//! not take is none. Ids are short ones; every other word can be typed as it stands.

use clap::{Command, CommandFactory as _};

use super::args::Cli;

/// A line and what it does.
type Example = (&'static str, &'static str);

/// The verb, as its words are typed, and its examples.
const EXAMPLES: &[(&[&str], &[Example])] = &[
    (
        &[],
        &[
            ("floe", "the deck: browse, weigh, copy, watch, clear"),
            ("floe --sandbox", "the same on an embedded AWS: no account, nothing to pay"),
            ("floe copy us-east-1:snap-0abc1234 eu-west-1:", "one copy from here; each verb's --help shows more"),
        ],
    ),
    (
        &["ls"],
        &[
            ("floe ls regions", "the regions of the account"),
            ("floe ls snapshots eu-west-1: --filter 'name:web size:>100GiB'", "those that match"),
            ("floe ls volumes --all-regions -o csv", "for a spreadsheet"),
            ("floe ls archives s3://vault/ebs/", "archives below a prefix"),
        ],
    ),
    (
        &["size"],
        &[
            ("floe size us-east-1:snap-0abc1234", "its allocated blocks, exactly"),
            ("floe size us-east-1:snap-0abc1234..snap-0def5678", "what changed from one to the other"),
            ("floe size --frees snap-0abc1234 snap-0def5678", "what removing both would free"),
        ],
    ),
    (
        &["inspect"],
        &[
            ("floe inspect us-east-1:snap-0abc1234", "a snapshot"),
            ("floe inspect ./disk.img", "an image file"),
            ("floe inspect s3://vault/ebs/snap-0abc1234/", "an archive"),
        ],
    ),
    (
        &["plan"],
        &[
            ("floe plan us-east-1:snap-0abc1234 eu-west-1:", "to another region"),
            ("floe plan us-east-1:snap-0abc1234 eu-west-1: --runs-in eu-west-1", "from a machine there"),
            ("floe plan us-east-1:snap-0abc1234 ./disk.img -o json", "for a script"),
        ],
    ),
    (
        &["copy"],
        &[
            ("floe copy us-east-1:snap-0abc1234 eu-west-1:", "to another region"),
            ("floe copy us-east-1:snap-0abc1234 eu-west-1: ./disk.img", "to two places in one read"),
            ("floe copy prod@us-east-1:snap-0abc1234 dr@eu-west-1:", "to another account"),
            ("floe copy us-east-1:snap-0abc1234 s3://vault/ebs/", "into an archive"),
            ("floe copy s3://vault/ebs/snap-0abc1234/ eu-west-1:", "and back"),
            ("floe copy ./disk.img us-east-1: --yes --detach", "in the background, unasked"),
            ("floe copy us-east-1:snap-0abc1234..snap-0def5678 eu-west-1:snap-0fed8765+", "only what changed"),
            ("floe copy --each snap-0abc1234 snap-0def5678 eu-west-1:", "several at once"),
        ],
    ),
    (
        &["verify"],
        &[
            ("floe verify us-east-1:snap-0abc1234 eu-west-1:snap-0def5678", "a snapshot and its copy"),
            ("floe verify us-east-1:snap-0abc1234 ./disk.img", "a snapshot and a file"),
            ("floe verify s3://vault/ebs/snap-0abc1234/", "an archive and its own index"),
        ],
    ),
    (
        &["delete"],
        &[
            ("floe delete us-east-1:snap-0abc1234 --dry-run", "what would happen"),
            ("floe delete us-east-1:snap-0abc1234 --out plan.json", "write the plan for a colleague"),
            ("floe delete --plan plan.json --review", "show it, with its hash"),
            ("floe delete --plan plan.json --confirm 7f3a-91c0-5e2d-0b17", "carry it out, unattended"),
            ("floe delete us-east-1:snap-0abc1234 --archive-to s3://vault/gone/", "keep an archive of it"),
        ],
    ),
    (
        &["restore"],
        &[
            ("floe restore --list us-east-1:", "what the Recycle Bin keeps, and until when"),
            ("floe restore us-east-1:snap-0abc1234", "bring one back"),
        ],
    ),
    (&["audit"], &[("floe audit", "everything"), ("floe audit --filter state:failed", "what could not be removed")]),
    (
        &["jobs"],
        &[
            ("floe jobs", "what runs, waits, is done"),
            ("floe jobs watch 14 --concurrency 64", "follow one, and turn it"),
            ("floe jobs pause 14", "stop it cleanly"),
            ("floe jobs resume 14", "go on where it was"),
            ("floe jobs show 14 --receipt", "how it was proved, what it took"),
        ],
    ),
    (
        &["jobs", "watch"],
        &[
            ("floe jobs watch", "the only one that runs"),
            ("floe jobs watch 14 --bandwidth 'Mon-Fri 08:00-18:00 50MiB/s; else unlimited'", "slower by day"),
        ],
    ),
    (
        &["jobs", "cancel"],
        &[
            ("floe jobs cancel 14", "end it, and delete what it has made"),
            ("floe jobs cancel 14 --keep", "stop it, and keep that for a resume"),
        ],
    ),
    (
        &["orphans"],
        &[
            ("floe orphans us-east-1:", "what nothing refers to, with the evidence"),
            ("floe orphans --all-regions --filter 'verdict:orphan age:>180d' -o ids", "ids for floe delete -"),
            ("floe orphans us-east-1: -o html", "a page to hand on"),
        ],
    ),
    (&["prices"], &[("floe prices --region eu-west-1", "of one region"), ("floe prices --live", "what AWS lists now")]),
    (
        &["engine"],
        &[
            ("floe engine --memory 512MiB", "with a budget of its own"),
            ("floe engine --metrics 127.0.0.1:9464", "with figures for Prometheus"),
        ],
    ),
    (
        &["sandbox"],
        &[
            ("floe sandbox --listen 127.0.0.1:4600", "for boto3 and the aws CLI"),
            ("floe sandbox --latency 20+30 --errors 1%", "slow, and now and then wrong"),
        ],
    ),
    (&["iam"], &[("floe iam copy", "what a copy may have to do"), ("floe iam ls", "to look, and nothing else")]),
    (&["completions"], &[("floe completions bash > /etc/bash_completion.d/floe", "for every user of the machine")]),
];

/// The command line with its examples.
#[must_use]
pub fn command() -> Command {
    EXAMPLES.iter().fold(Cli::command(), |command, (path, examples)| at(command, path, examples))
}

fn at(command: Command, path: &[&str], examples: &[Example]) -> Command {
    match path.split_first() {
        Some((verb, rest)) => command.mut_subcommand(verb, |verb| at(verb, rest, examples)),
        None => {
            let more = command.get_after_help().map(|text| format!("\n\n{text}")).unwrap_or_default();
            command.after_help(format!("{}{more}", text(examples)))
        }
    }
}

/// What a line does stands below it, where it may be longer than what is beside it.
fn text(examples: &[Example]) -> String {
    let lines = examples.iter().map(|(line, what)| format!("\n  {line}\n      {what}"));
    format!("Examples:{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;

    /// The words of a line as a shell cuts them.
    fn words(line: &str) -> Vec<String> {
        let line = line.split(" > ").next().unwrap_or(line);
        let (mut out, mut quoted) = (vec![String::new()], false);
        for c in line.chars() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => out.push(String::new()),
                c => out.last_mut().expect("a word").push(c),
            }
        }
        out
    }

    fn leaves(command: &Command, path: &[String], out: &mut Vec<Vec<String>>) {
        for verb in command.get_subcommands() {
            let path: Vec<String> = path.iter().cloned().chain([verb.get_name().to_owned()]).collect();
            out.push(path.clone());
            leaves(verb, &path, out);
        }
    }

    #[test]
    fn floe_takes_every_example_and_each_stands_with_its_verb() {
        for (path, examples) in EXAMPLES {
            for (line, what) in *examples {
                let typed = words(line);
                assert!(
                    typed[1..].starts_with(&path.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()),
                    "{line}"
                );
                if let Err(error) = command().try_get_matches_from(&typed) {
                    panic!("{line}: {error}");
                }
                for word in
                    typed[1 + path.len()..].iter().filter(|word| word.contains(":snap-") || word.starts_with("s3:"))
                {
                    let known = Address::source(word).is_ok() || Address::destination(word).is_ok();
                    assert!(known || *path == ["ls"], "{line}: {word}");
                }
                assert!(line.chars().count() <= 78 && !what.ends_with('.'), "{line}");
            }
        }
    }

    #[test]
    fn every_verb_that_takes_words_has_an_example() {
        let mut all = Vec::new();
        leaves(&Cli::command(), &[], &mut all);
        let has = |path: &[String]| EXAMPLES.iter().any(|(known, _)| *known == path);
        // Those of jobs that take a number only are shown with jobs; the rest takes nothing.
        let plain = ["accuracy", "doctor", "man"];
        for path in all.iter().filter(|path| path.len() == 1 && !plain.contains(&path[0].as_str())) {
            assert!(has(path), "{path:?}");
        }
        assert!(EXAMPLES.iter().all(|(path, _)| path.is_empty() || all.iter().any(|known| *path == known.as_slice())));
    }
}
