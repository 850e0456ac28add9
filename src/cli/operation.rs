//! From the words of `plan` and `copy` to an operation, and to the plan of it: the same way for both verbs.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::args::OperationArgs;
use super::resolve::{Resolved, World};
use crate::address::{Address, Place};
use crate::error::{Error, Result};
use crate::plan::{self, Machine, Operation, Options, Plan, Strategy};
use crate::store::config::Clamp;
use crate::store::copies::Copies;
use crate::store::routes::Routes;

/// Sources of one group at most: a plan of more is a mistake, or wants to be several.
const MOST_SOURCES: usize = 10_000;
/// Bytes of a list of sources at most.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// Reads the addresses and the flags.
///
/// # Errors
/// Usage (exit 2), in the sentences of the address table.
pub fn operation(args: &OperationArgs, resolved: &Resolved) -> Result<Operation> {
    let (sources, destinations) = if args.each { many(&args.addresses)? } else { one(&args.addresses)? };
    let an_image = sources.iter().any(|from| matches!(from, Address::Image(..)));
    if args.strategy == Some(Strategy::Direct)
        && an_image
        && let Some(to) = destinations.iter().find(|to| matches!(to, Address::NewSnapshot(_)))
    {
        return Err(Error::usage(format!("`{to}` gets no image by --strategy direct: {}", plan::NEVER_REBUILT))
            .todo("leave --strategy out; the plan names the snapshot that can be copied alone"));
    }
    let home = home();
    let at_home = |address: Address| match &home {
        Some(home) => address.with_home(home),
        None => address,
    };
    let mut concurrency = args.concurrency.or(resolved.config.concurrency);
    let mut clamps: Vec<Clamp> = Vec::new();
    resolved.limits.clamp_lanes(&mut concurrency, &mut clamps);
    resolved.tell(&clamps);
    Ok(Operation {
        sources: sources.into_iter().map(at_home).collect(),
        destinations: destinations.into_iter().map(at_home).collect(),
        options: Options {
            concurrency,
            memory: args.memory,
            bandwidth: args.bandwidth.clone(),
            pace: args.pace,
            strategy: strategy(args)?,
            verify: args.verify,
            omit_zeros: args.omit_zeros,
            force: args.force,
            chain: args.chain,
            allow_changed: args.allow_changed,
            allow_decrypt: args.allow_decrypt,
            tags: args.tags.clone(),
            kms_key: args.kms_key.clone(),
            description: args.description.clone(),
            wait_timeout_seconds: args.wait_timeout,
            allow_gaps: args.allow_gaps,
            storage_class: args.storage_class.clone(),
            complete_within: args.complete_within,
            name: args.name.clone(),
            part_size: args.part_size,
            recursive: args.recursive,
            include: args.include.clone(),
            exclude: args.exclude.clone(),
            force_copy: args.force_copy,
        },
    })
}

/// A time that AWS is to keep implies that AWS copies.
fn strategy(args: &OperationArgs) -> Result<Strategy> {
    match (args.complete_within, args.strategy) {
        (Some(_), None | Some(Strategy::Native)) => Ok(Strategy::Native),
        (Some(_), Some(_)) => Err(Error::usage("--complete-within is for what AWS copies itself")
            .todo("leave --strategy out, or say --strategy native")),
        (None, strategy) => Ok(strategy.unwrap_or_default()),
    }
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

type Ends = (Vec<Address>, Vec<Address>);

/// `SOURCE DEST...`
fn one(words: &[String]) -> Result<Ends> {
    let [source, destinations @ ..] = words else { return Err(Error::usage("no address is given")) };
    let source = Address::source(source)?;
    if destinations.is_empty() {
        return Err(Error::usage(format!("`{source}` has no destination"))
            .todo(format!("floe copy {source} REGION:, or ./disk.img, or null:")));
    }
    let destinations = destinations.iter().map(|to| Address::destination_of(&source, to)).collect::<Result<_>>()?;
    Ok((vec![source], destinations))
}

/// `--each SOURCE... DEST`: a source may be a file of them (`./list.txt`), or `-`.
fn many(words: &[String]) -> Result<Ends> {
    let [sources @ .., destination] = words else { return Err(Error::usage("no address is given")) };
    if sources.is_empty() {
        return Err(Error::usage("--each needs sources and, last, one destination").todo(
            "floe copy --each snap-A snap-B REGION:, or: floe ls snapshots -o ids | floe copy --each - REGION:",
        ));
    }
    let destination = Address::destination(destination)?;
    let mut all: Vec<Address> = Vec::new();
    for word in sources {
        if word == "-" {
            let mut text = String::new();
            std::io::stdin()
                .lock()
                .take(MOST_BYTES)
                .read_to_string(&mut text)
                .map_err(|e| Error::io("could not read sources from stdin", &e))?;
            all.extend(listed(&text, "stdin")?);
            continue;
        }
        match Address::source(word)? {
            Address::Path(path) if is_list(&path) => {
                let text = std::fs::read_to_string(&path)
                    .map_err(|e| Error::usage(format!("could not read the sources of {}: {e}", path.display())))?;
                all.extend(listed(&text, &path.display().to_string())?);
            }
            source => all.push(source),
        }
    }
    if all.is_empty() {
        return Err(Error::usage("--each was given no source").todo("one address a line; # begins a comment"));
    }
    if all.len() > MOST_SOURCES {
        return Err(Error::usage(format!("{} sources are more than one plan takes ({MOST_SOURCES})", all.len()))
            .todo("split the list"));
    }
    Ok((all, vec![destination]))
}

/// A list of sources is told from an image by its ending, never by what is in it.
fn is_list(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "txt" || end == "list" || end == "ids")
}

