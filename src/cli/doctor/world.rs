//! What of AWS matters to floe: credentials, clock, rights, quotas, and the way there. Looked at only, at once for
//! all profiles, each question with a deadline.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;

use super::{Check, Level};
use crate::aws::{Ec2, ProfileInfo, Session};
use crate::cli::iam::{self, Need};
use crate::cli::resolve::{Resolved, World};
use crate::error::{Class, Error, Result};
use crate::ids::Profile;
use crate::plan::{RunsIn, quota_codes as codes};

/// How long AWS may take with one answer.
const ANSWER: Duration = Duration::from_secs(4);
/// Profiles that are asked about, at most.
const PROFILES: usize = 32;
/// A clock that is so far off is worth a word; signatures are refused at five minutes.
const SKEW_NOTED: i64 = 30_000;
const SKEW_REFUSED: i64 = 300_000;

/// Actions that one line names; what is more is counted, because the policy lists them all.
const NAMED: usize = 4;

/// The quotas that bound a copy.
const QUOTAS: [(&str, &str); 4] = [
    (codes::GET_ACCOUNT, "Get requests a second, account"),
    (codes::GET_SNAPSHOT, "Get requests a second, snapshot"),
    (codes::PUT_ACCOUNT, "Put requests a second, account"),
    (codes::PUT_SNAPSHOT, "Put requests a second, snapshot"),
];

pub(super) async fn all(world: &World, resolved: &Resolved) -> Vec<Check> {
    let (mut checks, session) = credentials(world, resolved).await;
    checks.push(clock(world.aws.clock_skew_ms()));
    match &session {
        Some(session) => {
            let (rights, quotas) = tokio::join!(rights(session), quotas(session));
            checks.extend(rights);
            checks.push(quotas);
        }
        None => {
            checks.push(Check::note("iam", "not checked: needs credentials").todo("floe iam VERB prints the policy"));
            checks.push(Check::note("quotas", "not checked: needs credentials; the defaults are taken"));
        }
    }
    checks.push(place(world, resolved).await);
    if let Some(session) = session.as_ref().filter(|_| resolved.sandbox.is_none()) {
        checks.push(way(session).await);
    }
    checks
}

/// One line for each profile; and the session of the one in force, when there is one.
async fn credentials(world: &World, resolved: &Resolved) -> (Vec<Check>, Option<Session>) {
    let in_force = world.aws.resolve_profile(None);
    let mut infos = world.aws.profiles();
    infos.sort_by_key(|info| info.name != in_force);
    let left_out = infos.len().saturating_sub(PROFILES);
    infos.truncate(PROFILES);
    if !infos.iter().any(|info| info.name == in_force) {
        let session = ask(world, in_force.as_ref()).await;
        let name = in_force.as_ref().map_or_else(|| "credentials".to_owned(), |name| format!("credentials {name}"));
        let first = credential(name, Level::Bad, &session, resolved);
        let mut checks = vec![first];
        checks.extend(join_all(infos.iter().map(|info| other(world, resolved, info))).await);
        return (checks, session.ok());
    }
    let asked = join_all(infos.iter().map(|info| ask(world, info.name.as_ref()))).await;
    let mut checks: Vec<Check> = infos
        .iter()
        .zip(&asked)
        .map(|(info, session)| {
            let counts = if info.name == in_force { Level::Bad } else { Level::Note };
            credential(title(info), counts, session, resolved)
        })
        .collect();
    if left_out > 0 {
        checks.push(Check::note("credentials", format!("{left_out} more profiles were not checked")));
    }
    (checks, asked.into_iter().next().and_then(Result::ok))
}

fn title(info: &ProfileInfo) -> String {
    info.name.as_ref().map_or_else(|| "credentials of the environment".to_owned(), |name| format!("credentials {name}"))
}

async fn other(world: &World, resolved: &Resolved, info: &ProfileInfo) -> Check {
    credential(title(info), Level::Note, &ask(world, info.name.as_ref()).await, resolved)
}

