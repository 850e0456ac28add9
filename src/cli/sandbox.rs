//! `floe sandbox`: the embedded AWS served on loopback for other clients, until it is told to end.
//!
//! What is written to it is kept under the state directory, where `--sandbox` of every verb finds it: a verb
//! joins the process that serves.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::args::Sandbox;
use super::resolve::Resolved;
use super::{Code, say};
use crate::aws::FixedProfile;
use crate::error::{Error, Result};
use crate::sandbox::faults::{Fault, Faults, Limit, LimitOf, Rotation, Rule};
use crate::sandbox::{Endpoint, Options, ProfileKeys, Running, join_or_serve, serve_tls};
use crate::store::StateDir;

/// A scenario as it is named: one that is built in, or a file.
///
/// # Errors
/// Usage, for an empty name.
pub fn scenario_file(name: &str) -> Result<PathBuf> {
    if name.is_empty() {
        return Err(Error::usage("--scenario names nothing").todo("name a file or a scenario that is built in"));
    }
    Ok(PathBuf::from(name))
}

/// The sandbox's keys as a profile of `aws/`.
#[must_use]
pub fn fixed(keys: &ProfileKeys) -> FixedProfile {
    FixedProfile {
        name: keys.name.clone(),
        access_key_id: keys.access_key_id.clone(),
        secret_access_key: keys.secret.clone(),
        session_token: keys.session_token.clone(),
        account: keys.account.clone(),
        region: keys.region.clone(),
    }
}

/// The faults that the flags ask for, over those of the file.
fn faults(args: &Sandbox) -> Result<Faults> {
    let mut faults = match &args.faults {
        None => Faults::default(),
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|e| Error::usage(format!("could not read the faults of {}: {e}", file.display())))?;
            serde_json::from_str(&text).map_err(|e| Error::usage(format!("{} holds no faults: {e}", file.display())))?
        }
    };
    if let Some(seed) = args.seed {
        faults.seed = seed;
    }
    if let Some((ms, jitter)) = args.latency {
        faults.rules.push(Rule::of(Fault::Delay { ms, jitter }));
    }
    faults.rules.extend(args.deny.iter().map(|api| Rule::of(Fault::Deny).on(api)));
    if let Some(share) = args.errors {
        faults.rules.extend(Faults::storm(None, share));
    }
    for (of, rate) in [(LimitOf::Snapshot, args.snapshot_rate), (LimitOf::Account, args.account_rate)] {
        let Some(per_second) = rate else { continue };
        if !(per_second.is_finite() && per_second > 0.0) {
            return Err(Error::usage(format!("a rate of {per_second} requests a second lets nothing through")));
        }
        for api in ["GetSnapshotBlock", "PutSnapshotBlock"] {
            faults.limits.push(Limit { api: api.to_owned(), of, per_second, burst: None });
        }
    }
    match args.rotate_tokens.as_deref() {
        Some("listing") => faults.rotate = Rotation::Listing,
        Some("page") => faults.rotate = Rotation::Page,
        Some(_) => faults.rotate = Rotation::Never,
        None => {}
    }
    if let Some(unseen) = args.unseen {
        faults.unseen_ms = unseen;
    }
    if let Some(clock) = args.clock {
        faults.clock_ms = clock;
    }
    Ok(faults)
}

/// What a shell needs to reach it with any client: `eval "$(floe sandbox | head -n 4)"`-able lines.
fn lines(endpoint: &Endpoint, tls: Option<&Tls>) -> String {
    let mut text =
        format!("export AWS_ENDPOINT_URL={}\n", tls.map_or_else(|| endpoint.url.clone(), |tls| tls.door.url()));
    if let Some(keys) = endpoint.profiles.first() {
        let _ = writeln!(text, "export AWS_ACCESS_KEY_ID={}", keys.access_key_id);
        let _ = writeln!(text, "export AWS_SECRET_ACCESS_KEY={}", keys.secret);
        if let Some(token) = &keys.session_token {
            let _ = writeln!(text, "export AWS_SESSION_TOKEN={token}");
        }
        let _ = writeln!(text, "export AWS_REGION={}", keys.region);
    }
    if let Some(tls) = tls {
        let _ = writeln!(text, "export AWS_CA_BUNDLE={}", tls.certificate.display());
    }
    text
}

