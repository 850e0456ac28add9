//! Opens the deck in the resolved world: the one place where a front hands another what it resolved.

use std::io::IsTerminal as _;
use std::sync::Arc;

use super::resolve::{self, Resolved};
use super::{Code, say};
use crate::error::{Error, Result};
use crate::tui::theme::Palette;
use crate::tui::{Context, Rules, TerminalHints, World};

/// Opens the deck and stays until it is quit.
///
/// # Errors
/// There is no terminal, or the world cannot be opened.
pub async fn run(resolved: &Resolved) -> Result<Code> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(
            Error::usage("the deck needs a terminal, and this is none").todo("use a verb: floe --help lists them")
        );
    }
    // The embedded AWS may take seconds to set up: the screen is there before it.
    let opening = resolved.sandbox.is_some();
    let ended = crate::tui::run(Context {
        world: if opening {
            door(resolved)?
        } else {
            world(resolved.open().await?, false, resolved.config_file.clone())
        },
        open_sandbox: opener(resolved),
        opening,
        machine: resolved.machine(None, None)?,
        profile: resolved.profile.clone(),
        rules: rules(resolved),
        terminal: hints(resolved, |name| std::env::var(name).ok().filter(|value| !value.is_empty()))?,
    })
    .await?;
    if let Some(farewell) = ended.farewell {
        say::stderr(&farewell);
    }
    Ok(0)
}

/// What the config and the machine allow, as the deck keeps it.
fn rules(resolved: &Resolved) -> Rules {
    let config = &resolved.config;
    let mut concurrency = config.concurrency;
    let mut clamps = Vec::new();
    resolved.limits.clamp_lanes(&mut concurrency, &mut clamps);
    resolved.tell(&clamps);
    Rules {
        // A single profile of the config is turned off with the profile: the deck can choose another.
        read_only: resolved.read_only.is_some()
            && (config.read_only || !config.is_read_only(resolved.profile.as_ref())),
        read_only_profiles: config.read_only_profiles.clone(),
        ask_above: resolved.ask_above(),
        concurrency,
        max_delete: config.max_delete,
        limits: resolved.limits.clone(),
        on_event: config.on_event.clone(),
        policy: Arc::new(crate::inventory::verdict::Policy::of(config)),
        legend: config.legend,
    }
}

fn world(opened: resolve::World, sandbox: bool, config: Option<std::path::PathBuf>) -> World {
    #[cfg(feature = "sandbox")]
    let keep = opened.endpoint.map(|endpoint| Box::new(endpoint) as Box<dyn std::any::Any + Send + Sync>);
    #[cfg(not(feature = "sandbox"))]
    let keep = None;
    World { aws: opened.aws, state: opened.state, sandbox, config, keep }
}

/// What stands for the sandbox until it is open: its state directory, and an AWS that nobody is asked of.
fn door(resolved: &Resolved) -> Result<World> {
    let state = crate::store::StateDir::open(resolved.state_dir.as_deref())?.sandbox()?;
    let aws = crate::aws::Aws::new(crate::aws::Settings {
        profiles: crate::aws::Profiles::Fixed(Vec::new()),
        read_only: true,
        ..crate::aws::Settings::default()
    })?;
    Ok(World { aws, state, sandbox: true, config: None, keep: None })
}

/// `s` on the start page: the same as `--sandbox`, without leaving.
fn opener(resolved: &Resolved) -> Option<crate::tui::outside::OpenSandbox> {
    if !cfg!(feature = "sandbox") {
        return None;
    }
    let mut resolved = resolved.clone();
    if resolved.sandbox.is_none() {
        resolved.sandbox = Some(None);
        // The profile and the region that were named are of real AWS; the sandbox has its own.
        (resolved.profile, resolved.region, resolved.endpoint) = (None, None, None);
    }
    let resolved = Arc::new(resolved);
    Some(Arc::new(move || {
        let resolved = Arc::clone(&resolved);
        Box::pin(async move { Ok(world(resolved.open().await?, true, None)) })
    }))
}

/// What is known of the terminal; the environment counts before the config.
fn hints(resolved: &Resolved, env: impl Fn(&str) -> Option<String>) -> Result<TerminalHints> {
    let wish = env("FLOE_THEME").or_else(|| resolved.config.theme.clone());
    Ok(TerminalHints {
        no_color: env("NO_COLOR").is_some(),
        colorterm: env("COLORTERM"),
        term: env("TERM"),
        colorfgbg: env("COLORFGBG"),
        palette: wish.as_deref().map(palette).transpose()?,
        ascii: resolved.config.ascii || env("FLOE_ASCII").is_some(),
    })
}

fn palette(name: &str) -> Result<Palette> {
    Palette::NAMES.iter().find(|(known, _)| *known == name).map(|(_, palette)| *palette).ok_or_else(|| {
        let known: Vec<&str> = Palette::NAMES.iter().map(|(name, _)| *name).collect();
        Error::usage(format!("there is no theme `{name}`")).todo(format!("the themes are {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_theme_is_one_that_exists() {
        assert_eq!(palette("colour-blind").ok(), Some(Palette::ColourBlind));
        assert!(palette("neon").is_err_and(|e| e.todo.is_some_and(|todo| todo.contains("terminal, dark, light"))));
    }
}