/// The account as STS names it, within the deadline.
async fn ask(world: &World, profile: Option<&Profile>) -> Result<Session> {
    let region = world.aws.home_region(profile);
    match tokio::time::timeout(ANSWER, world.aws.session(profile, region.as_ref())).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::transient(format!("STS did not answer within {} s", ANSWER.as_secs()))
            .todo("check the network, the proxy variables and --endpoint-url")),
    }
}

fn credential(name: String, missing: Level, asked: &Result<Session>, resolved: &Resolved) -> Check {
    match asked {
        Ok(session) => {
            let account = session.account().grouped();
            if let Err(error) = resolved.limits.check_account(session.account())
                && resolved.sandbox.is_none()
            {
                return Check::failed(missing, name, &error);
            }
            let end = session.credentials_end();
            let end = end.map_or_else(|| "no end is known".to_owned(), |end| format!("they end at {end}"));
            Check::good(name, format!("account {account}, asked in {}; {end}", session.region()))
        }
        Err(error) => Check::failed(missing, name, error),
    }
}

/// Our clock against the `Date` of the last answer.
fn clock(skew_ms: Option<i64>) -> Check {
    let Some(skew) = skew_ms else {
        return Check::note("clock", "not checked: needs an answer of AWS");
    };
    let seconds = skew.unsigned_abs() / 1000;
    let way = if skew > 0 { "behind" } else { "ahead of" };
    let said = format!("{seconds} s {way} AWS");
    let todo = "set this machine's clock: timedatectl set-ntp true";
    match i64::try_from(skew.unsigned_abs()).unwrap_or(i64::MAX) {
        off if off >= SKEW_REFUSED => Check::bad("clock", said).todo(todo),
        off if off >= SKEW_NOTED => Check::note("clock", said).todo(todo),
        _ => Check::good("clock", "agrees with AWS"),
    }
}

/// What an action came to when it was tried without effect.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tried {
    Allowed,
    Denied,
    /// Not tried, or no answer that tells.
    Unknown,
}

fn tried<T>(answer: Result<Result<T>, tokio::time::error::Elapsed>) -> Tried {
    match answer {
        Ok(Ok(_)) => Tried::Allowed,
        Ok(Err(error)) if is_denied(&error) => Tried::Denied,
        _ => Tried::Unknown,
    }
}

fn is_denied(error: &Error) -> bool {
    let told = error.aws.as_ref();
    error.class == Class::Permanent
        && told.is_some_and(|told| {
            told.status == Some(403) || told.code.contains("Denied") || told.code.contains("Unauthorized")
        })
}

/// One line for each verb: what of its policy could be tried by looking.
async fn rights(session: &Session) -> Vec<Check> {
    let ec2: &Ec2 = session.ec2();
    let (snapshots, volumes, images, instances, regions, encryption) = tokio::join!(
        tokio::time::timeout(ANSWER, ec2.snapshots(None)),
        tokio::time::timeout(ANSWER, ec2.volumes(None)),
        tokio::time::timeout(ANSWER, ec2.images(None)),
        tokio::time::timeout(ANSWER, ec2.instances(None)),
        tokio::time::timeout(ANSWER, ec2.regions()),
        tokio::time::timeout(ANSWER, ec2.encryption_default()),
    );
    let one = match &snapshots {
        Ok(Ok(page)) => page.rows.first().map(|row| row.id.clone()),
        _ => None,
    };
    let listed = match &one {
        Some(id) => tried(tokio::time::timeout(ANSWER, session.ebs().list_blocks(id, None, None, 100)).await),
        None => Tried::Unknown,
    };
    let encryption = tried(encryption);
    let found = [
        ("sts:GetCallerIdentity", Tried::Allowed),
        ("ec2:DescribeSnapshots", tried(snapshots)),
        ("ec2:DescribeVolumes", tried(volumes)),
        ("ec2:DescribeImages", tried(images)),
        ("ec2:DescribeInstances", tried(instances)),
        ("ec2:DescribeRegions", tried(regions)),
        ("ec2:GetEbsEncryptionByDefault", encryption),
        ("ebs:ListSnapshotBlocks", listed),
    ];
    [(Need::Ls, "ls"), (Need::Size, "size"), (Need::Plan, "plan"), (Need::Copy, "copy")]
        .into_iter()
        .map(|(need, verb)| right(verb, &iam::actions(need), &found))
        .collect()
}