fn listed(text: &str, from: &str) -> Result<Vec<Address>> {
    let mut all = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let word = line.split('#').next().unwrap_or_default().trim();
        if !word.is_empty() {
            all.push(Address::source(word).map_err(|e| e.during(format!("{from} line {}", at + 1)))?);
        }
    }
    Ok(all)
}

/// Makes the plan, and refuses what this machine or this session may not do.
///
/// # Errors
/// As [`plan::make`]; refused (exit 5) for an account that the machine's file does not allow.
pub async fn make(args: &OperationArgs, world: &World, resolved: &Resolved) -> Result<(Plan, Machine)> {
    let operation = operation(args, resolved)?;
    let mut machine = resolved.machine(args.runs_in.as_deref(), args.memory)?;
    machine.copies = Some(Copies::of(&world.state));
    machine.routes = Some(Routes::of(&world.state));
    if args.live_prices {
        machine.prices = Some(plan::prices::Spot::at(&world.state.cache()?));
    }
    // The sandbox is on this machine, wherever that is; what it plays is told with --runs-in.
    if resolved.sandbox.is_none() {
        machine.locate(crate::aws::instance().await);
    }
    let plan = match plan::make(&world.aws, operation, &machine).await {
        Ok(plan) => plan,
        Err(error) => return Err(world.explain(&Place::default(), error).await),
    };
    if resolved.sandbox.is_none() {
        let sources = plan.items.iter().filter_map(|item| item.source.account.as_ref());
        let destinations = plan.items.iter().flat_map(|item| &item.destinations).filter_map(|to| to.account.as_ref());
        sources.chain(destinations).try_for_each(|account| resolved.limits.check_account(account))?;
    }
    Ok((plan, machine))
}

/// Refuses to run a plan that would change something where nothing may be changed.
///
/// # Errors
/// Refused (exit 5), naming who says so.
pub fn check_writable(plan: &Plan, resolved: &Resolved) -> Result<()> {
    let changes = |to: &&plan::DestinationPlan| !matches!(to.kind, plan::DestinationKind::Null);
    let who = |to: &plan::DestinationPlan| match resolved.read_only {
        Some(who) => Some(who),
        None if resolved.config.is_read_only(to.profile.as_ref()) => Some("the config"),
        None => None,
    };
    let mut destinations = plan.items.iter().flat_map(|item| &item.destinations).filter(changes);
    match destinations.find_map(|to| who(to).map(|who| (to, who))) {
        Some((to, who)) => Err(Error::refused(format!("`{}` is not made: {who} says read-only", to.address))
            .todo("copy to null: reads and checks only")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(all: &[&str]) -> Vec<String> {
        all.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn one_source_goes_to_many_and_many_go_to_one() -> Result<()> {
        let (sources, destinations) = one(&words(&["snap-0abc1234", "eu-west-1:", "./a.img"]))?;
        assert_eq!((sources.len(), destinations.len()), (1, 2));
        let (sources, destinations) = many(&words(&["snap-0abc1234", "snap-0abc1235", "eu-west-1:"]))?;
        assert_eq!((sources.len(), destinations.len()), (2, 1));
        assert!(one(&words(&["snap-0abc1234"])).is_err_and(|e| e.what.contains("no destination")));
        assert!(
            one(&words(&["snap-0abc1234", "snap-0abc1235"]))
                .is_err_and(|e| e.todo.is_some_and(|t| t.contains("--each")))
        );
        assert!(many(&words(&["eu-west-1:"])).is_err());
        Ok(())
    }

    #[test]
    fn a_list_has_comments_and_says_which_line_is_wrong() -> Result<()> {
        let all = listed("# nightly\nsnap-0abc1234\n\n  eu-west-1:snap-0abc1235  # web\n", "stdin")?;
        assert_eq!(all.len(), 2);
        let error = listed("snap-0abc1234\nvol-0abc1234\n", "ids.txt").expect_err("a volume");
        assert!(error.what.starts_with("ids.txt line 2: "), "{}", error.what);
        Ok(())
    }
}