/// A door with TLS, and what its clients have to trust. It closes when it is dropped.
struct Tls {
    door: Running,
    certificate: PathBuf,
}

impl Tls {
    /// Opens it where a certificate is given.
    async fn open(args: &Sandbox, endpoint: &Endpoint) -> Result<Option<Self>> {
        let (Some(sandbox), Some(certificate), Some(key)) = (endpoint.sandbox(), &args.tls_certificate, &args.tls_key)
        else {
            return Ok(None);
        };
        let listen = SocketAddr::new(args.listen.ip(), 0);
        let door = serve_tls(Arc::clone(sandbox), listen, certificate, key).await?;
        let certificate = std::path::absolute(certificate).unwrap_or_else(|_| certificate.clone());
        Ok(Some(Self { door, certificate }))
    }
}

/// Serves until Ctrl-C or SIGTERM.
///
/// # Errors
/// The address cannot be bound, or the state directory or the scenario cannot be used.
pub async fn run(args: Sandbox, resolved: &Resolved) -> Result<Code> {
    if !args.listen.ip().is_loopback() {
        return Err(Error::refused(format!("the sandbox listens on loopback only, and {} is not", args.listen.ip()))
            .todo("use 127.0.0.1:PORT or [::1]:PORT"));
    }
    let state = StateDir::open(resolved.state_dir.as_deref())?;
    let scenario = resolved.sandbox.as_ref().and_then(Option::as_deref).map(scenario_file).transpose()?;
    let options = Options { listen: args.listen, scenario, faults: faults(&args)?, ..Options::default() };
    let endpoint = join_or_serve(state.root(), &options).await?;
    if !endpoint.serving {
        return Err(Error::failed(format!("another floe serves this sandbox already, at {}", endpoint.url))
            .todo("use that address, end that process, or choose another --state-dir"));
    }
    let tls = Tls::open(&args, &endpoint).await?;
    say::document(lines(&endpoint, tls.as_ref()).as_bytes())?;
    let others: Vec<String> =
        endpoint.profiles.iter().map(|keys| format!("{} ({})", keys.name, keys.account.grouped())).collect();
    resolved.say.note(&format!("The embedded AWS listens on {}. Ctrl-C ends it.", endpoint.url));
    resolved.say.note(&format!(
        "Profiles for `floe --sandbox`: {}; the lines above are the first one's keys.",
        others.join(", ")
    ));
    super::signals::ended().await?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::{Cli, Verb};

    fn of(flags: &[&str]) -> Result<Faults> {
        let cli =
            Cli::try_parse_from(["floe", "sandbox"].iter().chain(flags)).map_err(|e| Error::usage(e.to_string()))?;
        match cli.verb {
            Some(Verb::Sandbox(args)) => faults(&args),
            _ => Err(Error::usage("another verb")),
        }
    }

    #[test]
    fn flags_become_faults() -> Result<()> {
        let all = of(&[
            "--latency",
            "20+5",
            "--errors",
            "1%",
            "--snapshot-rate",
            "400",
            "--rotate-tokens",
            "page",
            "--clock",
            "-9000",
            "--deny",
            "StartSnapshot",
            "--seed",
            "7",
        ])?;
        assert_eq!(all.rules[0].fault, Fault::Delay { ms: 20, jitter: 5 });
        assert_eq!((all.rules[1].fault.clone(), all.rules[1].api.as_deref()), (Fault::Deny, Some("StartSnapshot")));
        let storm: f64 = all.rules[2..].iter().map(|rule| rule.chance).sum();
        assert!((storm - 0.01).abs() < 1e-9);
        assert!(all.limits.len() == 2 && all.limits.iter().all(|limit| limit.of == LimitOf::Snapshot));
        assert_eq!((all.rotate, all.clock_ms, all.seed), (Rotation::Page, -9000, 7));
        assert_eq!(of(&[])?, Faults::default());
        assert!(of(&["--account-rate", "0"]).is_err());
        Ok(())
    }
}