fn right(verb: &str, actions: &[&str], found: &[(&str, Tried)]) -> Check {
    let of = |action: &&str| found.iter().find(|(known, _)| known == action).map_or(Tried::Unknown, |(_, t)| t.clone());
    let (mut denied, mut unknown, mut allowed) = (Vec::new(), Vec::new(), 0usize);
    let actions: std::collections::BTreeSet<&str> = actions.iter().copied().collect();
    for action in &actions {
        match of(action) {
            Tried::Allowed => allowed += 1,
            Tried::Denied => denied.push(*action),
            Tried::Unknown => unknown.push(*action),
        }
    }
    let what = format!("iam {verb}");
    if !denied.is_empty() {
        return Check::bad(what, format!("denied: {}", denied.join(", ")))
            .todo(format!("floe iam {verb} prints the policy"));
    }
    if unknown.is_empty() {
        return Check::good(what, format!("{allowed} of {} actions are allowed", actions.len()));
    }
    let why =
        if verb == "copy" { "needs a copy, whose first blocks try it" } else { "needs a call with more than looks" };
    let more = match unknown.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more of floe iam {verb}"),
    };
    let named = unknown.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let text = format!("{allowed} of {} actions are allowed; not checked: {named}{more} ({why})", actions.len());
    Check::good(what, text)
}

async fn quotas(session: &Session) -> Check {
    let asked = join_all(QUOTAS.iter().map(|(code, _)| tokio::time::timeout(ANSWER, session.quota(code)))).await;
    let known: Vec<String> = QUOTAS
        .iter()
        .zip(&asked)
        .filter_map(|((code, name), value)| {
            let value: f64 = value.as_ref().ok().copied()??;
            Some(format!("{name} {} ({code})", crate::cli::show_plan::quantity(value)))
        })
        .collect();
    if known.is_empty() {
        return Check::note("quotas", "not told; AWS's defaults of 1,000 a second are taken")
            .todo("allow servicequotas:GetServiceQuota and servicequotas:GetAWSDefaultServiceQuota");
    }
    Check::good("quotas", format!("in {}: {}", session.region(), known.join(", ")))
}

/// Whether a gigabyte on its way to EBS direct is charged for beside the calls: by the endpoint's name and addresses.
async fn way(session: &Session) -> Check {
    const WHAT: &str = "endpoint";
    let host = session.ebs().endpoint().split("://").last().unwrap_or_default();
    let (name, port) = host.rsplit_once(':').unwrap_or((host, "443"));
    let name = name.trim_matches(['[', ']']);
    let found = tokio::time::timeout(ANSWER, tokio::net::lookup_host((name, port.parse().unwrap_or(443)))).await;
    let addresses: Vec<IpAddr> = match found {
        Ok(Ok(addresses)) => addresses.map(|address| address.ip()).collect(),
        _ => return Check::note(WHAT, format!("{name} has no address here")).todo("check DNS and the network"),
    };
    charged(name, &addresses)
}

