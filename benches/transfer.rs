//! How fast, how much CPU and how much memory: floe beside a bare client on the same server, in one run.
//!
//! `cargo bench` starts the sandbox in a process of its own and moves a fully allocated snapshot of random blocks
//! through it. The bare client signs, fetches, checks SHA-256 and throws away, over plain HTTP/1.1 connections,
//! and does nothing else: the mark for "how near the machine's limit". Its variant without hashing and the
//! machine's SHA-256 rate say what the limit is made of. Ratios of one run count; single figures drift.
//!
//! `cargo bench -- --quick` moves 1 GiB once instead of 4 GiB three times and leaves the long runs out.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[path = "transfer/bare.rs"]
mod bare;
#[path = "transfer/figures.rs"]
mod figures;

use figures::{Figures, Table, cpu_of_children, median};

const REGION: &str = "us-east-1";
const FLOE: &str = env!("CARGO_BIN_EXE_floe");

/// Snapshots of `assets/scenarios/bench.toml`.
const SNAP_1G: &str = "snap-00000000000000b01";
const SNAP_4G: &str = "snap-00000000000000b04";
const SNAP_16T: &str = "snap-00000000000000b16";

struct Server {
    child: Child,
    endpoint: String,
    keys: (String, String),
}

impl Server {
    fn start(state: &Path) -> Self {
        let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/scenarios/bench.toml");
        let mut child = Command::new(FLOE)
            .args(["sandbox", "--listen", "127.0.0.1:0", "--state-dir"])
            .arg(state)
            .arg("--scenario")
            .arg(scenario)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the sandbox starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let (mut endpoint, mut id, mut secret) = (None, None, None);
        while endpoint.is_none() || id.is_none() || secret.is_none() {
            let line = lines.next().expect("it says where it listens").expect("text");
            let value = |name: &str| line.split_once(&format!("{name}=")).map(|(_, v)| v.trim().to_owned());
            endpoint = endpoint.or_else(|| value("AWS_ENDPOINT_URL"));
            id = id.or_else(|| value("AWS_ACCESS_KEY_ID"));
            secret = secret.or_else(|| value("AWS_SECRET_ACCESS_KEY"));
        }
        std::thread::spawn(move || lines.for_each(drop));
        let keys = (id.expect("key id"), secret.expect("secret"));
        Self { child, endpoint: endpoint.expect("endpoint"), keys }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs floe against the server and measures it from outside.
struct Floe<'a> {
    server: &'a Server,
    state: &'a Path,
}

impl Floe<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(FLOE);
        command
            .args(args)
            .args(["--endpoint-url", &self.server.endpoint, "--region", REGION, "--state-dir"])
            .arg(self.state)
            .env("AWS_ACCESS_KEY_ID", &self.server.keys.0)
            .env("AWS_SECRET_ACCESS_KEY", &self.server.keys.1)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("HOME", self.state)
            .env_remove("AWS_PROFILE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn copy(&self, bytes: u64, args: &[&str]) -> Figures {
        let mut all = vec!["copy"];
        all.extend(args);
        all.extend(["--yes", "--foreground", "-o", "json", "-q"]);
        let cpu = cpu_of_children();
        let start = Instant::now();
        let child = self.command(&all).spawn().expect("floe starts");
        let watch = figures::watch_peak(child.id());
        let output = child.wait_with_output().expect("floe ends");
        let wall = start.elapsed();
        let peak = watch.stop();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Figures { bytes, wall, cpu: cpu_of_children() - cpu, peak }
    }

