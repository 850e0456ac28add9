//! A copy that goes on in the background of a home of its own, and decks that watch it.

use std::process::{Command, Stdio};

use floe::sandbox::faults::{Faults, Limit, LimitOf};
use floe::sandbox::{Options, Running, serve};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::terminal::Terminal;

const WEB_DATA: &str = "us-east-1:snap-0feed0000000da7a3";

/// Job 1 of this home, at a sandbox on which it takes a while.
pub struct Copying {
    pub home: TempDir,
    pub running: Running,
    url: String,
    /// Drives the sandbox; the last to go.
    _runtime: Runtime,
}

impl Copying {
    /// Starts it; it is the engine's when this returns.
    pub fn begin() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let running = slow(&runtime);
        let home = tempfile::tempdir().expect("a home");
        let copying = Self { home, url: running.url(), running, _runtime: runtime };
        copying.sign_in();
        copying.detach();
        copying
    }

    fn sign_in(&self) {
        let aws = self.home.path().join(".aws");
        std::fs::create_dir_all(&aws).expect("~/.aws");
        let keys = self.running.sandbox.profiles().into_iter().find(|p| p.name.as_str() == "prod").expect("prod");
        std::fs::write(aws.join("config"), "[profile prod]\nregion = us-east-1\n").expect("a config");
        let text =
            format!("[prod]\naws_access_key_id = {}\naws_secret_access_key = {}\n", keys.access_key_id, keys.secret);
        std::fs::write(aws.join("credentials"), text).expect("credentials");
    }

    /// How every command here names its state, its service and its account.
    fn everywhere(&self) -> [&str; 6] {
        ["--state-dir", "state", "--endpoint-url", &self.url, "--profile", "prod"]
    }

    fn detach(&self) {
        let home = self.home.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_floe"));
        command.args(["copy", WEB_DATA, "null:", "--yes", "--detach"]).args(self.everywhere());
        command.env_clear().env("HOME", home).env("AWS_EC2_METADATA_DISABLED", "true").current_dir(home);
        let made = command.stdin(Stdio::null()).output().expect("floe runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// A deck of 120 by 36 that has heard of the job.
    pub fn deck(&self) -> Terminal {
        let no_metadata = [("AWS_EC2_METADATA_DISABLED", "true")];
        let mut deck = Terminal::floe_with(self.home.path(), &self.everywhere(), 120, 36, &no_metadata);
        deck.wait_for(&["1 job ·"]);
        deck
    }
}

/// A sandbox as another process would see it, on which a copy takes a while.
fn slow(runtime: &Runtime) -> Running {
    let limit = |api: &str| Limit { api: api.to_owned(), of: LimitOf::Snapshot, per_second: 12.0, burst: Some(40.0) };
    let limits = vec![limit("GetSnapshotBlock"), limit("PutSnapshotBlock")];
    let options = Options { faults: Faults { limits, ..Faults::default() }, ..Options::default() };
    runtime.block_on(serve(options)).expect("the sandbox serves")
}
