//! Whole-process figures, read from the operating system.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// One run.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    pub bytes: u64,
    pub wall: Duration,
    pub cpu: Duration,
    pub peak: u64,
}

impl Figures {
    fn rate(&self) -> f64 {
        self.bytes as f64 / (1 << 20) as f64 / self.wall.as_secs_f64()
    }
    fn cpu_per_gib(&self) -> f64 {
        self.cpu.as_secs_f64() / (self.bytes as f64 / (1 << 30) as f64)
    }
}

/// Runs by name, in the order they came.
#[derive(Debug, Default)]
pub struct Table {
    order: Vec<&'static str>,
    rows: BTreeMap<&'static str, Vec<Figures>>,
}

impl Table {
    pub fn new() -> Self {
        Self::default()
    }
    pub fn add(&mut self, name: &'static str, figures: Figures) {
        if !self.rows.contains_key(name) {
            self.order.push(name);
        }
        self.rows.entry(name).or_default().push(figures);
    }
    pub fn rates(&self, name: &str) -> Vec<f64> {
        self.rows.get(name).into_iter().flatten().map(Figures::rate).collect()
    }
    pub fn peaks(&self, name: &str) -> Vec<f64> {
        self.rows.get(name).into_iter().flatten().map(|f| (f.peak >> 20) as f64).collect()
    }
    pub fn text(&self) -> String {
        let mut out = format!("| {:<30} | {:>6} | {:>9} | {:>12} |\n", "what", "MiB/s", "CPU s/GiB", "peak RSS MiB");
        out += &format!("|{:-<32}|{:->8}|{:->11}|{:->14}|\n", "", ":", ":", ":");
        for name in &self.order {
            let runs = &self.rows[name];
            let rate = median(self.rates(name));
            let cpu = median(runs.iter().map(Figures::cpu_per_gib).collect());
            let peak = median(self.peaks(name));
            out += &format!("| {name:<30} | {rate:>6.0} | {cpu:>9.2} | {peak:>12.0} |\n");
        }
        out
    }
}

/// The middle one; of an even number the lower of the two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// User and system time of this process itself, or of its waited-for children, from `/proc/self/stat`.
fn cpu_fields(first: usize) -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    // Field 3 of stat(5) is the first after the name; clock ticks are 1/100 s on Linux.
    let ticks: u64 = after.split_whitespace().skip(first - 3).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

pub fn cpu_of_children() -> Duration {
    cpu_fields(16)
}

pub fn cpu_of_self() -> Duration {
    cpu_fields(14)
}

/// Highest resident size of a process, polled until it ends.
#[derive(Debug)]
pub struct Peak {
    stop: Arc<AtomicBool>,
    highest: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Peak {
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        self.highest.load(Ordering::Relaxed)
    }
}

pub fn peak_of(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

pub fn watch_peak(pid: u32) -> Peak {
    let (stop, highest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let thread = std::thread::spawn({
        let (stop, highest) = (Arc::clone(&stop), Arc::clone(&highest));
        move || {
            while !stop.load(Ordering::Relaxed) {
                highest.fetch_max(peak_of(pid), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    });
    Peak { stop, highest, thread }
}