fn charged(name: &str, addresses: &[IpAddr]) -> Check {
    const WHAT: &str = "endpoint";
    let private = |address: &&IpAddr| match address {
        IpAddr::V4(four) => four.is_private(),
        IpAddr::V6(six) => six.is_unique_local(),
    };
    if let Some(inside) = addresses.iter().find(private) {
        let said = format!("{name} is {inside}, an interface endpoint of this network: AWS charges each GB through it");
        return Check::note(WHAT, said).todo("plans do not count that; the public endpoint has no such charge");
    }
    if name.starts_with("ebs-fips.") {
        let said = format!("{name} is a FIPS endpoint: transfer to it is charged also within its region");
        return Check::note(WHAT, said).todo("leave use_fips_endpoint out where nothing demands it");
    }
    if addresses.iter().any(IpAddr::is_loopback) {
        return Check::good(WHAT, format!("{name} is this host"));
    }
    Check::good(WHAT, format!("{name} is public; a NAT gateway on the way there would charge each GB"))
}

/// Where this host stands, which decides what transfer costs.
async fn place(world: &World, resolved: &Resolved) -> Check {
    const WHAT: &str = "route";
    let endpoint = world.aws.world().endpoint;
    let way = endpoint.map_or_else(|| "AWS's own endpoints".to_owned(), |endpoint| format!("endpoint {endpoint}"));
    if let Some(said) = resolved.config.runs_in.as_deref() {
        return match RunsIn::parse(said) {
            Ok(place) => Check::good(WHAT, format!("{way}; the config says that this host is in {}", place.text())),
            Err(why) => Check::bad(WHAT, format!("runs_in of the config: {why}")),
        };
    }
    if resolved.sandbox.is_some() {
        return Check::good(WHAT, way);
    }
    match crate::aws::host_region().await {
        Some(region) => Check::good(WHAT, format!("{way}; this host is an instance in {region}"))
            .todo(format!("plans count on it with --runs-in {region}, or runs_in in the config")),
        None => Check::good(WHAT, format!("{way}; no instance metadata, so plans take this host to be outside AWS")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_judged_by_what_signatures_bear() {
        assert_eq!(clock(None).level, Level::Note);
        assert_eq!(clock(Some(-2_000)).level, Level::Good);
        let behind = clock(Some(60_000));
        assert!(behind.level == Level::Note && behind.text == "60 s behind AWS", "{behind:?}");
        let ahead = clock(Some(-1_200_000));
        assert!(ahead.level == Level::Bad && ahead.text.contains("ahead") && ahead.todo.is_some(), "{ahead:?}");
    }

    #[test]
    fn a_way_that_is_charged_by_the_gigabyte_is_noted() {
        let at = |name: &str, address: &str| charged(name, &[address.parse().expect("an address")]);
        let name = "ebs.eu-west-1.amazonaws.com";
        assert_eq!(at(name, "52.94.1.7").level, Level::Good);
        for inside in ["10.0.3.7", "172.31.9.1", "192.168.1.1", "fd00::7"] {
            let link = at(name, inside);
            assert!(link.level == Level::Note && link.text.contains(inside) && link.todo.is_some(), "{link:?}");
        }
        assert_eq!(at(name, "127.0.0.1").level, Level::Good, "a server of this host");
        let fips = at("ebs-fips.us-east-1.amazonaws.com", "52.94.1.7");
        assert!(fips.level == Level::Note && fips.text.contains("FIPS"), "{fips:?}");
    }

    #[test]
    fn a_right_is_denied_allowed_or_not_checked_and_never_guessed() {
        let found = [("a:One", Tried::Allowed), ("a:Two", Tried::Denied)];
        assert_eq!(right("ls", &["a:One"], &found).level, Level::Good);
        let denied = right("ls", &["a:One", "a:Two"], &found);
        assert!(denied.level == Level::Bad && denied.text.contains("a:Two") && denied.todo.is_some());
        let unknown = right("copy", &["a:One", "a:Three"], &found);
        assert!(unknown.text.contains("1 of 2") && unknown.text.contains("not checked: a:Three"), "{}", unknown.text);
        let many = right("copy", &["b:1", "b:2", "b:3", "b:4", "b:5", "b:6", "b:6"], &found).text;
        assert!(many.contains("0 of 6 actions") && many.contains("b:4 and 2 more of floe iam copy"), "{many}");
    }
}