    /// Runs for a while and stops it: peak memory, and how long the first block took.
    fn copy_for(&self, length: Duration, args: &[&str]) -> (u64, Option<Duration>) {
        let before = self.gets();
        let mut all = vec!["copy"];
        all.extend(args);
        all.extend(["--yes", "--foreground", "-q"]);
        let start = Instant::now();
        let mut child = self.command(&all).spawn().expect("floe starts");
        let watch = figures::watch_peak(child.id());
        let mut first = None;
        while start.elapsed() < length {
            if first.is_none() && self.gets() > before {
                first = Some(start.elapsed());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
        (watch.stop(), first)
    }

    /// GetSnapshotBlock requests that the server has seen.
    fn gets(&self) -> u64 {
        bare::served(&self.server.endpoint, "GetSnapshotBlock")
    }
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    // `cargo test --benches` runs benches once with this flag: nothing to measure then.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let work = tempfile::Builder::new().prefix("floe-bench").tempdir().expect("a temporary directory");
    let server = Server::start(&work.path().join("server"));
    let floe = Floe { server: &server, state: &work.path().join("state") };
    let (snapshot, gib, runs) = if quick { (SNAP_1G, 1, 1) } else { (SNAP_4G, 4, 3) };
    let bytes = gib << 30;
    let image: PathBuf = work.path().join("disk.img");
    let source = format!("{REGION}:{snapshot}");
    let target = image.display().to_string();

    let mut table = Table::new();
    for _ in 0..runs {
        table.add("bare client, hashing", bare::fetch(&server.endpoint, &server.keys, REGION, snapshot, bytes, true));
        table.add("bare client, no hash", bare::fetch(&server.endpoint, &server.keys, REGION, snapshot, bytes, false));
        table.add("floe copy → null:", floe.copy(bytes, &[&source, "null:"]));
        let _ = fs::remove_file(&image);
        table.add("floe copy → file (download)", floe.copy(bytes, &[&source, &target]));
        table.add("floe copy file → (upload)", floe.copy(bytes, &[&target, "us-east-1:"]));
        table.add("floe copy → eu-west-1: (copy)", floe.copy(bytes, &[&source, "eu-west-1:"]));
    }
    let sha = bare::sha256_rate();
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{gib} GiB of random blocks, medians of {runs}; SHA-256 on one core: {sha:.0} MiB/s\n");
    let _ = writeln!(out, "{}", table.text());
    let mark = median(table.rates("bare client, hashing"));
    for name in ["floe copy → null:", "floe copy → file (download)"] {
        let _ = writeln!(out, "{name}: {:.0} % of the bare hashing client", median(table.rates(name)) / mark * 100.0);
    }
    if quick {
        return;
    }
    let _ = writeln!(out, "\nPeak RSS by budget, {gib} GiB → null::");
    for budget in ["16MiB", "64MiB", "128MiB", "256MiB"] {
        let peak = floe.copy(bytes, &[&source, "null:", "--memory", budget]).peak;
        let _ = writeln!(out, "  --memory {budget:>7}   {:>5} MiB", peak >> 20);
    }
    // In turn, so that what else the machine does meets both alike.
    let huge = format!("{REGION}:{SNAP_16T}");
    let (mut peaks, mut firsts) = ([Vec::new(), Vec::new()], Vec::new());
    for _ in 0..runs.max(5) {
        peaks[0].push(mib(floe.copy(bytes, &[&source, "null:"]).peak));
        let (peak, first) = floe.copy_for(Duration::from_secs(30), &[&huge, "null:"]);
        peaks[1].push(mib(peak));
        firsts.extend(first.map(|first| first.as_secs_f64() * 1000.0));
    }
    let shown = |peaks: &[f64]| peaks.iter().map(|peak| format!("{peak:.0}")).collect::<Vec<_>>().join(", ");
    let [small, large] = peaks;
    let _ = writeln!(out, "\nPeak RSS in MiB, in turn: {gib} GiB {}; 16 TiB for 30 s {}", shown(&small), shown(&large));
    let (small, large, first) = (median(small), median(large), median(firsts));
    let more = (large / small - 1.0) * 100.0;
    let _ =
        writeln!(out, "16 TiB against {gib} GiB: {more:+.0} % (medians); first block of 16 TiB after {first:.0} ms");
}

fn mib(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) / 1024.0
}
